"""Edits: photometric ones leave geometry bit-identical, geometric ones do what they say, impossible ones say so."""

import math

import numpy as np
import pytest
import torch

from depthprobe.data import load_dataset
from depthprobe.data.scenes import SCENE_EDITS, EditError
from depthprobe.data.scenes.classes import STRUCTURE
from depthprobe.data.scenes.edits import View, texture_grey, unlit
from depthprobe.data.scenes.edits_geometry import perspective_off
from depthprobe.data.scenes.rendering import pack, render
from depthprobe.data.scenes.scene import Frame, Scene

SIZE = (48, 64)
PHOTOMETRIC = [name for name in SCENE_EDITS if SCENE_EDITS.facts(name)["changes"] == "image"]
GEOMETRIC = [name for name in SCENE_EDITS if SCENE_EDITS.facts(name)["changes"] == "geometry"]
OBJECT = ["object_scale", "object_lift", "object_distance", "object_recede"]


@pytest.fixture(scope="module")
def rooms():
    return load_dataset("scenes", n=6, size=SIZE).load(range(6))[0]


@pytest.fixture(scope="module")
def streets():
    return load_dataset("scenes", kind="streets", n=2, size=SIZE).load(range(2))[0]


def same_geometry(a, b):
    return (
        torch.equal(a.depth, b.depth)
        and torch.equal(a.valid, b.valid)
        and all(torch.equal(a.maps[name], b.maps[name]) for name in a.maps)
    )


def test_every_edit_is_photometric_or_geometric_and_offered(rooms):
    assert sorted(PHOTOMETRIC + GEOMETRIC) == rooms.edits() == SCENE_EDITS.names()
    for name in SCENE_EDITS:
        facts = SCENE_EDITS.facts(name)
        assert facts["span"][0] <= facts["identity"] <= facts["span"][1] or name == "light_gain"


@pytest.mark.parametrize("name", PHOTOMETRIC)
@pytest.mark.parametrize("kind", ["rooms", "streets"])
def test_photometric_edits_change_the_image_and_nothing_else(name, kind, request):
    batch = request.getfixturevalue(kind).take([0, 1])
    facts = SCENE_EDITS.facts(name)
    edited = batch.edited(name, facts["span"][1])
    assert same_geometry(batch, edited)
    assert torch.equal(batch.intrinsics, edited.intrinsics)
    assert (edited.sample, edited.group) == (batch.sample, batch.group)
    assert (edited.image - batch.image).abs().mean() > 0.001
    assert edited.image.min() >= 0
    assert edited.image.max() <= 1
    assert torch.equal(batch.edited(name, facts["identity"]).image, batch.image)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_geometric_edits_change_depth_and_are_nothing_at_identity(name, rooms):
    facts = SCENE_EDITS.facts(name)
    level = {"object_lift": 0.1, "object_scale": 0.8, "object_distance": 0.8, "object_recede": 1.15}.get(
        name, facts["span"][1]
    )
    batch = rooms.take(rooms.editor.supported(rooms, name, level)[:2])
    assert len(batch) > 0
    edited = batch.edited(name, level)
    assert edited.sample == batch.sample
    assert (edited.depth - batch.depth).abs().max() > 0.02
    assert same_geometry(batch, batch.edited(name, facts["identity"]))
    assert torch.equal(batch.edited(name, facts["identity"]).image, batch.image)


def test_the_target_is_a_whole_thing(rooms):
    targets = [rooms.editor.target(sample, SIZE) for sample in rooms.sample]
    assert sum(target is not None for target in targets) >= 3
    for i, target in enumerate(targets):
        if target is not None:
            mask = rooms.maps["object"][i, 0] == target
            assert mask.any()
            assert not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
            assert not set(rooms.maps["class"][i, 0][mask].tolist()) & STRUCTURE


@pytest.mark.parametrize(("name", "level"), [("object_scale", 0.8), ("object_lift", 0.1), ("object_distance", 0.8)])
def test_an_object_edit_moves_only_its_object(rooms, name, level):
    batch = rooms.take(rooms.editor.supported(rooms, name, level))
    edited = batch.edited(name, level)
    targets = torch.tensor([batch.editor.target(sample, SIZE) for sample in batch.sample]).view(-1, 1, 1, 1)
    before, after = batch.maps["object"] == targets, edited.maps["object"] == targets
    assert torch.equal(edited.maps["edited"], after)
    elsewhere = ~(before | after)
    assert torch.equal(batch.depth[elsewhere], edited.depth[elsewhere])
    for i in range(len(batch)):
        rows = [mask[i, 0].any(1).nonzero().flatten() for mask in (before, after)]
        top, foot = [r.min().item() for r in rows], [r.max().item() for r in rows]
        if name == "object_scale":
            assert after[i].sum() < before[i].sum()
            assert top[1] >= top[0]
        elif name == "object_lift":
            assert top[1] <= top[0]
            assert foot[1] <= foot[0]
        else:
            both = (before & after)[i]
            assert both.sum() >= 0.9 * before[i].sum()
            ratio = edited.depth[i][both] / batch.depth[i][both]
            assert (ratio - level).abs().median() < 1e-5


