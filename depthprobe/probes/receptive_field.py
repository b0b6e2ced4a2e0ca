"""How far away are the pixels that move the depth at a pixel? The effective receptive field."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from depthprobe.checks import check_range
from depthprobe.data.batch import Batch
from depthprobe.functional.protocol import Protocol, get_protocol
from depthprobe.functional.queries import check_queries, query_pixels
from depthprobe.functional.receptive import (
    canvas_side,
    distance_profile,
    erf_beyond,
    erf_radius,
    erf_undefined,
    input_energy,
)
from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import evaluating
from depthprobe.probes.fields import check_height, per_pixel, read_protocol, sides
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.probes.sparse_jobs import Canvas, Packer


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReceptiveFieldPlan:
    """At how many pixels is looked, and which radii and shares are stated.

    Convention:
        protocol: a Protocol or the name of one; only says which pixels may be queries.
        queries: pixels per image, a multiple of 3, the same as the probe `context` draws (`query_pixels`).
        shares: of the energy, whose radii are stated, in (0, 1].
        radii: of square windows, in pixels, outside which the energy is stated; down to whole pixels of the canvas.
        height: rows of the image in whose pixels lengths are stated, whatever a network reads, so that networks which
            read other sizes can be compared; None: in pixels of the network's own canvas.
        batch: images per forward pass (a matter of speed and memory only).
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    queries: int = 6
    shares: tuple[float, ...] = (0.5, 0.9)
    radii: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    height: int | None = None
    batch: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        object.__setattr__(self, "shares", tuple(float(share) for share in dict.fromkeys(self.shares)))
        object.__setattr__(self, "radii", tuple(dict.fromkeys(self.radii)))
        for share in self.shares:
            check_range("share", share, 0, 1, open_low=True)
        for radius in self.radii:
            check_range("radius", radius, 0, 1e6)
        check_queries(self.queries)
        check_height(self)
        check_range("batch", self.batch, 1, 1e6)

    def passes(self) -> int:
        """Forward passes per image; as many backward passes follow as there are queries."""
        return 1


@PROBES.register(
    "receptive_field",
    plan=ReceptiveFieldPlan,
    axes={"factor": "quantity", "level": "share_or_radius"},
    quick={"queries": 3},
)
def receptive_field(model: DepthModel, batch: Batch, plan: ReceptiveFieldPlan) -> pd.DataFrame:
    """Rows of the effective receptive field, the mean over the image's queries.

    Convention: on the network's own canvas, whose `canvas_side` is stated as factor "height" and "width", in its own
    pixels; all other lengths are in those of the plan. Energy = the
    squared gradient of the raw output at a query by the image in [0,1]; shares of it do not depend on the output's
    scale. Factor "radius": `erf_radius` by level = share of the energy; factor "beyond": `erf_beyond` by level =
    radius; each also over the nearest and the farthest third of the queries (`@near`, `@far`). `erf_undefined`: the
    share of the queries that no pixel moves, which the means leave out.

    Raises:
        ValueError: if the protocol refuses the network's output kind or does not fit the images, or the network cannot
            be differentiated by its image.
    """
    plan.protocol.check(model.card.output)
    batch, protocol = as_read(batch, plan.protocol)
    canvas = Canvas.of(model, batch, plan.seed, protocol)
    index, found = query_pixels(canvas.depth, canvas.judged(protocol), plan.queries, canvas.seeds)

    pixel = per_pixel(plan.height, sides(canvas.image), sides(batch.image))
    finest = max(pixel)  # distances are counted in its pixels, so that none is lost where a canvas is stretched
    lengths = (finest / pixel[0], finest / pixel[1])

    def look(some: Sequence[int]) -> Tensor:
        mine = torch.tensor(some, device=index.device)
        return distance_profile(input_energy(model, canvas.image[mine], index[mine]), index[mine], lengths)

    with evaluating(model):
        profile = torch.cat(list(Packer(plan.batch, canvas.image).run(range(len(batch)), look)))
    return frame(batch.sample, list(_measured(profile, found, canvas.image, plan, finest)))


def _measured(
    profile: Tensor, found: Tensor, image: Tensor, plan: ReceptiveFieldPlan, pixel: float
) -> Iterator[Measured]:
    for share in plan.shares:
        yield from _parts("erf_radius", erf_radius(profile, share) / pixel, found, "radius", share)
    for radius in plan.radii:
        beyond = erf_beyond(profile, math.floor(radius * pixel + 1e-6))
        yield from _parts("erf_beyond", beyond, found, "beyond", float(radius))
    yield Measured("erf_undefined", erf_undefined(profile, found))
    for name, side in zip(("height", "width"), canvas_side(image), strict=True):
        yield Measured("canvas_side", torch.full((len(image),), float(side)), factor=name)


def _parts(metric: str, value: Tensor, found: Tensor, factor: str, level: float) -> Iterator[Measured]:
    """The mean over all queries (B,Q) that exist, over the nearest third and over the farthest."""
    value, third = value.where(found, torch.nan), found.shape[1] // 3
    for suffix, part in (("", slice(None)), ("@near", slice(0, third)), ("@far", slice(-third, None))):
        yield Measured(metric + suffix, value[:, part].nanmean(1), factor=factor, level=level)
