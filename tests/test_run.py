"""run: the stamped table, its folder, and what is (not) measured again."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import depthprobe
from depthprobe.functional.protocol import get_protocol
from depthprobe.run import run
from depthprobe.schema import COLUMNS, plan_id, read_sidecar, read_table, write_part


def measure(tiny, out, plan=None, *, data=None, models=None, **options):
    models = models or [tiny.model("tiny:a"), tiny.model("tiny:b", seed=1, family="transformer")]
    data = tiny.dataset() if data is None else data
    return run(models, {"tiny_gain": plan or tiny.GainPlan()}, data, out=out, device="cpu", **options)


def parts(out):
    return {p.name: p.stat().st_mtime_ns for p in (out / "parts").iterdir()}


def test_the_table_equals_a_plain_double_loop(tiny, tmp_path):
    table = measure(tiny, tmp_path, [tiny.GainPlan(), tiny.GainPlan(seed=3)])
    slow = []
    for i in range(7):
        batch = tiny.sample(i)
        for name, seed in (("tiny:a", 0), ("tiny:b", 1)):
            for plan in (tiny.GainPlan(), tiny.GainPlan(seed=3)):
                got = tiny.tiny_gain(tiny.model(name, seed=seed), batch, plan)
                slow += [
                    (batch.sample[0], f"g{i // 2}", name, plan.seed, r.metric, r.factor, r.level, r.value)
                    for r in got.itertuples()
                ]
    columns = ["sample", "group", "model", "seed", "metric", "factor", "level", "value"]
    key = columns[:-1]
    slow = pd.DataFrame(slow, columns=columns).sort_values(key, ignore_index=True)
    mine = table[columns].sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(mine, slow, rtol=1e-5, atol=1e-6, check_dtype=False)


def test_what_the_runner_stamps(tiny, tmp_path):
    table = measure(tiny, tmp_path)
    assert list(table.columns) == COLUMNS
    one = table[(table["model"] == "tiny:b") & (table["metric"] == "rmse@draw")].iloc[0]
    assert (one["dataset"], one["tag"], one["family"], one["probe"]) == ("tiny", "random", "transformer", "tiny_gain")
    assert (one["unit"], one["better"], one["plan"]) == ("m", "lower", plan_id(tiny.GainPlan()))
    assert table.groupby("sample")["group"].nunique().max() == 1


def test_the_module_is_the_function(tiny, tmp_path):
    plans = {"tiny_gain": tiny.GainPlan(gains=(1.0,))}
    table = depthprobe.run([tiny.model()], plans, tiny.dataset(2), out=tmp_path, device="cpu")
    pd.testing.assert_frame_equal(table, read_table(tmp_path))
    assert depthprobe.run.run is run
    code = (
        "import depthprobe; f = depthprobe.run; from depthprobe.run import run; assert f.run is run and callable(f); "
    )
    code += (
        "assert depthprobe.run is f; depthprobe.load_model, depthprobe.load_dataset; assert 'run' in dir(depthprobe)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="it offers"):
        depthprobe.nothing  # noqa: B018


def test_a_second_run_reads_nothing_and_writes_no_part(tiny, tmp_path):
    first = measure(tiny, tmp_path, data=tiny.dataset(log=[]), maps=0)
    before, log = parts(tmp_path), []
    second = measure(tiny, tmp_path, data=tiny.dataset(log=log), maps=0)
    pd.testing.assert_frame_equal(first, second)
    assert log == []
    assert parts(tmp_path) == before


def test_a_chunk_is_read_once_for_all_models_and_plans(tiny, tmp_path):
    log = []
    measure(tiny, tmp_path, [tiny.GainPlan(seed=s) for s in range(3)], data=tiny.dataset(log=log), maps=0)
    assert log == list(range(7))


def test_more_models_or_samples_only_add_what_is_missing(tiny, tmp_path):
    measure(tiny, tmp_path, data=tiny.dataset(4), models=[tiny.model("tiny:a")])
    before = parts(tmp_path)
    table = measure(tiny, tmp_path, data=tiny.dataset(6))
    after = parts(tmp_path)
    assert before.items() <= after.items()
    assert len(after) == 6
    assert set(table["model"]) == {"tiny:a", "tiny:b"}
    assert table["sample"].nunique() == 6


@pytest.mark.parametrize("what", ["plan", "weights", "facts", "batch_size", "version"])
def test_whatever_changes_a_number_never_mixes_with_old_parts(tiny, tmp_path, monkeypatch, what):
    old = measure(tiny, tmp_path / "out", models=[tiny.model("tiny:a")])
    changed = {"plan": tiny.GainPlan(), "data": tiny.dataset(), "models": [tiny.model("tiny:a")]}
    if what == "plan":
        changed["plan"] = tiny.GainPlan(gains=(0.25,))
    elif what == "weights":
        changed["models"] = [tiny.model("tiny:a", seed=5)]
    elif what == "facts":
        changed["data"] = tiny.dataset(version=2)
    elif what == "batch_size":
        changed["data"] = tiny.dataset(batch_size=3)
    else:
        monkeypatch.setattr(depthprobe, "__version__", "99")
    mixed = measure(tiny, tmp_path / "out", **changed)
    fresh = measure(tiny, tmp_path / "fresh", **changed)
    pd.testing.assert_frame_equal(mixed, fresh)
    side = read_sidecar(tmp_path / "out")
    same_last_chunk = int(what == "batch_size")  # sample 6 stands alone in both
    assert side["stale_parts"] == 4 - same_last_chunk
    monkeypatch.undo()
    pd.testing.assert_frame_equal(measure(tiny, tmp_path / "out", models=[tiny.model("tiny:a")]), old)


def test_no_resume_starts_afresh(tiny, tmp_path):
    measure(tiny, tmp_path, tiny.GainPlan(gains=(0.25,)))
    before = parts(tmp_path)
    measure(tiny, tmp_path, resume=False)
    assert not before.keys() & parts(tmp_path).keys()
    assert read_sidecar(tmp_path)["stale_parts"] == 0


def test_a_damaged_part_and_partial_files_are_replaced(tiny, tmp_path):
    table = measure(tiny, tmp_path)
    victim = sorted((tmp_path / "parts").glob("*.parquet"))[3]
    victim.write_bytes(victim.read_bytes()[:50])
    for name in ("parts/x.parquet.1.partial", "maps/x.npz.1.partial", "table.json.1.partial"):
        (tmp_path / name).write_bytes(b"half")
    pd.testing.assert_frame_equal(measure(tiny, tmp_path), table)
    assert not list(tmp_path.rglob("*.partial"))


def test_the_sidecar_says_what_the_numbers_came_from(tiny, tmp_path):
    measure(tiny, tmp_path, [tiny.GainPlan(), tiny.GainPlan(seed=4)], data=tiny.dataset(split="test"))
    side = read_sidecar(tmp_path)
    record = side["plans"][plan_id(tiny.GainPlan())]
    assert record == {"probe": "tiny_gain", "type": "GainPlan", "gains": [0.5, 1.0], "seeds": [0, 4]}
    assert side["axes"] == {"tiny_gain": {"level": "gain"}}
    assert side["dataset"]["facts"] == {"split": "test"}
    assert (side["dataset"]["samples"], side["dataset"]["groups"]) == (7, 4)
    assert [m["name"] for m in side["models"]] == ["tiny:a", "tiny:b"]
    assert side["models"][0]["weights"] != side["models"][1]["weights"]
    assert side["models"][0]["parameters"] == sum(p.numel() for p in tiny.model().parameters())
    assert side["versions"]["torch"] == torch.__version__.partition("+")[0] or side["versions"]["torch"]
    assert (side["status"], side["device"], side["rows"]) == ("complete", ["cpu"], len(read_table(tmp_path)))
    assert side["skipped"] == {}
    assert sorted(f"{p}.parquet" for p in side["parts"]) == sorted(parts(tmp_path))


def test_the_description_notes_what_a_name_cannot_open(tiny, tmp_path):
    measure(tiny, tmp_path)
    text = (tmp_path / "study.toml").read_text()
    assert "Passed as objects, so that their names alone may not open them again: tiny:a, tiny:b, tiny" in text
    run(["oracle:row"], {"tiny_gain": tiny.GainPlan()}, tiny.dataset(2), out=tmp_path)
    assert "again: tiny\n" in (tmp_path / "study.toml").read_text()


@pytest.mark.gpu
def test_the_gpu_gives_the_same_numbers(tiny, tmp_path):
    cpu = measure(tiny, tmp_path / "cpu")
    gpu = run([tiny.model("tiny:a"), tiny.model("tiny:b", seed=1, family="transformer")],
              {"tiny_gain": tiny.GainPlan()}, tiny.dataset(), out=tmp_path / "gpu", device="cuda")  # fmt: skip
    pd.testing.assert_frame_equal(cpu, gpu, rtol=1e-4, atol=1e-5)
    assert read_sidecar(tmp_path / "gpu")["device"] == ["cuda:0"]


def test_skipped_samples_are_counted_and_the_count_survives_a_rerun(tiny, tmp_path):
    for _ in range(2):
        table = measure(tiny, tmp_path, data=tiny.dataset(7, broken=[1, 6]))
        assert table["sample"].nunique() == 5
        assert sorted(read_sidecar(tmp_path)["skipped"]) == ["tiny-1", "tiny-6"]
        assert "mend it" in read_sidecar(tmp_path)["skipped"]["tiny-6"]


def test_undefined_values_stay_and_are_counted(tiny, tmp_path):
    def sometimes(model, batch, plan):
        frame = tiny.tiny_gain(model, batch, plan)
        return frame.assign(value=frame["value"].where(frame["sample"] != "tiny-2"))

    tiny.PROBES._items["tiny_gain"] = (sometimes, tiny.PROBES.facts("tiny_gain"))
    table = measure(tiny, tmp_path, models=[tiny.model()])
    assert table["value"].isna().sum() == 3
    undefined = {(u["metric"], u["n"]) for u in read_sidecar(tmp_path)["undefined"]}
    assert undefined == {("abs_rel", 2), ("rmse@draw", 1)}


def test_maps_of_samples_chosen_by_rank(tiny, tmp_path):
    table = measure(tiny, tmp_path, maps=3)
    side = read_sidecar(tmp_path)
    files = sorted((tmp_path / "maps").glob("*.npz"))
    assert [f.stem for f in files] == side["maps"]
    metas = [json.loads(str(np.load(f)["meta"])) for f in files]
    assert {(m["model"], m["probe"], m["factor"]) for m in metas} == {
        ("tiny:a", "tiny_gain", "gain"),
        ("tiny:b", "tiny_gain", "gain"),
    }
    assert len({m["sample"] for m in metas}) == 3
    judged = table.assign(
        rank=table.groupby(["model", "metric", "factor", "level"], dropna=False)["value"].rank(pct=True)
    )
    ranks = judged.groupby("sample")["rank"].mean()
    shown = {m["sample"] for m in metas}
    assert {ranks.idxmin(), ranks.idxmax()} <= shown
    measure(tiny, tmp_path, maps=1)
    assert len(list((tmp_path / "maps").glob("*.npz"))) == 2


def test_progress_goes_up_to_the_total(tiny, tmp_path):
    seen = []
    measure(tiny, tmp_path, progress=lambda *args: seen.append(args))
    assert seen[0] == (0, 14, "")
    assert seen[-1][:2] == (14, 14)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    again = []
    measure(tiny, tmp_path, progress=lambda *args: again.append(args))
    assert again == [(14, 14, "")]


def test_models_come_back_as_they_were(tiny, tmp_path):
    model = tiny.model().train()
    model.net.norm.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    measure(tiny, tmp_path, models=[model])
    assert model.training
    assert not model.net.norm.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_running_out_of_memory_says_what_to_change(tiny, tmp_path):
    def greedy(model, batch, plan):
        raise torch.OutOfMemoryError("CUDA out of memory")

    tiny.PROBES._items["tiny_gain"] = (greedy, tiny.PROBES.facts("tiny_gain"))
    with pytest.raises(
        MemoryError, match=r"tiny:net · tiny_gain to fit on cpu with batches of 2.*smaller --batch-size"
    ):
        measure(tiny, tmp_path, models=[tiny.model()])


def test_refusals(tiny, tmp_path):
    with pytest.raises(ValueError, match="Expected every model once"):
        measure(tiny, tmp_path, models=[tiny.model(), tiny.model(seed=1)])
    with pytest.raises(ValueError, match="at least one model, probe and sample, but got 2, 1 and 0"):
        measure(tiny, tmp_path, data=tiny.dataset(0))
    with pytest.raises(ValueError, match="Expected `device` to be auto, cpu or a device that is here, but got 'tpu9'"):
        run([tiny.model()], ["tiny_gain"], tiny.dataset(), out=tmp_path, device="tpu9")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Expected to write .*; choose a folder that can be written"):
        measure(tiny, tmp_path / "file" / "out")


def test_a_protocol_that_refuses_a_network_costs_no_table_in_the_folder(tiny, tmp_path):
    table = measure(tiny, tmp_path)
    inverse = tiny.model("tiny:inverse")
    inverse.card = dataclasses.replace(inverse.card, output="affine_disparity")
    with pytest.raises(ValueError, match="protocols that fit affine_disparity"):
        run([tiny.model(), inverse], {"error": get_protocol("bts_nyu")}, tiny.dataset(), out=tmp_path, device="cpu")
    pd.testing.assert_frame_equal(read_table(tmp_path), table)
    assert read_sidecar(tmp_path)["status"] == "complete"


def test_an_infinite_value_is_refused_with_its_place(tiny, tmp_path):
    def wild(model, batch, plan):
        return tiny.tiny_gain(model, batch, plan).assign(value=np.inf)

    tiny.PROBES._items["tiny_gain"] = (wild, tiny.PROBES.facts("tiny_gain"))
    with pytest.raises(ValueError, match=r"infinity for .*tiny-0"):
        measure(tiny, tmp_path, models=[tiny.model()])
    assert not list((tmp_path / "parts").glob("*")), "a bad part would be kept by every later run"


def test_parts_of_others_in_the_folder_are_left_alone(tiny, tmp_path):
    table = measure(tiny, tmp_path / "a")
    write_part(table.assign(model="other"), tmp_path / "a" / "parts" / "other.parquet")
    assert set(measure(tiny, tmp_path / "a")["model"]) == {"tiny:a", "tiny:b"}
    assert (tmp_path / "a" / "parts" / "other.parquet").exists()


def test_a_plan_without_a_dataclass_field_change_keeps_its_parts(tiny, tmp_path):
    measure(tiny, tmp_path, tiny.GainPlan())
    before = parts(tmp_path)
    measure(tiny, tmp_path, dataclasses.replace(tiny.GainPlan()))
    assert parts(tmp_path) == before
