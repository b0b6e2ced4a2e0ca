"""Texture: slopes against plain regression, and image changes of equal size."""

import math

import numpy as np
import pytest
import torch

from depthprobe.functional.filters import gaussian_blur
from depthprobe.functional.perturb import PERTURBATIONS
from depthprobe.functional.selection_image import image_contours
from depthprobe.functional.texture import (
    CONTROLS,
    ROUNDING,
    equal_change,
    partial_slope,
    pixel_change,
    residual,
    texture_bias,
    texture_decades,
    texture_growth,
    texture_slope,
    texture_zone,
)

H, W = 24, 32


def pictures(n=3, seed=1):
    smooth = gaussian_blur(torch.rand(n, 3, H, W, generator=torch.Generator().manual_seed(seed)), 1.5)
    return ((smooth - 0.5) * 3 + 0.5).clamp(0.02, 0.98)


def maps(n, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 1, H, W, generator=g, dtype=torch.float64) for _ in range(n)]


def test_a_planted_slope_is_found_whatever_is_held_fixed():
    x, z, noise = maps(3)
    x = x + z  # what is held fixed has a part in x
    mask = noise > -1
    y = 2 + 0.7 * x - 3 * z
    y = y.where(mask, math.nan)
    assert torch.allclose(partial_slope(y, x, mask, [z]), torch.full((3,), 0.7, dtype=torch.float64))
    assert (partial_slope(y, x, mask) < 0).all(), "without holding z fixed its effect is taken for that of x"


def test_slopes_equal_a_plain_regression():
    y, x, a, b, draw = maps(5, seed=3)
    mask = draw > 0
    got = partial_slope(y, x, mask, [a, b, 2 * a])  # the third says nothing new
    for i in range(3):
        where = mask[i, 0].numpy()
        design = np.stack([np.ones(where.sum()), *(m[i, 0].numpy()[where] for m in (x, a, b))], 1)
        want = np.linalg.lstsq(design, y[i, 0].numpy()[where], rcond=None)[0][1]
        assert float(got[i]) == pytest.approx(want, rel=1e-9)


def test_a_slope_without_variation_is_undefined():
    y, x, z = maps(3)
    full = torch.ones_like(y, dtype=torch.bool)
    assert partial_slope(y, torch.ones_like(x), full).isnan().all()
    assert partial_slope(y, x, ~full).isnan().all()
    assert partial_slope(y, 3 * x - 1, full, [x]).isnan().all()
    with pytest.raises(ValueError, match=r"given\[1\]"):
        partial_slope(y, x, full, [z, z[..., 1:]])


