"""Planes that are found in depth: exact ones of the scenes come back, curved surfaces and noise do not count."""

import math

import pytest
import torch

from depthprobe.data import load_dataset
from depthprobe.functional.metrics import METRICS
from depthprobe.functional.planes_fit import segment_planes


def two_walls(size=(72, 96), focal=80.0, angle=50):
    """A corner: two walls that meet in the middle column, each turned by `angle` degrees."""
    slope = math.tan(math.radians(angle))
    u = (torch.arange(size[1], dtype=torch.float64) - (size[1] - 1) / 2) / focal
    depth = 3 / (1 + slope * u.abs())
    return depth.expand(1, 1, *size).clone()


def test_a_corner_is_two_planes():
    depth = two_walls()
    labels = segment_planes(depth, torch.ones_like(depth, dtype=torch.bool))[0, 0]
    assert labels.dtype == torch.int32
    left, right = labels[:, :46], labels[:, 50:]
    assert left.unique().numel() == right.unique().numel() == 1
    assert left[0, 0] != right[0, 0] and int(labels.min()) >= 0


def test_steps_of_the_truth_do_not_count_once_they_are_known():
    depth = two_walls()
    steps, valid = (depth / 0.0392).round() * 0.0392, torch.ones_like(depth, dtype=torch.bool)  # 2 cm at 1.5 to 3 m
    blind = segment_planes(steps, valid, tolerance=0.002)
    found = segment_planes(steps, valid, tolerance=0.002, step=METRICS["depth_step"](steps, valid))
    assert float((blind >= 0).double().mean()) < 0.4
    assert float((found >= 0).double().mean()) > 0.95
    assert (
        len(found[..., :44].unique()) == len(found[..., 52:].unique()) == 1 and found[0, 0, 0, 0] != found[0, 0, 0, -1]
    )


def test_spheres_and_noise_are_no_planes():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    ball = (3 - (2 - x**2 - y**2).clamp_min(0).sqrt()).double()[None, None]
    noise = 1 + torch.rand(ball.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    valid = torch.ones_like(ball, dtype=torch.bool)
    assert int((segment_planes(noise, valid) >= 0).sum()) == 0
    assert int((segment_planes(ball, valid, tolerance=2e-4) >= 0).sum()) == 0


def test_invalid_pixels_are_on_no_plane_and_have_no_effect():
    depth, valid = two_walls(), torch.rand(1, 1, 72, 96, generator=torch.Generator().manual_seed(0)) < 0.9
    junk = segment_planes(depth.where(valid, torch.nan), valid)
    assert torch.equal(junk, segment_planes(depth, valid))
    assert bool((junk[~valid] == -1).all()) and bool((junk[valid] >= 0).float().mean() > 0.95)
    assert bool((segment_planes(depth, torch.zeros_like(valid)) == -1).all())


@pytest.mark.parametrize("kind", ["rooms", "shapes"])
def test_planes_of_scenes_come_back(kind):
    batch = load_dataset("scenes", kind=kind, n=3, size=(96, 128), batch_size=3).load(range(3))[0]
    found, exact = segment_planes(batch.depth, batch.valid)[:, 0], batch.maps["plane"][:, 0]
    for mine, true in zip(found, exact, strict=True):
        for plane in true.unique():
            on = true == plane
            if plane >= 0 and on.float().mean() > 0.05:
                assert float((mine[on] >= 0).float().mean()) > 0.85
        pure = sum(int(true[mine == k].unique(return_counts=True)[1].max()) for k in mine.unique() if k >= 0)
        assert pure / int((mine >= 0).sum()) > 0.85
    known = {"planes": found[:, None], "intrinsics": batch.intrinsics}
    assert float(METRICS["planarity"](batch.depth, batch.depth, batch.valid, **known).max()) < 0.02


def test_refusals():
    depth = two_walls()
    with pytest.raises(ValueError, match=r"Expected `tolerance` to be in \(0, 1\]"):
        segment_planes(depth, torch.ones_like(depth, dtype=torch.bool), tolerance=0)
