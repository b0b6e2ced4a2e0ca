"""Continuity metrics against loops over pixels written from the definitions, their bands, and planted degradations."""

import itertools
import math

import pytest
import torch
from structures import pixels, prediction, truth

from depthprobe.data import load_dataset
from depthprobe.functional.alignment import align
from depthprobe.functional.filters import gaussian_blur
from depthprobe.functional.metrics import METRICS, Terms, Truth, all_metrics
from depthprobe.functional.neighbours import banded, bands

RATIOS = [1.05 + 0.2 * k / 9 for k in range(10)]
NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values) if values else math.nan


def moved(p, step):
    return (p[0] + step[0], p[1] + step[1])


class Scene:
    """One truth and one prediction as dictionaries of pixels, with the zones of the definitions."""

    def __init__(self, pred, depth, valid):
        self.z, self.g = pixels(pred, valid), pixels(depth, valid)
        self.log_z, self.log_g = ({p: math.log(v) for p, v in x.items()} for x in (self.z, self.g))
        near = {p: [moved(p, s) for s in NEIGHBOURS if moved(p, s) in self.g] for p in self.g}
        self.edge = {p for p in self.g if any(self.ratio(self.g, p, q) > 1.1 for q in near[p])}
        around = list(itertools.product(range(-3, 4), repeat=2))
        self.smooth = {p for p in self.g if not any(moved(p, s) in self.edge for s in around)}

    @staticmethod
    def ratio(x, p, q):
        return max(x[p], x[q]) / min(x[p], x[q])

    def gradients(self, f):
        """Forward differences where both exist."""
        ends = {p: (moved(p, (0, 1)), moved(p, (1, 0))) for p in f}
        return {p: (f[a] - f[p], f[b] - f[p]) for p, (a, b) in ends.items() if a in f and b in f}

    def laplacians(self, f):
        around = {p: [moved(p, s) for s in NEIGHBOURS] for p in f}
        return {p: sum(f[q] for q in qs) - 4 * f[p] for p, qs in around.items() if all(q in f for q in qs)}

    def apart(self, fz, fg):
        """By pixel the length of the difference of two vectors."""
        return {p: math.dist(fz[p], fg[p]) for p in fz}

    def pairs(self, zone):
        return [(p, moved(p, s)) for s in ((0, 1), (1, 0)) for p in zone if moved(p, s) in zone]


def grad_mae(s, zone):
    error = s.apart(s.gradients(s.log_z), s.gradients(s.log_g))
    return mean(error[p] for p in error if p in zone)


def grad_cos(s, zone):
    z, g = s.gradients(s.log_z), s.gradients(s.log_g)
    steep = [p for p in g if p in zone and math.hypot(*g[p]) > 1e-4]
    return mean(1 - (z[p][0] * g[p][0] + z[p][1] * g[p][1]) / math.hypot(*z[p]) / math.hypot(*g[p]) for p in steep)


def curvature_mae(s, zone):
    z, g = s.laplacians(s.log_z), s.laplacians(s.log_g)
    return mean(abs(z[p] - g[p]) for p in z if p in zone & s.smooth)


def third_mae(s, zone):
    error = s.apart(s.gradients(s.laplacians(s.log_z)), s.gradients(s.laplacians(s.log_g)))
    return mean(error[p] for p in error if p in zone & s.smooth)


def roughness(s, zone):
    z, g = s.laplacians(s.log_z), s.laplacians(s.log_g)
    here = [p for p in z if p in zone & s.smooth]
    return mean(abs(z[p]) for p in here) - mean(abs(g[p]) for p in here)


def break_rate(s, zone):
    pairs = [(p, q) for p, q in s.pairs(s.smooth) if p in zone]
    rates = []
    for t in RATIOS:
        continuous = [(p, q) for p, q in pairs if s.ratio(s.g, p, q) <= t]
        rates.append(mean(float(s.ratio(s.z, p, q) > t) for p, q in continuous))
    return mean(rates)


