"""Ground, object and copies in photographs, against a room of plain rays whose every answer is known."""

import math

import numpy as np
import photographs as room
import pytest
import torch
from scipy import ndimage

from depthprobe.data import load_dataset
from depthprobe.functional.pasting import PASTES, Photo, find_layout
from depthprobe.functional.pasting_ground import find_ground
from depthprobe.functional.pasting_object import ARMS
from depthprobe.functional.perturb_core import EditError

H, W = room.H, room.W
ALL = np.ones((H, W), bool)


@pytest.fixture(scope="module")
def batch():
    return room.photograph()


@pytest.fixture(scope="module")
def layout(batch):
    return find_layout(batch.depth, batch.valid, batch.intrinsics)


@pytest.fixture(scope="module")
def photo(batch, layout):
    return Photo(batch.image[0], layout)


def test_the_ground_is_the_plane_that_was_planted(layout):
    assert layout.ground.height == pytest.approx(room.HEIGHT, rel=5e-4)
    for x, y in ((0, 119), (80, 70), (159, 90)):
        assert layout.ground.depth_at(y, x) == pytest.approx(room.ground_depth(x, y), rel=5e-4)
    assert layout.ground.row_at(3.3, 20) == pytest.approx(room.ground_row(3.3), abs=1e-2)
    assert layout.ground.depth_at(0, 10) == math.inf, "above the horizon"
    _, seen = room.room()
    assert layout.ground.mask[seen == 0].all()
    beside = layout.ground.mask & (seen != 0)
    assert (layout.ground.elevation[beside] < 0.03).all() and beside.sum() < 0.02 * H * W
    top = (seen == 2) & (layout.ground.elevation > 0.5 * room.BOX[4] / room.HEIGHT)
    assert layout.ground.elevation[top].max() == pytest.approx(room.BOX[4] / room.HEIGHT, abs=0.02)
    assert layout.ground.leaving[seen == 1].mean() > 0.99 and not layout.ground.leaving[seen != 1].any()


def test_the_object_is_the_box_that_was_planted(layout):
    _, seen = room.room()
    mask, box = layout.standing.mask, seen == 2
    assert (mask | ~ndimage.binary_erosion(box)).all() and (ndimage.binary_dilation(box) | ~mask).all()
    assert layout.standing.foot[0] == math.floor(room.foot_row())
    assert layout.standing.depth == pytest.approx(room.ground_depth(*layout.standing.foot[::-1]), rel=1e-3)
    columns = np.flatnonzero(box.any(0))
    assert columns[0] <= layout.standing.foot[1] <= columns[-1]


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("level", [0.8, 1.0, 1.25, 1.4])
def test_copies_stand_and_look_as_their_distance_says(photo, layout, arm, level):
    """Farther off, the foot is where the ground has that depth; smaller, sides shrink by it: one, the other or both."""
    copy = PASTES[arm](photo, level)
    own, rows = layout.standing, np.flatnonzero(copy.edited.any(1).numpy())
    columns = np.flatnonzero(copy.edited.any(0).numpy())
    nearness = level if "size" not in arm else 1.0
    assert abs(rows[-1] - room.ground_row(nearness * own.depth)) <= 0.5 + 1e-6
    shrink = level if "position" not in arm else 1.0
    assert abs(len(rows) - own.tall / shrink) <= 1
    assert abs(len(columns) - own.wide / shrink) <= 1.5
    assert float(copy.edited.sum()) == pytest.approx(own.mask.sum() / shrink**2, rel=0.08)
    assert not (copy.edited & torch.from_numpy(own.mask)).any()


@pytest.mark.parametrize("arm", ARMS)
def test_a_copy_at_its_own_distance_is_the_object_pixel_by_pixel(photo, layout, arm):
    copy, own = PASTES[arm](photo, 1.0), layout.standing
    foot = own.lands(layout.ground, 1.0)
    shift = (foot[0] - own.foot[0], foot[1] - own.foot[1])
    assert shift[1] != 0
    moved = np.roll(own.mask, shift, (0, 1))
    assert np.array_equal(copy.edited.numpy(), moved)
    assert torch.equal(copy.image[:, copy.edited], photo.image.roll(shift, (1, 2))[:, copy.edited])
    assert torch.equal(copy.image[:, ~copy.edited], photo.image[:, ~copy.edited])


