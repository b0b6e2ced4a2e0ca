"""`depthprobe train`: a recipe, from a TOML file and flags, to weights."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from depthprobe.train import Recipe


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="TOML file, shipped name (depthprobe list recipes), recipe.json, or zoo:NAME.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of this training.")] = Path("out/train"),
    model: Annotated[str | None, typer.Option("--model", "-m", help="E.g. timm:convnext_atto.")] = None,
    init: Annotated[str | None, typer.Option("--init", help="Start from: zoo:convnext, a training, a file.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="scenes (default), nyu, folder.")] = None,
    root: Annotated[Path | None, typer.Option("--root", help="Where the data set lies.")] = None,
    data: Annotated[list[str] | None, typer.Option("--data", help="Another option of it, NAME=VALUE.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of weights, order and augmentation.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, mps.")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="Any field, NAME=VALUE; repeatable.")] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder of the decoded or rendered frames.")] = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on from the last checkpoint.")] = True,
) -> None:
    """Train a network; stopped or killed at any moment, the same command goes on from its last checkpoint.

    **From nothing:** depthprobe train --model timm:convnext_atto --out out/convnext

    **A shipped recipe:** depthprobe train nyu-finetune --root data/nyuv2 --out out/nyu

    **Your own:** depthprobe train recipe.toml --set lr=0.0005 --set loss_options.variance_focus=0.85

    **On several GPUs:** torchrun --nproc-per-node 4 -m depthprobe train recipe.toml
    """
    from depthprobe.cli import console
    from depthprobe.train import fit

    flags = {"model": model, "init": init, "dataset": dataset, "steps": steps, "seed": seed, "device": device}
    made = make_recipe(recipe, flags, option or [], root=root, data=data or [])
    first = console.is_first()
    if first:
        length = f"{made.epochs:g} epochs" if made.epochs else f"{made.steps:,} steps"
        console.say(f"{made.model}, {length} of {made.batch_size} on {made.dataset} → {out}")
    started = time.perf_counter()
    with training_bar(first) as (rendering, progress):
        fit(made, out, cache=cache, resume=resume, progress=progress, rendering=rendering)
    if first:
        _tell(made, out, time.perf_counter() - started)


def make_recipe(
    name: str | None, flags: dict[str, Any], options: Sequence[str], *, root: Path | None = None,
    data: Sequence[str] = (),
) -> "Recipe":  # fmt: skip
    """The recipe that a file or name and flags describe; a flag replaces what the file says.

    Another data set than the default one starts from the bare splits `train` and `val`. `root` and `data` go to both.

    Raises:
        ValueError: on an unknown field or a value of the wrong kind.
        FileNotFoundError: if there is no such recipe.
    """
    from depthprobe.cli.flagged import assignment
    from depthprobe.study import set_options
    from depthprobe.train import Recipe
    from depthprobe.train.recipes import find_fields

    fields = {} if name is None else find_fields(name)
    changes = {k: v for k, v in flags.items() if v is not None}
    for field, value in map(assignment, options):
        table, _, key = field.partition(".")
        changes[table] = {**changes.get(table, fields.get(table, {})), key: value} if key else value
    fields |= ({"epochs": 0.0} if "steps" in changes else {}) | changes
    base = Recipe()
    if fields.get("dataset", base.dataset) != base.dataset:
        base = Recipe(train={"split": "train"}, val={"split": "val"})
    shared = dict(map(assignment, data)) | ({} if root is None else {"root": str(root)})
    for split in ("train", "val") if shared else ():
        fields[split] = {**fields.get(split, {}), **shared}
    made: Recipe = set_options(base, fields, "recipe")
    return made


def _tell(recipe: "Recipe", out: Path, seconds: float) -> None:
    """Where everything is, how good it became, and what to do next."""
    import csv

    from depthprobe.cli import console
    from depthprobe.functional.protocol import get_protocol
    from depthprobe.models.registry import brings_code

    lines = list(csv.DictReader((out / "history.csv").read_text().splitlines()))
    scores = {name: lines[-1].get(name, "") for name in get_protocol(recipe.protocol).metrics}
    text = ", ".join(f"{name} {float(value):.4g}" for name, value in scores.items() if value)
    console.say(f"Scores:  {text} ({recipe.protocol}, validation)")
    console.say(f"Weights: {out / 'final.safetensors'}, history.csv and the table beside them, in {seconds:.0f} s")
    place = f" --root {recipe.train['root']}" if "root" in recipe.train else ""
    weights = f"ckpt:{out / 'final.safetensors'}{'?trust=1' if brings_code(recipe.model) else ''}"
    console.say(
        f"Next:    depthprobe run --model {weights} --probe error --dataset {recipe.dataset}{place} --out {out / 'run'}"
    )


@contextmanager
def training_bar(show: bool) -> Iterator[tuple[Any, Any]]:
    """A bar with numbers and time left, as the two callbacks that `fit` takes; None where it is not to be shown."""
    if not show:
        yield None, None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from depthprobe.cli import console

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )  # fmt: skip
    with Progress(*columns, console=console.errors()) as bar:
        task = bar.add_task("Opening the training set", total=None)
        scores: dict[str, float] = {}
        resumed: list[int] = []

        def rendering(finished: int, total: int) -> None:
            bar.update(task, completed=finished, total=total, description="Making the training set")

        def update(step: int, steps: int, numbers: dict[str, float]) -> None:
            if not resumed:  # the time left counts from here, not from the training set or an earlier run
                resumed.append(step)
                bar.reset(task, total=steps, completed=step)
            scores.update({k: v for k, v in numbers.items() if k not in ("gradient_norm", "failed", "nonpositive")})
            text = " · ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in list(scores.items())[:3])
            bar.update(task, completed=step, description=text)

        try:
            yield rendering, update
        except BaseException:
            bar.update(task, visible=False)
            raise
