"""A backbone without a trained decoder is given one, by the standard short recipe, before it is audited."""

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from depthprobe.data import DATASETS, Dataset
from depthprobe.functional.protocol import get_protocol
from depthprobe.models import SCHEMES, load_model
from depthprobe.ranks import open_ranks
from depthprobe.study import set_options
from depthprobe.train import Recipe, fit
from depthprobe.train.recipes import find_fields

RECIPE = "audit"
QUICK: dict[str, Any] = {"steps": 400, "val_every": 200, "ema": 0.99}
"""What a quick audit changes in the recipe; and of scenes, the number that it trains on."""
QUICK_SCENES = 2000
HELD_OUT = 0.1
OF_TEST = ("split", "n", "start", "batch_size", "on_error", "workers")
"""Options of the audited data set that say which samples are tested and how they are read: training has its own."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network's name for `load_model`, and what is said of its training."""

    name: str
    record: dict[str, Any]


def is_bare(model: str) -> bool:
    """Whether a name opens a backbone whose decoder is not trained."""
    return bool(scheme_facts(model).get("untrained"))


def scheme_facts(model: str) -> dict[str, Any]:
    """What is registered of the scheme of a model's name ({} without one)."""
    scheme, mark, _ = model.partition(":")
    return SCHEMES.facts(scheme) if mark and scheme in SCHEMES else {}


def recipe_for(model: str, data: Dataset, *, quick: bool, device: str = "auto") -> Recipe:
    """The standard recipe for a backbone, on the training split of the data that it will be audited on.

    Raises:
        ValueError: if the data set is none that training can open.
    """
    if data.name not in DATASETS:
        raise ValueError(
            f"Expected a registered data set {DATASETS.names()} to train {model} on, but got `{data.name}`; train it "
            "yourself (depthprobe train) and audit ckpt:FILE."
        )
    fields = find_fields(RECIPE)
    shared = {key: value for key, value in data.options.items() if key not in OF_TEST}
    if data.name == fields["dataset"]:
        more = {"n": QUICK_SCENES} if quick else {}
        fields |= {split: {**fields[split], **shared} for split in ("train", "val")}
        fields["train"] |= more
    else:
        fields |= {"dataset": data.name, "train": {"split": "train", **shared}, "val": {}, "held_out": HELD_OUT,
                   "resize": list(load_model(model).canvas_size(96, 128)), "protocol": _protocol(data)}  # fmt: skip
    kind = device.partition(":")[0]
    fields |= {"model": model, "device": kind, **(QUICK if quick else {})}
    return set_options(Recipe(train={}, val={}), fields, "recipe")


def _protocol(data: Dataset) -> str:
    """The data set's protocol if it judges metric depth, which the decoder puts out; else that of scenes."""
    return data.protocol if "metric_depth" in dict(get_protocol(data.protocol).alignment) else "scenes"


def train_bare(
    model: str,
    data: Dataset,
    out: str | Path,
    *,
    quick: bool = False,
    resume: bool = True,
    device: str = "auto",
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
    rendering: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train a bare backbone with the shared decoder into the folder `out`; killed, the same call goes on.

    Raises:
        ValueError: if the data set has no training split, or `out` belongs to another training.
        FloatingPointError: if the training diverges.
    """
    recipe, out = recipe_for(model, data, quick=quick, device=device), Path(out)
    with open_ranks(device) as ranks:
        fit(recipe, out, resume=resume, progress=progress, rendering=rendering)
        ranks.barrier()  # the first process is the last to write
    return Trained(f"ckpt:{out / 'final.safetensors'}", record(recipe, out))


def record(recipe: Recipe, out: Path) -> dict[str, Any]:
    """What an audit says of a training: its recipe, the seconds that its steps took, its last validation."""
    lines = list(csv.DictReader((out / "history.csv").read_text().splitlines()))
    steps = [0, *(int(line["step"]) for line in lines)]
    done = zip(lines, steps, strict=False)
    seconds = sum((int(line["step"]) - last) * recipe.batch_size / float(line["throughput"]) for line, last in done)
    scores = {name: lines[-1].get(name) or "nan" for name in get_protocol(recipe.protocol).metrics}
    fields = dataclasses.asdict(recipe)
    return {
        "recipe": {k: v for k, v in fields.items() if k not in ("device", "devices", "tensorboard")},
        "seconds": round(seconds, 3),
        "scores": {name: float(value) for name, value in scores.items()},
    }