@pytest.mark.parametrize("arm", ARMS)
def test_the_truth_of_a_copy_is_what_its_cue_implies(batch, photo, layout, arm):
    near, far = (PASTES[arm](photo, level) for level in (1.0, 1.25))
    assert np.array_equal(far.depth.numpy()[~far.edited.numpy()], layout.depth[~far.edited.numpy()])
    front = [float(one.depth[one.body].log().mean()) for one in (near, far)]
    assert front[1] - front[0] == pytest.approx(math.log(1.25), abs=0.02)
    assert front[0] == pytest.approx(math.log(layout.standing.depth), abs=0.15), "the camera looks down on the box"


def test_the_same_rows_are_read_at_every_size(photo, layout):
    foot = layout.standing.lands(layout.ground, 1.0)[0]
    want = [round(foot - share * layout.standing.tall) for share in (0.6, 0.25)]
    for level in (0.8, 1.0, 1.4):
        copy = PASTES["paste_size"](photo, level)
        rows = np.flatnonzero(copy.body.any(1).numpy())
        assert [rows[0], rows[-1] + 1] == want
        assert not (copy.body & ~copy.edited).any()


def test_beside_the_object_nothing_is_left_behind_or_taken_along(photo, layout):
    """The object is red, all else is not: a copy of it is red all over, and nothing else becomes red."""
    for level in (0.8, 1.25):
        copy = PASTES["paste_both"](photo, level)
        red = copy.image[0] - copy.image[2] > 0.2
        before = photo.image[0] - photo.image[2] > 0.2
        assert float((red & copy.edited).sum() / copy.edited.sum()) > 0.97
        assert torch.equal(copy.image[:, layout.standing.mask], photo.image[:, layout.standing.mask])
        assert int((red & ~before & ~copy.edited).sum()) < 0.1 * int(copy.edited.sum())


@pytest.mark.parametrize("level", [0.8, 1.25])
def test_a_copy_blends_with_its_new_place_alone(layout, level):
    """A red object in a blue ring, all else green: the copy's soft outline mixes red and green, never blue."""
    own = layout.standing.mask
    ring = ndimage.binary_dilation(own, iterations=4) & ~own
    image = torch.from_numpy(np.stack([own, ~own & ~ring, ring])).float()
    copy = PASTES["paste_both"](Photo(image, layout), level)
    assert (copy.image[2] <= image[2] + 1e-6).all()
    assert torch.allclose(copy.image.sum(0), torch.ones(H, W), atol=1e-6)
    assert copy.image[0][copy.edited].min() > 0.5 - 1e-6
    assert copy.image[0][~copy.edited & ~torch.from_numpy(own)].max() < 0.5 + 1e-6


def test_the_control_shows_the_object_itself_first(photo, layout):
    own = PASTES["paste_aside"](photo, 0.0)
    assert torch.equal(own.image, photo.image)
    assert np.array_equal(own.edited.numpy(), layout.standing.mask) and (own.depth.numpy() == layout.depth).all()
    copy, same = PASTES["paste_aside"](photo, 1.0), PASTES["paste_both"](photo, 1.0)
    assert torch.equal(copy.image, same.image) and torch.equal(copy.body, same.body)
    with pytest.raises(ValueError, match=r"0 \(the object itself\) or 1"):
        PASTES["paste_aside"](photo, 0.5)


@pytest.mark.parametrize(("arm", "level"), [("paste_position", 0.3), ("paste_position", 3.5), ("paste_size", 0.2)])
def test_copies_without_room_are_refused(photo, arm, level):
    with pytest.raises(EditError, match="leave the image, its ground or the view"):
        PASTES[arm](photo, level)


def test_a_copy_too_small_to_be_read_is_refused(photo):
    with pytest.raises(EditError, match="too small"):
        PASTES["paste_size"](photo, 6.0)


def test_depth_in_steps_of_centimetres_is_enough(batch):
    steps = (batch.depth / 0.0392).round() * 0.0392
    found = find_layout(steps, batch.valid, batch.intrinsics, 0.0392)
    exact = find_layout(batch.depth, batch.valid, batch.intrinsics)
    assert found.ground.height == pytest.approx(room.HEIGHT, rel=0.01)
    assert abs(found.standing.foot[0] - exact.standing.foot[0]) <= 1
    both = (found.standing.mask & exact.standing.mask).sum() / (found.standing.mask | exact.standing.mask).sum()
    assert both > 0.9


