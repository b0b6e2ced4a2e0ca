"""The training loop: it learns, keeps what it promises, stops with a reason, and leaves the world as it was."""

import csv
import math
import random

import numpy as np
import pytest
import torch
import train_cases
from safetensors.torch import load_file
from train_cases import AUGMENTED, recipe

from depthprobe.functional.losses import LOSSES
from depthprobe.models import load_model
from depthprobe.train import fit, score
from depthprobe.train.guard import Guard, explained_memory
from depthprobe.train.loop import seeded
from depthprobe.train.order import batch_at

CONVNEXT = "timm:convnext_atto?size=32x32"


def weights(folder, name="final"):
    return load_file(folder / f"{name}.safetensors")


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_it_learns_and_leaves_what_it_promises(tmp_path, cache):
    plan = recipe(model=CONVNEXT, steps=30, val_every=15, lr=3e-3, ema=0.5)
    untrained = score(load_model(plan.model), plan, torch.device("cpu"))["abs_rel"]
    model = fit(plan, tmp_path, cache=cache)
    lines = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert int(lines[-1]["step"]) == 30
    assert float(lines[-1]["abs_rel"]) < 0.5 * untrained
    assert not model.training
    assert score(model, plan, torch.device("cpu"))["abs_rel"] == pytest.approx(float(lines[-1]["abs_rel"]), rel=1e-6)
    files = {"recipe.json", "table.json", "last.pt", "best.safetensors", "last.safetensors", "final.safetensors"}
    assert files <= {p.name for p in tmp_path.iterdir()}
    opened = load_model(f"ckpt:{tmp_path / 'final.safetensors'}")
    image = torch.rand(1, 3, 32, 32)
    assert torch.allclose(opened(image), model(image), rtol=1e-4)  # memory formats differ


def test_a_stopped_training_ends_with_the_same_weights(tmp_path, cache):
    plan = recipe(steps=9, val_every=4, save_every=3, **AUGMENTED)
    fit(plan, tmp_path / "whole", cache=cache)

    def stop(step, steps, numbers):
        if step == 7:  # after the checkpoint of step 6, in the middle of a pass over the 16 samples
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(plan, tmp_path / "halves", cache=cache, progress=stop)
    seen = []
    fit(plan, tmp_path / "halves", cache=cache, progress=lambda step, steps, numbers: seen.append(step))
    assert seen == [7, 8, 9]
    for name in ("final", "best", "last"):
        assert same(weights(tmp_path / "whole", name), weights(tmp_path / "halves", name))


def test_a_finished_training_is_only_opened(tmp_path, cache):
    plan = recipe(steps=2)
    first = fit(plan, tmp_path, cache=cache)
    before = (tmp_path / "final.safetensors").read_bytes()
    again = fit(plan, tmp_path, cache=cache, progress=lambda *_: pytest.fail("no step is left"))
    assert same(first.state_dict(), again.state_dict())
    assert (tmp_path / "final.safetensors").read_bytes() == before


def test_no_resume_starts_again(tmp_path, cache):
    plan, seen = recipe(steps=3), []
    fit(plan, tmp_path, cache=cache)
    fit(plan, tmp_path, cache=cache, resume=False, progress=lambda step, steps, numbers: seen.append(step))
    assert seen == [1, 2, 3]
    assert [int(line["step"]) for line in csv.DictReader((tmp_path / "history.csv").open())] == [2, 3]


def test_how_it_is_run_may_change_when_it_goes_on_but_not_what_is_trained(tmp_path, cache):
    fit(recipe(steps=1), tmp_path, cache=cache)
    fit(recipe(steps=1, save_every=7, log_every=1), tmp_path, cache=cache)
    with pytest.raises(ValueError, match=r"differs in \['lr'\]"):
        fit(recipe(steps=1, lr=1.0), tmp_path, cache=cache)


