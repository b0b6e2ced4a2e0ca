"""Audits killed (SIGKILL) at random moments, or shared by two processes, end in the same JSON (timings aside)."""

import json
import multiprocessing
import os
import random
import signal
import socket
import time
from pathlib import Path

import pandas as pd
import pytest

from depthprobe.report import write_report
from depthprobe.schema import read_sidecar, read_table

pytestmark = pytest.mark.slow
MOMENTS = 10


def audited(out, progress=None):
    """A quick audit of one network beside another, with a clock that stands still."""
    import torch

    from depthprobe.audit import audit
    from depthprobe.data import load_dataset
    from depthprobe.probes import cost

    torch.set_num_threads(1)
    cost._seconds = lambda *_: 0.001
    data = load_dataset("scenes", n=6, size=(24, 32), batch_size=1)
    return audit("oracle:brightness", data, out=out, against=["oracle:window?r=2"], quick=True, device="cpu", maps=1,
                 progress=progress)  # fmt: skip


def reporting(out, reached):
    audited(out, lambda done, total, what: setattr(reached, "value", done))


def trained(out):
    """A quick audit of a backbone that is trained first, for a few steps."""
    from depthprobe.audit import audit, training
    from depthprobe.data import load_dataset

    training.QUICK, training.QUICK_SCENES = {"steps": 4, "val_every": 2, "batch_size": 4, "log_every": 2}, 8
    data = load_dataset("scenes", n=2, size=(24, 32), batch_size=1)
    audit("timm:test_vit?size=32x32", data, out=out, against="none", quick=True, device="cpu", maps=0)


def share(work, out, rank, port):
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1",
             "MASTER_PORT": port}  # fmt: skip
    os.environ.update({name: str(value) for name, value in place.items()})
    work(out)


@pytest.fixture
def processes(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.setenv("DEPTHPROBE_CACHE", str(tmp_path / "cache"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["depthprobe.audit", "lightning.fabric", "test_audit_processes"])
    return context


def finished(process):
    process.start()
    process.join(timeout=1200)
    assert process.exitcode == 0


def said(out):
    """The JSON of page and audit, without what names the folder, counts seconds or says which commit is checked out."""
    write_report(out, n_boot=200)
    report, record = (json.loads((out / name).read_text()) for name in ("report.json", "audit.json"))
    for key in ("seconds", "command", "stale_parts", "code"):
        report["sidecar"].pop(key)
    commit = report["sidecar"].pop("commit") or "no commit"  # a long test outlives one
    return json.loads(json.dumps([report, record]).replace(str(out), "OUT").replace(commit, "COMMIT"))


def test_killed_at_random_moments_and_resumed(processes, tmp_path):
    finished(processes.Process(target=audited, args=(tmp_path / "whole",)))
    total = len(read_sidecar(tmp_path / "whole")["parts"])
    luck, stops = random.Random(3), []
    for at in sorted(luck.sample(range(total), MOMENTS)):
        reached = processes.Value("i", -1, lock=False)
        process = processes.Process(target=reporting, args=(tmp_path / "killed", reached))
        process.start()
        while reached.value < at and process.is_alive():
            time.sleep(0.001)
        time.sleep(luck.random() * 0.03)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        stops.append(reached.value)
    assert len(stops) == MOMENTS
    assert sorted(stops) == stops, "nothing measured twice"
    assert stops[0] < stops[-1] <= total
    finished(processes.Process(target=audited, args=(tmp_path / "killed",)))
    tables = [read_table(tmp_path / name) for name in ("whole", "killed")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert said(tmp_path / "whole") == said(tmp_path / "killed")
    assert not list((tmp_path / "killed").rglob("*.partial"))


def together(processes, work, out):
    """Two processes do the work."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [processes.Process(target=share, args=(work, out, rank, port)) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=1200)
        assert process.exitcode == 0


def test_two_processes_give_the_audit_of_one(processes, tmp_path):
    finished(processes.Process(target=audited, args=(tmp_path / "one",)))
    together(processes, audited, tmp_path / "two")
    tables = [read_table(tmp_path / name) for name in ("one", "two")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert said(tmp_path / "one") == said(tmp_path / "two")


def test_two_processes_train_a_backbone_and_audit_it(processes, tmp_path):
    together(processes, trained, tmp_path)
    record = json.loads((tmp_path / "audit.json").read_text())
    assert record["subject"] == "timm:test_vit?size=32x32"
    assert record["training"]["recipe"]["steps"] == 4
    assert set(read_table(tmp_path)["model"]) == {"timm:test_vit?size=32x32"}
