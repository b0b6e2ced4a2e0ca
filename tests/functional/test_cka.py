"""CKA: itself, its invariances, unbiased HSIC as the sum over all four different examples, and no bias."""

import itertools
import math

import pytest
import torch

from depthprobe.functional.cka import cka, gram, hsic, linear_cka


def features(n=12, channels=5, batch=3, seed=0):
    return torch.randn(batch, n, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthogonal(n, seed=0):
    return torch.linalg.qr(features(n, n, 1, seed)[0]).Q


def test_a_representation_is_like_itself():
    x = features()
    assert float(linear_cka(x, x)) == pytest.approx(1, abs=1e-12)


def test_turned_scaled_and_shifted_it_is_the_same():
    x, y = features(), features(channels=7, seed=1) + features()[..., :1]
    plain = float(linear_cka(x, y))
    assert 0.01 < plain < 0.99
    for changed in (x @ orthogonal(5), 13 * x, x + 100, -x):
        assert float(linear_cka(x, changed)) == pytest.approx(1, abs=1e-9)
        assert float(linear_cka(changed, y)) == pytest.approx(plain, abs=1e-9)


def test_stretched_along_one_axis_it_is_not():
    x = features()
    stretched = x * torch.tensor([10.0, 1, 1, 1, 1], dtype=torch.float64)
    assert float(linear_cka(x, stretched)) < 0.95


def test_hsic_is_the_mean_over_all_four_different_examples():
    x, y = features(6, 3, 1), features(6, 4, 1, seed=1)
    k, m = (x[0] @ x[0].T).tolist(), (y[0] @ y[0].T).tolist()
    terms = [
        k[i][j] * m[i][j] + k[i][j] * m[q][r] - 2 * k[i][j] * m[i][q]
        for i, j, q, r in itertools.permutations(range(6), 4)
    ]
    found = hsic(torch.stack([gram(x), gram(y)], 1))
    assert float(found[0, 0, 1]) == pytest.approx(math.fsum(terms) / len(terms), rel=1e-9)
    assert torch.equal(found, found.mT)


def test_minibatches_of_independent_features_have_no_bias():
    """Plain CKA of 6 examples with 40 features each would be near 1; the mean of unbiased terms is near 0."""
    x, y = features(6, 40, 4000), features(6, 40, 4000, seed=1)
    terms = hsic(torch.stack([gram(x), gram(y)], 1))
    error = terms[:, 0, 1].std() / math.sqrt(4000)
    assert abs(float(terms[:, 0, 1].mean())) < 4 * float(error)
    assert abs(float(linear_cka(x, y))) < 0.05


def test_the_mean_over_minibatches_is_what_one_large_batch_has():
    """Independent draws of one distribution: small minibatches estimate the HSIC of the whole."""
    z = features(9, 3, 4000)
    x, y = z + 0.5 * features(9, 3, 4000, seed=1), z @ orthogonal(3) + 0.5 * features(9, 3, 4000, seed=2)
    small = float(linear_cka(x, y))
    large = float(linear_cka(x.reshape(4, -1, 3)[:, :1000], y.reshape(4, -1, 3)[:, :1000]))
    assert small == pytest.approx(large, abs=0.05)
    assert small == pytest.approx((1 / 1.25) ** 2, abs=0.02)  # correlation² of each pair of axes


def test_a_constant_representation_is_like_none():
    x = features(batch=1)
    terms = hsic(torch.stack([gram(x), gram(torch.ones_like(x))], 1))
    found = cka(terms)[0]
    assert float(found[0, 0]) == pytest.approx(1) and found[1].isnan().all() and found[0, 1].isnan()


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ValueError, match="at least 4 examples"):
        linear_cka(features(3), features(3))
    with pytest.raises(ValueError, match="Expected `y`"):
        linear_cka(features(6), features(7))
