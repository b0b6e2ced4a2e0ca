"""Rollout of networks: planted attention, real Transformers of every layout, as selector and method; CNNs refused."""

import pandas as pd
import pytest
import tiny
import torch
from torch import nn

from depthprobe.data import stack
from depthprobe.functional.attribution import ATTRIBUTIONS, attribute, pixel_score
from depthprobe.functional.selection import SELECTORS, keep_top, rank_pixels
from depthprobe.functional.targets import Target
from depthprobe.models import DepthModel, ModelCard, load_model
from depthprobe.models import rollout as module
from depthprobe.models.adapter import NetworkError
from depthprobe.models.attention import capture_attention
from depthprobe.models.rollout import attention_rollout
from depthprobe.probes.attribution import AttributionPlan, attribution

NETWORKS = {
    "vit": "timm:test_vit?size=64x80",
    "swin": "zoo:swin.mixed",
    "pvt": "zoo:pvt.mixed",
    "padded": "timm:swin_tiny_patch4_window7_224?size=64x96&embed_dim=12&depths=(2,2,2,2)&num_heads=(1,2,2,2)"
    "&window_size=(3,5)",
}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return load_model(NETWORKS[request.param])


def image(model, batch=2, size=None, seed=0):
    size = size or model.card.size or (64, 96)
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


# --- real networks ---------------------------------------------------------------------------------------------------


