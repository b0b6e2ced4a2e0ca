"""Protocols against plain transcriptions of the public evaluations, refusals, and shared truths."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from depthprobe.functional.conversion import OUTPUT_KINDS
from depthprobe.functional.geometry import crop_mask
from depthprobe.functional.metrics import METRICS, all_metrics
from depthprobe.functional.protocol import (
    PROTOCOLS,
    Protocol,
    evaluate,
    evaluate_prepared,
    get_protocol,
    prepare,
    prepare_truth,
)
from depthprobe.schema import plan_id

FITS = {
    "scenes": set(OUTPUT_KINDS),
    "bts_nyu": {"metric_depth"},
    "midas_nyu": {"metric_depth", "scale_depth", "affine_disparity"},
    "marigold_nyu": set(OUTPUT_KINDS),
    "bts_kitti": {"metric_depth"},
    "zoe_kitti": {"metric_depth"},
    "marigold_kitti": set(OUTPUT_KINDS),
    "midas_kitti": {"metric_depth", "scale_depth", "affine_disparity"},
    "kitti_server": {"metric_depth"},
    "ibims": {"metric_depth"},
    "syns": {"metric_depth", "scale_depth"},
}


def example(h=48, w=64, batch=3, seed=0, far=12.0):
    """Depth with pixels beyond 10 m, holes, and a noisy prediction."""
    rng = torch.Generator().manual_seed(seed)
    depth = torch.rand(batch, 1, h, w, generator=rng) * far + 0.3
    pred = depth * torch.exp(0.25 * torch.randn(depth.shape, generator=rng))
    valid = torch.rand(depth.shape, generator=rng) < 0.9
    return pred, depth, valid


def example_for(name, **options):
    """`example` in a frame that the protocol's window fits, then of two images only."""
    if get_protocol(name).window is None:
        return example(**options)
    return example(360, 1220, batch=2, **options)


def midas(disparity, depth, valid, cap=10.0):
    """MiDaS's bad-pixel rate, one image, from its definition (normal equations in disparity)."""
    mask = valid & (depth > 1e-3) & (depth < cap)
    z, g = disparity[mask], 1 / depth[mask]
    a = np.array([[np.sum(z * z), np.sum(z)], [np.sum(z), len(z)]])
    s, t = np.linalg.solve(a, np.array([np.sum(z * g), np.sum(g)]))
    fitted = 1 / np.maximum(s * disparity + t, 1 / cap)
    ratio = np.maximum(fitted / depth, depth / fitted)[mask]
    return 100 * np.mean(ratio > 1.25), np.mean(np.abs(fitted - depth)[mask] / depth[mask])


def bts(pred, depth, valid):
    """BTS's evaluation of one 480x640 image."""
    pred = pred.copy()
    pred[pred < 1e-3] = 1e-3
    pred[pred > 10] = 10
    pred[np.isinf(pred)] = 10
    pred[np.isnan(pred)] = 1e-3
    mask = np.logical_and(depth > 1e-3, depth < 10) & valid
    crop = np.zeros(mask.shape, bool)
    crop[45:471, 41:601] = True
    z, g = pred[mask & crop], depth[mask & crop]
    d = np.log(z) - np.log(g)
    return {
        "abs_rel": np.mean(np.abs(z - g) / g),
        "sq_rel": np.mean((z - g) ** 2 / g),
        "rmse": np.sqrt(np.mean((z - g) ** 2)),
        "rmse_log": np.sqrt(np.mean(d**2)),
        "log10": np.mean(np.abs(np.log10(z) - np.log10(g))),
        "silog": 100 * np.sqrt(np.mean(d**2) - np.mean(d) ** 2),
        "delta1": np.mean(np.maximum(z / g, g / z) < 1.25),
        "delta2": np.mean(np.maximum(z / g, g / z) < 1.25**2),
        "delta3": np.mean(np.maximum(z / g, g / z) < 1.25**3),
    }


