"""Descriptions of runs: TOML in, plans out, and back again; unknown keys are named."""

import dataclasses
import re
import tomllib

import pytest

from depthprobe.data import DATASETS
from depthprobe.functional.protocol import PROTOCOLS, get_protocol
from depthprobe.probes import PROBES
from depthprobe.schema import plan_id
from depthprobe.study import (
    Study,
    describe,
    make_plans,
    open_dataset,
    probe_plans,
    quick_plan,
    read_study,
    set_options,
    to_toml,
)


def write(tmp_path, text):
    (tmp_path / "study.toml").write_text(text)
    return tmp_path / "study.toml"


@dataclasses.dataclass(frozen=True)
class Plan:
    names: tuple[str, ...] = ("a",)
    pairs: tuple[tuple[str, float], ...] = (("x", 1.0),)
    share: float = 0.5
    count: int = 3
    flag: bool = False
    floor: float | None = 0.1
    word: str = "w"
    seed: int = 0


def test_toml_comes_back_as_it_was():
    table = {
        "text": 'quote " back \\ slash\nnew line é',
        "n": 3,
        "f": 0.1,
        "big": 1e22,
        "yes": True,
        "list": [1, 2],
        "nested": [["a", 1.5], ["b", 2.5]],
        "empty": [],
        "inf": float("inf"),
        "strange key": "v",
        "dataset": {"name": "scenes", "n": 4},
        "plan": {"one": [{"seed": 0, "protocol": {"name": "p", "crop": [1, 2]}}, {"seed": 1}], "two": {"x": 1}},
    }
    assert tomllib.loads(to_toml(table)) == table


