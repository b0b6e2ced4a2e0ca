"""Augmentation keeps depth true: what each one does to image, depth and validity, and that chance is per sample."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthprobe.functional.augment import (
    _noise,
    augment,
    mirrored,
    recoloured,
    rotated,
    windowed,
    with_cut_depth,
)

ALL = {"flip": 0.5, "colour": 1.0, "rotation": 8.0, "cut_depth": 0.5, "drop_pixels": 0.5}
FILL = (0.1, 0.2, 0.3)


def batch(b=6, h=24, w=32, seed=0):
    """Every pixel's depth is a number of its own, and its red channel is that number too, so that they can be matched.

    A few pixels are not valid.
    """
    g = torch.Generator().manual_seed(seed)
    depth = 1 + torch.rand(b, 1, h, w, generator=g)
    image = torch.rand(b, 3, h, w, generator=g)
    image[:, :1] = depth - 1
    valid = torch.rand(b, 1, h, w, generator=g) > 0.1
    return image, depth, valid


def off(**changes):
    return {"flip": 0.0, "colour": 0.0, **changes}


def keys(b, offset=0):
    return [1000 * offset + i for i in range(b)]


def test_without_augmentation_nothing_changes():
    image, depth, valid = batch()
    out = augment(image, depth, valid, keys=keys(6), **off())
    assert all(torch.equal(a, b) for a, b in zip(out, (image, depth, valid), strict=True))


def test_bytes_become_numbers_from_0_to_1():
    image, depth, valid = batch()
    out = augment((image * 255).round().byte(), depth, valid, keys=keys(6), **off())[0]
    torch.testing.assert_close(out, (image * 255).round() / 255)


def test_the_input_is_left_alone():
    given_ = batch()
    before = [x.clone() for x in given_]
    augment(*given_, keys=keys(6), fill=FILL, **ALL)
    assert all(torch.equal(a, b) for a, b in zip(given_, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_a_sample_does_not_depend_on_its_batch(dtype):
    image, depth, valid = batch()
    image = (image * 255).to(dtype) / 255 if dtype == torch.float32 else (image * 255).to(dtype)
    whole = augment(image, depth, valid, keys=keys(6), fill=FILL, **ALL)
    for i in range(6):
        alone = augment(image[i : i + 1], depth[i : i + 1], valid[i : i + 1], keys=[keys(6)[i]], fill=FILL, **ALL)
        for a, b in zip(whole, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b, rtol=0, atol=1e-6)


def test_what_is_drawn_for_one_does_not_depend_on_the_others():
    image, depth, valid = batch(b=32)
    alone = augment(image, depth, valid, keys=keys(32), **off(flip=0.5))[1]
    more = augment(image, depth, valid, keys=keys(32), flip=0.5, colour=1.0, cut_depth=0.5, drop_pixels=0.5)[1]
    assert torch.equal(alone, more)


@pytest.mark.parametrize("option", [{"flip": 0.5}, {"colour": 1.0}, {"cut_depth": 1.0}, {"drop_pixels": 1.0}], ids=str)
def test_other_keys_give_other_pictures(option):
    image, depth, valid = batch(b=16)
    one, two = (augment(image, depth, valid, keys=keys(16, o), **off(**option))[0] for o in (1, 2))
    assert not torch.equal(one, two)
    again = augment(image, depth, valid, keys=keys(16, 1), **off(**option))[0]
    assert torch.equal(one, again)


@pytest.mark.parametrize("option", [{"colour": 1.0}, {"cut_depth": 1.0}, {"drop_pixels": 1.0}], ids=str)
def test_what_changes_colours_leaves_depth_alone(option):
    image, depth, valid = batch()
    out = augment(image, depth, valid, keys=keys(6), **off(**option))
    assert torch.equal(out[1], depth)
    assert torch.equal(out[2], valid)
    assert not torch.equal(out[0], image)
    assert out[0].amin() >= 0
    assert out[0].amax() <= 1


def test_a_mirror_image_is_mirrored_in_all_three():
    image, depth, valid = batch(b=2)
    out = mirrored(image, depth, valid, torch.tensor([True, False]))
    for x, y in zip((image, depth, valid), out, strict=True):
        assert torch.equal(y[0], x[0].flip(-1))
        assert torch.equal(y[1], x[1])
    again = mirrored(*out, torch.tensor([True, False]))
    assert all(torch.equal(a, b) for a, b in zip(again, (image, depth, valid), strict=True))


def test_mirroring_happens_as_often_as_asked():
    image, depth, valid = batch(b=400, h=4, w=6)
    out = augment(image, depth, valid, keys=keys(400), **off(flip=0.3))[1]
    share = (out != depth).flatten(1).any(1).float().mean()
    assert 0.22 < share < 0.38


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact(turns):
    image, depth, _ = batch(b=2, h=20, w=20)
    valid = torch.ones_like(depth, dtype=torch.bool)
    degrees = torch.full((2,), 90.0 * turns)
    out = rotated(image, depth, valid, degrees)
    torch.testing.assert_close(out[0], torch.rot90(image, turns, (-2, -1)), atol=1e-4, rtol=0)
    inner = (..., slice(1, -1), slice(1, -1))
    assert torch.equal(out[1][inner], torch.rot90(depth, turns, (-2, -1))[inner])
    assert out[2][inner].all()


def test_turning_by_nothing_changes_nothing():
    image, depth, valid = batch()
    out = rotated(image, depth, valid, torch.zeros(6))
    torch.testing.assert_close(out[0], image, atol=1e-5, rtol=0)
    assert torch.equal(out[2], valid)
    assert torch.equal(out[1][valid], depth[valid])


@settings(max_examples=25, deadline=None)
@given(degrees=st.floats(-90, 90), h=st.integers(8, 30), w=st.integers(8, 30))
def test_turned_depth_is_where_plain_trigonometry_puts_it_and_never_mixed(degrees, h, w):
    """Each pixel by hand: where the turned camera's pixel lies in the old picture; outside or invalid: not valid."""
    image, depth, valid = batch(b=1, h=h, w=w)
    out = rotated(image, depth, valid, torch.tensor([degrees]))
    assert set(out[1][out[2]].tolist()) <= set(depth[valid].tolist())
    assert (out[1][~out[2]] == 1).all()
    assert out[0].isfinite().all()
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    for row, column in itertools.product(range(h), range(w)):
        x, y = column - (w - 1) / 2, row - (h - 1) / 2
        u, v = (w - 1) / 2 + cos * x - sin * y, (h - 1) / 2 + sin * x + cos * y
        if min(abs(u % 1 - 0.5), abs(v % 1 - 0.5)) < 1e-3:
            continue  # between two pixels rounding decides
        i, j = round(v), round(u)
        inside = 0 <= i < h and 0 <= j < w and bool(valid[0, 0, i, j])
        assert bool(out[2][0, 0, row, column]) == inside
        if inside:
            assert out[1][0, 0, row, column] == depth[0, 0, i, j]


