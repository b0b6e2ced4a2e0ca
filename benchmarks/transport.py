"""Sinkhorn divergence on pixel grids beside POT, geomloss and plain iterations; and how close it is to exact transport.

Run:    python benchmarks/transport.py             (about 4 minutes on one core; --quick: 1 minute)
Needs:  POT (pip install pot); geomloss and pykeops if they are there (they need a C++ compiler).
Expect: at least 100 x POT, 3 x geomloss, 10 x plain iterations in the log domain, at no less accuracy; time growing
        with less than the 1.6th power of the number of pixels.

Times are seconds of processor time on one core, all in this one run, the best of a few for what is fast. Errors are
relative, of the divergence S, against the same S iterated to a residual of 1e-11.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import functools
import time
import warnings

import numpy as np
import ot
import torch
from torch.nn import functional as F

from depthprobe.functional.transport import sinkhorn_divergence, sinkhorn_potentials

BLUR = 0.05


def room(h, w, seed=0):
    """Depth of an empty box-shaped room, and a guess of it that is off by a smooth factor of about exp(±0.4)."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w]
    y, x = (y - h / 2 + 0.5) / max(h, w), (x - w / 2 + 0.5) / max(h, w)
    depth = np.full((h, w), draw.uniform(3, 6))
    for distance, slope in zip(draw.uniform([0.8, 0.8, 1, 1], [1.6, 1.6, 2.5, 2.5]), (y, -y, x, -x), strict=True):
        depth = np.where(slope > 0, np.minimum(depth, distance / np.maximum(slope, 1e-9)), depth)
    noise = torch.from_numpy(draw.normal(size=(1, 1, 3, 4)))
    factor = torch.exp(0.4 * F.interpolate(noise, (h, w), mode="bicubic", align_corners=True)[0])
    truth = torch.from_numpy(depth)[None]
    return truth * factor, truth


