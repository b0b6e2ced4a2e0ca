"""The presets against plain transcriptions of the published evaluations, on frames of every size that KITTI has."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import feature
from torch.nn import functional as F

from depthprobe.functional.protocol import PROTOCOLS, Protocol, evaluate, get_protocol, prepare_truth

KITTI_SIZES = [(375, 1242), (370, 1226), (376, 1241), (374, 1238)]
NINE = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "delta1", "delta2", "delta3")


def drive(size, seed=0, far=90.0, share=0.05):
    """A truth as sparse as LiDAR's, some of it beyond 80 m, and a prediction of every pixel; (h,w) float64 numpy."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1, far, size)
    pred = depth * np.exp(0.25 * rng.standard_normal(size))
    return pred, depth, rng.random(size) < share


def ours(pred, depth, valid, protocol, kind="metric_depth", **known):
    """The protocol's numbers of one image."""
    maps = [torch.from_numpy(np.ascontiguousarray(x))[None, None] for x in (pred, depth, valid)]
    values = evaluate(*maps, kind=kind, protocol=get_protocol(protocol), **known)
    return {name: float(value) for name, value in values.items()}


def kb(array):
    """The public code's benchmark crop."""
    height, width = array.shape
    top, left = int(height - 352), int((width - 1216) / 2)
    return array[top : top + 352, left : left + 1216]


def eigen_numbers(z, g):
    """The nine numbers of BTS and ZoeDepth, in numpy."""
    d, ratio = np.log(z) - np.log(g), np.maximum(z / g, g / z)
    return {
        "abs_rel": np.mean(np.abs(z - g) / g),
        "sq_rel": np.mean((z - g) ** 2 / g),
        "rmse": np.sqrt(np.mean((z - g) ** 2)),
        "rmse_log": np.sqrt(np.mean(d**2)),
        "log10": np.mean(np.abs(np.log10(z) - np.log10(g))),
        "silog": 100 * np.sqrt(np.mean(d**2) - np.mean(d) ** 2),
        **{f"delta{k}": np.mean(ratio < 1.25**k) for k in (1, 2, 3)},
    }


def fractions(height, width, rows, cols):
    """The public code's windows: shares of a size, truncated by int()."""
    inside = np.zeros((height, width), bool)
    inside[int(rows[0] * height) : int(rows[1] * height), int(cols[0] * width) : int(cols[1] * width)] = True
    return inside


def garg(height, width):
    return fractions(height, width, (0.40810811, 0.99189189), (0.03594771, 0.96405229))


def clamped(pred, low, high):
    pred = np.where(np.isnan(pred), low, pred)
    return np.clip(pred, low, high)


@pytest.mark.parametrize("size", KITTI_SIZES)
def test_bts_puts_the_crop_back_and_takes_fractions_of_the_whole_frame(size):
    pred, depth, valid = drive(size)
    pred[200, 300:340], pred[210, 300:310], pred[220, 300:310] = np.nan, np.inf, -1.0
    whole = np.zeros(size)
    top, left = int(size[0] - 352), int((size[1] - 1216) / 2)
    whole[top : top + 352, left : left + 1216] = kb(pred)
    mask = (depth > 1e-3) & (depth < 80) & valid & garg(*size)
    want = eigen_numbers(clamped(whole, 1e-3, 80)[mask], depth[mask])
    assert ours(pred, depth, valid, "bts_kitti") == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("size", KITTI_SIZES)
def test_zoe_takes_fractions_of_the_benchmark_crop(size):
    pred, depth, valid = drive(size)
    z, g = clamped(kb(pred), 1e-3, 80), kb(depth)
    mask = (g > 1e-3) & (g < 80) & kb(valid) & garg(352, 1216)
    want = eigen_numbers(z[mask], g[mask])
    assert ours(pred, depth, valid, "zoe_kitti") == pytest.approx(want, rel=1e-9)
    assert ours(kb(pred), g, kb(valid), "zoe_kitti") == pytest.approx(want, rel=1e-9), "frames cut already"