def test_invalid_pixels_have_no_effect(batch):
    valid = torch.rand(1, 1, H, W, generator=torch.Generator().manual_seed(0)) < 0.98
    junk = find_layout(batch.depth.where(valid, torch.nan), valid, batch.intrinsics)
    plain = find_layout(batch.depth, valid, batch.intrinsics)
    assert np.array_equal(junk.ground.plane, plain.ground.plane)
    assert np.array_equal(junk.ground.mask, plain.ground.mask) and not junk.ground.mask[~valid[0, 0].numpy()].any()
    assert junk.ground.height == pytest.approx(room.HEIGHT, rel=1e-3)


def test_a_wall_and_a_table_top_are_no_ground():
    wall = np.full((H, W), 2.0) + np.arange(W) * 1e-3
    assert find_ground(wall, ALL, room.CAMERA) is None
    top, _ = room.room(None)
    below = top.copy()
    below[100:, 130:] *= 1.6  # past the table's edge there is the floor
    assert find_ground(top, ALL, room.CAMERA) is not None
    found = find_ground(below, ALL, room.CAMERA)
    assert found is None or found.height > 1.5 * room.HEIGHT
    ceiling = find_ground(top[::-1].copy(), ALL, np.array([[130.0, 0, 81.3], [0, 128.0, H - 1 - 55.7], [0, 0, 1]]))
    assert ceiling is None


def test_without_object_there_is_no_layout_to_paste_in():
    empty = room.photograph(box=None)
    found = find_layout(empty.depth, empty.valid, empty.intrinsics)
    assert found.ground is not None and found.standing is None
    with pytest.raises(EditError, match="no object in full view"):
        PASTES["paste_both"](Photo(empty.image[0], found), 1.0)
    flat = find_layout(torch.full_like(empty.depth, 2.0), empty.valid, empty.intrinsics)
    with pytest.raises(EditError, match="no level plane"):
        PASTES["paste_aside"](Photo(empty.image[0], flat), 0.0)


@pytest.mark.parametrize("box", [(-3.9, 0.5, 3.0, 0.5, 0.8), (-0.7, 0.5, 8.4, 0.6, 0.8), (-0.7, 0.05, 3.0, 0.05, 0.2)])
def test_what_leaves_the_image_or_is_too_small_or_leans_on_the_wall_is_no_object(box):
    one = room.photograph(box=box)
    assert find_layout(one.depth, one.valid, one.intrinsics).standing is None


def test_an_object_behind_another_is_not_taken():
    """A nearer box hides part of the planted one: the nearer one, whole, is taken, or none."""
    depth, seen = room.room()
    front = (-0.45, 0.3, 2.5, 0.3, 0.5)
    for y in range(H):
        for x in range(W):
            near = room.hit(room.ray(x, y), front)
            if near < depth[y, x]:
                depth[y, x], seen[y, x] = near, 3
    found = find_layout(torch.from_numpy(depth)[None, None], torch.from_numpy(ALL)[None, None],
                        torch.from_numpy(room.CAMERA)[None])  # fmt: skip
    assert found.standing is None or (seen[found.standing.mask] == 3).mean() > 0.9


def test_the_ground_of_scenes_is_their_floor():
    """Their floor by exact planes and normals: the lowest level plane of at least 3 % of the pixels."""
    batch = load_dataset("scenes", kind="rooms", n=6, size=(96, 128), batch_size=6).load(range(6))[0]
    seen = 0
    for i in range(len(batch)):
        depth, valid = batch.depth[i, 0].double().numpy(), batch.valid[i, 0].numpy()
        camera, plane = batch.intrinsics[i].double().numpy(), batch.maps["plane"][i, 0].numpy()
        down = -batch.maps["normal"][i].double().numpy()
        y, x = np.indices(depth.shape)
        points = depth * np.einsum("ij,jyx->iyx", np.linalg.inv(camera), np.stack([x, y, np.ones_like(x)]))
        lower = (points * down).sum(0)
        level = [plane == k for k in np.unique(plane[valid]) if k >= 0 and ((plane == k) & valid).mean() > 0.03]
        level = [on for on in level if down[1][on].mean() > 0.8]
        found = find_ground(np.where(valid, depth, 1.0), valid, camera)
        if found is not None and level:
            floor = max(level, key=lambda on: lower[on].mean())
            seen += 1
            assert found.height == pytest.approx(lower[floor].mean(), rel=0.01)
            assert (found.mask & floor).sum() > 0.97 * floor.sum()
    assert seen >= 3


def test_facts():
    for name in PASTES:
        facts = PASTES.facts(name)
        assert facts["unit"] and facts["source"] and facts["span"][0] <= facts["identity"] <= facts["span"][1]