def test_a_damaged_or_old_checkpoint_says_so(tmp_path, cache):
    fit(recipe(steps=1), tmp_path, cache=cache)
    torch.save({"step": 1}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="of this version"):
        fit(recipe(steps=1), tmp_path, cache=cache)
    (tmp_path / "last.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="start again with --no-resume"):
        fit(recipe(steps=1), tmp_path, cache=cache)


def test_accumulated_parts_equal_the_big_batch(tmp_path, cache):
    whole, parts = (recipe(model=CONVNEXT, steps=4, batch_size=8, accumulate=a, **AUGMENTED) for a in (1, 4))
    fit(whole, tmp_path / "whole", cache=cache)
    fit(parts, tmp_path / "parts", cache=cache)
    one, four = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert max((one[k] - four[k]).abs().max() for k in one) < 1e-5
    start = load_model(CONVNEXT).net.state_dict()
    assert max((one[k] - start[k]).abs().max() for k in one) > 1e-3, "they moved"


def test_a_batch_that_cannot_be_shared_equally_is_refused(tmp_path, cache):
    with pytest.raises(ValueError, match="multiple of 3"):
        fit(recipe(accumulate=3), tmp_path, cache=cache)


@pytest.mark.parametrize("save_every", [0, 1])
def test_a_planted_nan_is_caught_and_named(tmp_path, save_every):
    plan = recipe(steps=8, train={"n": 16, "poison": 5}, save_every=save_every, val_every=8)
    with pytest.raises(FloatingPointError, match="The loss is nan at step") as caught:
        fit(plan, tmp_path)
    step = next(s for s in range(8) if 5 in [number for number, _ in batch_at(s, 16, 4, plan.seed)])
    assert 0 < step < 4
    assert f"at step {step} on" in str(caught.value)
    assert "'ramp-train-5'" in str(caught.value)
    if save_every:
        assert f"last good checkpoint is {tmp_path / 'last.pt'}" in str(caught.value)
        state = torch.load(tmp_path / "last.pt", weights_only=True)
        assert state["step"] == step
        assert all(x.isfinite().all() for x in state["model"].values())
    else:
        assert "no checkpoint yet" in str(caught.value)


def test_gradients_that_are_not_finite_stop_it_too(tmp_path, cache, monkeypatch):
    def zero(pred, depth, valid):
        return (pred - pred.detach()).sqrt().mean()  # 0, with an infinite slope

    monkeypatch.setitem(LOSSES._items, "zero", (zero, {}))
    with pytest.raises(FloatingPointError, match=r"norm of the gradients is (nan|inf) at step 0 on \['ramp-train"):
        fit(recipe(loss="zero"), tmp_path, cache=cache)


def test_scaled_training_may_skip_a_few_steps_but_not_for_ever(tmp_path):
    guard = Guard(tmp_path / "last.pt", scaled=True)
    good, bad = torch.tensor(1.0), torch.tensor(math.inf)
    for step in range(25):
        guard.watch(step, lambda step: ["a"], good, bad)
    guard.watch(25, lambda step: ["a"], good, good)
    for step in range(25):
        guard.watch(step, lambda step: ["a"], good, bad)
    with pytest.raises(FloatingPointError, match="norm of the gradients is inf at step 25"):
        guard.watch(25, lambda step: ["a"], good, bad)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("x"), RuntimeError("DefaultCPUAllocator: not enough memory")])
def test_running_out_of_memory_says_what_to_change(error):
    with pytest.raises(MemoryError, match=r"8 images of 96x128 at a time .* set accumulate=4"):  # noqa: SIM117
        with explained_memory(8, (96, 128), 2, torch.device("cpu")):
            raise error


def test_other_errors_pass_unchanged():
    with pytest.raises(RuntimeError, match="shape"), explained_memory(8, (9, 9), 1, torch.device("cpu")):
        raise RuntimeError("shape")


def test_global_randomness_is_left_as_it_was(tmp_path, cache):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    fit(recipe(**AUGMENTED), tmp_path, cache=cache)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]


def test_chance_inside_the_network_follows_the_seed_and_nothing_else():
    def draw(seed):
        with seeded(seed, torch.device("cpu")):
            return torch.nn.functional.dropout(torch.ones(64))

    first = draw(1)
    torch.rand(5)
    assert torch.equal(draw(1), first)
    assert not torch.equal(draw(2), first)


