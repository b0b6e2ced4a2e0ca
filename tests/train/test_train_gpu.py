"""Training on CUDA: precisions, the guard that looks one step back, memory, and going on from a checkpoint."""

import csv
import math

import pytest
import torch
from safetensors.torch import load_file
from train_cases import AUGMENTED, recipe

from depthprobe.functional.augment import augment
from depthprobe.train import fit
from depthprobe.train.order import batch_at

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CONVNEXT = "timm:convnext_atto?size=32x32"


def on_gpu(**fields):
    return recipe(**{"device": "cuda", "precision": "auto", "model": CONVNEXT, **fields})


@pytest.mark.parametrize("precision", ["auto", "32-true", "bf16-mixed", "16-mixed"])
def test_every_precision_learns(tmp_path, precision):
    fit(on_gpu(precision=precision, steps=60, val_every=30, lr=3e-3, ema=0.5), tmp_path)
    lines = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert float(lines[-1]["abs_rel"]) < 0.2
    assert all(math.isfinite(float(line["loss"])) for line in lines)
    assert 0 < float(lines[-1]["peak_memory"]) < 2000
    assert {x.dtype for x in load_file(tmp_path / "final.safetensors").values()} == {torch.float32}


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_it_goes_on_from_its_checkpoint(tmp_path, precision):
    plan = on_gpu(precision=precision, steps=8, save_every=3, val_every=8, **AUGMENTED)
    fit(plan, tmp_path / "whole")

    def stop(step, steps, numbers):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(plan, tmp_path / "halves", progress=stop)
    fit(plan, tmp_path / "halves")
    whole, halves = (load_file(tmp_path / d / "final.safetensors") for d in ("whole", "halves"))
    assert max(float((whole[k] - halves[k]).abs().max()) for k in whole) < 1e-3, "kernels may add in another order"


def test_a_planted_nan_is_named_and_never_saved(tmp_path):
    plan = on_gpu(steps=8, train={"n": 16, "poison": 5}, save_every=1, val_every=8)
    step = next(s for s in range(8) if 5 in [number for number, _ in batch_at(s, 16, 4, plan.seed)])
    with pytest.raises(FloatingPointError, match=f"at step {step} on .*'ramp-train-5'"):
        fit(plan, tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["step"] <= step
    assert all(x.isfinite().all() for x in state["model"].values())


def test_running_out_of_memory_says_what_to_change(tmp_path):
    size = [1024, 1024]
    options = {"train": {"n": 256, "size": size}, "val": {"split": "val", "n": 1, "size": size}}
    with pytest.raises(MemoryError, match="set accumulate=2"):
        fit(on_gpu(model="timm:convnext_atto?size=2048x2048", batch_size=256, precision="32-true", **options), tmp_path)


def test_global_randomness_of_the_device_is_left_as_it_was(tmp_path):
    torch.cuda.manual_seed(1)
    before = torch.cuda.get_rng_state()
    fit(on_gpu(**AUGMENTED), tmp_path)
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_augmentation_on_the_device_is_that_of_the_cpu_but_for_its_noise():
    g = torch.Generator().manual_seed(0)
    depth = 1 + torch.rand(4, 1, 24, 32, generator=g)
    image, valid = torch.rand(4, 3, 24, 32, generator=g), depth > 1.2
    options = {"keys": [1, 2, 3, 4], "colour": 0.0, "rotation": 5.0, "cut_depth": 0.5, "drop_pixels": 0.5}
    here = augment(image, depth, valid, **options)
    there = augment(image.cuda(), depth.cuda(), valid.cuda(), **options)
    assert (here[2] == there[2].cpu()).float().mean() > 0.999
    both = here[2] & there[2].cpu()
    assert (here[1] == there[1].cpu())[both].float().mean() > 0.999
    assert (here[0] - there[0].cpu()).abs().mean() < 1e-3


@pytest.mark.slow
def test_a_compiled_network_trains(tmp_path):
    fit(on_gpu(compile=True, steps=4), tmp_path)
    assert (tmp_path / "final.safetensors").is_file()