@pytest.mark.parametrize(("name", "axis"), [("camera_pitch", 0), ("camera_roll", 2)])
def test_turning_the_camera_leaves_the_world_where_it_is(rooms, name, axis):
    degrees = 6.0
    batch = rooms.take([0])
    edited = batch.edited(name, degrees)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # rows: the new right, down, forward in the old camera's coordinates
    turn = {0: [[1, 0, 0], [0, c, s], [0, -s, c]], 2: [[c, s, 0], [-s, c, 0], [0, 0, 1]]}[axis]
    old, new = back_project(batch), np.array(turn).T @ back_project(edited)
    planes = [one.maps["plane"].flatten().numpy() for one in (batch, edited)]
    checked = 0
    for number in set(planes[0].tolist()) & set(planes[1].tolist()) - {-1}:
        here, there = planes[0] == number, planes[1] == number
        if here.sum() >= 12:
            normal = batch.maps["normal"][0].flatten(1)[:, here].numpy()[:, 0]
            heights = np.concatenate([normal @ old[:, here], normal @ new[:, there]])
            assert np.ptp(heights) < 1e-4
            checked += 1
    assert checked > 5


def back_project(batch):
    """Camera coordinates (3, H*W) of a batch of one."""
    height, width = batch.depth.shape[-2:]
    v, u = np.mgrid[:height, :width]
    pixels = np.stack([u, v, np.ones_like(u)]).reshape(3, -1)
    return np.linalg.inv(batch.intrinsics[0].double().numpy()) @ pixels * batch.depth.double().numpy().ravel()


def plain_view():
    """A wall at 4 m and a box at 2 m, seen squarely."""
    scene = Scene()
    cover, lit = scene.material(1, (0.8, 0.2, 0.1), (0.1, 0.2, 0.7)), scene.material(0, (1, 1, 1), emission=2.0)
    scene.begin("wall")
    scene.box(Frame(0, 4.1), (0, 0, 0), (20, 0.1, 20), cover)
    scene.begin("box")
    scene.box(Frame(0.3, 2.5), (0, 0, 0.2), (0.2, 0.5, 0.2), cover)
    scene.begin("lamp")
    scene.box(Frame(-0.4, 2.5), (0, 0, 0.2), (0.1, 0.5, 0.1), lit)
    scene.lamp((0, 0, 1), (3.0, 3.0, 3.0))
    scene.look((0, 0, 0), 0, 0, 0, 1.0, SIZE)
    return View(scene, pack(scene))


def test_parallel_projection_has_the_size_of_things_at_every_depth():
    view = plain_view()
    ((_, parallel),) = perspective_off(view, 1)
    image = render(parallel.scene, packed=parallel.packed)
    pixels_per_metre = parallel.scene.camera.focal[0]
    assert pixels_per_metre == pytest.approx(view.scene.camera.focal[0] / 4)  # framed at the wall
    assert set(np.unique(image.depth)) == {np.float32(2), np.float32(4)}
    width = (image.object_id == 2).any(0).sum()
    assert abs(width - 0.4 * pixels_per_metre) <= 1


def test_grey_and_unlit_images_have_known_values():
    view = plain_view()
    ((_, grey),) = texture_grey(view, 1)
    image = render(grey.scene, cues=grey.cues, packed=grey.packed)
    dull = image.object_id != 3
    assert np.abs(image.albedo[dull] - 0.5).max() == 0
    assert np.abs(image.albedo[~dull]).max() == 0  # what shines does not reflect
    ((_, flat),) = unlit(view, 1)
    image = render(flat.scene, cues=flat.cues, packed=flat.packed, smooth=False)
    c = 1.6 * image.albedo[dull]
    expected = np.sqrt(c * (1 + 0.16 * c) / (1 + c))
    assert np.abs(image.rgb[dull] / 255 - expected).max() <= 0.5001 / 255


def test_half_an_edit_is_a_cross_fade_and_edits_add_up(rooms):
    batch = rooms.take([1])
    half, full = (batch.edited("shadow_off", level).image for level in (0.5, 1))
    assert torch.allclose(half, (batch.image + full) / 2, atol=1e-6)
    both = batch.edited("texture_off").edited("shadow_off")
    turned = batch.edited("shadow_off").edited("texture_off")
    assert torch.equal(both.image, turned.image)
    assert not torch.equal(both.image, full)
    means = [batch.edited("light_gain", level).image.mean() for level in (0.5, 1, 2)]
    assert means == sorted(means)


def test_draws_differ_and_are_repeatable(rooms):
    batch = rooms.take([0])
    one, two, again = (batch.edited("texture_swap", level).image for level in (1, 2, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    with pytest.raises(ValueError, match="number of a draw"):
        batch.edited("texture_swap", 0.5)


def test_an_impossible_edit_names_the_samples_and_the_way_out(rooms):
    level = 2.5  # metres: through the ceiling
    fitting = rooms.editor.supported(rooms, "object_lift", level)
    assert len(fitting) < len(rooms)
    with pytest.raises(EditError, match=r"do not \(e\.g\. rooms-.*supported\(batch, 'object_lift', 2\.5\)"):
        rooms.edited("object_lift", level)
    with pytest.raises(ValueError, match="`level` to be in"):
        rooms.edited("texture_off", 2)
    with pytest.raises(ValueError, match="0 \\(perspective\\) or 1"):
        rooms.edited("perspective_off", 0.5)
    with pytest.raises(ValueError, match="edit that this data set offers"):
        rooms.edited("gravity_off")
