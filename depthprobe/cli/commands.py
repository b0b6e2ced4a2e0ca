"""`compare`, `report`, `scenes`, `list`: commands on tables, data and registries."""

import enum
from pathlib import Path
from typing import Annotated, Any

import typer

Out = Annotated[Path, typer.Argument(help="The folder of a run.")]


def compare(
    out: Out,
    by: Annotated[str, typer.Option("--by", help="Columns or axes to tell apart, e.g. probe,selector.")] = "probe",
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Metrics (default: the protocol's first); repeatable; `all`.")
    ] = None,
    a: Annotated[str | None, typer.Option("--a", help="One network (default: every pair).")] = None,
    b: Annotated[str | None, typer.Option("--b", help="The other.")] = None,
    rope: Annotated[float | None, typer.Option("--rope", help="Differences within ± this count as equivalent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every column as JSON.")] = False,
) -> None:
    """Paired differences of the networks of a run, with intervals, corrected p values and a verdict.

    Curves over a level (budget) are compared by their area unless the level is named in --by.

    **By selector:** depthprobe compare out/demo --by probe,selector

    **At every budget:** depthprobe compare out/demo --by selector,budget --metric abs_rel@self
    """
    from depthprobe.cli import console, summary
    from depthprobe.schema import read_sidecar, read_table
    from depthprobe.stats import area, label, translate

    table, side = summary.told_apart(read_table(out)), read_sidecar(out)
    if side.get("status", "complete") != "complete":
        console.warn("The run is not complete: give its command again to measure the rest.")
    columns = translate([name.strip() for name in by.split(",") if name.strip()], side.get("axes", {}))
    chosen = choose_metrics(table, metric, summary.metrics_of(table, side))
    table = table[table["metric"].isin(chosen)]
    if "level" in columns:
        table = table[table["level"].notna()]
    elif (levels := table["level"].dropna()).size:
        table = area(table, scale="log" if (levels > 0).all() else "linear")
    wanted = summary.varying(table, columns, ("metric", *summary.SPLITTING))
    one_sided = {"a": a, "b": b, "rope": rope} if table["model"].nunique() > 1 else {}
    found = summary.comparison(table, wanted, **one_sided)
    if as_json:
        typer.echo(found.to_json(orient="records", indent=1, double_precision=12))
        return
    added = [label(c, side.get("axes", {})) for c in wanted if c not in columns]
    fixed = "" if "metric" in wanted else f"{table['metric'].iloc[0]}, "
    note = f"{fixed}95 % intervals over {console.counted(table['group'].nunique(), 'group')}, p by sign flips"
    note += f"; also split by {', '.join(added)}" if added else ""
    summary.show_comparison(found, wanted, side, note)
    console.say(f"Page:  depthprobe report {out}")


def choose_metrics(table: Any, metric: list[str] | None, known: list[str]) -> list[str]:
    """The metrics asked for; by default the first, for `all` every one with a better direction.

    Raises:
        ValueError: if one is not in the table (lists those that are).
    """
    if metric and "all" not in metric:
        if unknown := [m for m in metric if m not in set(table["metric"])]:
            raise ValueError(f"Expected --metric to be in {sorted(table['metric'].unique())}, but got {unknown}.")
        return metric
    return known if metric else known[:1]


def report(out: Out) -> None:
    """Write the page of a run: curves, galleries, tables and how they were measured, in one file.

    **Example:** depthprobe report out/demo
    """
    from depthprobe.cli import console
    from depthprobe.report import write_report

    with console.status("Writing the page"):
        place = write_report(out)
    console.say(f"Page: {place}")


class Listed(enum.StrEnum):
    """What `list` can list."""

    models = "models"
    datasets = "datasets"
    probes = "probes"
    metrics = "metrics"
    protocols = "protocols"
    selectors = "selectors"
    fills = "fills"
    recipes = "recipes"


def list_names(what: Annotated[Listed, typer.Argument(help="The registry to list.", show_default=False)]) -> None:
    """List what is registered: names, what they are, and their facts.

    **Example:** depthprobe list selectors
    """
    from depthprobe.cli import console, listing

    entries = listing.entries(what.value)
    shown = [c for c in entries[0] if any(entry[c] for entry in entries)]
    grid = console.grid("", "")
    for column in shown:
        grid.add_column(column, no_wrap=column == "name", overflow="fold")
    for entry in entries:
        grid.add_row(*(entry[c].replace("[", r"\[") for c in shown))
    console.show(grid)


def scenes(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")],
    kind: Annotated[str, typer.Option("--kind", help="rooms, streets, shapes or mixed.")] = "rooms",
    n: Annotated[int, typer.Option("--n", help="Number of scenes.")] = 1000,
    size: Annotated[str, typer.Option("--size", help="Height x width in pixels.")] = "128x160",
    split: Annotated[str, typer.Option("--split", help="train, val or test: disjoint scenes.")] = "train",
    start: Annotated[int, typer.Option("--start", help="Scenes of the split to leave out first.")] = 0,
    depth_format: Annotated[str, typer.Option("--format", help="Depth as png16 (mm) or npy (m).")] = "png16",
    workers: Annotated[int, typer.Option("--workers", help="Threads that render.")] = 2,
) -> None:
    """Write built-in scenes as files (RGB, depth, JSON) that the data set `folder` reads.

    **Example:** depthprobe scenes --kind rooms --n 1000 --size 128x160 --out data/rooms

    Stopped, the same command goes on where it was.
    """
    from depthprobe.cli import console, flagged, measure
    from depthprobe.data.scenes.writer import write_scenes

    height, width = flagged.parse_size(size)
    options: dict[str, Any] = {
        "kind": kind,
        "split": split,
        "start": start,
        "depth_format": depth_format,
        "workers": workers,
    }
    with measure.progress_bar(True) as bar:

        def progress(done: int, total: int) -> None:
            if bar is not None:
                bar(done, total, f"Rendering {kind}")

        write_scenes(out, n=n, size=(height, width), progress=progress, **options)
    console.say(f"{console.counted(n, 'scene')} in {out}")
    console.say(
        f"Next: depthprobe run --model zoo:convnext --dataset folder --root {out} --split {split} --out out/run"
    )
