"""`depthprobe protocols`: what a protocol says, and why two of them give different numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from depthprobe.functional.protocol import Protocol
    from depthprobe.functional.protocol_explain import Contrast

protocols = typer.Typer(no_args_is_help=True, help="What evaluation protocols say, and why they differ.")


@protocols.command("show")
def show(name: Annotated[str, typer.Argument(help="See: depthprobe list protocols")]) -> None:
    """Print every rule of a protocol, with its hash.

    **Example:** depthprobe protocols show zoe_kitti
    """
    from depthprobe.cli import console
    from depthprobe.functional.protocol import get_protocol

    console.say(get_protocol(name).describe())


@protocols.command("explain")
def explain(
    a: Annotated[str, typer.Argument(help="A protocol.", show_default=False)],
    b: Annotated[str, typer.Argument(help="Another.", show_default=False)],
    model: Annotated[str | None, typer.Option("--model", "-m", help="By how much on a network's predictions.")] = None,
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="scenes, nyu, folder.")] = "scenes",
    root: Annotated[Path | None, typer.Option("--root", help="Where the data set lies.")] = None,
    n: Annotated[int | None, typer.Option("--n", help="Number of samples.")] = None,
    size: Annotated[str | None, typer.Option("--size", help="Scenes: height x width, e.g. 96x128.")] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="Another option of the data set, NAME=VALUE.")
    ] = None,
    frame: Annotated[
        str | None, typer.Option("--frame", help="Say windows in pixels of this frame, e.g. 370x1226.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the table.")] = Path("out/explain"),
    as_json: Annotated[bool, typer.Option("--json", help="Print differences and changes as JSON.")] = False,
) -> None:
    """Why two protocols give different numbers, field by field; with a network also by how much.

    **In words:** depthprobe protocols explain bts_kitti zoe_kitti

    **In numbers:** depthprobe protocols explain bts_nyu marigold_nyu --model zoo:pvt --dataset nyu --root DIR --n 100

    Every field is switched from the first protocol to the second alone, and in turn until all are.
    """
    from depthprobe.cli import flagged
    from depthprobe.functional.protocol import get_protocol
    from depthprobe.functional.protocol_explain import explain as differences

    first, second = get_protocol(a), get_protocol(b)
    place = {"root": root, "n": n, "size": size}
    measured = None if model is None else _measured(first, second, model, dataset, place, data or [], device, out)
    kind = None if measured is None else measured[0]
    box = None if frame is None else flagged.parse_size(frame)
    said = differences(first, second, kind=kind, size=None if box is None else (box[0], box[1]))
    found = None if measured is None else measured[1]
    _print_json(said, found) if as_json else _print(first, second, said, kind, found)


def _measured(
    first: "Protocol", second: "Protocol", model: str, dataset: str, place: dict[str, Any], data: list[str],
    device: str, out: Path,
) -> tuple[str, "pd.DataFrame | None"]:  # fmt: skip
    """The network's output kind, and the changes from one protocol to the other (None: there is none)."""
    from depthprobe.cli import flagged, measure
    from depthprobe.functional.protocol_explain import contrasts
    from depthprobe.models import load_model
    from depthprobe.run import run
    from depthprobe.stats.changes import changes
    from depthprobe.study import Study, open_dataset

    network = load_model(model)
    steps = contrasts(first, second, network.card.output)
    if not steps:
        return network.card.output, None
    study = Study(models=(model,), dataset=flagged.dataset({}, dataset, place, data))
    plans = list(dict.fromkeys(protocol for step in steps for protocol in (step.a, step.b)))
    with measure.progress_bar(True) as progress:
        table = run([network], {"error": plans}, open_dataset(study), out=out, device=device, progress=progress, maps=0)
    table = table[table["metric"].isin(steps[0].a.metrics)]
    return network.card.output, changes(table, _named(steps))


def _named(steps: "list[Contrast]") -> "pd.DataFrame":
    import pandas as pd

    from depthprobe.schema import plan_id

    rows = [{"change": s.change, "how": s.how, "a": plan_id(s.a), "b": plan_id(s.b)} for s in steps]
    return pd.DataFrame(rows)


def _print_json(said: list[Any], found: "pd.DataFrame | None") -> None:
    import dataclasses
    import json

    changed = [] if found is None else json.loads(found.to_json(orient="records", double_precision=12))
    typer.echo(json.dumps({"differences": [dataclasses.asdict(d) for d in said], "changes": changed}, indent=1))


def _print(
    first: "Protocol", second: "Protocol", said: list[Any], kind: str | None, found: "pd.DataFrame | None"
) -> None:
    from depthprobe.cli import console

    if said:
        grid = console.grid("", "" if kind is None else f"as far as it matters to a network of kind {kind}")
        for column in ("", first.name, second.name, "what it changes"):
            grid.add_column(column, overflow="fold")
        for one in said:
            grid.add_row(*(text.replace("[", r"\[") for text in (one.aspect, one.a, one.b, one.meaning)))
        console.show(grid)
    if found is not None:
        _print_changes(first, second, found)
    elif kind is not None or not said:
        what = "" if kind is None else f" a network of kind {kind}"
        console.say(f"{first.name} and {second.name} judge{what} alike.")


def _print_changes(first: "Protocol", second: "Protocol", found: "pd.DataFrame") -> None:
    """Metric by metric: the mean under the first, each change alone and in turn, the mean under the second."""
    from depthprobe.cli import console

    rank = {metric: i for i, metric in enumerate(first.metrics)}
    whole = found[found["how"] == "together"].sort_values("metric", key=lambda column: column.map(rank))
    counts = f"{whole['n'].max()} samples, 95 % intervals over {whole['groups'].max()} groups"
    left = f"; up to {found['left_out'].max()} left out, undefined under some" if found["left_out"].any() else ""
    note = f"alone: taken from {second.name} by itself; in turn: after those above it, adds up; {counts}{left}"
    grid = console.grid("", note)
    for column in ("metric", "under", "alone", "in turn", "mean"):
        grid.add_column(column, justify="left" if column in ("metric", "under") else "right")
    for end in whole.to_dict("records"):
        places = console.decimals(max(abs(end["mean_a"]), abs(end["mean_b"]))) + 1
        own = found[found["metric"] == end["metric"]]
        grid.add_row(end["metric"], first.name, "", "", f"{end['mean_a']:.{places}f}")
        for change in dict.fromkeys(own.loc[own["change"] != "", "change"]):
            rows = own[own["change"] == change].set_index("how")
            grid.add_row("", f"+ {change}", *(_change(rows.loc[how], places) for how in ("alone", "in turn")), "")
        grid.add_row("", f"= {second.name}", "", _change(end, places), f"{end['mean_b']:.{places}f}", end_section=True)
    console.show(grid)


def _change(row: Any, places: int) -> str:
    from depthprobe.cli import console

    return console.interval(row["estimate"], row["low"], row["high"], places=places, sign=True).replace("[", r"\[")
