"""Texture apart from geometry: how error grows with local texture, and image changes of a given size.

Quality in texture and reliance on texture are different quantities: a network may be right where a surface is textured
and yet not care what the texture is, or the reverse. The first is a slope within an image; the second is a reaction to
a change, and means something only beside the reaction to another change of the same size in pixels (CONTROLS).

The error whose slope is taken is what is left of d = ln z - ln g when the image's own offset is taken out (and what the
maps held fixed explain). With the offset, |d| is d up to a sign wherever the whole image is judged too far or too near,
and its slope says which of the two it is, not where the errors are large.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional.selection_core import generator
from depthprobe.functional.selection_image import image_contours, texture_energy
from depthprobe.functional.terms import METRICS
from depthprobe.registry import Registry

CONTROLS = Registry("control")
"""Patterns that hold nothing of the scene: (change (C,H,W), generator) -> pattern (C,H,W), of any amplitude."""

ROUNDING = (1 / 255) ** 2 / 12
"""Variance of the rounding to 8 bits: less texture than this cannot be told from none."""

_STRETCH, _STEPS, _FLATTEST = 64.0, 8, 0.01


def texture_decades(image: Tensor) -> Tensor:
    """Log10 of the local texture energy (B,1,H,W) of (B,3,H,W) in [0,1]; nothing is below the rounding to 8 bits.

    Convention: the energy (squared intensity) is that of the selector `texture`, with contours removed.
    """
    return (texture_energy(image) + ROUNDING).log10()


def residual(y: Tensor, mask: Tensor, given: Sequence[Tensor] = ()) -> Tensor:
    """What is left of y after its least-squares fit by a constant and the maps of `given`, within each image: float64.

    Convention: all (B,1,H,W), mask bool; fitted on the pixels of the mask alone; 0 outside (NaN where it is empty).
    """
    named = {"y": y, "mask": mask, **{f"given[{k}]": one for k, one in enumerate(given)}}
    check_shapes(**{name: (one, "b 1 h w") for name, one in named.items()})
    weight = mask.flatten(1).double()
    count = weight.sum(1, keepdim=True)

    def centred(one: Tensor) -> Tensor:
        flat = torch.where(mask, one, 0.0).flatten(1).double()
        return (flat - flat.sum(1, keepdim=True) / count) * weight

    left = centred(y)
    for axis in _orthogonal([centred(m) for m in given]):
        left = left - (left * axis).sum(1, keepdim=True) * axis
    return left.view(y.shape)


def partial_slope(y: Tensor, x: Tensor, mask: Tensor, given: Sequence[Tensor] = ()) -> Tensor:
    """Least-squares slope of y on x within each image, with other maps held fixed: (B,), float64.

    Convention: all (B,1,H,W), mask bool; the regression has a constant, x and every map of `given`, on the pixels of
    the mask alone. NaN where x does not vary there, or varies only as `given` does. What y holds elsewhere is ignored.
    """
    target, total = (residual(one, mask).flatten(1) for one in (y, x))
    own = residual(x, mask, given).flatten(1)
    left = own.square().sum(1)
    return ((target * own).sum(1) / left).where(left > 1e-9 * total.square().sum(1), torch.nan)


def _orthogonal(columns: Sequence[Tensor]) -> list[Tensor]:
    """Orthonormal columns (B,n) that span the given ones; a column that adds nothing becomes 0."""
    found: list[Tensor] = []
    for column in columns:
        rest, size = column, column.square().sum(1, keepdim=True)
        for axis in found:
            rest = rest - (rest * axis).sum(1, keepdim=True) * axis
        length = rest.square().sum(1, keepdim=True)
        found.append(torch.where(length > 1e-12 * size, rest / length.sqrt(), 0.0).nan_to_num())
    return found


def texture_zone(smooth: Tensor, image: Tensor) -> Tensor:
    """The pixels (B,1,H,W) of `smooth` that have a texture: those near a contour of the image have none of their own.

    Networks err on contours whatever the texture; the energy there is only filled in.
    """
    return smooth & ~image_contours(image)


@METRICS.register(
    "texture_slope", unit="ln/decade", better="lower", source="depthprobe", inputs="aligned depth smooth image"
)
def texture_slope(
    pred: Tensor, depth: Tensor, smooth: Tensor, image: Tensor, *, given: Sequence[Tensor] = ()
) -> Tensor:
    """Slope of the error of ln depth on the local texture (decades of energy) where the truth is smooth: (B,).

    Convention: pred aligned, > 0, and depth in metres, (B,1,H,W); smooth (B,1,H,W) bool, the pixels that count, less
    those near contours of the image (B,3,H,W). Error: |d - what a constant and `given` explain of d|. 0: texture makes
    no difference; negative: it helps. `given`: maps held fixed (see `partial_slope`), for texture is finer where things
    are far, and far things are judged worse without any texture.
    """
    error, zone = _error(pred, depth, smooth, image, given)
    return partial_slope(error, texture_decades(image), zone, given)


@METRICS.register(
    "texture_growth", unit="1/decade", better="lower", source="depthprobe", inputs="aligned depth smooth image"
)
def texture_growth(
    pred: Tensor, depth: Tensor, smooth: Tensor, image: Tensor, *, given: Sequence[Tensor] = ()
) -> Tensor:
    """`texture_slope` as a share of the image's own mean error: (B,); a network twice as wrong everywhere has the same.

    NaN where the mean error is below 1e-6 (rounding).
    """
    error, zone = _error(pred, depth, smooth, image, given)
    mean = error.flatten(1).sum(1) / zone.flatten(1).sum(1)
    return (partial_slope(error, texture_decades(image), zone, given) / mean).where(mean > 1e-6, torch.nan)


@METRICS.register(
    "texture_bias", unit="ln/decade", better="none", source="depthprobe", inputs="aligned depth smooth image"
)
def texture_bias(pred: Tensor, depth: Tensor, smooth: Tensor, image: Tensor, *, given: Sequence[Tensor] = ()) -> Tensor:
    """Slope of d = ln z - ln g itself on the local texture: > 0 where texture is taken for distance: (B,)."""
    zone = texture_zone(smooth, image)
    return partial_slope(_log_ratio(pred, depth, smooth), texture_decades(image), zone, given)


def _log_ratio(pred: Tensor, depth: Tensor, smooth: Tensor) -> Tensor:
    return torch.where(smooth, pred / depth, 1.0).log()


def _error(
    pred: Tensor, depth: Tensor, smooth: Tensor, image: Tensor, given: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """What neither the image's own offset nor the maps held fixed explain of d, its size (B,1,H,W), and the zone."""
    zone = texture_zone(smooth, image)
    return residual(_log_ratio(pred, depth, smooth), zone, given).abs(), zone


