"""What studies share: networks and data, measuring a folder, oracles, and the verdict on a claim about families."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from analyses.structure import MATCHED, matched_to
from depthprobe import stats
from depthprobe.data import Dataset, load_dataset, stack
from depthprobe.functional.selection import keep_top, sample_seeds, strict_rank
from depthprobe.models import DepthModel, load_model
from depthprobe.models.masknet import optimise_mask
from depthprobe.plots.words import with_interval
from depthprobe.probes import PROBES
from depthprobe.report import write_report
from depthprobe.report.source import Source, read_source
from depthprobe.run import run

NETWORKS = ("convnext", "efficientnet", "pvt", "swin")
MODELS = {"scenes": [f"zoo:{n}.mixed" for n in NETWORKS], "nyu": [f"zoo:{n}.nyu" for n in NETWORKS]}


def matched(names: Sequence[str]) -> list[DepthModel]:
    """The networks, all of which read one size and belong to one of the two families, both of which are there.

    Raises:
        ValueError: naming what differs.
    """
    models = [load_model(name) for name in names]
    if missing := {"cnn", "transformer"} - {m.card.family for m in models}:
        raise ValueError(f"Expected `models` to hold a CNN and a Transformer, but got no {' and no '.join(missing)}.")
    sizes = {m.card.name: m.canvas_size(96, 128) for m in models}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"Expected networks that read one size, but got {sizes}; give ?size=HxW to each.")
    return models


def datasets(root: str | Path | None, n: tuple[int, int | None]) -> dict[str, Dataset]:
    """Scenes of all kinds and, with its folder, NYU at the size that the networks read; n: samples of each."""
    found = {"scenes": load_dataset("scenes", kind="mixed", n=n[0], batch_size=8)}
    if root is not None:
        found["nyu"] = matched_to(load_dataset("nyu", root=root, n=n[1], batch_size=8), MATCHED)
    return found


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


def planted_mask(*, n: int = 4, share: float = 0.1, steps: int = 100) -> pd.DataFrame:
    """Does a learned mask find what is known? `oracle:support` reads only a planted set of pixels.

    Convention: images are made brighter than what replaces removed pixels, or pixels of that colour would count for
    nothing. The soft mask is searched for on each image by itself.

    Returns:
        One row per image: how much of the planted set is among as many of the mask's most open pixels (`overlap`, 1 is
        all), and the mean of the mask on the set and off it.
    """
    model = load_model(f"oracle:support?share={share}&seed=0")
    batch = stack(list(load_dataset("scenes", n=n, size=(32, 40), batch_size=n)))
    seeds = sample_seeds(batch.sample, 0)
    found = optimise_mask(model, 0.6 + 0.4 * batch.image, seeds=seeds, weight=1.0, steps=steps)
    oracle: Any = model.net
    planted = oracle.support(*found.mask.shape[-2:])
    kept = keep_top(strict_rank(found.score, seeds), share)
    rows = {
        "overlap": (kept & planted).sum((1, 2, 3)) / (kept | planted).sum((1, 2, 3)),
        "open on the set": found.mask[:, 0, planted].mean(1),
        "open off it": found.mask[:, 0, ~planted].mean(1),
    }
    return pd.DataFrame({name: x.tolist() for name, x in rows.items()}, index=pd.Index(batch.sample, name="sample"))


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


def planted_window(planted: Sequence[int], radii: Sequence[int] = (1, 2, 4, 8, 16, 32), *, n: int = 4) -> pd.DataFrame:
    """What the probes of context find where depth is the mean brightness of a window of known radius around each pixel.

    Returns:
        One row per planted radius of `oracle:window`: the radius of its receptive field, and by how much its answer
        changes (mean ln) where only a window of each of `radii` is visible: not at all from the planted radius on.
    """
    batch = stack(list(load_dataset("scenes", n=n, batch_size=n)))
    context = PROBES.facts("context")["plan"](queries=3, radii=tuple(radii), views=("visible",))
    field = PROBES.facts("receptive_field")["plan"](queries=3, shares=(1.0,))
    found = {}
    for radius in planted:
        model = load_model(f"oracle:window?r={radius}")
        rows = PROBES["receptive_field"](model, batch, field)
        seen = {"receptive radius": rows.loc[rows["metric"] == "erf_radius", "value"].mean()}
        rows = PROBES["context"](model, batch, context)
        change = rows[rows["metric"] == "rmse_log@self"].groupby("level")["value"].mean()
        found[f"window of radius {radius}"] = seen | {f"change at r = {r:g}": v for r, v in change.items()}
    return pd.DataFrame(found).T


def in_per_cent(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame of a comparison with `relative_estimate`, `_low`, `_high`, `_detectable`: in % of the mean of a."""
    scale = frame["mean_a"].abs() / 100
    return frame.assign(**{f"relative_{c}": frame[c] / scale for c in ("estimate", "low", "high", "detectable")})


def crossed(
    table: pd.DataFrame, pairs: Sequence[tuple[str, str]], by: list[str], options: Mapping[str, Any]
) -> pd.DataFrame:
    """Every CNN against every Transformer, in per cent of the CNN as well; Holm over pairs and bands of a metric."""
    found = [stats.compare(table, by, a=a, b=b, **options) for a, b in pairs]
    family = [c for c in by if c in ("metric", "factor")]
    return in_per_cent(stats.adjust(pd.concat(found, ignore_index=True), family))


def judged(frame: pd.DataFrame, endpoints: Sequence[str]) -> pd.DataFrame:
    """Verdicts anew: the endpoints are one family of Holm's, every other metric (a description) one of its own."""
    role = frame["metric"].where(~frame["metric"].isin(endpoints), "endpoint")
    return in_per_cent(stats.adjust(frame.assign(role=role), ["role"]))


def claimed(verdicts: Sequence[str], *, sure: str) -> str:
    """What several verdicts say together on a claim that each of them be `sure` ("worse" or "better")."""
    count = {word: list(verdicts).count(word) for word in ("worse", "better", "equivalent", "undecided")}
    other = "better" if sure == "worse" else "worse"
    if count[sure] == len(verdicts):
        return "supported"
    if count[sure] and not count[other]:
        return f"supported by {count[sure]} of {len(verdicts)} endpoints only"
    if count[sure]:
        return "contradictory"
    return "undecided" if count["undecided"] else "refuted"


def change(row: pd.Series) -> str:
    """`+3.1 % [+1.2, +5.0]` of a comparison in per cent, or in its unit where side a is 0."""
    if not row["mean_a"]:
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        return f"{with_interval(row, sign=True)}{unit} (from 0)"
    e, low, high = (row[f"relative_{c}"] for c in ("estimate", "low", "high"))
    return f"{signed(e)} %" if pd.isna(low) else f"{signed(e)} % [{signed(low)}, {signed(high)}]"


def signed(value: float) -> str:
    """`+3.1` or `−3.1`."""
    return f"{value:+.1f}".replace("-", "−")