def test_zoe_resizes_with_aligned_corners():
    _, depth, valid = drive((352, 1216))
    small = np.random.default_rng(3).uniform(1, 80, (88, 304))
    rows, cols = np.linspace(0, 87, 352), np.linspace(0, 303, 1216)
    z = ndimage.map_coordinates(small, np.meshgrid(rows, cols, indexing="ij"), order=1)
    mask = (depth < 80) & valid & garg(352, 1216)
    assert ours(small, depth, valid, "zoe_kitti") == pytest.approx(eigen_numbers(z[mask], depth[mask]), rel=1e-9)


@pytest.mark.parametrize("kind", ["affine_depth", "affine_disparity"])
@pytest.mark.parametrize("size", KITTI_SIZES[:2])
def test_marigold_takes_eigens_fractions_of_the_benchmark_crop(size, kind):
    pred, depth, valid = drive(size)
    raw = 0.2 * pred + 3 if kind == "affine_depth" else 0.7 / pred + 3
    z, g = kb(raw), kb(depth)
    window = fractions(352, 1216, (0.3324324, 0.91351351), (0.0359477, 0.96405229))
    mask = (g > 1e-5) & (g < 80) & kb(valid) & window
    target = g if kind == "affine_depth" else 1 / g
    (s, t), *_ = np.linalg.lstsq(np.stack([z[mask], np.ones(mask.sum())], 1), target[mask], rcond=None)
    z = s * z + t if kind == "affine_depth" else 1 / np.clip(s * z + t, 1e-3, None)
    z, g = np.clip(z, 1e-5, 80)[mask], g[mask]
    want = {**eigen_numbers(z, g), "irmse": np.sqrt(np.mean((1 / z - 1 / g) ** 2))}
    assert ours(raw, depth, valid, "marigold_kitti", kind) == pytest.approx(want, rel=1e-7)


@pytest.mark.parametrize("size", KITTI_SIZES[1:3])
def test_midas_caps_the_prediction_alone_and_judges_the_whole_benchmark_crop(size):
    pred, depth, valid = drive(size, far=120.0)
    raw = 3 / pred + 0.5
    z, g, mask = kb(raw), kb(depth), kb(valid)
    a00, a01, a11 = np.sum(z[mask] ** 2), np.sum(z[mask]), mask.sum()
    b0, b1 = np.sum(z[mask] / g[mask]), np.sum(1 / g[mask])
    det = a00 * a11 - a01 * a01
    s, t = (a11 * b0 - a01 * b1) / det, (a00 * b1 - a01 * b0) / det
    fitted = 1 / np.maximum(s * z + t, 1 / 80)
    ratio = np.maximum(fitted / g, g / fitted)[mask]
    assert (g[mask] > 80).any()
    got = ours(raw, depth, valid, "midas_kitti", "affine_disparity")
    assert got["d1_outlier"] == pytest.approx(100 * np.mean(ratio > 1.25), rel=1e-9)


def devkit(pred, depth, valid):
    """KITTI's server, pixel by pixel."""
    sums, log_sum, n = dict.fromkeys(("mae", "rmse", "imae", "irmse", "lmae", "lrmse", "rel", "sq"), 0.0), 0.0, 0
    for v, u in zip(*np.nonzero(valid), strict=True):
        z, g = float(pred[v, u]), float(depth[v, u])
        for name, error in (("", z - g), ("i", 1 / z - 1 / g), ("l", math.log(z) - math.log(g))):
            sums[name + "mae"] += abs(error)
            sums[name + "rmse"] += error * error
        sums["rel"] += abs(z - g) / g
        sums["sq"] += (z - g) ** 2 / (g * g)
        log_sum += math.log(z) - math.log(g)
        n += 1
    mean = {name: total / n for name, total in sums.items()}
    return {
        "silog": 100 * math.sqrt(mean["lrmse"] - (log_sum / n) ** 2),
        "sq_rel_kitti": 100 * mean["sq"],
        "abs_rel": mean["rel"],
        "inv_rmse_km": 1000 * math.sqrt(mean["irmse"]),
        "mae": mean["mae"],
        "rmse": math.sqrt(mean["rmse"]),
        "inv_mae_km": 1000 * mean["imae"],
        "log_mae": 100 * mean["lmae"],
        "log_rmse": 100 * math.sqrt(mean["lrmse"]),
    }