def test_midas_equals_a_transcription():
    pred, depth, valid = (x.double() if x.is_floating_point() else x for x in example())
    disparity = 3 / pred + 0.5
    got = evaluate(disparity, depth, valid, kind="affine_disparity", protocol=get_protocol("midas_nyu"))
    for i in range(3):
        outlier, abs_rel = midas(*(x[i, 0].numpy() for x in (disparity, depth, valid)))
        assert float(got["d1_outlier"][i]) == pytest.approx(outlier, rel=1e-9)
        assert float(got["abs_rel"][i]) == pytest.approx(abs_rel, rel=1e-9)


def test_midas_inverts_a_depth_network_first():
    pred, depth, valid = example()
    protocol = get_protocol("midas_nyu")
    want = evaluate(1 / pred, depth, valid, kind="affine_disparity", protocol=protocol)
    for kind in ("metric_depth", "scale_depth"):
        got = evaluate(pred, depth, valid, kind=kind, protocol=protocol)
        torch.testing.assert_close(got["abs_rel"], want["abs_rel"], rtol=1e-5, atol=0)


def test_bts_equals_a_transcription_with_all_its_rules():
    """Crop, strict caps, clamp; infinity is far, NaN is a failure judged as the least depth."""
    pred, depth, valid = (x.double() if x.is_floating_point() else x for x in example(480, 640, batch=1))
    for column, bad in enumerate((math.nan, math.inf, -1.0, 50.0)):
        pred[0, 0, 200, 200 + 5 * column : 205 + 5 * column] = bad
    got = evaluate(pred, depth, valid, kind="metric_depth", protocol=get_protocol("bts_nyu"))
    want = bts(*(x[0, 0].numpy() for x in (pred, depth, valid)))
    assert {k: float(v) for k, v in got.items()} == pytest.approx(want, rel=1e-9)


def test_marigold_fits_inside_the_crop_and_in_the_space_of_the_output():
    pred, depth, valid = (x.double() if x.is_floating_point() else x for x in example())
    inside = np.zeros((48, 64), bool)
    inside[5:47, 5:60] = True  # 45/10..471/10, 41/10..601/10, pixels wholly inside
    for kind, raw in (("affine_depth", 0.2 * pred + 3), ("affine_disparity", 0.7 / pred + 3)):
        got = evaluate(raw, depth, valid, kind=kind, protocol=get_protocol("marigold_nyu"))
        for i in range(3):
            z, g = raw[i, 0].numpy(), depth[i, 0].numpy()
            mask = valid[i, 0].numpy() & inside & (g > 1e-3) & (g < 10)
            target = g if kind == "affine_depth" else 1 / g
            s, t = np.polyfit(z[mask], target[mask], 1)
            fitted = s * z + t if kind == "affine_depth" else 1 / np.maximum(s * z + t, 1e-3)
            fitted = np.clip(fitted, 1e-3, 10)
            want = np.mean(np.abs(fitted - g)[mask] / g[mask])
            assert float(got["abs_rel"][i]) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("name", PROTOCOLS.names())
@pytest.mark.parametrize("kind", OUTPUT_KINDS)
def test_each_protocol_judges_its_kinds_and_refuses_the_others(name, kind):
    pred, depth, valid = example_for(name)
    protocol = get_protocol(name)
    if kind in FITS[name]:
        values = evaluate(pred, depth, valid, kind=kind, protocol=protocol)
        assert list(values) == list(protocol.metrics)
        assert all(v.shape == (len(pred),) and bool(v.isfinite().all()) for v in values.values())
        return
    with pytest.raises(ValueError, match=f"protocol `{name}`.*protocols that fit {kind}") as refusal:
        evaluate(pred, depth, valid, kind=kind, protocol=protocol)
    said = str(refusal.value).split("protocols that fit")[1]
    assert {other for other in PROTOCOLS if other in said} == {p for p, kinds in FITS.items() if kind in kinds}


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_a_perfect_prediction_is_perfect_for_every_kind(name):
    _, depth, valid = example_for(name, far=9.0)
    raw = {"metric_depth": depth, "scale_depth": 2 * depth, "affine_depth": 2 * depth - 9}
    raw["affine_disparity"] = 0.3 / depth + 2
    for kind in FITS[name]:
        for metric, value in evaluate(raw[kind], depth, valid, kind=kind, protocol=get_protocol(name)).items():
            assert float((value - METRICS.facts(metric)["perfect"]).abs().max()) < 1e-3, (kind, metric)


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_evaluate_measures_what_prepare_returns(name):
    pred, depth, valid = example_for(name)
    protocol = get_protocol(name)
    aligned, mask = prepare(pred, depth, valid, kind="metric_depth", protocol=protocol)
    assert aligned.shape == depth.shape
    assert float(aligned.min()) >= protocol.min_depth - 1e-9
    assert float(aligned.max()) <= protocol.max_depth
    want = all_metrics(aligned, depth, mask, protocol.metrics)
    got = evaluate(pred, depth, valid, kind="metric_depth", protocol=protocol)
    for metric in protocol.metrics:
        assert torch.equal(got[metric], want[metric])


