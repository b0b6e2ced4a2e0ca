"""Weights in 8 bits: the error is bounded by half a step, and what is not a matrix is untouched."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from depthprobe.models import load_model
from depthprobe.models.compact import compact, expand, read_weights
from depthprobe.train.network import starting_weights


def test_a_channel_is_rounded_to_its_own_step():
    stored = compact({"w": torch.tensor([[127.0, -64.0, 0.4], [0.5, 0.25, -0.5]])})
    assert stored["w"].tolist() == [[127, -64, 0], [127, 64, -127]]  # 0.25 / step = 63.5, to the even 64
    assert torch.allclose(stored["w.step"], torch.tensor([1.0, 0.5 / 127]))
    assert torch.allclose(expand(stored)["w"][0], torch.tensor([127.0, -64.0, 0.0]))


@given(shape=st.sampled_from([(4, 3), (5, 1, 3, 3), (1, 7)]), scale=st.floats(-12, 12), seed=st.integers(0, 2**20))
@settings(max_examples=40, deadline=None)
def test_the_error_is_at_most_half_a_step_and_a_second_time_nothing_is_lost(shape, scale, seed):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 10**scale
    once = expand(compact({"w": w}))["w"]
    step = w.abs().flatten(1).amax(1) / 127
    assert ((once - w).abs().flatten(1) <= step[:, None] * 0.5001).all()
    assert torch.allclose(expand(compact({"w": once}))["w"], once, rtol=1e-6, atol=0)


def test_vectors_whole_numbers_and_zeros_stay_what_they_are():
    state = {
        "bias": torch.rand(5),
        "index": torch.arange(6).view(2, 3),
        "zero": torch.zeros(2, 3),
        "n": torch.tensor(3),
    }
    back = expand(compact(state))
    assert back.keys() == state.keys()
    for name, x in state.items():
        assert torch.equal(back[name], x), name


def test_floating_point_weights_of_any_width_pass():
    x = torch.rand(3, 4)
    assert torch.equal(expand({"w": x.half()})["w"], x.half().float())


def test_a_network_has_a_quarter_of_its_bytes_and_gives_the_same_depth():
    model = load_model("zoo:convnext")
    with torch.no_grad():
        for p in model.net.parameters():  # off the steps of 8 bits on which shipped weights lie
            p *= 1 + 0.01 * torch.rand(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    state = model.net.state_dict()
    stored = compact(state)
    size = lambda tensors: sum(x.numel() * x.element_size() for x in tensors.values())  # noqa: E731
    assert size(stored) < 0.27 * size(state)
    image = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(image)
        model.net.load_state_dict(expand(stored))
        change = (model(image) / before - 1).abs()
    assert change.mean() < 0.005


def test_a_file_that_is_cut_off_is_named(tmp_path):
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    state = {"w": torch.rand(64, 64)}
    save_file(compact(state), whole)
    assert torch.equal(read_weights(whole)["w"], expand(compact(state))["w"])
    cut.write_bytes(whole.read_bytes()[:-100])
    model = f"ckpt:{cut}?model=timm:test_convnext"
    for read in (read_weights, lambda path: starting_weights(str(path)), lambda _: load_model(model)):
        with pytest.raises(ValueError, match=r"cut\.safetensors to be a whole safetensors file"):
            read(cut)


def test_steps_that_do_not_fit_are_one_sentence(tmp_path):
    save_file({"a": torch.ones(2, 4, dtype=torch.int8), "a.step": torch.ones(3)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w\.safetensors to be a whole safetensors file, but: The size of tensor"):
        read_weights(tmp_path / "w.safetensors")
