"""What an attribution explains: targets turn a dense prediction into one number per image.

A target is a pure, differentiable function `(pred (B,1,H,W), **known) -> (B,)`. What else it needs stands in its fact
`needs` (keys of KNOWN); `Target` binds a name to what is known, and is what attribution methods take.
Convention: the unit is the prediction's (metres for `metric_depth`), 1 for `error`. Pixels outside a region have no
effect, whatever they hold; an empty region gives NaN, and NaN as its gradient.
"""

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional.regions import EDGE_RATIO
from depthprobe.registry import Registry

TARGETS = Registry("target")

KNOWN: dict[str, str] = {
    "depth": "b 1 h w",
    "valid": "b 1 h w",
    "region": "b 1 h w",
    "other": "b 1 h w",
    "place": "b 2",
    "band": "b 2",
}
"""What targets may need: true depth in metres, its valid mask (bool), two regions (bool), the place (row, column) of a
pixel (int64), the ends (low, high) of a band of true depth in metres."""


def mean_over(x: Tensor, region: Tensor) -> Tensor:
    """Mean of a map (B,1,H,W) over a bool region of the same shape, (B,); NaN where the region is empty."""
    total = torch.where(region, x, 0).sum((1, 2, 3))
    return total / region.sum((1, 2, 3))


@TARGETS.register("mean", needs=(), unit="pred", linear=True, source="depthprobe")
def mean(pred: Tensor) -> Tensor:
    """Mean over the whole prediction."""
    return pred.mean((1, 2, 3))


@TARGETS.register("pixel", needs=("place",), unit="pred", linear=True, source="depthprobe")
def pixel(pred: Tensor, *, place: Tensor) -> Tensor:
    """The prediction at one pixel: `place` (B,2) is its row and column."""
    row, column = place.unbind(1)
    return pred[torch.arange(len(pred), device=pred.device), 0, row, column]


@TARGETS.register("region", needs=("region",), unit="pred", linear=True, source="depthprobe")
def region(pred: Tensor, *, region: Tensor) -> Tensor:
    """Mean over a region."""
    return mean_over(pred, region)


@TARGETS.register("band", needs=("depth", "valid", "band"), unit="pred", linear=True, source="depthprobe")
def band(pred: Tensor, *, depth: Tensor, valid: Tensor, band: Tensor) -> Tensor:
    """Mean over the pixels whose true depth g lies in a band, low <= g < high."""
    low, high = (end.view(-1, 1, 1, 1) for end in band.unbind(1))
    return mean_over(pred, valid & (depth >= low) & (depth < high))


@TARGETS.register("contrast", needs=("region", "other"), unit="pred", linear=True, source="depthprobe")
def contrast(pred: Tensor, *, region: Tensor, other: Tensor) -> Tensor:
    """Mean over a region minus the mean over another."""
    return mean_over(pred, region) - mean_over(pred, other)


@TARGETS.register("edge_gradient", needs=("depth", "valid"), unit="pred", linear=True, source="depthprobe")
def edge_gradient(pred: Tensor, *, depth: Tensor, valid: Tensor) -> Tensor:
    """Mean step of the prediction across the truth's depth edges, counted from the near to the far side.

    Convention: over all pairs of neighbours along x and y, both valid, whose true depths differ by a ratio > 1.1. A
    depth that steps the right way is > 0; a disparity < 0.
    """
    log = torch.where(valid, depth, 1).clamp_min(1e-6).log()
    total, count = pred.new_zeros(len(pred)), pred.new_zeros(len(pred))
    for dim in (-2, -1):
        n = pred.shape[dim] - 1
        step = log.narrow(dim, 1, n) - log.narrow(dim, 0, n)
        edge = valid.narrow(dim, 1, n) & valid.narrow(dim, 0, n) & (step.abs() > math.log(EDGE_RATIO))
        change = pred.narrow(dim, 1, n) - pred.narrow(dim, 0, n)
        total = total + torch.where(edge, change * step.sign(), 0).sum((1, 2, 3))
        count = count + edge.sum((1, 2, 3))
    return total / count


@TARGETS.register("error", needs=("depth", "valid"), unit="1", linear=False, source="Eigen et al. 2014 (AbsRel)")
def error(pred: Tensor, *, depth: Tensor, valid: Tensor) -> Tensor:
    """Mean |z - g| / g: which pixels make the network wrong. The prediction has to be in metres: align it first."""
    g = torch.where(valid, depth, 1)
    z = torch.where(valid, pred, g)  # before the difference: the gradient of |NaN| is NaN wherever it is weighed
    return mean_over((z - g).abs() / g, valid)


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """A registered target with what it needs: a function (pred) -> (B,).

    Convention: every entry of `known` has one row per image, or a single row for all. Called with N predictions of one
    image (perturbed copies of it), the single row serves all.
    """

    name: str
    known: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        needs = TARGETS.facts(self.name)["needs"]
        if missing := [need for need in needs if need not in self.known]:
            raise ValueError(f"Expected target `{self.name}` to get {list(needs)}, but {missing} are missing.")
        object.__setattr__(self, "known", {need: self.known[need] for need in needs})
        for need in needs:  # one at a time: any of them may have a single row
            check_shapes(**{need: (self.known[need], KNOWN[need])})

    def __call__(self, pred: Tensor) -> Tensor:
        """The target's value (B,) of predictions (B,1,H,W).

        Raises:
            ValueError: if shapes do not fit.
        """
        known = {need: x.expand(len(pred), *x.shape[1:]) if len(x) == 1 else x for need, x in self.known.items()}
        check_shapes(pred=(pred, "b 1 h w"), **{need: (x, KNOWN[need]) for need, x in known.items()})
        value: Tensor = TARGETS[self.name](pred, **known)
        return value

    def take(self, i: int) -> "Target":
        """The target of image i alone."""
        return Target(self.name, {need: x if len(x) == 1 else x[i : i + 1] for need, x in self.known.items()})
