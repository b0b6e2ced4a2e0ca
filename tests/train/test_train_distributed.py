"""Two processes train as one: the same samples, the same augmentation, the same weights up to rounding."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from train_cases import AUGMENTED

TESTS = Path(__file__).parents[1]
PLAIN = {
    "model": '"timm:convnext_atto?size=32x32"', "steps": 20, "batch_size": 4, "val_every": 10, "lr": 1e-3, **AUGMENTED
}  # fmt: skip


def train(out: Path, cache: Path, processes: int = 1, **fields) -> None:
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    options = [f"{name}={value}" for name, value in {**PLAIN, **fields}.items()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*start, "train_cases.py", str(out), str(cache), *options]
    done = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def largest_difference(a: Path, b: Path) -> float:
    one, two = (load_file(folder / "final.safetensors") for folder in (a, b))
    assert set(one) == set(two)
    return max(float((one[k] - two[k]).abs().max()) for k in one)


def numbers(folder: Path) -> list[dict[str, float]]:
    kept = ("step", "loss", "learning_rate", "gradient_norm", "abs_rel", "delta1")
    lines = csv.DictReader((folder / "history.csv").open())
    return [{k: float(line[k]) for k in kept if line[k]} for line in lines]


def test_two_processes_equal_one(tmp_path):
    train(tmp_path / "one", tmp_path / "cache")
    train(tmp_path / "two", tmp_path / "cache", processes=2)
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-5
    for one, two in zip(numbers(tmp_path / "one"), numbers(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, rel=1e-4)


@pytest.mark.slow
def test_two_processes_with_accumulation_equal_one(tmp_path):
    train(tmp_path / "one", tmp_path / "cache")
    train(tmp_path / "two", tmp_path / "cache", processes=2, accumulate=2)
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("network", ["convnext_atto", "pvt_v2_b0"])
def test_a_sharded_network_equals_a_whole_one(tmp_path, network):
    model = f'"timm:{network}?size=32x32"'
    train(tmp_path / "one", tmp_path / "cache", model=model)
    train(tmp_path / "two", tmp_path / "cache", processes=2, strategy='"fsdp"', model=model)
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-5


@pytest.mark.slow
def test_a_sharded_training_goes_on_from_its_checkpoint(tmp_path):
    fields = {"strategy": '"fsdp"', "schedule": '"constant"', "warmup": 0.0, "val_every": 4}
    train(tmp_path / "whole", tmp_path / "cache", processes=2, **fields, steps=8)
    train(tmp_path / "parts", tmp_path / "cache", processes=2, **fields, steps=4)
    path = tmp_path / "parts" / "recipe.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "steps": 8}))  # a constant rate knows no last step
    train(tmp_path / "parts", tmp_path / "cache", processes=2, **fields, steps=8)
    assert largest_difference(tmp_path / "whole", tmp_path / "parts") == 0
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "parts")


@pytest.mark.slow
def test_a_training_of_two_processes_goes_on_with_one(tmp_path):
    fields = {"schedule": '"constant"', "warmup": 0.0, "val_every": 4}
    train(tmp_path / "one", tmp_path / "cache", **fields, steps=8)
    train(tmp_path / "two", tmp_path / "cache", processes=2, **fields, steps=4)
    path = tmp_path / "two" / "recipe.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "steps": 8}))
    train(tmp_path / "two", tmp_path / "cache", **fields, steps=8)
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-5
