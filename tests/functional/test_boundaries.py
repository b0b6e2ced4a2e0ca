"""Boundary scores against loops over pixels written from the sources' definitions, and where they are undefined."""

import math

import numpy as np
import pytest
import torch
from skimage.feature import canny
from structures import H, W, pixels, prediction, truth

from depthprobe.functional.metrics import METRICS, all_metrics

RATIOS = [1.05 + 0.2 * k / 9 for k in range(10)]


def mean(values):
    return math.fsum(values) / len(values) if values else math.nan


def over_ratios(scores, weights):
    """Weighted mean of the scores that are defined."""
    known = [(s, w) for s, w in zip(scores, weights, strict=True) if not math.isnan(s)]
    return math.fsum(s * w for s, w in known) / math.fsum(w for _, w in known) if known else math.nan


def hu_edges(x, least):
    """Pixels whose raw Sobel magnitude exceeds `least`, and those that have one."""
    found, known = set(), set()
    for y, i in x:
        window = {(a, b): x.get((y + a, i + b)) for a in (-1, 0, 1) for b in (-1, 0, 1)}
        if None in window.values():
            continue
        known.add((y, i))
        dx = sum(w * (window[a, 1] - window[a, -1]) for a, w in ((-1, 1), (0, 2), (1, 1)))
        dy = sum(w * (window[1, b] - window[-1, b]) for b, w in ((-1, 1), (0, 2), (1, 1)))
        if math.hypot(dx, dy) > least:
            found.add((y, i))
    return found


def hu(z, g, least):
    own, true = hu_edges(z, least), hu_edges(g, least)
    both = len(own & true)
    if not true:
        return math.nan, math.nan, math.nan
    return both / len(own) if own else math.nan, both / len(true), 2 * both / (len(own) + len(true))


def nearer_pairs(x, step, t):
    """Pairs of neighbours of which the second has an inverse depth larger by a ratio > t."""
    return {p for p in x if (q := (p[0] + step[0], p[1] + step[1])) in x and (1 / x[q]) / (1 / x[p]) > t}


def depthpro(z, g):
    f1, recalls = [], []
    for t in RATIOS:
        precision, recall = [], []
        for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            own, true = nearer_pairs(z, step, t), nearer_pairs(g, step, t)
            precision += [len(own & true) / len(own)] if own else []
            recall += [len(own & true) / len(true)] if true else []
        if not recall:
            f1.append(math.nan), recalls.append(math.nan)
            continue
        p, r = mean(precision) if precision else 0.0, mean(recall)
        f1.append(2 * p * r / (p + r) if p + r else 0.0), recalls.append(r)
    return over_ratios(f1, RATIOS), over_ratios(recalls, RATIOS)


def moge(z, g, radius):
    steps = [
        (a, b) for a in range(-radius, radius + 1) for b in range(-radius, radius + 1) if a * a + b * b <= radius**2
    ]
    scores = []
    for t in (r - 1 for r in RATIOS):
        own = true = both = 0
        for y, i in g:
            if not (radius <= y < H - radius and radius <= i < W - radius):
                continue
            for a, b in steps:
                if (q := (y + a, i + b)) in g:
                    mine, real = z[q] / z[y, i] > 1 + t, g[q] / g[y, i] > 1 + t
                    own, true, both = own + mine, true + real, both + (mine and real)
        scores.append(2 * both / (own + true) if true else math.nan)
    return over_ratios(scores, [r - 1 for r in RATIOS])


def distances(edges, target):
    """Distance from each of some pixels to the nearest of others."""
    return [min((math.dist(p, q) for q in target), default=math.inf) for p in edges]


def canny_edges(x, valid, rule):
    """Canny itself is scikit-image's, as in the sources; the preparation is theirs."""
    known = valid[0].numpy()
    image = x[0].numpy().astype(float)
    if rule == "ibims":
        low, high = image[known].min(), image[known].max()
        found = canny((image - low) / (high - low), 2**0.5, 0.15, 0.3, mask=known)
    else:
        found = canny(np.log(image), 1, 0.1, 0.2, mask=known)
    return [tuple(p) for p in np.argwhere(found).tolist()]


def matched(own, true, rule):
    to_true, to_own = distances(own, true), distances(true, own)
    near = [d for d in to_true if d < 10]
    if not true:
        return math.nan, math.nan
    if not near:
        return 10.0, 10.0
    whole = mean(to_own) if rule == "syns" else mean([min(d, 10) for d in to_true + to_own])
    return mean(near), whole


def sides(z, g, plane):
    count = len(g) / 100
    near, far = (sum(1 for p in g if (z[p] <= plane) == a and (g[p] <= plane) != a) for a in (True, False))
    return (len(g) - near - far) / count, near / count, far / count


