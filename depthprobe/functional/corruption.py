"""Common corruptions: what cameras, weather and codecs do to an image while the depth stays where it is.

After Hendrycks & Dietterich 2019 (arXiv:1903.12261), written anew with the severities of their code; what is simplified
is said in each entry. Left out: those that move pixels (elastic, glass and zoom blur), for their depth would have to
move along, those that cover the image with something of a depth of its own (snow, frost, spatter), and saturation (an
edit without severities here). Facts beyond those of `perturb`: `severities`, the levels of the five severities; a level
in px is that of an image whose shorter side is 224, the size of theirs (see `severity_level`).
"""

import functools
import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from depthprobe.checks import check_range
from depthprobe.functional.perturb_core import PERTURBATIONS
from depthprobe.functional.selection_core import generator

SOURCE = "Hendrycks & Dietterich 2019"
SEVERITIES = (1, 2, 3, 4, 5)
REFERENCE_SIDE = 224
_ROUGHNESS = 2.0  # the fog's amplitude falls as frequency^-2, as the midpoint displacement that halves at each octave


def corruptions() -> list[str]:
    """The names of the perturbations that have severities."""
    return [name for name in PERTURBATIONS if "severities" in PERTURBATIONS.facts(name)]


def severity_level(name: str, severity: int, size: tuple[int, int]) -> float:
    """The level of a corruption at a severity 1 to 5, for images of `size` (h, w); lengths grow with the shorter side.

    Raises:
        ValueError: if the perturbation has no severities, or the severity is not 1 to 5.
    """
    facts = PERTURBATIONS.facts(name)
    if "severities" not in facts:
        raise ValueError(f"Expected a corruption with severities, one of {corruptions()}, but got {name!r}.")
    if severity not in SEVERITIES:
        raise ValueError(f"Expected `severity` to be one of {list(SEVERITIES)}, but got {severity!r}.")
    level = float(facts["severities"][int(severity) - 1])
    return level * min(size) / REFERENCE_SIDE if facts["unit"] == "px" else level