def bridge_rate(s, zone):
    pairs = [(p, q) for p, q in s.pairs(s.g.keys()) if p in zone]
    broken = [[(p, q) for p, q in pairs if s.ratio(s.g, p, q) > t] for t in RATIOS]
    rates = [mean(float(s.ratio(s.z, p, q) <= t) for p, q in some) for t, some in zip(RATIOS, broken, strict=True)]
    return mean(rate for rate in rates if not math.isnan(rate))


def grad_w1(s, zone):
    z, g = (sorted(math.hypot(*v) for v in s.gradients(f).values()) for f in (s.log_z, s.log_g))
    return mean(abs(a - b) for a, b in zip(z, g, strict=True))


BANDED = {
    "grad_mae": grad_mae,
    "grad_mae_edge": lambda s, zone: grad_mae(s, zone & s.edge),
    "grad_mae_smooth": lambda s, zone: grad_mae(s, zone & s.smooth),
    "grad_cos": grad_cos,
    "curvature_mae": curvature_mae,
    "third_mae": third_mae,
    "roughness": roughness,
    "break_rate": break_rate,
    "bridge_rate": bridge_rate,
}
STRUCTURE = [n for n in METRICS.names() if METRICS.facts(n).get("scope") == "structure"
             and METRICS.facts(n)["inputs"] == "pred depth valid"]  # fmt: skip
REFERENCE = {**BANDED, "grad_w1": grad_w1}


def example(noise=0.03):
    depth, valid, known = truth()
    return prediction(depth, noise=noise), depth, valid, known


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("noise", [0.005, 0.05])
def test_metric_equals_its_slow_reference(name, noise):
    pred, depth, valid, _ = example(noise)
    got = METRICS[name](pred, depth, valid)
    for i in range(len(pred)):
        s = Scene(pred[i], depth[i], valid[i])
        assert float(got[i]) == pytest.approx(REFERENCE[name](s, s.g.keys()), rel=1e-10, abs=1e-13)


def test_every_banded_metric_has_a_reference():
    assert sorted(BANDED) == [n for n in METRICS.names() if "by" in METRICS.facts(n)]


@pytest.mark.parametrize("name", BANDED)
def test_bands_equal_the_reference_on_their_pixels(name):
    pred, depth, valid, _ = example()
    starts = [1.5, 2.5, 4.0]
    got = banded(Terms(pred, Truth(depth, valid)), name, bands(depth[:, 0], starts, valid[:, 0]))
    assert got.shape == (3, 3)
    for i in range(3):
        s = Scene(pred[i], depth[i], valid[i])
        for k, (low, high) in enumerate(itertools.pairwise([*starts, math.inf])):
            zone = {p for p, v in s.g.items() if low <= v < high}
            assert float(got[i, k]) == pytest.approx(REFERENCE[name](s, zone), rel=1e-10, abs=1e-13, nan_ok=True)


@pytest.mark.parametrize("name", BANDED)
def test_one_band_of_everything_is_the_whole(name):
    pred, depth, valid, _ = example()
    t = Terms(pred, Truth(depth, valid))
    whole = banded(t, name, bands(depth[:, 0], [0.0], valid[:, 0]))[:, 0]
    torch.testing.assert_close(whole, METRICS[name](pred, depth, valid), rtol=1e-12, atol=1e-15)


def test_a_band_begins_with_its_start():
    x = torch.tensor([[[0.5, 1.0, 1.5, 2.0, 9.0]]])
    valid = torch.tensor([[[True, True, True, True, False]]])
    assert bands(x, [1.0, 2.0], valid).labels.tolist() == [[[-1, 0, 0, 1, -1]]]


def test_bands_refuse_what_cannot_be_divided():
    pred, depth, valid, _ = example()
    t = Terms(pred, Truth(depth, valid))
    with pytest.raises(ValueError, match=r"can be measured by band, one of \['break_rate'.*'grad_w1'"):
        banded(t, "grad_w1", bands(depth[:, 0], [0.0], valid[:, 0]))


