"""Everything in `figures/` comes from a study and stands there as vector, picture and data (DESIGN, invariant 10)."""

from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
STEMS = sorted({p.stem for p in (ROOT / "figures").glob("*.*")})


def test_there_are_figures():
    assert STEMS


@pytest.mark.parametrize("stem", STEMS)
def test_a_figure_is_written_by_a_study_and_has_its_data(stem):
    assert len(list((ROOT / "analyses").glob(f"{stem.partition('_')[0]}_*.py"))) == 1, "one study writes it"
    kinds = {p.suffix for p in (ROOT / "figures").glob(f"{stem}.*")}
    assert kinds == {".pdf", ".png", ".csv"}
    assert (ROOT / f"figures/{stem}.pdf").read_bytes().startswith(b"%PDF")
    assert matplotlib.image.imread(ROOT / f"figures/{stem}.png").std() > 0
    assert len(pd.read_csv(ROOT / f"figures/{stem}.csv"))
