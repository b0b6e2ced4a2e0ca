"""The few numbers that a run ends with, and comparisons: which rows are shown, and how."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from depthprobe.cli import console
from depthprobe.schema import read_sidecar
from depthprobe.stats import compare, curve, label, summarise

MAX_ROWS, MAX_COLUMNS = 12, 5
SPLITTING = ("probe", "plan", "layer", "factor", "factor2", "level2")


def metrics_of(table: pd.DataFrame, side: Mapping[str, Any]) -> list[str]:
    """The metrics against the truth, in the order of the protocols; others after them."""
    named = [m for protocol in side.get("protocols", []) for m in protocol.get("metrics", [])]
    found = [m for m in dict.fromkeys(named) if m in set(table["metric"])]
    rest = sorted(set(table.loc[table["better"] != "none", "metric"]) - set(found))
    return [*found, *(m for m in rest if "@" not in m), *(m for m in rest if "@" in m)]


def told_apart(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the tag in the model's name wherever one name stands for several weights."""
    tags = table.groupby("model")["tag"].nunique()
    several = table["model"].isin(tags[tags > 1].index)
    return table.assign(model=table["model"].where(~several, table["model"] + "." + table["tag"]), tag="")


def varying(table: pd.DataFrame, by: Sequence[str], columns: Sequence[str] = SPLITTING) -> list[str]:
    """`by`, and those of `columns` that vary within it: what must be told apart before anything is averaged."""
    out = list(by)
    for column in (c for c in columns if c not in out):
        seen = table.groupby(out, dropna=False)[column] if out else table[column]
        count = seen.nunique(dropna=False)
        if (count.max() if out else count) > 1:
            out.append(column)
    return out


def headline(table: pd.DataFrame, side: Mapping[str, Any]) -> pd.DataFrame:
    """What a run shows: columns measure, model, estimate, low, high, unit, better, one row per measure and model.

    Probes without levels give their first metrics, of the whole where there is one, else by what they tell apart;
    probes over a budget up to the whole image give the budget at which the first metric has gone 90 % of the way from
    its value at the smallest to its value at the whole.
    """
    frames = []
    names = metrics_of(table, side)
    plain = table[table["level"].isna() & table["metric"].isin(names[:4])]
    plain = plain[(plain["factor"] == "") | ~plain["probe"].isin(plain.loc[plain["factor"] == "", "probe"])]
    if not plain.empty:
        by = varying(plain, ["metric", "model"])
        found = summarise(plain, by)
        frames.append(found.assign(measure=_named(found, [c for c in by if c != "model"], side), order=0))
    axes = side.get("axes", {})
    whole = set(table.loc[table["level"] == 1, "probe"])
    budgets = [probe for probe, own in axes.items() if own.get("level") == "budget" and probe in whole]
    curved = table[
        table["probe"].isin(budgets) & (table["metric"] == (names[0] if names else "")) & (table["level"] > 0)
    ]
    if not curved.empty and curved["level"].nunique() > 2:
        by = varying(curved, ["model", "factor"], ("probe", "plan", "factor2"))
        found = curve(curved, by).summary
        found = found[found["quantity"] == "b90"]
        lead = f"budget for 90 % of {names[0]}"
        found = found.assign(measure=_named(found, [c for c in by if c != "model"], side, lead), order=1, unit="%")
        found[["estimate", "low", "high"]] *= 100
        frames.append(found)
    columns = ["measure", "model", "estimate", "low", "high", "unit", "better", "order"]
    if not frames:
        return pd.DataFrame(columns=columns)
    out = pd.concat(frames, ignore_index=True)[columns]
    rank = {name: i for i, name in enumerate(names)}
    first = out["measure"].str.partition(" ")[0].map(rank).fillna(len(rank))
    return out.assign(rank=first).sort_values(["order", "rank", "measure", "model"], kind="stable", ignore_index=True)


def _named(found: pd.DataFrame, by: Sequence[str], side: Mapping[str, Any], lead: str = "") -> list[str]:
    """A short name per row: its metric (or `lead`), then whatever else it is split by."""
    names = []
    for row in found.to_dict("records"):
        parts = [lead] if lead else []
        for column in by:
            value = protocol_of(row[column], side) if column == "plan" else console.plain(row[column])
            parts += [value] if value else []
        names.append(" · ".join(parts))
    return names


def protocol_of(plan: str, side: Mapping[str, Any]) -> str:
    """The name of the protocol that a plan is or uses, else the plan's hash."""
    record = side.get("plans", {}).get(plan, {})
    used = record.get("protocol", record)
    return str(used.get("name", plan) if isinstance(used, Mapping) else used)


def show(table: pd.DataFrame, out: Path) -> None:
    """Print the summary of a run: at most 12 rows, intervals, the best network of each row in bold."""
    side, table = read_sidecar(out), told_apart(table)
    found = headline(table, side)
    if found.empty:
        return
    models = list(dict.fromkeys(found["model"]))[:MAX_COLUMNS]
    measures = list(dict.fromkeys(found["measure"]))
    protocols = ", ".join(f"{p['name']} ({p['hash']})" for p in side.get("protocols", []))
    more_rows, more_models = len(measures) - MAX_ROWS, found["model"].nunique() - MAX_COLUMNS
    hidden = [f"{n} more {what} in the table" for n, what in ((more_rows, "rows"), (more_models, "networks")) if n > 0]
    groups = console.counted(table["group"].nunique(), "group")
    caption = [f"mean [95 % interval over {groups}]", f"protocol {protocols}", *hidden]
    grid = console.grid("", " · ".join(filter(None, caption)))
    grid.add_column("measure")
    for model in models:
        grid.add_column(model, justify="right")
    grid.add_column("unit")
    for measure in measures[:MAX_ROWS]:
        rows = found[found["measure"] == measure].set_index("model")
        grid.add_row(measure, *_cells(rows, models), _unit(rows))
    console.show(grid)
    _notes(table, side)


