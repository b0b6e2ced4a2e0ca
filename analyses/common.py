"""What studies share: measuring a folder, and checking a probe on an oracle before it is believed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from depthprobe import stats
from depthprobe.data import Dataset, load_dataset, stack
from depthprobe.models import DepthModel, load_model
from depthprobe.probes import PROBES
from depthprobe.report import write_report
from depthprobe.report.source import Source, read_source
from depthprobe.run import run

NYU = os.environ.get("DEPTHPROBE_NYU")  # folder of NYU Depth v2, or None


def measure(
    models: Sequence[str | DepthModel],
    plans: Mapping[str, Any],
    dataset: Dataset,
    out: Path,
    *,
    n_boot: int,
    title: str,
) -> Source:
    """Run (or finish) the measurement in the folder `out`, write its page, and read back what both left there."""
    run(list(models), plans, dataset, out=out)
    write_report(out, title=title, n_boot=n_boot)
    return read_source(out)


def planted_support(*, n: int = 4, share: float = 0.05, seed: int = 0) -> pd.DataFrame:
    """Does the sparse probe find what is known? `oracle:support` reads only a planted set of pixels.

    Convention: the order `rank_map` keeps the planted pixels first. With a budget equal to their share, keeping them
    must change the answer by exactly 0; the reverse order with the budget 1 - share removes exactly them and must
    change it: clearly under `mean`, little under `blur`, which guesses single pixels from their neighbours. `random` at
    both budgets stands between.

    Returns:
        Mean change against the oracle's own full-image answer (`abs_rel@self`), one row per order, budget and fill.
    """
    model = load_model(f"oracle:support?share={share}&seed={seed}")
    batch = stack(list(load_dataset("scenes", n=n, batch_size=n)))
    size = model.canvas(batch.image).shape[-2:]
    oracle: Any = model.net
    rank = oracle.support(*size).float().expand(len(batch), 1, *size)
    full = torch.nn.functional.interpolate(rank, batch.image.shape[-2:], mode="nearest")
    batch = batch.replace(maps={**batch.maps, "rank": full})
    plan = PROBES.facts("sparse")["plan"](
        selectors=("rank_map", "random"), reverse=("rank_map",), budgets=(share, 1 - share), fills=("mean", "blur"),
        where=False,
    )  # fmt: skip
    rows = PROBES["sparse"](model, batch, plan)
    rows = rows[rows["metric"] == "abs_rel@self"]
    stamped = rows.assign(group=rows["sample"], seed=plan.seed, unit="1", better="lower")
    return stats.summarise(stamped, ["factor", "level", "factor2", "metric"], n_boot=500)


def planted_grid(planted: Sequence[tuple[int, float]], *, n: int = 4) -> pd.DataFrame:
    """Which period the spectrum probe finds in each of `n` scenes, by the (period, amplitude) that is planted there.

    Convention: `oracle:grid` puts the grid on the exact depth; amplitude is a share of depth, 0 plants none (NaN is the
    right answer). The test is asked for all periods planted.
    """
    batch = stack(list(load_dataset("scenes", n=n, batch_size=n)))
    plan = PROBES.facts("spectrum")["plan"](periods=tuple(float(period) for period, _ in planted))
    found = {}
    for period, amplitude in planted:
        model = load_model(f"oracle:grid?period={period}&amplitude={amplitude}")
        oracle: Any = model.net
        oracle.given(batch.depth)
        rows = PROBES["spectrum"](model, batch, plan)
        here = rows[rows["metric"] == "grid_period"].set_index("sample")["value"]
        found[f"period {period}, {100 * amplitude:g} % of depth"] = here
    return pd.DataFrame(found)


def in_per_cent(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame of a comparison with `relative_estimate`, `_low`, `_high`, `_detectable`: in % of the mean of a."""
    scale = frame["mean_a"].abs() / 100
    return frame.assign(**{f"relative_{c}": frame[c] / scale for c in ("estimate", "low", "high", "detectable")})
