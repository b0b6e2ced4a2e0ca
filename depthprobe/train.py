"""fit(): one readable training loop on Lightning Fabric; the only place that changes weights."""

import csv
import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor, nn

from depthprobe.checks import check_one_of
from depthprobe.data import load_dataset
from depthprobe.data.cache import open_cache
from depthprobe.functional.augment import augment
from depthprobe.functional.losses import LOSSES
from depthprobe.functional.protocol import evaluate, get_protocol
from depthprobe.models import DepthModel, load_model
from depthprobe.models.hooks import evaluating

SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda t: 0.5 * (1 + math.cos(math.pi * t)),
    "one_cycle": lambda t: (1 - t) if t > 0.3 else t / 0.3,
    "constant": lambda t: 1.0,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training: `depthprobe train` takes each field as a flag or from a TOML file.

    Convention: `lr` is the peak; the schedule runs over all steps after `warmup` (a share of the steps); `ema` is the
    decay of the averaged weights, which are the ones validated and saved (0: none).
    """

    model: str = "timm:convnext_atto"
    dataset: str = "scenes"
    train: dict[str, Any] = dataclasses.field(default_factory=lambda: {"split": "train", "n": 26_000})
    val: dict[str, Any] = dataclasses.field(default_factory=lambda: {"split": "val", "n": 256})
    steps: int = 2700
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    schedule: str = "cosine"
    loss: str = "silog"
    clip: float = 1.0
    ema: float = 0.998
    colour: float = 1.0
    seed: int = 0
    val_every: int = 300
    protocol: str = "scenes"
    precision: str = "auto"
    devices: int = 1

    def __post_init__(self) -> None:
        check_one_of("schedule", self.schedule, SCHEDULES)
        check_one_of("loss", self.loss, LOSSES.names())


def fit(
    recipe: Recipe,
    out: str | Path,
    *,
    cache: str | Path | None = None,
    resume: bool = True,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
    rendering: Callable[[int, int], None] | None = None,
) -> DepthModel:
    """Train a network by a recipe; interrupted at any moment, the same call goes on where the last checkpoint ended.

    Writes to `out`: `recipe.json`, `history.csv` (one line per validation), `last.pt` (weights, average, optimiser and
    step), `best.safetensors` (averaged weights with the lowest validation AbsRel) and `final.safetensors`.

    Args:
        recipe: what to train on what, and how.
        out: folder of this training; it refuses another recipe's.
        cache: folder for the rendered training set (default: `out`/cache).
        resume: go on from `last.pt`; False starts again.
        progress: called with (step, steps, numbers) after every step.
        rendering: called with (finished, total) while the training set is made.

    Raises:
        ValueError: if `out` belongs to another recipe.
        FloatingPointError: at the step where the loss stops being finite, naming the samples.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    _same_recipe(recipe, out)
    fabric = Fabric(accelerator="auto", devices=recipe.devices, precision=_precision(recipe.precision))
    fabric.launch()
    loop = _Loop(recipe, out, fabric, cache or out / "cache", rendering)
    if resume and (out / "last.pt").exists():
        loop.load()
    while loop.step < recipe.steps:
        numbers = loop.train_step()
        if loop.step % recipe.val_every == 0 or loop.step == recipe.steps:
            loop.validate(numbers)
            loop.save()
        if progress is not None:
            progress(loop.step, recipe.steps, numbers)
    return loop.average if loop.average is not None else loop.model