@pytest.mark.parametrize("kind", OUTPUT_KINDS)
@pytest.mark.parametrize("index", [[1, 1, 1, 1], [2, 0, 2, 1]])
def test_one_prepared_truth_gives_the_numbers_of_a_copied_one(kind, index):
    _, depth, valid = example()
    pred = example(batch=4, seed=5)[0]
    protocol = get_protocol("scenes")
    got = evaluate_prepared(pred, prepare_truth(depth, valid, protocol), kind=kind, index=index)
    want = evaluate(pred, depth[index], valid[index], kind=kind, protocol=protocol)
    for metric, value in want.items():
        torch.testing.assert_close(got[metric], value, rtol=1e-6, atol=1e-7)


def test_batching_does_not_matter():
    pred, depth, valid = example()
    for kind in OUTPUT_KINDS:
        whole = evaluate(pred, depth, valid, kind=kind, protocol=get_protocol("scenes"))
        for i in range(3):
            one = evaluate(
                pred[i : i + 1], depth[i : i + 1], valid[i : i + 1], kind=kind, protocol=get_protocol("scenes")
            )
            assert all(torch.equal(one[m][0], whole[m][i]) for m in whole)


def test_a_prediction_of_another_size_is_resized_before_the_alignment():
    _, depth, valid = example()
    small = torch.rand(3, 1, 12, 16, generator=torch.Generator().manual_seed(1)) + 0.5
    full = F.interpolate(small, (48, 64), mode="bilinear", align_corners=False)
    protocol = get_protocol("midas_nyu")
    got = evaluate(small, depth, valid, kind="affine_disparity", protocol=protocol)
    want = evaluate(full, depth, valid, kind="affine_disparity", protocol=protocol)
    corners = evaluate(
        small, depth, valid, kind="affine_disparity", protocol=dataclasses.replace(protocol, align_corners=True)
    )
    assert torch.equal(got["abs_rel"], want["abs_rel"])
    assert not torch.equal(corners["abs_rel"], want["abs_rel"])


def test_missing_predictions_are_failures_not_gifts():
    _, depth, valid = example(far=9.0)
    pred = depth.clone()
    pred[0, 0, :24] = math.nan
    protocol = dataclasses.replace(get_protocol("scenes"), metrics=("abs_rel", "delta1", "failed"))
    got = evaluate(pred, depth, valid, kind="metric_depth", protocol=protocol)
    share = float(valid[0, 0, :24].sum() / valid[0].sum())
    assert float(got["failed"][0]) == pytest.approx(share)
    assert float(got["delta1"][0]) == pytest.approx(1 - share)
    assert 0.9 * share < float(got["abs_rel"][0]) <= share
    assert got["failed"][1:].tolist() == [0, 0]


def test_a_sample_that_cannot_be_aligned_fails_as_a_whole_and_an_empty_one_is_nan():
    _, depth, valid = example()
    pred = torch.full_like(depth, math.nan)
    valid[2] = False
    protocol = dataclasses.replace(get_protocol("scenes"), metrics=("abs_rel", "failed"))
    got = evaluate(pred, depth, valid, kind="affine_depth", protocol=protocol)
    assert got["failed"][:2].tolist() == [1, 1]
    assert float(got["abs_rel"][:2].min()) > 0.99
    assert bool(got["abs_rel"][2].isnan())
    assert bool(got["failed"][2].isnan())


