"""How fast is the sparse probe, beside the network itself and beside captum?

Command: python benchmarks/sparse.py [--models zoo:convnext zoo:pvt] [--images 8] [--repeats 3] [--device cuda]
Prints, in one process with the same batch and threads: the network's own raw batched forward rate, the rate of the
default sparse plan in masked images (ranks, masks, fills, metrics and rows included), and their ratio (goal >= 0.8);
then the effect of hiding each patch on the error, by our packed masks and by captum's FeatureAblation and Occlusion
on the same masks: largest difference (goal < 1e-5) and time ratio.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from captum.attr import FeatureAblation, Occlusion
from torch import Tensor

from depthprobe.data import Batch, load_dataset
from depthprobe.functional.filling import fill_pixels
from depthprobe.functional.protocol import evaluate_prepared, prepare_truth
from depthprobe.models import DepthModel, load_model
from depthprobe.probes.sparse import SparsePlan, sparse
from depthprobe.probes.sparse_jobs import Canvas, Packer
from depthprobe.probes.sparse_plan import all_jobs

FALLBACK = {"zoo:convnext": "timm:convnext_atto", "zoo:pvt": "timm:pvt_v2_b0"}


def open_model(name: str) -> DepthModel:
    """The zoo network, or the same architecture untrained where this checkout has no weights yet."""
    try:
        return load_model(name)
    except FileNotFoundError:
        print(f"{name}: no weights here; {FALLBACK[name]}, untrained, has the same speed")
        return load_model(FALLBACK[name])


def images(count: int, size: tuple[int, int]) -> Batch:
    """Rendered rooms, or random pictures where the renderer is missing (speed does not depend on what they show)."""
    try:
        return load_dataset("scenes", n=count, batch_size=count).load(range(count))[0]
    except (ImportError, ValueError) as error:
        print(f"no scenes ({error}); random pictures instead")
    g = torch.Generator().manual_seed(0)
    ids = tuple(map(str, range(count)))
    depth = 1 + 5 * torch.rand(count, 1, *size, generator=g)
    return Batch(image=torch.rand(count, 3, *size, generator=g), depth=depth, valid=depth > 0, sample=ids, group=ids)


def best(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Shortest wall time of several runs, and the last result."""
    times = []
    for _ in range(repeats):
        _wait()
        start = time.perf_counter()
        result = work()
        _wait()
        times.append(time.perf_counter() - start)
    return min(times), result


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU time of one run over all threads: what stays fair on a machine that is busy with something else."""
    start = time.process_time()
    work()
    return time.process_time() - start


def raw_forward(model: DepthModel, image: Tensor, count: int, size: int) -> None:
    """`count` images through the network in batches of `size`, nothing else."""
    with torch.no_grad():
        for start in range(0, count, size):
            model(image[: min(size, count - start)])


def compare_with_raw(model: DepthModel, batch: Batch, plan: SparsePlan, repeats: int) -> None:
    """Print the raw rate, the probe's rate and their ratio, measured in turns so that both meet the same load."""
    count = len(all_jobs(len(batch), plan)) + len(batch)
    image = model.canvas(batch.image)
    image = image.repeat(-(-plan.batch // len(image)), 1, 1, 1)[: plan.batch].contiguous()
    raw_forward(model, image, plan.batch, plan.batch)

    def forward() -> None:
        raw_forward(model, image, count, plan.batch)

    def probing() -> None:
        sparse(model, batch, plan)

    probing()
    pairs = [(best(forward)[0], best(probing)[0]) for _ in range(repeats)]
    busy = cpu_seconds(forward) / cpu_seconds(probing)
    raw, probe = (count / min(times) for times in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    print(
        f"{model.card.name}: {count} masked images, batch {plan.batch}, {torch.get_num_threads()} threads | "
        f"raw {raw:.1f} img/s | sparse {probe:.1f} img/s | ratio {probe / raw:.2f} "
        f"(by repeat: {', '.join(f'{r:.2f}' for r in ratios)}; by CPU time {busy:.2f})"
    )


def packed_ablation(model: DepthModel, batch: Batch, patch: Tensor, size: int) -> Tensor:
    """Error with everything visible minus error without each patch, (images, patches), through our packed masks."""
    canvas, count = Canvas.of(model, batch, 0), int(patch.max()) + 1
    truth = prepare_truth(batch.depth, batch.valid, SparsePlan().protocol)
    jobs = [(i, p) for i in range(len(batch)) for p in range(-1, count)]

    def work(some: Any) -> Tensor:
        index = [i for i, _ in some]
        keep = patch != torch.tensor([p for _, p in some], device=patch.device).view(-1, 1, 1, 1)
        masked = fill_pixels("mean", canvas.image[index], keep, seeds=index, mean=model.card.mean)
        return evaluate_prepared(model(masked), truth, kind=model.card.output, index=index)["abs_rel"]

    with torch.no_grad():
        error = torch.cat(list(Packer(size, canvas.image).run(jobs, work))).view(len(batch), count + 1)
    return error[:, :1] - error[:, 1:]


def captum_ablation(model: DepthModel, batch: Batch, patch: Tensor, method: str, per_call: int) -> Tensor:
    """The same numbers from captum: one image at a time, `per_call` perturbations per forward pass."""
    image, mean = model.canvas(batch.image), torch.tensor(model.card.mean, device=patch.device).view(1, 3, 1, 1)
    truth = prepare_truth(batch.depth, batch.valid, SparsePlan().protocol)
    side = int((patch[0, 0, 0] == patch[0, 0, 0, 0]).sum())
    out = []
    for i in range(len(batch)):

        def error(x: Tensor, i: int = i) -> Tensor:
            return evaluate_prepared(model(x), truth, kind=model.card.output, index=[i] * len(x))["abs_rel"]

        options: dict[str, Any] = {
            "baselines": mean.expand(1, -1, *image.shape[-2:]),
            "perturbations_per_eval": per_call,
        }
        with torch.no_grad():
            if method == "FeatureAblation":
                found = FeatureAblation(error).attribute(image[i : i + 1], feature_mask=patch, **options)
            else:
                window = {"sliding_window_shapes": (3, side, side), "strides": (3, side, side)}
                found = Occlusion(error).attribute(image[i : i + 1], **window, **options)
        out.append(found[0, 0, ::side, ::side].flatten())
    return torch.stack(out)


def compare_with_captum(model: DepthModel, batch: Batch, side: int, size: int, repeats: int) -> None:
    """Print the largest difference and the time ratio for the effect of hiding each patch."""
    height, width = model.canvas(batch.image).shape[-2:]
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    patch = (rows.view(-1, 1) * (int(columns.max()) + 1) + columns).view(1, 1, height, width).to(batch.image.device)
    ours, mine = best(lambda: packed_ablation(model, batch, patch, size), repeats)
    print(f"  hiding {int(patch.max()) + 1} patches of {side}x{side} in {len(batch)} images: {ours:.2f} s packed")
    for method in ("FeatureAblation", "Occlusion"):
        for per_call in (1, size):
            theirs, found = best(lambda m=method, n=per_call: captum_ablation(model, batch, patch, m, n), repeats)
            print(
                f"  captum {method}, {per_call} per forward: {theirs:.2f} s = {theirs / ours:.2f} x ours | "
                f"largest difference {(found - mine).abs().max():.1e} (largest effect {mine.abs().max():.1e})"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(FALLBACK))
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    for name in arguments.models:
        model = open_model(name).to(arguments.device)
        batch = images(arguments.images, model.card.size or (96, 128)).to(arguments.device)
        compare_with_raw(model, batch, SparsePlan(batch=arguments.batch), arguments.repeats)
        compare_with_captum(model, batch.take(range(2)), arguments.patch, arguments.batch, arguments.repeats)


if __name__ == "__main__":
    main()
