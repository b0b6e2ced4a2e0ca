"""A training killed (SIGKILL) at any step and started again ends with the weights of one never killed, bit for bit."""

import csv
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from train_cases import AUGMENTED, recipe

from depthprobe.train import fit

STEPS = 24
FIELDS = {"steps": STEPS, "save_every": 5, "val_every": 9, "log_every": 4, **AUGMENTED}
CLOCK = ("throughput", "data_wait", "peak_memory")


@pytest.fixture
def processes(monkeypatch):
    """Real processes that start quickly: a server has the libraries loaded and forks."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train_cases"])
    return context


def killed(processes, out, cache, at, wait):
    """Start the training, kill it once step `at` is done and `wait` seconds passed; how far it was."""
    from train_cases import train_reporting

    reached = processes.Value("i", -1, lock=False)
    process = processes.Process(target=train_reporting, args=(str(out), str(cache), reached, 0.03), kwargs=FIELDS)
    process.start()
    deadline = time.monotonic() + 120
    while reached.value < at and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(wait)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return reached.value


def history(folder):
    lines = csv.DictReader((folder / "history.csv").open())
    return [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]


def test_killed_at_three_random_steps_and_resumed_gives_the_same_weights(processes, tmp_path):
    cache = tmp_path / "cache"
    fit(recipe(**FIELDS), tmp_path / "whole", cache=cache)
    luck = random.Random(11)
    at = sorted(luck.sample(range(6, STEPS - 2), 3))
    stops = [killed(processes, tmp_path / "killed", cache, step, luck.random() * 0.03) for step in at]
    assert stops == sorted(stops)
    assert stops[-1] < STEPS, "killed too late to show anything"
    assert not (tmp_path / "killed" / "final.safetensors").exists()
    fit(recipe(**FIELDS), tmp_path / "killed", cache=cache)
    for name in ("final", "best", "last"):
        whole, resumed = (load_file(tmp_path / d / f"{name}.safetensors") for d in ("whole", "killed"))
        assert set(whole) == set(resumed)
        assert all(torch.equal(whole[k], resumed[k]) for k in whole), name
    whole, resumed = (torch.load(tmp_path / d / "last.pt", weights_only=True) for d in ("whole", "killed"))
    assert all(torch.equal(whole["model"][k], resumed["model"][k]) for k in whole["model"])
    assert history(tmp_path / "whole") == history(tmp_path / "killed")
    parts = [sorted(p.name for p in (tmp_path / d / "parts").iterdir()) for d in ("whole", "killed")]
    assert parts[0] == parts[1]


def test_killed_while_a_checkpoint_is_written_leaves_a_whole_one(processes, tmp_path):
    cache = tmp_path / "cache"
    fit(recipe(**FIELDS), tmp_path / "whole", cache=cache)
    for at, wait in ((4, 0.031), (9, 0.033), (14, 0.035)):  # about when the checkpoints of steps 5, 10, 15 are written
        killed(processes, tmp_path / "killed", cache, at, wait)
        if (tmp_path / "killed" / "last.pt").exists():
            assert torch.load(tmp_path / "killed" / "last.pt", weights_only=True)["step"] > 0
    fit(recipe(**FIELDS), tmp_path / "killed", cache=cache)
    whole, resumed = (load_file(tmp_path / d / "final.safetensors") for d in ("whole", "killed"))
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
