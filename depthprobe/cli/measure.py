"""`depthprobe run`: flags or a TOML file become a study, the study a table, a page and a summary."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from depthprobe.run import Progress
    from depthprobe.study import Study

Many = list[str] | None
_DATA, _WHAT, _PLAN, _HOW = "Data", "What is measured", "Plan of the probes", "How it runs"


def flag(*names: str, panel: str, help: str) -> Any:
    """A flag with the panel of `--help` in which it stands."""
    return typer.Option(*names, help=help, rich_help_panel=panel)


def run(
    study: Annotated[
        Path | None, typer.Argument(help="A study.toml; flags given beside it replace its fields.")
    ] = None,
    model: Annotated[Many, flag("--model", "-m", panel=_WHAT, help="A network, e.g. zoo:pvt; repeatable.")] = None,
    probe: Annotated[Many, flag("--probe", "-p", panel=_WHAT, help="error (default), sparse, ...; repeatable.")] = None,
    dataset: Annotated[str | None, flag("--dataset", "-d", panel=_DATA, help="scenes (default), nyu, folder.")] = None,
    root: Annotated[Path | None, flag("--root", panel=_DATA, help="Where the data set lies.")] = None,
    split: Annotated[str | None, flag("--split", panel=_DATA, help="train, val or test (default).")] = None,
    n: Annotated[int | None, flag("--n", "-n", panel=_DATA, help="Number of samples (-n under torchrun).")] = None,
    size: Annotated[str | None, flag("--size", panel=_DATA, help="Scenes: height x width, e.g. 96x128.")] = None,
    kind: Annotated[str | None, flag("--kind", panel=_DATA, help="Scenes: rooms, ...")] = None,
    batch_size: Annotated[int | None, flag("--batch-size", panel=_DATA, help="Samples per unit of work.")] = None,
    on_error: Annotated[str | None, flag("--on-error", panel=_DATA, help="Unreadable sample: raise or skip.")] = None,
    data: Annotated[Many, flag("--data", panel=_DATA, help="Another option of the data set, NAME=VALUE.")] = None,
    protocol: Annotated[Many, flag("--protocol", panel=_PLAN, help="How predictions are judged; repeatable.")] = None,
    selector: Annotated[Many, flag("--selector", panel=_PLAN, help="Which pixels are kept; repeatable.")] = None,
    reverse: Annotated[Many, flag("--reverse", panel=_PLAN, help="A selector to run in reversed order too.")] = None,
    budget: Annotated[list[float] | None, flag("--budget", panel=_PLAN, help="Share kept; repeatable.")] = None,
    fill: Annotated[Many, flag("--fill", panel=_PLAN, help="What replaces removed pixels; repeatable.")] = None,
    option: Annotated[Many, flag("--set", panel=_PLAN, help="Any plan option, e.g. sparse.batch=16.")] = None,
    seed: Annotated[list[int] | None, flag("--seed", panel=_PLAN, help="Seed of the plans; repeatable.")] = None,
    out: Annotated[Path | None, flag("--out", "-o", panel=_HOW, help="Folder of the table (out/run).")] = None,
    resume: Annotated[bool, flag("--resume/--no-resume", panel=_HOW, help="Go on, or measure all anew.")] = True,
    device: Annotated[str | None, flag("--device", panel=_HOW, help="auto, cpu, cuda, cuda:1, mps.")] = None,
    maps: Annotated[int | None, flag("--maps", panel=_HOW, help="Samples in the galleries (3).")] = None,
    page: Annotated[bool, flag("--report/--no-report", panel=_HOW, help="Write the page.")] = True,
) -> None:
    """Measure networks with probes on a data set; write the table, the maps and the page.

    **From nothing:** depthprobe run --model zoo:convnext --model zoo:pvt --probe sparse --n 64 --out out/demo

    **On NYU:** depthprobe run -m zoo:pvt -p error --dataset nyu --root data/nyuv2 --out out/nyu

    **Your own network:** depthprobe run -m "py:mynet:build?output=affine_disparity" -p error

    **Repeat a run:** depthprobe run out/demo/study.toml --out out/again

    **On all cores or GPUs:** torchrun --nproc-per-node 2 -m depthprobe run out/demo/study.toml

    Stopped or killed, the same command goes on where it was.
    """
    flags = {"root": root, "split": split, "n": n, "size": size, "kind": kind, "batch_size": batch_size,
             "on_error": on_error}  # fmt: skip
    only = () if selector else None  # selectors named here are all that is run, not those of a default as well
    plan = {"selectors": selector, "reverse": reverse or only, "budgets": budget, "fills": fill}
    top = {"models": model, "probes": probe, "protocols": protocol, "seeds": seed, "out": out, "device": device,
           "maps": maps}  # fmt: skip
    described = describe(study, top, dataset, flags, data or [], plan, option or [])
    execute(described, resume=resume, page=page)


def describe(
    file: Path | None, top: dict[str, Any], dataset: str | None, flags: dict[str, Any],
    data: list[str], plan: dict[str, Any], options: list[str],
) -> "Study":  # fmt: skip
    """The study that a file and flags describe; a flag replaces what the file says.

    Raises:
        ValueError: on an unknown key, option or value.
    """
    from depthprobe.cli import flagged
    from depthprobe.study import Study, read_study

    given = {k: tuple(v) if isinstance(v, list) else v for k, v in top.items() if v not in (None, [])}
    given = {k: str(v) if k == "out" else v for k, v in given.items()}
    if file is None and "models" not in given:
        raise ValueError("Expected at least one --model (or a study.toml), but got none; see: depthprobe list models")
    base = Study(models=given["models"]) if file is None else read_study(file)
    probes = given.get("probes", base.probes)
    tables = {name: table for name, table in base.plan.items() if name in probes}
    changed: dict[str, Any] = {
        **given,
        "dataset": flagged.dataset(base.dataset, dataset, flags, data),
        "plan": flagged.plans(tables, probes, plan, options),
        "limits": {probe: limit for probe, limit in base.limits.items() if probe in probes},
    }
    current = {f: getattr(base, f) for f in ("models", "probes", "protocols", "seeds", "out", "device", "maps")}
    if ("protocols" in given or "seeds" in given) and file is not None:
        changed["plan"] = flagged.reopened(changed["plan"], "protocols" in given, "seeds" in given)
    return Study(**{**current, **changed})


def execute(study: "Study", *, resume: bool, page: bool) -> None:
    """Run a study and show what came out."""
    from depthprobe.cli import console, summary
    from depthprobe.run import run as measure
    from depthprobe.study import make_plans, open_dataset

    first = console.is_first()
    started = time.perf_counter()
    data = open_dataset(study)
    plans = make_plans(study, data.protocol)
    if first:
        probes = " and ".join([console.counted(len(study.models), "network"), console.counted(len(plans), "probe")])
        console.say(f"{probes} on {console.counted(len(data), 'sample')} of {data.name} → {study.out}")
    with progress_bar(first) as progress:
        table = measure(
            study.models, plans, data, out=study.out, resume=resume, device=study.device, progress=progress,
            maps=study.maps, limits=study.limits,
        )  # fmt: skip
    if not first:
        return
    summary.show(table, Path(study.out))
    if page:
        from depthprobe.report import write_report

        with console.status("Writing the page"):
            place = write_report(Path(study.out))
        console.say(f"Page:  {place}")
    console.say(f"Table: {study.out} ({len(table):,} rows), in {time.perf_counter() - started:.0f} s")
    console.say(f"Next:  {summary.next_command(table, study.out, study.models)}")


@contextmanager
def progress_bar(show: bool) -> Iterator["Progress | None"]:
    """A bar with rate and time left, as the callback that `run` takes; None if it is not to be shown."""
    if not show:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from depthprobe.cli import console

    columns = (
        TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )  # fmt: skip
    with Progress(*columns, console=console.errors()) as bar:
        task = bar.add_task("Loading", total=None, rate="")
        start: dict[str, float] = {}

        def update(done: int, total: int, what: str) -> None:
            if not start:
                start.update(done=done, time=time.perf_counter())
                bar.reset(task, total=total, completed=done)
            spent = time.perf_counter() - start["time"]
            rate = (done - start["done"]) / spent if spent > 0 else 0.0
            description = what or ("Nothing left to measure" if done == total else "Reading data")
            bar.update(task, completed=done, description=description, rate=f"{rate:.1f}/s" if rate else "")

        try:
            yield update
        except BaseException:
            bar.update(task, visible=False)
            raise
