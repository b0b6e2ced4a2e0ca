"""Alignments against slow references (lstsq, numpy medians, a linear program), and what they must refuse."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from depthprobe.functional.alignment import ALIGNMENTS, align, method_for
from depthprobe.functional.conversion import OUTPUT_KINDS, depth_to_disparity
from depthprobe.functional.geometry import nearest_valid
from depthprobe.functional.metrics import METRICS

SCALE_FREE = {"median", "scale", "scale_l1", "scale_shift", "scale_shift_l1"}
SHIFT_FREE = {"scale_shift", "scale_shift_l1"}


def example(batch=3, h=8, w=10, seed=0, noise=0.3):
    rng = torch.Generator().manual_seed(seed)
    depth = torch.rand(batch, 1, h, w, generator=rng, dtype=torch.float64) * 8 + 0.5
    pred = 0.4 * depth * torch.exp(noise * torch.randn(depth.shape, generator=rng, dtype=torch.float64)) + 0.2
    valid = torch.rand(depth.shape, generator=rng) < 0.8
    return pred, depth, valid


def lstsq(z, g):
    return np.linalg.lstsq(np.stack([z, np.ones_like(z)], 1), g, rcond=None)[0]


def weighted_l1(z, g, columns):
    """Minimise Σ |A c - g| / g by a linear program: minimise Σ t / g with -t <= A c - g <= t."""
    a, n = np.stack(columns, 1), len(g)
    cost = np.concatenate([np.zeros(a.shape[1]), 1 / g])
    rows = np.block([[a, -np.eye(n)], [-a, -np.eye(n)]])
    bounds = [(None, None)] * a.shape[1] + [(0, None)] * n
    found = linprog(cost, A_ub=rows, b_ub=np.concatenate([g, -g]), bounds=bounds, method="highs")
    return found.x[: a.shape[1]]


def reference(method, z, g, z_all, floor):
    """Aligned depth of all pixels of one sample, from the valid pixels' z and g, as the sources say it."""
    if method == "none":
        return z_all
    if method == "median":
        return z_all * np.median(g) / np.median(z)
    if method == "scale":
        return z_all * np.linalg.lstsq(z[:, None], g, rcond=None)[0][0]
    if method == "scale_shift":
        s, t = lstsq(z, g)
        return s * z_all + t
    if method == "disparity":
        s, t = lstsq(1 / z, 1 / g)
        return 1 / np.maximum(s / z_all + t, floor)
    if method == "scale_l1":
        return z_all * weighted_l1(z, g, [z])[0]
    s, t = weighted_l1(z, g, [z, np.ones_like(z)])
    return s * z_all + t