def test_depth_step():
    generator = torch.Generator().manual_seed(0)
    depth = 0.5 + 4 * torch.rand(2, 1, 96, 128, generator=generator)
    depth[1] = (depth[1] / 0.0392).round() * 0.0392
    valid = torch.ones_like(depth, dtype=torch.bool)
    step = METRICS["depth_step"](depth, valid)
    assert float(step[0]) < 1e-5
    assert float(step[1]) == pytest.approx(0.0392, rel=1e-4)
    distinct = sorted(set(depth[0, valid[0]].tolist()))
    gaps = sorted(b - a for a, b in itertools.pairwise(distinct))
    assert float(step[0]) == pytest.approx(gaps[len(gaps) // 100], rel=1e-6)
    assert bool(METRICS["depth_step"](torch.ones(1, 1, 2, 2), valid[:1, :, :2, :2]).isnan())


# planted degradations, on exact scenes


@pytest.fixture(scope="module")
def rooms():
    return load_dataset("scenes", n=4, size=(96, 128), batch_size=4).load(range(4))[0]


def measured(pred, batch, names=tuple(REFERENCE)):
    return all_metrics(pred, batch.depth, batch.valid, names)


def blurred(depth, sigma):
    return gaussian_blur(depth.log(), sigma).exp()


def noisy(depth, sigma):
    return depth * torch.exp(sigma * torch.randn(depth.shape, generator=torch.Generator().manual_seed(3)).to(depth))


def test_a_blurred_truth_bridges_and_does_not_break(rooms):
    sharp, soft = (measured(blurred(rooms.depth, sigma), rooms) for sigma in (0, 1.0))
    assert (soft["bridge_rate"] > sharp["bridge_rate"] + 0.2).all()
    assert (soft["break_rate"] <= sharp["break_rate"] + 1e-3).all()
    assert (soft["roughness"] < 0).all()


def test_noise_roughens_and_breaks(rooms):
    clean, rough = (measured(noisy(rooms.depth, sigma), rooms) for sigma in (0, 0.03))
    assert (rough["roughness"] > clean["roughness"] + 0.05).all()
    assert (rough["break_rate"] > clean["break_rate"] + 0.02).all()


CHANGES = {
    "scale_depth": lambda z, k: (0.37 if k else 1) * z,
    "affine_depth": lambda z, k: 0.37 * z + 1.3 if k else z,
    "affine_disparity": lambda z, k: 2.1 / z + 0.4 if k else 1 / z,
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("perfect", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_alignment_removes_changes_nothing(rooms, kind, perfect, dtype):
    """In float64 for all metrics; in float32 a pair may fall on the other side of a boundary score's threshold."""
    batch = rooms.replace(depth=rooms.depth.to(dtype))
    pred = batch.depth if perfect else noisy(blurred(batch.depth, 0.7), 0.01)
    names = REFERENCE if dtype == torch.float32 else STRUCTURE
    before, after = (
        measured(align(CHANGES[kind](pred, k), batch.depth, batch.valid, kind=kind), batch, list(names))
        for k in (False, True)
    )
    for name in names:
        assert float((after[name] - before[name]).abs().max()) < 1e-5, name


def test_rounding_stays_at_the_stated_floor(rooms):
    """A prediction that is right up to a scale, in float32: what is measured is rounding alone."""
    found = measured(1.7 * rooms.depth, rooms)
    for name, floor in {"grad_mae": 1e-7, "curvature_mae": 2.5e-7, "third_mae": 6.5e-7}.items():
        assert 0 < float(found[name].max()) < floor, name
    assert float(found["roughness"].abs().max()) < 1e-7


def test_the_floor_of_a_truth_in_steps_of_39_mm(rooms):
    """What quantisation does to an exact surface: second differences of the steps drown any network's."""
    steps = (rooms.depth / 0.0392).round() * 0.0392
    found = measured(rooms.depth, rooms.replace(depth=steps))
    assert float(found["curvature_mae"].min()) > 1e-3
    assert float(found["roughness"].max()) < -1e-3
