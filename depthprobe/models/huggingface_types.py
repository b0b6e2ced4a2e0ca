"""What transformers' depth networks give and how they read: their output kinds, layers and image processors.

An entry of TYPES is a model type; its function says the output kind from the configuration. Facts: `processor`, its
image processor; `layers`, patterns of the names of the encoder's layers and of the decoder's; `back`, how its
post-processing resizes the map; `answer`, the map in what the network returns; `inverse`, whether that is the depth's
reciprocal.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.models.reading import Reading
from depthprobe.registry import Registry

TYPES = Registry("depth type of transformers")
PROCESSORS = Registry("image processor")
BLOCKS = r"(backbone|dpt)\.(\w+\.)?layers?\.\d+"
FUSION = r"neck\.fusion_stage\.layers\.\d+"
SPREAD = 4
"""So many of an encoder's layers are read, evenly spread, the last included."""
IDLE = re.compile(r"fusion_stage\.layers\.0\.residual_layer1\.|fusion_layers\.0\.residual_layer1\.")
"""Weights that files may lack, since the first fusion layer has nothing to add and never runs them."""
LARGEST = 10_000
RESAMPLING = {2: "bilinear", 3: "bicubic"}


def predicted_depth(found: Any) -> Tensor:
    """The map (B,h,w) where the network gives what its kind says."""
    out: Tensor = found.predicted_depth
    return out


def depth_pro_inverse(found: Any) -> Tensor:
    """Inverse depth (B,h,w) from Depth Pro's for a focal length of one image's width, and its field of view.

    Convention: without the field of view every image has a scale of its own.
    """
    inverse: Tensor = found.predicted_depth
    if found.field_of_view is not None:
        inverse = inverse * 2 * torch.tan(torch.deg2rad(found.field_of_view).view(-1, 1, 1) / 2)
    return inverse


@TYPES.register("dpt", processor="DPTImageProcessor", layers=(BLOCKS, FUSION), back="bicubic")
def dpt(config: Any) -> str:
    """MiDaS's disparity; metres where a projection comes before the head, as in DINOv2's networks for NYU and KITTI."""
    return "metric_depth" if config.add_projection else "affine_disparity"


@TYPES.register("depth_anything", processor="DPTImageProcessor", layers=(BLOCKS, FUSION), back="bicubic")
def depth_anything(config: Any) -> str:
    """Disparity, or metres where it was trained for them."""
    return "metric_depth" if config.depth_estimation_type == "metric" else "affine_disparity"


@TYPES.register(
    "prompt_depth_anything", processor="PromptDepthAnythingImageProcessor", layers=(BLOCKS, FUSION), back="bicubic"
)
def prompt_depth_anything(config: Any) -> str:
    """Without a prompt, the depth that a prompt's range would be applied to: scale and shift are unknown."""
    return "affine_depth"


@TYPES.register(
    "zoedepth", processor="ZoeDepthImageProcessor", layers=(r"backbone\.(\w+\.)?layers?\.\d+", FUSION), back="bicubic"
)
def zoedepth(config: Any) -> str:
    """Metres, by bins."""
    return "metric_depth"


@TYPES.register(
    "glpn",
    processor="GLPNImageProcessor",
    layers=(r"glpn\.encoder\.block\.\d+\.\d+", r"decoder\.stages\.\d+"),
    back="bicubic",
)
def glpn(config: Any) -> str:
    """Metres, up to a largest depth."""
    return "metric_depth"


@TYPES.register(
    "depth_pro",
    processor="DepthProImageProcessor",
    layers=(r"depth_pro\.encoder\.image_encoder\.model\.encoder\.layer\.\d+", r"fusion_stage\.intermediate\.\d+"),
    back="bilinear",
    answer=depth_pro_inverse,
    inverse=True,
)
def depth_pro(config: Any) -> str:
    """Metres where it estimates the field of view, otherwise up to scale."""
    return "metric_depth" if config.use_fov_model else "scale_depth"


@TYPES.register("tipsv2_dpt", processor="Tipsv2DptImageProcessor", layers=(BLOCKS, FUSION), back="bilinear")
def tipsv2_dpt(config: Any) -> str:
    """Metres, by bins."""
    return "metric_depth"


@TYPES.register(
    "chmv2",
    processor="CHMv2ImageProcessor",
    layers=(r"backbone\.model\.layer\.\d+", r"head\.fusion_layers\.\d+"),
    back="corners",
)
def chmv2(config: Any) -> str:
    """Heights of canopies seen from above, which no kind of depth is: the user says what to take them for."""
    return ""