@pytest.mark.parametrize("method", ALIGNMENTS.names())
def test_alignment_equals_its_slow_reference(method):
    pred, depth, valid = example()
    got = align(pred, depth, valid, kind="metric_depth", method=method, floor=0.05)
    for i in range(len(pred)):
        z, g = pred[i][valid[i]].numpy(), depth[i][valid[i]].numpy()
        want = reference(method, z, g, pred[i, 0].numpy(), 0.05)
        np.testing.assert_allclose(got[i, 0].numpy(), want, rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_weighted_l1_reaches_the_optimum_also_with_ties(seed):
    """Integer data make many points lie on one line; the objective, not the solution, is then unique."""
    rng = np.random.default_rng(seed)
    z, g = rng.integers(1, 6, 40).astype(float), rng.integers(1, 6, 40).astype(float)
    pred, depth = (torch.from_numpy(x).view(1, 1, 5, 8) for x in (z, g))
    aligned = align(pred, depth, depth > 0, kind="affine_depth", method="scale_shift_l1").flatten().numpy()
    s, t = weighted_l1(z, g, [z, np.ones_like(z)])
    cost = [np.sum(np.abs(x - g) / g) for x in (aligned, s * z + t)]
    assert cost[0] == pytest.approx(cost[1], rel=1e-9)


def test_weighted_l1_is_fitted_on_a_masked_64x64_subsample():
    """Outside the subsample the truth may change without any effect; inside it may not."""
    pred, depth, valid = example(batch=1, h=130, w=140)
    index, found = nearest_valid(valid[:, 0])
    assert index.shape == (1, 64 * 64)
    assert bool(valid.flatten()[index[found]].all())
    inside = torch.zeros(130 * 140, dtype=torch.bool)
    inside[index[found]] = True
    other = torch.where(inside.view(1, 1, 130, 140), depth, 3 * depth)
    for method in ("scale_l1", "scale_shift_l1"):
        want = align(pred, depth, valid, kind="scale_depth", method=method)
        assert torch.equal(align(pred, other, valid, kind="scale_depth", method=method), want)
        assert not torch.allclose(align(pred, 3 * depth, valid, kind="scale_depth", method=method), want)


def test_the_subsample_takes_the_valid_pixel_nearest_to_each_cell_centre():
    rng = np.random.default_rng(0)
    h, w, size = 9, 14, (3, 4)
    valid = rng.random((2, h, w)) < 0.3
    index, found = nearest_valid(torch.from_numpy(valid), size)
    for b in range(2):
        best = {}
        for y in range(h):
            for x in range(w):
                cy, cx = (y + 0.5) * size[0] / h, (x + 0.5) * size[1] / w
                cell = int(cy) * size[1] + int(cx)
                far = (cy % 1 - 0.5) ** 2 + (cx % 1 - 0.5) ** 2
                if valid[b, y, x] and far < best.get(cell, (9, 0))[0] - 1e-6:
                    best[cell] = (far, y * w + x)
        assert found[b].tolist() == [c in best for c in range(12)]
        for c, (far, _) in best.items():
            y, x = divmod(int(index[b, c]), w)
            got = ((y + 0.5) * size[0] / h % 1 - 0.5) ** 2 + ((x + 0.5) * size[1] / w % 1 - 0.5) ** 2
            assert got == pytest.approx(far, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_affine_disparity_of_the_truth_is_recovered(dtype):
    _, depth, valid = example()
    pred, depth = (x.to(dtype) for x in (7.0 / depth + 3.0, depth))
    aligned = align(pred, depth, valid, kind="affine_disparity", floor=1e-3)
    assert float(METRICS["abs_rel"](aligned, depth, valid).max()) < 1e-5


def test_affine_disparity_fitted_in_depth_space_is_far_off_and_refused():
    """The trap: a perfect network looks bad when its card lies about the space of its output."""
    _, depth, valid = example(h=30, w=40)
    perfect = 1 / depth
    lied = align(perfect, depth, valid, kind="affine_depth", method="scale_shift")
    assert float(METRICS["abs_rel"](lied, depth, valid).min()) > 0.15
    assert float(METRICS["delta1"](lied, depth, valid).max()) < 0.75
    with pytest.raises(ValueError, match=r"alignment for affine_disparity \['disparity'\], but got 'scale_shift'"):
        align(perfect, depth, valid, kind="affine_disparity", method="scale_shift")


@pytest.mark.parametrize("kind", OUTPUT_KINDS)
def test_auto_recovers_a_perfect_prediction_of_every_kind(kind):
    _, depth, valid = example()
    pred = {
        "metric_depth": depth,
        "scale_depth": 0.3 * depth,
        "affine_depth": 0.3 * depth - 5,
        "affine_disparity": 0.3 / depth + 5,
    }[kind]
    aligned = align(pred, depth, valid, kind=kind)  # an invalid pixel may lie beyond the floor, which valid ones set
    torch.testing.assert_close(aligned[valid], depth[valid], rtol=1e-9, atol=0)


def test_exactly_one_method_is_automatic_for_each_kind():
    auto = [kind for name in ALIGNMENTS for kind in ALIGNMENTS.facts(name)["auto"]]
    assert sorted(auto) == sorted(OUTPUT_KINDS)
    assert {k: method_for(k) for k in OUTPUT_KINDS} == {
        "metric_depth": "none",
        "scale_depth": "median",
        "affine_depth": "scale_shift",
        "affine_disparity": "disparity",
    }


@pytest.mark.parametrize("method", sorted(ALIGNMENTS.names()))
def test_what_each_fit_takes_away(method):
    """Members of the two sets take away an unknown scale (and shift) of the prediction; the others do not."""
    pred, depth, valid = example()

    def run(z):
        return align(z, depth, valid, kind="metric_depth", method=method, floor=1e-6)

    scaled = torch.allclose(run(2.5 * pred), run(pred), rtol=1e-8)
    shifted = torch.allclose(run(pred + 4), run(pred), rtol=1e-8)
    assert scaled == (method in SCALE_FREE or method == "disparity")
    assert shifted == (method in SHIFT_FREE)


@pytest.mark.parametrize("method", ALIGNMENTS.names())
def test_invalid_and_missing_pixels_take_no_part_in_the_fit(method):
    pred, depth, valid = example()
    want = align(pred, depth, valid, kind="metric_depth", method=method)
    junk = align(pred.where(valid, torch.nan), depth.where(valid, -1.0), valid, kind="metric_depth", method=method)
    torch.testing.assert_close(junk[valid], want[valid], rtol=1e-12, atol=0)
    hole = pred.clone()
    hole[0, 0, 3, 3] = torch.nan
    fewer = valid.clone()
    fewer[0, 0, 3, 3] = False
    got = align(hole, depth, valid, kind="metric_depth", method=method)
    want = align(pred, depth, fewer, kind="metric_depth", method=method)
    torch.testing.assert_close(got[fewer], want[fewer], rtol=1e-12, atol=0)
    assert bool(got[0, 0, 3, 3].isnan())


@pytest.mark.parametrize("method", sorted(set(ALIGNMENTS.names()) - {"none"}))
def test_an_empty_mask_gives_nan_for_that_sample_only(method):
    pred, depth, valid = example()
    want = align(pred, depth, valid, kind="metric_depth", method=method)
    valid[1] = False
    got = align(pred, depth, valid, kind="metric_depth", method=method)
    assert bool(got[1].isnan().all())
    assert torch.equal(got[[0, 2]], want[[0, 2]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_prediction_becomes_the_best_constant(dtype):
    _, depth, valid = example()
    depth, flat = depth.to(dtype), torch.full(depth.shape, 1.1, dtype=dtype)
    for i, g in enumerate(d[v] for d, v in zip(depth, valid, strict=True)):
        linear = align(flat, depth, valid, kind="affine_depth")[i]
        inverse = align(flat, depth, valid, kind="affine_disparity", floor=1e-3)[i]
        torch.testing.assert_close(linear, g.mean().expand(linear.shape), rtol=1e-5, atol=0)
        torch.testing.assert_close(inverse, (1 / (1 / g).mean()).expand(linear.shape), rtol=1e-5, atol=0)


def test_a_scale_without_anything_to_scale_is_nan():
    _, depth, valid = example()
    for method in ("median", "scale", "scale_l1"):
        assert bool(align(0 * depth, depth, valid, kind="scale_depth", method=method).isnan().all())


def test_floors_of_midas_marigold_and_moge():
    """An aligned disparity below the floor becomes 1 / floor: the cap, 1000 m, or the farthest truth."""
    _, depth, valid = example(batch=1)
    pred = 1 / depth
    pred[0, 0, 0, 0] = -2.0
    valid[0, 0, 0, 0] = False
    farthest = float(depth[valid].max())
    for options, want in (({"cap": 10.0}, 10.0), ({"floor": 1e-3}, 1000.0), ({}, farthest)):
        got = align(pred, depth, valid, kind="affine_disparity", **options)
        assert float(got[0, 0, 0, 0]) == pytest.approx(want, rel=1e-9)


def test_depth_to_disparity_sees_nothing_behind_the_camera():
    got = depth_to_disparity(torch.tensor([2.0, 0.0, -1.0, torch.nan]))
    assert got[0] == 0.5
    assert bool(got[1:].isnan().all())


def test_refusals():
    pred, depth, valid = example()
    with pytest.raises(ValueError, match="Expected `kind` to be one of"):
        align(pred, depth, valid, kind="depth")
    with pytest.raises(ValueError, match="Expected alignment to be one of"):
        align(pred, depth, valid, kind="metric_depth", method="lsq")
    with pytest.raises(ValueError, match="Expected `cap` to be in"):
        align(pred, depth, valid, kind="affine_disparity", cap=0.0)
    with pytest.raises(ValueError, match="alignment for affine_depth"):
        align(pred, depth, valid, kind="affine_depth", method="disparity")
