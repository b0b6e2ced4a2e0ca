"""The protocol's crop in the sparse probe: what is not judged is kept last, and the colour of the fill `mean`."""

import dataclasses

import numpy as np
import pytest
import tiny
import torch
from sparse_cases import SMALL, H, W, batch, network, one, value

from depthprobe.data import stack
from depthprobe.functional.geometry import crop_mask
from depthprobe.functional.protocol import Protocol
from depthprobe.functional.regions import regions
from depthprobe.functional.selection import SELECTORS, rank_pixels
from depthprobe.models import ModelCard, load_model
from depthprobe.models.adapter import IMAGENET_MEAN
from depthprobe.probes.sparse import SparsePlan, sparse
from depthprobe.probes.sparse_jobs import Canvas, Masker
from depthprobe.probes.sparse_maps import sparse_maps
from depthprobe.probes.sparse_plan import REVERSED, Job

BOX = (4, H - 4, 5, W - 5)
CROPPED = Protocol(name="cropped", crop=BOX, frame=(H, W), metrics=("abs_rel", "rmse"))
PLAIN = dataclasses.replace(CROPPED, crop=None, frame=None)
INSIDE = crop_mask((H, W), BOX, (H, W))
SHARE = float(INSIDE.double().mean())


def framed(n=2):
    """Dull images in a bright frame outside the crop: the strongest edges by far are the frame's."""
    data = batch(n)
    image = 0.4 + 0.1 * data.image
    image[..., :2, :], image[..., -2:, :], image[..., :2], image[..., -2:] = 1, 1, 1, 1
    return data.replace(image=image)


def masker(protocol, data, model=None):
    model = model or network()
    return Masker(model, Canvas.of(model, data, 0, protocol), 8)


def kept(some, selector, budget):
    return some.keep([Job(i, selector, "mean", budget) for i in range(2)])[:, 0]


@pytest.mark.parametrize("selector", ["image_edges", "image_edges.reversed", "random", "texture"])
def test_a_bright_frame_outside_the_crop_is_kept_last(selector):
    cropped, plain = masker(CROPPED, framed()), masker(None, framed())
    for budget in (0.02, 0.2, SHARE):
        assert not (kept(cropped, selector, budget) & ~INSIDE).any()
        if selector == "image_edges":
            assert (kept(plain, selector, 0.02) & ~INSIDE).flatten(1).sum(1).min() > 10  # what the crop is for
    assert (kept(cropped, selector, SHARE) == INSIDE).all()
    beyond = kept(cropped, selector, SHARE + 0.1)
    assert (beyond | ~INSIDE).all()
    assert (beyond & ~INSIDE).any(2).any(1).all()


@pytest.mark.parametrize("selector", SELECTORS.names())
@pytest.mark.parametrize("suffix", ["", REVERSED])
def test_the_order_within_and_outside_the_crop_stays(selector, suffix):
    model = tiny.attending()
    found, plain = (masker(p, framed(), model).rank(0, selector + suffix).flatten() for p in (CROPPED, PLAIN))
    assert found.dtype == plain.dtype
    assert torch.equal(found.sort().values, torch.arange(H * W, dtype=found.dtype))
    inside = INSIDE.flatten()
    for part in (inside, ~inside):
        assert torch.equal(found[part].argsort(), plain[part].argsort())
    assert found[inside].min() > found[~inside].max()


def test_without_a_crop_ranks_are_those_of_the_selector():
    data = framed()
    whole = dataclasses.replace(CROPPED, crop=(0, H, 0, W))
    for protocol in (None, PLAIN, whole):
        canvas = Canvas.of(network(), data, 0, protocol)
        assert canvas.domain.shape == data.valid.shape
        assert canvas.domain.all()
        want = rank_pixels("image_edges", data.image, seeds=canvas.seeds)
        found = Masker(network(), canvas, 8)
        for i in range(2):
            assert torch.equal(found.rank(i, "image_edges"), want[i : i + 1])
            assert torch.equal(found.rank(i, "image_edges.reversed"), H * W - 1 - want[i : i + 1])
    tables = [sparse(network(), data, dataclasses.replace(SMALL, protocol=p)) for p in (PLAIN, whole)]
    assert tables[0].equals(tables[1])


def test_the_domain_follows_the_image_to_the_canvas():
    model = network(size=(H // 2, W // 2))
    data = stack([one(i, (2 * H, 2 * W)) for i in range(2)])
    domain = Canvas.of(model, data, 0, CROPPED).domain
    want = crop_mask((2 * H, 2 * W), BOX, (H, W))[2::4, 2::4]  # the box is scaled to the image, then thinned out
    assert domain.dtype == torch.bool
    assert torch.equal(domain, want.expand(2, 1, -1, -1))


def test_places_are_counted_inside_the_crop_only():
    data = framed()
    plan = dataclasses.replace(SMALL, protocol=CROPPED, budgets=(0.05, 1.0), selectors=("random",), reverse=())
    table, base = sparse(network(), data, plan), data.valid & INSIDE
    for name, region in regions(data.image, data.depth, base).items():
        want = region.flatten(1).sum(1) / base.flatten(1).sum(1)
        assert np.allclose(value(table, metric=f"share@{name}", level=1.0), want)
    assert np.allclose(value(table, metric="enrichment@flat", level=1.0), 1)


def test_galleries_show_the_same_order():
    plan = dataclasses.replace(SMALL, protocol=CROPPED)
    for entry in sparse_maps(network(), framed(), plan):
        assert not entry["keep"][~INSIDE.numpy()].any()


def test_a_crop_of_another_aspect_is_refused():
    with pytest.raises(ValueError, match="aspect"):
        sparse(network(), batch(1), SparsePlan(protocol=dataclasses.replace(CROPPED, frame=(W, H))))


# --- the colour of the fill `mean` -----------------------------------------------------------------------------------


def test_the_colour_of_no_information_is_never_black_by_accident():
    card = ModelCard(name="a", tag="b", family="cnn", output="metric_depth", mean=(0.5, 0.4, 0.0))
    assert card.fill == (0.5, 0.4, 0.0)
    assert dataclasses.replace(card, mean=(0.0, 0.0, 0.0)).fill == IMAGENET_MEAN
    model = load_model("oracle:brightness")
    assert not any(model.card.mean)
    image = masker(None, batch(2), model).masked([Job(0, "random", "mean", 1 / (H * W))])
    grey = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    assert (image == grey).all(1).sum() == H * W - 1