def reading_layers(net: nn.Module, patterns: Sequence[str], prefix: str = "model.") -> tuple[str, ...]:
    """Names of the layers to read: some of the encoder's, evenly spread, then all of the decoder's."""
    names = [name for name, _ in net.named_modules()]
    encoder, decoder = ([n for n in names if re.fullmatch(re.escape(prefix) + p, n)] for p in patterns)
    spread = {len(encoder) * (i + 1) // SPREAD - 1 for i in range(SPREAD)}
    return (*(name for i, name in enumerate(encoder) if i in spread), *decoder)


def reading_of(processor: Any, facts: dict[str, Any]) -> tuple[Reading, tuple[float, ...], tuple[float, ...]]:
    """How an image processor reads an image, and its mean and standard deviation for an image in [0,1].

    Raises:
        ValueError: if it is another type's, does what cannot be done here, or a number of it is none.
    """
    name = type(processor).__name__.removesuffix("Pil").removesuffix("Fast")
    if name not in PROCESSORS:
        raise ValueError(
            f"Expected an image processor of {PROCESSORS.names()}, but got {name}; open the network by py:."
        )
    own = facts.get("processor", name)
    if PROCESSORS[own] is not PROCESSORS[name]:
        raise ValueError(
            f"Expected the image processor of a {facts['type']} network, {own}, but got {name}; is the file of another "
            "network? If this one was trained so, open it by py:."
        )
    if getattr(processor, "do_center_crop", None):
        raise ValueError(f"Expected an image processor that keeps the whole image, but {name} crops its centre.")
    gain = 255 * _positive(processor, "rescale_factor")[0] if processor.do_rescale else 255.0
    normalise = processor.do_normalize
    mean = tuple(m / gain for m in _numbers(processor, "image_mean", 3)) if normalise else (0.0,) * 3
    std = tuple(s / gain for s in _positive(processor, "image_std", 3)) if normalise else (1 / gain,) * 3
    reading: Reading = PROCESSORS[name](processor)
    return dataclasses.replace(reading, back=facts["back"], inverse=facts.get("inverse", False)), mean, std


def _numbers(processor: Any, name: str, count: int = 1) -> tuple[float, ...]:
    said: Any = getattr(processor, name, None)
    try:
        numbers = tuple(float(x) for x in (said if isinstance(said, list | tuple) else [said]))
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        what = "a number" if count == 1 else f"{count} numbers"
        raise ValueError(f"Expected `{name}` to be {what}, but got {said!r}; correct the image processor's file.")
    return numbers


def _positive(processor: Any, name: str, count: int = 1) -> tuple[float, ...]:
    numbers = _numbers(processor, name, count)
    if min(numbers) <= 0:
        raise ValueError(f"Expected `{name}` to be positive, but got {numbers}; correct the image processor's file.")
    return numbers


def _multiple(processor: Any, name: str) -> int:
    """A whole number that sides are a multiple of; 1 where none is said."""
    number = _positive(processor, name)[0] if getattr(processor, name, None) else 1.0
    if number != int(number):
        raise ValueError(f"Expected `{name}` to be whole, but got {number}; correct the image processor's file.")
    return int(number)


def _filter(processor: Any) -> str:
    code = int(_numbers(processor, "resample")[0])
    if code not in RESAMPLING:
        raise ValueError(
            f"Expected `resample` to be one of {RESAMPLING}, but got {code}; open the network by py: to resize so."
        )
    return RESAMPLING[code]


def _size(processor: Any) -> tuple[int, int]:
    size = processor.size
    sides = [size[k] if isinstance(size, dict) else getattr(size, k, None) for k in ("height", "width")]
    whole = [int(side) for side in sides if isinstance(side, int | float) and 0 < side <= LARGEST and side % 1 == 0]
    if len(whole) != 2:
        raise ValueError(
            f"Expected `size` of the image processor to have whole sides in 1..{LARGEST}, but got {sides}."
        )
    return whole[0], whole[1]


@PROCESSORS.register("DPTImageProcessor")
@PROCESSORS.register("CHMv2ImageProcessor")
@PROCESSORS.register("PromptDepthAnythingImageProcessor")
def read_as_dpt(p: Any) -> Reading:
    """A size, the aspect kept or not, sides of a multiple; then a frame up to a divisor."""
    reading = Reading()
    if p.do_resize:
        aspect = "keep" if p.keep_aspect_ratio else "stretch"
        reading = Reading(size=_size(p), multiple=_multiple(p, "ensure_multiple_of"), aspect=aspect, filter=_filter(p))
    if p.do_pad and p.size_divisor:
        reading = dataclasses.replace(reading, frame="zero", divisor=_multiple(p, "size_divisor"))
    return reading


@PROCESSORS.register("ZoeDepthImageProcessor")
def read_as_zoedepth(p: Any) -> Reading:
    """A mirrored frame, whose width depends on the image, is resized together with it: the canvas is the image."""
    inner = Reading(
        size=_size(p), multiple=_multiple(p, "ensure_multiple_of"), aspect="keep" if p.keep_aspect_ratio else "stretch",
        filter=_filter(p), antialias=False, corners=True,
    )  # fmt: skip
    if not p.do_pad:
        return inner if p.do_resize else Reading()
    return Reading(frame="reflect", inner=inner if p.do_resize else None)


@PROCESSORS.register("GLPNImageProcessor")
def read_as_glpn(p: Any) -> Reading:
    """The image's own size, rounded down to a multiple."""
    return (
        Reading(multiple=_multiple(p, "size_divisor"), rounding="down", filter=_filter(p)) if p.do_resize else Reading()
    )


@PROCESSORS.register("DepthProImageProcessor")
def read_as_depth_pro(p: Any) -> Reading:
    """One size, without antialiasing."""
    return Reading(size=_size(p), filter=_filter(p), antialias=False) if p.do_resize else Reading()


@PROCESSORS.register("Tipsv2DptImageProcessor")
def read_as_tipsv2(p: Any) -> Reading:
    """One size."""
    return Reading(size=_size(p), filter=_filter(p)) if p.do_resize else Reading()
