"""Runs that measure a probe on fewer samples, go on where a network refuses, or know parts of other runs."""

import importlib

import pandas as pd
import pytest
import torch

from depthprobe.cli.measure import describe as study_of
from depthprobe.models import MODELS
from depthprobe.run import run
from depthprobe.schema import read_note, read_sidecar, read_table, write_part
from depthprobe.study import read_study


def measure(tiny, out, models=None, *, n=10, plans=None, **options):
    models = models or [tiny.model("tiny:a"), tiny.model("tiny:b", seed=1)]
    return run(models, plans or {"tiny_gain": tiny.GainPlan()}, tiny.dataset(n), out=out, device="cpu", **options)


def test_a_limit_takes_whole_chunks_evenly_spread(tiny, tmp_path):
    table = measure(tiny, tmp_path, limits={"tiny_gain": 3})
    first = [int(name.removeprefix("tiny-")) for name in sorted(table["sample"].unique())[::2]]
    assert len(first) == 2, "whole chunks of two"
    assert first[1] - first[0] > 2, "not the first ones"
    whole = measure(tiny, tmp_path / "whole")
    rows = whole[whole["sample"].isin(table["sample"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, rows, check_exact=True)
    study = read_study(tmp_path / "study.toml")
    assert study.limits == {"tiny_gain": 3}
    top = {"models": ("oracle:row",), "probes": ("error",)}
    assert study_of(tmp_path / "study.toml", top, "scenes", {}, [], {}, []).limits == {}


def test_a_limit_above_all_samples_takes_them_all_and_one_of_nothing_is_refused(tiny, tmp_path):
    assert measure(tiny, tmp_path, limits={"tiny_gain": 99})["sample"].nunique() == 10
    with pytest.raises(ValueError, match="limits"):
        measure(tiny, tmp_path, limits={"tiny_gain": 0})
    with pytest.raises(ValueError, match="probe of limits"):
        measure(tiny, tmp_path, limits={"eror": 3})


def refusing(tiny):
    """A probe that cannot measure `tiny:b`."""

    def function(model, batch, plan):
        if model.card.name == "tiny:b":
            raise RuntimeError("Expected attention, but got <none>.\nMore lines.")
        return tiny.tiny_gain(model, batch, plan)

    return function


def test_what_cannot_be_measured_is_left_out_with_its_reason(tmp_path):
    import tiny

    with tiny.register(refusing(tiny), maps=tiny.gain_maps):
        with pytest.raises(RuntimeError, match="attention"):
            measure(tiny, tmp_path)
        table = measure(tiny, tmp_path, refusals="note")
        parts = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "parts").iterdir()}
        again = measure(tiny, tmp_path, refusals="note")
    assert set(table["model"]) == {"tiny:a"}
    pd.testing.assert_frame_equal(table, again)
    side = read_sidecar(tmp_path)
    assert side["status"] == "complete"
    reason = "Expected attention, but got <none>."
    who = {"model": "tiny:b", "tag": side["models"][1]["tag"], "probe": "tiny_gain"}
    assert side["refused"] == [{**who, "reason": reason, "samples": 10, "of": 10}]
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "parts").iterdir()} == parts, "nothing tried again"
    assert len(side["maps"]) == 3, "of the network that was measured"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AssertionError("Input height (24) doesn't match"), "AssertionError: Input height (24) doesn't match"),
        (IndexError("index 3 is out of bounds"), "IndexError: index 3 is out of bounds"),
        (KeyError("out"), "KeyError: 'out'"),
        (NotImplementedError(), "NotImplementedError"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_whatever_a_probe_raises_costs_that_probe_alone(tmp_path, error, reason):
    import tiny

    def function(model, batch, plan):
        if model.card.name == "tiny:b" and batch.sample[0] == "tiny-2":
            raise error
        return tiny.tiny_gain(model, batch, plan)

    with tiny.register(function):
        table = measure(tiny, tmp_path, refusals="note")
    assert table.groupby("model")["sample"].nunique().to_dict() == {"tiny:a": 10, "tiny:b": 8}
    (said,) = read_sidecar(tmp_path)["refused"]
    assert (said["reason"], said["samples"], said["of"]) == (f"{reason} (on 2 of 10 samples).", 2, 10)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: not enough memory"),
    ],
)
def test_memory_that_runs_out_costs_that_probe_alone_and_is_tried_again(tmp_path, error):
    import tiny

    full = [True]

    def function(model, batch, plan):
        if model.card.name == "tiny:b" and full:
            raise error
        return tiny.tiny_gain(model, batch, plan)

    with tiny.register(function):
        with pytest.raises(MemoryError, match="smaller --batch-size"):
            measure(tiny, tmp_path / "plain")
        assert set(measure(tiny, tmp_path, refusals="note")["model"]) == {"tiny:a"}
        assert "memory ran out" in read_sidecar(tmp_path)["refused"][0]["reason"]
        full.clear()
        assert set(measure(tiny, tmp_path, refusals="note")["model"]) == {"tiny:a", "tiny:b"}
    assert read_sidecar(tmp_path)["refused"] == []