def test_the_server_has_no_caps_and_its_own_relative_error():
    pred, depth, valid = drive((375, 1242), far=200.0, share=0.01)
    got = ours(pred, depth, valid, "kitti_server")
    want = devkit(np.minimum(kb(pred), 256.0), kb(depth), kb(valid))
    assert got == pytest.approx(want, rel=1e-9)
    assert list(got)[:4] == ["silog", "sq_rel_kitti", "abs_rel", "inv_rmse_km"], "the leaderboard's columns"


def room(seed=0, size=(120, 160)):
    """A stepped truth with annotated edges, holes, and a blurred, noisy prediction."""
    rng = np.random.default_rng(seed)
    depth = np.full(size, 6.0) - np.linspace(0, 3, size[0])[:, None]
    depth[30:80, 40:90], depth[60:110, 100:140] = 2.0, 1.2
    edges = np.zeros(size, bool)
    edges[30:80, 40], edges[30:80, 90], edges[60:110, 100] = True, True, True
    pred = ndimage.gaussian_filter(depth, 1.5) * np.exp(0.02 * rng.standard_normal(size))
    return pred, depth, rng.random(size) < 0.97, edges


def known(edges):
    return {"edges": torch.from_numpy(edges)[None, None]}


def order(z, g, plane):
    """Right side of a plane, too near, too far, in per cent."""
    sign = (z <= plane).astype(int) - (g <= plane).astype(int)
    return [100 * np.mean(sign == s) for s in (0, 1, -1)]


def test_ibims_has_whole_frames_without_caps_and_its_own_boundaries_and_order():
    pred, depth, valid, edges = room()
    valid[:] = True
    far = depth * 8  # beyond any cap of the indoor protocols
    got = ours(8 * pred, far, valid, "ibims", **known(edges))
    nine = eigen_numbers((8 * pred).ravel(), far.ravel())
    right, near, away = order(8 * pred, far, 3.0)
    scaled = (pred - pred.min()) / (pred.max() - pred.min())
    found = feature.canny(scaled, sigma=np.sqrt(2), low_threshold=0.15, high_threshold=0.3)
    to_true, to_found = (ndimage.distance_transform_edt(~e) for e in (edges, found))
    close = found & (to_true < 10)
    cut = np.sum(np.minimum(to_true, 10)[found]) + np.sum(np.minimum(to_found, 10)[edges])
    want = {k: nine[k] for k in ("abs_rel", "sq_rel", "rmse", "log10", "delta1", "delta2", "delta3")}
    want |= {"dde_3m": right, "dde_3m_near": near, "dde_3m_far": away}
    want |= {"dbe_acc": to_true[close].mean(), "dbe_com": cut / (found.sum() + edges.sum())}
    assert close.any()
    assert got == pytest.approx(want, rel=1e-6)


def test_syns_scales_by_medians_resizes_disparity_and_has_the_servers_numbers():
    _, depth, valid, edges = room()
    depth, valid[:] = depth * 5, True
    small = room(seed=1)[0][::2, ::2] * 0.3
    disparity = F.interpolate(torch.from_numpy(1 / small)[None, None], depth.shape, mode="bilinear")
    z = 1 / disparity[0, 0].numpy()
    z = np.clip(z * np.median(depth) / np.median(z), 1e-3, 100)
    right, near, away = order(z, depth, 10.0)
    found = feature.canny(np.log(z), sigma=1)
    to_true, to_found = (ndimage.distance_transform_edt(~e) for e in (edges, found))
    close = found & (to_true < 10)
    want = devkit(z, depth, valid)
    want |= {"syns_dde_10m": right, "syns_dde_10m_near": near, "syns_dde_10m_far": away}
    want |= {"syns_edge_acc": to_true[close].mean(), "syns_edge_com": to_found[edges].mean()}
    for kind in ("scale_depth", "metric_depth"):
        assert ours(small, depth, valid, "syns", kind, **known(edges)) == pytest.approx(want, rel=1e-6)


