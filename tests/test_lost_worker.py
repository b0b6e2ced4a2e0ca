"""A process that is killed or freezes ends run or training of all with one sentence, and the same call completes it."""

import json
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import pandas as pd
import pytest

from depthprobe.schema import read_note, read_sidecar, read_table


def started(rank, port, limit):
    """One of two processes as a cluster starts them, without a launcher that watches them."""
    import torch

    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1",
             "MASTER_PORT": port, "DEPTHPROBE_LOST_AFTER": limit}  # fmt: skip
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)


def train_share(out, rank, port, limit):
    """A training that does not end by itself."""
    import train_cases

    from depthprobe.train import fit

    started(rank, port, limit)
    try:
        fit(train_cases.recipe(**LONG), out)
    except ConnectionError as error:
        Path(f"{out}.sentence").write_text(str(error))
        os._exit(2)


def share(out, rank, port, limit):
    """A run, slow enough to be killed."""
    import tiny

    from depthprobe.run import run

    started(rank, port, limit)

    def slow(model, batch, plan):
        time.sleep(0.1)
        return tiny.tiny_gain(model, batch, plan)

    with tiny.register(slow):
        try:
            run([tiny.model("tiny:a")], {"tiny_gain": tiny.GainPlan()}, tiny.dataset(40, batch_size=1), out=out,
                device="cpu")  # fmt: skip
        except ConnectionError as error:
            Path(f"{out}.sentence").write_text(str(error))
            os._exit(2)


def alone(out):
    import tiny

    from depthprobe.run import run

    with tiny.register():
        return run([tiny.model("tiny:a")], {"tiny_gain": tiny.GainPlan()}, tiny.dataset(40, batch_size=1), out=out,
                   device="cpu")  # fmt: skip


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def processes(monkeypatch):
    """Real processes that start quickly: a server has the libraries loaded and forks."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny", "train_cases", "test_lost_worker", "depthprobe.run", "lightning.fabric"])
    return context


LONG = {"steps": 10**6, "batch_size": 4, "val_every": 10**6, "save_every": 5, "schedule": "constant", "warmup": 0.0}
CASES = {
    "killed": (signal.SIGKILL, 1, 300.0),
    "first-killed": (signal.SIGKILL, 0, 300.0),
    "frozen": (signal.SIGSTOP, 1, 20.0),
}


def lose(both, victim, how, ready):
    """Start two processes, lose one of them as soon as both are at work, and wait for the other to end by itself."""
    try:
        for process in both:
            process.start()
        deadline = time.monotonic() + 300
        while not ready():
            assert all(process.is_alive() for process in both), "ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(both[victim].pid, how)
        both[1 - victim].join(timeout=300)
        assert both[1 - victim].exitcode == 2
    finally:
        for process in both:
            process.kill()
            process.join()


@pytest.mark.parametrize("case", ["killed", *(pytest.param(c, marks=pytest.mark.slow) for c in list(CASES)[1:])])
def test_a_lost_process_fails_the_run_and_the_same_run_completes_it(processes, tmp_path, case):
    how, victim, limit = CASES[case]
    out, port = tmp_path / "out", free_port()
    both = [processes.Process(target=share, args=(str(out), rank, port, limit)) for rank in (0, 1)]
    lose(both, victim, how, lambda: {(read_note(p) or {}).get("rank") for p in out.glob("parts/*.parquet")} == {0, 1})
    if how == signal.SIGKILL:
        said = Path(f"{out}.sentence").read_text()
        assert "lost" in said
        assert "Finished parts and checkpoints are kept" in said
    assert read_sidecar(out)["status"] == "running"
    assert len(list(out.glob("parts/*.parquet"))) < 40, "killed too late to show anything"
    pd.testing.assert_frame_equal(alone(out), alone(tmp_path / "whole"), check_exact=True)
    assert read_sidecar(out)["status"] == "complete"
    assert len(read_table(out)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_lost_process_ends_the_training_and_the_same_training_goes_on(processes, tmp_path, case):
    import torch
    import train_cases

    from depthprobe.train import fit

    how, victim, limit = CASES[case]
    out, port = tmp_path / "out", free_port()
    both = [processes.Process(target=train_share, args=(str(out), rank, port, limit)) for rank in (0, 1)]
    lose(both, victim, how, (out / "last.pt").is_file)
    if how == signal.SIGKILL:
        assert "Finished parts and checkpoints are kept" in Path(f"{out}.sentence").read_text()
    step = torch.load(out / "last.pt", weights_only=True)["step"]
    assert step >= LONG["save_every"]
    recipe = out / "recipe.json"  # a constant rate knows no last step
    recipe.write_text(json.dumps({**json.loads(recipe.read_text()), "steps": step + 5}))
    seen = []
    fit(train_cases.recipe(**{**LONG, "steps": step + 5}), out, progress=lambda now, steps, numbers: seen.append(now))
    assert seen == list(range(step + 1, step + 6)), "alone, from the last checkpoint on"
    assert (out / "final.safetensors").is_file()
