"""`depthprobe train` from a user's command line, up to the evaluation of what it made."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import train_cases  # noqa: F401  (registers the data set `ramps`)
from PIL import Image
from typer.testing import CliRunner

from depthprobe.cli import app
from depthprobe.schema import read_table
from depthprobe.train import RECIPES

RAMPS = ["--model", "py:train_cases:Net?output=metric_depth", "--dataset", "ramps", "--device", "cpu"]


def call(*args, code=0):
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == code, result.output + str(result.exception)
    return result


def nyu(root: Path, frames: int = 24) -> Path:
    """A miniature NYU: rooms whose brightness says how far they are."""
    rng = np.random.default_rng(0)
    for split, first in (("train", 1), ("test", 301)):
        (root / split).mkdir(parents=True)
        lines = []
        for number in range(first, first + frames):
            depth = np.linspace(4, 1 + rng.random(), 60)[:, None] * np.ones(80)
            picture = (255 * (1 - depth[..., None] / 5) * np.ones(3)).astype(np.uint8)
            Image.fromarray(picture).save(root / split / f"{number:05d}.jpg", quality=95)
            Image.fromarray((1000 * depth).astype(np.uint16)).save(root / split / f"{number:05d}.png")
            lines.append(f"{split}/{number:05d}.jpg {split}/{number:05d}.png 518.8579")
        (root / f"{split}.txt").write_text("\n".join(lines))
    return root


def test_nyu_is_trained_on_and_the_result_evaluated(tmp_path):
    root = nyu(tmp_path / "nyu")
    small = ["--set", "batch_size=4", "--set", "resize=[32, 32]", "--set", "val_every=8", "--device", "cpu"]
    network = ["--model", "timm:convnext_atto?size=32x32"]
    text = call("train", "nyu-finetune", "--root", root, "--steps", 8, *network, *small, "--out", tmp_path / "t").output
    assert "Scores:  abs_rel" in text
    recipe = json.loads((tmp_path / "t" / "recipe.json").read_text())
    assert recipe["train"] == {"split": "train", "root": str(root)}
    table = read_table(tmp_path / "t")
    judged = table[table["metric"] == "abs_rel"]
    assert set(judged["group"]) < {f"nyu-block-{k:03d}" for k in range(3)}, "held out from the training frames"
    lines = [line for line in text.replace("\n", " ").split("  ") if line.strip().startswith("depthprobe run")]
    command = lines[0].split()[1:]
    call(*command, "--device", "cpu", "--no-report")
    found = read_table(tmp_path / "t" / "run")
    assert set(found["model"]) == {"ckpt:t/final"}
    assert len(found[found["metric"] == "abs_rel"]) == 24
    assert found[found["metric"] == "abs_rel"]["value"].mean() < 2


@pytest.mark.slow
@pytest.mark.skipif("DEPTHPROBE_NYU" not in os.environ, reason="DEPTHPROBE_NYU names no folder with NYU's frames")
def test_a_zoo_network_gets_better_on_real_frames(tmp_path):
    root = os.environ["DEPTHPROBE_NYU"]
    options = ["--set", "batch_size=16", "--set", "val_every=20", "--set", "warmup=0.2", "--data", "n=64"]
    call("train", "nyu-finetune", "--root", root, "--steps", 40, *options, "--device", "cpu", "--out", tmp_path / "t")
    models = ["--model", "zoo:convnext", "--model", f"ckpt:{tmp_path / 't' / 'final.safetensors'}"]
    place = ["--dataset", "nyu", "--root", root, "--n", 40, "--device", "cpu", "--no-report"]
    call("run", *models, "--probe", "error", *place, "--out", tmp_path / "run")
    table = read_table(tmp_path / "run")
    means = table[table["metric"] == "abs_rel"].groupby("model")["value"].mean()
    assert means["ckpt:t/final"] < means["zoo:convnext"]


def test_a_training_and_its_numbers(tmp_path):
    text = call("train", *RAMPS, "--steps", 4, "--set", "val_every=2", "--set", "train.n=8", "--set", "val.n=2",
                "--set", "batch_size=4", "--seed", 3, "--out", tmp_path / "t").output  # fmt: skip
    assert "4 steps of 4 on ramps" in text
    assert "history.csv and the table beside them" in text
    assert "Next:    depthprobe run --model ckpt:" in text
    assert "final.safetensors?trust=1 --probe error" in " ".join(text.split()), "its recipe names code"
    lines = list(csv.DictReader((tmp_path / "t" / "history.csv").open()))
    assert [line["step"] for line in lines] == ["2", "4"]
    assert json.loads((tmp_path / "t" / "recipe.json").read_text())["seed"] == 3


def test_epochs_are_counted_in_samples(tmp_path):
    options = ["--set", "epochs=1.5", "--set", "batch_size=4", "--set", "train.n=10", "--set", "val.n=2"]
    assert "1.5 epochs of 4" in call("train", *RAMPS, *options, "--out", tmp_path / "t").output
    lines = list(csv.DictReader((tmp_path / "t" / "history.csv").open()))
    assert lines[-1]["step"] == "4", "15 samples in batches of 4"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere"], "Expected a recipe (TOML) at nowhere, or one of"),
        (["nyu-finetune"], "Expected `root` to be the NYU Depth v2 folder"),
        (["kitti-paper", "--model", "timm:resnet18?size=352x1120"], "Expected `root` to be the KITTI raw data"),
        ([*RAMPS, "--set", "stepz=1"], "Expected options of [recipe] to be among"),
        ([*RAMPS, "--set", "accumulate=3"], "multiple of 3"),
        ([*RAMPS, "--init", "zoo:nothing"], "Expected `model` to be one of"),
        ([*RAMPS, "--init", "nowhere.safetensors"], "Expected `init` to be weights"),
        ([*RAMPS, "--set", "train.poison=0", "--set", "train.n=4"], "The loss is nan at step 0 on"),
        ([*RAMPS, "--set", "precision=16-mixed"], "Expected precision 16-mixed on CUDA"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_errors_are_one_sentence(args, message, tmp_path):
    result = call("train", *args, "--out", tmp_path / "t", code=2)
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_recipes_are_listed():
    text = call("list", "recipes").output
    assert all(name in text for name in RECIPES.names())
