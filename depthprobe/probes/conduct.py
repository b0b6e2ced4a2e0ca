"""Does a network behave as it is declared? Numbers or none, signs, range, chance, batches, modes, scale and kind."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from depthprobe.checks import check_one_of
from depthprobe.data.batch import Batch
from depthprobe.functional import conduct as quantities
from depthprobe.functional.conversion import DEPTH_KINDS, OUTPUT_KINDS
from depthprobe.functional.geometry import resize_map
from depthprobe.functional.protocol import Protocol, get_protocol, prepare
from depthprobe.functional.selection import sample_seeds
from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import evaluating, seeded, training
from depthprobe.probes.fields import read_lists, read_protocol
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.probes.sparse_jobs import out_of_memory

COMPANION = 0.5
"""The image that shares a batch with another is its mirror image, so much darker."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConductPlan:
    """What outputs are held against.

    Convention:
        protocol: a Protocol or the name of one; says which pixels have a truth, and the range of depth. Which kinds it
            accepts does not matter here: each is aligned by the method made for it.
        kinds: the output kinds that are tried. The seed decides chance inside the network.
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    kinds: tuple[str, ...] = OUTPUT_KINDS
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        read_lists(self, (), ("kinds",))
        for kind in self.kinds:
            check_one_of("kind", kind, OUTPUT_KINDS)

    def passes(self) -> int:
        """Forward passes per image: two alone, two in a batch of two, two in train mode (6)."""
        return 6


@PROBES.register("conduct", plan=ConductPlan, axes={"factor": "kind"})
def conduct(model: DepthModel, batch: Batch, plan: ConductPlan) -> pd.DataFrame:
    """Rows of how the network behaves, whatever it is declared to be; every image is read alone.

    Convention: of the raw output on the network's canvas, all pixels: `nan_share`, `spread`, and where the declared
    kind allows no such values `nonpositive_share` (depths). `repeat_difference`: two passes; `batch_difference`: alone
    and in a batch of two; `image_difference`: the two images of that batch; `train_difference`: eval and train mode,
    with two images in the batch. Where there is a truth: `out_of_range_share` (metres beyond the protocol's depths);
    `scale`: median prediction over median truth, of metric depth; `order`: rank correlation with the truth;
    `kind_error`, factor = an output kind: `abs_rel` if the output were of that kind, so aligned. NaN where a row does
    not apply, or the network cannot run in that way.
    """
    batch, protocol = as_read(batch, plan.protocol)
    image = model.canvas(batch.image)
    seeds = sample_seeds(batch.sample, plan.seed)
    each = [_answers(model, one, seed) for one, seed in zip(image.split(1), seeds, strict=True)]
    seen = Answers(*(torch.cat(some) for some in zip(*each, strict=True)))
    return frame(batch.sample, [*_behaviour(seen, model.card.output),
                                *_against_truth(seen.first, batch, model.card.output, protocol, plan)])  # fmt: skip


class Answers(NamedTuple):
    """Answers (B,1,h,w) to the same images: twice alone, beside another image, in train mode; NaN: no answer.

    Convention: `other` are those to the other image.
    """

    first: Tensor
    again: Tensor
    beside: Tensor
    other: Tensor
    trained: Tensor


def _answers(model: DepthModel, image: Tensor, seed: int) -> Answers:
    """The answers to one image (1,3,h,w)."""
    pair = torch.cat([image, COMPANION * image.flip(-1)])
    with torch.no_grad():
        with evaluating(model), seeded(seed, image.device):
            first, again = model(image), model(image)
        with evaluating(model):
            beside, other = _attempt(model, pair, seed, first)
        with training(model):
            trained, _ = _attempt(model, pair, seed, first)
    return Answers(first, again, beside, other, trained)


def _attempt(model: DepthModel, pair: Tensor, seed: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The answers to a pair; NaN if the network refuses such a batch or mode, in whatever way foreign code does."""
    with seeded(seed, pair.device):
        try:
            out: Tensor = model(pair)
        except Exception as error:
            if out_of_memory(error):
                raise
            out = torch.full_like(like, torch.nan).expand(2, -1, -1, -1)
    return out[:1], out[1:]


def _behaviour(seen: Answers, kind: str) -> Iterator[Measured]:
    first, unknown = seen.first, torch.full((len(seen.first),), torch.nan, dtype=torch.float64)
    yield Measured("nan_share", quantities.nan_share(first))
    yield Measured("nonpositive_share", quantities.nonpositive_share(first) if kind in DEPTH_KINDS else unknown)
    yield Measured("spread", quantities.spread(first))
    yield Measured("repeat_difference", quantities.repeat_difference(first, seen.again))
    yield Measured("batch_difference", quantities.batch_difference(first, seen.beside))
    yield Measured("image_difference", quantities.image_difference(first, seen.other))
    yield Measured("train_difference", quantities.train_difference(first, seen.trained))


def _against_truth(raw: Tensor, batch: Batch, kind: str, protocol: Protocol, plan: ConductPlan) -> Iterator[Measured]:
    anything = dataclasses.replace(protocol, alignment=tuple((one, "auto") for one in OUTPUT_KINDS))
    _, mask = prepare(raw, batch.depth, batch.valid, kind="metric_depth", protocol=anything)
    whole = resize_map(raw.float(), (batch.depth.shape[-2], batch.depth.shape[-1]), mode=protocol.resize)
    for name, value in (
        ("out_of_range_share", quantities.out_of_range_share(whole, mask, protocol.min_depth, protocol.max_depth)),
        ("scale", quantities.scale(whole, batch.depth, mask)),
    ):
        yield Measured(name, value if kind == "metric_depth" else torch.full_like(value, torch.nan))
    yield Measured("order", quantities.order(whole, batch.depth, mask))
    for one in plan.kinds:
        aligned, mask = prepare(raw, batch.depth, batch.valid, kind=one, protocol=anything)
        yield Measured("kind_error", quantities.kind_error(aligned, batch.depth, mask), factor=one)
