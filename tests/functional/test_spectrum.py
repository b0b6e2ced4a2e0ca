"""Radial spectra and the grid test: slow references, planted grids, and the null distribution."""

import cmath
import itertools
import math

import pytest
import torch

from depthprobe.functional import spectrum_grid
from depthprobe.functional.metrics import METRICS
from depthprobe.functional.spectrum import log_power, ring_centres
from depthprobe.functional.spectrum_grid import grid_lines, grid_test, own_lines

PERIODS = (4.0, 8.0, 16.0)
SQUARE = [(p, p) for p in PERIODS]


def everywhere(x):
    return torch.ones(x.shape, dtype=torch.bool)


def noise(n, size=(96, 128), beta=0.0, seed=0):
    """Random fields (n,H,W) of unit variance whose power falls as frequency^-beta, not periodic at the border."""
    g = torch.Generator().manual_seed(seed)
    wide = (2 * size[0], 2 * size[1])
    fy, fx = (torch.fft.fftfreq(k, dtype=torch.float64) for k in wide)
    radius = (fy[:, None] ** 2 + fx**2).sqrt()
    radius[0, 0] = 1
    x = torch.randn(n, *wide, generator=g, dtype=torch.float64)
    x = torch.fft.ifft2(torch.fft.fft2(x) * radius ** (-beta / 2)).real[:, : size[0], : size[1]]
    x = x - x.mean((1, 2), keepdim=True)
    return x / x.std((1, 2), keepdim=True)


def wave(period, size=(96, 128), both=True):
    turn = 2 * math.pi / period
    y, x = (torch.cos(turn * torch.arange(k, dtype=torch.float64)) for k in size)
    return y[:, None] + x if both else x.expand(size)


# radial spectra