def test_maps_that_cannot_be_made_do_not_end_a_run_that_is_measured(tmp_path):
    import tiny

    def maps(model, batch, plan):
        raise IndexError("no map")

    with tiny.register(maps=maps):
        with pytest.raises(IndexError):
            measure(tiny, tmp_path / "plain")
        with pytest.warns(RuntimeWarning, match="No maps of tiny:[ab] · tiny_gain for .*no map"):
            measure(tiny, tmp_path, refusals="note")
    assert read_sidecar(tmp_path)["status"] == "complete"


@pytest.mark.parametrize(("outside", "known"), [(True, None), (False, 0)])
def test_parameters_are_unknown_where_torch_does_not_see_them(tiny, tmp_path, outside, known):
    model = tiny.model("tiny:a")
    model.net = torch.nn.AvgPool3d((3, 1, 1))  # of the colours
    model.net.outside_torch = outside
    measure(tiny, tmp_path, [model], n=2)
    assert read_sidecar(tmp_path)["models"][0]["parameters"] == known


def test_parts_without_a_recorded_code_are_no_state_of_it(tiny, tmp_path):
    """As an older version left them."""
    measure(tiny, tmp_path, n=4)
    for part in sorted((tmp_path / "parts").glob("*.parquet"))[:2]:
        note = {k: v for k, v in read_note(part).items() if k != "code"}
        write_part(read_table(part), part, note)
    measure(tiny, tmp_path, n=4)
    side = read_sidecar(tmp_path)
    assert (len(side["code"]), side["code_not_recorded"]) == (1, 2)
    measure(tiny, tmp_path, n=4, resume=False)
    assert read_sidecar(tmp_path)["code_not_recorded"] == 0


def test_parts_of_other_code_are_kept_and_counted(tiny, tmp_path, monkeypatch):
    """The version alone names a part: a working copy may have changed since."""
    measure(tiny, tmp_path, n=4)
    assert len(read_sidecar(tmp_path)["code"]) == 1
    monkeypatch.setattr(importlib.import_module("depthprobe.run"), "package_code", lambda: "other")
    measure(tiny, tmp_path, n=4)
    assert len(read_sidecar(tmp_path)["code"]) == 1, "nothing was measured"
    measure(tiny, tmp_path, n=6)
    assert "other" in read_sidecar(tmp_path)["code"] and len(read_sidecar(tmp_path)["code"]) == 2
    measure(tiny, tmp_path, n=6, resume=False)
    assert read_sidecar(tmp_path)["code"] == ["other"]


@pytest.fixture
def shipped(tiny):
    """`tiny:a` as a network that comes with the package."""
    MODELS.register("tiny:a", summary="for a test")(lambda: tiny.model("tiny:a"))
    yield
    del MODELS._items["tiny:a"]


def test_parts_of_the_packages_networks_are_known_to_other_runs(tiny, shipped, tmp_path):
    cache = tmp_path / "cache"
    first = measure(tiny, tmp_path / "one", ["tiny:a", tiny.model("tiny:b", seed=1)], cache=cache)
    kept = list(cache.glob("*.parquet"))
    assert len(kept) == 5, "one per chunk, of the package's network alone"
    log = []
    table = run(["tiny:a"], {"tiny_gain": tiny.GainPlan()}, tiny.dataset(10, log=log), out=tmp_path / "two",
                device="cpu", cache=cache, maps=0)  # fmt: skip
    assert log == [], "nothing is read, nothing measured"
    mine = first[first["model"] == "tiny:a"].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, mine, check_exact=True)
    changed = run(["tiny:a"], {"tiny_gain": tiny.GainPlan(gains=(3.0,))}, tiny.dataset(10), out=tmp_path / "three",
                  device="cpu", cache=cache)  # fmt: skip
    assert set(changed["level"].dropna()) == {3.0}, "another plan is another part"


def test_a_damaged_cache_or_one_that_cannot_be_written_only_costs_time(tiny, shipped, tmp_path):
    cache = tmp_path / "cache"
    whole = measure(tiny, tmp_path / "one", ["tiny:a"], cache=cache)
    for file in cache.glob("*.parquet"):
        file.write_bytes(b"half")
    pd.testing.assert_frame_equal(measure(tiny, tmp_path / "two", ["tiny:a"], cache=cache), whole)
    assert all(read_note(file) is not None for file in cache.glob("*.parquet")), "mended"
    (tmp_path / "file").write_text("no folder")
    pd.testing.assert_frame_equal(measure(tiny, tmp_path / "three", ["tiny:a"], cache=tmp_path / "file"), whole)
    pd.testing.assert_frame_equal(read_table(tmp_path / "three"), whole)


def test_rows_read_off_a_clock_are_measured_each_time(tmp_path):
    import tiny

    MODELS.register("tiny:a", summary="for a test")(lambda: tiny.model("tiny:a"))
    try:
        with tiny.register(timing=True):
            measure(tiny, tmp_path / "one", ["tiny:a"], cache=tmp_path / "cache")
    finally:
        del MODELS._items["tiny:a"]
    assert not list(tmp_path.glob("cache/*"))
