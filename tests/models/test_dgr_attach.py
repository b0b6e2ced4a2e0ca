"""Attaching refinements: what changes, what does not, and that it can be undone."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import depthprobe.models.zoo as zoo
from depthprobe.models import MODELS, load_model
from depthprobe.models.adapter import DepthModel, ModelCard
from depthprobe.models.dgr import BLOCKS, Variant, attach_dgr, detach_dgr, refined
from depthprobe.models.dgr_blocks import KERNELS, PRESETS
from depthprobe.provenance import model_identity, weights_digest
from depthprobe.train import save_weights
from depthprobe.train.recipes import find_fields

ZOO = [name for name in MODELS if name.startswith("zoo:")]
REFINED = [name for name in ZOO if "dgr=" in find_fields(name)["model"]]
SMALL = "timm:convnext_atto?size=64x64"
PLACES = ["last_feature", "each_stage", "depth", "decoder.upper", "decoder.refine.1/decoder.refine.2"]
BACKBONES = ["resnet10t", "convnext_atto", "pvt_v2_b0", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224",
             "coat_lite_tiny"]  # fmt: skip
STABLE = [",".join(["{}", *parts]) for parts in (
    (), ("kernels=random",), ("kernels=identity",), ("block=plain",), ("orders=1",), ("orders=2",), ("orders=3",),
    ("learnable=1",), ("padding=zeros",))]  # fmt: skip


class Net(nn.Module):
    """Gives tokens, then maps, and answers with a dictionary; one layer is never called."""

    def __init__(self):
        super().__init__()
        self.flat, self.map, self.idle = nn.Flatten(2), nn.Conv2d(3, 16, 1), nn.Identity()
        self.tail = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1))

    def forward(self, x):
        self.flat(x)
        return {"depth": self.tail(self.map(x)).squeeze(1), "other": x}


@pytest.fixture
def generic():
    torch.manual_seed(0)
    return DepthModel(Net(), ModelCard(name="py:net", tag="t", family="cnn", output="affine_disparity")).eval()


@pytest.fixture
def small():
    return load_model(SMALL)


def image(n=2, size=(64, 64)):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(0))


def answer(model, picture=None):
    with torch.no_grad():
        return model(image() if picture is None else picture)


def hooks(model):
    return sum(len(m._forward_hooks) for m in model.net.modules())


def step(model):
    """One optimiser step on something that depends on every pixel."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    answered = model(image()).abs().clamp_min(1e-3).log()
    (answered * torch.linspace(0.5, 1, 64)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", sorted(set(ZOO) - set(REFINED)))
def test_a_trained_network_answers_as_before(name, place):
    picture = image(1, (96, 128))
    before = answer(load_model(name), picture)
    for text in STABLE if place in ("last_feature", "depth") else STABLE[:1]:
        assert (answer(load_model(f"{name}?dgr={text.format(place)}"), picture) - before).abs().max() == 0


@pytest.mark.parametrize("name", REFINED)
def test_a_network_that_was_trained_with_it_has_it_and_takes_no_second(name):
    model = load_model(name)
    added = [p for at, p in model.net.named_parameters() if "dgr" in at]
    assert any(p.abs().max() > 0 for p in added)
    with pytest.raises(ValueError, match=r"no layer with a child `dgr`.*detach_dgr takes them off"):
        load_model(f"{name}?dgr=last_feature")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_it_attaches_to_every_family_of_backbones(backbone):
    model = load_model(f"timm:{backbone}?size=64x64")
    before, layers, keys = answer(model), model.layers(), set(model.net.state_dict())
    for place, count in (("last_feature", 1), ("each_stage", 4), ("depth", 1)):
        with refined(model, place) as blocks:
            assert len(blocks) == count and torch.equal(answer(model), before)
            assert model.layers() == layers and keys < set(model.net.state_dict())
            found = model.features(image(), [name or "decoder.head" for name in blocks])
            assert all(f.isfinite().all() for f in found.values())
        with refined(model, place, preset="paper", reduction=8):
            changed = answer(model)
        assert not torch.equal(changed, before) and (changed > 0).all() and changed.isfinite().all()
    assert set(model.net.state_dict()) == keys and torch.equal(answer(model), before)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_parameter_learns_after_one_step(small, preset, place):
    blocks = attach_dgr(small, place.split("/"), preset=preset, learnable=True)
    small.train()
    if preset == "stable":
        step(small)
    small(image()).log().square().mean().backward()
    parameters = [p for block in blocks.values() for p in block.parameters()]
    assert len(parameters) >= 10 and all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)


