"""Selectors: properties of every registered one, then each against a slower, plainer reference."""

import math

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import slic

from depthprobe.functional.selection import (
    SELECTORS,
    SelectorInput,
    keep_top,
    kept_count,
    rank_pixels,
    reverse_rank,
    sample_seeds,
    strict_rank,
)
from depthprobe.functional.selection_truth import surface_normals

H, W = 48, 64
BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
SEEDS = sample_seeds(["a", "b", "c"], 0)


def floor_and_box(pitch=0.0, size=(H, W), focal=60.0, eye=1.5, box_depth=3.0):
    """A floor, a wall at 8 m and a box that stands on the floor: exact depth, ids and intrinsics."""
    h, w = size
    cx, cy = (w - 1) / 2, (h - 1) / 2
    y, x = np.mgrid[:h, :w]
    ray = np.stack([(x - cx) / focal, (y - cy) / focal, np.ones((h, w))])
    up = np.array([0.0, -math.cos(pitch), -math.sin(pitch)])  # pitch > 0 looks down
    ahead = np.array([0.0, -math.sin(pitch), math.cos(pitch)])
    down = -(up @ ray.reshape(3, -1)).reshape(h, w)
    forward = (ahead @ ray.reshape(3, -1)).reshape(h, w)
    floor = np.where(down > 1e-6, eye / np.maximum(down, 1e-6), np.inf)
    wall = 8.0 / np.maximum(forward, 1e-6)
    box = box_depth / np.maximum(forward, 1e-6)
    inside = (np.abs(box * ray[0]) < 0.6) & (-box * down + eye < 0.9) & (box < floor)
    depth = np.minimum(floor, wall)
    label = np.where(floor < wall, 0, 1)
    depth, label = np.where(inside, box, depth), np.where(inside, 2, label)
    camera = torch.tensor([[[focal, 0, cx], [0, focal, cy], [0, 0, 1]]])
    return torch.from_numpy(depth).float()[None, None], torch.from_numpy(label).float()[None, None], camera


