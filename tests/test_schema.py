"""The schema: rows, ids of plans, validation, and Parquet parts that are whole or absent."""

import dataclasses
import json
import os
import types

import numpy as np
import pandas as pd
import pytest

from depthprobe import schema
from depthprobe.schema import COLUMNS, KEY, MEASURED, STAMPED


@dataclasses.dataclass(frozen=True)
class Plan:
    budgets: tuple[float, ...] = (0.1, 1.0)
    fill: str = "mean"
    seed: int = 0


def table(n=3, **changes):
    frame = schema.rows([f"s{i}" for i in range(n)], "abs_rel", range(n), factor="random", level=0.5)
    stamps = {"dataset": "d", "group": frame["sample"], "model": "m", "tag": "t", "family": "cnn", "probe": "p"}
    return frame.assign(**stamps, plan="abc", seed=0, unit="1", better="lower", **changes)[COLUMNS]


def test_columns_are_measured_plus_stamped_and_the_key_is_part_of_them():
    assert set(COLUMNS) == set(MEASURED) | set(STAMPED)
    assert len(COLUMNS) == len(MEASURED) + len(STAMPED)
    assert set(COLUMNS) - set(KEY) == {"group", "family", "value", "unit", "better"}


def test_rows_state_one_value_per_sample():
    frame = schema.rows(["a", "b"], "rmse", np.array([1.0, np.nan]), factor="gain", level=2)
    assert list(frame.columns) == MEASURED
    assert frame["value"].tolist()[0] == 1.0
    assert frame["value"].isna().tolist() == [False, True]
    assert frame[["factor", "level"]].drop_duplicates().to_numpy().tolist() == [["gain", 2.0]]
    with pytest.raises(ValueError, match=r"Expected one `value` per sample \(2\), but got 3"):
        schema.rows(["a", "b"], "rmse", [1, 2, 3])


def test_a_plan_id_ignores_the_seed_and_nothing_else():
    base = schema.plan_id(Plan())
    assert len(base) == 8
    assert base == schema.plan_id(Plan(seed=7))
    assert base != schema.plan_id(Plan(fill="blur"))
    assert base != schema.plan_id(Plan(budgets=(0.1,)))

    @dataclasses.dataclass(frozen=True)
    class Other:
        budgets: tuple[float, ...] = (0.1, 1.0)
        fill: str = "mean"
        seed: int = 0

    assert base != schema.plan_id(Other())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "rnn"}, "Expected `family` to be one of"),
        ({"better": "up"}, "Expected `better` to be one of"),
        ({"value": np.inf}, r"infinity for \{'model': 'm', 'sample': 's0', 'metric': 'abs_rel'\}"),
        ({"sample": "same"}, "Expected one row per key, but got 2 repeated"),
    ],
)
def test_validate_refuses(changes, message):
    schema.validate(table())
    with pytest.raises(ValueError, match=message):
        schema.validate(table().assign(**changes))


def test_validate_refuses_other_columns():
    with pytest.raises(ValueError, match="Expected columns"):
        schema.validate(table().drop(columns="unit"))


def test_a_part_comes_back_as_it_was(tmp_path):
    frame = table(4).assign(value=[1.0, np.nan, -2.0, 3.0])
    schema.write_part(frame, tmp_path / "parts" / "a.parquet", {"skipped": {"s9": "broken"}})
    pd.testing.assert_frame_equal(schema.read_table(tmp_path), schema.typed(frame))
    pd.testing.assert_frame_equal(schema.read_table(tmp_path / "parts" / "a.parquet"), schema.typed(frame))
    assert schema.read_note(tmp_path / "parts" / "a.parquet") == {"skipped": {"s9": "broken"}}


def test_an_empty_part_joins_the_others(tmp_path):
    schema.write_part(table(2), tmp_path / "parts" / "a.parquet")
    schema.write_part(table(0), tmp_path / "parts" / "b.parquet")
    assert len(schema.read_table(tmp_path)) == 2
    assert schema.read_table(tmp_path)["sample"].tolist() == ["s0", "s1"]


def test_the_order_of_parts_does_not_matter(tmp_path):
    frame = table(6)
    for folder, cuts in (("x", ([4, 5, 1], [0, 2, 3])), ("y", ([0], [5, 4, 3, 2, 1]))):
        for i, cut in enumerate(cuts):
            schema.write_part(frame.iloc[cut], tmp_path / folder / "parts" / f"{i}.parquet")
    pd.testing.assert_frame_equal(schema.read_table(tmp_path / "x"), schema.read_table(tmp_path / "y"))


def test_only_the_parts_that_the_sidecar_lists_are_read(tmp_path):
    schema.write_part(table(2), tmp_path / "parts" / "now.parquet")
    schema.write_part(table(2, layer="old"), tmp_path / "parts" / "then.parquet")
    assert len(schema.read_table(tmp_path)) == 4
    (tmp_path / "table.json").write_text(json.dumps({"parts": ["now", "not measured yet"]}))
    assert schema.read_table(tmp_path)["layer"].unique().tolist() == [""]


def test_no_table_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="make one: depthprobe run --out"):
        schema.read_table(tmp_path / "nothing")
    assert schema.read_sidecar(tmp_path) == {}


def test_a_damaged_part_is_named(tmp_path):
    schema.write_part(table(), part := tmp_path / "parts" / "a.parquet")
    part.write_bytes(part.read_bytes()[:100])
    assert schema.read_note(part) is None
    assert schema.read_note(part.with_name("absent.parquet")) is None
    with pytest.raises(ValueError, match=r"a\.parquet.*delete it and run again"):
        schema.read_table(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_partial(tmp_path, monkeypatch):
    schema.write_atomic(tmp_path / "x", b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"^Expected to write .*x, but the disk is full; free some space") as full:
        schema.write_atomic(tmp_path / "x", b"new")
    assert full.value.errno == 28
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_writer_that_raises_its_own_kind_on_a_full_disk_is_understood(tmp_path, monkeypatch):
    def write(error):
        with schema.replacing(tmp_path / "x", failures=(RuntimeError,)) as partial:
            partial.write_bytes(b"half")
            raise error

    (tmp_path / "x").write_bytes(b"old")
    for free, said in ((0, "the disk is full; free some space"), (2**30, "a fault; choose a folder")):
        monkeypatch.setattr(schema.shutil, "disk_usage", lambda _, free=free: types.SimpleNamespace(free=free))
        with pytest.raises(OSError, match=f"^Expected to write .*x, but {said}"):
            write(RuntimeError("a fault"))
    with pytest.raises(KeyError):
        write(KeyError("of the code"))
    assert (tmp_path / "x").read_bytes() == b"old"


def test_a_path_that_cannot_be_a_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^Expected to write .*choose a folder that can be written"):
        schema.write_atomic(tmp_path / "file" / "x", b"")
