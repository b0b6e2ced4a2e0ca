"""What does every probe cost, in forward passes of the very network that it probes, and how far above its passes?

Command: python benchmarks/probes.py [--quick] [--models zoo:convnext.mixed zoo:pvt.mixed] [--probes error context]
         python benchmarks/probes.py --dataset nyu --root DIR
Prints, per image and for every registered probe with its quick and its default plan (--quick: the quick one alone):
`forward` and `backward`, the images that the network reads and carries a gradient back through, counted by a hook;
`again`, those of them that it had read before in the same call, with the same weights (what remembering could save at
most: a gradient of another target reads the image again for good reason); `floor`, forward + backward, the latter times
what one costs; `cost`, the CPU time of the whole probe (edits, fills, metrics and rows included) over that of a raw
forward pass of one image; `over`, cost over floor; `raw`, that pass. Raw passes read as many images at once as the
probe does at most, and are timed in turns with it, so that both meet the same load; the median over rounds counts. What
cannot run on the data is listed with its reason.
Expect: `over` near 1 where the network decides, and large where an image is read once and then judged by much
(`continuity`, `spectrum`), where scenes are rendered anew (`cues`), or where the network itself runs another way
(`attention` needs its maps, which fused attention never forms).
"""

import argparse
import contextlib
import dataclasses
import hashlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from depthprobe.data import Batch, load_dataset
from depthprobe.models import DepthModel, load_model
from depthprobe.probes import PROBES
from depthprobe.study import probe_plans, quick_plan

MODELS = ("zoo:convnext.mixed", "zoo:pvt.mixed")
LEAST = 16
"""Images that a raw pass is timed on, at least."""
ENOUGH, ROUNDS = 1.0, 3
"""A probe is timed again until it has taken so many seconds of CPU, at most so many times."""
WIDTHS = (9, 9, 8, 9, 9, 7, 10)


@dataclasses.dataclass
class Count:
    """Images that a network read, read again, and carried a gradient back through; most: at once.

    Convention: an image is read again if it was read before with the same weights (the same memory, not written to in
    between); `seconds` of CPU the counting itself took.
    """

    forward: int = 0
    backward: int = 0
    again: int = 0
    most: int = 1
    seconds: float = 0.0


@contextlib.contextmanager
def counting(model: DepthModel) -> Iterator[Count]:
    """Count while the block runs."""
    count, known = Count(), set[bytes]()

    def carried(gradient: Tensor) -> None:
        count.backward += len(gradient)

    def read(module: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        start = time.process_time()
        weights = repr([(p.data_ptr(), p._version) for p in module.parameters()]).encode()
        for one in inputs[0].detach().cpu():
            digest = hashlib.blake2b(one.contiguous().numpy().tobytes() + weights).digest()
            count.again += digest in known
            known.add(digest)
        count.forward += len(inputs[0])
        count.most = max(count.most, len(inputs[0]))
        if output.requires_grad:
            output.register_hook(carried)
        count.seconds += time.process_time() - start

    handle = model.register_forward_hook(read)
    try:
        yield count
    finally:
        handle.remove()


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one image: passes as in `Count`, a raw pass in seconds, a backward one and the whole probe in raw passes."""

    forward: float
    backward: float
    again: float
    raw: float
    gradient: float
    whole: float

    @property
    def floor(self) -> float:
        """What the passes alone cost."""
        return self.forward + self.gradient * self.backward


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU time of one run over all threads, which is fair on a machine that is busy with something else."""
    start = time.process_time()
    work()
    return time.process_time() - start


def raw_pass(model: DepthModel, image: Tensor, size: int, *, back: bool = False) -> float:
    """CPU seconds per image of a forward pass of `size` images at once, or of one there and back to the image."""
    image = model.canvas(image)
    image = image.repeat(-(-size // len(image)), 1, 1, 1)[:size].contiguous().requires_grad_(back)
    times = -(-LEAST // size)

    def work() -> None:
        with torch.set_grad_enabled(back):
            for _ in range(times):
                out = model(image)
                if out.requires_grad:
                    torch.autograd.grad(out.sum(), image)

    return cpu_seconds(work) / (times * size)


def cost(model: DepthModel, batch: Batch, probe: str, plan: Any, first: Any = None) -> Cost:
    """What a probe costs per image of a batch; with the plan `first` it pays what is paid once: imports, compilation.

    Raises:
        ValueError: if the probe cannot run on such a network or such data.
    """
    PROBES[probe](model, batch.take([0]), first or plan)
    raw_pass(model, batch.image, len(batch))
    rounds: list[tuple[float, float, float]] = []
    while len(rounds) < ROUNDS and sum(seconds for seconds, *_ in rounds) < ENOUGH:
        with counting(model) as count:
            seconds = cpu_seconds(lambda: PROBES[probe](model, batch, plan)) - count.seconds
        one_way, both_ways = (raw_pass(model, batch.image, count.most, back=back) for back in (False, True))
        rounds.append((seconds, one_way, both_ways))
    raw = statistics.median(one for _, one, _ in rounds)
    gradient = statistics.median(both / one for _, one, both in rounds) - 1
    whole = statistics.median(seconds / one for seconds, one, _ in rounds) / len(batch)
    return Cost(*(n / len(batch) for n in (count.forward, count.backward, count.again)), raw, gradient, whole)


def plans(probe: str, protocol: str, *, quick: bool) -> dict[str, Any]:
    """The plans of a probe, by name."""
    found = {"quick": quick_plan(probe, protocol)}
    return found if quick else {**found, "default": probe_plans(probe, {}, (protocol,))[0]}


def report(model: DepthModel, batch: Batch, probes: Sequence[str], protocol: str, *, quick: bool) -> None:
    """Print a line for every probe and plan, then those that cannot run."""
    height, width = model.canvas(batch.image).shape[-2:]
    print(f"\n{model.card.name}, {len(batch)} images read at {height}x{width}, {torch.get_num_threads()} thread(s)")
    head = zip(("forward", "backward", "again", "floor", "cost", "over", "raw"), WIDTHS, strict=True)
    print(f"  {'probe':<17}{'plan':<9}" + "".join(word.rjust(width) for word, width in head))
    refused = {}
    for probe in probes:
        made = plans(probe, protocol, quick=quick)
        for name, plan in made.items():
            try:
                print(line(probe, name, cost(model, batch, probe, plan, made["quick"])), flush=True)
            except ValueError as error:
                refused[probe] = str(error)
    for probe, reason in refused.items():
        print(f"  {probe}: does not run here. {reason}")


def line(probe: str, plan: str, found: Cost) -> str:
    """One row of the table; the raw pass in milliseconds."""
    numbers = (found.forward, found.backward, found.again, found.floor, found.whole)
    over = f"{found.whole / found.floor:.2f}" if found.floor else "-"
    cells = zip((*(f"{n:.1f}" for n in numbers), over, f"{1000 * found.raw:.1f} ms"), WIDTHS, strict=True)
    return f"  {probe:<17}{plan:<9}" + "".join(cell.rjust(width) for cell, width in cells)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--probes", nargs="+", default=PROBES.names(), help="all that are registered")
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--dataset", default="scenes")
    parser.add_argument("--root", help="folder of the data set, where it has one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="the quick plans alone")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    where = {"root": options.root} if options.root else {}
    data = load_dataset(options.dataset, split="test", n=options.images, batch_size=options.images, **where)
    batch = data.load(range(options.images))[0]
    for name in options.models:
        report(load_model(name), batch, options.probes, data.protocol, quick=options.quick)


if __name__ == "__main__":
    main()
