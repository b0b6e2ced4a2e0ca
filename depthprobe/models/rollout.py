"""Attention rollout of a network: the pixels on which its last tokens rest; a selector, and an attribution method."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.attribution import ATTRIBUTIONS
from depthprobe.functional.rollout import ABNAR, Layer, mean_row, place_rows, read_layer, rollout, to_pixels
from depthprobe.functional.selection_core import SELECTORS, SelectorInput
from depthprobe.models.adapter import DepthModel
from depthprobe.models.attention import AttentionMap, capture_attention
from depthprobe.models.hooks import evaluating


@torch.no_grad()
def attention_rollout(
    model: DepthModel, image: Tensor, at: tuple[int, int] | None = None, *, heads: str = "mean", discard: float = 0.0
) -> Tensor:
    """Relevance (B,1,h,w) of the pixels of a network's canvas for its last tokens, >= 0, summing to 1.

    Convention: image (B,3,H,W) in [0,1]; (h,w) = `model.canvas_size(H, W)`; at: a pixel (y,x) of the canvas, whose
    token of the last attention layer is asked about; None: the mean over these tokens, without what a network's frame
    around the canvas receives. heads, discard: see
    `functional.rollout.read_layer`. A token shares its relevance evenly among its pixels. Images are read one after the
    other, so that not the last bit depends on the batch. Rollout knows no target, and nothing of what a decoder does
    with the tokens or takes from earlier stages. It is no finer than the finest of last tokens and keys: of PVT, whose
    keys of every stage stand for 32x32 pixels, as its last tokens do, it says nothing about what lies within these.

    Raises:
        ValueError: if the network has no attention that can be read (a CNN), tokens fit no known layout, or `at` is not
            on the canvas.
    """
    check_shapes(image=(image, "b 3 h w"))
    if not isinstance(model, DepthModel):
        raise ValueError(
            f"Expected `model` to be a DepthModel, whose attention can be read, but got {type(model).__name__}; "
            "give what `load_model` returns."
        )
    canvas = model.canvas(image)
    size = (int(canvas.shape[-2]), int(canvas.shape[-1]))
    for name, place, length in zip("yx", at or (), size, strict=False):
        check_range(f"at {name}", place, 0, length - 1)
    found = []
    given = model.reading.input_size(*size)
    with evaluating(model):
        for one in canvas.split(1):
            layers = _layers(model, one, given, heads=heads, discard=discard)
            places = [] if at is None else [model.reading.entered(at, size)]
            asked = place_rows(layers[-1], torch.tensor(places)) if places else mean_row(layers[-1])
            found.append(model.reading.unframed(to_pixels(rollout(layers, asked), layers[0], given), size))
    relevance = torch.cat(found).clamp_min(0)  # a bicubic way out of a frame may go below 0
    return (relevance / relevance.sum((2, 3), keepdim=True)).to(image.dtype)


def _layers(model: DepthModel, canvas: Tensor, size: tuple[int, int], *, heads: str, discard: float) -> list[Layer]:
    """The attention layers in the order in which they run, one that runs twice twice."""
    layers: list[Layer] = []

    def read(seen: AttentionMap) -> None:
        layers.append(read_layer(seen.weights, seen.queries, seen.keys, heads=heads, discard=discard))

    with capture_attention(model.net, read, size=size):
        model(canvas)
    return layers


def _score(model: object, image: Tensor) -> Tensor:
    """Rollout (B,1,H,W) at the size of the image, which is the canvas wherever probes ask."""
    found = attention_rollout(model, image)  # type: ignore[arg-type]  # refused there
    if found.shape[-2:] == image.shape[-2:]:
        return found
    found = F.interpolate(found, image.shape[-2:], mode="nearest-exact")
    return found / found.sum((2, 3), keepdim=True)


@SELECTORS.register("attention_rollout", needs=("model",), source=ABNAR)
def attention_rollout_selector(view: SelectorInput) -> Tensor:
    """Pixels by how much a Transformer's last tokens rest on them, by attention alone; a CNN has no such order."""
    return _score(view.model, view.image)


@ATTRIBUTIONS.register(
    "attention_rollout", answers="attention", signed=False, baseline="none", passes=lambda height, width: 1,
    random=False, source=ABNAR,
)  # fmt: skip
def attention_rollout_method(net: nn.Module, image: Tensor, baseline: Tensor, batch: int) -> Tensor:
    """Where a Transformer's attention may have brought information from; the same for every target."""
    return _score(net.model, image).expand(-1, 3, -1, -1) / 3
