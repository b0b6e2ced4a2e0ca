"""Grids in the errors: how often one is found at each period, and how often chance alone would find one."""

import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import beta

from depthprobe import plots, stats
from depthprobe.plots.theme import WIDTH, display_name
from depthprobe.probes import PROBES
from depthprobe.report.source import Source

ALPHA = PROBES.facts("spectrum")["plan"]().alpha


def estimate(spectrum: pd.DataFrame, *, n_boot: int) -> pd.DataFrame:
    """Share of images with a grid, by network and period (factor "both") and of any period (factor "").

    Convention: intervals hold together for all networks and periods (Bonferroni). `chance` is the share that the test
    finds without any grid: alpha over the number of periods that an image is tested for.
    """
    found = spectrum[(spectrum["metric"] == "grid_found") & spectrum["value"].notna()]
    cells = found[["model", "factor", "level"]].drop_duplicates()
    level = 1 - 0.05 / max(1, len(cells))
    shares = stats.summarise(found, ["model", "family", "factor", "level"], n_boot=n_boot, level=level)
    shares = pd.DataFrame([_never_certain(row, 1 - level) for _, row in shares.iterrows()])
    tests = spectrum[(spectrum["metric"] == "grid_p") & (spectrum["factor"] == "both") & spectrum["value"].notna()]
    chance = (ALPHA / tests.groupby(["model", "sample"]).size()).groupby("model").mean()
    per_period = shares["model"].map(chance)
    return shares.assign(chance=per_period.where(shares["factor"] != "", ALPHA))


def _never_certain(row: pd.Series, alpha: float) -> pd.Series:
    """The row with the exact binomial bound (Clopper and Pearson 1934) where no group has a grid, or every one."""
    if row["estimate"] == 0:
        return row.where(row.index != "high", beta.ppf(1 - alpha / 2, 1, row["groups"]))
    if row["estimate"] == 1:
        return row.where(row.index != "low", beta.ppf(alpha / 2, row["groups"], 1))
    return row


def _rate(row: pd.Series) -> str:
    """`4.2 % [3.1, 5.3]` of a share."""
    return f"{100 * row['estimate']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def sentence(grids: pd.DataFrame) -> str:
    """How often any grid is found in the errors of each network."""
    each = [f"{display_name(r['model'])} {_rate(r)}" for _, r in grids[grids["factor"] == ""].iterrows()]
    return (
        "share of images in whose errors a token or window grid is found "
        f"(by chance up to {100 * ALPHA:g} %): {'; '.join(each)}."
    )


def draw(source: Source, grids: pd.DataFrame, name: str) -> tuple[Figure, pd.DataFrame]:
    """Share of images in whose errors a grid is found, by period, beside what chance gives."""
    numbers = {c: 100 * grids[c] for c in ("estimate", "low", "high", "chance")}
    frame = grids.assign(unit="%", metric="images with a grid", **numbers)
    frame = frame[frame["factor"] != ""].sort_values(["level", "family", "model"])
    frame = frame.assign(period=frame["level"].map(lambda p: f"period {p:g} px"))
    line = frame["chance"].max()
    with plots.theme():
        figure = Figure(figsize=(WIDTH, 0.75 + 0.17 * len(frame)), layout="constrained")
        label = "images with a grid (%)"
        plots.draw_forest(frame, figure.subplots(), rows=["period"], hue="model", zero=line, label=label)
    beyond = frame[frame["low"] > frame["chance"]]
    title = "For no network is a grid shown in more images than chance gives"
    if len(beyond):
        each = "; ".join(
            f"{display_name(m)} at {', '.join(f'{p:g}' for p in part['level'])} px"
            for m, part in beyond.groupby("model")
        )
        title = f"More images show a grid than chance gives: {each}"
    rates = frame.groupby("model")["chance"].first()
    chance = ", ".join(f"{display_name(m)} {c:.1f} %" for m, c in rates.items())
    caption = (
        f"{name} · by chance at most: {chance} (line: the largest) · intervals hold for all rows at once, 95 % "
        f"(Bonferroni) · {plots.caption_line(frame, source.side).replace('95 % intervals, ', '')}"
    )
    return plots.describe_figure(figure, title=title, caption=caption), frame