@METRICS.register("pixel_change", unit="intensity", better="none", source="root mean square", inputs="image changed")
def pixel_change(image: Tensor, changed: Tensor) -> Tensor:
    """Root mean square difference of two images (B,C,H,W), over pixels and channels: (B,)."""
    check_shapes(image=(image, "b c h w"), changed=(changed, "b c h w"))
    return (changed - image).flatten(1).square().mean(1, dtype=torch.float64).sqrt()


@CONTROLS.register("white_noise", keeps="the size of the change")
def white_noise(change: Tensor, g: torch.Generator) -> Tensor:
    """Independent Gaussian noise in every pixel and channel."""
    return torch.randn(change.shape, generator=g).to(change)


@CONTROLS.register("scrambled", keeps="the size and the spectrum of the change")
def scrambled(change: Tensor, g: torch.Generator) -> Tensor:
    """The change itself with random phases, one draw for all channels: as coarse, as coloured, but anywhere.

    Convention: the mean of the change, which has no phase, keeps its sign.
    """
    noise = torch.fft.rfft2(torch.randn(change.shape[-2:], generator=g).to(change))
    turn = noise / noise.abs().clamp_min(1e-12)
    turn[0, 0] = 1.0
    out: Tensor = torch.fft.irfft2(torch.fft.rfft2(change) * turn, s=change.shape[-2:])
    return out


def equal_change(image: Tensor, changed: Tensor, name: str, seeds: Sequence[int]) -> Tensor:
    """The image under a control that changes its pixels as much as `changed` does: (B,C,H,W) in [0,1].

    Convention: equal `pixel_change` of every sample, after the clamp to [0,1], to a part in 10^5; the pattern is drawn
    from each sample's seed. Where even 64 times the amplitude that would do without a clamp does not reach it, that
    is returned (state the `pixel_change` of both).

    Raises:
        ValueError: if the control is unknown, or there is not one seed per image.
    """
    if len(seeds) != len(image):
        raise ValueError(f"Expected one seed per image ({len(image)}), but got {len(seeds)}.")
    draw, change = CONTROLS[name], changed - image
    pattern = torch.stack([draw(one, generator(seed, name)) for one, seed in zip(change, seeds, strict=True)])
    wanted = pixel_change(image, changed)
    own = pattern.flatten(1).square().mean(1, dtype=torch.float64).sqrt()
    least = torch.where(own > 0, wanted / own, 0.0)

    def missed(stretch: Tensor) -> Tensor:
        """Ln of what the amplitude least * e^stretch reaches over what is wanted: it rises by at most the stretch."""
        reached = pixel_change(image, _added(image, pattern, least * stretch.exp()))
        return torch.where(wanted > 0, (reached / wanted).log(), 0.0)

    before, gap = torch.zeros_like(least), missed(torch.zeros_like(least))
    stretch = -gap
    for _ in range(_STEPS):  # secants
        now, step = missed(stretch), stretch - before
        slope = ((now - gap) / step).where(step.abs() > 1e-6, 1.0).clamp(_FLATTEST, 1.0)
        before, gap, stretch = stretch, now, (stretch - now / slope).clamp(0.0, math.log(_STRETCH))
    return _added(image, pattern, least * stretch.exp())


def _added(image: Tensor, pattern: Tensor, amplitude: Tensor) -> Tensor:
    return (image + amplitude.view(-1, 1, 1, 1).to(image) * pattern).clamp(0, 1)