def test_zoe_alone_averages_with_the_mirror_image():
    assert [name for name in PROTOCOLS if get_protocol(name).flip] == ["zoe_kitti"]


@pytest.mark.parametrize("name", ["bts_kitti", "zoe_kitti", "marigold_kitti"])
@pytest.mark.parametrize("size", KITTI_SIZES)
def test_what_is_judged_lies_in_what_is_read(name, size):
    protocol = get_protocol(name)
    top, bottom, left, right = protocol.judges(size)
    outer = protocol.reads(size)
    assert (bottom - top, right - left) != (352, 1216)
    assert outer[0] <= top < bottom <= outer[1] == size[0]
    assert outer[2] <= left < right <= outer[3]
    assert protocol.region(size).sum() == (bottom - top) * (right - left)


def test_the_two_windows_called_gargs_share_917_of_1000():
    size = (375, 1242)
    a, b = (get_protocol(name).region(size) for name in ("bts_kitti", "zoe_kitti"))
    assert a.nonzero().amin(0).tolist() == [153, 44]
    assert b.nonzero().amin(0).tolist() == [23 + 143, 13 + 43]
    assert b.nonzero().amax(0).tolist() == [23 + 348, 13 + 1171]
    assert float((a & b).sum() / (a | b).sum()) == pytest.approx(0.917, abs=5e-4)


def test_frames_that_are_cut_already_are_judged_as_such_or_refused():
    pred, depth, valid = drive((375, 1242))
    for name in ("zoe_kitti", "marigold_kitti", "kitti_server"):
        want = ours(pred, depth, valid, name)
        assert ours(kb(pred), kb(depth), kb(valid), name) == pytest.approx(want, rel=1e-12)
    with pytest.raises(ValueError, match="Expected whole images for protocol `bts_kitti`, but got 352x1216"):
        ours(kb(pred), kb(depth), kb(valid), "bts_kitti")


def test_a_prediction_of_the_window_alone_is_not_stretched_over_the_image():
    pred, depth, valid = drive((375, 1242))
    with pytest.raises(ValueError, match=r"Expected a prediction of the whole image \(375x1242\), but got"):
        ours(kb(pred), depth, valid, "zoe_kitti")
    protocol = get_protocol("zoe_kitti").inside((375, 1242))
    maps = [torch.from_numpy(np.ascontiguousarray(kb(x)))[None, None] for x in (pred, depth, valid)]
    got = evaluate(*maps, kind="metric_depth", protocol=protocol)
    assert {k: float(v) for k, v in got.items()} == pytest.approx(ours(pred, depth, valid, "zoe_kitti"), rel=1e-12)


def test_images_smaller_than_the_window_are_refused():
    with pytest.raises(ValueError, match=r"at least 352x1216 \(the protocol's window\), but got 96x128"):
        ours(*drive((96, 128)), "kitti_server")


def test_a_window_without_a_crop_hides_what_lies_outside():
    depth = torch.ones(1, 1, 8, 11)
    mask = prepare_truth(depth, depth > 0, Protocol(name="mine", window=(3, 4))).mask[0, 0]
    assert mask.nonzero().amin(0).tolist() == [5, 3]
    assert mask.nonzero().amax(0).tolist() == [7, 6]
    assert mask.sum() == 12


def test_a_crop_in_pixels_of_the_window():
    protocol = Protocol(name="mine", window=(4, 6), crop=(1, 3, 0, 5), frame=(4, 6), crop_of="window")
    assert protocol.judges((10, 8)) == (7, 9, 1, 6)
    assert protocol.inside((10, 8)).judges((4, 6)) == (1, 3, 0, 5)


def test_a_crop_beside_the_window_judges_nothing():
    protocol = Protocol(name="mine", window=(4, 6), crop=(0, 0.5, 0, 1), frame=(1, 1))
    assert not protocol.region((10, 8)).any()
    assert not protocol.inside((10, 8)).region((4, 6)).any()


def test_every_preset_says_its_data_and_most_their_frame():
    for name in PROTOCOLS:
        facts = PROTOCOLS.facts(name)
        assert facts["data"]
        assert facts["source"]
        if "size" in facts:
            assert get_protocol(name).region(facts["size"]).any()