def _cells(rows: pd.DataFrame, models: Sequence[str]) -> list[str]:
    better = rows["better"].iloc[0]
    known = rows["estimate"].dropna()
    best = None if len(known) < 2 or better == "none" else known.idxmin() if better == "lower" else known.idxmax()
    places = console.decimals(known.abs().max()) if len(known) else 3
    cells = []
    for model in models:
        if model not in rows.index:
            cells.append("")
            continue
        row = rows.loc[model]
        text = console.interval(row["estimate"], row["low"], row["high"], places=places).replace("[", r"\[")
        cells.append(f"[bold]{text}[/bold]" if model == best else text)
    return cells


def _unit(rows: pd.DataFrame) -> str:
    arrow = {"lower": "↓", "higher": "↑"}.get(rows["better"].iloc[0], "")
    unit = rows["unit"].iloc[0]
    return f"{'' if unit == '1' else unit} {arrow}".strip()


def _notes(table: pd.DataFrame, side: Mapping[str, Any]) -> None:
    for metric, what in (("failed", "No number (NaN)"), ("nonpositive", "Zero or negative")):
        share = table[table["metric"] == metric].groupby("model")["value"].mean()
        for model, value in share[share > 0].items():
            console.say(f"{what}: {100 * value:.3g} % of the judged pixels of {model}, judged as the nearest depth")
    if skipped := side.get("skipped"):
        name, why = next(iter(skipped.items()))
        console.say(f"Left out: {console.counted(len(skipped), 'sample')} that could not be read, e.g. {name}: {why}")
    if undefined := sum(u["n"] for u in side.get("undefined", [])):
        console.say(f"Undefined (NaN), left out of means: {undefined:,} of {side.get('rows', 0):,} rows")
    if stale := side.get("stale_parts"):
        console.say(f"Not read: {console.counted(stale, 'part')} of earlier descriptions in this folder (a cache; "
                    f"--no-resume removes them)")  # fmt: skip


def next_command(table: pd.DataFrame, out: str, models: Sequence[str]) -> str:
    """The one command that a user would run next: comparing the networks, or adding one to the table."""
    if table[["model", "tag"]].drop_duplicates().shape[0] > 1:
        axes = read_sidecar(out).get("axes", {})
        by = ["probe", label("factor", axes)] if any("factor" in own for own in axes.values()) else ["probe"]
        return f"depthprobe compare {out} --by {','.join(by)}"
    return " ".join(["depthprobe run", shlex.quote(f"{out}/study.toml"), *(f"--model {shlex.quote(m)}" for m in models),
                     "--model ANOTHER"])  # fmt: skip


def comparison(table: pd.DataFrame, by: Sequence[str], **options: Any) -> pd.DataFrame:
    """Paired differences of the networks in every cell of `by` (see `stats.compare`); means if there is one network."""
    return compare(table, by, **options) if table["model"].nunique() > 1 else summarise(table, ["model", *by])


def show_comparison(found: pd.DataFrame, by: Sequence[str], side: Mapping[str, Any], caption: str) -> None:
    """Print what `comparison` found."""
    paired = "verdict" in found
    pairs = found[["a", "b"]].drop_duplicates() if paired else pd.DataFrame()
    grid = console.grid("", caption)
    for column in by:
        grid.add_column(label(column, side.get("axes", {})))
    if len(pairs) > 1:
        grid.add_column("a")
        grid.add_column("b")
    heads = [f"{pairs.iloc[0]['a']}", f"{pairs.iloc[0]['b']}"] if len(pairs) == 1 else ["mean a", "mean b"]
    numbers = [*heads, "difference b - a", "p (Holm)", "b is"] if paired else ["estimate", "samples"]
    for name in numbers:
        grid.add_column(name, justify="left" if name == "b is" else "right")
    if len(pairs) == 1:
        grid.columns[-1].header = f"{pairs.iloc[0]['b']} is"
    for row in found.to_dict("records"):
        cells = [protocol_of(row[c], side) if c == "plan" else console.plain(row[c]) for c in by]
        cells += [row["a"], row["b"]] if len(pairs) > 1 else []
        grid.add_row(*cells, *(_paired_cells(row) if paired else _single_cells(row)))
    console.show(grid)


def _paired_cells(row: Mapping[str, Any]) -> list[str]:
    places = console.decimals(max(abs(row["mean_a"]), abs(row["mean_b"])))
    text = console.interval(row["estimate"], row["low"], row["high"], places=places, sign=True).replace("[", r"\[")
    p = "" if pd.isna(row["p_holm"]) else "< 0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}"
    sure = row["verdict"] not in ("undecided", "equivalent")
    verdict = f"[bold]{row['verdict']}[/bold]" if sure else str(row["verdict"])
    return [f"{row['mean_a']:.{places}f}", f"{row['mean_b']:.{places}f}", text, p, verdict]


def _single_cells(row: Mapping[str, Any]) -> list[str]:
    return [console.interval(row["estimate"], row["low"], row["high"]).replace("[", r"\["), str(row["n"])]