def timed(function, repeats=1):
    """Seconds of processor time of one call, the best of some, and its result."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        out = function()
        best = min(best, time.process_time() - start)
    return best, out


def ours(a, b, blur=BLUR, **options):
    """Time and value of the divergence."""
    seconds, value = timed(lambda: sinkhorn_divergence(a, b, blur=blur, **options), 5)
    return seconds, value.mean().item()


def exactly(a, b, blur=BLUR):
    """The divergence, converged."""
    return sinkhorn_divergence(a.double(), b.double(), blur=blur, tolerance=1e-11, max_iterations=2000).mean().item()


def report(what, seconds, error, base=None):
    """One line: time, error, and how many times the time of `base` it is."""
    ratio = "" if base is None else f"{seconds / base:10.1f} x"
    print(f"  {what:<66}{1000 * seconds:11.1f} ms   error {abs(error):.0e}{ratio}")


def costs(h, w):
    """½ |y - z|² between all pixels (N,N)."""
    points = np.stack(np.mgrid[0:h, 0:w], -1).reshape(-1, 2) / max(h, w)
    return ot.dist(points, points) / 2


def pot_divergence(a, b, cost, method, stop):
    """S by three dense solves of POT."""
    p, q = ((x / x.sum()).flatten().numpy() for x in (a, b))
    values = []
    for x, y in ((p, q), (p, p), (q, q)):
        plan = ot.sinkhorn(x, y, cost, BLUR**2, method=method, stopThr=stop, numItermax=20_000, warn=False)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.where(plan > 0, plan * np.log(plan / np.outer(x, y)), 0).sum() - plan.sum() + 1
        values.append((plan * cost).sum() + BLUR**2 * entropy)
    return values[0] - (values[1] + values[2]) / 2


def plain_log_divergence(a, b, cost, residual):
    """S by plain iterations in the log domain on the whole cost matrix, in torch, float32."""
    cost = torch.from_numpy(cost).float() / BLUR**2
    p, q = ((x / x.sum()).flatten().float() for x in (a, b))
    total = 0.0
    for x, y, share in ((p, q, 1.0), (p, p, -0.5), (q, q, -0.5)):
        f, left = torch.zeros_like(x), 1.0
        while left > residual:
            g = -torch.logsumexp(x.log()[:, None] + f[:, None] - cost, 0)
            new = -torch.logsumexp(y.log() + g - cost, 1)
            left, f = float((x * torch.expm1(f - new).abs()).sum()), new
        total += share * float(x.double() @ f.double() + y.double() @ g.double())
    return BLUR**2 * total


def first_good(what, run, knobs, want, base):
    """Run with ever smaller knobs until S is as good as a ten-thousandth; report that run."""
    for knob in knobs:
        seconds, value = timed(functools.partial(run, knob))
        if abs(value / want - 1) < 1e-4:
            break
    report(f"{what} {knob:g}", seconds, value / want - 1, base)


def against_dense(h, w, log_domain):
    """POT and plain iterations, each stopped where its S is as good as a ten-thousandth."""
    print(f"{h} x {w}, blur {BLUR} ({BLUR * w:.1f} pixels), one image unless said")
    a, b = room(h, w)
    want, cost = exactly(a, b), costs(h, w)
    base, value = ours(a.float(), b.float())
    report("depthprobe, float32", base, value / want - 1)
    for what, maps, share, options in (
        ("depthprobe, float64", (a, b), 1, {}),
        ("depthprobe, float32, tolerance 1e-3", (a.float(), b.float()), 1, {"tolerance": 1e-3}),
        ("depthprobe, float32, per image of a batch of 8", [x.float().repeat(8, 1, 1) for x in (a, b)], 8, {}),
    ):
        seconds, value = ours(*maps, **options)
        report(what, seconds / share, value / want - 1, base)
    for method in ("sinkhorn", "sinkhorn_log") if log_domain else ("sinkhorn",):
        run = functools.partial(pot_divergence, a, b, cost, method)
        first_good(f"POT, {method}, stopThr", run, (1e-6, 1e-7, 1e-8), want, base)
    if log_domain:
        run = functools.partial(plain_log_divergence, a, b, cost)
        first_good("plain log-domain iterations, residual", run, (1e-3, 1e-4, 1e-5), want, base)


def against_geomloss(n):
    """The image mode of geomloss: square, a power of two, its blur one pixel."""
    print(f"{n} x {n}, blur 1 pixel, one image")
    try:
        import geomloss
    except ImportError as problem:
        print(f"  geomloss: not measured ({problem})")
        return
    a, b = (x.float() for x in room(n, n))
    want = exactly(a, b, 1 / n)
    base, value = ours(a, b, 1 / n)
    report("depthprobe, float32", base, value / want - 1)
    p, q = ((x / x.sum())[:, None] for x in (a, b))
    for scaling in (0.5, 0.9):
        run = functools.partial(geomloss.sinkhorn_divergence, p, q, p=2, blur=1 / n, scaling=scaling)
        try:
            run()  # compiles
        except Exception as problem:  # whatever a missing compiler or an unsupported size makes of it
            print(f"  geomloss: not measured ({type(problem).__name__}: {str(problem).strip().splitlines()[0]})")
            continue
        seconds, value = timed(run, 3)
        report(f"geomloss with KeOps, scaling {scaling}", seconds, value.item() / want - 1, base)


def forward_and_backward(a, b):
    """As a loss."""
    a = a.clone().requires_grad_()
    sinkhorn_divergence(a, b, blur=BLUR).sum().backward()


def growth(sizes):
    """Time against the number of pixels; and iterations, which should not grow."""
    print(f"growth, float32, blur {BLUR}, one image, forward and backward")
    pixels, times = [], []
    for h, w in sizes:
        a, b = (x.float() for x in room(h, w))

        seconds, _ = timed(functools.partial(forward_and_backward, a, b), 4)
        iterations = sinkhorn_potentials(a, b, blur=BLUR).iterations
        pixels.append(h * w)
        times.append(seconds)
        print(f"  {h:>4} x {w:<4}{1000 * seconds:10.1f} ms, {iterations} iterations on all pixels")
    slope = np.polyfit(np.log(pixels), np.log(times), 1)[0]
    steepest = max(np.diff(np.log(times)) / np.diff(np.log(pixels)))
    print(f"  exponent of the number of pixels: {slope:.2f} (fit), {steepest:.2f} (steepest step)")


def exactness(size=(24, 32)):
    """By name: how far mass moves (pixels), and the divergence over the exact cost of the same atoms, by the blur."""
    h, w = size
    found = {}
    for name, strength in (("smooth guess", 1), ("stronger guess", 2.5), ("noise", 0)):
        a, b = room(h, w)
        a = b * (a / b) ** strength if strength else torch.rand(b.shape, generator=torch.Generator().manual_seed(0))
        a = a.double()
        exact = ot.emd2(*((x / x.sum()).flatten().numpy() for x in (a, b)), costs(h, w), numItermax=10_000_000)
        ratios = [
            sinkhorn_divergence(a, b, blur=blur / w, max_iterations=3000).item() / exact for blur in (2, 1, 0.5, 0.25)
        ]
        found[name] = np.sqrt(2 * exact) * w, ratios
    return found


def print_exactness(size):
    """The table in the documentation of `functional.transport`."""
    print(f"S / ot.emd2 on {size[0]} x {size[1]}, by the blur in pixels: 2, 1, 1/2, 1/4")
    for name, (moved, ratios) in exactness(size).items():
        print(f"  {name:<16} mass moves {moved:4.1f} pixels:", *(f"{r:8.4f}" for r in ratios))


def choice_of_blur(size):
    """How much of the divergence and of the direction of its gradient a wide blur costs, against a blur of 0.005."""
    h, w = size
    print(f"S and its gradient on {h} x {w}, by the blur (1 = the longer side)")
    a, b = room(h, w)
    found = {}
    for blur in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
        x = a.clone().requires_grad_()
        seconds, value = timed(functools.partial(sinkhorn_divergence, x, b, blur=blur))
        value.sum().backward()
        found[blur] = (value.item(), x.grad.flatten())
        ratio = value.item() / found[0.005][0]
        cosine = F.cosine_similarity(found[blur][1], found[0.005][1], 0).item()
        print(f"  {blur:<6} S {ratio:7.4f}   cosine of the gradients {cosine:9.6f}   {1000 * seconds:8.1f} ms")


def main() -> None:
    """Print every comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    against_dense(32, 32, log_domain=not quick)
    if not quick:
        against_dense(48, 64, log_domain=False)
    for n in (32, 64) if quick else (32, 64, 128, 256):
        against_geomloss(n)
    growth([(48, 64), (96, 128), (192, 256)] + ([] if quick else [(384, 512), (768, 1024)]))
    print_exactness((16, 24) if quick else (24, 32))
    choice_of_blur((48, 64) if quick else (96, 128))


if __name__ == "__main__":
    main()
