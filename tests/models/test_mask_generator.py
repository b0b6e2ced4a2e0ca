"""Masks learned once per network: the planted pixels are found, and nothing but the generator learns."""

import pytest
import torch
import train_cases  # registers the data set `ramps`

from depthprobe.data import DATASETS, Batch, Dataset
from depthprobe.functional.losses_gradient import depth_gradient_normal_loss
from depthprobe.functional.selection_core import keep_top
from depthprobe.models import load_model
from depthprobe.train import Recipe, fit

H, W = train_cases.SIZE
SUPPORT = "oracle:support%3Fshare=0.1%26seed=4"


def bright(*, split: str = "train", n: int = 16, batch_size: int = 4, on_error: str = "raise") -> Dataset:
    """Noise that is everywhere brighter than what replaces removed pixels, so that each planted pixel counts alike."""
    ids = [f"bright-{split}-{i}" for i in range(n)]

    def read(i: int) -> Batch:
        image = 0.6 + 0.4 * torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(i))
        one = torch.ones(1, 1, H, W)
        return Batch(image=image, depth=one, valid=one > 0, sample=(ids[i],), group=(ids[i],))

    facts = {"split": split, "n": n}
    return Dataset(
        name="bright", samples=ids, groups=ids, read=read, batch_size=batch_size, facts=facts, on_error=on_error
    )


if "bright" not in DATASETS:
    DATASETS.register("bright")(bright)


def opened(options="", of=SUPPORT, body="timm:test_convnext"):
    return load_model(f"mask:{body}?of={of}&size={H}x{W}{options}")


def images(n=2):
    return torch.rand(n, 3, H, W, generator=torch.Generator().manual_seed(0))


def learn(out, options="", **changes):
    recipe = Recipe(
        model=f"mask:timm:test_convnext?of={SUPPORT}&size={H}x{W}{options}", dataset="bright",
        train={"split": "train", "n": 16}, val={"split": "val", "n": 2}, loss="own", batch_size=4, colour=0.0, flip=0.0,
        ema=0.0, lr=1e-3, schedule="constant", warmup=0.0, val_every=1000, **changes,
    )  # fmt: skip
    return fit(recipe, out)


def overlap(a, b):
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("options", ["&shared=1&budget=0.1", "&shared=1&weight=1"])
def test_the_planted_set_is_found_at_the_matching_budget(tmp_path, options):
    model = learn(tmp_path, options, steps=150)
    support = load_model("oracle:support?share=0.1&seed=4").net.support(H, W)
    with torch.no_grad():
        kept = keep_top(model.net.generator(0.6 + 0.4 * images(3)), 0.1)
    for one in kept[:, 0]:
        assert overlap(one, support) >= 0.95


def test_only_the_generator_learns(tmp_path):
    model = learn(tmp_path, steps=2)
    start = load_model(f"mask:timm:test_convnext?of={SUPPORT}&size={H}x{W}")
    changed = {k for k, v in model.net.state_dict().items() if not torch.equal(v, start.net.state_dict()[k])}
    assert changed and all(name.startswith("generator.") for name in changed)


def test_the_network_under_study_is_frozen_and_judged_in_eval_mode():
    model = opened(of="timm:test_resnet%3Fsize=32x32").train()
    assert model.net.generator.training and not any(m.training for m in model.net.of.modules())
    before = {k: v.clone() for k, v in model.net.of.state_dict().items()}
    model(images())
    model.net.objective.backward()
    assert all(p.grad is None for p in model.net.of.parameters())
    assert all(p.grad is not None for p in model.net.generator.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.net.of.state_dict().items())


def test_the_objective_is_the_loss_of_hu_and_the_open_share():
    model = opened("&weight=3", of="timm:test_convnext%3Fsize=32x32").train()
    image = images()
    answer = model(image)
    mask, fill = model.net.generator(image).sigmoid(), torch.tensor(model.net.of.card.fill).view(1, 3, 1, 1)
    own = model.net.of(image)
    again = model.net.of(image * mask + fill * (1 - mask))
    torch.testing.assert_close(answer, again)
    want = depth_gradient_normal_loss(again, own, torch.ones_like(own, dtype=torch.bool)) + 3 * mask.mean()
    torch.testing.assert_close(model.net.objective, want)


def test_a_mask_starts_half_open_and_a_hard_one_keeps_its_budget():
    with torch.no_grad():
        assert (opened().net.generator(images()).sigmoid().mean((1, 2, 3)) - 0.5).abs().max() < 0.05
        model, image = opened("&budget=0.25", of="oracle:brightness"), images()
        kept = keep_top(model.net.generator(image), 0.25)
        fill = torch.tensor(model.net.of.card.fill).view(1, 3, 1, 1)
        torch.testing.assert_close(model(image), model.net.of(torch.where(kept, image, fill)))


def test_seeds_differ_and_repeat():
    head = [opened(f"&seed={s}").net.generator.body.decoder.head.weight for s in (0, 0, 1)]
    assert torch.equal(head[0], head[1]) and not torch.equal(head[0], head[2])


def test_masks_with_and_without_a_shared_map_have_different_names():
    kinds = [opened(f"&shared={s}&weight=3").card.facts["kind"] for s in (0, 1)]
    assert kinds == ["weight3", "weight3, shared"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mask:conv", "network under study"),
        ("mask:timm:test_convnext?of=oracle:row", "add &size"),
        ("mask:oracle:row?of=oracle:row&size=8x8", "no shared decoder"),
        ("mask:timm:test_convnext?of=oracle:row&size=32x32&budget=2", "budget"),
        ("mask:timm:test_convnext?of=oracle:row&size=32x32&shared=yes", "shared"),
        ("mask:timm:test_convnext?of=timm:test_resnet%3Fsize=32x32&size=16x16", r"\(32, 32\)"),
    ],
)
def test_what_does_not_fit_is_said(name, said):
    with pytest.raises(ValueError, match=said):
        load_model(name)


def test_a_network_without_an_objective_is_refused(tmp_path):
    recipe = Recipe(model="timm:test_convnext?size=32x32", dataset="ramps", train={"n": 4}, val={"n": 2}, loss="own")
    with pytest.raises(ValueError, match="states its own objective"):
        fit(recipe, tmp_path)
