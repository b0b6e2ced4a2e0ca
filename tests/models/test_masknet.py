"""Per-image masks: the planted pixels are found, exactly as many as asked for, whatever the batch."""

import pytest
import tiny
import torch

from depthprobe.models import load_model
from depthprobe.models.masknet import FoundMask, _better, optimise_mask

H, W = 16, 20
SEEDS = (3, 11)
BLACK = (0.0, 0.0, 0.0)


def images(n=2):
    return torch.rand(n, 3, H, W, generator=torch.Generator().manual_seed(0))


def planted():
    model = load_model("oracle:support?share=0.1&seed=4")
    return model, model.net.support(H, W)


def overlap(a, b):
    return float((a & b).sum() / (a | b).sum())


def test_a_hard_mask_of_the_matching_budget_is_the_planted_set():
    model, support = planted()
    found = optimise_mask(model, images(), seeds=SEEDS, budget=0.1, steps=30, fill=BLACK)
    assert found.mask.flatten(1).sum(1).tolist() == [float(support.sum())] * 2
    for one in found.mask[:, 0]:
        assert overlap(one.bool(), support) >= 0.95


def test_a_soft_mask_is_open_on_the_planted_set_alone():
    model, support = planted()
    found = optimise_mask(model, images(), seeds=SEEDS, weight=1.0, steps=150, fill=BLACK)
    for score in found.score[:, 0]:
        top = score.flatten().argsort(descending=True)[: int(support.sum())]
        assert support.flatten()[top].float().mean() >= 0.95
    assert ((found.mask > 0) & (found.mask < 1)).all()


@pytest.mark.parametrize("budget", [None, 0.05])
def test_an_image_does_not_depend_on_its_batch(budget):
    model, image = tiny.model().double(), images().double()
    both = optimise_mask(model, image, seeds=SEEDS, budget=budget, steps=5)
    for i in range(2):
        alone = optimise_mask(model, image[i : i + 1], seeds=SEEDS[i : i + 1], budget=budget, steps=5)
        torch.testing.assert_close(alone.score, both.score[i : i + 1], rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(alone.loss, both.loss[i : i + 1], rtol=1e-6, atol=1e-8)


def test_more_weight_opens_less():
    model, image = tiny.model(), images(1)
    open_ = [float(optimise_mask(model, image, seeds=(0,), weight=w, steps=60).mask.mean()) for w in (0.01, 1, 30)]
    assert open_[0] > open_[1] > open_[2]


def test_the_loss_is_of_the_mask_returned_and_never_worse_than_at_the_start():
    model, image = tiny.model(), images(1)
    first = optimise_mask(model, image, seeds=(0,), budget=0.2, steps=1, rate=1e-9)
    later = optimise_mask(model, image, seeds=(0,), budget=0.2, steps=25)
    assert later.loss <= first.loss
    from depthprobe.functional.losses_gradient import depth_gradient_normal_loss

    with torch.no_grad():
        colour = torch.tensor(model.card.fill).view(1, 3, 1, 1)
        answer, own = model(torch.where(later.mask > 0, image, colour)), model(image)
    want = depth_gradient_normal_loss(answer, own, torch.ones_like(own, dtype=torch.bool))
    torch.testing.assert_close(later.loss[0], want, rtol=1e-4, atol=1e-5)


def test_the_model_is_left_as_it_was():
    model, image = tiny.model().train(), images(1)
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    with torch.no_grad():
        optimise_mask(model, image, seeds=(0,), budget=0.2, steps=3)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_wrong_arguments_say_what_was_expected():
    model = tiny.model()
    for wrong, said in (
        ({"seeds": (1,)}, r"one seed per image \(2\)"),
        ({"seeds": SEEDS, "budget": 0.0}, "Expected `budget` to be in"),
        ({"seeds": SEEDS, "steps": 0}, "Expected `steps` to be in"),
        ({"seeds": SEEDS, "budget": 0.1, "domain": torch.ones(2, 1, H, W + 1, dtype=torch.bool)}, "`domain`"),
    ):
        with pytest.raises(ValueError, match=said):
            optimise_mask(model, images(), **wrong)


def test_a_hard_mask_takes_the_domain_first():
    model, image = tiny.model(), images()
    domain = torch.zeros(2, 1, H, W, dtype=torch.bool)
    domain[..., 3:9, 4:12] = True
    found = optimise_mask(model, image, seeds=SEEDS, budget=0.1, steps=5, domain=domain)
    assert ((found.mask > 0) & ~domain).sum() == 0
    assert found.mask.flatten(1).sum(1).tolist() == [32.0, 32.0]


def test_a_step_that_fails_is_not_the_best_of_an_image():
    one = torch.ones(2, 1, 1, 1)
    nan, fine = torch.tensor([torch.nan, 1.0]), torch.tensor([2.0, torch.nan])
    first, second = FoundMask(one, one, nan), FoundMask(2 * one, 2 * one, fine)
    for both in (_better(first, second), _better(second, first)):
        assert both.loss.tolist() == [2.0, 1.0]
        assert both.mask.flatten().tolist() == [2.0, 1.0]
