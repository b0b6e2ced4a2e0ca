"""Whole squares removed and shown: the order of squares against plain loops, and controls that make the same holes."""

import dataclasses

import numpy as np
import pytest
import torch
from sparse_cases import H, W, batch, network, value

from depthprobe.functional.selection import rank_pixels
from depthprobe.models import load_model
from depthprobe.probes.attribution import AttributionPlan, attribution
from depthprobe.probes.attribution_curves import in_squares

PLAN = AttributionPlan(
    methods=("integrated_gradients",), targets=("mean",), metrics=("mae",), shares=(0.25, 0.5), checks=(),
    randomise=(), where=False, square=4,
)  # fmt: skip


@pytest.mark.parametrize(("size", "side"), [((8, 12), 4), ((7, 10), 3)])
def test_squares_are_ordered_by_their_mean_and_go_as_a_whole(size, side):
    score = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(3))
    got = in_squares(score, side)
    for i in range(2):
        corners = [(y, x) for y in range(0, size[0], side) for x in range(0, size[1], side)]
        mean = [float(score[i, 0, y : y + side, x : x + side].mean()) for y, x in corners]
        for (y, x), own in zip(corners, mean, strict=True):
            place = sum(other < own for other in mean)
            assert (got[i, 0, y : y + side, x : x + side] == place).all()


def test_equal_squares_are_not_mixed():
    got = in_squares(torch.zeros(1, 1, 4, 6), 2)[0, 0]
    assert got.tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


def test_squares_of_one_pixel_are_pixels():
    data, model = batch(2), network()
    single = attribution(model, data, dataclasses.replace(PLAN, square=1, methods=("saliency",)))
    alone = attribution(model, data, AttributionPlan(**{**dataclasses.asdict(PLAN), "protocol": PLAN.protocol,
                                                        "square": 1, "methods": ("saliency",)}))  # fmt: skip
    assert single.equals(alone)


def test_the_curves_are_those_of_holes_of_that_size():
    """Slow reference: remove whole squares in the order of the known contribution of each, or of its distance."""
    model, data = load_model("oracle:linear"), batch(2)
    data = data.replace(valid=torch.ones_like(data.valid))
    table = attribution(model, data, dataclasses.replace(PLAN, curves=("deletion",)))
    absent = torch.tensor(model.card.fill).view(1, 3, 1, 1)
    moved = (model.net.weights(H, W) * (data.image - absent)).sum(1)
    orders = {
        "integrated_gradients": moved.abs(),
        "centre": rank_pixels("centre", data.image, seeds=[1, 1]).float()[:, 0],
    }
    squares = [(y, x) for y in range(0, H, 4) for x in range(0, W, 4)]
    for factor, score in orders.items():
        for share in PLAN.shares:
            want = []
            for i in range(2):
                first = sorted(
                    squares, key=lambda at, i=i: -float(score[i, at[0] : at[0] + 4, at[1] : at[1] + 4].mean())
                )
                lost = sum(
                    float(moved[i, y : y + 4, x : x + 4].abs().sum()) for y, x in first[: round(share * len(squares))]
                )
                want.append(lost / (H * W))
            got = value(table, factor=factor, level=share, metric="mae@deletion.self")
            np.testing.assert_allclose(got, want, rtol=2e-2 if factor == "centre" else 1e-4)


def test_no_order_of_squares_deletes_more_than_the_true_one():
    table = attribution(load_model("oracle:linear"), batch(2), dataclasses.replace(PLAN, curves=("deletion",)))
    for share in PLAN.shares:
        found = {f: value(table, factor=f, level=share, metric="mae@deletion.self") for f in set(table["factor"])}
        best = found.pop("integrated_gradients")
        assert all((best > other).all() for other in found.values())
