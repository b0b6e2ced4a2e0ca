"""What does the training loop cost beside the bare step, and what do bf16 and torch.compile give on this CPU?

Command: python -m benchmarks.train [--models timm:convnext_atto timm:pvt_v2_b0] [--size 96x128] [--batch 32] [--quick]
Prints, all in one process and in turns so that every contender meets the same load:
1. the bare step (forward, loss, backward, fused AdamW on one fixed batch, channels_last) and the loop's step (the same
   plus reading, augmentation, clipping, guard, average, meter), their ratio by wall clock and by CPU time of the whole
   process (goal <= 1.05), and the same without augmentation, which is work on the data;
2. the parts of the difference, in ms;
3. the bare step with and without the memory that the loop lets the C library keep, each in its own process;
4. images per second in float32 and bf16-mixed, and compiled (with --compile: building takes a minute or more).
The median over the pairs counts; the range shows how noisy the machine is.
"""

import argparse
import contextlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from depthprobe.data import DATASETS, Batch, Dataset
from depthprobe.functional.augment import augment
from depthprobe.functional.losses import LOSSES
from depthprobe.memory import kept_memory
from depthprobe.models import load_model
from depthprobe.train import Recipe
from depthprobe.train.devices import open_fabric
from depthprobe.train.loop import Training
from depthprobe.train.network import optimiser


def pictures(*, split: str = "train", n: int = 256, size: tuple[int, int] = (96, 128)) -> Dataset:
    """Random pictures with random depth: speed does not depend on what they show."""

    def read(i: int) -> Batch:
        g = torch.Generator().manual_seed(i)
        depth = 1 + 5 * torch.rand(1, 1, *size, generator=g)
        return Batch(
            image=torch.rand(1, 3, *size, generator=g), depth=depth, valid=depth > 0, sample=(ids[i],), group=(ids[i],)
        )

    ids = [str(i) for i in range(n)]
    return Dataset(name="pictures", samples=ids, groups=ids, read=read, facts={"split": split, "size": list(size)})


DATASETS.register("pictures")(pictures)


def recipe(model: str, size: tuple[int, int], batch: int, **fields) -> Recipe:
    options = {"n": 256, "size": list(size)}
    plain = {"train": options, "val": {**options, "n": 1}, "steps": 10**6, "save_seconds": 0.0, "device": "cpu"}
    name = f"{model}?size={size[0]}x{size[1]}"
    return Recipe(**{**plain, "model": name, "dataset": "pictures", "batch_size": batch, **fields})


@contextlib.contextmanager
def loop(plan: Recipe, folder: str) -> Iterator[Training]:
    """A training ready to step."""
    place = Path(folder) / f"{abs(hash(plan.key))}"
    with open_fabric(plan) as fabric:
        training = Training(plan, place, fabric, Path(folder) / "cache", None)
        training.begin(False)
        with training.feed:
            yield training


