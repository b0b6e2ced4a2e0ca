"""What a gallery of the sparse probe shows: the image, its kept pixels, the prediction and the truth."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from depthprobe.data.batch import Batch
from depthprobe.functional.protocol import prepare
from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import evaluating
from depthprobe.probes.galleries import as_bytes, describe
from depthprobe.probes.reading import as_read
from depthprobe.probes.sparse_jobs import Canvas, Masker, Packer
from depthprobe.probes.sparse_judge import Judge, full_predictions
from depthprobe.probes.sparse_plan import Job, SparsePlan, all_jobs

SHOWN = (0.01, 0.05, 0.2, 0.5)
"""Budgets in galleries: of the plan's below 1, the nearest (in ratio) to these."""
LONGEST = 320
"""Larger images are thinned out to at most this many pixels per side (every second, third, ... row and column)."""


def sparse_maps(model: DepthModel, batch: Batch, plan: SparsePlan) -> list[dict[str, Any]]:
    """Dense maps of every sample and order at a few budgets, with the plan's first fill.

    Convention: image (H,W,3) uint8; depth (H,W) float32 metres, NaN where not judged; pred (H,W) float32 metres,
    aligned; keep (h,w) bool and masked (h,w,3) uint8 on the network's canvas; meta: a JSON string. Maps are thinned
    out to LONGEST, the metrics in `meta` are those of the whole maps.
    """
    plan.protocol.check(model.card.output)
    batch, protocol = as_read(batch, plan.protocol)
    shown = {min(plan.partial_budgets(), default=1.0, key=lambda b: abs(math.log(b / want))) for want in SHOWN}
    with torch.no_grad(), evaluating(model):
        canvas = Canvas.of(model, batch, plan.seed, protocol)
        packer = Packer(plan.batch, canvas.image)
        masker = Masker(model, canvas, plan.batch)
        judge = Judge(full_predictions(model, canvas, packer), batch, protocol, model.card.output)
        jobs = [job for job in all_jobs(len(batch), plan) if job.budget in shown and job.fill == plan.fills[0]]

        def draw(some: Sequence[Job]) -> list[dict[str, Any]]:
            return _entries(model, batch, plan, masker, judge, some)

        return [entry for entries in packer.run(jobs, draw) for entry in entries]


def _entries(
    model: DepthModel, batch: Batch, plan: SparsePlan, masker: Masker, judge: Judge, jobs: Sequence[Job]
) -> list[dict[str, Any]]:
    index = [job.image for job in jobs]
    masked, keep, part = masker.masked(jobs), masker.keep(jobs), batch.take(index)
    raw = model(masked)
    pred, mask = prepare(raw, part.depth, part.valid, kind=model.card.output, protocol=judge.protocol)
    values = judge(raw, index)
    depth, image, shown = part.depth.where(mask, torch.nan), as_bytes(thin(part.image)), as_bytes(thin(masked))
    depth, pred, keep = thin(depth).float().cpu(), thin(pred).float().cpu(), thin(keep).cpu()
    return [
        {
            "image": image[j],
            "depth": depth[j, 0].numpy(),
            "pred": pred[j, 0].numpy(),
            "keep": keep[j, 0].numpy(),
            "masked": shown[j],
            "meta": describe(
                model,
                batch,
                job.image,
                plan,
                "sparse",
                (job.selector, job.budget, job.fill),
                dict(zip(judge.metrics, values[j].tolist(), strict=True)),
            ),
        }
        for j, job in enumerate(jobs)
    ]


def thin(x: torch.Tensor) -> torch.Tensor:
    """Maps (B,C,H,W) with at most LONGEST pixels per side."""
    step = -(-max(x.shape[-2:]) // LONGEST)
    return x[..., ::step, ::step]
