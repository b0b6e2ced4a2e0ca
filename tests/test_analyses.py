"""Studies run in quick form, and their probes find planted answers first."""

import dataclasses
import sys
from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # studies are not part of the installed package

from analyses import a01_sparse_pixels
from analyses.common import planted_support

TINY = ("timm:test_convnext?size=96x128", "timm:test_vit?size=96x128")


def test_planted_support_is_recovered():
    found = planted_support(n=2, share=0.05)
    change = found.set_index(["factor", "level", "factor2"])["estimate"]
    for fill, least in {"mean": 0.02, "blur": 0.001}.items():
        assert change["rank_map", 0.05, fill] == 0
        assert change["rank_map.reversed", 0.95, fill] > least
        assert 0 < change["random", 0.95, fill] < change["rank_map.reversed", 0.95, fill]


def test_one_network_cannot_be_compared():
    with pytest.raises(ValueError, match="at least two networks"):
        a01_sparse_pixels.main(quick=True, models=(TINY[0], "oracle:row"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return a01_sparse_pixels.main(quick=True, models=TINY, out=tmp_path_factory.mktemp("a01"))


def test_the_verdict_is_measured_and_cautious(study):
    said = "\n".join(study["verdict"])
    areas = study["estimates"]["scenes"].areas
    assert len(areas) == len(study["estimates"]["scenes"].own_areas) == len(a01_sparse_pixels.FILLS) * 3
    assert "over 3 selectors and 2 fills" in said
    assert "has the smaller error than" in said
    assert "Against its own full-image answer" in said
    assert all(caution in said for caution in a01_sparse_pixels.CAUTIONS)


def test_figures_come_as_vector_picture_and_data(study):
    stems = {p.with_suffix("") for p in study["figures"]}
    assert {s.name for s in stems} == {"a01_curves_scenes", "a01_compare", "a01_where", "a01_gallery"}
    for stem in stems:
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert matplotlib.image.imread(stem.with_suffix(".png")).std() > 0
        assert len(pd.read_csv(stem.with_suffix(".csv")))


def test_the_figure_draws_the_estimates(study):
    stem = next(p for p in study["figures"] if p.name == "a01_compare.csv")
    cell = ["metric", "factor", "factor2"]
    drawn = pd.read_csv(stem).set_index(cell)["estimate"]
    one = study["estimates"]["scenes"]
    want = pd.concat([one.areas, one.own_areas]).set_index(cell)["estimate"]
    assert len(drawn) == 12
    assert drawn.to_dict() == pytest.approx(want.to_dict(), rel=1e-6)


def test_the_page_stands_beside_the_run(study):
    assert (study["sources"]["scenes"].out / "report.html").is_file()


@pytest.mark.parametrize("draw", [a01_sparse_pixels.compared, a01_sparse_pixels.places])
def test_no_mark_lies_outside_its_panel(study, draw):
    figure, frame = draw(study["sources"], study["estimates"])
    for ax in figure.axes:
        low, high = ax.get_xlim()
        assert low < frame["estimate"].min()
        assert frame["estimate"].max() < high


def title_of(figure):
    return " ".join(figure.get_suptitle().split())


def test_smaller_error_and_smaller_loss_are_told_apart(study):
    one = study["estimates"]["scenes"]
    planted = dataclasses.replace(
        one, areas=one.areas.assign(verdict="better"), own_areas=one.own_areas.assign(verdict="worse")
    )
    title = title_of(a01_sparse_pixels.compared(study["sources"], {"scenes": planted})[0])
    assert "has the smaller error than test_convnext" in title
    assert "in 3 of 3 selectors, the larger in 0 (0 undecided)" in title
    assert "loses less in 0, more in 3 (0 undecided)" in title


def test_one_fill_that_disagrees_leaves_a_selector_undecided(study):
    one = study["estimates"]["scenes"]
    mixed = one.own_areas.assign(verdict=["better" if f == "mean" else "undecided" for f in one.own_areas["factor2"]])
    title = title_of(
        a01_sparse_pixels.compared(study["sources"], {"scenes": dataclasses.replace(one, own_areas=mixed)})[0]
    )
    assert "loses less in 0, more in 0 (3 undecided)" in title


@pytest.mark.parametrize("low", [(1.2, 1.2), (1.2, 0.8)])
def test_the_headline_on_pixels_needed_stands_under_every_fill_or_says_that_it_does_not(study, low):
    one = study["estimates"]["scenes"]
    mine = (one.ratios["factor"] == one.selectors[0]) & (one.ratios["quantity"] == "ratio50")
    ratios = one.ratios[mine].assign(estimate=2.0, low=low, high=3.0, not_reached=0.0)
    planted = dataclasses.replace(one, ratios=ratios)
    title = title_of(a01_sparse_pixels.curves(study["sources"]["scenes"], planted, "scenes")[0])
    assert all(f"(fill {fill})" in title for fill in one.fills)
    assert title.startswith("Not alike under every fill") == (low[0] != low[1])
    assert "Undecided" not in title[1:]
    assert ("ndecided whether" in title) == (low[0] != low[1])


def test_no_headline_is_about_pixels_chosen_from_the_truth(study):
    one = study["estimates"]["scenes"]
    assert one.given_truth == frozenset()
    where = one.where.assign(estimate=9.0, low=8.0, high=10.0)
    where.loc[where["factor"] == "image_edges.reversed", "low"] = 0.5
    for given in (frozenset(), frozenset({"image_edges"})):
        planted = {"scenes": dataclasses.replace(one, where=where, given_truth=given)}
        title = title_of(a01_sparse_pixels.places(study["sources"], planted)[0])
        assert ("image edges" in title) == ("image_edges" not in given)
