"""The trainings of a factorial study: networks x arms x seeds, each trained once, measured once, kept as one file.

A cell's file holds the rows of its measurement and, as its note, how it came about. A cell whose file is there is not
trained again; one that was interrupted goes on from its last checkpoint. Several processes may work on one study: each
takes the next cell that no other has in hand (on two cores, two processes of one thread each train about 1.3 times as
many networks an hour as one process of two threads).
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from depthprobe.data import load_dataset
from depthprobe.data.cache import open_cache
from depthprobe.models import load_model
from depthprobe.run import run
from depthprobe.schema import read_note, read_table, write_part
from depthprobe.train import Recipe, fit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """What is added to a plain training: an option of the model's name, a loss with its options."""

    option: str = ""
    loss: str = "silog"
    loss_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """What all cells share.

    Convention: networks {short name: model name with a question mark and its options}; the recipe's model, loss and
    seed are set by the cell; `test` are the options of the data set that every trained network is measured on, with
    `plans` by probe as `run` takes them.
    """

    networks: Mapping[str, str]
    arms: Mapping[str, Arm]
    recipe: Recipe
    test: Mapping[str, Any]
    plans: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """One training."""

    network: str
    arm: str
    seed: int

    @property
    def stem(self) -> str:
        """The name of its file."""
        return f"{self.network}-{self.arm}-{self.seed}"

    @classmethod
    def of(cls, path: Path) -> "Cell":
        """The cell whose file it is."""
        network, arm, seed = path.stem.rsplit("-", 2)
        return cls(network, arm, int(seed))


def recipe_of(design: Design, cell: Cell) -> Recipe:
    """The cell's recipe: arms of one network and seed start from the same weights and see the same samples."""
    arm = design.arms[cell.arm]
    model = "&".join(filter(None, (design.networks[cell.network], arm.option)))
    return dataclasses.replace(
        design.recipe, model=model, loss=arm.loss, loss_options=dict(arm.loss_options), seed=cell.seed
    )


def make(
    design: Design,
    cells: Sequence[Cell],
    results: Path,
    work: Path,
    *,
    say: Callable[[str], object] = print,
) -> None:
    """Train and measure the cells that have no file in `results`; checkpoints and rendered scenes are in `work`."""
    todo = [cell for cell in cells if not _file(results, cell).is_file()]
    if not todo:
        return
    work.mkdir(parents=True, exist_ok=True)
    with FileLock(work / "cache.lock"):  # one process renders, the others wait for it
        open_cache(design.recipe.dataset, design.recipe.train, work / "cache", size=design.recipe.resize)
    for number, cell in enumerate(todo, start=1):
        lock = FileLock(work / f"{cell.stem}.lock", blocking=False)
        with contextlib.suppress(Timeout), lock:  # the lock of a process that died is free
            if not _file(results, cell).is_file():
                say(f"{cell.stem} ({number} of {len(todo)})")
                _train(design, cell, results, work)


def _train(design: Design, cell: Cell, results: Path, work: Path) -> None:
    recipe = recipe_of(design, cell)
    model = fit(recipe, work / cell.stem, cache=work / "cache").eval()
    note = {"recipe": dataclasses.asdict(recipe), "parameters": sum(p.numel() for p in model.net.parameters())}
    write_part(measure(design, cell, model), _file(results, cell), note)


def _file(results: Path, cell: Cell) -> Path:
    return results / f"{cell.stem}.parquet"


def measure(design: Design, cell: Cell, model: Any) -> pd.DataFrame:
    """The rows of a trained network: `model` is `network arm`, `tag` the seed of its training."""
    model.card = dataclasses.replace(model.card, name=f"{cell.network} {cell.arm}", tag=f"seed{cell.seed}", digest="")
    with tempfile.TemporaryDirectory() as folder:
        return run([model], design.plans, load_dataset(design.recipe.dataset, **design.test), out=folder, maps=0)


def load_trained(design: Design, cell: Cell, work: Path) -> Any:
    """The trained network of a cell from its checkpoint, for galleries."""
    return load_model(f"ckpt:{work / cell.stem / 'final.safetensors'}?model={recipe_of(design, cell).model}")


def read(results: Path) -> tuple[pd.DataFrame, dict[Cell, dict[str, Any]]]:
    """All rows, with the columns network and arm, and the notes of all cells.

    Raises:
        FileNotFoundError: if there is no file, with what to run.
    """
    files = sorted(results.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(
            f"Expected measured trainings at {results}, but found none; run the study with --train."
        )
    table = pd.concat([read_table(file) for file in files], ignore_index=True)
    both = table["model"].str.split(" ", n=1, expand=True)
    return table.assign(network=both[0], arm=both[1]), {Cell.of(file): read_note(file) or {} for file in files}
