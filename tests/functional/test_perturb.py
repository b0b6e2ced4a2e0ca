"""Image-space edits: properties of every registered one, then what each keeps and changes."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from depthprobe.data.batch import Batch
from depthprobe.functional.filters import gaussian_blur, luminance
from depthprobe.functional.perturb import PERTURBATIONS

H, W = 30, 40


def pictures(n=2):
    smooth = gaussian_blur(torch.rand(n, 3, H, W, generator=torch.Generator().manual_seed(1)), 1.5)
    return ((smooth - 0.5) * 3 + 0.5).clamp(0.02, 0.98)


def middle(name):
    """A level inside the span that is not the identity."""
    low, high = PERTURBATIONS.facts(name)["span"]
    return 3.0 if name == "patch_shuffle" else 0.7 * low + 0.3 * high


@pytest.fixture(params=PERTURBATIONS.names())
def name(request):
    return request.param


def test_the_identity_level_changes_nothing_and_others_do(name):
    image = pictures()
    assert torch.equal(PERTURBATIONS[name](image, PERTURBATIONS.facts(name)["identity"]), image)
    assert (PERTURBATIONS[name](image, middle(name)) - image).abs().mean() > 1e-3
    assert all(PERTURBATIONS.facts(name)[fact] for fact in ("unit", "source", "keeps", "span"))


def test_shape_range_and_dtype_stay(name):
    image = pictures()
    for level in (*PERTURBATIONS.facts(name)["span"], middle(name)):
        out = PERTURBATIONS[name](image, level)
        assert out.shape == image.shape
        assert out.dtype == image.dtype
        assert (out.min() >= 0) & (out.max() <= 1)
        assert out.isfinite().all()


def test_edits_are_pure_and_independent_of_the_batch(name):
    image, state = pictures(), torch.get_rng_state()
    edit, level = PERTURBATIONS[name], middle(name)
    whole = edit(image, level)
    assert torch.equal(whole, edit(image, level, seed=0))
    assert torch.allclose(whole[1:], edit(image[1:], level), atol=1e-6)
    assert torch.equal(image, pictures())
    assert torch.equal(torch.get_rng_state(), state)


RANDOM = {
    *("patch_shuffle", "palette_swap", "colour_jitter", "gaussian_noise", "shot_noise", "impulse_noise"),
    *("speckle_noise", "motion_blur", "fog_overlay"),
}


def test_only_the_random_ones_follow_the_seed(name):
    image = pictures()
    outs = [PERTURBATIONS[name](image, middle(name), seed=s) for s in range(6)]
    assert any(not torch.equal(outs[0], out) for out in outs[1:]) == (name in RANDOM)


def test_a_level_without_meaning_is_refused(name):
    with pytest.raises(ValueError, match="`level` to be"):
        PERTURBATIONS[name](pictures(), -1.0)
    with pytest.raises(ValueError, match="`level` to be"):
        PERTURBATIONS[name](pictures(), math.nan)


def test_a_batch_offers_them_and_keeps_its_depth(name):
    image = pictures()
    depth = torch.rand(2, 1, H, W) + 1
    batch = Batch(image=image, depth=depth, valid=depth > 0, sample=("a", "b"), group=("a", "b"))
    edited = batch.edited(name, middle(name))
    assert edited.depth is depth
    assert edited.sample == batch.sample
    assert not torch.equal(edited.image, image)


def test_low_pass_is_scipys_gaussian():
    image = pictures().double()
    want = ndimage.gaussian_filter(image.numpy(), (0, 0, 2.0, 2.0), mode="reflect", truncate=4.0)
    assert np.allclose(PERTURBATIONS["low_pass"](image, 2.0).numpy(), want, atol=1e-9)


def test_low_pass_and_high_pass_split_the_image():
    image = (pictures() - 0.5) * 0.3 + 0.5
    low, high = PERTURBATIONS["low_pass"](image, 2.0), PERTURBATIONS["high_pass"](image, 2.0)
    assert torch.allclose(low + high - image.mean((-2, -1), keepdim=True), image, atol=1e-5)


@pytest.mark.parametrize("name", ["low_pass", "high_pass"])
def test_filters_tend_to_their_limits(name):
    image = pictures()
    assert torch.allclose(PERTURBATIONS[name](image, 400.0), PERTURBATIONS[name](image, math.inf), atol=0.02)


def test_phase_only_keeps_the_phase_and_flattens_the_amplitude():
    image = (pictures().double() - 0.5) * 0.1 + 0.5  # far from the clamp
    out = PERTURBATIONS["phase_only"](image, 1.0)
    before, after = (torch.fft.rfft2(x - x.mean((-2, -1), keepdim=True))[..., 1:, 1:-1] for x in (image, out))
    assert torch.allclose(torch.cos(before.angle() - after.angle()), torch.ones_like(after.real), atol=1e-6)
    spread = [x.abs().std((-2, -1)) / x.abs().mean((-2, -1)) for x in (before, after)]
    assert spread[0].min() > 0.5
    assert spread[1].max() < 1e-6
    assert torch.allclose(out.mean((-2, -1)), image.mean((-2, -1)))
    assert torch.allclose(out.std((-2, -1)), image.std((-2, -1)))


def test_patch_shuffle_moves_whole_patches():
    image = pictures(1)
    out = PERTURBATIONS["patch_shuffle"](image, 4)  # 7 x 10 patches; two rows are left over
    before = [image[..., 7 * i : 7 * i + 7, 10 * j : 10 * j + 10] for i in range(4) for j in range(4)]
    after = [out[..., 7 * i : 7 * i + 7, 10 * j : 10 * j + 10] for i in range(4) for j in range(4)]
    source = [[k for k, b in enumerate(before) if torch.equal(a, b)] for a in after]
    assert sorted(k for (k,) in source) == list(range(16))
    assert [k for (k,) in source] != list(range(16))
    assert torch.equal(out[..., 28:, :], image[..., 28:, :])
    with pytest.raises(ValueError, match="whole number"):
        PERTURBATIONS["patch_shuffle"](image, 2.5)


def test_palette_swap_is_a_rotation_of_the_channels():
    image = pictures()
    outs = [PERTURBATIONS["palette_swap"](image, 1.0, seed=s) for s in range(8)]
    turns = [[t for t in (0, 1, 2) if torch.allclose(out, image.roll(t, 1), atol=1e-6)] for out in outs]
    assert {t for (t,) in turns} == {1, 2}


def test_grayscale_and_saturation_meet_at_grey():
    image = pictures()
    gray = PERTURBATIONS["grayscale"](image, 1.0)
    assert torch.allclose(gray, PERTURBATIONS["saturation"](image, 0.0), atol=1e-6)
    assert torch.allclose(luminance(gray), luminance(image), atol=1e-6)


def test_pointwise_edits_do_what_they_say():
    image = pictures()
    assert torch.allclose(PERTURBATIONS["brightness"](image, 0.5), image / 2)
    assert torch.allclose(PERTURBATIONS["gamma"](image, 2.0), image**2)
    assert torch.allclose(PERTURBATIONS["contrast"](image, 0.5).std((-2, -1)), image.std((-2, -1)) / 2)
    noise = PERTURBATIONS["gaussian_noise"](torch.full((1, 3, 99, 99), 0.5), 0.1) - 0.5
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02)
    jitter = [PERTURBATIONS["colour_jitter"](torch.full((1, 3, 4, 4), 0.5), 1.0, seed=s) for s in range(3)]
    assert all(torch.allclose(j, torch.full_like(j, 0.5)) for j in jitter)  # mid-grey is fixed
