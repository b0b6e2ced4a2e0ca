"""The sparsest set of pixels from which a network still gives its own depth, found image by image.

Hu, Zhang, Okatani (ICCV 2019, arXiv:1904.03380) train a second network to find such masks; here the mask itself is
optimised, so that nothing but the network under study decides. The target is the network's own answer, not the truth.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.filling_core import flat
from depthprobe.functional.losses_gradient import depth_gradient_normal_loss
from depthprobe.functional.selection_core import generator
from depthprobe.functional.soft_masks import open_mask
from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import evaluating

JITTER = 1e-3
"""Deviation of the first logits, which breaks ties between pixels."""
OUTSIDE = 1e4
"""So much lower than their logits is the score of pixels outside the domain."""


@dataclasses.dataclass(frozen=True, eq=False)
class FoundMask:
    """What an optimisation found.

    Convention: mask (B,1,h,w), float, of the best step of each image: in (0, 1) if soft, 0 or 1 if hard; score of that
    shape, any real number, higher = needed more: a map for the selector `rank_map`; loss (B,), the objective there.
    """

    mask: Tensor
    score: Tensor
    loss: Tensor


def optimise_mask(
    model: DepthModel,
    image: Tensor,
    *,
    seeds: Sequence[int],
    budget: float | None = None,
    weight: float = 5.0,
    steps: int = 200,
    rate: float = 0.1,
    fill: Sequence[float] | None = None,
    domain: Tensor | None = None,
) -> FoundMask:
    """The mask of each image that keeps the network's answer, on the canvas that the network reads.

    Convention: image (B,3,h,w) in [0,1]. Without a `budget` the mask is soft, σ(logits), and the objective is the
    loss of Hu et al. between the answers to the masked and the whole image plus weight * mean(mask). With a budget it
    is hard: exactly the ceil(budget * h * w) highest logits, the gradient passed through as if the mask were soft, and
    no weight; it takes the pixels of `domain` (B,1,h,w) bool first (None: all are alike). Removed parts have the colour
    `fill` (None: `card.fill`). Adam at `rate`; of all steps the best of each image is kept. An image's mask depends on
    its seed, never on its batch. The model is afterwards as before.

    Raises:
        ValueError: if the image is not of the size that the network reads, `domain` or seeds do not fit, or a number is
            out of range.
    """
    inside = {} if domain is None else {"domain": (domain, "b 1 h w")}
    size = check_shapes(image=(image, "b 3 h w"), **inside)
    if model.canvas_size(size["h"], size["w"]) != (size["h"], size["w"]):
        raise ValueError("Expected `image` to be as the network reads it; give model.canvas(image).")
    if len(seeds) != size["b"]:
        raise ValueError(f"Expected one seed per image ({size['b']}), but got {len(seeds)}.")
    if budget is not None:
        check_range("budget", budget, 0, 1, open_low=True)
    check_range("weight", weight, 0, 1e6)
    check_range("steps", steps, 1, 1e6)
    check_range("rate", rate, 0, 1e3, open_low=True)
    colour = flat(image, model.card.fill if fill is None else fill)
    with evaluating(model), torch.enable_grad():
        cost = 0.0 if budget is not None else weight
        search = _Search(model, image.detach(), colour, seeds, budget, cost, None if budget is None else domain)
        return search.run(int(steps), rate)


class _Search:
    """One optimisation: logits, the masks they stand for, and what the masks cost."""

    def __init__(
        self,
        model: DepthModel,
        image: Tensor,
        colour: Tensor,
        seeds: Sequence[int],
        budget: float | None,
        weight: float,
        domain: Tensor | None,
    ) -> None:
        self.model, self.image, self.colour, self.domain = model, image, colour, domain
        self.seeds, self.budget, self.weight = seeds, budget, weight
        with torch.no_grad():
            self.own = model(image)
        drawn = [torch.randn(1, *image.shape[-2:], generator=generator(seed, "mask")) for seed in seeds]
        self.logits = (JITTER * torch.stack(drawn)).to(image).requires_grad_()

    def mask(self) -> Tensor:
        """The mask (B,1,h,w) of the logits."""
        return open_mask(self.score(), self.budget, self.seeds)

    def score(self) -> Tensor:
        """The logits, lower than any other outside the domain."""
        if self.domain is None:
            return self.logits
        return torch.where(self.domain, self.logits, self.logits.detach() - OUTSIDE)

    def loss(self, mask: Tensor) -> Tensor:
        """The objective (B,) of masks."""
        answer = self.model(self.image * mask + self.colour * (1 - mask))
        whole = torch.ones_like(self.own, dtype=torch.bool)
        apart = [
            depth_gradient_normal_loss(*(x[i : i + 1] for x in (answer, self.own, whole))) for i in range(len(mask))
        ]
        return torch.stack(apart) + self.weight * mask.mean((1, 2, 3))

    def run(self, steps: int, rate: float) -> FoundMask:
        """Go `steps` steps and return the best found."""
        optimiser = torch.optim.Adam([self.logits], lr=rate)
        best: FoundMask | None = None
        for _ in range(steps):
            mask = self.mask()
            loss = self.loss(mask)
            (self.logits.grad,) = torch.autograd.grad(loss.sum(), self.logits)
            best = _better(best, FoundMask(mask.detach(), self.score().detach().clone(), loss.detach()))
            optimiser.step()
        with torch.no_grad():
            mask = self.mask()
            last = FoundMask(mask, self.score().clone(), self.loss(mask))
        return _better(best, last)


def _better(old: FoundMask | None, new: FoundMask) -> FoundMask:
    """Of each image the mask with the smaller loss; the later of two that are as good."""
    if old is None:
        return new
    first = (old.loss < new.loss) | new.loss.isnan()
    wide = first.view(-1, 1, 1, 1)
    return FoundMask(
        torch.where(wide, old.mask, new.mask),
        torch.where(wide, old.score, new.score),
        torch.where(first, old.loss, new.loss),
    )
