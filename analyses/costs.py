"""What the arms of a factorial cost beside the plain network (C6): parameters, FLOPs, latency, time of a training step.

Times are ratios within one process: in every round the arm and the plain network run in turns, so that what else the
machine does falls on both.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analyses.factorial import Cell, Design, recipe_of
from benchmarks.dgr import flops, forward, timed
from depthprobe.functional.losses import LOSSES
from depthprobe.models import load_model

QUANTITIES = ("parameters", "FLOPs", "latency", "training step")


def measure(
    design: Design, *, rounds: int = 30, batch: int = 16, arms: tuple[str, ...] = ("dgr", "ot", "dgr+ot", "plain")
) -> pd.DataFrame:
    """One row per network, arm, quantity and round: `ratio` of the arm to the plain network (CPU time where timed).

    Convention: latency is a forward pass of one image at the network's size, a training step one optimiser step on
    `batch` images. Parameters and FLOPs do not vary and have one row.
    """
    rows = []
    for network in design.networks:
        plain = _work(design, Cell(network, "base", 0), batch)
        for arm in arms:
            own = _work(design, Cell(network, arm, 0), batch)
            facts = {"network": network, "arm": arm}
            rows += [{**facts, "quantity": q, "round": 0, "ratio": own[q] / plain[q]} for q in QUANTITIES[:2]]
            for q in QUANTITIES[2:]:
                for n in range(rounds):
                    seconds = [timed(work[q])[1] for work in (plain, own)]
                    rows.append({**facts, "quantity": q, "round": n, "ratio": seconds[1] / seconds[0]})
    return pd.DataFrame(rows)


def summary(costs: pd.DataFrame) -> pd.DataFrame:
    """Median ratio over rounds with a 95 % bootstrap interval of the median; estimate, low, high, n."""
    rng, rows = np.random.default_rng(0), []
    for key, part in costs.groupby(["network", "arm", "quantity"], sort=False):
        ratio = part["ratio"].to_numpy()
        drawn = np.median(rng.choice(ratio, (2000, len(ratio))), axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        rows.append(dict(zip(("network", "arm", "quantity"), key, strict=True))
                    | {"estimate": float(np.median(ratio)), "low": low, "high": high, "n": len(ratio)})  # fmt: skip
    return pd.DataFrame(rows)


def _work(design: Design, cell: Cell, batch: int) -> dict[str, Any]:
    """The fixed costs of a cell's network, and functions that do once what is timed."""
    recipe = recipe_of(design, cell)
    model = load_model(recipe.model)
    size = model.canvas_size(*model.card.size) if model.card.size else (64, 80)
    image = torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "FLOPs": flops(model, image[:1]),
        "latency": forward(model, image[:1]),
        "training step": _step(recipe, image),
    }


def _step(recipe: Any, image: Tensor) -> Callable[[], None]:
    """A whole optimiser step of a recipe on fixed data."""
    model, loss = load_model(recipe.model).train(), LOSSES[recipe.loss]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    depth = 1 + 4 * image.mean(1, keepdim=True)
    valid = torch.ones_like(depth, dtype=torch.bool)

    def work() -> None:
        loss(model(image), depth, valid, **recipe.loss_options).backward()
        optimizer.step()
        optimizer.zero_grad()

    return work
