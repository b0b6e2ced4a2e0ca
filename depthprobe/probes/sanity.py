"""Does a network's answer come from the image and from what it learnt? Controls that need no labels."""

import dataclasses
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from depthprobe.checks import check_range
from depthprobe.data.batch import Batch
from depthprobe.functional.quantities import agreement, spread_ratio
from depthprobe.functional.selection import sample_seeds
from depthprobe.functional.selection_core import generator
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.attribution_sanity import randomised
from depthprobe.probes.error import predict
from depthprobe.probes.fields import read_lists
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.registry import PROBES
from depthprobe.registry import Registry

INPUTS = Registry("input control")
"""Inputs without content: (image (3,H,W), the network's own mean colour (3), generator) -> image (3,H,W)."""


@INPUTS.register("constant", keeps="nothing")
def constant(image: Tensor, colour: Tensor, g: torch.Generator) -> Tensor:
    """One colour, that which the network takes for no information: what is left is its prior."""
    return colour.view(3, 1, 1).expand_as(image)


@INPUTS.register("pixel_shuffle", keeps="the histogram of colours")
def pixel_shuffle(image: Tensor, colour: Tensor, g: torch.Generator) -> Tensor:
    """The same pixels anywhere."""
    order = torch.randperm(image.shape[1] * image.shape[2], generator=g).to(image.device)
    return image.flatten(1)[:, order].view(image.shape)


@INPUTS.register("noise", keeps="mean and standard deviation of each channel")
def noise(image: Tensor, colour: Tensor, g: torch.Generator) -> Tensor:
    """Independent Gaussian noise with the image's own moments, clamped to [0,1]."""
    drawn = torch.randn(image.shape, generator=g).to(image)
    return (image.mean((1, 2), keepdim=True) + image.std((1, 2), keepdim=True) * drawn).clamp(0, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SanityPlan:
    """Which controls.

    Convention:
        inputs: names (INPUTS), made at the size at which the network reads the image: a later resize would average the
            pixels' noise away, and leave the network with a nearly constant image.
        weights: shares of the layers, from the output backwards, whose weights are shuffled (`randomised`); 1 is all.
    """

    inputs: tuple[str, ...] = ("constant", "pixel_shuffle", "noise")
    weights: tuple[float, ...] = (0.25, 0.5, 1.0)
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(float(share) for share in self.weights))
        read_lists(self, (), ("inputs", "weights"))
        if not (self.inputs or self.weights):
            raise ValueError("Expected at least one control in `inputs` or `weights`, but got none.")
        for one in self.inputs:
            INPUTS.facts(one)
        for share in self.weights:
            check_range("weights", share, 0, 1, open_low=True)

    def passes(self) -> int:
        """Forward passes per image: one as it is, and one per control (7)."""
        return 1 + len(self.inputs) + len(self.weights)


@PROBES.register("sanity", plan=SanityPlan, axes={"factor": "control", "level": "share"})
def sanity(model: DepthModel, batch: Batch, plan: SanityPlan) -> pd.DataFrame:
    """Rows of how much of the answer is left without content in the image, or without what was learnt.

    Convention: `agreement@self`, the correlation of the network's own output (whatever its kind, without truth or
    mask) with that to the image as it is, and `spread_ratio@self`, its standard deviation over that one's. Factor =
    the input control, or "weights" with level = the share of shuffled layers. An answer that rests on the
    image agrees little with those; a constant answer has a spread of 0 and no agreement (NaN). A network without
    parameters is left as it is by "weights": 1.
    """
    image = model.canvas(batch.image)
    clean, answers = predict(model, image), _answers(model, image, batch.sample, plan)
    return frame(batch.sample, [one for name, at, other in answers for one in _compared(name, at, clean, other)])


def _compared(name: str, level: float, clean: Tensor, other: Tensor) -> Iterator[Measured]:
    yield Measured("agreement@self", agreement(clean, other), factor=name, level=level)
    yield Measured("spread_ratio@self", spread_ratio(clean, other), factor=name, level=level)


def _answers(
    model: DepthModel, image: Tensor, sample: Sequence[str], plan: SanityPlan
) -> Iterator[tuple[str, float, Tensor]]:
    colour, seeds = torch.tensor(model.card.fill).to(image), sample_seeds(sample, plan.seed)
    for name in plan.inputs:
        draw = INPUTS[name]
        empty = [draw(one, colour, generator(seed, name)) for one, seed in zip(image, seeds, strict=True)]
        yield name, float("nan"), predict(model, torch.stack(empty))
    for share in plan.weights:
        with randomised(model, share, plan.seed):
            answer = predict(model, image)
        yield "weights", share, answer