def test_the_weights_are_the_networks(small):
    blocks = attach_dgr(small, learnable=True)
    assert set(blocks["decoder.refine.0"].parameters()) <= set(small.parameters())
    before = copy.deepcopy(small.net.state_dict())
    step(small)
    step(small)
    changed = [k for k, v in small.net.state_dict().items() if ".dgr." in k and not torch.equal(v, before[k])]
    assert len(changed) == len(list(blocks["decoder.refine.0"].parameters()))


@pytest.mark.parametrize("place", ["last_feature", "each_stage", "depth", "decoder.upper"])
def test_detaching_restores_the_network_exactly(small, place):
    before, identity, output = hooks(small), model_identity(small), answer(small)
    attach_dgr(small, place, preset="paper", reduction=8)
    assert small.card.name == f"timm:convnext_atto?dgr={place},preset=paper,reduction=8"
    detach_dgr(small)
    assert model_identity(small) == identity and hooks(small) == before and torch.equal(answer(small), output)
    detach_dgr(small)
    assert model_identity(small) == identity


def test_the_network_is_as_before_also_after_an_exception(small):
    before, card, digest, output = hooks(small), small.card, weights_digest(small), answer(small)
    with pytest.raises(AssertionError, match="inside"), refined(small, "each_stage", preset="paper", reduction=8):
        assert weights_digest(small) == digest, "inside"
    assert hooks(small) == before and small.card is card and weights_digest(small) == digest
    assert torch.equal(answer(small), output) and not small.training


@pytest.mark.parametrize(
    ("options", "message"),
    [({"at": "decoder.nothing"}, "layer names"), ({"kernels": "sobel"}, "refinement kernel"),
     ({"block": "nothing"}, "refinement block"), ({"preset": "best"}, "`preset`"), ({"at": "depth/decoder"}, "layer")],
)  # fmt: skip
def test_a_refused_attachment_changes_nothing(small, options, message):
    before, card, digest = hooks(small), small.card, weights_digest(small)
    with pytest.raises(ValueError, match=message):
        attach_dgr(small, **options)
    assert hooks(small) == before and small.card is card and weights_digest(small) == digest


def test_twice_is_refused(small):
    attach_dgr(small)
    with pytest.raises(ValueError, match="detach_dgr"):
        attach_dgr(small, "depth")


