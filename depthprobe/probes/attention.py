"""How far does a Transformer's attention reach, layer by layer and head by head?"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from depthprobe.checks import check_range
from depthprobe.data.batch import Batch
from depthprobe.functional.attention import attention_distance, attention_layers
from depthprobe.models.adapter import DepthModel
from depthprobe.models.attention import AttentionMap, capture_attention
from depthprobe.models.attention_taps import HOW, attention_modules
from depthprobe.models.hooks import evaluating
from depthprobe.probes.fields import check_height, per_pixel, sides
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.registry import PROBES
from depthprobe.probes.sparse_jobs import Packer

ATTENDING = ("transformer", "hybrid")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionPlan:
    """What is stated of every attention layer.

    Convention:
        heads: also state every head by itself.
        height: rows of the image in whose pixels lengths are stated, whatever a network reads, so that networks which
            read other sizes can be compared; None: in pixels of the network's own canvas.
        batch: images per forward pass (a matter of speed and memory only).
    """

    heads: bool = True
    height: int | None = None
    batch: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        check_height(self)
        check_range("batch", self.batch, 1, 1e6)

    def passes(self) -> int:
        """Forward passes per image."""
        return 1


@PROBES.register("attention", plan=AttentionPlan, axes={"layer": "layer", "factor": "of", "level": "head"})
def attention(model: DepthModel, batch: Batch, plan: AttentionPlan) -> pd.DataFrame:
    """Rows of the mean attention distance by layer, in pixels, and of the number of layers.

    Convention: whole images, whatever a protocol judges, with the frame that some networks put around them. Factor "":
    the mean over heads, and `@uniform`, what a network would have that attends to all that it may alike (its windows
    alone then decide); factor "head": one head, level = its number. `attention_layers` counts those that ran; 0 for a
    network without attention, which has no other rows.

    Raises:
        ValueError: if a Transformer's attention cannot be read, or the layout of its tokens is not known.
    """
    names = attention_modules(model.net)
    if not names and model.card.family in ATTENDING:
        raise ValueError(
            f"Expected attention layers that can be read ({HOW}) in {model.card.name}, a {model.card.family}, but "
            "found none; leave out the probe `attention`, or name the dropout of its softmax `attn_drop`."
        )
    return frame(batch.sample, list(_layers(model, batch, plan, any_attend=bool(names))))


def _layers(model: DepthModel, batch: Batch, plan: AttentionPlan, *, any_attend: bool) -> Iterator[Measured]:
    image = model.canvas(batch.image)
    canvas = sides(image)
    size = model.reading.input_size(*canvas)
    first, last = model.reading.entered((0, 0), canvas), model.reading.entered(canvas, canvas)
    inside = (last[0] - first[0], last[1] - first[1])  # what shows the canvas, without its frame
    pixel = per_pixel(plan.height, inside, sides(batch.image))
    read = functools.partial(_distances, pixel=torch.tensor(pixel, dtype=torch.float64))

    def look(some: Sequence[int]) -> dict[str, tuple[Tensor, Tensor]]:
        if not any_attend:
            model(image[list(some)])
            return {}
        with capture_attention(model.net, read, size=size) as found:
            model(image[list(some)])
        return found

    with torch.no_grad(), evaluating(model):
        parts = list(Packer(plan.batch, image).run(range(len(batch)), look))
    yield Measured("attention_layers", torch.full((len(batch),), float(attention_layers(list(parts[0])))))
    for name in parts[0]:
        heads, uniform = (torch.cat([part[name][k] for part in parts]) for k in (0, 1))
        yield Measured("attention_distance", heads.mean(1), layer=name)
        yield Measured("attention_distance@uniform", uniform, layer=name)
        for head in range(heads.shape[1] if plan.heads else 0):
            yield Measured("attention_distance", heads[:, head], layer=name, factor="head", level=float(head))


def _distances(seen: AttentionMap, pixel: Tensor) -> tuple[Tensor, Tensor]:
    """The distances of every head (B,heads), and that of uniform attention (B,), in pixels of this height and width."""
    queries, keys = seen.queries / pixel, seen.keys / pixel
    heads = attention_distance(seen.weights, queries, keys)
    uniform = attention_distance(seen.uniform(), queries, keys).flatten()
    return heads, uniform.to(heads.device).expand(len(heads))
