"""What is written down about a training: rows of the measurement table, a CSV for the eye, TensorBoard on request.

The rows have `probe="train"` and the step as their level. Scores of a validation are rows of its samples, with their
groups, so `stats.summarise(table, ["metric", "level"])` draws the curve with intervals; what belongs to the training
as a whole (loss, throughput) is a row of the sample `training`.
"""

import csv
import dataclasses
import importlib.util
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from depthprobe.functional.metrics import METRICS
from depthprobe.functional.protocol import get_protocol
from depthprobe.models import ModelCard
from depthprobe.provenance import circumstances, plain
from depthprobe.schema import COLUMNS, rows, validate, write_atomic, write_part
from depthprobe.train.recipe import Recipe

WHOLE = "training"
CSV = "history.csv"


class History:
    """The history of one training in its folder; `begin` drops what comes after the step from which it goes on."""

    def __init__(self, recipe: Recipe, card: ModelCard, out: Path) -> None:
        self.recipe, self.card, self.out = recipe, card, out
        self.lines: list[dict[str, Any]] = []
        self.board: Any = None

    def begin(self, step: int, facts: Mapping[str, Any], device: str) -> None:
        """Drop what was written after `step`, and write the table's description.

        Raises:
            ImportError: if TensorBoard is asked for and not installed.
        """
        if (self.out / CSV).is_file():
            lines = list(csv.DictReader((self.out / CSV).read_text().splitlines()))
            self.lines = [line for line in lines if int(line["step"]) <= step]
        for part in (self.out / "parts").glob("step-*"):
            if part.suffix != ".parquet" or int(part.stem.removeprefix("step-")) > step:
                part.unlink()
        self._write_csv()
        self.describe("running", facts, device)
        if self.recipe.tensorboard:
            self.board = open_board(self.out / "tensorboard", step)

    def describe(self, status: str, facts: Mapping[str, Any], device: str) -> None:
        """Write `table.json`: the recipe as the plan, what its axes mean, and the circumstances."""
        protocol = get_protocol(self.recipe.protocol)
        record = {
            "status": status,
            "command": ["depthprobe", "train", str(self.out / "recipe.json")],
            "dataset": {"name": self.recipe.dataset, "facts": facts, "protocol": protocol.name},
            "models": [{f: getattr(self.card, f) for f in ("name", "tag", "family", "output", "size")}],
            "protocol": dataclasses.asdict(protocol),
            "plans": {self.recipe.key: {"probe": "train", "type": "Recipe", **dataclasses.asdict(self.recipe)}},
            "axes": {"train": {"level": "step"}},
            **circumstances([device]),
        }
        write_atomic(self.out / "table.json", json.dumps(record, indent=1, default=plain).encode())

    def write(self, step: int, numbers: Mapping[str, float], scores: pd.DataFrame | None = None) -> None:
        """A line at `step`: numbers of the whole training, and the rows of a validation."""
        level: dict[str, Any] = {"factor": "step", "level": float(step)}
        frames = [rows([WHOLE], name, [value], **level).assign(group=WHOLE) for name, value in numbers.items()]
        means: dict[str, float] = {}
        if scores is not None:
            frames.append(scores.assign(**level))
            means = {str(k): v for k, v in scores.groupby("metric", sort=False)["value"].mean().items()}
        table = self._stamped(pd.concat(frames, ignore_index=True))
        write_part(table, self.out / "parts" / f"step-{step:09d}.parquet")
        self.lines.append({"step": step, **numbers, **means})
        self._write_csv()
        if self.board is not None:
            for name, value in {**numbers, **means}.items():
                self.board.add_scalar(name, value, step)
            self.board.flush()

    def close(self) -> None:
        """Close what is open."""
        if self.board is not None:
            self.board.close()

    def _stamped(self, frame: pd.DataFrame) -> pd.DataFrame:
        facts = {name: METRICS.facts(name) for name in frame["metric"].unique()}
        constant = {
            "dataset": self.recipe.dataset, "model": self.card.name, "tag": WHOLE, "family": self.card.family,
            "probe": "train", "plan": self.recipe.key, "seed": self.recipe.seed,
        }  # fmt: skip
        unit, better = ({name: f[key] for name, f in facts.items()} for key in ("unit", "better"))
        frame = frame.assign(**constant, unit=frame["metric"].map(unit), better=frame["metric"].map(better))
        return validate(frame[COLUMNS])

    def _write_csv(self) -> None:
        names = list(dict.fromkeys(name for line in self.lines for name in line))
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.lines)
        write_atomic(self.out / CSV, text.getvalue().encode())


def open_board(folder: Path, step: int) -> Any:
    """A TensorBoard writer that drops what an earlier run wrote after `step`.

    Raises:
        ImportError: if TensorBoard is not installed, with the command that installs it.
    """
    check_board()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)


def check_board() -> None:
    """Raise ImportError unless TensorBoard is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ImportError(
            "Expected the package tensorboard for tensorboard=true, but it is not installed; "
            'pip install "depthprobe[tensorboard]", or leave it off: history.csv has the same numbers.'
        )
