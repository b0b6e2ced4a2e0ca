"""Probes without a section of their own still get one: means, paired differences, everything by its axes."""

import json

import numpy as np
import pandas as pd
import pytest
import report_tables as planted

from depthprobe import stats
from depthprobe.report import estimates, others, write_report
from depthprobe.report.source import read_source

BETTER = {"smooth": ("ln/px", "lower"), "sharp": ("1", "higher"), "rough": ("1", "none"), "noise": ("1", "lower")}
SHIFT = {"smooth": 0.2, "sharp": 0.2, "rough": 0.2, "noise": 0.0}  # of the second network


def table(models=planted.MODELS, n=24):
    """The planted run, and a made-up probe with bands: the second network is higher by SHIFT."""
    rng = np.random.default_rng(0)
    error = planted.make_table(n, models, sparse=False)
    cells = error[error["metric"] == "abs_rel"]
    hard = dict(zip(cells["sample"].unique(), rng.normal(0, 0.1, n), strict=True))
    parts = []
    for metric, (unit, better) in BETTER.items():
        for band in (np.nan, 0.0, 4.0):
            shift = cells["model"].map({m: k * SHIFT[metric] for k, m in enumerate(models)})
            value = 1 + shift + cells["sample"].map(hard) + rng.normal(0, 0.01, len(cells))
            facts = {
                "metric": metric,
                "unit": unit,
                "better": better,
                "probe": "made_up",
                "plan": "0f0f",
                "level": band,
            }
            parts.append(cells.assign(value=value, factor="" if np.isnan(band) else "band", **facts))
    return pd.concat([error, *parts], ignore_index=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = planted.write_run(tmp_path_factory.mktemp("others"), table())
    page = write_report(out, n_boot=500).read_text()
    return out, page, json.loads((out / "report.json").read_text())


def test_the_finding_counts_what_is_planted(made):
    _, page, body = made
    (said,) = [f for f in body["findings"] if f["section"] == "made-up"]
    assert said["lead"] == "Made up:"
    assert said["text"] == (
        "pvt against convnext, of 4 measures: better in 1, worse in 1, different where neither is better in 1 and "
        "undecided in 1."
    )
    assert not said["undecided"]
    assert 'id="made-up"' in page


def test_frames_are_those_of_the_statistics(made):
    out, _, body = made
    rows = read_source(out).probe("made_up")
    whole = rows[rows["factor"] == ""]
    want = stats.compare(whole, ["plan", "metric"], n_boot=500, seed=0).set_index("metric")
    got = pd.DataFrame(body["frames"]["made_up_differences"]).set_index("metric")
    assert np.allclose(got["estimate"], want["estimate"], rtol=1e-9)
    assert got["verdict"].to_dict() == want["verdict"].to_dict()
    every = pd.DataFrame(body["frames"]["made_up_by_axes"])
    assert len(every) == len(BETTER) * 3 * 2
    assert set(every["level"].dropna()) == {0.0, 4.0}


def test_one_network_is_described_and_not_compared(tmp_path):
    out = planted.write_run(tmp_path, table({"zoo:pvt": "transformer"}))
    ((section, found, frames),) = others.sections(read_source(out), {}, estimates.Options(n_boot=60))
    assert found == []
    assert section.finding == ""
    assert set(frames) == {"made_up", "made_up_by_axes"}


def test_measures_that_are_undefined_for_all_are_shown_and_not_compared(tmp_path):
    rows = table()
    rows.loc[rows["metric"] == "smooth", "value"] = np.nan
    out = planted.write_run(tmp_path, rows)
    ((_, _, frames),) = others.sections(read_source(out), {}, estimates.Options(n_boot=60))
    assert set(frames["made_up_differences"]["metric"]) == set(BETTER) - {"smooth"}
    assert set(frames["made_up"]["metric"]) == set(BETTER)
