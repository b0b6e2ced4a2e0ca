"""`mask:<body>?of=<network>`: a network that sees images through a mask, which a second network learns.

Hu, Zhang, Okatani (ICCV 2019, arXiv:1904.03380) train a network G once per depth network N: M = σ(G(I)), so that
N(I ⊗ M) stays N(I) while the mean of M is small. Here N and G together are one depth network, trained like any other
(`depthprobe train nyu-masks`): N is frozen, the objective is the network's own. Different from theirs: G ends in the
shared decoder, which has skips; on request (`shared`) it also has a map that all images share, which can say "always
here". It finds what a network needs at fixed places, and first of all the lattice of its patches.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depthprobe.checks import check_one_of, check_range
from depthprobe.functional.losses_gradient import depth_gradient_normal_loss
from depthprobe.functional.soft_masks import open_mask
from depthprobe.models.adapter import DepthModel, ModelCard
from depthprobe.models.options import parse_size
from depthprobe.models.registry import SCHEMES, load_model
from depthprobe.models.timm_depth import TimmDepth

BODIES = {"conv": "zoo:convnext.mixed", "transformer": "zoo:pvt.mixed"}
"""Networks whose weights G starts from: from random ones it would need more images than NYU has."""
GAINS = {"place": 50.0, "share": 5.0}
"""So many times faster than the body's weights learn what is the same in all images, and the body's share."""
HEAD = 0.02
"""Deviation of the first weights of the body's last convolution."""


class MaskGenerator(nn.Module):
    """G: logits of the mask, of any sign; what the body makes of the image, and what all images share.

    Convention: image (B,3,h,w) in [0,1], of the size that the network under study reads -> logits (B,1,h,w). The body's
    scores are standardised over each image: it says where, `place` how much altogether (one number, or `shared`, one
    for each pixel). Without this the body's weights, which all push the same way while the mask is too open or too
    closed, drive every pixel into saturation within a few steps.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: TimmDepth, card: ModelCard, size: tuple[int, int], *, shared: bool, seed: int) -> None:
        super().__init__()
        self.body, self.size = body, size
        self.place = nn.Parameter(torch.zeros(1, 1, *(size if shared else (1, 1))))
        self.share = nn.Parameter(torch.zeros(()))
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(card, name)).view(1, 3, 1, 1), persistent=False)
        head = body.decoder.head
        with torch.no_grad():  # what the body said of depth is forgotten
            head.weight.normal_(std=HEAD, generator=torch.Generator().manual_seed(seed))

    def forward(self, image: Tensor) -> Tensor:
        """The logits of an image's mask."""
        scores = self.body.scores((image - self.mean) / self.std).float()
        where = F.layer_norm(scores, scores.shape[1:])
        where = F.interpolate(where, self.size, mode="bilinear", align_corners=False)
        return (1 + GAINS["share"] * self.share) * where + GAINS["place"] * self.place


class MaskedDepth(nn.Module):
    """N(I ⊗ M): the network under study, frozen, behind the mask that G makes.

    Convention: image (B,3,h,w) in [0,1] -> what the network under study answers. After a forward pass in train mode
    `objective` is what is minimised: the loss of Hu et al. between the answers to the masked and the whole image, plus
    weight * mean(mask) where the mask is soft (`budget` None); a hard mask keeps ceil(budget * h * w) pixels.
    """

    def __init__(self, of: DepthModel, generator: MaskGenerator, weight: float, budget: float | None) -> None:
        super().__init__()
        self.of, self.generator = of.requires_grad_(False), generator
        self.weight, self.budget = weight, budget
        self.objective: Tensor | None = None

    def train(self, mode: bool = True) -> "MaskedDepth":
        """Train mode for G alone: the network under study stays as it is judged."""
        super().train(mode)
        self.of.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """The answer to the masked image."""
        mask = open_mask(self.generator(image).float(), self.budget)
        hole = torch.tensor(self.of.card.fill, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
        answer = self.of(image * mask + hole * (1 - mask))
        if self.training:
            with torch.no_grad():
                own = self.of(image).float()
            apart = depth_gradient_normal_loss(answer.float(), own, torch.ones_like(own, dtype=torch.bool))
            self.objective = apart + (self.weight * mask.mean() if self.budget is None else 0.0)
        return answer


@SCHEMES.register(
    "mask",
    form="<body>?of=<network>&weight=5&budget=0&shared=0&seed=0",
    example="mask:conv?of=zoo:convnext.nyu",
)
def masked(
    body: str, *, of: str = "", weight: float = 5.0, budget: float = 0.0, shared: int = 0, size: str = "", seed: int = 0
) -> DepthModel:
    """The network `of` behind a mask that is still to be learned (`depthprobe train nyu-masks`, loss "own").

    `body`: conv, transformer, or a network (zoo:, timm:) whose encoder and decoder G starts as. `weight`: λ of a soft
    mask; `budget` > 0: a hard mask that keeps this share of the pixels. `shared`: 1 adds a map that all images share.
    `size`: HxW, where `of` reads any size. Options of the names inside are written with %3F and %26 for ? and &.

    Raises:
        ValueError: if a network cannot be opened, has no size, the body has no shared decoder, or a number does not
            fit.
    """
    if not of:
        raise ValueError("Expected the network under study, as in mask:conv?of=zoo:convnext.nyu, but got none.")
    network, start = load_model(of), load_model(BODIES.get(body, body))
    read = parse_size(size) if size else network.card.size
    if read is None or not isinstance(start.net, TimmDepth):
        wrong = f"{of} reads any size; add &size=HxW" if read is None else f"{body} has no shared decoder to end in"
        raise ValueError(f"Expected a network of one size and a body of zoo: or timm:, but {wrong}.")
    if network.canvas_size(*read) != read:
        raise ValueError(f"Expected `size` to be what {of} reads, {network.canvas_size(*read)}, but got {read}.")
    check_one_of("shared", shared, (0, 1))
    check_range("budget", budget, 0, 1)
    check_range("weight", weight, 0, 1e6)
    generator = MaskGenerator(start.net, start.card, read, shared=bool(shared), seed=seed)
    kind = (f"budget{budget:g}" if budget else f"weight{weight:g}") + (", shared" if shared else "")
    facts: dict[str, Any] = {"of": network.card.name, "body": body, "kind": kind, "seed": seed}
    card = dataclasses.replace(
        network.card, name=f"mask:{body}:{network.card.name}", tag=f"{kind}, seed {seed}", size=read,
        mean=(0.0,) * 3, std=(1.0,) * 3, reading=None, layers=(), digest="", facts=facts,
    )  # fmt: skip
    return DepthModel(MaskedDepth(network, generator, weight, budget or None), card)
