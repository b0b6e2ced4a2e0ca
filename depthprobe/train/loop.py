"""fit(): the loop."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from depthprobe.data import load_dataset
from depthprobe.data.cache import ArrayCache, open_cache
from depthprobe.functional.losses import LOSSES
from depthprobe.models import DepthModel
from depthprobe.models.hooks import seeded
from depthprobe.train import checkpoint
from depthprobe.train.average import Average
from depthprobe.train.devices import open_fabric
from depthprobe.train.feed import Feed
from depthprobe.train.guard import Guard, explained_memory
from depthprobe.train.history import History, check_board
from depthprobe.train.meter import Meter
from depthprobe.train.network import build, optimiser
from depthprobe.train.order import key_of
from depthprobe.train.recipe import BEST, FINAL, LAST, OWN, RESULTS, STATE, Recipe, claim_folder
from depthprobe.train.schedule import share_of_peak
from depthprobe.train.validation import Validation, held_out, improves, judge, means

Progress = Callable[[int, int, dict[str, float]], None]
CLOCK_EVERY = 10  # steps between two looks at the clock that several processes take together


def fit(
    recipe: Recipe,
    out: str | Path,
    *,
    cache: str | Path | None = None,
    resume: bool = True,
    progress: Progress | None = None,
    rendering: Callable[[int, int], None] | None = None,
) -> DepthModel:
    """Train a network by a recipe; stopped or killed at any moment, the same call goes on from the last checkpoint.

    On the CPU the weights are then, bit for bit, those of a training that was never stopped. Started by torchrun, the
    processes share every batch; each returns the network.

    Writes to `out`: `recipe.json`; the history, `history.csv` and as a measurement table (`parts`, `table.json`; see
    `schema.read_table`); `best`, `last` and `final.safetensors`, the averaged weights with the best validation, at the
    latest and at the last step; `last.pt`, all that is needed to go on.

    Args:
        recipe: what to train on what, and how.
        out: folder of this training; it refuses another recipe's.
        cache: folder for the decoded or rendered training set (default: `out`/cache).
        resume: go on from `last.pt`; False removes what is there and starts again.
        progress: called with (step, steps, numbers) after every step, on the first process.
        rendering: called with (finished, total) while the training set is made.

    Raises:
        ValueError: if `out` belongs to another recipe, or the recipe does not fit data, network or devices.
        FloatingPointError: at the step where loss or gradients stop being finite, naming the samples.
        MemoryError: if the memory does not suffice, with what to change.
        ConnectionError: if another process of the training is lost.
    """
    if recipe.tensorboard:
        check_board()
    with open_fabric(recipe) as fabric:
        training = Training(recipe, Path(out), fabric, Path(cache or Path(out) / "cache"), rendering)
        training.begin(resume)
        report = progress if progress is not None and fabric.is_global_zero else (lambda step, steps, numbers: None)
        with training.feed, training.explained():
            while training.step < training.steps:
                numbers = training.train_step()
                if training.due(recipe.val_every):
                    numbers |= training.validate()
                elif training.due(recipe.log_every):
                    training.log()
                if training.due(recipe.val_every) or training.due(recipe.save_every) or training.overdue():
                    training.save()
                report(training.step, training.steps, numbers)
        return training.finish()


class Training:
    """The state of one training; `fit` is its only user."""

    def __init__(
        self, recipe: Recipe, out: Path, fabric: Fabric, cache: Path, rendering: Callable[[int, int], None] | None
    ) -> None:
        self.recipe, self.out, self.fabric = recipe, out, fabric
        self.first = bool(fabric.is_global_zero)
        if recipe.batch_size % (parts := fabric.world_size * recipe.accumulate):
            raise ValueError(
                f"Expected `batch_size` to be a multiple of {parts} (processes x accumulate), but got "
                f"{recipe.batch_size}; it counts the samples of one step over all processes."
            )
        if self.first:
            out.mkdir(parents=True, exist_ok=True)
            claim_folder(recipe, out)
        with fabric.rank_zero_first():
            self.cache = open_cache(recipe.dataset, recipe.train, cache, size=recipe.resize, progress=rendering)
        numbers, self.validation = _parted(recipe, self.cache)
        self.steps = math.ceil(recipe.epochs * len(numbers) / recipe.batch_size) or recipe.steps
        self.model = build(recipe)
        if recipe.channels_last and recipe.strategy != "fsdp":  # which takes contiguous weights only
            self.model.to(memory_format=torch.channels_last)
        network: Any = torch.compile(self.model) if recipe.compile else self.model
        self.wrapped = fabric.setup_module(network)
        scaled = getattr(fabric.strategy.precision, "scaler", None) is not None
        self.optimizer: Any = fabric.setup_optimizers(optimiser(self.model, recipe, fused=not scaled))
        self.average = Average(self.model.net, recipe.ema)
        self.loss = loss_of(recipe, self.model)
        self.feed = Feed(recipe, self.cache, numbers, fabric, self.model.card.fill)
        self.guard = Guard(out / STATE, scaled=scaled)
        self.meter, self.history = Meter(fabric.device), History(recipe, self.model.card, out)
        self.step, self.saved = 0, time.monotonic()
        self.best: float | None = None

    def begin(self, resume: bool) -> None:
        """Go on from the last checkpoint, or remove what is there and start."""
        state = self.out / STATE
        if not resume and self.first:
            for name in RESULTS:
                (self.out / name).unlink(missing_ok=True)
        self.fabric.barrier()
        if state.is_file():
            self._load(checkpoint.read_state(state))
        if self.first:
            self.history.begin(self.step, self.cache.dataset.facts, str(self.fabric.device))
        self.fabric.barrier()
        self.model.train()

    def train_step(self) -> dict[str, float]:
        """One optimiser step; returns what is known of it (on a GPU, of the step before)."""
        started, recipe, fabric = time.perf_counter(), self.recipe, self.fabric
        total = torch.zeros((), device=fabric.device)
        with seeded(key_of(recipe.seed, "step", self.step, fabric.global_rank), fabric.device):
            for part, (image, depth, valid) in enumerate(self.feed.micro_batches(self.step)):
                with fabric.no_backward_sync(self.wrapped, enabled=part < recipe.accumulate - 1):
                    pred = self.wrapped(image).float()
                    loss = self.loss(pred, depth, valid, image) / recipe.accumulate
                    fabric.backward(loss)
                total += loss.detach()
        norm = _plain(
            fabric.clip_gradients(
                self.wrapped, self.optimizer, max_norm=recipe.clip or math.inf, error_if_nonfinite=False
            )
        )
        self.guard.watch(self.step, self.feed.names, total, norm)
        rate = self.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["ratio"]
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.step)
        self.step += 1
        self.meter.add(total, norm, recipe.batch_size, self.feed.waited, time.perf_counter() - started)
        return {**self.guard.numbers, "learning_rate": rate}

    def rate(self) -> float:
        """The learning rate of the next step."""
        r = self.recipe
        return r.lr * share_of_peak(r.schedule, self.step, self.steps, warmup=r.warmup, end=r.lr_end, power=r.power)

    def due(self, every: int) -> bool:
        """Whether something that happens every so many steps (0: never) happens after this one; always at the end."""
        return every > 0 and (self.step % every == 0 or self.step == self.steps)

    def overdue(self) -> bool:
        """Whether the last checkpoint is older than it may be; the first process's clock decides for all."""
        if not self.recipe.save_seconds or (self.fabric.world_size > 1 and self.step % CLOCK_EVERY):
            return False
        late = time.monotonic() - self.saved > self.recipe.save_seconds
        return bool(self.fabric.broadcast(late)) if self.fabric.world_size > 1 else late

    def log(self) -> None:
        """A line of history without a validation."""
        self._write_line(None)

    def validate(self) -> dict[str, float]:
        """Judge the averaged network, keep its weights, and write a line of history."""
        self.guard.settle()
        with self.average.applied():
            frame = judge(self.model, self.validation, self.recipe, self.fabric)
            weights = checkpoint.whole_weights(self.model)
        scores = means(frame)
        value, better = improves(scores, self.recipe, self.best)
        if better:
            self.best = value
        names = [LAST, *([BEST] if better else []), *([FINAL] if self.step == self.steps else [])]
        for name in names if self.first else []:
            checkpoint.write_weights(weights, self.out / name)
        self._write_line(frame)
        return scores

    def save(self) -> None:
        """Write `last.pt`, unless the last step was not finite."""
        self.guard.settle()
        if self.first or self.recipe.strategy == "fsdp":
            state = checkpoint.pack_state(self.model, self.optimizer.optimizer, self.average)
            state |= {"step": self.step, "best": self.best, "meter": self.meter.state()}
            if scaler := getattr(self.fabric.strategy.precision, "scaler", None):
                state["scaler"] = scaler.state_dict()
            if self.first:
                checkpoint.write_state(state, self.out / STATE)
        self.saved = time.monotonic()

    def finish(self) -> DepthModel:
        """The network with its averaged weights, in eval mode."""
        if self.first:
            self.history.describe("complete", self.cache.dataset.facts, str(self.fabric.device))
            self.history.close()
        self.average.install()
        return self.model.eval()

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Say what to change when the memory runs out."""
        images = self.recipe.batch_size // (self.fabric.world_size * self.recipe.accumulate)
        size = self.recipe.crop or self.cache.rgb.shape[1:3]
        with explained_memory(images, size, self.recipe.accumulate, self.fabric.device):
            yield

    def _load(self, state: dict[str, Any]) -> None:
        checkpoint.unpack_state(state, self.model, self.optimizer.optimizer, self.average)
        self.meter.restore(state["meter"])
        if "scaler" in state and (scaler := getattr(self.fabric.strategy.precision, "scaler", None)):
            scaler.load_state_dict(state["scaler"])
        self.step, self.best = int(state["step"]), state["best"]

    def _write_line(self, frame: Any) -> None:
        self.guard.settle()
        numbers = {"learning_rate": self.optimizer.param_groups[0]["lr"], **self.meter.read(self.fabric)}
        if self.first:
            self.history.write(self.step, numbers, frame)


def loss_of(recipe: Recipe, model: DepthModel) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The recipe's loss with its options, as a function of (pred, depth, valid, image).

    Raises:
        ValueError: if it is the network's own objective and the network states none.
    """
    if recipe.loss == OWN:
        net: Any = model.net
        if not hasattr(net, "objective"):
            raise ValueError(
                f"Expected a network that states its own objective for loss={OWN!r}, such as mask:, but got "
                f"{model.card.name}; choose another loss."
            )
        return lambda pred, depth, valid, image: net.objective
    function, options = LOSSES[recipe.loss], recipe.loss_options
    if "image" in LOSSES.facts(recipe.loss).get("inputs", ""):
        return lambda pred, depth, valid, image: function(pred, depth, valid, image=image, **options)
    return lambda pred, depth, valid, image: function(pred, depth, valid, **options)


def _parted(recipe: Recipe, cache: ArrayCache) -> tuple[list[int], Validation]:
    """Numbers of the samples to train on, and what is validated on."""
    usable = set(cache.usable())
    if not recipe.held_out:
        dataset = load_dataset(recipe.dataset, **recipe.val)
        return sorted(usable), Validation(dataset, range(len(dataset)), crop=recipe.crop)
    kept, out = held_out(cache.dataset, recipe.held_out)
    return [i for i in kept if i in usable], Validation(cache.dataset, out, crop=recipe.crop)


def _plain(norm: Any) -> Tensor:
    """The norm of sharded gradients, put together; any other as it is."""
    whole: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return whole
