"""Hostile input, as a table: every case ends in the right result or in one clear sentence, and no code is run."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pandas as pd
import pytest
from hostile import Case, Trap, study, values
from hostile_images import IMAGES, NAMES
from hostile_networks import FILES, NETWORKS

from depthprobe.schema import read_sidecar, read_table, write_part

# --- studies ---


def described_study(text: str, expect: str) -> Case:
    return Case(lambda place: study(place, text.replace("PLACE", str(place))), expect)


DATA = '[dataset]\nname = "folder"\nroot = "PLACE/data"\n'
STUDIES = {
    "an unknown key": described_study('models = ["oracle:row"]\nrun = "x"\n', r"keys of study\.toml to be among"),
    "an option of the wrong kind": described_study(
        f'models = ["oracle:row"]\n{DATA}n = "all"\n', "`n` of data set `folder` to be"
    ),
    "a field of the wrong kind": described_study('models = "oracle:row"\n', "`models` to be a list"),
    "an unknown option": described_study(f'models = ["oracle:row"]\n{DATA}exec = "x"\n', "options of data set"),
    "no TOML": described_study("models = [", r"study\.toml to be TOML"),
    "no text": Case(
        lambda place: (study(place, ""), (place / "study.toml").write_bytes(b"\xff"))[0], r"study\.toml to be TOML"
    ),
    "a hundred thousand deep": described_study("x = " + "[" * 100_000, r"study\.toml to be TOML"),
    "more samples than there are": described_study(
        f'models = ["oracle:row"]\n{DATA}n = {10**30}\n', r"`n` to be in \[1, 2\]"
    ),
    "a list as root": described_study('models = ["x"]\ndataset = {name = "folder", root = ["/"]}\n', "`root` of"),
}  # fmt: skip


# --- tables ---


def table(spoil: Callable[[Path], Any], expect: Any, *command: str) -> Case:
    def arrange(place: Path) -> list[Any]:
        out = hostile.finished(place)
        spoil(out)
        return [*(command or ("compare",)), out]

    return Case(arrange, expect)


def _part(out: Path) -> Path:
    (part,) = (out / "parts").glob("*.parquet")
    return part


def _all_nan(out: Path) -> None:
    found = read_table(out)
    write_part(found.assign(value=np.nan), _part(out))


def _says_undefined(_: Path, result: Any) -> None:
    assert "nan" in result.output.lower() or "–" in result.output or "undefined" in result.output.lower()


def _foreign_maps(out: Path) -> None:
    (out / "maps").mkdir(exist_ok=True)
    marker = out / "ran"
    np.savez(out / "maps/x.npz", meta=np.array([Trap(marker)], dtype=object), allow_pickle=True)
    (out / "maps/y.npz").write_bytes(b"PK\3\4")


def _page_is_there(place: Path, _: Any) -> None:
    assert "<!doctype html" in (place / "out/report.html").read_text(encoding="utf-8").lower()
    assert not (place / "out/ran").exists()


TABLES = {
    "a part cut off": table(
        lambda out: _part(out).write_bytes(_part(out).read_bytes()[:-30]), "Expected a whole part at"
    ),
    "a part of zero bytes": table(lambda out: _part(out).write_bytes(b""), "Expected a whole part at"),
    "a part of another schema": table(
        lambda out: pd.DataFrame({"x": [1]}).to_parquet(_part(out)), "Expected a whole part at"
    ),
    "a part with other types": table(
        lambda out: read_table(out).assign(value="a").to_parquet(_part(out)), "Expected a whole part at"
    ),
    "a part that repeats itself": table(
        lambda out: shutil.copy(_part(out), out / "parts/copy.parquet") and (out / "table.json").unlink(),
        "one row per key",
    ),
    "a table of NaN": table(_all_nan, _says_undefined),
    "a table.json cut off": table(
        lambda out: (out / "table.json").write_bytes((out / "table.json").read_bytes()[:99]), r"table\.json to be"
    ),
    "a table.json that is a list": table(lambda out: (out / "table.json").write_text("[1]"), r"table\.json to be"),
    "a table.json that names parts outside": table(
        lambda out: (out / "table.json").write_text(json.dumps({"parts": ["../../x"]})), "Expected a table at"
    ),
    "maps that run code": table(_foreign_maps, _page_is_there, "report"),
}


CASES = {
    f"{group}: {name}": case
    for group, cases in (("image", IMAGES), ("name", NAMES), ("network", NETWORKS), ("file", FILES),
                         ("study", STUDIES), ("table", TABLES))
    for name, case in cases.items()
}  # fmt: skip


def refused(result: Any, sentence: str) -> None:
    """The command ended in one sentence, and it is this one."""
    assert result.exit_code == 2, result.output + result.stderr + repr(result.exception)
    assert "Traceback" not in result.output + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: Expected "), lines[0]
    assert re.search(sentence, lines[0]), lines[0]


@pytest.mark.parametrize("name", CASES)
def test_it_ends_in_the_right_result_or_one_clear_sentence(name, tmp_path, monkeypatch):
    monkeypatch.delenv("DEPTHPROBE_TRUST", raising=False)
    case = CASES[name]
    args = case.arrange(tmp_path)
    result = hostile.command(*args)
    if callable(case.expect):
        assert result.exit_code == 0, result.output + result.stderr + repr(result.exception)
        case.expect(tmp_path, result)
    else:
        refused(result, case.expect)
    if case.skipped:
        again = hostile.command(*args, "--on-error", "skip")
        assert again.exit_code == 0, again.output + again.stderr
        assert len(read_sidecar(tmp_path / "out")["skipped"]) == 1
        assert len(values(tmp_path, "abs_rel")) == 1
    assert not list(tmp_path.rglob("ran")), "code was run"
    assert not (tmp_path.parent / "escaped.txt").exists()


def test_no_picture_is_handed_to_another_program(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **how: (tmp_path / "ran").touch())
    case = CASES["image: a page of PostScript"]
    refused(hostile.command(*case.arrange(tmp_path)), case.expect)
    assert not (tmp_path / "ran").exists()


def test_the_table_is_long_enough():
    assert len(CASES) >= 40
