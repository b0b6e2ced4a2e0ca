"""Fills: properties of every registered one, then each against a slower, plainer reference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthprobe.functional.filling import FILLS, IMAGENET_MEAN, fill_pixels
from depthprobe.functional.filling_interpolation import road_system
from depthprobe.functional.selection import keep_top, strict_rank

H, W = 24, 32
SEEDS = [3, 4, 5]


def pictures(n=3):
    return torch.rand(n, 3, H, W, generator=torch.Generator().manual_seed(2))


def masks(budget=0.3, n=3):
    return keep_top(strict_rank(torch.zeros(n, 1, H, W), SEEDS[:n]), budget)


@pytest.fixture(params=FILLS.names())
def name(request):
    return request.param


@pytest.mark.parametrize("budget", [1 / (H * W), 0.01, 0.3, 0.9])
def test_kept_pixels_are_bit_identical_and_the_rest_is_finite(name, budget):
    image, keep = pictures(), masks(budget)
    out = fill_pixels(name, image, keep, seeds=SEEDS)
    assert out.shape == image.shape
    assert out.dtype == image.dtype
    assert torch.equal(out.masked_select(keep), image.masked_select(keep))
    assert out.isfinite().all()
    assert (out.min() >= -0.1) & (out.max() <= 1.1)


def test_everything_kept_is_the_image_and_nothing_kept_is_finite(name):
    image = pictures()
    assert torch.equal(fill_pixels(name, image, torch.ones(3, 1, H, W, dtype=torch.bool), seeds=SEEDS), image)
    assert fill_pixels(name, image, torch.zeros(3, 1, H, W, dtype=torch.bool), seeds=SEEDS).isfinite().all()


def test_a_sample_does_not_depend_on_its_batch(name):
    image, keep = pictures(), masks()
    whole = fill_pixels(name, image, keep, seeds=SEEDS)
    for i in range(3):
        one = slice(i, i + 1)
        assert torch.allclose(fill_pixels(name, image[one], keep[one], seeds=SEEDS[one]), whole[one], atol=1e-6)


def test_filling_changes_nothing_and_repeats(name):
    image, keep = pictures(), masks()
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = fill_pixels(name, image, keep, seeds=SEEDS)
    assert torch.equal(first, fill_pixels(name, image, keep, seeds=SEEDS))
    assert torch.equal(image, pictures())
    assert torch.equal(keep, masks())
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_a_fill_reads_only_what_it_says(name):
    image, keep = pictures(), masks()
    other = torch.where(keep, image, 1 - image)
    same = torch.allclose(*(fill_pixels(name, x, keep, seeds=SEEDS).masked_fill(keep, 0) for x in (image, other)))
    assert FILLS.facts(name)["reads"] in ("nothing", "kept", "image")
    assert same == (FILLS.facts(name)["reads"] != "image")
    assert FILLS.facts(name)["source"]


def test_mean_and_black_are_flat():
    image, keep = pictures(), masks()
    holes = ~keep.expand(-1, 3, -1, -1)
    assert fill_pixels("black", image, keep, seeds=SEEDS)[holes].unique().tolist() == [0.0]
    grey = fill_pixels("mean", image, keep, seeds=SEEDS)
    assert grey[:, 1][~keep[:, 0]].unique().tolist() == pytest.approx([IMAGENET_MEAN[1]])
    assert fill_pixels("mean", image, keep, seeds=SEEDS, mean=(0.1, 0.2, 0.3))[0, 2][
        ~keep[0, 0]
    ].mean() == pytest.approx(0.3)


def test_noise_has_the_moments_of_the_image():
    image = 0.5 + 0.1 * torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [0.5, 1.0, 1.5]
    ).view(1, 3, 1, 1)
    out = fill_pixels("noise", image, torch.zeros(1, 1, 96, 128, dtype=torch.bool), seeds=[1])
    assert torch.allclose(out.mean((-2, -1)), image.mean((-2, -1)), atol=5e-3)
    assert torch.allclose(out.std((-2, -1)), image.std((-2, -1)), rtol=0.03)
    assert abs(float(torch.corrcoef(torch.stack([out[0, 0].flatten(), image[0, 0].flatten()]))[0, 1])) < 0.05


def test_shuffle_keeps_the_colours():
    image = pictures()
    out = fill_pixels("shuffle", image, torch.zeros(3, 1, H, W, dtype=torch.bool), seeds=SEEDS)
    assert not torch.equal(out, image)
    for a, b in zip(image, out, strict=True):
        assert sorted(map(tuple, a.flatten(1).T.tolist())) == sorted(map(tuple, b.flatten(1).T.tolist()))


@pytest.mark.parametrize("name", ["noise", "shuffle", "road"])
def test_random_fills_are_the_same_field_for_every_mask(name):
    image = pictures() if name != "road" else torch.full((3, 3, H, W), 0.5)
    few, many = (fill_pixels(name, image, masks(b), seeds=SEEDS) for b in (0.1, 0.4))
    hole = ~masks(0.4).expand(-1, 3, -1, -1)
    assert torch.allclose(few[hole], many[hole], atol=1e-5)


def test_blur_averages_kept_pixels_only():
    image, keep = torch.zeros(1, 3, H, W), torch.zeros(1, 1, H, W, dtype=torch.bool)
    image[..., :16], image[..., 16:] = 0.2, 0.9
    keep[..., 2:22:4, 2:12:4] = True  # only dark pixels are kept
    out = fill_pixels("blur", image, keep, seeds=[0])
    assert (out[(~keep).expand(-1, 3, -1, -1)] - 0.2).abs().max() < 1e-5


def test_blur_equals_normalised_convolution_by_hand():
    image, keep = pictures(1).double(), masks(0.3, 1)
    out = fill_pixels("blur", image, keep, seeds=[0])[0]
    sigma, k = W / 20, keep[0, 0].double()
    for y, x in [(0, 0), (5, 7), (23, 31), (12, 16)]:
        top = np.zeros(3)
        low = 0.0
        for dy in range(-7, 8):
            for dx in range(-7, 8):
                yy, xx = (y + dy) % (2 * H), (x + dx) % (2 * W)
                yy, xx = min(yy, 2 * H - 1 - yy), min(xx, 2 * W - 1 - xx)
                g = np.exp(-(dy**2 + dx**2) / (2 * sigma**2))
                top, low = top + g * float(k[yy, xx]) * image[0, :, yy, xx].numpy(), low + g * float(k[yy, xx])
        unit = sum(np.exp(-(d**2) / (2 * sigma**2)) for d in range(-7, 8)) ** 2
        overall = ((image[0] * k).sum((1, 2)) / k.sum()).numpy()
        want = (top / unit + 1e-3 * overall) / (low / unit + 1e-3)
        if not keep[0, 0, y, x]:
            assert np.allclose(out[:, y, x].numpy(), want, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.005, 0.05, 0.5]))
def test_nearest_is_nearest_by_brute_force(seed, budget):
    image, keep = pictures(1), keep_top(strict_rank(torch.zeros(1, 1, H, W), [seed]), budget)
    out = fill_pixels("nearest", image, keep, seeds=[0])[0]
    kept = keep[0, 0].nonzero()
    for y in range(0, H, 5):
        for x in range(0, W, 5):
            d = ((kept - torch.tensor([y, x])) ** 2).sum(1)
            ties = kept[d == d.min()]
            assert any(torch.equal(out[:, y, x], image[0, :, i, j]) for i, j in ties.tolist())


def test_linear_recovers_a_plane_inside_the_hull():
    y, x = torch.meshgrid(torch.linspace(0, 1, H), torch.linspace(0, 1, W), indexing="ij")
    image = torch.stack([0.2 + 0.5 * x, 0.9 - 0.6 * y, 0.1 + 0.3 * x + 0.4 * y])[None]
    keep = masks(0.1, 1)
    keep[..., [0, 0, -1, -1], [0, -1, 0, -1]] = True  # the hull is the whole image
    assert torch.allclose(fill_pixels("linear", image, keep, seeds=[0]), image, atol=1e-5)


def test_linear_is_the_same_when_inner_points_are_left_out():
    """Against scipy on all kept pixels, where the triangulation is unique (random, no four on a circle in the hole)."""
    from scipy.interpolate import LinearNDInterpolator

    image, keep = pictures(1), torch.ones(1, 1, H, W, dtype=torch.bool)
    keep[..., 5:8, 5] = keep[..., 15, 20:24] = False
    out = fill_pixels("linear", image, keep, seeds=[0])
    points = keep[0, 0].nonzero().numpy()
    found = LinearNDInterpolator(points, image[0, :, keep[0, 0]].T.numpy())((~keep[0, 0]).nonzero().numpy())
    low, high = found.min(), found.max()
    holes = out[0, :, ~keep[0, 0]]
    middle = holes[:, 1]  # (6, 5): between (6, 4) and (6, 6) in any triangulation of the hole's rim
    assert torch.allclose(middle, (image[0, :, 6, 4] + image[0, :, 6, 6]) / 2, atol=1e-5)
    assert (holes.min() > low - 0.3) & (holes.max() < high + 0.3)


@pytest.mark.parametrize("kept", [[(3, 3)], [(3, 3), (9, 9)], [(4, x) for x in range(0, 32, 5)]])
def test_linear_without_a_triangle_is_nearest(kept):
    image, keep = pictures(1), torch.zeros(1, 1, H, W, dtype=torch.bool)
    for y, x in kept:
        keep[0, 0, y, x] = True
    assert torch.equal(fill_pixels("linear", image, keep, seeds=[0]), fill_pixels("nearest", image, keep, seeds=[0]))


def test_road_equals_a_dense_solve_written_pixel_by_pixel():
    h, w = 7, 9
    image = torch.rand(1, 3, h, w, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    keep = keep_top(strict_rank(torch.zeros(1, 1, h, w), [8]), 0.3)
    place = {(y, x): i for i, (y, x) in enumerate(map(tuple, (~keep[0, 0]).nonzero().tolist()))}
    left, right = np.zeros((len(place), len(place))), np.zeros((len(place), 3))
    for (y, x), i in place.items():
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if (dy, dx) == (0, 0) or not (0 <= y + dy < h and 0 <= x + dx < w):
                    continue
                weight = 1 / 12 if dy and dx else 1 / 6
                left[i, i] += weight
                if (y + dy, x + dx) in place:
                    left[i, place[y + dy, x + dx]] -= weight
                else:
                    right[i] += weight * image[0, :, y + dy, x + dx].numpy()
    want = np.linalg.solve(left, right)
    draws = [fill_pixels("road", image, keep, seeds=[s])[0, :, ~keep[0, 0]].T.numpy() for s in range(200)]
    assert np.allclose(np.mean(draws, 0), want, atol=4 * 0.01 / np.sqrt(200))
    assert np.std(np.array(draws) - want) == pytest.approx(0.01, rel=0.05)
    system, known = road_system(keep[0, 0].numpy())
    assert np.allclose(system.toarray(), left)
    assert np.allclose(known @ image[0, :, keep[0, 0]].T.numpy(), right)


def test_wrong_arguments_say_what_was_expected():
    image, keep = pictures(), masks()
    with pytest.raises(ValueError, match="Did you mean `mean`"):
        fill_pixels("meen", image, keep, seeds=SEEDS)
    with pytest.raises(ValueError, match="one seed per image"):
        fill_pixels("mean", image, keep, seeds=[1])
    with pytest.raises(ValueError, match="`keep` to have shape"):
        fill_pixels("mean", image, keep[:, 0], seeds=SEEDS)
