"""A run killed (SIGKILL) at any moment and started again gives the table of one never killed, row for row."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from depthprobe.schema import read_sidecar, read_table


@pytest.fixture
def processes(monkeypatch):
    """Real processes that start quickly: a server has the libraries loaded and forks."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny"])
    return context


def killed(processes, out, at, wait):
    """Start the tiny run, kill it once `at` samples are measured and `wait` seconds passed; how far it was."""
    from tiny import run_tiny_reporting

    reached = processes.Value("i", -1, lock=False)
    process = processes.Process(target=run_tiny_reporting, args=(str(out), reached, 0.004))
    process.start()
    deadline = time.monotonic() + 120
    while reached.value < at and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(wait)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return reached.value


def test_killed_at_random_points_and_resumed_gives_the_same_table(processes, tmp_path):
    from tiny import run_tiny

    whole = run_tiny(tmp_path / "whole")
    total = len(read_sidecar(tmp_path / "whole")["parts"])
    luck = random.Random(7)
    at = sorted(luck.sample(range(1, total - 4), 5))
    stops = [killed(processes, tmp_path / "killed", point, luck.random() * 0.03) for point in [0, *at]]
    assert all(stop < total for stop in stops), "killed too late to show anything"
    assert sorted(stops) == stops, "nothing measured twice"
    assert stops[-1] > stops[0]
    assert read_sidecar(tmp_path / "killed")["status"] == "running"
    partial = read_table(tmp_path / "killed")
    assert 0 < len(partial) < len(whole)
    resumed = run_tiny(tmp_path / "killed")
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)
    assert read_sidecar(tmp_path / "killed")["status"] == "complete"
    assert not list((tmp_path / "killed").rglob("*.partial"))
    maps = [sorted(p.name for p in (tmp_path / d / "maps").iterdir()) for d in ("whole", "killed")]
    assert maps[0] == maps[1] != []


def test_killed_while_the_last_files_are_written(processes, tmp_path):
    from tiny import run_tiny

    whole = run_tiny(tmp_path / "whole")
    total = len(read_sidecar(tmp_path / "whole")["parts"])
    for wait in (0.0, 0.01, 0.03):
        killed(processes, tmp_path / "killed", total, wait)
    pd.testing.assert_frame_equal(run_tiny(tmp_path / "killed"), whole, check_exact=True)
    assert not list((tmp_path / "killed").rglob("*.partial"))