def test_global_random_state_is_untouched_and_the_seed_decides():
    state = torch.get_rng_state()
    heads = [load_model(f"{SMALL}&dgr&seed={s}").net.decoder.refine[0].dgr.gate.nine.weight for s in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


def test_any_network_whose_layers_give_maps(generic):
    before = answer(generic)
    assert before.shape == (2, 1, 64, 64) and (before < 0).any()
    for place in ("depth", "map", "tail.0", "tail"):
        with refined(generic, place, reduction=1) as blocks:
            assert torch.equal(answer(generic), before)
            with torch.no_grad():
                for block in blocks.values():
                    next(p for n, p in block.named_parameters() if n.endswith("project.weight")).add_(0.1)
            assert not torch.equal(answer(generic), before)
        assert torch.equal(answer(generic), before)


def test_a_sequential_runs_its_refinement_once(generic):
    with refined(generic, "tail", preset="paper") as blocks:
        calls = []
        blocks["tail"].register_forward_hook(lambda *_: calls.append(1))
        answer(generic)
        assert calls == [1]


@pytest.mark.parametrize(("place", "message"), [("flat", "a map"), ("idle", "none"), ("last_feature", "to declare"),
                                                ("each_stage", "to declare")])  # fmt: skip
def test_layers_that_give_no_map_are_explained(generic, place, message):
    with pytest.raises(ValueError, match=message):
        attach_dgr(generic, place)
    assert hooks(generic) == 0


def test_only_depth_is_refined_in_its_logarithm(generic, small):
    assert attach_dgr(generic, "depth")[""].log is False
    assert attach_dgr(small, "depth")[""].log is True


@pytest.mark.parametrize("place", ["last_feature", "depth", "decoder.upper"])
def test_a_copy_uses_its_own_block(small, place):
    blocks = attach_dgr(small, place, preset="paper", reduction=8)
    other, before = copy.deepcopy(small), answer(small)
    with torch.no_grad():
        for block in blocks.values():
            for parameter in block.parameters():
                parameter.zero_()
    assert not torch.equal(answer(small), before) and torch.equal(answer(other), before)
    detach_dgr(other)
    assert hooks(other) == 0 and hooks(small) == (place != "decoder.upper")
    assert torch.equal(answer(other), answer(load_model(SMALL)))


def test_a_pickled_network_is_refined_too(small, tmp_path):
    attach_dgr(small, preset="paper", reduction=8)
    torch.save(small, tmp_path / "model.pt")
    again = torch.load(tmp_path / "model.pt", weights_only=False)
    assert torch.equal(answer(again), answer(small))
    detach_dgr(again)
    assert hooks(again) == 0


def test_compiled_in_one_graph(generic):
    with refined(generic, "map", preset="paper", reduction=2):
        torch._dynamo.reset()
        compiled = torch.compile(generic, backend="eager", fullgraph=True)
        assert torch.allclose(answer(compiled), answer(generic), atol=1e-6)


def test_distributed_training_sees_every_parameter(small, tmp_path):
    attach_dgr(small, "each_stage")
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(small.train().to(memory_format=torch.channels_last))
        for _ in range(2):  # a parameter without gradient in the first step would stop the second
            wrapped(image().to(memory_format=torch.channels_last)).log().mean().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert all(p.grad is not None for p in small.parameters())


# Names, files, cards


@pytest.mark.parametrize(
    "text",
    ["last_feature", "depth", "decoder.upper/decoder.refine.0", "each_stage,block=plain",
     "depth,orders=123,preset=paper,kernels=random,reduction=2,padding=reflect,learnable=0"],
)  # fmt: skip
def test_text_and_variant_are_the_same(text):
    assert Variant.read(text).text == text
    assert Variant.read("") == Variant() == Variant.read("last_feature,orders=23,preset=stable")


@pytest.mark.parametrize("text", ["depth,order=2", "depth,orders=x", "depth,reduction=", "depth,learnable=yes", "a,b"])
def test_a_text_that_is_no_variant_is_explained(text):
    with pytest.raises(ValueError, match="Expected `dgr`"):
        load_model(f"{SMALL}&dgr={text}")


def test_the_card_names_the_variant_and_its_name_opens_it():
    for name in ("timm:convnext_atto?dgr", "oracle:row?dgr=depth,orders=2", "zoo:convnext?dgr=depth"):
        card = load_model(name).card
        assert load_model(card.name).card == card and card.facts["dgr"] == Variant.read(name.partition("dgr=")[2]).text
        assert card.name.endswith(f"?dgr={card.facts['dgr']}")


VARIANTS = [
    *(f"last_feature,kernels={kernels}" for kernels in KERNELS.names()),
    *(f"depth,block={block},preset=paper" for block in BLOCKS.names()),
    "each_stage,learnable=1",
]


@pytest.mark.parametrize("text", VARIANTS)
def test_weights_files_hold_the_block(tmp_path, text):
    name = f"{SMALL}&dgr={text}"
    model = load_model(f"{name}&seed=3")
    step(model)
    step(model)
    save_weights(model, tmp_path / "w.safetensors")
    (tmp_path / "recipe.json").write_text(json.dumps({"model": name}))
    for full in (f"ckpt:{tmp_path}/w.safetensors", f"ckpt:{tmp_path}/w.safetensors?model={name.replace('&', '%26')}"):
        again = load_model(full)
        assert torch.equal(answer(again), answer(model.eval())) and again.card.facts["dgr"] == Variant.read(text).text
        detach_dgr(again)
        assert set(again.net.state_dict()) == set(load_model(SMALL).net.state_dict())


def test_weights_without_the_block_fit_all_but_the_block(small, tmp_path):
    save_weights(small, tmp_path / "base.safetensors")
    model = load_model(f"ckpt:{tmp_path}/base.safetensors?model={SMALL}&dgr=last_feature")
    assert torch.equal(answer(model), answer(small)) and model.card.facts["dgr"] == "last_feature"
    with pytest.raises(ValueError, match="to fit"):
        load_model(f"ckpt:{tmp_path}/base.safetensors?model={SMALL}%26dgr=last_feature")


def test_the_zoo_opens_a_refined_network_by_its_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    model = load_model("timm:convnext_atto?dgr=last_feature,orders=2")
    step(model)
    state = {k: v.half() if v.is_floating_point() else v for k, v in model.net.state_dict().items()}
    save_file(state, tmp_path / "convnext.dgr.safetensors")
    card = {"tag": "scenes-v1", "recipe": {"model": "timm:convnext_atto?dgr=last_feature,orders=2"}}
    (tmp_path / "convnext.dgr.json").write_text(json.dumps(card))
    opened = zoo.load("convnext.dgr")
    assert opened.card.name == "zoo:convnext.dgr" and opened.card.facts["dgr"] == "last_feature,orders=2"
    halved = load_file(tmp_path / "convnext.dgr.safetensors")
    assert all(torch.equal(v, halved[k].to(v.dtype)) for k, v in opened.net.state_dict().items())
