"""Image-space edits: the counterfactuals of data sets that cannot be rendered again.

Each entry is a function `(image (B,3,H,W) in [0,1], level, *, seed=0) -> image in [0,1]` of the same shape. Facts: the
`unit` of the level, the `identity` level at which the image comes back unchanged, the levels in `span` that make
sense, `keeps` = what of the image stays, and the source. Random edits draw one pattern per seed and use it for every
image, so that a sample never depends on its batch; depth is never touched.
"""

import math

import torch
from torch import Tensor

from depthprobe.checks import check_range
from depthprobe.functional import corruption  # noqa: F401  (it registers into PERTURBATIONS)
from depthprobe.functional.filters import gaussian_blur, luminance
from depthprobe.functional.perturb_core import PERTURBATIONS
from depthprobe.functional.perturb_core import blend as _blend
from depthprobe.functional.perturb_core import channel_mean as _mean
from depthprobe.functional.selection_core import generator


@PERTURBATIONS.register(
    "low_pass", unit="px", identity=0.0, span=(0, 16), keeps="large shapes", source="Gaussian blur",
    severities=(1, 2, 3, 4, 6),
)  # fmt: skip
def low_pass(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Keep coarse structure: Gaussian blur with sigma = level pixels."""
    check_range("level", level, 0, math.inf)
    return gaussian_blur(image, level).clamp(0, 1) if level < math.inf else _mean(image).expand_as(image).clone()


@PERTURBATIONS.register(
    "high_pass", unit="px", identity=math.inf, span=(1, 16), keeps="fine detail", source="image minus Gaussian blur"
)
def high_pass(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Keep detail finer than sigma = level pixels, around each channel's mean."""
    check_range("level", level, 0, math.inf, open_low=True)
    return image if level == math.inf else (image - gaussian_blur(image, level) + _mean(image)).clamp(0, 1)


@PERTURBATIONS.register(
    "phase_only", unit="1", identity=0.0, span=(0, 1), keeps="phase spectrum", source="Oppenheim & Lim 1981"
)
def phase_only(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Flatten the amplitude spectrum: |F| becomes |F|^(1 - level), the phase stays.

    Convention: each channel's mean and standard deviation are restored before the clamp to [0,1].
    """
    check_range("level", level, 0, 1)
    if level == 0:
        return image
    spectrum = torch.fft.rfft2(image - _mean(image))
    size = spectrum.abs()
    present = size > 1e-6 * size.amax((-2, -1), keepdim=True)
    flattened = torch.polar(torch.where(present, size ** (1 - level), 0.0), spectrum.angle())
    out: Tensor = torch.fft.irfft2(flattened, s=image.shape[-2:])
    gain = image.std((-2, -1), keepdim=True) / out.std((-2, -1), keepdim=True).clamp_min(1e-12)
    return (_mean(image) + gain * (out - _mean(out))).clamp(0, 1)


@PERTURBATIONS.register(
    "patch_shuffle", unit="patches per side", identity=1.0, span=(1, 16), keeps="texture", source="Naseer et al. 2021"
)
def patch_shuffle(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Cut into level x level equal patches and shuffle them; rows and columns that are left over stay in place.

    Raises:
        ValueError: if the level is not a whole number from 1 to the shorter side.
    """
    height, width = image.shape[-2:]
    check_range("level", level, 1, min(height, width))
    count = round(level)
    if count != level:
        raise ValueError(f"Expected `level` to be a whole number of patches per side, but got {level!r}.")
    if count == 1:
        return image
    h, w = height // count, width // count
    order = torch.randperm(count * count, generator=generator(seed, "patch_shuffle")).to(image.device)
    inner = image[..., : h * count, : w * count]
    tiles = inner.unflatten(-1, (count, w)).unflatten(-3, (count, h))  # b 3 row h column w
    mixed = tiles.transpose(3, 4).flatten(2, 3)[:, :, order].unflatten(2, (count, count)).transpose(3, 4)
    out = image.clone()
    out[..., : h * count, : w * count] = mixed.reshape(inner.shape)
    return out


@PERTURBATIONS.register(
    "palette_swap", unit="1", identity=0.0, span=(0, 1), keeps="shapes and contours", source="channel permutation"
)
def palette_swap(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Swap the palette: blend towards the image with its colour channels rotated (which way: by seed)."""
    turn = int(torch.randint(1, 3, (), generator=generator(seed, "palette_swap")))
    return _blend(image, image.roll(turn, dims=1), level)


@PERTURBATIONS.register(
    "colour_jitter", unit="1", identity=0.0, span=(0, 1), keeps="shapes and contours", source="random colour matrix"
)
def colour_jitter(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Mix the colour channels by identity + level * R about mid-grey, R uniform in [-0.5, 0.5] (3x3, by seed)."""
    check_range("level", level, 0, math.inf)
    if level == 0:
        return image
    drawn = torch.rand(3, 3, generator=generator(seed, "colour_jitter")).to(image) - 0.5
    mixed = sum(drawn[:, c].view(1, 3, 1, 1) * (image[:, c : c + 1] - 0.5) for c in range(3))
    return (image + level * mixed).clamp(0, 1)


@PERTURBATIONS.register("grayscale", unit="1", identity=0.0, span=(0, 1), keeps="luminance", source="ITU-R BT.601")
def grayscale(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Blend towards grey of equal luminance."""
    return _blend(image, luminance(image).expand_as(image), level)


@PERTURBATIONS.register(
    "brightness",
    unit="gain",
    identity=1.0,
    span=(0.25, 2),
    keeps="ratios of colours",
    source="Hendrycks & Dietterich 2019",
)
def brightness(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Multiply by the level, clamped to [0,1]."""
    check_range("level", level, 0, math.inf)
    return image if level == 1 else (image * level).clamp(0, 1)


@PERTURBATIONS.register(
    "contrast", unit="gain", identity=1.0, span=(0, 2), keeps="mean colour", source="Hendrycks & Dietterich 2019",
    severities=(0.4, 0.3, 0.2, 0.1, 0.05),
)  # fmt: skip
def contrast(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Multiply the deviation from each channel's mean by the level, clamped to [0,1]."""
    check_range("level", level, 0, math.inf)
    return image if level == 1 else (_mean(image) + level * (image - _mean(image))).clamp(0, 1)


@PERTURBATIONS.register(
    "saturation", unit="gain", identity=1.0, span=(0, 2), keeps="luminance", source="Hendrycks & Dietterich 2019"
)
def saturation(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Multiply the deviation from grey of equal luminance by the level, clamped to [0,1]."""
    check_range("level", level, 0, math.inf)
    gray = luminance(image)
    return image if level == 1 else (gray + level * (image - gray)).clamp(0, 1)


@PERTURBATIONS.register(
    "gamma", unit="exponent", identity=1.0, span=(0.5, 2), keeps="order of intensities", source="power law"
)
def gamma(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Raise to the power of the level."""
    check_range("level", level, 0, math.inf, open_low=True)
    return image if level == 1 else image.clamp(0, 1) ** level


@PERTURBATIONS.register(
    "gaussian_noise",
    unit="intensity",
    identity=0.0,
    span=(0, 0.5),
    keeps="all in the mean",
    severities=(0.08, 0.12, 0.18, 0.26, 0.38),
    source="Hendrycks & Dietterich 2019",
)
def gaussian_noise(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Add white Gaussian noise with standard deviation = level, clamped to [0,1]."""
    check_range("level", level, 0, math.inf)
    drawn = torch.randn(image.shape[1:], generator=generator(seed, "gaussian_noise")).to(image)
    return image if level == 0 else (image + level * drawn).clamp(0, 1)
