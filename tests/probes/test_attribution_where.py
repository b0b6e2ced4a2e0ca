"""Where an attribution lies: shares and enrichments by region, against planted scores and plain loops."""

import dataclasses

import numpy as np
import pytest
import torch
from sparse_cases import batch, value

from depthprobe.data import Batch, load_dataset
from depthprobe.functional.regions import REGIONS
from depthprobe.models import load_model
from depthprobe.probes.attribution import AttributionPlan, attribution
from depthprobe.probes.attribution_where import LEAST, Places
from depthprobe.probes.sparse_jobs import Canvas

LINES = ("ground_contact", "horizon")


@pytest.fixture(scope="module")
def canvas():
    scenes = load_dataset("scenes", kind="rooms", n=3, size=(48, 64), batch_size=3)
    return Canvas.of(load_model("oracle:linear"), next(iter(scenes)), 0)


def found(places, score):
    return {m.metric: m.value.numpy() for m in places.measured(score)}


def test_the_same_everywhere_is_no_enrichment_anywhere(canvas):
    got = found(Places.of(canvas), torch.full_like(canvas.depth, 0.3))
    assert {name.partition("@")[2] for name in got} == {*REGIONS.names(), *LINES}
    for name, values in got.items():
        if name.startswith("enrichment"):
            assert np.allclose(values[np.isfinite(values)], 1)


def test_shares_are_those_of_plain_loops_over_the_pixels(canvas):
    places = Places.of(canvas)
    score = torch.rand(canvas.depth.shape, generator=torch.Generator().manual_seed(1))
    got = found(places, score)
    for name, region in places.regions.items():
        for i in range(len(score)):
            inside = total = pixels = judged = 0.0
            for s, r, b in zip(score[i].flatten(), region[i].flatten(), places.base[i].flatten(), strict=True):
                total, judged = total + float(s) * bool(b), judged + bool(b)
                inside, pixels = inside + float(s) * bool(r), pixels + bool(r)
            assert got[f"share@{name}"][i] == pytest.approx(inside / total)
            assert np.isfinite(got[f"enrichment@{name}"][i]) == (pixels >= LEAST * judged)
            if pixels >= LEAST * judged:
                assert got[f"enrichment@{name}"][i] == pytest.approx(inside / total * judged / pixels)


@pytest.mark.parametrize("name", [*REGIONS.names(), *LINES])
def test_an_attribution_to_one_region_lies_there_whatever_lies_outside_what_is_judged(canvas, name):
    half = torch.zeros_like(canvas.domain)
    half[..., : half.shape[-1] // 2] = True
    places = Places.of(dataclasses.replace(canvas, domain=half))
    region = places.regions[name]
    got = found(places, region.float() + 100.0 * ~half)
    some = (region.sum((1, 2, 3)) >= LEAST * (half & canvas.valid).sum((1, 2, 3))).numpy()
    assert some.any()
    assert np.allclose(got[f"share@{name}"][some], 1)
    area = (half & canvas.valid).sum((1, 2, 3)) / region.sum((1, 2, 3))
    assert np.allclose(got[f"enrichment@{name}"][some], area.numpy()[some])
    assert np.isnan(got[f"enrichment@{name}"][~some]).all()


def test_the_lines_lie_where_the_geometry_says():
    """Level ground 1.5 m below a level camera, and a wall whose foot is at row 30 of 48: the horizon is at row 20."""
    height, width, focal, row, foot = 48, 64, 40.0, 20.0, 30
    y = torch.arange(height).view(-1, 1).expand(-1, width)
    ground = 1.5 * focal / (y - row).clamp_min(0.5)
    depth = torch.where(y >= foot, ground, 1.5 * focal / (foot - row))[None, None]
    camera = torch.tensor([[[focal, 0, 31.5], [0, focal, row], [0, 0, 1]]])
    seen = Batch(
        image=torch.rand(1, 3, height, width), depth=depth, valid=torch.ones_like(depth, dtype=torch.bool),
        intrinsics=camera, maps={"object": (y < foot).float()[None, None]}, sample=("a",), group=("a",),
    )  # fmt: skip
    places = Places.of(Canvas.of(load_model("oracle:linear"), seen, 0))
    rows = {name: places.regions[name][0, 0].all(1).nonzero()[:, 0].tolist() for name in LINES}
    assert rows == {"horizon": list(range(16, 25)), "ground_contact": list(range(26, 34))}
    for name in LINES:
        assert int(places.regions[name].sum()) == width * len(rows[name])


def test_an_image_without_objects_has_no_ground_contact(canvas):
    bare = {**canvas.maps, "object": torch.zeros_like(canvas.maps["object"])}
    region = Places.of(dataclasses.replace(canvas, maps=bare)).regions["ground_contact"]
    assert not region.any()


def test_the_probe_states_it_for_methods_alone_and_only_if_asked():
    plan = AttributionPlan(
        methods=("saliency",), targets=("mean",), metrics=("mae",), curves=("deletion",), shares=(0.5,), checks=(),
        randomise=(),
    )  # fmt: skip
    model = load_model("oracle:linear")
    table = attribution(model, batch(2), plan)
    placed = table[table["metric"].str.startswith(("share@", "enrichment@"))]
    assert set(placed["factor"]) == {"saliency"}
    assert {m.partition("@")[2] for m in placed["metric"]} == {*REGIONS.names(), *LINES}
    assert ((value(placed, metric="share@flat") > 0) & (value(placed, metric="share@flat") <= 1)).all()
    blind = attribution(model, batch(2).replace(intrinsics=None, maps={}), plan)
    assert {m.partition("@")[2] for m in blind["metric"] if m.startswith("share@")} == set(REGIONS.names())
    without = attribution(model, batch(2), dataclasses.replace(plan, where=False))
    assert not without["metric"].str.startswith(("share@", "enrichment@")).any()