def test_texture_has_the_rounding_as_its_floor():
    flat = texture_decades(torch.full((1, 3, H, W), 0.4))
    assert torch.allclose(flat, torch.full_like(flat, math.log10(ROUNDING)), atol=1e-4)
    rough = torch.full((1, 3, H, W), 0.5)
    rough[..., W // 2 :] += 0.05 * torch.randn(3, H, W // 2, generator=torch.Generator().manual_seed(0))
    decades = texture_decades(rough)
    assert decades[..., -8:].mean() - decades[..., :8].mean() > 2


def spoilt(image, *, slope, offset=0.0, bias=0.0):
    """Depth, prediction and smooth pixels: |d| grows by `slope` per decade, with signs that even out, on an offset."""
    draw, signs = (x.float() for x in maps(2, seed=4))
    depth, smooth = torch.exp(0.3 * draw + 1), draw > -0.5
    decades = texture_decades(image)
    zone = texture_zone(smooth, image)
    above = (decades - decades.flatten(1).amin(1).view(-1, 1, 1, 1)) + 0.1
    d = slope * above * signs.sign()
    d = residual(d, zone).float()  # the signs do not even out to the last digit
    return depth, depth * torch.exp(d + bias * decades + offset), smooth


def regression(y, *columns):
    """The coefficients of the columns beside a constant, and what is left."""
    design = np.stack([np.ones(len(y)), *columns], 1)
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    return found[1:], y - design @ found


@pytest.mark.parametrize("offset", [0.0, 0.5, -0.5])
@pytest.mark.parametrize("held", [0, 2])
def test_texture_slopes_equal_a_plain_regression_whatever_the_offset(offset, held):
    image, given = pictures(), maps(4, seed=9)[:held]
    depth, pred, smooth = spoilt(image, slope=0.11, offset=offset, bias=0.02)
    slope, growth, bias = (f(pred, depth, smooth, image, given=given) for f in
                           (texture_slope, texture_growth, texture_bias))  # fmt: skip
    for i in range(3):
        where = (smooth & ~image_contours(image))[i, 0].numpy()
        d, x = (m[i, 0].double().numpy()[where] for m in ((pred / depth).log(), texture_decades(image)))
        others = [m[i, 0].numpy()[where] for m in given]
        error = np.abs(regression(d, *others)[1])
        want = regression(error, x, *others)[0][0]
        assert float(slope[i]) == pytest.approx(want, rel=1e-4)
        assert float(growth[i]) == pytest.approx(want / error.mean(), rel=1e-4)
        assert float(bias[i]) == pytest.approx(regression(d, x, *others)[0][0], rel=1e-4)
        assert want > 0.05


@pytest.mark.parametrize("offset", [0.0, 0.5, -0.5])
def test_an_error_that_grows_with_texture_is_found_under_any_offset(offset):
    """With its offset left in, |d| of an image judged too far is d itself, whose slope is 0 here."""
    image = pictures()
    depth, pred, smooth = spoilt(image, slope=0.11, offset=offset)
    assert torch.allclose(texture_slope(pred, depth, smooth, image), torch.full((3,), 0.11).double(), atol=0.02)
    same = [texture_slope(k * p, k * g, smooth, image) for k in (1, 2) for p, g in ((pred, depth), (3 * pred, depth))]
    for other in (*same, texture_slope(1 / pred, 1 / depth, smooth, image)):
        assert torch.allclose(other, same[0], atol=1e-5)
    twice = depth * (pred / depth) ** 2
    growth = [texture_growth(p, depth, smooth, image) for p in (pred, twice)]
    assert torch.allclose(growth[0], growth[1], rtol=1e-4)
    assert torch.allclose(texture_slope(twice, depth, smooth, image), 2 * same[0], rtol=1e-4)


def test_texture_taken_for_distance_is_a_bias():
    image = pictures()
    depth, pred, smooth = spoilt(image, slope=0.0, offset=0.3, bias=0.07)
    assert torch.allclose(texture_bias(pred, depth, smooth, image), torch.full((3,), 0.07).double(), atol=1e-5)


def test_errors_on_contours_are_no_matter_of_texture():
    image = pictures()
    depth, pred, smooth = spoilt(image, slope=0.11)
    contour = image_contours(image)
    assert 0.05 < (contour & smooth).float().mean() < 0.9
    worse = pred.where(~contour, 2 * pred)
    for metric in (texture_slope, texture_growth, texture_bias):
        assert torch.equal(metric(worse, depth, smooth, image), metric(pred, depth, smooth, image))


def test_without_error_there_is_no_slope():
    image = pictures()
    depth, pred, smooth = spoilt(image, slope=0.11)
    zero = torch.zeros(3, dtype=torch.float64)
    assert torch.allclose(texture_slope(depth, depth, smooth, image), zero, atol=1e-6)
    assert texture_growth(depth, depth, smooth, image).isnan().all()
    assert texture_slope(pred, depth, smooth & False, image).isnan().all()
    unseen = texture_slope(pred.where(smooth, math.nan), depth.where(smooth, -1.0), smooth, image)
    assert torch.equal(unseen, texture_slope(pred, depth, smooth, image))


def test_a_residual_is_what_a_plain_regression_leaves():
    y, a, b, draw = maps(4, seed=5)
    mask = draw > 0
    got = residual(y, mask, [a, b, a - b])
    for i in range(3):
        where = mask[i, 0].numpy()
        flat = [m[i, 0].numpy()[where] for m in (y, a, b)]
        np.testing.assert_allclose(got[i, 0].numpy()[where], regression(*flat)[1], atol=1e-9)
    assert (got[~mask] == 0).all()


def test_pixel_change_is_the_root_mean_square():
    a, b = pictures(seed=1), pictures(seed=2)
    for i in range(3):
        plain = np.sqrt(
            np.mean([(float(p) - float(q)) ** 2 for p, q in zip(a[i].flatten(), b[i].flatten(), strict=True)])
        )
        assert float(pixel_change(a, b)[i]) == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("name", CONTROLS.names())
@pytest.mark.parametrize("edit", [("low_pass", 3.0), ("palette_swap", 1.0), ("gaussian_noise", 0.4)])
def test_a_control_changes_the_pixels_as_much(name, edit):
    image = pictures()
    changed = PERTURBATIONS[edit[0]](image, edit[1])
    control = equal_change(image, changed, name, [1, 2, 3])
    assert torch.allclose(pixel_change(image, control), pixel_change(image, changed), rtol=1e-5)
    assert (control >= 0).all() and (control <= 1).all()
    assert (control - changed).abs().mean() > 1e-3
    assert torch.equal(equal_change(image, image, name, [1, 2, 3]), image)
    assert torch.allclose(equal_change(image[1:2], changed[1:2], name, [2]), control[1:2], atol=1e-5)
    assert not torch.equal(equal_change(image, changed, name, [4, 5, 6]), control)
    with pytest.raises(ValueError, match="one seed per image"):
        equal_change(image, changed, name, [1])


def test_the_scrambled_control_has_the_spectrum_of_the_change():
    image = (pictures() - 0.5) * 0.1 + 0.5  # far from the clamp
    changed = PERTURBATIONS["low_pass"](image, 2.0)
    control = equal_change(image, changed, "scrambled", [1, 2, 3])
    before, after = (torch.fft.rfft2(x - image).abs() for x in (changed, control))
    assert torch.allclose(after, before, atol=1e-3, rtol=1e-3)
    white = torch.fft.rfft2(equal_change(image, changed, "white_noise", [1, 2, 3]) - image).abs()
    assert (white - before).abs().mean() > 0.3 * before.mean()


def test_the_size_is_reached_where_most_of_a_pattern_is_cut_off():
    """Shuffled black and white: noise has to be several times as strong as it would without the clamp."""
    image = 0.01 + 0.98 * (pictures() > 0.5).float()
    changed = PERTURBATIONS["patch_shuffle"](image, 8.0)
    control = equal_change(image, changed, "white_noise", [1, 2, 3])
    assert torch.allclose(pixel_change(image, control), pixel_change(image, changed), rtol=1e-5)


def test_a_change_out_of_reach_gives_the_most_there_is():
    image = torch.full((1, 3, H, W), 0.5)
    image[..., 0, 0] = 0.0  # one pixel alone would have to change by more than it can
    control = equal_change(image, torch.ones_like(image), "white_noise", [0])
    assert 0.45 < float(pixel_change(image, control)) <= float(pixel_change(image, torch.ones_like(image)))
