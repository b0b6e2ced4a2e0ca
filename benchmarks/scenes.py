"""How fast scenes are made: `python benchmarks/scenes.py [--n 60] [--size 128x160] [--workers 2]`.

Every worker is a process (builds and renders whole scenes); the line `threads` is what iterating the data set does.
Expected on two free cores at 128x160: at least 35 rooms/s.
The compile takes about 40 s once per machine, loading it from disk 1 to 2 s.
"""

import argparse
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

from depthprobe.data.scenes import render_scene, warm_up


def render_one(kind: str, size: tuple[int, int], seed: int) -> float:
    """Render a seed; returns a number so that nothing large is sent between processes."""
    return float(render_scene(kind, seed, size).depth.min())


def rate(pool: Executor, kind: str, size: tuple[int, int], n: int) -> float:
    """Scenes per second through a warm pool."""
    list(pool.map(partial(render_one, kind, size), range(4)))
    begin = time.perf_counter()
    list(pool.map(partial(render_one, kind, size), range(n), chunksize=4))
    return n / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--size", default="128x160")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    height, width = (int(part) for part in options.size.split("x"))
    begin = time.perf_counter()
    compiled = warm_up()
    how = "compiled" if compiled else "loaded from the cache"
    print(f"renderer {how} in {time.perf_counter() - begin:.1f} s")
    processes = ProcessPoolExecutor(options.workers, mp_context=get_context("spawn"))
    with processes, ThreadPoolExecutor(options.workers) as threads:
        list(processes.map(partial(render_one, "rooms", (16, 16)), range(2 * options.workers)))
        for kind in ("rooms", "streets", "shapes"):
            for name, pool in (("processes", processes), ("threads", threads)):
                value = rate(pool, kind, (height, width), options.n)
                print(f"{kind:8s} {height}x{width}  {options.workers} {name:10s} {value:6.1f} scenes/s")


if __name__ == "__main__":
    main()
