"""Corruptions: against plain definitions; that nothing moves; severities."""

import io
import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image

from depthprobe.functional.corruption import corruptions, severity_level
from depthprobe.functional.filters import gaussian_blur
from depthprobe.functional.perturb import PERTURBATIONS

H, W = 40, 56


def picture():
    smooth = gaussian_blur(torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(1)), 1.5)
    return ((smooth - 0.5) * 3 + 0.5).clamp(0.02, 0.98)


@pytest.mark.parametrize("name", corruptions())
def test_severities_grow_and_scale_with_the_image(name):
    size = (224, 300)
    change = []
    big = gaussian_blur(torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(2)), 1.0)
    big = ((big - 0.5) * 4 + 0.5).clamp(0, 1)
    for severity in (1, 2, 3, 4, 5):
        level = severity_level(name, severity, size)
        assert level == PERTURBATIONS.facts(name)["severities"][severity - 1]
        half = severity_level(name, severity, (112, 112))
        assert half == (level / 2 if PERTURBATIONS.facts(name)["unit"] == "px" else level)
        change.append(float((PERTURBATIONS[name](big, half) - big).square().mean()))
    assert change[-1] > change[0]
    assert sum(b > a for a, b in itertools.pairwise(change)) >= 3, change


@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur", "low_pass"])
def test_blurs_leave_a_point_where_it_is(name):
    point = torch.zeros(1, 3, 41, 41)
    point[..., 20, 20] = 1.0
    out = PERTURBATIONS[name](point, 7.0, seed=3)[0, 0].double()
    y, x = torch.meshgrid(torch.arange(41.0), torch.arange(41.0), indexing="ij")
    assert float(out.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float((out * y).sum()) == pytest.approx(20, abs=1e-3)
    assert float((out * x).sum()) == pytest.approx(20, abs=1e-3)
    if name == "defocus_blur":
        assert int((out > 0).sum()) == pytest.approx(math.pi * 7.5**2, rel=0.06)
    if name == "motion_blur":
        along = math.sqrt(float((out * ((x - 20) ** 2 + (y - 20) ** 2)).sum()))
        assert along == pytest.approx(7 / math.sqrt(12), rel=0.1)


def test_shot_noise_has_the_moments_of_counting():
    flat = torch.full((1, 3, 128, 128), 0.4)
    out = PERTURBATIONS["shot_noise"](flat, 50.0)
    assert float(out.mean()) == pytest.approx(0.4, rel=0.01)
    assert float(out.var()) == pytest.approx(0.4 / 50, rel=0.05)
    assert torch.allclose((out * 50), (out * 50).round(), atol=1e-4)


def test_impulse_and_speckle_noise():
    flat = torch.full((1, 3, 128, 128), 0.4)
    out = PERTURBATIONS["impulse_noise"](flat, 0.2)
    assert float((out == 0).float().mean()) == pytest.approx(0.1, abs=0.01)
    assert float((out == 1).float().mean()) == pytest.approx(0.1, abs=0.01)
    assert float(PERTURBATIONS["speckle_noise"](flat, 0.2).std()) == pytest.approx(0.08, rel=0.03)
    assert (PERTURBATIONS["speckle_noise"](flat * 0, 0.2) == 0).all()


def test_jpeg_is_the_codec():
    image = picture()
    out = PERTURBATIONS["jpeg"](image, 75.0)
    pixels = (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=25)
    want = np.asarray(Image.open(file))
    assert np.array_equal((out[0] * 255).round().byte().permute(1, 2, 0).numpy(), want)


def test_pixelate_gives_blocks_of_their_mean():
    image = torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(0))
    out = PERTURBATIONS["pixelate"](image, 0.25)
    for y, x in ((0, 0), (4, 8), (36, 52)):
        block = image[..., y : y + 4, x : x + 4].mean((-2, -1), keepdim=True)
        assert torch.allclose(out[..., y : y + 4, x : x + 4], block.expand(-1, -1, 4, 4), atol=1e-6)


def test_lighten_keeps_hue_and_saturation():
    image = picture() * 0.6
    out = PERTURBATIONS["lighten"](image, 0.2)
    assert torch.allclose(out.amax(1), image.amax(1) + 0.2, atol=1e-6)
    assert torch.allclose(out / out.amax(1, keepdim=True), image / image.amax(1, keepdim=True), atol=1e-5)
    assert torch.allclose(PERTURBATIONS["lighten"](image * 0, 0.2), torch.full_like(image, 0.2))


def test_fog_is_one_cloud_over_all_channels_scaled_back_to_the_maximum():
    image = picture()
    top = image.amax()
    cloud = (PERTURBATIONS["fog_overlay"](image, 2.0) * (top + 2) / top - image) / 2
    assert torch.allclose(cloud, cloud[:, :1].expand_as(cloud), atol=1e-5)
    assert float(cloud.min()) == pytest.approx(0, abs=1e-5) and float(cloud.max()) == pytest.approx(1, abs=1e-5)
    assert float(PERTURBATIONS["fog_overlay"](image, 2.0).amax()) <= float(top) + 1e-6
    fine = (cloud - gaussian_blur(cloud, 2.0)).std()
    assert fine < 0.3 * cloud.std(), "a cloud is coarse"


def test_unknown_severities_are_refused():
    with pytest.raises(ValueError, match="a corruption with severities"):
        severity_level("palette_swap", 1, (8, 8))
    with pytest.raises(ValueError, match="`severity` to be one of"):
        severity_level("jpeg", 6, (8, 8))
