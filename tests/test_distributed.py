"""Two processes started by torchrun give the table of one, row for row."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch.distributed.run import get_args_parser

from depthprobe.ranks import cores, open_ranks, pick_device
from depthprobe.schema import read_note, read_sidecar, read_table

STUDY = """
models = ["oracle:row", "oracle:window?r=2"]
probes = ["error"]
seeds = [0, 1]
maps = 1
device = "cpu"
[dataset]
name = "scenes"
n = 5
size = [24, 32]
batch_size = 1
"""


def command(*args: str, processes: int = 0) -> subprocess.CompletedProcess:
    start = [sys.executable, "-m"]
    if processes:
        start += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = {"capture_output": True, "text": True, "env": environment, "cwd": Path(__file__).parents[1]}
    return subprocess.run([*start, "depthprobe", *args], timeout=600, **options)


def test_two_processes_equal_one(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    two = command("run", f"{tmp_path}/study.toml", "--out", f"{tmp_path}/two", "--no-report", processes=2)
    assert two.returncode == 0, two.stderr
    one = command("run", f"{tmp_path}/two/study.toml", "--out", f"{tmp_path}/one", "--no-report")
    assert one.returncode == 0, one.stderr
    tables = [read_table(tmp_path / name) for name in ("one", "two")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert len(tables[0]) > 0
    sides = [read_sidecar(tmp_path / name) for name in ("one", "two")]
    assert sides[0]["parts"] == sides[1]["parts"]
    assert sides[0]["plans"] == sides[1]["plans"]
    assert sorted(p.name for p in (tmp_path / "one/maps").iterdir()) == sorted(
        p.name for p in (tmp_path / "two/maps").iterdir()
    )
    assert two.stdout.count("Table:") == 1, "only the first process speaks"
    ranks = [(read_note(p) or {})["rank"] for p in (tmp_path / "two/parts").iterdir()]
    assert {r: ranks.count(r) for r in set(ranks)} == {0: 12, 1: 8}, "each process measured its chunks"


@pytest.mark.slow
def test_an_error_of_one_process_ends_all_with_its_sentence(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.replace("oracle:row", "oracle:affine"))
    done = command("run", f"{tmp_path}/study.toml", "--out", f"{tmp_path}/two", processes=2)
    assert done.returncode != 0
    assert "Expected the truth to be given to `oracle:affine`" in done.stderr


def test_every_option_of_a_run_has_a_name_that_torchrun_leaves_alone():
    """Torchrun reads abbreviations of its own options even behind the program's name: `--n` could be its `--nnodes`."""
    from typer.main import get_command

    from depthprobe.cli import app

    def passes(name):
        line = ["--nproc-per-node", "2", "-m", "depthprobe", "run", name, "1"]
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                return get_args_parser().parse_args(line).training_script_args == ["run", name, "1"]
        except SystemExit:
            return False

    options = [p.opts for p in get_command(app).commands["run"].params if p.param_type_name == "option"]
    assert len(options) > 15
    assert [names for names in options if not any(map(passes, names))] == []
    assert not passes("--n"), "the reason for the other name"


def test_alone_there_is_one_rank_and_nothing_to_wait_for(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    threads = torch.get_num_threads()
    with open_ranks("cpu") as ranks:
        ranks.barrier()
        assert (ranks.rank, ranks.world, ranks.first, ranks.device) == (0, 1, True, torch.device("cpu"))
    assert torch.get_num_threads() == threads
    assert cores() >= 1


def test_auto_takes_the_accelerator_that_is_there(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
