"""How much of the image around a pixel does its depth need?

The error at single pixels while only a window around them is visible, or hidden, as a curve over the window's radius.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from depthprobe.checks import check_one_of, check_range
from depthprobe.data.batch import Batch
from depthprobe.functional.alignment import fit_maps
from depthprobe.functional.filling import FILLS, fill_pixels
from depthprobe.functional.metrics import METRICS, Terms, Truth, measure
from depthprobe.functional.protocol import Protocol, get_protocol
from depthprobe.functional.queries import check_queries, query_pixels
from depthprobe.functional.regions import REGIONS
from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import evaluating
from depthprobe.probes.fields import check_height, per_pixel, read_lists, read_protocol, sides
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.probes.sparse_jobs import Canvas, Packer
from depthprobe.probes.sparse_judge import full_predictions

VIEWS = ("visible", "hidden")
BANDS = ("near", "mid", "far")
PIXELWISE = tuple(n for n in METRICS if METRICS.facts(n).get("scope") == "pixel" and "terms" in METRICS.facts(n))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContextPlan:
    """At how many pixels is looked, through which windows.

    Convention:
        protocol: a Protocol or the name of one; its metrics are not used, its `flip` neither.
        queries: pixels per image, a multiple of 3, drawn among those that the protocol judges by the rule of
            `query_pixels`: one from each of as many equal parts in the order of depth.
        radii: of square windows of side 2r + 1, in pixels, cut at the canvas's border.
        height: rows of the image in whose pixels lengths are stated, whatever a network reads, so that networks which
            read other sizes can be compared; None: in pixels of the network's own canvas.
        views: "visible": all but the window is replaced; "hidden": the window is.
        fills: registered names; metrics: registered names of scope "pixel".
        batch: masked images per forward pass (a matter of speed and memory only).
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    queries: int = 6
    radii: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    height: int | None = None
    views: tuple[str, ...] = VIEWS
    fills: tuple[str, ...] = ("mean",)
    metrics: tuple[str, ...] = ("abs_rel", "rmse_log")
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        read_lists(self, ("radii", "views", "fills", "metrics"))
        for name, known in (("views", VIEWS), ("fills", FILLS.names()), ("metrics", PIXELWISE)):
            for value in getattr(self, name):
                check_one_of(name, value, known)
        for radius in self.radii:
            check_range("radius", radius, 0, 1e6)
        check_queries(self.queries)
        check_height(self)
        check_range("batch", self.batch, 1, 1e6)

    def passes(self) -> int:
        """Forward passes per image: one of the whole image, and one per query, window, view and fill (73)."""
        return 1 + self.queries * len(self.radii) * len(self.views) * len(self.fills)


@PROBES.register(
    "context",
    plan=ContextPlan,
    axes={"factor": "view", "level": "radius", "factor2": "fill"},
    quick={"queries": 3, "radii": (4, 16)},
)
def context(model: DepthModel, batch: Batch, plan: ContextPlan) -> pd.DataFrame:
    """Rows of the errors at the query pixels by view, radius and fill, and of near against far pixels.

    Convention: all on the network's own canvas, the truth there by nearest neighbour. Factor "visible" or "hidden",
    level = radius (px), factor2 = fill; a value is the metric over the image's queries, each judged in the image whose
    window is around it: against the truth, against the network's answer to the whole image (`@self`), and over the
    nearest and the farthest third of the queries alone (`@near`, `@far`). Factor "whole": the same queries with the
    whole image visible, where the curve "visible" ends and the curve "hidden" begins. Factor "": `@near`, `@mid` and
    `@far` of all judged pixels, in thirds of the image's depths. Scale and shift, where the output kind leaves them
    open, are those of the whole image's answer, since one pixel cannot tell them. `ContextPlan.passes` forward passes
    per image.

    Raises:
        ValueError: if the protocol refuses the network's output kind, or does not fit the images.
    """
    method = plan.protocol.check(model.card.output)
    batch, protocol = as_read(batch, plan.protocol)
    with torch.no_grad(), evaluating(model):
        canvas = Canvas.of(model, batch, plan.seed, protocol)
        packer = Packer(plan.batch, canvas.image)
        pixel = per_pixel(plan.height, sides(canvas.image), sides(batch.image))
        judged = canvas.judged(protocol)
        index, found = query_pixels(canvas.depth, judged, plan.queries, canvas.seeds)
        full = full_predictions(model, canvas, packer)
        radii = torch.tensor(plan.radii)[:, None] * torch.tensor(pixel)
        seen = [_seen(model, canvas, index, fill, plan, radii, packer) for fill in plan.fills]
    fit = fit_maps(full[:, 0], canvas.depth[:, 0], judged[:, 0], model.card.output, method, protocol.floor)

    def depths(raw: Tensor) -> Tensor:
        """Aligned and clamped depth of raw answers (B,...)."""
        aligned = fit(raw.reshape(len(raw), 1, -1)).clamp(protocol.min_depth, protocol.max_depth)
        return aligned.nan_to_num(protocol.min_depth).view_as(raw)

    whole = depths(full)
    at = Queries(_at(canvas.depth, index), _at(whole, index), found)
    found_rows = [*_bands(whole, canvas, judged, plan.metrics), *at.whole(plan.metrics)]
    for fill, raw in zip(plan.fills, seen, strict=True):
        found_rows += at.curves(depths(raw), fill, plan)
    return frame(batch.sample, found_rows)