def test_invalid_depth_may_hold_anything():
    image, depth, valid = batch()
    spoiled = torch.where(valid, depth, torch.nan)
    clean, odd = (augment(image, d, valid, keys=keys(6), fill=FILL, **ALL) for d in (depth, spoiled))
    assert torch.equal(clean[2], odd[2])
    assert torch.equal(clean[1][clean[2]], odd[1][odd[2]])
    torch.testing.assert_close(clean[0], odd[0])


@settings(max_examples=25, deadline=None)
@given(h=st.integers(1, 12), w=st.integers(1, 16), seed=st.integers(0, 99))
def test_a_window_shows_the_same_pixels_of_all_three_at_their_scale(h, w, seed):
    image, depth, valid = batch(b=3, h=12, w=16, seed=seed)
    out = augment(image, depth, valid, keys=keys(3, seed), **off(crop=(h, w)))
    assert out[0].shape == (3, 3, h, w)
    for i in range(3):
        top, left = divmod(int((depth[i, 0] == out[1][i, 0, 0, 0]).flatten().nonzero()[0]), 16)
        for x, y in zip((image, depth, valid), out, strict=True):
            assert torch.equal(y[i], x[i, :, top : top + h, left : left + w])


def test_every_place_of_a_window_occurs():
    image, depth, valid = batch(b=1, h=5, w=4)
    places = set()
    for top, left in itertools.product([0.0, 0.26, 0.51, 0.76, 0.999], repeat=2):
        out = windowed(image, depth, valid, torch.tensor([top]), torch.tensor([left]), (2, 2))
        places.add(float(out[1][0, 0, 0, 0]))
    assert places == set(depth[0, 0, :4, :3].flatten().tolist())


def test_a_window_larger_than_the_picture_is_refused():
    with pytest.raises(ValueError, match="Expected `crop` to fit into images of 24x32, but got 25x10"):
        augment(*batch(), keys=keys(6), crop=(25, 10))


