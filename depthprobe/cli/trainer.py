"""`depthprobe train`: a recipe, from a TOML file and flags, to weights."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer


def train(
    recipe: Annotated[Path | None, typer.Argument(help="A recipe (TOML) with any of the fields.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of this training.")] = Path("out/train"),
    model: Annotated[str | None, typer.Option("--model", "-m", help="E.g. timm:convnext_atto.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps.")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="Any field, NAME=VALUE; repeatable.")] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder of the rendered data.")] = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on from the last checkpoint.")] = True,
) -> None:
    """Train a network; stopped at any moment, the same command goes on from its last checkpoint.

    **Example:** depthprobe train --model timm:convnext_atto --out out/convnext

    **From a file:** depthprobe train recipe.toml --out out/pvt
    """
    from depthprobe.cli import console
    from depthprobe.train import fit

    made = read_recipe(recipe, {"model": model, "steps": steps}, option or [])
    console.say(f"{made.model}, {made.steps:,} steps of {made.batch_size} → {out}")
    started = time.perf_counter()
    with _bar() as (rendering, progress):
        fit(made, out, cache=cache, resume=resume, progress=progress, rendering=rendering)
    console.say(
        f"Weights: {out / 'final.safetensors'}, history.csv beside them, in {time.perf_counter() - started:.0f} s"
    )


def read_recipe(path: Path | None, flags: dict[str, Any], options: list[str]) -> Any:
    """The recipe that a file and flags describe; a flag replaces what the file says.

    Raises:
        ValueError: on an unknown field or a value of the wrong kind.
        FileNotFoundError: if there is no such file.
    """
    import tomllib

    from depthprobe.cli.flagged import assignment
    from depthprobe.study import set_options
    from depthprobe.train import Recipe

    if path is not None and not path.is_file():
        raise FileNotFoundError(
            f"Expected a recipe (TOML) at {path}, but found none; give the fields by flags instead."
        )
    fields = {} if path is None else tomllib.loads(path.read_text())
    fields |= {k: v for k, v in flags.items() if v is not None}
    fields |= dict(map(assignment, options))
    return set_options(Recipe(), fields, "recipe")


def _bar() -> Any:
    from contextlib import contextmanager

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from depthprobe.cli import console

    @contextmanager
    def shown() -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console.errors()) as bar:
            task = bar.add_task("Opening the training set", total=None)

            def rendering(finished: int, total: int) -> None:
                bar.update(task, completed=finished, total=total, description="Making the training set")

            def update(step: int, steps: int, numbers: dict[str, float]) -> None:
                text = " · ".join(f"{name} {value:.4g}" for name, value in numbers.items())
                bar.update(task, completed=step, total=steps, description=text)

            yield rendering, update

    return shown()
