"""Every oracle's planted answer is recovered by a probe (DESIGN, invariant 4); a new oracle needs its answer here."""

import numpy as np
import pytest
import torch

from depthprobe.data import Batch, load_dataset
from depthprobe.functional.protocol import Protocol, get_protocol
from depthprobe.functional.selection import keep_top, rank_pixels, sample_seeds
from depthprobe.models import MODELS, load_model
from depthprobe.probes.error import error
from depthprobe.probes.sparse import SparsePlan, sparse

H, W = 24, 32
MAE = Protocol(name="mae", metrics=("mae", "abs_rel"))


def images(rank=None):
    generator = torch.Generator().manual_seed(5)
    image, valid = torch.rand(3, 3, H, W, generator=generator), torch.ones(3, 1, H, W, dtype=torch.bool)
    depth = 1 + 8 * torch.rand(3, 1, H, W, generator=generator)
    maps = {} if rank is None else {"rank": rank.expand(3, 1, -1, -1).float()}
    ids = ("a", "b", "c")
    return Batch(image=image, depth=depth, valid=valid, sample=ids, group=ids, maps=maps)


def measured(probe, model, batch, plan, metric, **where):
    table = probe(model, batch, plan)
    for column, wanted in {"metric": metric, **where}.items():
        table = table[table[column] == wanted]
    assert len(table)
    return table["value"].to_numpy()


def kept(rank, share, metric, model):
    """Change of the answer when only the pixels marked in `rank` are kept."""
    plan = SparsePlan(selectors=("rank_map",), reverse=(), budgets=(share,), protocol=MAE, where=False)
    return measured(sparse, model, images(rank), plan, metric)


def row():
    plan = SparsePlan(selectors=("random",), reverse=(), budgets=(0.01, 0.5), fills=("mean", "shuffle"), where=False)
    assert (measured(sparse, load_model("oracle:row"), images(), plan, "abs_rel@self") == 0).all()


def brightness():
    plan = SparsePlan(selectors=("random",), reverse=(), budgets=(0.3,), fills=("black",), protocol=MAE, where=False)
    model, batch = load_model("oracle:brightness"), images()
    keep = keep_top(rank_pixels("random", batch.image, seeds=sample_seeds(batch.sample, 0)), 0.3)
    lost = 9 * (batch.image.mean(1, keepdim=True) * ~keep).mean((1, 2, 3))
    assert np.allclose(measured(sparse, model, batch, plan, "mae@self"), lost, rtol=1e-4)


def constant():
    batch = images()
    found = measured(error, load_model("oracle:constant?value=2"), batch, MAE, "abs_rel")
    assert np.allclose(found, ((2 - batch.depth).abs() / batch.depth).mean((1, 2, 3)), rtol=1e-5)


def linear():
    model, mark = load_model("oracle:linear"), torch.zeros(H, W)
    mark[:, : W // 2] = 1
    mean = torch.tensor(model.card.fill).view(3, 1, 1)
    lost = (model.net.weights(H, W) * (images().image - mean) * (1 - mark)).sum(1)
    assert np.allclose(kept(mark, 0.5, "mae@self", model), lost.abs().mean((1, 2)), rtol=1e-4)


def support():
    model = load_model("oracle:support?share=0.1&seed=2")
    planted = model.net.support(H, W)
    count = int(planted.sum())
    assert (kept(planted, count / (H * W), "abs_rel@self", model) == 0).all()
    without = kept(~planted, (H * W - count) / (H * W), "abs_rel@self", model)
    change = images().image[:, :, planted].mean((1, 2)) - sum(model.card.fill) / 3
    want = (torch.exp(change) - 1).abs()  # the whole change: every planted pixel has the fill's colour
    assert (want > 1e-3).all()
    assert np.allclose(without, want, rtol=1e-3)


def window():
    model, centre = load_model("oracle:window?r=4"), (12, 16)
    mark = torch.zeros(H, W)
    mark[centre[0] - 4 : centre[0] + 5, centre[1] - 4 : centre[1] + 5] = 1
    batch = images(mark)
    at_centre = torch.zeros_like(batch.valid)
    at_centre[:, :, centre[0], centre[1]] = True
    plan = SparsePlan(
        selectors=("rank_map",), reverse=(), budgets=(80 / (H * W), 81 / (H * W)), protocol=MAE, where=False
    )
    judged = batch.replace(valid=at_centre)
    assert (measured(sparse, model, judged, plan, "mae@self", level=plan.budgets[0]) > 1e-4).all()
    assert (measured(sparse, model, judged, plan, "mae@self", level=plan.budgets[1]) < 1e-6).all()


def grid():
    model, batch = load_model("oracle:grid?period=8&amplitude=0.04"), images()
    model.net.given(batch.depth)
    turn = 2 * np.pi / 8
    wave = (np.cos(turn * np.arange(H))[:, None] + np.cos(turn * np.arange(W))) / 2
    found = measured(error, model, batch, MAE, "abs_rel")
    assert np.allclose(found, 0.04 * np.abs(wave).mean(), rtol=1e-4)


def affine():
    batch = images()
    model = load_model("oracle:affine?scale=3&shift=0.2")
    model.net.given(batch.depth)
    assert (measured(error, model, batch, get_protocol("scenes"), "abs_rel") < 1e-5).all()
    with pytest.raises(ValueError, match="affine_disparity"):
        error(model, batch, get_protocol("bts_nyu"))


PLANTED = {f"oracle:{f.__name__}": f for f in (row, brightness, constant, linear, support, window, grid, affine)}


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("oracle:")])
def test_the_planted_answer_is_recovered(name):
    PLANTED[name]()


PHOTOMETRIC = ("texture_off", "texture_grey", "texture_swap", "texture_permute", "shadow_off", "ao_off", "unlit", "fog")


@pytest.fixture(scope="module")
def rooms():
    return load_dataset("scenes", n=2, size=(48, 64)).load(range(2))[0]


@pytest.mark.parametrize("edit", PHOTOMETRIC)
def test_a_model_of_rows_does_not_react_to_a_photometric_edit(rooms, edit):
    edited = rooms.edited(edit)
    assert not torch.equal(edited.image, rooms.image)
    protocol = get_protocol("scenes")
    before, after = (error(load_model("oracle:row"), b, protocol)["value"].to_numpy() for b in (rooms, edited))
    assert np.array_equal(before, after, equal_nan=True)
    colours = (error(load_model("oracle:brightness"), b, protocol)["value"].to_numpy() for b in (rooms, edited))
    assert not np.array_equal(*colours, equal_nan=True)