def textured(n=3, size=(H, W)):
    """Images with everything: a smooth background, a contour, a patterned quarter."""
    g = torch.Generator().manual_seed(5)
    image = torch.linspace(0.2, 0.6, size[1]).expand(n, 3, *size).clone()
    image[..., size[0] // 3 :, : size[1] // 3] += 0.3
    noise = torch.rand(n, 3, size[0] // 2, size[1] // 2, generator=g) * 0.4
    image[..., size[0] // 2 :, size[1] // 2 :] = noise
    return image.clamp(0, 1)


def everything(n=3):
    depth, label, camera = floor_and_box()
    image = textured(n)
    wave = torch.rand(n, 1, H, W, generator=torch.Generator().manual_seed(9))
    return {
        "image": image,
        "depth": depth.expand(n, -1, -1, -1).contiguous(),
        "valid": torch.ones(n, 1, H, W, dtype=torch.bool),
        "intrinsics": camera.expand(n, -1, -1).contiguous(),
        "maps": {"object": label.expand(n, -1, -1, -1).contiguous(), "rank": wave.round(decimals=1)},
        "model": tiny.attending(),
    }


def ranked(name, seeds=SEEDS, take=None, **changes):
    given_ = {**everything(), **changes}
    if take is not None:
        pick = lambda x: x[take]  # noqa: E731
        given_ = {k: {m: pick(t) for m, t in v.items()} if k == "maps" else v if k == "model" else pick(v)
                  for k, v in given_.items()}  # fmt: skip
        seeds = [seeds[i] for i in range(len(seeds))[take]]
    return rank_pixels(name, given_.pop("image"), seeds=seeds, **given_)


@pytest.fixture(params=SELECTORS.names())
def name(request):
    return request.param


def test_a_rank_is_strict_and_reverses_exactly(name):
    rank = ranked(name)
    want = torch.arange(H * W, dtype=torch.int32).expand(3, -1)
    assert torch.equal(rank.flatten(1).sort(dim=1).values, want)
    assert torch.equal(ranked(f"{name}.reversed"), H * W - 1 - rank)
    assert torch.equal(reverse_rank(reverse_rank(rank)), rank)


def test_budgets_are_exact_and_nested(name):
    rank = ranked(name)
    smaller = torch.zeros(3, 1, H, W, dtype=torch.bool)
    for budget in BUDGETS:
        keep = keep_top(rank, budget)
        assert keep.flatten(1).sum(1).tolist() == [math.ceil(round(budget * H * W, 6))] * 3
        assert not (smaller & ~keep).any()
        smaller = keep


def test_a_sample_does_not_depend_on_its_batch(name):
    whole = ranked(name)
    for i in range(3):
        assert torch.equal(ranked(name, take=slice(i, i + 1)), whole[i : i + 1])


def test_ranking_changes_nothing(name):
    given_ = everything()
    copies = {k: v.clone() for k, v in given_.items() if isinstance(v, torch.Tensor)}
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = rank_pixels(name, given_["image"], seeds=SEEDS, **{k: v for k, v in given_.items() if k != "image"})
    assert torch.equal(first, ranked(name))
    assert all(torch.equal(v, given_[k]) for k, v in copies.items())
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_what_a_selector_needs_is_asked_for_by_name(name):
    needs = SELECTORS.facts(name)["needs"]
    assert SELECTORS.facts(name)["source"]
    image = textured()
    if not needs:
        rank_pixels(name, image, seeds=SEEDS)
        return
    with pytest.raises(ValueError, match=f"selector `{name}` to get .*{needs[0]}"):
        rank_pixels(name, image, seeds=SEEDS)


# --- the order itself ------------------------------------------------------------------------------------------------


def slow_keep(score, budget, permutation):
    """The mask by sorting (score, place in the permutation) of every pixel in Python."""
    flat = score.flatten().tolist()
    place = {int(p): i for i, p in enumerate(permutation)}
    order = sorted(range(len(flat)), key=lambda i: (flat[i], place[i]), reverse=True)
    keep = torch.zeros(len(flat), dtype=torch.bool)
    keep[order[: -(-round(budget * 1000) * len(flat) // 1000)]] = True
    return keep.view(score.shape)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**40), st.integers(2, 9), st.integers(2, 9), st.sampled_from([0.001, 0.07, 0.25, 0.5, 0.999, 1]))
def test_ties_and_counts_match_a_sort_in_python(seed, h, w, budget):
    score = torch.randint(0, 4, (2, 1, h, w), generator=torch.Generator().manual_seed(seed % 1000)).float()
    rank = strict_rank(score, [seed, seed + 1])
    for i in range(2):
        ties = strict_rank(torch.zeros(1, 1, h, w), [seed + i]).flatten().argsort()
        assert torch.equal(keep_top(rank, budget)[i], slow_keep(score[i], budget, ties))


def test_floating_scores_are_kept_exactly_too():
    score = torch.zeros(2, 1, 5, 7)
    assert keep_top(score, 0.3).flatten(1).sum(1).tolist() == [11, 11]
    assert keep_top(torch.arange(35.0).view(1, 1, 5, 7), 2 / 35).flatten().nonzero().flatten().tolist() == [33, 34]


@pytest.mark.parametrize(
    ("budget", "pixels", "count"), [(0.07, 100, 7), (0.29, 100, 29), (0, 100, 0), (1, 99, 99), (0.001, 99, 1)]
)
def test_count_rounds_up_but_not_for_noise(budget, pixels, count):
    assert kept_count(budget, pixels) == count


def test_wrong_arguments_say_what_was_expected():
    image = textured()
    with pytest.raises(ValueError, match="`budget` to be in"):
        keep_top(ranked("random"), 1.5)
    with pytest.raises(ValueError, match="Did you mean `random`"):
        rank_pixels("randon", image, seeds=SEEDS)
    with pytest.raises(ValueError, match=r"one seed per image \(3\)"):
        rank_pixels("random", image, seeds=[1])
    with pytest.raises(ValueError, match="got NaN"):
        rank_pixels("rank_map", image, seeds=SEEDS, rank=torch.full((3, 1, H, W), float("nan")))


def test_seeds_follow_the_sample_id_and_the_plan_seed():
    assert sample_seeds(["a", "b"], 0) == [sample_seeds(["b", "a"], 0)[1], sample_seeds(["b"], 0)[0]]
    assert sample_seeds(["a"], 0) != sample_seeds(["a"], 1)
    random = [ranked("random", seeds=sample_seeds(["a", "b", "c"], s)) for s in (0, 0, 1)]
    assert torch.equal(random[0], random[1])
    assert not torch.equal(random[0], random[2])


def test_a_users_rank_map_is_followed():
    scores = torch.rand(3, 1, H, W, generator=torch.Generator().manual_seed(0))
    rank = rank_pixels("rank_map", textured(), seeds=SEEDS, rank=scores)
    assert torch.equal(rank.flatten(1).argsort(1), scores.flatten(1).argsort(1))


def test_a_new_selector_needs_only_a_registration():
    @SELECTORS.register("by_model", needs=("model",), source="test")
    def by_model(view: SelectorInput) -> torch.Tensor:
        with torch.enable_grad():
            image = view.image.clone().requires_grad_()
            return torch.autograd.grad(view.model(image).square().sum(), image)[0].sum(1, keepdim=True)

    try:
        with torch.no_grad():
            rank = ranked("by_model", model=lambda x: 1 + x.mean(1, keepdim=True))
        brightness = textured().mean(1).flatten(1).gather(1, rank.flatten(1).argsort(1))
        assert (brightness.diff(dim=1) > -1e-6).all()
    finally:
        del SELECTORS._items["by_model"]


# --- each selector's own promise -------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2, 3])
def test_grid_is_a_square_lattice_at_powers_of_a_quarter(level):
    period = 2**level
    keep = keep_top(ranked("grid"), 4.0**-level)[0, 0]
    y, x = keep.nonzero(as_tuple=True)
    assert len(y) == H * W // period**2
    assert len({int(v) % period for v in y}) == len({int(v) % period for v in x}) == 1


def test_grid_is_even_at_any_budget():
    keep = keep_top(ranked("grid"), 0.1)[0].float()
    counts = torch.nn.functional.avg_pool2d(keep, 16) * 256
    assert counts.min() >= 20
    assert counts.max() <= 32


@pytest.mark.parametrize("size", [4, 8, 16, 32])
def test_patches_are_whole_but_for_the_last(size):
    keep = keep_top(ranked(f"patch{size}"), 0.3)
    for one in keep[:, 0].numpy():
        blocks = [one[y : y + size, x : x + size] for y in range(0, H, size) for x in range(0, W, size)]
        assert sum(b.any() and not b.all() for b in blocks) <= 1


def test_superpixels_are_whole_but_for_the_last():
    image = textured()
    keep = keep_top(rank_pixels("superpixel", image, seeds=SEEDS, segments=40), 0.4)
    for one, mask in zip(image, keep[:, 0].numpy(), strict=True):
        label = slic(one.permute(1, 2, 0).numpy(), n_segments=40, compactness=10.0, start_label=0)
        cut = [mask[label == i].any() and not mask[label == i].all() for i in np.unique(label)]
        assert sum(cut) <= 1
        assert len(cut) > 20


def test_image_edges_follow_scipys_sobel():
    image = textured().double()
    gray = (0.299 * image[:, 0] + 0.587 * image[:, 1] + 0.114 * image[:, 2]).numpy()
    want = np.hypot(*(np.stack([ndimage.sobel(g, axis=a, mode="nearest") for g in gray]) for a in (0, 1)))
    rank = rank_pixels("image_edges", image, seeds=SEEDS)
    ordered = np.take_along_axis(want.reshape(3, -1), rank.flatten(1).argsort(1).numpy(), 1)
    assert (np.diff(ordered) >= -1e-12).all()


def test_canny_starts_on_the_contour_and_widens():
    image = torch.full((1, 3, H, W), 0.2)
    image[..., 20:] = 0.8
    keep = keep_top(rank_pixels("canny", image, seeds=[1]), (H - 8) / (H * W))[0, 0]
    assert set(keep.nonzero()[:, 1].tolist()) <= {19, 20}
    wide = keep_top(rank_pixels("canny", image, seeds=[1]), 0.2)[0, 0]
    assert (wide.nonzero()[:, 1] - 20).abs().max() <= 8


def test_texture_prefers_the_pattern_and_smooth_the_rest():
    quarter = torch.zeros(H, W, dtype=torch.bool)
    quarter[H // 2 :, W // 2 :] = True
    texture, smooth = keep_top(ranked("texture"), 0.15), keep_top(ranked("smooth"), 0.3)
    assert (texture & quarter).sum() / texture.sum() > 0.95
    assert (smooth & quarter).sum() / smooth.sum() < 0.02


def test_a_lone_contour_is_neither_texture_nor_smooth():
    image = torch.full((1, 3, H, W), 0.2) + 0.02 * torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(1))
    image[..., 30:] += 0.5
    for name in ("texture", "smooth"):
        column = keep_top(rank_pixels(name, image, seeds=[1]), 0.2)[0, 0].nonzero()[:, 1]
        assert ((column - 30).abs() <= 2).sum() == 0


def test_depth_edges_are_found_where_planted():
    depth = torch.full((1, 1, H, W), 2.0)
    depth[..., 10:20, 30:50] = 1.0
    depth[..., 40:, :5] = 1.7
    keep = keep_top(rank_pixels("depth_edges", torch.zeros(1, 3, H, W), seeds=[0], depth=depth), 116 / (H * W))[0, 0]
    box = torch.zeros(H, W, dtype=torch.bool)
    box[9:21, 30:50] = box[10:20, 29:51] = True
    box[11:19, 31:49] = False
    assert torch.equal(keep, box)  # the stronger step (ratio 2) comes first


def test_depth_edges_ignore_invalid_pixels():
    depth, valid = torch.full((1, 1, H, W), 2.0), torch.ones(1, 1, H, W, dtype=torch.bool)
    depth[..., 5, 5], valid[..., 5, 5] = 1e-9, False
    depth[..., 40:, 40:] = 3.0
    keep = keep_top(rank_pixels("depth_edges", torch.zeros(1, 3, H, W), seeds=[0], depth=depth, valid=valid), 0.01)
    assert keep[0, 0].nonzero().min() >= 39


def test_object_interiors_keep_each_objects_core_and_leave_boundaries_for_last():
    label = everything(1)["maps"]["object"]
    rank = rank_pixels("object_interiors", torch.zeros(1, 3, H, W), seeds=[0], maps={"object": label})
    early, late = keep_top(rank, 0.05)[0, 0], keep_top(reverse_rank(rank), 0.05)[0, 0]
    assert set(label[0, 0][early].tolist()) == {0.0, 1.0, 2.0}
    grown = ndimage.grey_dilation(label[0, 0].numpy(), size=3) != ndimage.grey_erosion(label[0, 0].numpy(), size=3)
    assert torch.from_numpy(grown)[late].all()
    assert not torch.from_numpy(grown)[early].any()


@pytest.mark.parametrize("pitch", [-0.1, 0.0, 0.15])
def test_the_horizon_lies_where_the_camera_puts_it(pitch):
    depth, _, camera = floor_and_box(pitch)
    rank = rank_pixels("horizon", torch.zeros(1, 3, H, W), seeds=[0], depth=depth, intrinsics=camera)
    row = (H - 1) / 2 - 60 * math.tan(pitch)  # looking down moves the horizon up
    found = keep_top(rank, 0.06)[0, 0].nonzero()[:, 0].double().mean()
    assert abs(float(found) - row) < 0.75


def test_without_a_floor_the_view_counts_as_level():
    wall = torch.full((1, 1, H, W), 4.0)
    rank = rank_pixels(
        "horizon", torch.zeros(1, 3, H, W), seeds=[0], depth=wall, intrinsics=everything(1)["intrinsics"]
    )
    assert set(keep_top(rank, 2 / H)[0, 0].nonzero()[:, 0].tolist()) == {H // 2 - 1, H // 2}


def test_ground_contact_is_the_foot_of_the_box():
    depth, label, camera = floor_and_box(size=(96, 128), focal=80.0)
    image = torch.zeros(1, 3, 96, 128)
    rank = rank_pixels("ground_contact", image, seeds=[0], depth=depth, intrinsics=camera, maps={"object": label})
    rows = (label[0, 0] == 2).nonzero()
    foot = int(rows[:, 0].max())
    kept = keep_top(rank, 0.004)[0, 0].nonzero()
    wall_foot = int((label[0, 0] == 1).nonzero()[:, 0].max())
    assert wall_foot < foot < 95
    assert {int(y) for y in kept[:, 0]} <= {foot, foot + 1, wall_foot, wall_foot + 1}
    assert set(label[0, 0][kept[:, 0], kept[:, 1]].tolist()) == {0.0, 1.0, 2.0}


def test_normals_of_a_plane_are_the_planes():
    depth, label, camera = floor_and_box(0.1, size=(96, 128), focal=120.0)
    normal = surface_normals(depth, camera)[0]
    inner = torch.from_numpy(ndimage.binary_erosion((label[0, 0] == 0).numpy(), iterations=2, border_value=0))
    want = torch.tensor([0.0, -math.cos(0.1), -math.sin(0.1)])
    assert (normal[:, inner] - want[:, None]).abs().max() < 2e-3