def test_colours_are_the_named_steps_one_after_another():
    """Saturation about each pixel's grey, contrast about the image's level, then gain and white balance."""
    image, _, _ = batch(b=3)
    saturation, contrast = torch.tensor([0.5, 1.0, 1.4]), torch.tensor([0.7, 1.0, 1.3])
    balance = torch.tensor([[1.0, 0.9, 1.1], [1, 1, 1], [0.7, 0.8, 0.9]])
    out = recoloured(image, saturation, contrast, balance)
    for i in range(3):
        x = image[i]
        grey = (x[0] + x[1] + x[2]) / 3
        x = torch.stack([grey + (c - grey) * saturation[i] for c in x])
        level = x.mean()
        x = level + (x - level) * contrast[i]
        x = torch.stack([c * b for c, b in zip(x, balance[i], strict=True)])
        torch.testing.assert_close(out[i], x, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(out[1], image[1], rtol=1e-5, atol=1e-6)


def test_colours_of_bytes_are_those_of_numbers():
    image = (batch()[0] * 255).round()
    options = torch.full((6,), 0.8), torch.full((6,), 1.2), torch.full((6, 3), 1.1)
    torch.testing.assert_close(recoloured(image.byte(), *options), recoloured(image / 255, *options))


def test_noise_has_no_mean_its_deviation_and_no_pattern():
    image = torch.zeros(3, 3, 97, 101)  # no multiple of eight
    strength = torch.tensor([0.0, 0.01, 0.02])
    noise = _noise(keys(3, 7), image, strength)
    assert noise.shape == image.shape
    torch.testing.assert_close(noise.flatten(1).std(1), strength, rtol=0.02, atol=0)
    assert noise[2].mean().abs() < 4 * 0.02 / image[0].numel() ** 0.5
    for shift in (1, 2, 8, 97):
        flat = noise[2].flatten() / 0.02
        assert (flat[shift:] * flat[:-shift]).mean().abs() < 4 / flat.numel() ** 0.5


def test_cut_depth_shows_depth_stretched_to_0_1_in_the_box_and_colours_elsewhere():
    image, depth, valid = batch(b=2)
    boxes = torch.tensor([[3, 10, 4, 20], [0, 24, 0, 32]])
    out = with_cut_depth(image, depth, valid, boxes, torch.tensor([True, True]))
    for i, (top, bottom, left, right) in enumerate(boxes.tolist()):
        known = depth[i][valid[i]]
        for row, column in itertools.product(range(24), range(32)):
            pixel = out[i, :, row, column]
            if top <= row < bottom and left <= column < right and valid[i, 0, row, column]:
                expected = (depth[i, 0, row, column] - known.min()) / (known.max() - known.min())
                assert pixel.tolist() == pytest.approx([float(expected)] * 3, abs=1e-6)
            else:
                assert torch.equal(pixel, image[i, :, row, column])
    untouched = with_cut_depth(image, depth, valid, boxes, torch.tensor([False, False]))
    assert torch.equal(untouched, image)


@pytest.mark.parametrize("value", ["flat", "none"])
def test_cut_depth_without_a_range_of_depth(value):
    image, depth, valid = batch(b=1)
    depth, valid = torch.full_like(depth, 2.0), torch.full_like(valid, value == "flat")
    out = with_cut_depth(image, depth, valid, torch.tensor([[0, 24, 0, 32]]), torch.tensor([True]))
    assert torch.equal(out, torch.zeros_like(image) if value == "flat" else image)


def test_cut_boxes_lie_in_the_picture_have_a_pixel_and_grow_to_three_quarters():
    """The rectangle's limits: a corner anywhere, sides up to 75 % of what is left, never none (a known slip is
    min(..., 1) where max(..., 1) is meant, which cuts single pixels only)."""
    image, depth, _ = batch(b=600, h=12, w=16)
    valid = torch.ones_like(depth, dtype=torch.bool)
    image = torch.full_like(image, 2.0)  # no depth looks like this
    out = augment(image, depth, valid, keys=keys(600), **off(cut_depth=1.0))[0][:, 0] != 2.0
    rows, columns = out.any(2), out.any(1)
    heights, widths = rows.sum(1), columns.sum(1)
    assert torch.equal(out.sum((1, 2)), heights * widths), "rectangles"
    assert heights.min() >= 1
    assert widths.min() >= 1
    assert heights.max() <= 9
    assert widths.max() <= 12
    assert heights.max() >= 7
    assert widths.max() >= 10
    assert rows[:, 0].any() and rows[:, -1].any() and columns[:, 0].any() and columns[:, -1].any()


def test_dropped_pixels_have_the_fill_and_kept_ones_are_untouched():
    image, depth, valid = batch(b=200, h=32, w=48)
    out = augment(image, depth, valid, keys=keys(200), fill=FILL, **off(drop_pixels=1.0))[0]
    colour = torch.tensor(FILL).view(1, 3, 1, 1)
    kept, dropped = (out == image).all(1), (out == colour).all(1)
    assert (kept | dropped).all()
    share = kept.float().mean((1, 2))
    assert share.min() < 0.05
    assert share.max() > 0.8
    assert 0.15 < (share < 0.1).float().mean() < 0.75, "shares are drawn evenly on a logarithmic scale"
    sides = {side for side in (1, 4, 8, 16) for k in kept if _in_squares(k, side) and not _in_squares(k, 2 * side)}
    assert sides == {1, 4, 8, 16}


def _in_squares(kept, side):
    first = kept[::side, ::side]
    grown = first.repeat_interleave(side, 0).repeat_interleave(side, 1)[: kept.shape[0], : kept.shape[1]]
    return torch.equal(grown, kept)


def test_dropping_happens_as_often_as_asked():
    image, depth, valid = batch(b=300, h=8, w=8)
    out = augment(image, depth, valid, keys=keys(300), fill=FILL, **off(drop_pixels=0.3))[0]
    share = (out != image).flatten(1).any(1).float().mean()
    assert 0.2 < share < 0.38


def test_one_key_per_sample_is_asked_for():
    with pytest.raises(ValueError, match=r"Expected one key per sample \(6\), but got 5"):
        augment(*batch(), keys=keys(5))
