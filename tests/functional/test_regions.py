"""Regions: planted edges, textures and depths are found where they were put."""

import pytest
import torch

from depthprobe.functional.regions import REGIONS, regions

H, W = 40, 60


def scene():
    """A box in front of a plane (depth edge), a stripe painted on the plane (texture), sides split by depth."""
    depth = torch.linspace(2.0, 2.2, W).expand(2, 1, H, W).clone()
    depth[..., 10:30, 5:20] = 1.0
    image = torch.full((2, 3, H, W), 0.5)
    image[..., 10:30, 5:20] = 0.8
    image[..., 40:42] = 0.1
    return image, depth, torch.ones(2, 1, H, W, dtype=torch.bool)


@pytest.mark.parametrize("name", REGIONS.names())
def test_regions_are_inside_valid_and_independent_of_the_batch(name):
    image, depth, valid = scene()
    valid[..., :5, :] = False
    whole = regions(image, depth, valid)[name]
    assert whole.dtype == torch.bool
    assert whole.shape == valid.shape
    assert not (whole & ~valid).any()
    assert whole.any()
    assert torch.equal(regions(image[1:], depth[1:], valid[1:])[name], whole[1:])
    depth[..., :5, :] = 1e-9  # what is invalid has no effect
    assert torch.equal(regions(image, depth, valid)[name], whole)
    assert REGIONS.facts(name)["source"]


def test_the_depth_edge_is_both_sides_of_the_box():
    edge = regions(*scene())["depth_edge"][0, 0]
    box = torch.zeros(H, W, dtype=torch.bool)
    box[9:31, 5:20] = box[10:30, 4:21] = True
    box[11:29, 6:19] = False
    assert torch.equal(edge, box)


def test_a_ratio_below_a_tenth_is_no_edge():
    image, depth, valid = scene()
    depth[..., 10:30, 5:20] = depth[..., 10:30, 5:20] * 0 + 1.95
    assert not regions(image, depth, valid)["depth_edge"].any()


def test_paint_is_texture_and_the_box_is_not():
    texture = regions(*scene())["texture_edge"][0, 0]
    assert set(texture.nonzero()[:, 1].tolist()) == {39, 40, 41, 42}
    assert texture[:, 39:43].float().mean() == 1


def test_flat_is_far_from_every_edge():
    flat = regions(*scene())["flat"][0, 0]
    assert flat[:, 46:].all()
    assert flat[15:25, 10:15].all()
    assert not flat[:, 36:46].any()
    assert not flat[10:30, 2:9].any()


def test_depth_bands_split_every_image_in_three():
    image, depth, valid = scene()
    depth = 1 + torch.rand(2, 1, H, W, generator=torch.Generator().manual_seed(0))
    depth[1] *= 10
    found = regions(image, depth, valid)
    bands = torch.stack([found[name] for name in ("near", "mid", "far")])
    assert (bands.sum(0) == 1).all()
    assert torch.allclose(bands.float().mean((2, 3, 4)), torch.full((3, 2), 1 / 3), atol=1e-3)
    for i in range(2):
        assert depth[i][found["near"][i]].max() <= depth[i][found["mid"][i]].min()
        assert depth[i][found["mid"][i]].max() <= depth[i][found["far"][i]].min()


def test_no_valid_pixel_is_no_region():
    image, depth, valid = scene()
    assert not any(r.any() for r in regions(image, depth, ~valid).values())