def test_crop_boxes():
    full = crop_mask((480, 640), (45, 471, 41, 601), (480, 640))
    assert full.sum() == 426 * 560
    assert bool(full[45, 41])
    assert not bool(full[44, 41] | full[471, 41] | full[45, 601])
    half = crop_mask((240, 320), (45, 471, 41, 601), (480, 640))
    assert half.nonzero().amin(0).tolist() == [23, 21]  # 22.5 and 20.5, only pixels wholly inside
    assert half.nonzero().amax(0).tolist() == [234, 299]
    garg = crop_mask((375, 1242), (0.40810811, 0.99189189, 0.03594771, 0.96405229), (1, 1))
    assert garg.nonzero().amin(0).tolist() == [153, 44]
    assert garg.nonzero().amax(0).tolist() == [370, 1196]
    with pytest.raises(
        ValueError, match=r"Expected images of the aspect of 480x640.* but got 375x1242; use a protocol"
    ):
        crop_mask((375, 1242), (45, 471, 41, 601), (480, 640))


def test_caps_are_strict():
    depth = torch.tensor([1e-3, 2e-3, 9.99, 10.0, 11.0]).view(1, 1, 1, 5)
    mask = prepare_truth(depth, depth > 0, get_protocol("midas_nyu")).mask
    assert mask.flatten().tolist() == [False, True, True, False, False]


def test_a_protocol_prints_every_number_and_hashes_all_but_its_seed():
    hashes = set()
    for name in PROTOCOLS:
        protocol = get_protocol(name)
        said = protocol.describe()
        fields = dataclasses.asdict(protocol)
        numbers = [fields["max_depth"], fields["min_depth"], *(fields["crop"] or ()), *(fields["frame"] or ()),
                   *(fields["window"] or ())]  # fmt: skip
        assert all(f"{number:.8g}" in said for number in numbers), said
        assert all(f"{kind}: {method}" in said for kind, method in protocol.alignment)
        assert all(metric in said for metric in protocol.metrics)
        assert plan_id(protocol) in said
        hashes.add(plan_id(protocol))
        assert plan_id(dataclasses.replace(protocol, seed=3)) == plan_id(protocol)
        assert plan_id(dataclasses.replace(protocol, max_depth=7.0)) != plan_id(protocol)
        assert name == protocol.name
    assert len(hashes) == len(PROTOCOLS.names())


def test_a_protocol_read_back_from_lists_is_the_same_protocol():
    for name in PROTOCOLS:
        protocol = get_protocol(name)
        fields = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(protocol).items()}
        fields["alignment"] = [list(pair) for pair in fields["alignment"]]
        assert Protocol(**fields) == protocol
        assert plan_id(Protocol(**fields)) == plan_id(protocol)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"crop": (0, 1, 0, 1)}, "`crop` and `frame` together"),
        ({"min_depth": 0.0}, "`min_depth` to be in"),
        ({"max_depth": 1e-4}, "`max_depth` to be in"),
        ({"alignment": (("affine_depth", "disparity"),)}, "alignment for affine_depth"),
        ({"resize": "nearest"}, "`resize` to be one of"),
        ({"metrics": ()}, "at least one name in `metrics`"),
        ({"window": (0, 5)}, "`window` to be in"),
        ({"crop_of": "frame"}, "`crop_of` to be one of"),
        ({"crop_of": "window", "window": (4, 5)}, '`window` and `crop` with crop_of="window"'),
        ({"crop_of": "window", "crop": (0, 1, 0, 1), "frame": (1, 1)}, '`window` and `crop` with crop_of="window"'),
        ({"resize_space": "log"}, "`resize_space` to be one of"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Protocol(name="mine", **options)


def test_one_prediction_per_entry():
    pred, depth, valid = example()
    prepared = prepare_truth(depth, valid, get_protocol("scenes"))
    with pytest.raises(ValueError, match="one prediction per image"):
        evaluate_prepared(pred[:2], prepared, kind="metric_depth")
    with pytest.raises(ValueError, match="entry of `index`"):
        evaluate_prepared(pred[:2], prepared, kind="metric_depth", index=[0, 1, 2])