def reference(pred, depth, valid):
    """Every boundary metric of one sample."""
    z, g = pixels(pred, valid), pixels(depth, valid)
    found = {}
    for name, least in {"25cm": 0.25, "50cm": 0.5, "1m": 1.0}.items():
        keys = (f"hu_precision_{name}", f"hu_recall_{name}", f"hu_f1_{name}")
        found |= dict(zip(keys, hu(z, g, least), strict=True))
    found["depthpro_f1"], found["depthpro_recall"] = depthpro(z, g)
    found |= {f"moge_f1_r{r}": moge(z, g, r) for r in (1, 2, 3)}
    for rule, names in {"ibims": ("dbe_acc", "dbe_com"), "syns": ("syns_edge_acc", "syns_edge_com")}.items():
        edges = (canny_edges(x, valid, rule) for x in (pred, depth))
        found |= dict(zip(names, matched(*edges, rule), strict=True))
    for name, plane in {"dde_3m": 3.0, "syns_dde_10m": 10.0}.items():
        found |= dict(zip((name, f"{name}_near", f"{name}_far"), sides(z, g, plane), strict=True))
    return found


MODULES = ("boundaries", "boundaries_canny")
NAMES = [n for n in METRICS.names() if METRICS[n].__module__.rpartition(".")[2] in MODULES]


def test_every_boundary_metric_has_a_reference():
    depth, valid, _ = truth(batch=1)
    assert sorted(reference(depth[0], depth[0], valid[0])) == NAMES


@pytest.mark.parametrize("noise", [0.01, 0.06])
@pytest.mark.parametrize("far", [1.0, 4.0])
def test_metrics_equal_their_slow_reference(noise, far):
    depth, valid, _ = truth(batch=2)
    pred = prediction(depth, noise=noise)
    got = all_metrics(far * pred, far * depth, valid, NAMES)
    for i in range(2):
        want = reference(far * pred[i], far * depth[i], valid[i])
        for name in NAMES:
            assert float(got[name][i]) == pytest.approx(want[name], rel=1e-12, abs=1e-12, nan_ok=True), name


def test_a_truth_without_boundaries_gives_nan():
    depth, valid = torch.full((1, 1, H, W), 2.0), torch.ones(1, 1, H, W, dtype=torch.bool)
    got = all_metrics(prediction(depth, noise=0.2), depth, valid, NAMES)
    assert sorted(n for n, v in got.items() if v.isnan()) == [n for n in NAMES if "dde" not in n]


def test_a_prediction_without_boundaries():
    depth, valid, _ = truth(batch=1)
    got = {n: float(v) for n, v in all_metrics(torch.full_like(depth, 2.0), depth, valid, NAMES).items()}
    assert all(math.isnan(got[f"hu_precision_{step}"]) for step in ("25cm", "50cm", "1m"))
    assert [got[n] for n in NAMES if n.startswith(("hu_recall", "hu_f1", "depthpro", "moge"))] == [0.0] * 11
    assert [got[n] for n in ("dbe_acc", "dbe_com", "syns_edge_acc", "syns_edge_com")] == [10.0] * 4


def test_depthpro_equals_the_release_where_every_direction_has_edges():
    """The released formula, which counts a direction without edges as 0, on a truth that has some in all of them."""
    rng = np.random.default_rng(0)
    depth = np.exp(rng.normal(0, 0.3, (20, 24)))
    pred = depth * np.exp(rng.normal(0, 0.1, depth.shape))
    total = 0.0
    for t in RATIOS:
        own, true = ([i[:, 1:] / i[:, :-1] > t, i[:, :-1] / i[:, 1:] > t, i[1:] / i[:-1] > t, i[:-1] / i[1:] > t]
                     for i in (1 / pred, 1 / depth))  # fmt: skip
        both = [(a & b).sum() for a, b in zip(own, true, strict=True)]
        p, r = (sum(n / max(x.sum(), 1) for n, x in zip(both, some, strict=True)) / 4 for some in (own, true))
        total += 2 * p * r / (p + r) * t / sum(RATIOS)
    tensors = (torch.from_numpy(x)[None, None] for x in (pred, depth))
    got = METRICS["depthpro_f1"](*tensors, torch.ones(1, 1, 20, 24, dtype=torch.bool))
    assert float(got) == pytest.approx(total, rel=1e-12)


