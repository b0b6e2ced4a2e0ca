"""Readings of a depth map and doses of a cue, against closed forms and plain loops."""

import math

import numpy as np
import pytest
import torch

from depthprobe.functional.cues import (
    card,
    depth_gain,
    ground_pitch,
    ground_roll,
    level_ground,
    line_slope,
    log_depth,
    log_size,
    rise,
)  # fmt: skip

H, W = 24, 32
CAMERA = torch.tensor([[[30.0, 0, 15.2], [0, 28.0, 11.7], [0, 0, 1]]])


def ground(pitch, roll, height=1.4):
    """Depth of a level plane below a camera that looks up by pitch, then is turned clockwise by roll (degrees)."""
    p, r = math.radians(pitch), math.radians(roll)
    down = np.array([math.sin(r) * math.cos(p), math.cos(r) * math.cos(p), -math.sin(p)])
    depth = np.full((H, W), np.nan)
    for y in range(H):
        for x in range(W):
            ray = np.linalg.inv(CAMERA[0].double().numpy()) @ np.array([x, y, 1.0])
            if down @ ray > 1e-3:
                depth[y, x] = height / (down @ ray)
    found = torch.from_numpy(depth)[None, None]
    return found.nan_to_num(1.0), found.isfinite()


@pytest.mark.parametrize(("pitch", "roll"), [(-12.0, 0.0), (-20.0, 9.0), (-6.0, -14.0), (3.0, 5.0)])
def test_the_tilt_of_level_ground_is_read_exactly(pitch, roll):
    depth, seen = ground(pitch, roll)
    for scale in (1.0, 0.3):
        got = math.radians(float(ground_pitch(scale * depth, seen, CAMERA)))
        want = math.atan2(math.sin(math.radians(pitch)), math.cos(math.radians(roll)) * math.cos(math.radians(pitch)))
        assert got == pytest.approx(want, abs=1e-6)
        assert float(ground_roll(scale * depth, seen, CAMERA)) == pytest.approx(roll, abs=1e-5)


def test_a_plane_that_is_hardly_seen_has_no_tilt():
    depth, seen = ground(-12.0, 0.0)
    line = torch.zeros_like(seen)
    line[..., -1, :] = True  # one row: its pitch is undetermined
    assert ground_pitch(depth, line, CAMERA).isnan().all()
    assert ground_roll(depth, torch.zeros_like(seen), CAMERA).isnan().all()


def test_level_ground_is_the_largest_plane_that_faces_up():
    plane = torch.zeros(1, 1, H, W, dtype=torch.long)
    plane[..., :6], plane[..., 6:10], plane[..., 30:] = 1, 2, -1
    normal = torch.zeros(1, 3, H, W)
    normal[:, 1] = -1.0
    normal[:, :, :, 10:30] = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1)  # plane 0, the largest, is a wall
    valid = torch.ones(1, 1, H, W, dtype=torch.bool)
    assert torch.equal(level_ground(plane, normal, valid), plane == 1)
    assert not level_ground(plane, -normal, valid).any(), "a ceiling is no ground"


def test_readings_equal_plain_loops():
    g = torch.Generator().manual_seed(0)
    depth, mask = torch.rand(2, 1, H, W, generator=g) + 0.5, torch.rand(2, 1, H, W, generator=g) > 0.6
    for i in range(2):
        cells = [(y, x) for y in range(H) for x in range(W) if mask[i, 0, y, x]]
        assert float(log_depth(depth, mask)[i]) == pytest.approx(
            np.mean([math.log(float(depth[i, 0, y, x])) for y, x in cells]), abs=1e-6
        )
        assert float(rise(mask)[i]) == pytest.approx((H - 1 - np.mean([y for y, _ in cells])) / H, rel=1e-9)
        assert float(log_size(mask)[i]) == pytest.approx(math.log(math.sqrt(len(cells))), rel=1e-9)
    power = depth**0.6 * 3
    assert torch.allclose(depth_gain(power, depth, mask), torch.full((2,), 0.6, dtype=torch.float64), atol=1e-5)
    none = torch.zeros_like(mask)
    assert all(x.isnan().all() for x in (log_depth(depth, none), rise(none), log_size(none)))


def test_line_slopes_are_least_squares_over_what_is_known():
    nan = math.nan
    x = torch.tensor([[0, 1, 2, 4], [0, 1, nan, 3], [1, 1, 1, 1], [nan, nan, nan, 2]], dtype=torch.float64)
    y = torch.tensor([[1, 0, 3, 9], [5, nan, 1, 2], [1, 2, 3, 4], [1, 1, 1, 1]], dtype=torch.float64)
    got = line_slope(x, y)
    assert float(got[0]) == pytest.approx(np.polyfit(x[0].numpy(), y[0].numpy(), 1)[0])
    assert float(got[1]) == pytest.approx(-1.0)
    assert got[2:].isnan().all()
    assert float(line_slope(x[:1], torch.full((1, 4), 0.1, dtype=torch.float64))) == 0.0, "exactly"


@pytest.mark.parametrize("left", [4, 20])
def test_a_card_hides_a_share_of_the_width_and_its_control_nothing(left):
    image = torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, H, W, dtype=torch.bool)
    mask[..., 10:20, left : left + 8] = True
    over, rest = card(image, mask, 0.25, over=True)
    beside, same = card(image, mask, 0.25, over=False)
    assert torch.equal(rest, same) and int(rest.sum()) == 10 * 6
    assert torch.equal(over[:, :, rest[0, 0]], image[:, :, rest[0, 0]]), "what is read is not touched"
    assert torch.equal(beside[:, :, mask[0, 0]], image[:, :, mask[0, 0]])
    for changed in (over, beside):
        where = (changed != image).any(1)[0]
        assert int(where.sum()) == 12 * 2 and where[9:21].sum() == where.sum()
    assert torch.equal(card(image, mask, 0.0, over=True)[0], image)
    assert torch.equal(card(image, mask & False, 0.5, over=True)[0], image)