def bare_step(plan: Recipe) -> Callable[[], None]:
    """Forward, loss, backward and optimiser on one fixed batch, and nothing else."""
    model = load_model(plan.model).train().to(memory_format=torch.channels_last)
    optimizer = optimiser(model, plan, fused=True)
    size = tuple(plan.train["size"])
    image = torch.rand(plan.batch_size, 3, *size).to(memory_format=torch.channels_last)
    depth = 1 + 5 * torch.rand(plan.batch_size, 1, *size)
    valid, loss = depth > 0, LOSSES[plan.loss]

    def step() -> None:
        loss(model(image), depth, valid).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def in_turns(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of every contender, one call each per round, after one call that does not count."""
    for work in contenders.values():
        work()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for turn in range(rounds):
        names = list(contenders) if turn % 2 else list(contenders)[::-1]
        for name in names:
            found[name].append(timed(contenders[name]))
    return found


def overhead(model: str, size: tuple[int, int], batch: int, rounds: int, folder: str) -> None:
    plan = recipe(model, size, batch)
    still = recipe(model, size, batch, flip=0.0, colour=0.0)
    with loop(plan, folder) as training, loop(still, folder) as unaugmented:
        works = {"bare": bare_step(plan), "loop": training.train_step, "unaugmented": unaugmented.train_step}
        found = in_turns(works, rounds)
        print(f"\n{model}, {batch} images of {size[0]}x{size[1]}, {torch.get_num_threads()} threads, {rounds} rounds")
        for k, what in enumerate(("wall", "CPU")):
            bare, ours, other_ours = ([one[k] for one in found[name]] for name in works)
            ratios, without = (sorted(b / a for a, b in zip(bare, x, strict=True)) for x in (ours, other_ours))
            one, other = (1e3 * statistics.median(times) for times in (bare, ours))
            print(
                f"  {what:4}: bare {one:6.1f} ms | loop {other:6.1f} ms | ratio {statistics.median(ratios):.3f} "
                f"(range {ratios[0]:.2f} to {ratios[-1]:.2f}; of the best {min(ours) / min(bare):.3f}) | "
                f"without augmentation {statistics.median(without):.3f}"
            )
        print(f"  parts: {parts(training, rounds)}")


def parts(training: Training, rounds: int) -> str:
    """What the loop adds, by part, in ms of CPU time."""
    shares = training.feed.shares(0)[0]
    numbers, keys = [n for n, _ in shares], [key for _, key in shares]
    tensors = training.cache.batch(numbers)
    for p in training.model.parameters():
        p.grad = torch.zeros_like(p)
    options = {"max_norm": 1.0, "error_if_nonfinite": False}
    works: dict[str, Callable[[], object]] = {
        "read ahead": lambda: training.cache.batch(numbers),
        "augmentation": lambda: augment(*tensors, keys=keys),
        "all augmentations": lambda: augment(
            *tensors, keys=keys, rotation=2.5, cut_depth=0.25, drop_pixels=0.5, crop=tensors[0].shape[-2:]
        ),
        "clipping": lambda: training.fabric.clip_gradients(training.wrapped, training.optimizer, **options),
        "average": lambda: training.average.update(10**6),
        "samples and keys": lambda: training.feed.shares(1),
    }
    found = in_turns(works, rounds)
    training.optimizer.zero_grad()
    return " | ".join(f"{name} {1e3 * min(cpu for _, cpu in times):.2f} ms" for name, times in found.items())


def allocator(model: str, size: tuple[int, int], batch: int, rounds: int) -> None:
    """What keeping freed memory is worth: the bare step in two fresh processes, one of which keeps it."""
    found = {}
    for name, flag in (("returned", "--bare=returned"), ("kept", "--bare=kept")):
        shape = f"{size[0]}x{size[1]}"
        arguments = ["--models", model, "--size", shape, "--batch", str(batch), "--rounds", str(rounds), flag]
        done = subprocess.run([sys.executable, "-m", "benchmarks.train", *arguments], capture_output=True, text=True)
        found[name] = [float(x) for x in done.stdout.split()]
    cpu, system = ([found[name][k] for name in ("returned", "kept")] for k in (0, 1))
    print(
        f"  memory returned after every step {cpu[0]:.0f} ms of CPU time ({system[0]:.0f} ms of it in the system) | "
        f"kept {cpu[1]:.0f} ms ({system[1]:.0f} ms) | ratio {cpu[0] / cpu[1]:.2f}"
    )


def bare_only(model: str, size: tuple[int, int], batch: int, rounds: int, kept: bool) -> None:
    """Print CPU and system time (ms) of the bare step, for `allocator`."""
    step = bare_step(recipe(model, size, batch))
    with kept_memory() if kept else contextlib.nullcontext():
        step()
        system = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        times = [timed(step)[1] for _ in range(rounds)]
        system = (resource.getrusage(resource.RUSAGE_SELF).ru_stime - system) / rounds
    print(1e3 * statistics.median(times), 1e3 * system)


def speeds(
    model: str, size: tuple[int, int], batch: int, rounds: int, folder: str, variants: dict[str, dict[str, object]]
) -> None:
    """Images per second of the loop under several precisions, with and without the compiler."""
    with contextlib.ExitStack() as stack:
        plans = {name: recipe(model, size, batch, **fields) for name, fields in variants.items()}
        loops = {name: stack.enter_context(loop(plan, folder)) for name, plan in plans.items()}
        found = in_turns({name: training.train_step for name, training in loops.items()}, rounds)
    first = statistics.median(wall for wall, _ in next(iter(found.values())))
    for name, times in found.items():
        wall = statistics.median(wall for wall, _ in times)
        ratios = [a / b for (a, _), (b, _) in zip(next(iter(found.values())), times, strict=True)]
        print(
            f"  {name:18} {batch / wall:6.1f} images/s | {first / wall:.2f} x float32 "
            f"(range {min(ratios):.2f} to {max(ratios):.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["timm:convnext_atto", "timm:pvt_v2_b0"])
    parser.add_argument("--size", default="96x128")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--compile", action="store_true", help="the compiled step too")
    parser.add_argument("--bare", choices=["kept", "returned"], help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="one network, few rounds")
    arguments = parser.parse_args()
    size = tuple(int(x) for x in arguments.size.split("x"))
    rounds = 5 if arguments.quick else arguments.rounds
    if arguments.bare:
        bare_only(arguments.models[0], size, arguments.batch, rounds, arguments.bare == "kept")
        return
    variants = {"float32": {}, "bf16-mixed": {"precision": "bf16-mixed"}}
    if arguments.compile:
        variants |= {"float32, compiled": {"compile": True}}
        variants |= {"bf16, compiled": {"compile": True, "precision": "bf16-mixed"}}
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.models[: 1 if arguments.quick else None]:
            overhead(model, size, arguments.batch, rounds, folder)
            allocator(model, size, arguments.batch, rounds)
            speeds(model, size, arguments.batch, max(3, rounds // 3), folder, variants)


if __name__ == "__main__":
    main()
