"""Attributions of networks whose weights are known: what study 06 has to find before it speaks about any other."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from depthprobe.data import Batch, load_dataset, stack
from depthprobe.functional.attribution import attribute
from depthprobe.functional.selection import kept_count
from depthprobe.functional.targets import Target
from depthprobe.models import DepthModel, load_model
from depthprobe.probes import PROBES


def _case(n: int) -> tuple[DepthModel, Batch, Tensor, Tensor]:
    """`oracle:linear`, images whose every pixel is judged, its weights (1,3,H,W), and what counts as no information."""
    model = load_model("oracle:linear")
    batch = stack(list(load_dataset("scenes", n=n, batch_size=n)))
    batch = batch.replace(depth=torch.full_like(batch.depth, 3.0), valid=torch.ones_like(batch.valid))
    oracle: Any = model.net
    weights: Tensor = oracle.weights(*batch.image.shape[-2:])[None]
    return model, batch, weights, torch.tensor(model.card.fill).view(1, 3, 1, 1).expand_as(batch.image)


def planted_weights(*, n: int = 2) -> pd.DataFrame:
    """How far each attribution of the mean depth lies from the planted one, as a share of the largest planted value.

    Convention: depth(p) = 2 + sum_c w_c(p) image_c(p), so the gradient of the mean of N pixels is w / N, its product
    with the image w image / N, and the contribution against a baseline w (image - baseline) / N.
    """
    model, batch, weights, absent = _case(n)
    share = weights / weights[0, 0].numel()
    planted = {
        "gradient": share, "saliency": share, "smoothgrad": share, "input_x_gradient": share * batch.image,
        "integrated_gradients": share * (batch.image - absent),
    }  # fmt: skip
    rows = {}
    for method, known in planted.items():
        found = attribute(method, model, batch.image, Target("mean"), seeds=range(n), baseline=absent)
        rows[method] = float((found - known).abs().max() / known.abs().max())
    return pd.DataFrame({"largest gap": rows})


def planted_deletion(*, n: int = 2, shares: tuple[float, ...] = (0.02, 0.05, 0.15, 0.4)) -> pd.DataFrame:
    """Mean change of the depth (m) by share of the pixels removed, most important first, and the largest possible.

    Convention: every pixel moves its own depth alone, by |sum_c w_c (image_c - fill_c)|, so no order can change more
    than the one by that number.
    """
    model, batch, weights, absent = _case(n)
    plan = PROBES.facts("attribution")["plan"](
        methods=("integrated_gradients", "saliency", "occlusion"), targets=("mean",), metrics=("mae",), shares=shares,
        curves=("deletion",), checks=(), randomise=(), window=24, stride=12, where=False,
    )  # fmt: skip
    rows = PROBES["attribution"](model, batch, plan)
    rows = rows[rows["metric"] == "mae@deletion.self"]
    found = rows.pivot_table(index="level", columns="factor", values="value")
    moved = (weights * (batch.image - absent)).sum(1).abs().flatten(1).double()
    largest, pixels = moved.sort(1, descending=True).values.cumsum(1), moved.shape[1]
    best = {s: float(largest[:, pixels - kept_count(1 - s, pixels) - 1].mean()) / pixels for s in shares}
    return found[[*plan.methods, "random", "centre"]].assign(best_possible=pd.Series(best))