@pytest.mark.parametrize(
    ("field", "value"), [("seed", 1), ("flip", 0.5), ("colour", 1.0), ("drop_pixels", 1.0), ("weight_decay", 0.5)]
)
def test_each_field_changes_the_training(tmp_path, cache, field, value):
    fit(recipe(steps=2), tmp_path / "a", cache=cache)
    fit(recipe(steps=2, **{field: value}), tmp_path / "b", cache=cache)
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_a_loss_that_reads_the_image_gets_the_augmented_one(tmp_path, cache, monkeypatch):
    seen = []

    def with_image(pred, depth, valid, *, image, weight=1.0):
        seen.append((image, weight))
        return weight * (pred - depth).square().mean()

    monkeypatch.setitem(LOSSES._items, "seeing", (with_image, {"inputs": "pred depth valid image"}))
    fit(recipe(loss="seeing", loss_options={"weight": 0.5}, steps=1), tmp_path, cache=cache)
    (image, weight), *_ = seen
    assert image.shape == (4, 3, 32, 32)
    assert image.is_floating_point()
    assert weight == 0.5


def test_a_loss_that_looks_at_its_own_gradients_trains_in_mixed_precision(tmp_path, cache):
    options = {"loss": "optimal_transport", "loss_options": {"base": "silog", "ratio": 0.3}}
    fit(recipe(precision="bf16-mixed", steps=2, **options), tmp_path, cache=cache)
    assert (tmp_path / "final.safetensors").is_file()


def test_bf16_on_the_cpu_by_choice(tmp_path, cache):
    seen = []
    plan = recipe(model=CONVNEXT, precision="bf16-mixed", steps=4)
    fit(plan, tmp_path, cache=cache, progress=lambda step, steps, numbers: seen.append(numbers["loss"]))
    assert all(map(math.isfinite, seen))
    assert {x.dtype for x in weights(tmp_path).values()} == {torch.float32}
    full = fit(recipe(model=CONVNEXT, steps=4), tmp_path / "full", cache=cache).net.state_dict()
    assert not same(full, weights(tmp_path))


def test_fp16_needs_a_gpu(tmp_path, cache):
    with pytest.raises(ValueError, match="Expected precision 16-mixed on CUDA"):
        fit(recipe(precision="16-mixed"), tmp_path, cache=cache)


def test_weights_are_averaged_in_validation_and_the_network_goes_on_with_its_own(tmp_path, cache):
    own = recipe(steps=6, ema=0.0)
    fit(own, tmp_path / "own", cache=cache)
    fit(recipe(steps=6, ema=0.9), tmp_path / "mean", cache=cache)
    state = torch.load(tmp_path / "mean" / "last.pt", weights_only=True)
    assert same(state["model"], weights(tmp_path / "own")), "the average has no part in training"
    assert same(state["average"], weights(tmp_path / "mean"))
    assert not same(state["average"], state["model"])


@pytest.mark.slow
def test_a_compiled_network_trains_alike(tmp_path, cache):
    plain = fit(recipe(model=CONVNEXT, steps=3), tmp_path / "plain", cache=cache).net.state_dict()
    made = fit(recipe(model=CONVNEXT, steps=3, compile=True), tmp_path / "compiled", cache=cache).net.state_dict()
    assert set(made) == set(plain), "no prefix of the compiler in the names"
    assert max((made[k] - plain[k]).abs().max() for k in plain) < 1e-4


def test_samples_that_cannot_be_read_are_left_out_on_request(tmp_path):
    plan = recipe(train={"n": 16, "broken": 0, "on_error": "skip"}, steps=4)
    fit(plan, tmp_path)
    assert (tmp_path / "final.safetensors").is_file()
    with pytest.raises(train_cases.SampleError, match="ramp-train-0 is broken"):
        fit(recipe(train={"n": 16, "broken": 0}), tmp_path / "raise")