def test_relevance_is_a_distribution_over_the_canvas(model):
    seen = image(model)
    size = tuple(model.canvas(seen).shape[-2:])
    for at in (None, (0, 0), (size[0] - 1, size[1] // 2)):
        found = attention_rollout(model, seen, at)
        assert found.shape == (2, 1, *size) and found.dtype == seen.dtype
        assert found.isfinite().all() and (found >= 0).all()
        torch.testing.assert_close(found.sum((1, 2, 3)), torch.ones(2))
        assert found[0].unique().numel() > 1, "a trained or random network prefers something"


def test_an_image_does_not_depend_on_its_batch(model):
    seen = image(model, 3)
    whole = attention_rollout(model, seen, heads="max", discard=0.5)
    assert torch.equal(attention_rollout(model, seen[1:2], heads="max", discard=0.5), whole[1:2])


def test_the_mean_is_the_mean_over_the_places_of_the_last_tokens(model):
    """Asked about one pixel of each of the last tokens, which stand at regular places."""
    seen = image(model, 1)
    places = []
    size = tuple(seen.shape[-2:])
    with torch.no_grad(), capture_attention(model.net, lambda m: places.append(m.queries), size=size):
        model(seen)
    last = places[-1].reshape(-1, 2)
    at = [(int(y), int(x)) for y, x in last[last.isfinite().all(1)].tolist()]
    parts = torch.cat([attention_rollout(model, seen, place) for place in at])
    torch.testing.assert_close(parts.mean(0, keepdim=True), attention_rollout(model, seen), rtol=1e-4, atol=1e-9)


def test_a_plain_transformer_is_the_product_that_the_paper_states():
    model = load_model(NETWORKS["vit"])
    seen, maps = image(model, 1), []
    with torch.no_grad(), capture_attention(model.net, lambda m: maps.append(m.weights[0, 0]), size=(64, 80)):
        model(seen)
    product = torch.eye(maps[0].shape[-1]).double()
    for heads in maps:
        product = (0.5 * heads.double().mean(0) + 0.5 * torch.eye(len(product))) @ product
    patches = product[1:, 1:].mean(0)
    want = (patches / patches.sum()).view(1, 1, 4, 5).repeat_interleave(16, 2).repeat_interleave(16, 3) / 256
    torch.testing.assert_close(attention_rollout(model, seen), want.float())


def test_a_larger_image_is_read_on_the_canvas(model):
    size = model.card.size or (64, 96)
    seen = image(model, 1, size=(2 * size[0], 2 * size[1]))
    found = attention_rollout(model, seen)
    if model.card.size is not None:
        assert found.shape[-2:] == size
    assert torch.equal(found, attention_rollout(model, model.canvas(seen)))


# --- planted attention -----------------------------------------------------------------------------------------------


class Planted(nn.Module):
    """Layers over the pixels of a 4x6 image, each with a planted map; `order` says which run, one after the other."""

    def __init__(self, maps, order):
        super().__init__()
        self.layers = nn.ModuleList([Given(weights) for weights in maps])
        self.order = order

    def forward(self, x):
        for i in self.order:
            self.layers[i](x)
        return 1 + x.mean(1, keepdim=True)


class Given(nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.attn_drop, self.weights, self.fused_attn = nn.Dropout(0.5), weights, True

    def forward(self, x):
        if not self.fused_attn:
            self.attn_drop(self.weights.expand(len(x), 1, -1, -1))


RIGHT = torch.eye(24).view(24, 4, 6).roll(1, 2).flatten(1)


def planted(maps=(RIGHT,), order=(0,)):
    card = ModelCard(name="planted", tag="x", family="transformer", output="metric_depth")
    return DepthModel(Planted(list(maps), order), card)


def test_a_layer_that_runs_twice_counts_twice():
    model = planted(order=(0, 0))
    found = attention_rollout(model, image(model, 2, size=(4, 6)), at=(1, 2))
    want = torch.zeros(4, 6)
    want[1, 2:5] = torch.tensor([0.25, 0.5, 0.25])
    torch.testing.assert_close(found[:, 0], want.expand(2, -1, -1))


def test_the_order_is_that_in_which_layers_run():
    """The last layer looks right from everywhere, the first down from the fourth column alone."""
    down = torch.eye(24)
    down[range(3, 24, 6)] = torch.eye(24).view(24, 4, 6).roll(1, 1).flatten(1)[range(3, 24, 6)]
    found = attention_rollout(planted((RIGHT, down), (1, 0)), torch.rand(1, 3, 4, 6), at=(0, 2))[0, 0]
    assert found[0].tolist() == [0, 0, 0.5, 0.25, 0, 0]
    assert found[1].tolist() == [0, 0, 0, 0.25, 0, 0]
    other = attention_rollout(planted((RIGHT, down), (0, 1)), torch.rand(1, 3, 4, 6), at=(0, 2))[0, 0]
    assert other[0].tolist() == [0, 0, 0.5, 0.5, 0, 0]


def state(model):
    settings = [getattr(m, "fused_attn", None) for m in model.modules()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    gradients = [p.grad is None for p in model.parameters()]
    return settings, hooks, [m.training for m in model.modules()], gradients, torch.is_grad_enabled()


def test_everything_is_left_as_it_was_also_after_a_planted_failure(model, monkeypatch):
    model.train()
    model.net.decoder.eval()
    before, values = state(model), {k: v.clone() for k, v in model.state_dict().items()}
    attention_rollout(model, image(model, 1))
    assert state(model) == before
    read, left = module.read_layer, [2]

    def failing(*args, **options):
        left[0] -= 1
        if left[0] < 0:
            assert not any(s for s in state(model)[0] if s is not None), "the switch is off while maps are read"
            raise ArithmeticError("planted")
        return read(*args, **options)

    monkeypatch.setattr(module, "read_layer", failing)
    with pytest.raises(NetworkError, match="ArithmeticError: planted"):
        attention_rollout(model, image(model, 1))
    assert state(model) == before
    assert all(torch.equal(v, values[k]) for k, v in model.state_dict().items())
    model.eval()


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_network_without_attention_is_refused():
    for cnn in (tiny.model(), load_model("timm:test_convnext?size=32x32")):
        for ask in (
            lambda x, m=cnn: attention_rollout(m, x),
            lambda x, m=cnn: rank_pixels("attention_rollout", x, seeds=[0], model=m),
            lambda x, m=cnn: attribute("attention_rollout", m, x, Target("mean"), seeds=[0]),
        ):
            with pytest.raises(ValueError, match="the network has none; give a Transformer"):
                ask(torch.rand(1, 3, 32, 32))


def test_wrong_arguments_say_what_was_expected():
    model, seen = planted(), torch.rand(1, 3, 4, 6)
    with pytest.raises(ValueError, match="Expected `model` to be a DepthModel"):
        attention_rollout(model.net, seen)
    with pytest.raises(ValueError, match="Expected `image` to have shape"):
        attention_rollout(model, seen[0])
    for at, name in (((4, 0), "at y"), ((0, 6), "at x"), ((-1, 0), "at y")):
        with pytest.raises(ValueError, match=f"`{name}` to be in"):
            attention_rollout(model, seen, at)
    with pytest.raises(ValueError, match="`heads` to be one of"):
        attention_rollout(model, seen, heads="median")


def test_tokens_that_fit_no_grid_are_refused():
    odd = planted((torch.eye(23),))
    with pytest.raises(ValueError, match="layout is not known"):
        attention_rollout(odd, torch.rand(1, 3, 4, 6))


# --- as a selector and as a method -----------------------------------------------------------------------------------


def test_the_order_of_the_selector_is_that_of_relevance(model):
    seen = image(model)
    relevance = attention_rollout(model, model.canvas(seen))
    rank = rank_pixels("attention_rollout", model.canvas(seen), seeds=[0, 1], model=model)
    for budget in (0.05, 0.4):
        keep = keep_top(rank, budget)
        for i in range(2):
            assert relevance[i][keep[i]].min() >= relevance[i][~keep[i]].max()


def test_the_method_is_the_same_for_every_target_and_adds_up_to_one(model):
    seen = model.canvas(image(model))
    place = torch.tensor([[3, 5], [0, 0]])
    targets = Target("mean"), Target("pixel", {"place": place}), Target("edge_gradient", {"depth": 1 + seen[:, :1],
               "valid": seen[:, :1] > -1})  # fmt: skip
    found = [attribute("attention_rollout", model, seen, target, seeds=[0, 1]) for target in targets]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    torch.testing.assert_close(pixel_score("attention_rollout", found[0]), attention_rollout(model, seen))


def test_an_image_larger_than_the_canvas_gets_a_map_of_its_own_size():
    model = load_model(NETWORKS["vit"])
    seen = image(model, 1, size=(128, 160))
    found = attribute("attention_rollout", model, seen, Target("mean"), seeds=[0])
    small = attention_rollout(model, seen)
    want = small.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
    torch.testing.assert_close(pixel_score("attention_rollout", found), want)


def test_the_method_asks_once_and_leaves_no_graph():
    model = tiny.attending()
    count = []
    handle = model.net.register_forward_hook(lambda *_: count.append(1))
    found = attribute("attention_rollout", model, torch.rand(1, 3, 24, 32), Target("mean"), seeds=[0])
    handle.remove()
    facts = ATTRIBUTIONS.facts("attention_rollout")
    assert len(count) == facts["passes"](24, 32) == 1
    assert not found.requires_grad
    assert set(facts) == {"answers", "signed", "baseline", "passes", "random", "source"}
    assert (facts["answers"], facts["signed"], facts["baseline"]) == ("attention", False, "none")
    assert SELECTORS.facts("attention_rollout")["needs"] == ("model",)


def test_its_curves_checks_and_sanity_are_measured_by_the_probe():
    plan = AttributionPlan(
        methods=("attention_rollout",), targets=("mean", "edge_gradient"), shares=(0.2, 0.5), randomise=(1.0,),
        perturbations=2,
    )  # fmt: skip
    table = attribution(tiny.attending(), stack([tiny.sample(i, (24, 32)) for i in range(2)]), plan)
    table = table[table["factor"] == "attention_rollout"]

    def values(metric, **where):
        return table[(table["metric"] == metric) & (table[list(where)] == pd.Series(where)).all(axis=1)]["value"]

    for curve in ("deletion", "insertion", "road"):
        both = [values(f"abs_rel@{curve}", factor2=target).tolist() for target in plan.targets]
        assert len(both[0]) == 4 and both[0] == both[1]
    assert (values("rank_correlation@random_weights").abs() < 0.99).all()
    assert (values("sensitivity_max") > 0).all()
    assert values("infidelity").isna().all()
    assert len(values("completeness_gap")) == 0