def test_a_direction_without_edges_leaves_the_average():
    """A single step to the right: the perfect prediction has 1, where the release would give 1/4."""
    depth, valid = torch.full((1, 1, 8, 12), 3.0), torch.ones(1, 1, 8, 12, dtype=torch.bool)
    depth[..., 6:] = 1.5
    got = all_metrics(depth, depth, valid, ["depthpro_f1", "depthpro_recall"])
    assert [float(v) for v in got.values()] == pytest.approx([1.0, 1.0])
    half = depth.clone()
    half[..., :4, :] = 3.0  # the upper half of the edge is missed, a horizontal one is made up
    got = all_metrics(half, depth, valid, ["depthpro_f1", "depthpro_recall"])
    assert float(got["depthpro_recall"]) == pytest.approx(0.5)
    assert float(got["depthpro_f1"]) == pytest.approx(2 * 0.5 * 0.5 / (0.5 + 0.5))  # precision: mean of 1 and 0


def test_syns_does_not_cut_the_distance_of_a_missed_edge():
    depth, valid = torch.full((1, 1, 40, 64), 4.0), torch.ones(1, 1, 40, 64, dtype=torch.bool)
    depth[..., 16:], depth[..., 48:] = 2.0, 1.0
    edges = torch.zeros_like(valid)
    edges[..., 15], edges[..., 47] = True, True
    pred = depth.clamp(min=2.0)  # the second step, 32 pixels from the first, is missed
    got = all_metrics(pred, depth, valid, ["dbe_com", "syns_edge_com"], edges=edges)
    assert float(got["dbe_com"]) < 5.5  # less than half of all edge pixels, each cut at 10
    assert float(got["syns_edge_com"]) == pytest.approx(16, abs=1)  # half of the true ones is 32 away


def test_annotated_edges_take_the_place_of_cannys():
    depth, valid, _ = truth(batch=1)
    edges = torch.zeros_like(valid)
    edges[..., 12, 5:20] = True
    got = METRICS["dbe_com"](prediction(depth), depth, valid, edges=edges)
    own = canny_edges(prediction(depth)[0], valid[0], "ibims")
    true = [tuple(p) for p in (edges & valid)[0, 0].nonzero().tolist()]
    assert float(got) == pytest.approx(matched(own, true, "ibims")[1], rel=1e-12)


@pytest.mark.parametrize("shift", [1, 2, 4])
def test_a_displaced_edge_is_as_far_as_it_was_moved(shift):
    depth, valid = torch.full((1, 1, 40, 48), 4.0), torch.ones(1, 1, 40, 48, dtype=torch.bool)
    depth[..., 20:] = 2.0
    pred = depth.roll(shift, -1)
    pred[..., :shift] = 4.0
    got = all_metrics(pred, depth, valid, ["dbe_acc", "dbe_com", "syns_edge_acc", "syns_edge_com"])
    assert all(float(v) == pytest.approx(shift, abs=0.6) for v in got.values()), got


# mattes


def matte_recall(z, alpha):
    """Depth Pro's recall against a matte, from its definition, for dictionaries of pixels."""
    scores = []
    for t in RATIOS:
        shares = []
        for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            ahead = {p: (p[0] + step[0], p[1] + step[1]) for p in z}
            outline = {p for p, q in ahead.items() if q in z and alpha[q] > 0.1 and not alpha[p] > 0.1}
            ratio = {p: z[p] / z[q] for p, q in ahead.items() if q in z and z[p] / z[q] > t}
            peaks = set()
            for p in ratio:
                if (p[0] - step[0], p[1] - step[1]) not in ratio:  # the start of a run
                    run = [p]
                    while ahead[run[-1]] in ratio:
                        run.append(ahead[run[-1]])
                    peaks.add(max(run, key=ratio.get))
            shares += [len(peaks & outline) / len(outline)] if outline else []
        scores.append(mean(shares))
    return over_ratios(scores, RATIOS)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_matte_recall_equals_its_slow_reference(noise):
    depth, valid, known = truth(batch=2)
    alpha = (known["planes"] == 7).double() * 0.8
    pred = prediction(depth, noise=noise)
    got = METRICS["depthpro_matte_recall"](pred, alpha, valid)
    for i in range(2):
        z, a = pixels(pred[i], valid[i]), pixels(alpha[i], valid[i])
        assert float(got[i]) == pytest.approx(matte_recall(z, a), rel=1e-12)


def test_matte_recall_where_it_is_known():
    alpha = torch.zeros(3, 1, 12, 16)
    alpha[:, :, 4:8, 5:11] = 1
    alpha[2] = 0
    valid = torch.ones_like(alpha, dtype=torch.bool)
    near = torch.where(alpha > 0, 1.0, 2.0)
    near[1] = 2.0
    assert METRICS["depthpro_matte_recall"](near, alpha, valid).tolist() == pytest.approx(
        [1.0, 0.0, math.nan], nan_ok=True
    )