def test_options_are_turned_into_what_the_plan_holds():
    plan = set_options(Plan(), {"names": ["b", "c"], "pairs": [["y", 2.0]], "share": 1, "floor": "none"}, "plan.p")
    assert plan == Plan(names=("b", "c"), pairs=(("y", 2.0),), share=1.0, floor=None)
    assert isinstance(plan.share, float)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budgte": 1}, r"Expected options of \[plan.p\] to be among \['count', .*'word'\], but got \['budgte'\]"),
        ({"names": "b"}, r"Expected `plan.p.names` to be a list such as \('a',\), but got 'b'"),
        ({"count": 1.5}, "Expected `plan.p.count` to be a int such as 3, but got 1.5"),
        ({"count": True}, "Expected `plan.p.count` to be a int"),
        ({"word": 3}, "Expected `plan.p.word` to be a str such as 'w', but got 3"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        set_options(Plan(), options, "plan.p")


@pytest.mark.parametrize("probe", PROBES.names())
@pytest.mark.parametrize("protocol", PROTOCOLS.names())
def test_every_default_and_quick_plan_survives_its_description(tmp_path, tiny, probe, protocol):
    plans = [*probe_plans(probe, {}, (protocol,), (0, 3)), quick_plan(probe)]
    data = tiny.dataset()
    text = to_toml(describe(["zoo:x"], {probe: plans}, data, out="o", maps=1))
    study = read_study(write(tmp_path, text))
    assert make_plans(study, "scenes") == {probe: list(dict.fromkeys(plans))}
    assert (study.models, study.out, study.maps, study.dataset["name"]) == (("zoo:x",), "o", 1, "tiny")


def test_a_changed_protocol_is_described_in_full(tmp_path, tiny):
    name = PROTOCOLS.names()[0]
    odd = dataclasses.replace(get_protocol(name), floor=0.25, max_depth=33.0, seed=2)
    unnamed = dataclasses.replace(odd, name="mine")
    text = to_toml(describe(["m"], {"error": [odd]}, tiny.dataset(), out="o", maps=1))
    assert make_plans(read_study(write(tmp_path, text)), "scenes") == {"error": [odd]}
    assert plan_id(odd) != plan_id(get_protocol(name))
    assert "mine" in to_toml(describe(["m"], {"error": [unnamed]}, tiny.dataset(), out="o", maps=1))


@pytest.mark.parametrize("probe", ["error", "continuity"])
def test_a_protocol_of_ones_own_comes_back_from_its_description(tmp_path, tiny, probe):
    """As those of audits, which carry the output kind in their name."""
    own = dataclasses.replace(get_protocol("bts_nyu"), name="bts_nyu+affine_depth", floor=0.2, max_depth=9.5)
    plan = own if probe == "error" else dataclasses.replace(quick_plan(probe), protocol=own)
    text = to_toml(describe(["zoo:x"], {probe: [plan]}, tiny.dataset(), out="o", maps=1))
    study = read_study(write(tmp_path, text))
    assert make_plans(study, "scenes") == {probe: [plan]}
    short = "\n".join(line for line in text.splitlines() if not line.startswith("alignment"))
    with pytest.raises(ValueError, match=r"Expected protocol to be one of .*bts_nyu\+affine_depth"):
        make_plans(read_study(write(tmp_path, short)), "scenes")


def test_plans_cross_protocols_and_seeds_unless_a_table_names_its_own():
    names = tuple(PROTOCOLS.names()[:2])
    study = Study(models=("m",), probes=("error",), protocols=names, seeds=(0, 1))
    assert [(p.name, p.seed) for p in make_plans(study, "scenes")["error"]] == [(n, s) for n in names for s in (0, 1)]
    study = dataclasses.replace(study, plan={"error": [{"name": "scenes", "seed": 5}, {"flip": True}]})
    plans = make_plans(study, "scenes")["error"]
    assert [(p.name, p.seed, p.flip) for p in plans] == [("scenes", 5, False)] + [
        (n, s, True) for n in names for s in (0, 1)
    ]


def test_without_a_protocol_the_data_set_decides():
    study = Study(models=("m",), probes=("error",))
    assert [p.name for p in make_plans(study, "bts_nyu")["error"]] == ["bts_nyu"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = [", "to be TOML"),
        ("probes = ['error']", "name its models"),
        ("models = ['m']\nmodle = 1", r"Expected keys of study.toml to be among \['dataset', .*got \['modle'\]"),
        ("models = []", "Expected `models` to name at least one"),
        ("models = ['m']\nprobes = ['eror']", "Did you mean `error`"),
        ("models = ['m']\n[plan.sparse]\nfills = ['mean']", r"options of the probes \['error'\], but got \['sparse'\]"),
        ("models = 'zoo:pvt'", r"Expected `models` to be a list of text such as \['zoo:pvt'\], but got 'zoo:pvt'"),
        ("models = [['m']]", "Expected `models` to be a list of text"),
        ("models = ['m']\nseeds = ['a']", "Expected `seeds` to be a list of whole numbers"),
        ("models = ['m']\nmaps = 'x'", "Expected `maps` to be a whole number, but got 'x'"),
        ("models = ['m']\ndevice = 3", "Expected `device` to be text, but got 3"),
        ("models = ['m']\nplan = 5", "Expected `plan` to be a table, but got 5"),
        ("models = ['m']\n[plan]\nerror = [1, 2]", "Expected `plan.error` to be a table or several"),
        ("models = ['m']\ndataset = 5", "Expected `dataset` to be a table, but got 5"),
    ],
)
def test_a_wrong_study_is_explained(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_study(write(tmp_path, text))


def test_a_missing_study_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="describe the run by flags"):
        read_study(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": "four"}, "Expected `n` of data set `scenes` to be int | None, but got 'four'"),
        ({"split": 3}, "Expected `split` of data set `scenes` to be str, but got 3"),
        ({"size": 96}, "Expected `size` of data set `scenes` to be"),
        ({"batch_size": 0}, "Expected `batch_size` to be in [1, "),
        ({"batch_size": True}, "Expected `batch_size` of data set `scenes` to be int"),
    ],
)
def test_options_of_the_wrong_kind_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        open_dataset(Study(models=("m",), dataset={"name": "scenes", **options}))


def test_unknown_options_of_a_data_set_are_named():
    name = DATASETS.names()[0]
    with pytest.raises(ValueError, match=rf"Expected options of data set `{name}` to be among .*, but got \['siez'\]"):
        open_dataset(Study(models=("m",), dataset={"name": name, "siez": 3}))


def test_changes_replace_what_the_file_says(tmp_path):
    study = read_study(write(tmp_path, "models = ['m']\nout = 'a'\ndataset = 'scenes'"), out="b")
    assert (study.out, study.dataset) == ("b", {"name": "scenes"})
