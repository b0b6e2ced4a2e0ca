"""Studies run in quick form, and their probes find planted answers first."""

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
    for fill in ("mean", "black"):
        assert change["rank_map", 0.05, fill] == 0
        assert change["rank_map.reversed", 0.95, fill] > 0.05
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
    assert len(areas) == len(a01_sparse_pixels.FILLS) * 3
    assert "over 3 selectors and 2 fills" in said
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
    cell = ["factor", "factor2"]
    drawn = pd.read_csv(stem).set_index(cell)["estimate"]
    want = study["estimates"]["scenes"].areas.set_index(cell)["estimate"]
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
