"""Learned masks as a probe: what is planted is found, every kind of mask is what it says, generators are read back."""

import json
import shutil

import pytest
import tiny
import torch
import train_cases  # registers the data set `ramps`

from depthprobe.data import Batch
from depthprobe.functional.filling_core import flat
from depthprobe.functional.protocol import Protocol
from depthprobe.functional.selection import rank_pixels
from depthprobe.functional.soft_masks import binarised
from depthprobe.models import load_model
from depthprobe.probes.learned_mask import (
    SEARCHED,
    LearnedMaskPlan,
    Trial,
    learned_mask,
    learned_mask_maps,
    open_generator,
)
from depthprobe.schema import plan_id
from depthprobe.train import Recipe, fit

H, W = train_cases.SIZE
MAE = Protocol(name="mae", metrics=("mae",))
NAME = f"mask:timm:test_convnext?of=timm:test_resnet%3Fsize={H}x{W}&weight=2"


def images(n=2, low=0.6):
    """Noise, everywhere brighter than what replaces removed pixels."""
    generator = torch.Generator().manual_seed(5)
    image = low + (1 - low) * torch.rand(n, 3, H, W, generator=generator)
    depth = 1 + 8 * torch.rand(n, 1, H, W, generator=generator)
    ids = tuple("abcd"[:n])
    return Batch(image=image, depth=depth, valid=depth > 0, sample=ids, group=ids)


def values(frame, **where):
    for column, wanted in where.items():
        frame = frame[frame[column] == wanted]
    assert len(frame), where
    return torch.tensor(frame["value"].to_numpy())


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    out = tmp_path_factory.mktemp("mask")
    fit(
        Recipe(
            model=NAME, dataset="ramps", train={"split": "train", "n": 8}, val={"split": "val", "n": 2}, loss="own",
            batch_size=4, steps=2, val_every=2, seed=3,
        ),
        out,
    )  # fmt: skip
    return str(out)


def test_the_planted_pixels_are_all_that_is_needed():
    model = load_model("oracle:support?share=0.1&seed=4")
    plan = LearnedMaskPlan(protocol=MAE, steps=40, weight=1.0, searched=(0.1,), budgets=(0.1,), controls=("random",))
    frame = learned_mask(model, images(), plan)
    searched = values(frame, factor2="searched", metric="mae@self")
    ordered = values(frame, factor=SEARCHED, factor2="hard", metric="mae@self")
    random = values(frame, factor="random", factor2="hard", metric="mae@self")
    assert (searched < 0.02 * random).all() and (ordered < 0.02 * random).all()


def test_the_selector_learned_ranks_the_planted_pixels_first():
    model, batch = load_model("oracle:support?share=0.1&seed=4"), images()
    support = model.net.support(H, W)
    rank = rank_pixels("learned", batch.image, seeds=(0, 1), model=model)
    kept = rank >= H * W - int(support.sum())
    for one in kept[:, 0]:
        assert float((one & support).sum() / (one | support).sum()) >= 0.95


def test_the_selector_needs_a_model_with_a_card():
    with pytest.raises(ValueError, match="DepthModel"):
        rank_pixels("learned", images().image, seeds=(0, 1), model=lambda image: image[:, :1])


