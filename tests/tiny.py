"""Tiny data, models and probes with known answers for tests; importable by forked processes (no pytest here)."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from depthprobe.data import Batch, Dataset, SampleError
from depthprobe.models import DepthModel, ModelCard
from depthprobe.probes import PROBES
from depthprobe.schema import rows

H, W = 12, 16


def sample(number: int, size: tuple[int, int] = (H, W)) -> Batch:
    """Sample `number`: smooth random picture, a tilted plane with a box, some invalid pixels."""
    g = torch.Generator().manual_seed(number)
    h, w = size
    image = nn.functional.interpolate(torch.rand(1, 3, 4, 5, generator=g), size, mode="bilinear")
    depth = 1 + 4 * torch.linspace(1, 0, h).view(1, 1, h, 1).expand(1, 1, h, w) + torch.rand(1, 1, 1, 1, generator=g)
    depth = depth.clone()
    depth[..., h // 3 : h // 2, w // 4 : w // 2] *= 0.6
    valid = torch.rand(1, 1, h, w, generator=g) > 0.05
    return Batch(image=image, depth=depth, valid=valid, sample=(f"tiny-{number}",), group=(f"g{number // 2}",))


def dataset(
    n: int = 7, *, batch_size: int = 2, broken: Sequence[int] = (), log: list[int] | None = None, **facts
) -> Dataset:
    """`n` samples in groups of two; those in `broken` cannot be read; numbers read are appended to `log`."""

    def read(i: int) -> Batch:
        if log is not None:
            log.append(i)
        if i in broken:
            raise SampleError(f"Expected a picture, but tiny-{i} is broken; mend it.")
        return sample(i)

    names, groups = [f"tiny-{i}" for i in range(n)], [f"g{i // 2}" for i in range(n)]
    on_error = "skip" if broken else "raise"
    return Dataset(
        name="tiny", samples=names, groups=groups, read=read, batch_size=batch_size, on_error=on_error, facts=facts
    )


class Net(nn.Module):
    """Convolution, batch norm and dropout: enough state that a careless probe would change."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first, self.norm, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 + nn.functional.softplus(self.last(self.drop(self.norm(self.first(x)).relu())))


def model(name: str = "tiny:net", *, seed: int = 0, family: str = "cnn", tag: str = "random") -> DepthModel:
    """A tiny network; `seed` decides its weights."""
    return DepthModel(Net(seed), ModelCard(name=name, tag=tag, family=family, output="metric_depth")).eval()


class Head(nn.Module):
    """One head of self-attention over tokens (B,N,C), its map readable as timm's are."""

    def __init__(self) -> None:
        super().__init__()
        self.attn_drop = nn.Dropout(0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        weights = (4 * tokens @ tokens.mT).softmax(-1)
        return (self.attn_drop(weights[:, None]) @ tokens[:, None])[:, 0]


class Attending(nn.Module):
    """A Transformer of one layer over patches of 4 pixels."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.patch, self.last = nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 1, 1)
        self.attn = Head()

    def forward(self, x: Tensor) -> Tensor:
        grid = self.patch(x)
        tokens = grid.flatten(2).mT
        out = (tokens + self.attn(tokens)).mT.unflatten(2, grid.shape[-2:])
        return 0.5 + nn.functional.softplus(self.last(out))


def attending(*, seed: int = 0) -> DepthModel:
    """A tiny Transformer; `seed` decides its weights."""
    card = ModelCard(name="tiny:attending", tag="random", family="transformer", output="metric_depth")
    return DepthModel(Attending(seed), card).eval()


@dataclasses.dataclass(frozen=True)
class GainPlan:
    """Brightness gains at which `tiny_gain` looks."""

    gains: tuple[float, ...] = (0.5, 1.0)
    seed: int = 0


def tiny_gain(model: DepthModel, batch: Batch, plan: GainPlan) -> pd.DataFrame:
    """Mean absolute relative error under a gain, plus a value that depends on the seed and the sample alone."""
    out = []
    for gain in plan.gains:
        with torch.no_grad():
            pred = model(batch.image * gain)
        error = torch.where(batch.valid, (pred - batch.depth).abs() / batch.depth, 0).sum((1, 2, 3))
        out.append(rows(batch.sample, "abs_rel", error / batch.valid.sum((1, 2, 3)), factor="gain", level=gain))
    draw = [np.random.default_rng([plan.seed, *s.encode()]).random() for s in batch.sample]
    out.append(rows(batch.sample, "rmse@draw", draw))
    return pd.concat(out, ignore_index=True)


def gain_maps(model: DepthModel, batch: Batch, plan: GainPlan) -> list[dict]:
    """One map: the prediction beside the truth."""
    with torch.no_grad():
        pred = model(batch.image)[0, 0].cpu().numpy()
    image = (batch.image[0].permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
    return [{"image": image, "depth": batch.depth[0, 0].cpu().numpy(), "pred": pred, "meta": {"factor": "gain"}}]


@contextlib.contextmanager
def register(function: Callable = tiny_gain, **facts) -> Iterator[None]:
    """While in this context, `tiny_gain` is a registered probe (with maps)."""
    PROBES.register("tiny_gain", **{"plan": GainPlan, "axes": {"level": "gain"}, "maps": gain_maps, **facts})(function)
    try:
        yield
    finally:
        del PROBES._items["tiny_gain"]


def run_tiny(out: str | Path, progress: Callable[[int, int, str], None] | None = None, n: int = 12) -> pd.DataFrame:
    """The run that the resume tests kill: two models, two plans with two seeds, one sample per chunk."""
    from depthprobe.run import run

    plans = [GainPlan(gains=gains, seed=seed) for gains in ((0.5, 1.0), (2.0,)) for seed in (0, 1)]
    models = [model("tiny:a"), model("tiny:b", seed=1)]
    torch.set_num_threads(1)
    with register():
        return run(models, {"tiny_gain": plans}, dataset(n, batch_size=1), out=out, device="cpu", progress=progress)


def run_tiny_reporting(out: str, reached, wait: float) -> None:
    """`run_tiny` in another process, with its progress in a shared counter and `wait` seconds at every report."""
    import time

    def progress(done: int, total: int, what: str) -> None:
        reached.value = done
        time.sleep(wait)

    run_tiny(out, progress)
