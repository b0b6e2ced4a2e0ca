"""How networks read images of any size: sizes by rule, filters, frames, and the way back."""

import math

import pytest
import torch
from torch import nn

from depthprobe.models import DepthModel, ModelCard
from depthprobe.models.reading import Reading
from depthprobe.provenance import model_identity


def slow_size(image, size, multiple, aspect):
    """The rule of MiDaS's transforms, written from its description."""
    scales = [goal / side for goal, side in zip(size, image, strict=True)]
    if aspect == "keep":  # "scale as little as possible"
        scales = [min(scales, key=lambda s: abs(1 - s))] * 2 if scales[0] != scales[1] else scales
    if aspect == "within":  # "as large as fits"
        scales = [min(scales)] * 2
    out = []
    for side, scale, goal in zip(image, scales, size, strict=True):
        whole = round(side * scale / multiple) * multiple
        if aspect == "within" and whole > goal:
            whole -= multiple
        out.append(max(whole, multiple))
    return tuple(out)


@pytest.mark.parametrize("aspect", ["stretch", "keep", "within"])
@pytest.mark.parametrize("image", [(480, 640), (375, 1242), (1242, 375), (31, 33), (518, 518), (2000, 1000)])
@pytest.mark.parametrize(("size", "multiple"), [((384, 384), 32), ((518, 518), 14), ((384, 512), 32)])
def test_sizes_follow_the_rule(aspect, image, size, multiple):
    reading = Reading(size=size, multiple=multiple, aspect=aspect)
    found = reading.canvas_size(*image)
    assert found == slow_size(image, size, multiple, aspect)
    assert reading.canvas_size(*found) == found, "what was read is read as it is"


def test_sides_are_rounded_down_or_to_the_nearest():
    assert Reading(multiple=32, rounding="down").canvas_size(95, 97) == (64, 96)
    assert Reading(multiple=32).canvas_size(95, 97) == (96, 96)
    assert Reading(multiple=32, rounding="down").canvas_size(20, 5) == (32, 32)


def test_a_card_with_two_numbers_reads_as_before():
    image = torch.rand(1, 3, 20, 31)
    for card, size in (({"size": (8, 12)}, (8, 12)), ({"multiple": 8}, (16, 32)), ({}, (20, 31))):
        model = DepthModel(nn.Identity(), ModelCard(name="n", tag="t", family="cnn", output="metric_depth", **card))
        expected = image
        if size != (20, 31):
            expected = nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
        assert torch.equal(model.canvas(image), expected)
        assert model.canvas_size(20, 31) == size
        assert "reading" not in model_identity(model)["card"], "parts measured before keep their names"


def test_another_reading_is_another_model():
    plain = ModelCard(name="n", tag="t", family="cnn", output="metric_depth")
    cubic = ModelCard(name="n", tag="t", family="cnn", output="metric_depth", reading=Reading(filter="bicubic"))
    assert model_identity(DepthModel(nn.Identity(), plain)) != model_identity(DepthModel(nn.Identity(), cubic))


def test_another_map_is_another_model_and_none_is_as_before():
    cards = [ModelCard(name="n", tag="t", family="cnn", output="metric_depth", map=map) for map in ("", "0", "1")]
    made = [model_identity(DepthModel(nn.Identity(), card))["card"] for card in cards]
    assert "map" not in made[0] and made[1] != made[2], "parts measured before keep their names"


@pytest.mark.parametrize("side", [7, 8, 9, 14, 27])
def test_a_zero_frame_is_centred_and_cut_off_again(side):
    reading = Reading(frame="zero", divisor=14)
    canvas = torch.rand(1, 1, side, 14) + 1
    framed = reading.enter(canvas)
    high = math.ceil(side / 14) * 14
    top = (high - side) // 2
    assert framed.shape[-2:] == (high, 14) == reading.input_size(side, 14)
    assert torch.equal(framed[..., top : top + side, :], canvas)
    assert framed.sum() == pytest.approx(canvas.sum().item())
    assert torch.equal(reading.leave(framed, (side, 14), (side, 14)), canvas)


def test_a_mirrored_frame_is_that_of_zoedepth():
    reading = Reading(frame="reflect")
    canvas = torch.rand(1, 3, 18, 50)
    framed = reading.enter(canvas)
    assert framed.shape[-2:] == (18 + 2 * 9, 50 + 2 * 15)  # 3 sqrt(9), 3 sqrt(25)
    assert torch.equal(framed[..., 8, 15:-15], canvas[..., 1, :]), "the edge itself is not repeated"
    assert torch.equal(reading.leave(framed, (18, 50), (18, 50)), canvas)


def test_an_image_smaller_than_its_mirror_says_so():
    with pytest.raises(ValueError, match="larger than the frame that mirrors it"):
        Reading(frame="reflect").enter(torch.rand(1, 3, 3, 30))


def test_an_inverse_answer_is_inverted_at_its_size():
    reading = Reading(inverse=True)
    answer = torch.tensor([[[[1.0, 3.0]]]])
    resized = nn.functional.interpolate(answer, (1, 4), mode="bilinear")
    assert torch.allclose(reading.leave(answer, (1, 2), (1, 4)), 1 / resized)
    assert reading.leave(torch.zeros(1, 1, 1, 1), (1, 1), (1, 1)).item() == pytest.approx(1e4)


def test_a_bicubic_filter_stays_within_the_colours_there_are():
    step = torch.zeros(1, 3, 8, 8)
    step[..., 4:] = 1
    out = Reading(size=(16, 16), filter="bicubic").canvas(step)
    assert out.min() == 0 and out.max() == 1
    beyond = nn.functional.interpolate(step, (16, 16), mode="bicubic", antialias=True)
    assert beyond.max() > 1.01, "which it would leave"


@pytest.mark.parametrize("wrong", [{"aspect": "keeps"}, {"filter": "lanczos"}, {"frame": "edge"}, {"rounding": "up"}])
def test_unknown_words_are_refused(wrong):
    with pytest.raises(ValueError, match="to be one of"):
        Reading(**wrong)