def slow_log_power(x, valid, rings):
    """The definition, one frequency at a time."""
    height, width = len(x), len(x[0])
    hann = [[0.5 - 0.5 * math.cos(2 * math.pi * (k + 1) / (n + 1)) for k in range(n)] for n in (height, width)]
    places = [(y, i) for y in range(height) for i in range(width) if valid[y][i]]
    weight = {(y, i): hann[0][y] * hann[1][i] for y, i in places}
    mean = sum(weight[p] * x[p[0]][p[1]] for p in places) / sum(weight.values())
    found = [[] for _ in range(rings)]
    for u in range(height):
        for v in range(width):
            fy, fx = ((k if k < (n + 1) // 2 else k - n) / n for k, n in ((u, height), (v, width)))
            radius = math.hypot(fy, fx)
            if not 0 < radius < 0.5:
                continue
            turn = -2j * math.pi
            total = sum(weight[y, i] * (x[y][i] - mean) * cmath.exp(turn * (fy * y + fx * i)) for y, i in places)
            found[int(radius * 2 * rings)].append(abs(total) ** 2 / sum(w * w for w in weight.values()))
    return [10 * math.log10(sum(f) / len(f)) if f else math.nan for f in found]


def test_log_power_equals_its_slow_reference():
    x = noise(2, (9, 12), beta=1)
    valid = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.8
    got = log_power(x, valid, 5)
    for i in range(2):
        assert got[i].tolist() == pytest.approx(slow_log_power(x[i].tolist(), valid[i].tolist(), 5), rel=1e-10)


def test_white_noise_is_flat_and_a_wave_lies_in_its_ring():
    flat = log_power(3.0 * noise(8), everywhere(noise(8)), 8)
    assert float((flat.mean(0) - 20 * math.log10(3)).abs().max()) < 0.5
    rings = log_power(wave(7, both=False)[None], everywhere(noise(1)), 16)
    assert int(rings.argmax()) == min(range(16), key=lambda k: abs(ring_centres(16)[k] - 1 / 7))


def test_log_power_of_nothing_is_nan():
    x = noise(3, (24, 32))
    valid = everywhere(x)
    valid[1] = False
    got = log_power(torch.stack([x[0], x[1], torch.zeros_like(x[2])]), valid, 4)
    assert bool(got[0].isfinite().all()) and bool(got[1:].isnan().all())
    junk = x.masked_fill(torch.rand(x.shape) < 0.2, torch.nan)
    assert torch.equal(log_power(junk, junk.isfinite(), 4), log_power(junk.nan_to_num(7.0), junk.isfinite(), 4))


# grids


def slow_grid(residual, period, periods):
    """Steps 1 to 3 of `spectrum_grid` for one image without holes, in plain loops; (energy, p)."""
    columns = len(residual[0]) - 1
    half = math.ceil(period)
    profile = [0.0] * columns
    for line in residual:
        step = [b - a for a, b in itertools.pairwise(line)]

        def around(values):
            windows = [values[max(0, k - half) : k + half + 1] for k in range(columns)]
            return [sum(w) / len(w) for w in windows]

        flat = [s - m for s, m in zip(step, around(step), strict=True)]
        size = [max(math.sqrt(m), 1e-6) for m in around([s * s for s in flat])]
        for k in range(columns):
            profile[k] += max(-3.0, min(3.0, flat[k] / size[k]))

    def power(f):
        return abs(sum(v * cmath.exp(-2j * math.pi * f * k) for k, v in enumerate(profile))) ** 2

    every = [h / q for q in periods for h in range(1, math.ceil(q / 2) + 1)]
    ratios, tails = [], []
    for h in range(1, math.ceil(period / 2)):
        line = h / period
        if any(abs(line * q - round(line * q)) < 1e-6 for q in periods if q < period):
            continue
        near = []
        for side in (-1, 1):
            inside = [line + side * j / columns for j in range(2, 21)]
            inside = [f for f in inside if 1.5 / columns < f < 0.5 - 0.5 / columns]
            near += [f for f in inside if min(abs(f - e) for e in every) * columns > 1.5][:6]
        ratios.append(power(line) / (sum(map(power, near)) / len(near)))
        tails.append((1 + ratios[-1] / len(near)) ** -len(near))
    return sum(ratios) / len(ratios), 1 - (1 - min(tails)) ** len(tails)


@pytest.mark.parametrize("period", PERIODS)
def test_grid_lines_equal_their_slow_reference(period):
    x = noise(2, (12, 90), beta=1) + 0.2 * wave(8, (12, 90))
    got = grid_lines(x, everywhere(x), period, PERIODS)
    for i in range(2):
        energy, p = slow_grid(x[i].tolist(), period, PERIODS)
        assert float(got.energy[i]) == pytest.approx(energy, rel=1e-8)
        assert float(got.p[i]) == pytest.approx(p, rel=1e-6)


def test_lines_belong_to_the_shortest_period_that_has_them():
    assert own_lines(4, PERIODS) == [1 / 4]
    assert own_lines(8, PERIODS) == [1 / 8, 3 / 8]
    assert own_lines(16, PERIODS) == [1 / 16, 3 / 16, 5 / 16, 7 / 16]
    assert own_lines(2, PERIODS) == []
    assert own_lines(14, (4, 14, 28)) == [h / 14 for h in range(1, 7)]


@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_under_the_null_p_is_uniform(beta):
    """Uniform where differences are white (beta 2); where the spectrum rises, at most as many small values."""
    x = noise(300, (24, 128), beta, seed=int(beta))
    for period in PERIODS:
        p = grid_lines(x, everywhere(x), period, PERIODS).p
        for level in (0.05, 0.2, 0.5):
            share = float((p < level).double().mean())
            limit = 3.5 * math.sqrt(level * (1 - level) / len(x))
            assert share < level + limit, (period, level, share)
            assert beta != 2 or share > level - limit, (period, level, share)


def test_a_grid_is_found_where_p_is_below_alpha_over_the_number_of_periods():
    x = noise(200, (48, 128), 2.0, seed=9)
    test = grid_test(x, everywhere(x), SQUARE, alpha=0.3)
    tests = test.p.isfinite().sum(1, keepdim=True)
    assert torch.equal(test.found == 1, test.p < 0.3 / tests)
    between = (test.p < 0.3) & (test.p > 0.3 / tests)
    assert int(tests.unique()) == 3 and bool(between.any())
    best = torch.where(test.found == 1, test.p, 2.0).min(1)
    assert torch.equal(test.period, torch.where(best.values < 2, best.indices, -1))


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("amplitude", [0.0025, 0.02])
def test_a_planted_grid_is_found_at_its_period_with_its_amplitude(number, amplitude):
    """Amplitude per axis; 0.0025 is `oracle:grid` with 0.5 % of depth, here on errors of 3 % that change slowly."""
    x = 0.03 * noise(12, beta=4, seed=5) + amplitude * wave(PERIODS[number])
    test = grid_test(x, everywhere(x), SQUARE)
    assert test.period.tolist() == [number] * 12
    for axis in (test.x, test.y):
        assert float(axis.amplitude[:, number].mean()) == pytest.approx(amplitude, rel=0.15)
        assert float(axis.energy[:, number].median()) > 5


def test_a_grid_along_one_axis_is_seen_along_that_axis():
    x = 0.02 * noise(12, seed=6) + 0.01 * wave(8, both=False)
    test = grid_test(x, everywhere(x), SQUARE)
    assert float(test.x.p[:, 1].max()) < 1e-6
    assert float(test.y.p[:, 1].median()) > 0.05


def test_periods_of_a_rectangular_canvas_differ_by_axis():
    y, x = (torch.cos(2 * math.pi * torch.arange(n) / p) for n, p in ((120, 10), (128, 8)))
    found = 0.02 * noise(6, (120, 128)) + 0.01 * (y[:, None] + x)
    test = grid_test(found, everywhere(found), [(5.0, 4.0), (10.0, 8.0)])
    assert test.period.tolist() == [1] * 6


def test_holes_and_borders_do_not_matter():
    """Only the zone counts, whatever lies outside it; a frame without valid pixels is cut off."""
    x = 0.02 * noise(6, (110, 140), seed=7) + 0.01 * wave(8, (110, 140))
    zone = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.97
    zone[:, :7], zone[:, :, -9:], zone[:, 40:60, 50:80] = False, False, False
    got = grid_test(x, zone, SQUARE)
    assert got.period.tolist() == [1] * 6
    junk = grid_test(torch.where(zone, x, torch.nan), zone, SQUARE)
    assert torch.equal(junk.p, got.p)


def test_what_cannot_be_known_is_nan():
    x = noise(2, (40, 50))
    assert bool(grid_lines(x, everywhere(x), 16, PERIODS).p.isnan().all()), "three periods fit"
    assert bool(grid_lines(x, everywhere(x), 2, (2,)).p.isnan().all()), "no line below one half"
    zone = everywhere(x)
    zone[0] = False
    test = grid_test(x, zone, SQUARE)
    assert bool(test.p[0].isnan().all() and test.found[0].isnan().all()) and bool(test.p[1, 0].isfinite())
    assert test.period[0] == -1
    assert bool(METRICS["grid_found"](x, zone, SQUARE).isnan()[0])
    constant = grid_test(torch.zeros(1, 96, 128), torch.ones(1, 96, 128, dtype=torch.bool), SQUARE)
    assert bool(constant.p.isnan().all())


def test_registered_functions_are_those_of_the_test():
    x = 0.02 * noise(3, seed=8) + 0.01 * wave(8)
    lines, test = grid_lines(x, everywhere(x), 8, PERIODS), grid_test(x, everywhere(x), SQUARE)
    for name in ("energy", "p", "amplitude"):
        assert torch.equal(METRICS[f"grid_{name}"](x, everywhere(x), 8, PERIODS), getattr(lines, name))
        torch.testing.assert_close(getattr(test.x, name)[:, 1], getattr(lines, name))
    assert METRICS["grid_found"](x, everywhere(x), SQUARE).tolist() == [1.0] * 3
    assert METRICS["grid_period"](x, everywhere(x), SQUARE).tolist() == [8.0] * 3


def test_refusals():
    x = noise(1, (20, 20))
    with pytest.raises(ValueError, match=r"Expected `period` to be in \(0"):
        grid_lines(x, everywhere(x), 0, PERIODS)
    with pytest.raises(ValueError, match=r"Expected `alpha` to be in \(0, 1\]"):
        grid_test(x, everywhere(x), SQUARE, alpha=2)
    with pytest.raises(ValueError, match=r"Expected `zone` to have shape \(b h w\) with w=20"):
        spectrum_grid.grid_energy(x, everywhere(x)[..., :9], 4, PERIODS)


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0, 3.0])
def test_false_positives_on_noise_of_any_colour(beta):
    x = noise(800, (96, 128), beta, seed=20 + int(beta))
    found = grid_test(x, everywhere(x), SQUARE).period >= 0
    assert float(found.double().mean()) <= 0.05
