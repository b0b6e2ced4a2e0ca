"""Time of all metrics, batched with shared intermediates, beside the same metrics in plain numpy, image by image.

Run:    python benchmarks/metrics.py            (about 20 seconds on one core)
        python benchmarks/metrics.py --quick    (small images, a few seconds)
Expect: the same numbers (to the rounding of float32), and at least five times as fast over the whole suite; both sides
on one thread, in one run. Canny takes more than half of the time of `boundaries`, and is scikit-image's on both sides.
"""

import argparse
import time

import numpy as np
import torch
from plain_metrics import PARTS

from depthprobe.data import load_dataset
from depthprobe.functional.filters import gaussian_blur
from depthprobe.functional.metrics import METRICS, Terms, Truth, measure

LEAST = 5.0


def make(n: int, size: tuple[int, int]):
    """Rooms, a prediction with soft edges and 0.5 % of noise, and 3 % of invalid pixels."""
    batch = load_dataset("scenes", n=n, size=size, batch_size=n).load(range(n))[0]
    generator = torch.Generator().manual_seed(0)
    soft = gaussian_blur(batch.depth.log(), 1.0)
    pred = torch.exp(soft + 0.05 + 0.005 * torch.randn(soft.shape, generator=generator))
    valid = batch.valid & (torch.rand(soft.shape, generator=generator) > 0.001)
    return batch, pred, valid


def ours(batch, pred, valid, names):
    truth = Truth(batch.depth, valid, planes=batch.maps["plane"], intrinsics=batch.intrinsics)
    return {name: value.double().numpy() for name, value in measure(Terms(pred, truth), names).items()}


def plain(batch, pred, valid, part):
    found = {name: [] for name in PARTS[part]}
    for i in range(len(batch)):
        maps = [x[i, 0].numpy() for x in (pred, batch.depth, valid)]
        more = [batch.maps["plane"][i, 0].numpy(), batch.intrinsics[i].double().numpy()] if part == "planes" else []
        for name, metric in PARTS[part].items():
            found[name].append(float(metric(*maps, *more)))
    return {name: np.array(values) for name, values in found.items()}


def timed(function, repeats: int):
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        found = function()
        best = min(best, time.perf_counter() - start)
    return best, found


def gap(mine, theirs):
    """The largest difference, relative to the value where that is above 1e-3."""
    return max(float((abs(mine[n] - theirs[n]) / np.maximum(abs(theirs[n]), 1e-3)).max()) for n in theirs)


def main() -> None:
    """Print both times, their ratio and the largest difference, part by part and for the whole."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small images, once")
    options = parser.parse_args()
    torch.set_num_threads(1)
    n, size, repeats = (2, (120, 160), 1) if options.quick else (4, (480, 640), 3)
    batch, pred, valid = make(n, size)
    covered = {name for part in PARTS.values() for name in part}
    missing = [m for m in METRICS if "terms" in METRICS.facts(m) and m not in covered and m != "failed"]
    print(f"{len(covered)} metrics of {n} images of {size[0]}x{size[1]}, one thread; left out: {missing or 'none'}")
    ours(batch, pred, valid, list(covered))  # the first pass pays for imports and memory
    print(f"{'part':<12}{'numpy':>12}{'depthprobe':>14}{'ratio':>8}{'largest gap':>14}")
    slow, worst = 0.0, 0.0
    for part, metrics in PARTS.items():
        theirs, want = timed(lambda part=part: plain(batch, pred, valid, part), repeats)
        mine, got = timed(lambda metrics=metrics: ours(batch, pred, valid, list(metrics)), repeats)
        slow, worst = slow + theirs, max(worst, gap(got, want))
        print(line(part, theirs / n, mine / n, gap(got, want)))
    fast, _ = timed(lambda: ours(batch, pred, valid, list(covered)), repeats)
    print(line("all", slow / n, fast / n, worst))
    if worst > 2e-3:
        raise SystemExit("The two sides disagree by more than rounding and single pairs at a threshold.")
    if slow / fast < LEAST and not options.quick:
        raise SystemExit(f"Expected at least {LEAST:g} times the speed of numpy, but got {slow / fast:.1f}.")


def line(part: str, theirs: float, mine: float, difference: float) -> str:
    """One row of the table, in milliseconds per image."""
    return f"{part:<12}{1000 * theirs:>9.1f} ms{1000 * mine:>11.1f} ms{theirs / mine:>8.1f}{difference:>14.1e}"


if __name__ == "__main__":
    main()