def windows(size: tuple[int, int], centre: Tensor, radius: Tensor) -> Tensor:
    """Windows (J,1,h,w) bool around pixels `centre` (J, row by row), cut at the border.

    Convention: radius (J,2): how many pixels they reach down and across.
    """
    y, x = (torch.arange(n, device=centre.device) for n in size)
    centre, radius = centre.view(-1, 1), radius + 1e-6
    rows = (y - centre // size[1]).abs() <= radius[:, :1]
    columns = (x - centre % size[1]).abs() <= radius[:, 1:]
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _at(maps: Tensor, index: Tensor) -> Tensor:
    """The values (B,Q) of maps (B,1,h,w) at pixels (B,Q)."""
    return maps.flatten(1).gather(1, index)


def _seen(
    model: DepthModel, canvas: Canvas, index: Tensor, fill: str, plan: ContextPlan, radii: Tensor, packer: Packer
) -> Tensor:
    """The network's raw answers (B, views, radii, Q) at the queries, each in an image of its own.

    Convention: radii (radii,2), in pixels of the canvas, down and across.
    """
    size = sides(canvas.image)
    count, device = index.shape[1], index.device
    shape = (len(index), len(plan.views), len(plan.radii), count)
    jobs = list(itertools.product(*(range(n) for n in shape)))
    radii = radii.to(device)

    def look(some: Sequence[tuple[int, ...]]) -> Tensor:
        image, view, radius, query = torch.tensor(some, device=device).T
        centre = index[image, query]
        window = windows(size, centre, radii[radius])
        shown = torch.tensor([name == "visible" for name in plan.views], device=device)[view]
        keep = window == shown.view(-1, 1, 1, 1)
        seeds = [canvas.seeds[i] for i in image.tolist()]
        masked = fill_pixels(fill, canvas.image[image], keep, seeds=seeds, mean=model.card.fill)
        return _at(model(masked), centre[:, None])[:, 0]

    return torch.cat(list(packer.run(jobs, look))).view(shape)


@dataclasses.dataclass(frozen=True)
class Queries:
    """The query pixels' true depth, the network's own answer to the whole image there, and which exist: (B,Q) all."""

    depth: Tensor
    own: Tensor
    found: Tensor

    def whole(self, metrics: Sequence[str]) -> Iterator[Measured]:
        """The queries with the whole image visible."""
        for name, value in self._judged(self.own[:, None], metrics):
            if not name.endswith("@self"):
                yield Measured(name, value[:, 0], factor="whole")

    def curves(self, pred: Tensor, fill: str, plan: ContextPlan) -> Iterator[Measured]:
        """The queries through every window; pred (B, views, radii, Q) in metres."""
        windows = list(itertools.product(plan.views, plan.radii))
        for name, value in self._judged(pred.flatten(1, 2), plan.metrics):
            for k, (view, radius) in enumerate(windows):
                yield Measured(name, value[:, k], factor=view, level=float(radius), factor2=fill)

    def _judged(self, pred: Tensor, metrics: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Metrics (B,K) of K answers at the queries, pred (B,K,Q)."""
        third = self.found.shape[1] // 3
        near, far = slice(0, third), slice(-third, None)
        parts = [("", self.depth, slice(None)), ("@self", self.own, slice(None))]
        parts += [("@near", self.depth, near), ("@far", self.depth, far)]
        batch, count = pred.shape[:2]
        index = [i for i in range(batch) for _ in range(count)]
        for suffix, depth, part in parts:
            truth = Truth(depth[:, None, None, part], self.found[:, None, None, part])
            values = measure(Terms(pred[:, :, part].flatten(0, 1)[:, None, None], truth, index), metrics)
            yield from ((name + suffix, value.view(batch, count)) for name, value in values.items())


def _bands(pred: Tensor, canvas: Canvas, judged: Tensor, metrics: Sequence[str]) -> Iterator[Measured]:
    """The error over all judged pixels of each third of the image's depths."""
    for band in BANDS:
        region = REGIONS[band](canvas.image, canvas.depth, judged) & judged
        for name, value in measure(Terms(pred, Truth(canvas.depth, region)), metrics).items():
            yield Measured(f"{name}@{band}", value)