def test_every_kind_is_what_it_says():
    model, batch = tiny.model(), images()
    plan = LearnedMaskPlan(protocol=MAE, steps=5, searched=(), budgets=(0.2,), controls=())
    frame = learned_mask(model, batch, plan)
    trial = Trial(model, batch, plan)
    ((_, logits),) = trial.soft_masks()
    soft, image, hole = logits.sigmoid(), trial.canvas.image, flat(batch.image, model.card.fill)
    share = soft.flatten(1).mean(1)
    torch.testing.assert_close(values(frame, metric="open_share"), share.double())
    torch.testing.assert_close(values(frame, metric="open_max"), soft.flatten(1).amax(1).double())
    hard = binarised(logits, trial.canvas.seeds)
    for i in range(2):  # exactly the highest, as many as the mask lets through
        count = int(hard[i].sum())
        assert count == -int(-float(share[i]) * H * W // 1)
        assert soft[i][hard[i] > 0].min() >= soft[i][hard[i] == 0].max()
    for kind, mask in {"soft": soft, "binarised": hard, "uniform": share.view(2, 1, 1, 1)}.items():
        with torch.no_grad():
            answer = model(image * mask + hole * (1 - mask)), model(image)
        for against, truth in {"": batch.depth, "@self": answer[1]}.items():
            want = (answer[0].clamp(MAE.min_depth, MAE.max_depth) - truth.clamp(MAE.min_depth, MAE.max_depth)).abs()
            found = values(frame, factor2=kind, metric=f"mae{against}")
            torch.testing.assert_close(found, want.mean((1, 2, 3)).double(), rtol=1e-4, atol=1e-5)


def test_masks_of_a_generator_are_named_after_what_made_them_and_applied_to_others(generator):
    plan = LearnedMaskPlan(protocol=MAE, generators=(generator,), steps=0, budgets=(0.2,), controls=())
    frame = learned_mask(tiny.model(), images(), plan)
    label = "timm:test_resnet/timm:test_convnext/weight2/seed3"
    assert set(frame["factor"]) == {label}
    again, model = open_generator(generator)
    assert again == label
    with torch.no_grad():
        torch.testing.assert_close(
            values(frame, metric="open_share"), model.net.generator(images().image).sigmoid().mean((1, 2, 3)).double()
        )


def test_a_mask_of_another_size_is_fitted_to_the_network(generator):
    plan = LearnedMaskPlan(protocol=MAE, generators=(generator,), steps=0, budgets=(0.2,), controls=())
    trial = Trial(load_model("oracle:brightness"), tiny_batch(), plan)
    ((_, logits),) = trial.soft_masks()
    assert logits.shape == (1, 1, tiny.H, tiny.W)


def tiny_batch():
    return tiny.sample(0)


def test_a_training_of_something_else_is_refused(tmp_path, generator):
    fit(
        Recipe(
            model="timm:test_convnext?size=32x32", dataset="ramps", train={"split": "train", "n": 8},
            val={"split": "val", "n": 2}, batch_size=4, steps=1, val_every=1,
        ),
        tmp_path,
    )  # fmt: skip
    with pytest.raises(ValueError, match="training of a mask"):
        open_generator(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="nothing"):
        open_generator("nothing")


def test_two_generators_of_one_name_are_refused_before_anything_is_searched_for(tmp_path, generator):
    shutil.copytree(generator, tmp_path / "again")
    plan = LearnedMaskPlan(
        protocol=MAE, generators=(generator, str(tmp_path / "again")), steps=0, budgets=(0.2,), controls=()
    )
    with pytest.raises(ValueError, match="trainings that differ"):
        learned_mask(tiny.model(), images(), plan)


def test_maps_show_the_soft_mask_and_as_many_whole_pixels(generator):
    plan = LearnedMaskPlan(protocol=MAE, generators=(generator,), steps=0, controls=())
    entries = learned_mask_maps(tiny.model(), images(), plan)
    assert len(entries) == 2
    for entry in entries:
        meta = json.loads(entry["meta"])
        assert meta["factor2"] == "soft" and meta["metrics"]["mae@self"] >= 0
        assert abs(entry["keep"].mean() - meta["level"]) < 2 / (H * W)
        assert abs(entry["score"].mean() - meta["level"]) < 1e-5


@pytest.mark.parametrize(
    ("options", "said"),
    [({"steps": 0}, "mask to try"), ({"controls": ("nothing",)}, "control"), ({"budgets": ()}, "budgets")],
)
def test_plans_that_try_nothing_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        LearnedMaskPlan(**options)


def test_a_generator_that_was_trained_again_makes_another_plan(tmp_path):
    file = tmp_path / "final.safetensors"
    plans = []
    for weights in (b"first", b"second", b"first"):
        file.write_bytes(weights)
        plans.append(plan_id(LearnedMaskPlan(generators=(str(tmp_path),))))
    assert plans[0] == plans[2] != plans[1]