@PERTURBATIONS.register(
    "shot_noise", unit="photons at white", identity=math.inf, span=(3, 60), keeps="all in the mean", source=SOURCE,
    severities=(60, 25, 12, 5, 3),
)  # fmt: skip
def shot_noise(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Count photons: a Poisson draw with mean level * intensity, divided by the level, clamped to [0,1]."""
    check_range("level", level, 0, math.inf, open_low=True)
    if level == math.inf:
        return image
    counts = [torch.poisson(level * one.cpu().clamp(0, 1), generator=generator(seed, "shot_noise")) for one in image]
    return (torch.stack(counts).to(image) / level).clamp(0, 1)


@PERTURBATIONS.register(
    "impulse_noise", unit="1", identity=0.0, span=(0, 0.5), keeps="most pixels", source=SOURCE,
    severities=(0.03, 0.06, 0.09, 0.17, 0.27),
)  # fmt: skip
def impulse_noise(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Turn the share level of all values (each channel by itself) to 0 or 1, as often the one as the other."""
    check_range("level", level, 0, 1)
    draw = torch.rand(image.shape[1:], generator=generator(seed, "impulse_noise")).to(image.device)
    out = torch.where(draw < level / 2, 0.0, torch.where(draw >= 1 - level / 2, 1.0, image))
    return image if level == 0 else out.to(image.dtype)


@PERTURBATIONS.register(
    "speckle_noise", unit="1", identity=0.0, span=(0, 1), keeps="all in the mean, black", source=SOURCE,
    severities=(0.15, 0.2, 0.35, 0.45, 0.6),
)  # fmt: skip
def speckle_noise(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Add Gaussian noise with standard deviation = level * intensity, clamped to [0,1]."""
    check_range("level", level, 0, math.inf)
    drawn = torch.randn(image.shape[1:], generator=generator(seed, "speckle_noise")).to(image)
    return image if level == 0 else (image + level * image * drawn).clamp(0, 1)


@PERTURBATIONS.register(
    "defocus_blur", unit="px", identity=0.0, span=(0, 10), keeps="large shapes", source=SOURCE,
    severities=(3, 4, 6, 8, 10),
)  # fmt: skip
def defocus_blur(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Blur with a disc of radius = level pixels (its rim in grey levels); equal at all depths, unlike a lens."""
    check_range("level", level, 0, 1024)
    if level == 0:
        return image
    reach = math.ceil(level)
    y, x = torch.meshgrid(torch.arange(-reach, reach + 1), torch.arange(-reach, reach + 1), indexing="ij")
    distance = (x.double().square() + y.double().square()).sqrt()
    return _convolved(image, (level + 0.5 - distance).clamp(0, 1))


@PERTURBATIONS.register(
    "motion_blur", unit="px", identity=0.0, span=(0, 30), keeps="detail along the motion", source=SOURCE,
    severities=(6.3, 10.4, 16.7, 23.3, 29.8),
)  # fmt: skip
def motion_blur(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Blur along a line of level pixels, within 45 degrees of the horizontal (which way: by seed).

    Convention: the line is even and centred, so that nothing moves on the whole; the paper's is one-sided. The
    severities have the standard deviations of the kernels there (radius 10, 15, 15, 15, 20; sigma 3, 5, 8, 12, 15).
    """
    check_range("level", level, 0, 1024)
    if level == 0:
        return image
    turn = float(torch.rand((), generator=generator(seed, "motion_blur"))) - 0.5
    angle, reach = turn * math.pi / 2, math.ceil(level / 2) + 1
    kernel = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    count = 8 * math.ceil(level) + 1
    for step in (torch.arange(count, dtype=torch.float64) + 0.5).div(count).sub(0.5).mul(level).tolist():
        x, y = reach + step * math.cos(angle), reach + step * math.sin(angle)
        left, top = math.floor(x), math.floor(y)
        for row, share in ((top, top + 1 - y), (top + 1, y - top)):
            kernel[row, left] += share * (left + 1 - x)
            kernel[row, left + 1] += share * (x - left)
    return _convolved(image, kernel)


def _convolved(image: Tensor, kernel: Tensor) -> Tensor:
    """Every channel under an odd kernel of sum 1 (it is divided by its sum), borders repeated."""
    reach = kernel.shape[0] // 2
    weight = (kernel / kernel.sum()).to(image)[None, None]
    flat = F.pad(image.flatten(0, 1)[:, None], (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(flat, weight).view(image.shape).clamp(0, 1)


@PERTURBATIONS.register(
    "fog_overlay", unit="1", identity=0.0, span=(0, 3), keeps="contours, faintly", source=SOURCE,
    severities=(1.5, 2, 2.3, 2.6, 3),
)  # fmt: skip
def fog_overlay(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Add level times a cloud and scale back to the image's own maximum: fog at no particular depth.

    Convention: the cloud is in [0,1] with an amplitude that falls as frequency^-2; the paper's grows rougher with the
    severity at amounts of 1.5, 2, 2.5, 2.5, 3. The scenes' own edit `fog` is the physical one.
    """
    check_range("level", level, 0, math.inf)
    if level == 0:
        return image
    cloud = level * _cloud(image.shape[-2], image.shape[-1], seed).to(image)
    top = image.amax((1, 2, 3), keepdim=True)
    return ((image + cloud) * top / (top + level)).clamp(0, 1)


@functools.lru_cache(maxsize=4)
def _cloud(height: int, width: int, seed: int) -> Tensor:
    """A random field (H,W) in [0,1] with a falling spectrum."""
    noise = torch.fft.rfft2(torch.randn(height, width, generator=generator(seed, "fog_overlay"), dtype=torch.float64))
    fy, fx = torch.fft.fftfreq(height, dtype=torch.float64)[:, None], torch.fft.rfftfreq(width, dtype=torch.float64)
    frequency = (fy.square() + fx.square()).sqrt().clamp_min(1 / max(height, width))
    field = torch.fft.irfft2(noise * frequency**-_ROUGHNESS, s=(height, width))
    return (field - field.min()) / (field.max() - field.min()).clamp_min(1e-12)


@PERTURBATIONS.register(
    "lighten", unit="intensity", identity=0.0, span=(0, 0.5), keeps="hue and saturation", source=SOURCE,
    severities=(0.1, 0.2, 0.3, 0.4, 0.5),
)  # fmt: skip
def lighten(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Raise the value (greatest channel) of every pixel by the level, up to 1: the paper's brightness."""
    check_range("level", level, 0, 1)
    value = image.amax(1, keepdim=True)
    raised = (value + level).clamp(max=1)
    black = value <= 0
    out = torch.where(black, raised, image * raised / torch.where(black, 1.0, value))
    return image if level == 0 else out.clamp(0, 1)


@PERTURBATIONS.register(
    "pixelate", unit="1", identity=1.0, span=(0.25, 1), keeps="large shapes", source=SOURCE,
    severities=(0.6, 0.5, 0.4, 0.3, 0.25),
)  # fmt: skip
def pixelate(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Reduce to the share level of the rows and columns (means), and enlarge again without smoothing."""
    check_range("level", level, 0, 1, open_low=True)
    if level == 1:
        return image
    small = [max(1, int(side * level)) for side in image.shape[-2:]]
    return F.interpolate(F.interpolate(image, small, mode="area"), image.shape[-2:], mode="nearest-exact").clamp(0, 1)


@PERTURBATIONS.register(
    "jpeg", unit="100 - quality", identity=0.0, span=(0, 93), keeps="coarse structure of 8x8 blocks", source=SOURCE,
    severities=(75, 82, 85, 90, 93),
)  # fmt: skip
def jpeg(image: Tensor, level: float, *, seed: int = 0) -> Tensor:
    """Code as JPEG of quality 100 - level (rounded) and decode: the codec itself (Pillow), in 8 bits, on the CPU.

    Raises:
        ValueError: if the level is not in 0 (no JPEG) to 99.
    """
    check_range("level", level, 0, 99)
    if level == 0:
        return image
    quality = max(1, 100 - round(level))
    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    coded = np.stack([_coded(one, quality) for one in pixels])
    return torch.from_numpy(coded).permute(0, 3, 1, 2).to(image) / 255


def _coded(pixels: np.ndarray, quality: int) -> np.ndarray:
    """An 8-bit RGB image (H,W,3) through the JPEG codec and back."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))
