"""Deletion, insertion and ROAD: what happens to the depth when pixels go, or come, in the order of an attribution."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depthprobe.models.adapter import DepthModel
from depthprobe.probes.measured import Measured
from depthprobe.probes.sparse_jobs import Canvas, Masker, Packer
from depthprobe.probes.sparse_judge import Judge
from depthprobe.probes.sparse_plan import REVERSED, Job

CONTROLS = ("random", "centre")
"""Selectors that know nothing of the network: an attribution that does no better has found nothing."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """Whether the first pixels of an order are removed or shown, and what stands in their place (None: the plan's)."""

    removes: bool
    fill: str | None = None

    def job(self, image: int, selector: str, share: float, fill: str) -> Job:
        """The masked image at one share: what is removed first is what the reversed order keeps last."""
        order, kept = (selector + REVERSED, 1 - share) if self.removes else (selector, share)
        return Job(image, order, self.fill or fill, kept)


CURVES = {"deletion": Curve(True), "insertion": Curve(False), "road": Curve(True, "road")}
"""Deletion and insertion (Petsiuk et al. 2018, arXiv:1806.07421); ROAD (Rong et al. 2022, arXiv:2202.00449), removed
pixels imputed from the others, so that their mere absence says less."""


def in_squares(score: Tensor, side: int) -> Tensor:
    """The scores (B,1,H,W) with the place of a pixel's square, by mean score, for every pixel of it (ties row by row).

    Convention: squares of side x side pixels from the top-left corner, those at the right and lower border may be cut.
    """
    mean = functional.avg_pool2d(score.double(), side, ceil_mode=True)
    order = mean.flatten(1).argsort(dim=1, stable=True)
    number = torch.arange(order.shape[1], device=order.device).expand_as(order)
    place = torch.empty_like(order).scatter_(1, order, number)
    whole = place.view(mean.shape).repeat_interleave(side, 2).repeat_interleave(side, 3)
    return whole[..., : score.shape[-2], : score.shape[-1]].to(score.dtype)


class Tracer:
    """Follows orders of pixels through every curve of a plan.

    Convention: every pixel of the canvas is in the order, also where nothing is judged. With squares of more than one
    pixel, whole squares are removed and shown, those of controls as well, so that all orders make holes of one kind.
    """

    def __init__(
        self, model: DepthModel, canvas: Canvas, judge: Judge, packer: Packer,
        *, curves: Sequence[str], shares: Sequence[float], fill: str, square: int = 1,
    ) -> None:  # fmt: skip
        self._model, self._judge, self._packer = model, judge, packer
        self._canvas = dataclasses.replace(canvas, domain=torch.ones_like(canvas.domain))
        self._points = list(itertools.product(curves, shares))
        self._fill, self._square = fill, square

    def follow(self, selector: str, score: Tensor | None = None) -> list[Measured]:
        """Values along every curve of a registered selector, or of the user's `score` (B,1,h,w) as `rank_map`."""
        images = range(len(self._canvas.image))
        if self._square > 1:
            known = Masker(self._model, self._canvas, 1)
            base = torch.cat([known.rank(i, selector).float() for i in images]) if score is None else score
            selector, score = "rank_map", in_squares(base, self._square)
        maps = self._canvas.maps if score is None else {"rank": score}
        masker = Masker(self._model, dataclasses.replace(self._canvas, maps=maps), self._packer.size)
        jobs = [CURVES[c].job(i, selector, share, self._fill) for i in images for c, share in self._points]

        def measure(some: Sequence[Job]) -> np.ndarray:
            return self._judge(self._model(masker.masked(some)), [job.image for job in some])

        if not jobs:
            return []
        found = np.concatenate(list(self._packer.run(jobs, measure)))
        values = torch.from_numpy(found).view(len(images), len(self._points), -1)
        return [
            Measured(_named(metric, curve), values[:, p, m], level=share)
            for p, (curve, share) in enumerate(self._points)
            for m, metric in enumerate(self._judge.metrics)
        ]


def _named(metric: str, curve: str) -> str:
    """`abs_rel@deletion` against the truth, `abs_rel@deletion.self` against the network's own full prediction."""
    name, _, against = metric.partition("@")
    return f"{name}@{curve}" + (f".{against}" if against else "")
