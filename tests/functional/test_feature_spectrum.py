"""The frequency profile of features: waves of known frequency, and the transform summed by hand."""

import cmath
import math

import pytest
import torch

from depthprobe.functional.feature_spectrum import feature_log_amplitude, profile_levels


def diagonal_wave(size, k, mean=1.0, amplitude=0.5):
    """mean + a diagonal wave of k periods in rows and in columns."""
    y, x = (torch.arange(n, dtype=torch.float64) / n for n in size)
    return (mean + amplitude * torch.cos(2 * math.pi * k * (y[:, None] + x)))[None, None]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_wave_stands_out_at_its_frequency_by_its_amplitude(k):
    found = feature_log_amplitude(diagonal_wave((8, 8), k))[0]
    assert profile_levels((8, 8)) == [0.25, 0.5, 0.75, 1.0]
    for i in range(4):
        wanted = math.log(0.25) if i + 1 == k else math.log(1e-6)  # half of 0.5 on either side of 0
        assert float(found[i]) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("size", [(6, 6), (4, 8), (5, 8)])
def test_the_profile_against_a_transform_summed_by_hand(size):
    h, w = size
    x = torch.rand(1, 2, h, w, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    count = min(size) // 2
    for i, level in enumerate(profile_levels(size)):
        assert level == (i + 1) / count
        p, q = round(level * (h // 2)), round(level * (w // 2))
        logs = []
        for c in range(2):
            wave = sum(
                float(x[0, c, a, b]) * cmath.exp(-2j * math.pi * (p * a / h + q * b / w))
                for a in range(h)
                for b in range(w)
            )
            logs.append(math.log(abs(wave)) - math.log(float(x[0, c].sum())))
        assert float(feature_log_amplitude(x)[0, i]) == pytest.approx(sum(logs) / 2, rel=1e-9)


def test_scale_does_not_matter_and_blur_lowers_high_frequencies():
    x = 1 + torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = feature_log_amplitude(x)
    assert torch.allclose(feature_log_amplitude(7 * x), plain)
    soft = (x + x.roll(1, -1) + x.roll(1, -2) + x.roll((1, 1), (-1, -2))) / 4
    assert (feature_log_amplitude(soft)[:, -3:] < plain[:, -3:] - 1).all()


def test_silent_channels_do_not_count():
    x = diagonal_wave((8, 8), 1).repeat(2, 3, 1, 1)
    x[:, 1] = 0
    assert torch.allclose(feature_log_amplitude(x), feature_log_amplitude(diagonal_wave((8, 8), 1)).expand(2, -1))
    assert feature_log_amplitude(torch.zeros(1, 2, 8, 8)).isnan().all()
