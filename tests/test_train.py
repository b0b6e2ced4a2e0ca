"""The training loop: it learns, resumes exactly, and stops with a reason."""

import csv
import itertools
import json
import math

import pytest
import torch
from safetensors.torch import load_file

import depthprobe.train as train_module
from depthprobe.data import DATASETS, Batch, Dataset
from depthprobe.functional.losses import silog_loss
from depthprobe.models import load_model
from depthprobe.train import Recipe, fit, initial, score

SIZE = (32, 32)


def ramps(*, split="train", n=16, batch_size=8, on_error="raise", poison=-1):
    """Depth is brightness: anything that learns at all learns this."""

    def read(i):
        generator = torch.Generator().manual_seed(i + (1000 if split == "val" else 0))
        level = torch.rand(1, 1, 1, 1, generator=generator)
        image = (level * torch.linspace(0.2, 1, SIZE[0]).view(1, 1, -1, 1)).expand(1, 3, *SIZE).clone()
        depth = 1 + 4 * image[:, :1]
        if i == poison:
            depth = depth * torch.nan
        valid = torch.ones(1, 1, *SIZE, dtype=torch.bool)
        return Batch(image=image, depth=depth, valid=valid, sample=(ids[i],), group=(ids[i],))

    ids = [f"ramp-{split}-{i}" for i in range(n)]
    return Dataset(
        name="ramps", samples=ids, groups=ids, read=read, batch_size=batch_size, facts={"split": split, "n": n}
    )


@pytest.fixture(autouse=True)
def dataset(monkeypatch):
    monkeypatch.setitem(DATASETS._items, "ramps", (ramps, {}))


def recipe(**fields):
    plain = {
        "train": {"split": "train", "n": 16},
        "val": {"split": "val", "n": 4},
        "colour": 0.0,
        "precision": "32-true",
    }
    return Recipe(model="timm:convnext_atto?size=32x32", dataset="ramps", **{**plain, "batch_size": 4, **fields})


def weights(folder):
    return load_file(folder / "final.safetensors")


def test_it_learns_and_leaves_what_it_promises(tmp_path):
    plan = recipe(steps=30, val_every=15, lr=3e-3, ema=0.5)
    untrained = score(load_model(plan.model), plan, torch.device("cpu"))["abs_rel"]
    fit(plan, tmp_path)
    lines = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [int(line["step"]) for line in lines] == [15, 30]
    assert float(lines[-1]["abs_rel"]) < 0.5 * untrained
    assert json.loads((tmp_path / "recipe.json").read_text())["steps"] == 30
    assert {"best.safetensors", "final.safetensors", "last.pt"} <= {p.name for p in tmp_path.iterdir()}


def test_a_training_that_was_stopped_ends_with_the_same_weights(tmp_path):
    plan = recipe(steps=6, val_every=2)
    fit(plan, tmp_path / "whole")

    def stop(step, steps, numbers):
        if step == 5:  # after the checkpoint of step 4
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(plan, tmp_path / "halves", progress=stop)
    fit(plan, tmp_path / "halves")
    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(torch.equal(whole[k], halves[k]) for k in whole)


def test_another_recipe_in_the_same_folder_is_refused(tmp_path):
    fit(recipe(steps=1), tmp_path)
    with pytest.raises(ValueError, match="differs in \\['lr'\\]"):
        fit(recipe(steps=1, lr=1.0), tmp_path)


def test_a_loss_that_is_not_finite_stops_with_step_and_samples(tmp_path, monkeypatch):
    monkeypatch.setitem(
        train_module.LOSSES._items, "silog", (lambda *a: torch.tensor(math.nan, requires_grad=True), {})
    )
    with pytest.raises(FloatingPointError, match=r"step 0 on \['ramp-train"):
        fit(recipe(steps=2), tmp_path)


def test_every_epoch_sees_each_sample_once(tmp_path):
    loop = train_module._Loop(recipe(steps=1), tmp_path, train_module.Fabric(accelerator="cpu"), tmp_path / "c", None)
    for epoch in range(2):
        seen = [i for step in range(4) for i in loop.indices(4 * epoch + step)]
        assert sorted(seen) == list(range(16))
    assert loop.indices(0) != loop.indices(4)


def test_the_schedule_warms_up_and_ends_at_zero(tmp_path):
    loop = train_module._Loop(recipe(steps=100), tmp_path, train_module.Fabric(accelerator="cpu"), tmp_path / "c", None)
    rates = [loop.rate(s) for s in range(100)]
    assert rates[0] < rates[4] < rates[5] == pytest.approx(1e-3, rel=0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[5:])) and rates[-1] < 1e-5


def test_the_seed_decides_the_initial_weights():
    assert initial(recipe(seed=0)) == recipe().model
    heads = [load_model(initial(recipe(seed=s))).net.decoder.head.weight for s in (1, 2)]
    assert not torch.equal(*heads)


def test_silog_equals_its_formula_and_ignores_invalid_pixels():
    generator = torch.Generator().manual_seed(0)
    pred, depth = (1 + torch.rand(2, 1, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    valid = torch.rand(2, 1, 4, 5, generator=generator) > 0.3
    values = []
    for b in range(2):
        d = [
            math.log(p / g) for p, g, v in zip(pred[b].view(-1), depth[b].view(-1), valid[b].view(-1), strict=True) if v
        ]
        mean, square = sum(d) / len(d), sum(x * x for x in d) / len(d)
        values.append(math.sqrt(square - 0.5 * mean**2 + 1e-8))
    assert silog_loss(pred, depth, valid).item() == pytest.approx(sum(values) / 2, abs=1e-9)
    spoiled = torch.where(valid, pred, torch.nan)
    assert silog_loss(spoiled, depth, valid).item() == pytest.approx(sum(values) / 2, abs=1e-9)


def test_silog_gradient():
    generator = torch.Generator().manual_seed(1)
    pred = (1 + torch.rand(2, 1, 3, 4, generator=generator, dtype=torch.float64)).requires_grad_()
    depth = 1 + torch.rand(2, 1, 3, 4, generator=generator, dtype=torch.float64)
    valid = torch.rand(2, 1, 3, 4, generator=generator) > 0.2
    assert torch.autograd.gradcheck(lambda p: silog_loss(p, depth, valid), pred)


def test_silog_without_a_valid_pixel_says_so():
    one = torch.ones(1, 1, 2, 2)
    with pytest.raises(ValueError, match="at least one valid pixel"):
        silog_loss(one, one, one < 0)
