"""Depth Gradient Refinement as a block, and the plain convolutions that are its control.

Yao, Wu, Zhang (arXiv:2308.08333) propose the module and leave much of it open; no running implementation is public.
For maps X (B,C,H,W) and the kernels of `functional.derivatives`:

    F_m = [X, D_1 X, D_2 X, ...]             the maps beside the components of their derivatives: M channels
    w   = sigmoid(W2 relu(W1 pool(F_m)))     recalibration of channels, M -> M/2 -> M
    F_r = w * F_m
    F_s = conv3x3(relu(F_r))                 spatial gate
    F_i = conv1x1(F_s * F_r)                 back to C channels

What is decided here:

* The third order is the gradient of the Laplacian, a vector. Both components enter F_m as channels of their own (so
  M = 4C for orders 2 and 3): a magnitude or a sum would lose the direction, and the 1x1 convolution can learn either.
* `paper` takes the sentences literally: kernels are learned from the derivatives on, borders are padded with zeros,
  F_s has a channel for each of F_r, and the result is F_i, to which nothing of X is added.
* `stable` deviates, for reasons. Kernels are fixed. Borders are continued, since zeros draw an edge around every map.
  The result is X + F_i with conv1x1 starting at zero, so that a trained network first answers as before, bit for bit.
  A 1x1 convolution to C/16 channels comes first, and F_s is one map, because of the cost. And the pool averages
  magnitudes: the mean of a derivative is a matter of the border alone (for the Laplacian it is 0, whatever the map),
  so a recalibration that averages derivatives cannot see them.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from depthprobe.checks import check_one_of, check_range
from depthprobe.functional.derivatives import PADDINGS, derivative_kernels, extend
from depthprobe.models.adapter import as_prediction
from depthprobe.models.decoder import LOG_RANGE
from depthprobe.registry import Registry

BLOCKS = Registry("refinement block")
KERNELS = Registry("refinement kernel")  # (kernel (k,k), channels) -> (channels,1,k,k)
TINY = 1e-6
UNITS = 8  # of the recalibration, at least: of the two that a depth map leaves, both start dead one time in four


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """What a preset decides; an argument of the same name replaces it.

    Convention: `reduction` divides the channels before the derivatives; `gates` is one map or one for `each` channel;
    `pool` averages F_m `signed` or as `magnitude`; `residual` adds the input and starts at zero.
    """

    reduction: int
    padding: str
    learnable: bool
    gates: str
    pool: str
    residual: bool


PRESETS = {
    "stable": Preset(reduction=16, padding="replicate", learnable=False, gates="one", pool="magnitude", residual=True),
    "paper": Preset(reduction=1, padding="zeros", learnable=True, gates="each", pool="signed", residual=False),
}


@KERNELS.register("derivative")
def derivative(kernel: Tensor, channels: int) -> Tensor:
    """The derivative itself, for every channel."""
    return kernel.repeat(channels, 1, 1, 1)


@KERNELS.register("random")
def random(kernel: Tensor, channels: int) -> Tensor:
    """Control: Gaussian kernels, another for each channel, with the norm of the derivative's."""
    drawn = torch.randn(channels, 1, *kernel.shape)
    return drawn * (kernel.norm() / drawn.flatten(1).norm(dim=1).view(-1, 1, 1, 1))


