"""Planarity and plane orientation against per-plane loops, exact planes, and planes tilted or bent by known amounts."""

import math

import numpy as np
import pytest
import torch
from structures import H, W, prediction, truth

from depthprobe.data import load_dataset
from depthprobe.functional.metrics import METRICS

NAMES = ("planarity", "plane_orientation")


def points(depth, where, camera):
    """Back-projected points (N,3) of one map (H,W), one pixel at a time."""
    (fx, _, cx), (_, fy, cy) = camera[0].tolist(), camera[1].tolist()
    return np.array([[(x - cx) / fx * depth[y, x], (y - cy) / fy * depth[y, x], depth[y, x]] for y, x in where])


def best_plane(cloud):
    """Standard deviation from, and normal of, the plane of least squares, by SVD of the centred points."""
    centred = cloud - cloud.mean(0)
    normal = np.linalg.svd(centred)[2][2]
    return float((centred @ normal).std()), normal


def reference(pred, depth, valid, planes, camera):
    flat, turned = [], []
    for plane in sorted(set(planes[valid & (planes >= 0)].tolist())):
        where = np.argwhere(valid & (planes == plane))
        if len(where) < 0.01 * planes.size:
            continue
        own, true = points(pred, where, camera), points(depth, where, camera)
        spread, normal = best_plane(own * true[:, 2].mean() / own[:, 2].mean())
        cosine = abs(normal @ best_plane(true)[1])
        flat.append(spread), turned.append(math.degrees(math.acos(min(1.0, cosine))))
    return np.mean(flat), np.mean(turned)


def test_planes_equal_their_slow_reference():
    depth, valid, known = truth()
    known["planes"][0, 0, 0, :3] = 99  # too small to count
    pred = prediction(depth)
    got = [METRICS[name](pred, depth, valid, **known) for name in NAMES]
    for i in range(3):
        maps = (x[i, 0].numpy() for x in (pred, depth, valid, known["planes"]))
        want = reference(*maps, known["intrinsics"][i].numpy())
        assert [float(g[i]) for g in got] == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("kind", ["rooms", "streets", "shapes"])
@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_exact_planes_are_flat(kind, scale):
    batch = load_dataset("scenes", kind=kind, n=2, size=(96, 128)).load(range(2))[0]
    known = {"planes": batch.maps["plane"], "intrinsics": batch.intrinsics}
    flat, turned = (METRICS[name](scale * batch.depth, batch.depth, batch.valid, **known) for name in NAMES)
    assert float(flat.max()) < 1e-4 / 10
    assert float(turned.max()) < 1e-4


def test_a_tilt_and_a_bend_of_known_size():
    """A wall at 3 m turned by 10 degrees, and one with 5 cm waves: amplitude / √2 about its plane."""
    camera = torch.tensor([[[120.0, 0, 63.5], [0, 120, 47.5], [0, 0, 1]]])
    x = (torch.arange(128) - 63.5).double() / 120
    wall, known = torch.full((1, 1, 96, 128), 3.0).double(), torch.ones(1, 1, 96, 128, dtype=torch.bool)
    more = {"planes": torch.zeros(1, 1, 96, 128, dtype=torch.int32), "intrinsics": camera.double()}
    tilted = (3.0 / (1 - math.tan(math.radians(10)) * x)).expand_as(wall)
    assert float(METRICS["plane_orientation"](tilted, wall, known, **more)) == pytest.approx(10, abs=1e-6)
    assert float(METRICS["planarity"](tilted, wall, known, **more)) < 1e-6
    waves = wall + 0.05 * torch.sin(2 * math.pi * torch.arange(128) / 16)
    assert float(METRICS["planarity"](waves, wall, known, **more)) == pytest.approx(0.05 / math.sqrt(2), rel=0.01)


def test_without_planes_that_count_the_value_is_nan():
    depth, valid, known = truth(batch=1)
    known["planes"] = torch.full_like(known["planes"], -1)
    assert all(bool(METRICS[name](depth, depth, valid, **known).isnan()) for name in NAMES)


def test_what_is_missing_is_named():
    depth, valid, known = truth(batch=1)
    with pytest.raises(ValueError, match=r"Expected the truth to come with `intrinsics`, but got .*'planes'"):
        METRICS["planarity"](depth, depth, valid, planes=known["planes"])
    with pytest.raises(ValueError, match=r"Expected `planes` to have shape \(t 1 h w\) with w=34"):
        METRICS["planarity"](depth, depth, valid, planes=torch.zeros(1, 1, H, W - 1), intrinsics=known["intrinsics"])
    with pytest.raises(ValueError, match="Expected `known` to be one of"):
        METRICS["planarity"](depth, depth, valid, plane=known["planes"])
