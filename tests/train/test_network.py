"""What a recipe starts from: seeds, weights of another training, parameter groups."""

import pytest
import torch
from train_cases import Net, recipe

from depthprobe.models import load_model
from depthprobe.train import fit, initial
from depthprobe.train.checkpoint import write_weights
from depthprobe.train.network import build, parameter_groups, start_from, starting_weights

CONVNEXT = "timm:convnext_atto?size=32x32"


def test_the_seed_decides_the_initial_weights():
    assert initial(recipe(model=CONVNEXT, seed=0)) == CONVNEXT
    heads = [load_model(initial(recipe(model=CONVNEXT, seed=s))).net.decoder.head.weight for s in (1, 2)]
    assert not torch.equal(*heads)


def test_a_training_starts_from_another_one(tmp_path):
    fit(recipe(steps=2), tmp_path / "base", cache=tmp_path / "cache")
    base = starting_weights(str(tmp_path / "base"))
    file = tmp_path / "base" / "final.safetensors"
    for init in (tmp_path / "base", file, f"ckpt:{file}?trust=1"):
        made = build(recipe(init=str(init))).net.state_dict()
        assert all(torch.equal(made[k], base[k]) for k in made)
    fit(recipe(steps=2, init=str(tmp_path / "base")), tmp_path / "next", cache=tmp_path / "cache")
    assert not torch.equal(starting_weights(str(tmp_path / "next"))["decoder.weight"], base["decoder.weight"])


def test_weights_that_do_not_fit_are_named(tmp_path):
    state = Net().state_dict()
    model = build(recipe())
    with pytest.raises(ValueError, match=r"has no \['decoder.bias'\]; name newly attached parts"):
        start_from(model, {k: v for k, v in state.items() if k != "decoder.bias"}, "base")
    with pytest.raises(ValueError, match=r"has also \['more'\]\."):
        start_from(model, state | {"more": torch.zeros(1)}, "base")
    with pytest.raises(ValueError, match=r"another shape of \['decoder.bias'\]"):
        start_from(model, state | {"decoder.bias": torch.zeros(3)}, "base")
    with pytest.raises(FileNotFoundError, match="Expected `init` to be weights"):
        starting_weights(str(tmp_path / "nowhere.safetensors"))


def test_named_new_parts_may_be_missing_and_keep_their_values():
    model = build(recipe())
    model.net.encoder.add_module("dgr", torch.nn.Conv2d(8, 8, 1))
    own = model.net.encoder.dgr.weight.clone()
    state = {k: v + 1 for k, v in Net().state_dict().items()}
    with pytest.raises(ValueError, match=r"encoder\.dgr\.weight"):
        start_from(model, state, "base")
    start_from(model, state, "base", ("dgr",))
    assert torch.equal(model.net.encoder.dgr.weight, own)
    assert torch.equal(model.net.decoder.weight, state["decoder.weight"])


def test_weights_written_as_half_are_read_as_float(tmp_path):
    state = Net().state_dict()
    half = {name: x.half() if x.is_floating_point() else x for name, x in state.items()}
    write_weights(half, tmp_path / "half.safetensors")
    read = starting_weights(str(tmp_path / "half.safetensors"))
    assert read["decoder.weight"].dtype == torch.float32
    assert read["encoder.1.num_batches_tracked"].dtype == torch.int64
    torch.testing.assert_close(read["decoder.weight"], state["decoder.weight"], rtol=1e-3, atol=1e-4)
    assert not list(tmp_path.glob("*.partial"))


def test_groups_hold_every_parameter_once_with_its_decay_and_ratio():
    model = build(recipe())
    model.net.decoder.bias.requires_grad_(False)
    groups = parameter_groups(model, 0.1, 0.25)
    found = {id(p): (group["weight_decay"], group["ratio"]) for group in groups for p in group["params"]}
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert len(found) == sum(len(g["params"]) for g in groups) == len(named)
    for name, p in named.items():
        assert found[id(p)] == (0.1 if p.ndim > 1 else 0.0, 0.25 if name.startswith("net.encoder.") else 1.0)


def test_an_encoder_with_ratio_zero_stays(tmp_path):
    start = Net().state_dict()
    fit(recipe(steps=2, encoder_lr=0.0, ema=0.0), tmp_path, cache=tmp_path / "cache")
    end = starting_weights(str(tmp_path))
    assert torch.equal(end["encoder.0.weight"], start["encoder.0.weight"])
    assert not torch.equal(end["decoder.weight"], start["decoder.weight"])


def test_a_ratio_without_an_encoder_is_refused():
    with pytest.raises(ValueError, match=r"Expected a network with a part named encoder, backbone, pretrained"):
        parameter_groups(torch.nn.Linear(2, 2), 0.1, 0.5)


def test_a_window_that_the_network_would_resize_is_refused():
    with pytest.raises(ValueError, match=r"Expected `crop` to be the size \(32, 32\)"):
        build(recipe(model=CONVNEXT, crop=[16, 32]))
    build(recipe(model=CONVNEXT, crop=[32, 32]))
