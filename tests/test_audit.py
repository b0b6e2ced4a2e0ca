"""The audit: what it asks, of whom, and how it ends; on tiny images, so that it takes seconds."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from depthprobe import audit as package
from depthprobe.audit import audit, is_bare, presets, references, training
from depthprobe.audit.measure import same
from depthprobe.audit.training import recipe_for, train_bare
from depthprobe.cli import app
from depthprobe.cli.auditing import next_command, with_trust
from depthprobe.data import load_dataset
from depthprobe.functional.protocol import evaluate, get_protocol
from depthprobe.models import MODELS, DepthModel, load_model
from depthprobe.probes import PROBES
from depthprobe.report import topics_vision
from depthprobe.schema import plan_id, read_sidecar, read_table

TINY = {"n": 3, "size": (24, 32)}
ASKED = set(PROBES.names()) - {"attribution", "learned_mask", "representation"}

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))

    def forward(self, image):
        return nn.functional.softplus(self.layers(image)) + 0.1


class Forward(Net):
    def forward(self, image):
        return super().forward(image.detach()).detach()


def build():
    torch.manual_seed(0)
    return Net()


def forward():
    torch.manual_seed(0)
    return Forward()


def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 32, 5))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder with a network, stood in; references are kept there too."""
    path = tmp_path_factory.mktemp("user")
    (path / "net_of_a_user.py").write_text(NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.syspath_prepend(str(path))
        patch.setenv("DEPTHPROBE_CACHE", str(path / "cache"))
        yield path


def call(*args, code=0):
    result = CliRunner().invoke(app, ["audit", *map(str, args)], env={"COLUMNS": "200", "DEPTHPROBE_DEBUG": ""})
    assert result.exit_code == code, result.output + result.stderr
    return result


SMALL = ["--quick", "--n", 3, "--size", "24x32", "--device", "cpu", "--maps", 1]


@pytest.fixture(scope="module")
def audited(folder):
    """The audit of a user's network beside a CNN of the zoo, and what it printed."""
    model = "py:net_of_a_user:forward?output=affine_disparity"
    return folder / "out", call(model, *SMALL, "--against", "zoo:convnext", "--out", "out").output


def test_every_question_is_asked_of_both_on_the_same_samples(audited):
    out, _ = audited
    table = read_table(out)
    whole = table[table["model"] == "zoo:convnext"]
    assert set(whole["probe"]) == ASKED
    mine = table[table["model"] != "zoo:convnext"]
    assert set(mine["probe"]) == ASKED - {"receptive_field"}
    for probe, rows in mine.groupby("probe"):
        assert set(rows["sample"]) == set(whole.loc[whole["probe"] == probe, "sample"])


def test_what_cannot_be_asked_is_left_out_with_its_reason(audited):
    out, text = audited
    refused = read_sidecar(out)["refused"]
    assert [(one["model"], one["probe"]) for one in refused] == [("py:net_of_a_user:forward", "receptive_field")]
    assert f"Left out: receptive_field of py:net_of_a_user:forward: {refused[0]['reason']}" in text


def test_the_record_beside_the_table_says_whose_audit_it_is(audited):
    out, _ = audited
    assert json.loads((out / "audit.json").read_text()) == {
        "format": "depthprobe-audit", "version": 1, "subject": "py:net_of_a_user:forward",
        "references": ["zoo:convnext"], "quick": True, "training": None,
    }  # fmt: skip


def test_the_terminal_ends_with_the_verdict_the_page_and_the_next_command(audited):
    out, text = audited
    said = json.loads((out / "report.json").read_text())
    assert all(finding["lead"] in text for finding in said["findings"])
    assert f"Warning: {said['warnings'][0][:40]}" in text.replace("\n", " ")
    assert "Page:  out/report.html" in text
    again = "--size 24x32 --against zoo:convnext --device cpu --out out-full"
    assert f"Next:  depthprobe audit 'py:net_of_a_user:forward?output=affine_disparity' {again}" in text


def test_the_same_command_measures_nothing_again_and_references_are_known_elsewhere(audited):
    out, _ = audited
    parts = {p.name: p.stat().st_mtime_ns for p in (out / "parts").iterdir()}
    model = "py:net_of_a_user:forward?output=affine_disparity"
    call(model, *SMALL, "--against", "zoo:convnext", "--out", "out", "--no-report")
    assert {p.name: p.stat().st_mtime_ns for p in (out / "parts").iterdir()} == parts
    kept = {p.name for p in references.cache_folder().iterdir()}
    of_reference = read_table(out)
    probes = set(of_reference.loc[of_reference["model"] == "zoo:convnext", "probe"])
    assert len(kept) == len(probes - {"cost"}), "one part each, what is read off a clock excepted"


def test_a_network_that_gives_no_map_is_one_sentence(folder):
    for model, why in (("py:net_of_a_user:flat", "to return a map"), ("oracle:affine", "truth")):
        text = call(model, *SMALL, "--out", "bad", "--against", "none", code=2).stderr
        assert "Traceback" not in text
        assert why in text.replace("\n", " ")
    assert not (folder / "bad").exists()


def test_a_model_may_be_passed_itself(folder):
    data = load_dataset("scenes", **TINY)
    table = audit(load_model("oracle:row"), data, out=folder / "own", against="none", quick=True, device="cpu", maps=0)
    assert set(table["model"]) == {"oracle:row"}
    assert "Passed as objects" in (folder / "own/study.toml").read_text()


def test_presets_ask_of_every_probe_that_is_theirs():
    for preset in (presets.QUICK, presets.FULL):
        assert set(preset) == ASKED
        assert max(preset.values()) == preset[presets.ALL]
    assert presets.limits(48, quick=True)["sparse"] == 16
    assert presets.limits(24, quick=True)["sparse"] == 8
    assert min(presets.limits(3, quick=True).values()) == 1
    assert presets.ALL not in presets.limits(48, quick=True)


LENGTHS = {"context", "receptive_field", "attention"}


def test_all_plans_judge_by_one_protocol():
    protocol = get_protocol("bts_nyu")
    for quick in (True, False):
        made = presets.plans(protocol, quick=quick)
        assert made["error"] == protocol
        assert {plan.protocol for plan in made.values() if hasattr(plan, "protocol")} == {protocol}
        assert {name for name, plan in made.items() if getattr(plan, "height", None) == presets.HEIGHT} == LENGTHS
    assert (
        presets.plans(protocol, quick=False)["context"].queries > presets.plans(protocol, quick=True)["context"].queries
    )


def test_a_whole_audit_draws_conclusions_on_masked_images_from_two_fills():
    protocol = get_protocol("scenes")
    assert presets.plans(protocol, quick=False)["sparse"].fills == ("mean", "blur")
    assert len(presets.plans(protocol, quick=True)["sparse"].fills) == 1


def test_the_whole_audit_is_told_again_what_the_quick_one_was():
    flags = {
        "dataset": "nyu",
        "root": Path("my data"),
        "split": None,
        "n": None,
        "data": ["a=1", "b=2"],
        "device": "auto",
    }
    assert next_command("zoo:pvt", Path("out"), flags, quick=True) == (
        "depthprobe audit zoo:pvt --dataset nyu --root 'my data' --data a=1 --data b=2 --out out-full"
    )
    assert next_command("zoo:pvt", Path("out"), {"dataset": "scenes"}, quick=True) == (
        "depthprobe audit zoo:pvt --out out-full"
    )
    assert next_command("zoo:pvt", Path("out"), flags, quick=False) == "depthprobe compare out --by probe"


def test_the_page_says_in_whose_pixels_an_audit_states_lengths():
    assert topics_vision.ROWS == presets.HEIGHT


def test_a_protocol_that_refuses_a_kind_gets_the_alignment_made_for_it():
    assert presets.judging("bts_nyu", "metric_depth") == get_protocol("bts_nyu")
    assert presets.judging("scenes", "metric_depth") == get_protocol("scenes")
    assert presets.judging("midas_nyu", "affine_disparity") == get_protocol("midas_nyu"), "all are fitted there anyway"
    made = presets.judging("bts_nyu", "affine_disparity")
    assert made.name == "bts_nyu+affine_disparity"
    assert made.check("affine_disparity") == "disparity"
    assert (made.floor, made.crop) == (0.1, get_protocol("bts_nyu").crop)
    depth = 1 + 8 * torch.rand(1, 1, 480, 640, generator=torch.Generator().manual_seed(0))
    valid = torch.ones_like(depth, dtype=torch.bool)
    assert float(evaluate(3 / depth + 1, depth, valid, kind="affine_disparity", protocol=made)["abs_rel"]) < 1e-4


def test_a_reference_of_a_kind_that_the_protocol_refuses_is_judged_too():
    made = presets.judging("bts_nyu", "metric_depth", ["metric_depth", "affine_disparity", "scale_depth"])
    assert made.name == "bts_nyu+affine_disparity+scale_depth"
    assert [made.check(k) for k in ("metric_depth", "affine_disparity", "scale_depth")] == [
        "none",
        "disparity",
        "median",
    ]
    assert made.floor == 0.1
    assert presets.judging("bts_nyu", "metric_depth", ["metric_depth"]) == get_protocol("bts_nyu")
    both = presets.judging("bts_nyu", "affine_depth", ["affine_disparity", "metric_depth"])
    assert both.name == "bts_nyu+affine_depth+affine_disparity"
    assert [both.check(k) for k in ("metric_depth", "affine_disparity")] == ["scale_shift", "disparity"]


def test_a_reference_that_is_fitted_leaves_the_numbers_of_a_network_that_is_not():
    named = presets.judging("bts_nyu", "metric_depth", ["affine_disparity"])
    fitted = presets.judging("bts_nyu", "affine_disparity")
    assert named.name == fitted.name
    assert plan_id(named) != plan_id(fitted)
    depth = 1 + 8 * torch.rand(1, 1, 480, 640, generator=torch.Generator().manual_seed(0))
    valid = torch.ones_like(depth, dtype=torch.bool)
    plain, beside, free = (
        evaluate(1.3 * depth, depth, valid, kind="metric_depth", protocol=protocol)
        for protocol in (get_protocol("bts_nyu"), named, fitted)
    )
    assert beside == plain
    assert float(free["abs_rel"]) < 1e-4 < float(plain["abs_rel"])


def test_a_slip_costs_no_audit_that_lies_in_the_folder(audited):
    out, _ = audited
    before = {file: (out / file).read_bytes() for file in ("audit.json", "table.json")}
    name = "py:net_of_a_user:build"
    for slip in ([f"{name}?output=affine_depth"], ["zoo:no"], [name], ["none", "zoo"]):
        flags = [word for one in slip for word in ("--against", one)]
        call(name, *SMALL, *flags, "--out", "out", code=2)
    assert {file: (out / file).read_bytes() for file in before} == before


@pytest.mark.parametrize("name", ["scenes", "bts_nyu"])
@pytest.mark.parametrize(
    ("kind", "method"), [("scale_depth", "median"), ("affine_depth", "scale_shift"), ("affine_disparity", "disparity")]
)
def test_references_are_fitted_as_freely_as_the_network_that_is_audited(name, kind, method):
    """A metric depth that is twice too large is the equal of a relative depth, and no worse."""
    from depthprobe.functional.protocol import evaluate

    made = presets.judging(name, kind)
    assert made.name == f"{name}+{kind}"
    assert made.check(kind) == made.check("metric_depth") == method
    depth = 1 + 4 * torch.rand(1, 1, 480, 640, generator=torch.Generator().manual_seed(0))
    wrong = 2 * depth * (1 + 0.1 * torch.rand(depth.shape, generator=torch.Generator().manual_seed(1)))
    valid = torch.ones_like(depth, dtype=torch.bool)
    output = 1 / wrong if kind == "affine_disparity" else wrong
    mine, other = (evaluate(x, depth, valid, kind=k, protocol=made)["abs_rel"] for x, k in (
        (output, kind), (wrong, "metric_depth")))  # fmt: skip
    assert float(mine) == pytest.approx(float(other), rel=1e-4)
    plain = evaluate(wrong, depth, valid, kind="metric_depth", protocol=get_protocol(name))["abs_rel"]
    assert float(plain) > 10 * float(other)


def test_the_samples_are_as_many_as_the_preset_asks_for_or_all():
    assert len(presets.open_data("scenes", {"size": (24, 32)}, quick=True)) == presets.QUICK["error"]
    assert len(presets.open_data("scenes", {"size": (24, 32)}, quick=False)) == presets.FULL["error"]
    few = presets.open_data("scenes", TINY, quick=True)
    assert len(few) == 3
    assert few.facts["kind"] == "mixed"
    assert presets.open_data("scenes", {**TINY, "kind": "rooms"}, quick=True).facts["kind"] == "rooms"


def test_references_fit_the_data():
    scenes = load_dataset("scenes", n=1)
    mixed = references.references("zoo", scenes)
    assert {name.rpartition(".")[2] for name in mixed} == {"mixed"}
    assert {MODELS.facts(name)["family"] for name in mixed} == {"cnn", "transformer"}
    real = load_dataset("scenes", n=1)
    real.name = "photographs"
    assert {name.rpartition(".")[2] for name in references.references("zoo", real)} == {"nyu"}
    assert references.references("none", scenes) == []
    assert references.references(["zoo:pvt", "zoo"], scenes) == ["zoo:pvt", *mixed]
    with pytest.raises(ValueError, match="'none' alone"):
        references.references(["none", "zoo:pvt"], scenes)


def test_only_backbones_without_a_decoder_are_trained():
    assert is_bare("timm:resnet18")
    assert is_bare("timm:resnet18?size=32x32&pretrained=1")
    assert not any(map(is_bare, ("zoo:pvt", "ckpt:a.safetensors", "py:a:b", "oracle:row", "nonsense")))


def test_the_recipe_follows_the_data_and_the_haste():
    scenes = presets.open_data("scenes", {**TINY, "kind": "rooms"}, quick=True)
    full = recipe_for("timm:test_vit", scenes, quick=False)
    assert (full.model, full.dataset, full.steps) == ("timm:test_vit", "scenes", 3000)
    assert (full.train["kind"], full.train["n"], full.train["split"]) == ("rooms", 8000, "train")
    assert tuple(full.val["size"]) == (24, 32)
    quick = recipe_for("timm:test_vit", scenes, quick=True)
    assert (quick.steps, quick.train["n"]) == (400, training.QUICK_SCENES)
    scenes.name = "own"
    with pytest.raises(ValueError, match="registered data set"):
        recipe_for("timm:test_vit", scenes, quick=True)


def test_a_bare_backbone_is_trained_then_audited(folder, monkeypatch):
    haste = {"steps": 4, "val_every": 2, "batch_size": 2, "log_every": 2}
    monkeypatch.setattr(training, "QUICK", haste)
    monkeypatch.setattr(training, "QUICK_SCENES", 4)
    data, out, seen = presets.open_data("scenes", TINY, quick=True), folder / "bare", []
    name = "timm:test_vit?size=32x32"
    trained = train_bare(name, data, out / "train", quick=True, device="cpu",
                         progress=lambda step, steps, numbers: seen.append((step, steps)))  # fmt: skip
    assert seen[-1] == (4, 4)
    table = audit(name, data, out=out, against="none", quick=True, device="cpu", maps=0)
    record = json.loads((out / "audit.json").read_text())
    assert record["subject"] == table["model"].iloc[0] == name
    assert record["training"] == json.loads(json.dumps(trained.record)), "nothing is trained twice"
    assert record["training"]["recipe"]["model"] == name
    assert record["training"]["seconds"] > 0
    assert set(record["training"]["scores"]) == set(get_protocol("scenes").metrics)
    assert isinstance(load_model(trained.name), DepthModel)


def test_a_network_is_no_reference_for_itself_by_another_name():
    subject = load_model("zoo:pvt")
    others = [
        one for one in references.references("zoo", load_dataset("scenes", n=1)) if not same(load_model(one), subject)
    ]
    assert sorted(others) == ["zoo:convnext.mixed", "zoo:efficientnet.mixed", "zoo:swin.mixed"]
    assert not same(load_model("oracle:row"), load_model("oracle:constant"))


def test_two_trainings_of_one_name_stand_beside_each_other(folder):
    """Every training ends in FOLDER/final.safetensors, every audited backbone in train/final.safetensors."""
    for gain, place in enumerate("ab", start=1):
        file = folder / place / "train/final.safetensors"
        file.parent.mkdir(parents=True)
        state = load_model("timm:test_vit?size=32x32").net.state_dict()
        save_file({name: gain * value for name, value in state.items()}, file)
        (file.parent / "recipe.json").write_text('{"model": "timm:test_vit?size=32x32"}')
    mine, other = (f"ckpt:{folder / place}/train/final.safetensors" for place in "ab")
    small = ["--quick", "--n", 1, "--size", "24x32", "--device", "cpu", "--maps", 0]
    call(mine, *small, "--against", other, "--out", "two")
    record, names = json.loads((folder / "two/audit.json").read_text()), set(read_table(folder / "two")["tag"])
    told = [record["subject"], *record["references"]]
    assert len(names) == 2
    assert told == [f"ckpt:train/final.{load_model(name).card.tag}" for name in (mine, other)]
    said = json.loads((folder / "two/report.json").read_text())
    assert any("of 1 reference" in finding["text"] for finding in said["findings"])


def test_naming_the_network_itself_as_a_reference_is_refused(folder):
    for name in ("py:net_of_a_user:build", "zoo:pvt"):
        text = call(name, *SMALL, "--out", "self", "--against", name, code=2).stderr
        assert "to name other networks than the audited one" in text.replace("\n", " ")


def test_two_networks_that_could_not_be_told_apart_are_refused_with_the_ways_on(folder):
    name = "py:net_of_a_user:build"
    text = call(name, *SMALL, "--out", "alike", "--against", f"{name}?output=scale_depth", code=2).stderr
    assert "another tag, in its ModelCard if it has one of its own, else by ?tag=NAME" in " ".join(text.split())


def test_trust_is_given_to_the_schemes_that_ask_for_it():
    got = [
        with_trust(name) for name in ("hf:a/b", "ckpt:x.pt?model=timm:resnet18", "onnx:net.onnx", "py:m:f", "zoo:pvt")
    ]
    assert got == ["hf:a/b?trust=1", "ckpt:x.pt?model=timm:resnet18&trust=1", "onnx:net.onnx", "py:m:f", "zoo:pvt"]
    for said in ("hf:a/b?trust=1", "hf:a/b?revision=main&trust=0", "torchhub:a/b:c?trust="):
        assert with_trust(said) == said
    assert with_trust("hf:a/b?") == "hf:a/b?trust=1"


def test_help_teaches_with_examples():
    text = call("--help").output
    assert all(
        word in text
        for word in ("py:mynet:build", "hf:", "timm:", "torchrun", "--against", "--quick", "affine_disparity")
    )


def test_the_package_says_what_is_in_it():
    assert package.audit is audit
