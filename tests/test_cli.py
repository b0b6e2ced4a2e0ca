"""The command line: what it runs, prints and writes; every expected error is one sentence and exit code 2."""

import json
import shlex
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

import depthprobe
from depthprobe.cli import app
from depthprobe.data import DATASETS
from depthprobe.models import MODELS
from depthprobe.probes import PROBES
from depthprobe.schema import read_sidecar, read_table
from depthprobe.study import read_study

QUICK = ["--size", "24x32", "--device", "cpu", "--maps", "1", "--no-report"]
SPARSE = ["--selector", "random", "--selector", "image_edges", "--reverse", "image_edges", "--budget", "0.1",
          "--budget", "0.5", "--budget", "1", "--fill", "mean"]  # fmt: skip
COMMANDS = ["run", "compare", "report", "scenes", "train", "list"]


def call(*args, code=0):
    result = CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "200", "DEPTHPROBE_DEBUG": ""})
    assert result.exit_code == code, result.output + result.stderr
    return result


def refused(*args):
    """The one sentence with which a command refuses."""
    result = call(*args, code=2)
    assert "Traceback" not in result.output + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A small run of two models and two probes, and what it printed."""
    out = tmp_path_factory.mktemp("cli") / "demo"
    args = ["run", "-m", "oracle:brightness", "-m", "oracle:window?r=2", "-p", "error", "-p", "sparse", "--n", 6]
    return out, call(*args, *SPARSE, *QUICK, "--out", out).output


def test_version():
    assert call("--version").output.strip() == f"depthprobe {depthprobe.__version__}"
    assert call("--version", "run").output.startswith("depthprobe")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_examples(command):
    text = call(command, "--help").output
    assert f"depthprobe {command}" in text
    assert "torchrun" in call("run", "--help").output


def test_no_command_shows_the_help():
    result = CliRunner().invoke(app, [])
    assert all(command in result.output + result.stderr for command in COMMANDS)


def test_a_run_says_what_came_out_where_it_is_and_what_to_do_next(demo):
    out, text = demo
    assert "oracle:brightness" in text
    assert "oracle:window" in text
    assert f"Table: {out} ({len(read_table(out)):,} rows)" in text
    assert f"depthprobe compare {out} --by probe,selector" in text
    assert "protocol scenes (" in text
    body = [line for line in text.splitlines() if "[" in line and "interval" not in line]
    assert 1 <= len(body) <= 12


def test_the_numbers_printed_are_the_estimates(demo):
    from depthprobe.stats import summarise

    out, text = demo
    table = read_table(out)
    rows = table[(table["probe"] == "error") & (table["metric"] == "abs_rel")]
    found = summarise(rows, ["model"]).set_index("model").loc["oracle:brightness"]
    line = next(line for line in text.splitlines() if line.strip().startswith("abs_rel"))
    first = line.split("[")[0].split()[-1]
    assert float(first) == pytest.approx(found["estimate"], abs=0.006)


def test_the_description_written_repeats_the_run(demo, tmp_path):
    out, _ = demo
    study = read_study(out / "study.toml")
    assert study.models == ("oracle:brightness", "oracle:window?r=2")
    assert study.dataset.items() >= {"name": "scenes", "n": 6, "size": [24, 32]}.items()
    left_open = {"kind": "rooms", "split": "test", "batch_size": 8}
    assert study.dataset.items() >= left_open.items(), "a later default must not change the repeated run"
    call("run", out / "study.toml", "--out", tmp_path / "again", "--no-report", "--device", "cpu")
    pd.testing.assert_frame_equal(read_table(out), read_table(tmp_path / "again"))
    assert read_sidecar(out)["parts"] == read_sidecar(tmp_path / "again")["parts"]


def test_flags_beside_a_study_replace_its_fields(demo, tmp_path):
    out, _ = demo
    args = ["--probe", "error", "--n", 3, "--seed", 4, "--protocol", "midas_nyu", "--no-report", "--device", "cpu"]
    call("run", out / "study.toml", "--out", tmp_path / "new", "--model", "oracle:row", *args)
    table = read_table(tmp_path / "new")
    assert table["model"].unique().tolist() == ["oracle:row"]
    assert table["seed"].unique().tolist() == [4]
    assert table["sample"].nunique() == 3
    assert read_sidecar(tmp_path / "new")["protocol"]["name"] == "midas_nyu"


def test_a_second_call_measures_nothing(demo):
    out, _ = demo
    before = {p: p.stat().st_mtime_ns for p in (out / "parts").iterdir()}
    call("run", out / "study.toml", "--no-report", "--device", "cpu")
    assert {p: p.stat().st_mtime_ns for p in (out / "parts").iterdir()} == before


def test_options_of_plans_and_data_by_name(tmp_path):
    args = ["--set", "sparse.batch=5", "--set", "sparse.where=false", "--data", "start=2"]
    call("run", "-m", "oracle:row", "-p", "sparse", "--n", 2, *SPARSE, *QUICK, *args, "--out", tmp_path / "o")
    (plan,) = read_sidecar(tmp_path / "o")["plans"].values()
    assert (plan["batch"], plan["where"], plan["budgets"]) == (5, False, [0.1, 0.5, 1.0])
    assert read_sidecar(tmp_path / "o")["dataset"]["options"]["start"] == 2


def test_compare_prints_paired_differences(demo):
    from depthprobe.stats import compare

    out, _ = demo
    text = call("compare", out, "--by", "probe,selector").output
    assert "image_edges.reversed" in text
    assert "p (Holm)" in text
    records = json.loads(call("compare", out, "--by", "probe", "--metric", "rmse", "--json").output)
    table = read_table(out)
    rmse = compare(table[(table["metric"] == "rmse") & (table["probe"] == "error")], ["probe"])
    (mine,) = [r for r in records if r["probe"] == "error"]
    assert mine["estimate"] == pytest.approx(rmse["estimate"].iloc[0])
    assert {"a", "b", "low", "high", "p_holm", "verdict"} <= mine.keys()


def test_compare_at_every_budget_by_the_readers_names(demo):
    out, _ = demo
    records = json.loads(call("compare", out, "--by", "selector,budget", "--metric", "abs_rel@self", "--json").output)
    assert {(r["factor"], r["level"]) for r in records} == {
        (s, b) for s in ("random", "image_edges", "image_edges.reversed") for b in (0.1, 0.5, 1.0)
    }
    assert "budget" in call("compare", out, "--by", "selector,budget").output


def test_compare_splits_by_what_varies_instead_of_averaging_over_it(demo):
    out, _ = demo
    text = call("compare", out, "--by", "metric", "--metric", "all").output
    assert "also split by" in text


def test_compare_with_one_network_gives_means(demo, tmp_path):
    call("run", "-m", "oracle:row", "--n", 3, *QUICK, "--out", tmp_path / "one")
    text = call("compare", tmp_path / "one").output
    assert "estimate" in text
    assert "oracle:row" not in read_table(demo[0])["model"].unique()


@pytest.mark.parametrize(
    ("what", "registry"), [("models", MODELS), ("datasets", DATASETS), ("probes", PROBES)], ids=lambda x: str(x)[:8]
)
def test_list_shows_every_entry(what, registry):
    text = call("list", what).output
    assert all(name in text for name in registry.names())


@pytest.mark.parametrize("what", ["metrics", "protocols", "selectors", "fills"])
def test_list_knows(what):
    from depthprobe.cli.listing import registries

    text = call("list", what).output
    assert all(name in text for registry in registries(what) for name in registry.names())


def test_scenes_are_written_and_read_back_as_a_folder(tmp_path):
    text = call("scenes", "--n", 3, "--size", "24x32", "--split", "val", "--out", tmp_path / "rooms").output
    assert f"3 scenes in {tmp_path / 'rooms'}" in text
    place = ["--dataset", "folder", "--root", tmp_path / "rooms", "--split", "val"]
    call("run", "-m", "oracle:row", *place, "--device", "cpu", "--no-report", "--out", tmp_path / "o")
    call("run", "-m", "oracle:row", "--n", 3, "--split", "val", *QUICK, "--out", tmp_path / "direct")
    written, direct = (read_table(tmp_path / name) for name in ("o", "direct"))
    assert sorted(written["sample"]) == sorted(direct["sample"])
    pd.testing.assert_series_equal(written["value"], direct["value"], rtol=1e-2)


def test_a_training_from_flags_and_a_recipe(tmp_path):
    (tmp_path / "r.toml").write_text(
        'model = "timm:resnet18"\nbatch_size = 2\nval_every = 1\n'
        '[train]\nn = 4\nsize = [32, 32]\n[val]\nsplit = "val"\nn = 2\nsize = [32, 32]\n'
    )
    args = ["--steps", 1, "--set", "lr=0.001", "--set", "ema=0"]
    text = call("train", tmp_path / "r.toml", *args, "--out", tmp_path / "t").output
    assert (tmp_path / "t" / "final.safetensors").exists()
    assert "final.safetensors" in text
    recipe = json.loads((tmp_path / "t" / "recipe.json").read_text())
    assert recipe["lr"] == 0.001
    assert recipe["train"] == {"split": "train", "n": 4, "size": [32, 32]}, "the file's keys over the defaults"
    assert "Expected options of [recipe] to be among" in refused("train", "--set", "stepz=1", "--out", tmp_path / "u")
    assert "Expected a recipe (TOML) at" in refused("train", tmp_path / "none.toml")


def test_report_writes_the_page(demo):
    out, _ = demo
    text = call("report", out).output
    assert (out / "report.html").read_text().lstrip().lower().startswith("<!doctype html")
    assert "report.html" in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run"], "Expected at least one --model (or a study.toml), but got none"),
        (["run", "-m", "nope"], "Expected `model` to be one of"),
        (["run", "-m", "oracle:row", "-p", "eror"], "Did you mean `error`?"),
        (["run", "-m", "oracle:row", "-d", "scnes"], "Did you mean `scenes`?"),
        (["run", "-m", "oracle:row", "--size", "big"], "Expected `--size` to be HEIGHTxWIDTH, e.g. 96x128"),
        (["run", "-m", "oracle:row", "--root", "x"], "Expected options of data set `scenes` to be among"),
        (["run", "-m", "oracle:row", "--selector", "random"], "Expected a probe whose plan has `selectors`"),
        (["run", "-m", "oracle:row", "--set", "sparse.batch=3"], "Expected --set PROBE.OPTION=VALUE with a probe of"),
        (["run", "-m", "oracle:row", "--set", "error.flop=1"], "Expected options of [plan.error] to be among"),
        (["run", "-m", "oracle:row", "--protocol", "kitti9"], "Expected protocol to be one of"),
        (["run", "-m", "oracle:row", "--device", "tpu"], "Expected `device` to be auto, cpu or a device that is here"),
        (["run", "nowhere.toml"], "Expected a study (TOML) at nowhere.toml, but found none"),
        (["run", "-m", "oracle:row", "-d", "nyu", "--root", "nowhere"], "nowhere"),
        (["run", "-m", "oracle:affine", "--protocol", "bts_nyu"], "protocols that fit affine_disparity"),
        (["compare", "nowhere"], "Expected a table at nowhere"),
        (["report", "nowhere"], "Expected a table at nowhere"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_errors_are_one_sentence(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extra = ["--n", "1"] if args[0] == "run" and "nyu" not in args else []
    assert message in refused(*args, *extra)


def test_compare_explains_unknown_names(demo):
    assert "Expected `by` to name columns" in refused("compare", demo[0], "--by", "selektor")
    assert "Expected --metric to be in" in refused("compare", demo[0], "--metric", "rmsee")


def test_debug_shows_the_traceback():
    result = CliRunner().invoke(app, ["--debug", "run"])
    assert isinstance(result.exception, ValueError)


def test_stopping_says_how_to_go_on(monkeypatch):
    from depthprobe.cli import measure

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "execute", stop)
    result = call("run", "-m", "oracle:row", code=130)
    assert "the same command goes on from here" in result.stderr


def test_selectors_by_flag_are_all_that_is_run(tmp_path):
    args = ["-m", "oracle:row", "-p", "sparse", "--n", 1, "--budget", "0.5", *QUICK]
    call("run", *args, "--selector", "random", "--out", tmp_path / "a")
    assert set(read_table(tmp_path / "a")["factor"]) == {"random"}
    call("run", *args, "--selector", "random", "--reverse", "texture", "--out", tmp_path / "b")
    assert set(read_table(tmp_path / "b")["factor"]) == {"random", "texture.reversed"}


def test_the_command_to_go_on_with_after_one_network_adds_another_to_its_table(tmp_path):
    out, model = tmp_path / "one", "oracle:window?r=2"
    text = call("run", "-m", model, "--n", 2, *QUICK, "--out", out).output
    (line,) = [line for line in text.splitlines() if line.startswith("Next:")]
    words = shlex.split(line.removeprefix("Next:").replace("ANOTHER", "oracle:row"))
    assert words[0] == "depthprobe"
    call(*words[1:])
    assert set(read_table(out)["model"]) == {"oracle:window", "oracle:row"}


def test_the_command_to_go_on_with_after_probes_with_different_axes_runs(tmp_path):
    models = ("-m", "oracle:row", "-m", "oracle:constant")
    text = call("run", *models, "-p", "continuity", "-p", "spectrum", "--n", 2, *QUICK, "--out", tmp_path / "o").output
    (line,) = [line for line in text.splitlines() if line.startswith("Next:")]
    words = shlex.split(line.removeprefix("Next:"))
    assert words[-1] == "probe,factor"
    call(*words[1:])


def test_compare_says_what_it_split_by_in_the_readers_words(demo):
    text = call("compare", demo[0], "--by", "probe").output
    assert "also split by selector" in text


def test_compare_warns_of_a_run_that_is_not_complete(demo, tmp_path):
    assert "not complete" not in call("compare", demo[0]).stderr
    copy = shutil.copytree(demo[0], tmp_path / "copy")
    side = read_sidecar(copy) | {"status": "running"}
    (copy / "table.json").write_text(json.dumps(side))
    assert "not complete" in call("compare", copy).stderr
    assert json.loads(call("compare", copy, "--json").stdout)


def test_a_network_that_puts_out_nan_is_named(tmp_path, monkeypatch):
    body = (
        "from torch import nn\nclass N(nn.Module):\n    def forward(self, x):\n        return x[:, :1] * float('nan')\n"
    )
    (tmp_path / "broken_network.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    text = call("run", "-m", "py:broken_network:N", "--n", 1, *QUICK, "--out", tmp_path / "o").output
    assert "100 % of the judged pixels of py:broken_network:N" in text
    assert "interval over 1 group]" in text
