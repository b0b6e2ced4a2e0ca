"""A tiny data set, networks and recipes for the tests of training; importable by other processes (no pytest here).

As a script, `python tests/train_cases.py OUT CACHE NAME=VALUE...` trains the plain case, alone or under torchrun.
"""

import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from depthprobe.data import DATASETS, Batch, Dataset, SampleError
from depthprobe.train import Recipe, fit

SIZE = (32, 32)


def ramps(
    *, split: str = "train", n: int = 16, batch_size: int = 3, on_error: str = "raise", poison: int = -1,
    broken: int = -1, size: tuple[int, int] = SIZE,
) -> Dataset:  # fmt: skip
    """Depth is brightness: anything that learns at all learns this. Sample `poison` holds NaN, `broken` is unreadable.

    Convention: groups of two.
    """

    def read(i: int) -> Batch:
        if i == broken:
            raise SampleError(f"Expected a ramp, but {ids[i]} is broken; mend it.")
        generator = torch.Generator().manual_seed(i + (1000 if split == "val" else 0))
        level = 0.2 + 0.8 * torch.rand(1, 1, 1, 1, generator=generator)
        shape = torch.linspace(0.2, 1, size[0]).view(-1, 1) * torch.linspace(0.7, 1, size[1])
        image = ((level * shape).expand(1, 3, *size) * 255).round() / 255
        depth = 1 + 4 * image[:, :1]
        depth = depth * (torch.nan if i == poison else 1)
        valid = torch.ones(1, 1, *size, dtype=torch.bool)
        return Batch(image=image, depth=depth, valid=valid, sample=(ids[i],), group=(groups[i],))

    ids, groups = [f"ramp-{split}-{i}" for i in range(n)], [f"g-{split}-{i // 2}" for i in range(n)]
    facts = {"split": split, "n": n, "poison": poison, "size": list(size)}
    return Dataset(
        name="ramps", samples=ids, groups=groups, read=read, batch_size=batch_size, facts=facts, on_error=on_error
    )


if "ramps" not in DATASETS:
    DATASETS.register("ramps")(ramps)


class Net(nn.Module):
    """Everything that a careless loop would not restore: batch norm, dropout, an encoder and a decoder."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(5)
            self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.GELU(), nn.Dropout(0.2))
            self.decoder = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x)).clamp(-3, 3).exp()


def recipe(**fields) -> Recipe:
    """A plain recipe: the tiny network on ramps, no augmentation."""
    plain = {
        "model": "py:train_cases:Net?output=metric_depth&mean=none", "dataset": "ramps", "steps": 6, "batch_size": 4,
        "train": {"split": "train", "n": 16}, "val": {"split": "val", "n": 4}, "val_every": 3, "log_every": 2,
        "flip": 0.0, "colour": 0.0, "precision": "32-true", "device": "cpu", "save_seconds": 0.0,
    }  # fmt: skip
    return Recipe(**{**plain, **fields})


AUGMENTED = {
    "flip": 0.5, "colour": 1.0, "rotation": 5.0, "cut_depth": 0.5, "drop_pixels": 0.5,
}  # fmt: skip


def train_reporting(out: str, cache: str, reached, wait: float, **fields) -> None:
    """A training in another process, with its step in a shared counter and `wait` seconds after every step."""

    def progress(step: int, steps: int, numbers: dict[str, float]) -> None:
        reached.value = step
        time.sleep(wait)

    torch.set_num_threads(1)
    fit(recipe(**fields), out, cache=cache, progress=progress)


if __name__ == "__main__":
    from depthprobe.cli.flagged import assignment

    sys.modules.setdefault("train_cases", sys.modules["__main__"])
    torch.set_num_threads(1)
    fit(recipe(**dict(map(assignment, sys.argv[3:]))), Path(sys.argv[1]), cache=sys.argv[2])