@KERNELS.register("identity")
def identity(kernel: Tensor, channels: int) -> Tensor:
    """Control: the map again in the place of its derivative."""
    impulse = torch.zeros_like(kernel)
    impulse[len(kernel) // 2, len(kernel) // 2] = 1
    return impulse.repeat(channels, 1, 1, 1)


class Refinement(nn.Module):
    """What can be attached to a layer: maps in, maps of the same shape out."""

    handle: RemovableHandle | None = None


@BLOCKS.register("dgr", source="Yao, Wu, Zhang 2023, arXiv:2308.08333")
class DepthGradientRefinement(Refinement):
    """Maps beside their derivatives, recalibrated, gated and mixed back; formulas and presets at the module's head.

    Convention: forward takes maps (B,C,H,W), features or a depth map (C = 1), and returns the same shape. `orders` are
    some of 1, 2, 3. `kernels` is `derivative` or, for controls, `random` or `identity`. `reduction`, `padding`
    (replicate, reflect, zeros) and `learnable` (the kernels are parameters) replace what the preset says. F_m holds,
    for each channel in turn, the map and then its components, lowest order first, x before y. Weights are drawn from
    torch's global generator, as in any module.

    Raises:
        ValueError: on an unknown order, preset, kernel or padding, or a reduction below 1.
    """

    fixed: Tensor | None

    def __init__(
        self,
        channels: int,
        *,
        orders: Sequence[int] = (2, 3),
        preset: str = "stable",
        kernels: str = "derivative",
        reduction: int | None = None,
        padding: str | None = None,
        learnable: bool | None = None,
    ) -> None:
        super().__init__()
        chosen = choose(preset, reduction=reduction, padding=padding, learnable=learnable)
        self.inner, self.padding = max(1, channels // chosen.reduction), chosen.padding
        self.pool, self.residual = chosen.pool, chosen.residual
        made = [KERNELS[kernels](kernel, self.inner) for kernel in derivative_kernels(orders)]
        merged, self.reach = self.inner * (1 + len(made)), max(k.shape[-1] for k in made) // 2
        self.reduce = nn.Conv2d(channels, self.inner, 1) if self.inner < channels else nn.Identity()
        self.kernels = nn.ParameterList(made if chosen.learnable else [])
        self.register_buffer("fixed", None if chosen.learnable else self._side_by_side(made))
        units = max(merged // 2, UNITS)
        self.squeeze, self.excite = nn.Conv2d(merged, units, 1), nn.Conv2d(units, merged, 1)
        self.gate = OneMap(merged, self.padding) if chosen.gates == "one" else _conv3x3(merged, merged, self.padding)
        self.project = _last(merged, channels, zero=self.residual)

    def forward(self, x: Tensor) -> Tensor:
        """The refined maps."""
        kernels = self._side_by_side(list(self.kernels)) if self.fixed is None else self.fixed
        merged = F.conv2d(extend(self.reduce(x), self.reach, self.padding), kernels, groups=self.inner)
        pooled = (merged.abs() if self.pool == "magnitude" else merged).mean((2, 3), keepdim=True)
        recalibrated = merged * self.excite(self.squeeze(pooled).relu()).sigmoid()
        refined: Tensor = self.project(self.gate(recalibrated.relu()) * recalibrated)
        return x + refined if self.residual else refined

    def _side_by_side(self, kernels: Sequence[Tensor]) -> Tensor:
        """(M,1,k,k): for each channel the kernel that changes nothing, then its own, all in the widest one's frame.

        One convolution for all of F_m: at these sizes each further operation costs a CPU as much as its arithmetic.
        """
        size = 2 * self.reach + 1
        margins = [(size - kernel.shape[-1]) // 2 for kernel in kernels]
        framed = [F.pad(kernel, (m, m, m, m)) for kernel, m in zip(kernels, margins, strict=True)]
        return torch.stack([identity(framed[0][0, 0], self.inner), *framed], 1).flatten(0, 1)


@BLOCKS.register("plain", source="control: what do as many plain weights do?")
class PlainRefinement(Refinement):
    """Control: plain convolutions with as many parameters as DepthGradientRefinement, within 1 %.

    conv1x1(relu([conv3x3(r), conv1x1(r)])), where r is x reduced as in the block that it stands in for: as many 3x3
    units as the number allows, and 1x1 units for the rest. The arguments are those of that block; padding and residual
    are the same. It multiplies a little more often, since the other's recalibration acts once per image.

    Raises:
        ValueError: as DepthGradientRefinement, or if that block is too small to be matched.
    """

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__()
        with torch.device("meta"):
            other = DepthGradientRefinement(channels, **options)
        budget, inner = sum(p.numel() for p in other.parameters()), other.inner
        wide, narrow, bias = _same_count(channels, inner, budget)
        self.residual = other.residual
        self.reduce = nn.Conv2d(channels, inner, 1) if inner < channels else nn.Identity()
        self.wide, self.narrow = _conv3x3(inner, wide, other.padding), nn.Conv2d(inner, narrow, 1)
        self.project = _last(wide + narrow, channels, zero=self.residual, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """The refined maps."""
        reduced = self.reduce(x)
        refined: Tensor = self.project(torch.cat([self.wide(reduced), self.narrow(reduced)], 1).relu())
        return x + refined if self.residual else refined


class DepthRefinement(Refinement):
    """A block on a network's answer, whatever form that comes in; returns the map (B,1,h,w).

    Convention: with `log`, for depth in metres or up to scale, the block sees ln z, and its change of ln z multiplies
    z: depth stays positive, near and far count by ratio as they do in the error metrics, and derivatives do not depend
    on the unit. Without, for answers that may be negative, it sees the map itself. `map` as in the network's card.
    """

    def __init__(self, block: nn.Module, *, log: bool, map: str = "") -> None:
        super().__init__()
        self.block, self.log, self.map = block, log, map

    def forward(self, output: Any) -> Tensor:
        """The refined map."""
        z = as_prediction(output, map=self.map)
        if not self.log:
            refined: Tensor = self.block(z)
            return refined
        log = z.clamp_min(TINY).log()
        return z * (self.block(log) - log).clamp(-LOG_RANGE, LOG_RANGE).exp()


class OneMap(nn.Module):
    """A 3x3 convolution to one map, as nine 1x1 ones whose maps are shifted and added: a multiple faster on a CPU.

    Convention: weight k of `nine` is the kernel's at row k // 3 and column k % 3; its spread is that of a 3x3 kernel.
    """

    shifts: Tensor

    def __init__(self, channels: int, padding: str) -> None:
        super().__init__()
        self.nine, self.bias, self.border = nn.Conv2d(channels, 9, 1, bias=False), nn.Parameter(torch.zeros(1)), padding
        with torch.no_grad():
            self.nine.weight /= 3
        self.register_buffer("shifts", torch.eye(9).view(1, 9, 3, 3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """One map (B,1,H,W)."""
        return F.conv2d(extend(self.nine(x), 1, self.border), self.shifts, self.bias)


def choose(preset: str, **given: Any) -> Preset:
    """The preset of that name with the values given (None: as the preset says).

    Raises:
        ValueError: if there is no such preset or padding, or the reduction is below 1.
    """
    check_one_of("preset", preset, PRESETS)
    chosen = dataclasses.replace(PRESETS[preset], **{k: v for k, v in given.items() if v is not None})
    check_one_of("padding", chosen.padding, PADDINGS)
    check_range("reduction", chosen.reduction, 1, math.inf)
    return chosen


def _conv3x3(channels: int, units: int, padding: Any) -> nn.Conv2d:
    return nn.Conv2d(channels, units, 3, padding=1, padding_mode=padding)


def _last(units: int, channels: int, *, zero: bool, bias: bool = True) -> nn.Conv2d:
    layer = nn.Conv2d(units, channels, 1, bias=bias)
    if zero:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    return layer


def _same_count(channels: int, inner: int, budget: int) -> tuple[int, int, bool]:
    """Numbers of 3x3 and 1x1 units, and whether the last layer has a bias, for `budget` parameters within 1 %.

    As many 3x3 units as that leaves room for; at least one of each.

    Raises:
        ValueError: if there are no such numbers.
    """
    wide, narrow = 9 * inner + 1 + channels, inner + 1 + channels  # parameters that one unit costs
    free = budget - (inner * (channels + 1) if inner < channels else 0)
    found = []
    for bias in (True, False):
        for units in range(1, free // wide + 1):
            rest = free - channels * bias - units * wide
            fill = max(1, round(rest / narrow))
            if abs(rest - fill * narrow) <= 0.01 * budget:
                found.append((units, -abs(rest - fill * narrow), fill, bias))
    if not found:
        raise ValueError(
            f"Expected a refinement with enough parameters to match them by plain 3x3 convolutions of {inner} of "
            f"{channels} channels, but it has {budget}; choose a smaller `reduction`."
        )
    units, _, fill, bias = max(found)
    return units, fill, bias
