"""From how few pixels, and which ones, does a network still give its depth?

The network's answer to masked images, by selector, budget and fill: against the truth and against its own full answer.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from depthprobe.data.batch import Batch
from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import evaluating
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.probes.sparse_jobs import Canvas, Masker, Packer
from depthprobe.probes.sparse_judge import Judge, full_predictions
from depthprobe.probes.sparse_maps import sparse_maps
from depthprobe.probes.sparse_plan import Job, SparsePlan, all_jobs
from depthprobe.probes.sparse_where import Where
from depthprobe.schema import MEASURED

__all__ = ["SparsePlan", "sparse"]


@PROBES.register(
    "sparse",
    plan=SparsePlan,
    axes={"factor": "selector", "level": "budget", "factor2": "fill"},
    maps=sparse_maps,
    quick={"selectors": ("random", "image_edges", "depth_edges"), "reverse": (), "budgets": (0.05, 0.2, 0.5, 1.0)},
    whole={"fills": ("mean", "blur")},  # a masked image is out of distribution: no conclusion rests on one fill
)
def sparse(model: DepthModel, batch: Batch, plan: SparsePlan) -> pd.DataFrame:
    """Rows of the protocol's metrics by selector, budget and fill, against truth and `@self`; and `share@region`.

    Convention: pixels are removed on the network's own canvas; those outside the protocol's crop are kept last and
    do not count in where the kept pixels lie. `share@depth_edge` is the share of the kept pixels (with
    valid depth) on GT depth edges, `enrichment@depth_edge` that share over a random subset's; both without fill.

    Raises:
        ValueError: if the protocol refuses the network's output kind, or a selector needs what the batch lacks.
    """
    plan.protocol.check(model.card.output)
    batch, protocol = as_read(batch, plan.protocol)
    with torch.no_grad(), evaluating(model):
        canvas = Canvas.of(model, batch, plan.seed, protocol)
        packer = Packer(plan.batch, canvas.image)
        masker = Masker(model, canvas, plan.batch)
        full = full_predictions(model, canvas, packer)
        judge = Judge(full, batch, protocol, model.card.output)

        where = Where(canvas, masker, plan.budgets if plan.where else ())

        def measure(some: Sequence[Job]) -> np.ndarray:
            values = judge(model(masker.masked(some)), [job.image for job in some])
            where.see((job.image, job.selector) for job in some)
            return values

        jobs = all_jobs(len(batch), plan)
        whole = judge(full, range(len(batch)))
        parts = list(packer.run(jobs, measure))
        frames = [_frame(batch.sample, jobs, judge.metrics, np.concatenate(parts) if parts else whole[:0])]
        if 1 in plan.budgets:
            same = [Job(*job, 1.0) for job in itertools.product(range(len(batch)), plan.orders(), plan.fills)]
            frames.append(_frame(batch.sample, same, judge.metrics, whole[[job.image for job in same]]))
        if plan.where:
            where.see(itertools.product(range(len(batch)), plan.orders()))
            places = [Job(*key, "", budget) for key in where.found for budget in plan.budgets]
            frames.append(_frame(batch.sample, places, where.metrics, np.concatenate(list(where.found.values()))))
    return pd.concat(frames, ignore_index=True)


def _frame(sample: Sequence[str], jobs: Sequence[Job], metrics: Sequence[str], values: np.ndarray) -> pd.DataFrame:
    """Values (J, metrics) as rows: one frame for all jobs, since many small ones take longer than the network."""
    count = len(metrics)
    columns = {
        "sample": np.repeat([sample[job.image] for job in jobs], count),
        "layer": "",
        "factor": np.repeat([job.selector for job in jobs], count),
        "level": np.repeat(np.array([job.budget for job in jobs], dtype=float), count),
        "factor2": np.repeat([job.fill for job in jobs], count),
        "level2": float("nan"),
        "metric": np.tile(list(metrics), len(jobs)),
        "value": values.ravel(),
    }
    return pd.DataFrame(columns)[MEASURED]