class _Loop:
    """The state of one training; `fit` is its only user."""

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        fabric: Fabric,
        cache: str | Path,
        rendering: Callable[[int, int], None] | None,
    ) -> None:
        self.recipe, self.out, self.fabric, self.step, self.best = recipe, out, fabric, 0, math.inf
        with fabric.rank_zero_first():
            self.data = open_cache(recipe.dataset, recipe.train, cache, progress=rendering)
        self.model = load_model(initial(recipe))
        self.average: DepthModel | None = None
        if recipe.ema > 0:
            self.average = load_model(initial(recipe)).requires_grad_(False).to(fabric.device)
            self.average.load_state_dict(self.model.state_dict())
        optimizer = torch.optim.AdamW(parameter_groups(self.model, recipe.weight_decay), lr=recipe.lr)
        model = self.model.train().to(memory_format=torch.channels_last)
        self.wrapped, self.optimizer = fabric.setup(model, optimizer)
        self.started = time.monotonic()

    def indices(self, step: int) -> list[int]:
        """Sample numbers of one step on this rank: a seeded permutation per epoch, so any step can be replayed."""
        size, world = self.recipe.batch_size, self.fabric.world_size
        per_epoch = max(1, len(self.data) // (size * world))
        epoch, position = divmod(step, per_epoch)
        generator = torch.Generator().manual_seed(self.recipe.seed * 100_003 + epoch)
        order = torch.randperm(len(self.data), generator=generator)
        start = (position * world + self.fabric.global_rank) * size
        return sorted(order[start : start + size].tolist())

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        warm = self.recipe.warmup * self.recipe.steps
        if step < warm:
            return self.recipe.lr * (step + 1) / (warm + 1)
        return self.recipe.lr * SCHEDULES[self.recipe.schedule]((step - warm) / max(1, self.recipe.steps - warm))

    def train_step(self) -> dict[str, float]:
        """One optimiser step."""
        indices = self.indices(self.step)
        seed = (self.recipe.seed * 1_000_003 + self.step) * 64 + self.fabric.global_rank
        generator = torch.Generator().manual_seed(seed)
        image, depth, valid = (x.to(self.fabric.device, non_blocking=True) for x in self.data.batch(indices))
        image, depth, valid = augment(image, depth, valid, generator=generator, colour=self.recipe.colour)
        pred = self.wrapped(image.to(memory_format=torch.channels_last))
        loss: Tensor = LOSSES[self.recipe.loss](pred.float(), depth, valid)
        if not bool(torch.isfinite(loss)):
            names = [self.data.dataset.samples[i] for i in indices]
            last = self.out / "last.pt"
            raise FloatingPointError(
                f"The loss is {loss.item()} at step {self.step} on {names}; last good state: {last}."
            )
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=self.recipe.clip)
        rate = self.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._update_average()
        self.step += 1
        return {"loss": loss.item(), "lr": rate}

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        decay = min(self.recipe.ema, (self.step + 1) / (self.step + 10))
        for mine, theirs in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs.to(mine), 1 - decay)
            else:
                mine.copy_(theirs)

    def validate(self, numbers: dict[str, float]) -> None:
        """Score the averaged network on the validation set and append a line to the history."""
        scores = score(self.average or self.model, self.recipe, self.fabric.device)
        elapsed = time.monotonic() - self.started
        line = {"step": self.step, **numbers, **scores, "seconds": round(elapsed, 1)}
        if self.fabric.global_rank != 0:
            return
        history = self.out / "history.csv"
        fresh = not history.exists()
        with history.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(line))
            if fresh:
                writer.writeheader()
            writer.writerow(line)
        if scores["abs_rel"] < self.best:
            self.best = scores["abs_rel"]
            save_weights(self.average or self.model, self.out / "best.safetensors")
        if self.step == self.recipe.steps:
            save_weights(self.average or self.model, self.out / "final.safetensors")
        numbers.update(scores)

    def save(self) -> None:
        """Write `last.pt` atomically."""
        if self.fabric.global_rank != 0:
            return
        average = None if self.average is None else self.average.state_dict()
        state = {"step": self.step, "best": self.best, "model": self.model.state_dict(), "average": average}
        partial = self.out / "last.pt.partial"
        torch.save({**state, "optimizer": self.optimizer.state_dict()}, partial)
        partial.replace(self.out / "last.pt")

    def load(self) -> None:
        """Go on from `last.pt`; nothing in it is executed (weights_only)."""
        state = torch.load(self.out / "last.pt", map_location=self.fabric.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best = int(state["step"]), float(state["best"])


@torch.no_grad()
def score(model: DepthModel, recipe: Recipe, device: torch.device) -> dict[str, float]:
    """Mean metrics of a network over the recipe's validation set, by its protocol."""
    protocol = get_protocol(recipe.protocol)
    collected: dict[str, list[Tensor]] = {}
    with evaluating(model):
        for batch in load_dataset(recipe.dataset, **recipe.val):
            pred = model(batch.image.to(device)).float().cpu()
            values = evaluate(pred, batch.depth, batch.valid, kind=model.card.output, protocol=protocol)
            for name, value in values.items():
                collected.setdefault(name, []).append(value)
    return {name: float(torch.cat(parts).nanmean()) for name, parts in collected.items()}


def initial(recipe: Recipe) -> str:
    """The model's name with the recipe's seed, so that trainings of different seeds start from different weights."""
    if recipe.seed == 0 or not recipe.model.startswith("timm:"):
        return recipe.model
    return f"{recipe.model}{'&' if '?' in recipe.model else '?'}seed={recipe.seed}"


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW groups: weight decay for matrices and kernels only, none for norms and biases."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    rest = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def save_weights(model: DepthModel, path: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write the network's weights (without the adapter) as safetensors, atomically."""
    state = {k: v.detach().cpu().contiguous() for k, v in model.net.state_dict().items()}
    if dtype is not None:
        state = {k: v.to(dtype) if v.dtype.is_floating_point else v for k, v in state.items()}
    partial = path.with_name(path.name + ".partial")
    save_file(state, partial)
    partial.replace(path)


def _same_recipe(recipe: Recipe, out: Path) -> None:
    path, mine = out / "recipe.json", json.loads(json.dumps(dataclasses.asdict(recipe)))
    if path.exists() and (theirs := json.loads(path.read_text())) != mine:
        different = sorted(k for k in mine if mine[k] != theirs.get(k))
        raise ValueError(
            f"Expected {out} to be a training of this recipe, but it differs in {different}; choose another --out."
        )
    path.write_text(json.dumps(mine, indent=2))


def _precision(name: str) -> Any:
    if name != "auto":
        return name
    if not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
