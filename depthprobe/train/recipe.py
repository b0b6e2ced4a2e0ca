"""Recipe: everything that decides a training, and how it is run."""

import dataclasses
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depthprobe.checks import check_one_of, check_range
from depthprobe.functional.losses import LOSSES
from depthprobe.functional.protocol import PROTOCOLS
from depthprobe.schema import plan_id, read_object, write_atomic
from depthprobe.study import check_keys
from depthprobe.train.schedule import SCHEDULES

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
STRATEGIES = ("auto", "ddp", "fsdp")
OWN = "own"  # the loss is the network's own objective
DEVICES = ("auto", "cpu", "cuda", "mps")
STATE, BEST, LAST, FINAL = RESULTS = ("last.pt", "best.safetensors", "last.safetensors", "final.safetensors")


def _how(default: Any) -> Any:
    """A field that says how a training is run and not what it is: it may change when the training goes on."""
    return dataclasses.field(default=default, metadata={"how": True})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training: `depthprobe train` takes each field as a flag or from a TOML file.

    Network: `model` by name; `init` is the file, training folder or zoo network whose weights it starts from, where
    the parts named in `init_new` (such as ["dgr"]) may be missing.

    Data: `dataset` with its options `train` and `val`. `resize` (h, w): the size at which training frames are kept,
    depth by the nearest pixel. `held_out`: the share of the training set's groups that is kept for validation; `val`
    is then not used.

    Steps: `steps` optimiser steps, or `epochs` passes over the data if that is not 0. `batch_size` samples per
    optimiser step, over all processes; each process splits its share into `accumulate` parts. For a loss that is a
    mean over images this changes nothing but memory and speed.

    Optimiser: AdamW with peak rate `lr`, times `encoder_lr` in the encoder; `schedule` with `warmup` (share of the
    steps), `lr_end` (share of the peak) and `power` (of `polynomial`); gradients clipped to a norm of `clip` (0: not);
    `ema` is the decay of the averaged weights, which are the ones validated and saved (0: none).

    Loss: `loss` with `loss_options`; "own" is the objective that the network states itself, as `mask:` does.

    Augmentation (see `functional.augment`): `flip`, `cut_depth`, `drop_pixels` are probabilities, `colour` a strength,
    `rotation` degrees, `crop` the (h, w) of a random window, at the centre in validation.

    Judging: `protocol` every `val_every` steps; its first metric decides which weights are `best`.

    Computing: `precision` auto is bf16 (or fp16) with float32 weights on CUDA, and float32 elsewhere. `compile`:
    torch.compile.

    How it is run (may change when a training goes on): `device`; `devices`, as many of them (-1: all), unless torchrun
    says; `strategy`; a checkpoint every `save_every` steps and every `save_seconds` (0: neither) beside those at
    validations; a line of history every `log_every` steps; `tensorboard`.
    """

    model: str = "timm:convnext_atto"
    init: str = ""
    init_new: tuple[str, ...] = ()
    dataset: str = "scenes"
    train: dict[str, Any] = dataclasses.field(default_factory=lambda: {"split": "train", "n": 26_000})
    val: dict[str, Any] = dataclasses.field(default_factory=lambda: {"split": "val", "n": 256})
    resize: tuple[int, ...] = ()
    held_out: float = 0.0
    steps: int = 2700
    epochs: float = 0.0
    batch_size: int = 32
    accumulate: int = 1
    lr: float = 1e-3
    encoder_lr: float = 1.0
    weight_decay: float = 0.05
    schedule: str = "cosine"
    warmup: float = 0.05
    lr_end: float = 0.0
    power: float = 0.9
    clip: float = 1.0
    ema: float = 0.998
    loss: str = "silog"
    loss_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    flip: float = 0.5
    colour: float = 1.0
    rotation: float = 0.0
    crop: tuple[int, ...] = ()
    cut_depth: float = 0.0
    drop_pixels: float = 0.0
    seed: int = 0
    val_every: int = 300
    protocol: str = "scenes"
    precision: str = "auto"
    channels_last: bool = True
    compile: bool = False
    device: str = _how("auto")
    devices: int = _how(1)
    strategy: str = _how("auto")
    save_every: int = _how(0)
    save_seconds: float = _how(300.0)
    log_every: int = _how(50)
    tensorboard: bool = _how(False)

    def __post_init__(self) -> None:
        for name in ("init_new", "resize", "crop"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, known in _CHOICES.items():
            check_one_of(name, getattr(self, name), known)
        check_one_of("loss", self.loss, [*LOSSES, OWN])
        for name, (low, high) in _RANGES.items():
            check_range(name, getattr(self, name), low, high)
        for name in ("resize", "crop"):
            if len(size := getattr(self, name)) not in (0, 2) or not all(isinstance(x, int) and x > 0 for x in size):
                raise ValueError(f"Expected `{name}` to be [height, width] in pixels, but got {list(size)!r}.")
        options = [] if self.loss == OWN else list(inspect.signature(LOSSES[self.loss]).parameters)[3:]
        check_keys(f"loss_options of `{self.loss}`", self.loss_options, [p for p in options if p != "image"])

    @property
    def key(self) -> str:
        """8-character hash of what the recipe trains, without its seed and without how it is run."""
        usual: dict[str, Any] = {name: field.default for name, field in _fields().items() if _is_how(field)}
        return plan_id(dataclasses.replace(self, **usual))


_CHOICES: dict[str, Any] = {
    "schedule": SCHEDULES.names(),
    "protocol": PROTOCOLS,
    "precision": PRECISIONS,
    "device": DEVICES,
    "strategy": STRATEGIES,
}
_INF = float("inf")
_RANGES: dict[str, tuple[float, float]] = {
    "held_out": (0, 0.9), "steps": (1, _INF), "epochs": (0, _INF), "batch_size": (1, _INF), "accumulate": (1, _INF),
    "lr": (0, _INF), "encoder_lr": (0, _INF), "weight_decay": (0, _INF), "warmup": (0, 1), "lr_end": (0, 1),
    "power": (0, _INF), "clip": (0, _INF), "ema": (0, 1), "flip": (0, 1), "colour": (0, 1), "rotation": (0, 90),
    "cut_depth": (0, 1), "drop_pixels": (0, 1), "seed": (0, 2**31), "val_every": (1, _INF), "save_every": (0, _INF),
    "save_seconds": (0, _INF), "log_every": (1, _INF),
}  # fmt: skip


def _fields() -> dict[str, dataclasses.Field[Any]]:
    return {f.name: f for f in dataclasses.fields(Recipe)}


def _is_how(field: dataclasses.Field[Any]) -> bool:
    return bool(field.metadata.get("how"))


def recipe_of(fields: Mapping[str, Any]) -> Recipe:
    """The recipe that a card or `recipe.json` of any version describes.

    What it does not say has today's default; what today's recipes do not have is left out.
    """
    return Recipe(**{k: v for k, v in fields.items() if k in _fields()})


def read_recipe(folder: str | Path) -> Recipe:
    """The recipe of a training's folder.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged.
    """
    path = Path(folder) / "recipe.json"
    if not path.is_file():
        raise FileNotFoundError(f"Expected the recipe of a training at {path}, but found none; correct the folder.")
    return recipe_of(read_object(path, "choose another folder"))


def claim_folder(recipe: Recipe, out: Path) -> None:
    """Write the recipe into a training's folder, unless a training of another one has come to a checkpoint there.

    Raises:
        ValueError: naming the fields in which the other recipe differs.
    """
    path = out / "recipe.json"
    if path.is_file() and any((out / name).is_file() for name in RESULTS):
        theirs = read_recipe(out)
        mine, other = (json.loads(json.dumps(dataclasses.asdict(r))) for r in (recipe, theirs))
        if different := sorted(n for n, field in _fields().items() if not _is_how(field) and mine[n] != other[n]):
            raise ValueError(
                f"Expected {out} to be a training of this recipe, but it differs in {different}; choose another --out."
            )
    write_atomic(path, json.dumps(dataclasses.asdict(recipe), indent=2).encode())
