"""What does Depth Gradient Refinement cost, by placement, preset, order and control, beside the network without it?

Command: python benchmarks/dgr.py [--quick] [--networks convnext_atto pvt_v2_b0] [--rounds 150] [--threads 1]
Prints, for each network at 96x128, percent more than the bare network: parameters, FLOPs (convolutions and matrix
products, by torch's FlopCounterMode), latency of one image and of eight at a time, and a training step on eight
(forward, SILog, backward, AdamW). Refined and bare network run in turns, with one copy of the weights; a ratio is the
median over rounds. `cpu` is the ratio of CPU times, which other work on the machine disturbs less than `wall`. The row
`nothing` is the bare network against itself: the noise.
Expect: the default keeps the goals of +2 % parameters, +2 % FLOPs and +5 % latency, the last one narrowly for a single
image: at this size an operation costs about as much as its arithmetic, and `reduction=8` passes 5 % by a hair. The
depth map costs about as much, each stage two to three times as much, and preset `paper` half to all of the network
again, at each place but the depth map.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depthprobe.functional.losses import LOSSES
from depthprobe.models import DepthModel, load_model
from depthprobe.probes.cost import counted

SIZE, MANY = (96, 128), 8
PLACES = ("last_feature", "depth", "each_stage")
KINDS = ("", "preset=paper", "kernels=random", "kernels=identity", "block=plain")
OPTIONS = ("orders=1", "orders=2", "orders=3", "orders=123", "reduction=4", "reduction=8", "learnable=1")
DEFAULT, GOALS = "last_feature", {"parameters": 2.0, "FLOPs": 2.0, "latency": 5.0}
Seconds = tuple[float, float]


def variants(quick: bool) -> list[str]:
    """What stands behind `?dgr=`; the empty text is the network itself, whose row is the noise."""
    if quick:
        return ["", *PLACES, *(f"{DEFAULT},{kind}" for kind in KINDS if kind)]
    kinds = [",".join(filter(None, (place, kind))) for place in PLACES for kind in KINDS]
    return ["", *kinds, *(f"{DEFAULT},{option}" for option in OPTIONS)]


def flops(model: DepthModel, image: Tensor) -> int:
    """Twice the multiplications of convolutions and matrix products, those of fused attention included."""
    with torch.no_grad():
        counts, _ = counted(model, image)
    return sum(counts.values())


def timed(work: Callable[[], Any]) -> Seconds:
    """Wall and CPU seconds of one run."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def in_turns(bare: Callable[[], Any], refined: Callable[[], Any], rounds: int) -> Seconds:
    """Median wall and CPU ratio, refined over bare; a round is the faster of two runs of each, in turns."""
    ratios = []
    for _ in range(rounds + 1):
        first, second, third, fourth = (timed(work) for work in (bare, refined, bare, refined))
        ratios.append([min(second[i], fourth[i]) / min(first[i], third[i]) for i in (0, 1)])
    wall, cpu = np.median(ratios[1:], axis=0)  # the first round warms up
    return float(wall), float(cpu)


def forward(model: DepthModel, image: Tensor) -> Callable[[], Tensor]:
    """A forward pass in eval mode without gradients."""

    def work() -> Tensor:
        with torch.no_grad():
            return model(image)

    return work


def training(name: str, image: Tensor) -> Callable[[], None]:
    """A whole optimiser step on fixed data."""
    model = load_model(name).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    depth, loss = 1 + image.mean(1, keepdim=True), LOSSES["silog"]

    def work() -> None:
        loss(model(image), depth, depth > 0).backward()
        optimizer.step()
        optimizer.zero_grad()

    return work


def cost(name: str, text: str, rounds: int) -> dict[str, Any]:
    """All ratios of one variant, in percent more than the bare network."""
    one, many = (torch.rand(n, 3, *SIZE, generator=torch.Generator().manual_seed(0)) for n in (1, MANY))
    full = f"{name}&dgr={text}" if text else name
    bare, model = load_model(name), load_model(full)
    model.net.load_state_dict(bare.net.state_dict(), strict=False, assign=True)  # one copy of the weights in the cache
    size = [sum(p.numel() for p in m.parameters()) for m in (bare, model)]
    times = {
        "latency": in_turns(forward(bare, one), forward(model, one), rounds),
        f"batch of {MANY}": in_turns(forward(bare, many), forward(model, many), rounds // 6),
        "training step": in_turns(training(name, many), training(full, many), rounds // 30),
    }
    more = {"parameters": size[1] / size[0], "FLOPs": flops(model, one) / flops(bare, one)}
    said = {what: 100 * (ratio - 1) for what, ratio in more.items()}
    return said | {what: tuple(100 * (r - 1) for r in ratios) for what, ratios in times.items()}


def show(text: str, found: dict[str, Any]) -> None:
    """One line: percent more; times as wall/CPU."""
    cells = [f"{v:+9.2f}" if isinstance(v, float) else f"{v[0]:+8.1f}/{v[1]:+.1f}".rjust(16) for v in found.values()]
    print(f"  {text or 'nothing':34s}" + "".join(cells), flush=True)


def verdict(name: str, found: dict[str, Any]) -> None:
    """Does the default keep the goals?"""
    got = {what: found[what] if isinstance(found[what], float) else found[what][1] for what in GOALS}
    got["latency, eight"] = found[f"batch of {MANY}"][1]
    goals = {**GOALS, "latency, eight": GOALS["latency"]}
    said = [f"{w} {got[w]:+.2f} % ({'within' if got[w] <= goals[w] else 'over'} {goals[w]:g} %)" for w in goals]
    print(f"  {name}, default ({DEFAULT}), CPU time: {', '.join(said)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["convnext_atto", "pvt_v2_b0"])
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows, about two minutes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rounds = 60 if options.quick else options.rounds
    for network in options.networks:
        name = f"timm:{network}?size={SIZE[0]}x{SIZE[1]}"
        print(f"{network}, {options.threads} thread(s), {rounds} rounds: percent more than the bare network")
        head = ["parameters", "FLOPs", *(f"{w} wall/cpu" for w in ("latency", f"batch {MANY}", "step"))]
        print(f"  {'':34s}" + "".join(h.rjust(w) for h, w in zip(head, (9, 9, 16, 16, 16), strict=True)))
        for text in variants(options.quick):
            found = cost(name, text, rounds)
            show(text, found)
            if text == DEFAULT:
                kept = found
        verdict(network, kept)


if __name__ == "__main__":
    main()
