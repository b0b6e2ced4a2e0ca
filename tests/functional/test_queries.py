"""Query pixels against their rule, said in plain loops, and without bias."""

import pytest
import torch

from depthprobe.functional.queries import query_pixels


def example(seed=0, h=9, w=11):
    g = torch.Generator().manual_seed(seed)
    depth = 1 + 5 * torch.rand(3, 1, h, w, generator=g)
    return depth, torch.rand(3, 1, h, w, generator=g) < 0.7


@pytest.mark.parametrize("count", [1, 3, 6, 40])
def test_one_query_lies_in_every_equal_part_of_the_order_of_depth(count):
    depth, valid = example()
    index, found = query_pixels(depth, valid, count, (5, 6, 7))
    assert found.all()
    for i in range(3):
        order = sorted(
            (float(d), p) for p, (d, v) in enumerate(zip(depth[i].flatten(), valid[i].flatten(), strict=True)) if v
        )
        n = len(order)
        for k in range(count):
            part = [p for _, p in order[k * n // count : (k + 1) * n // count]]
            assert int(index[i, k]) in part


def test_queries_depend_on_their_own_image_and_seed_alone():
    depth, valid = example()
    index, _ = query_pixels(depth, valid, 6, (5, 6, 7))
    for i, seed in enumerate((5, 6, 7)):
        alone, _ = query_pixels(depth[i : i + 1], valid[i : i + 1], 6, (seed,))
        assert torch.equal(alone[0], index[i])
    other, _ = query_pixels(depth, valid, 6, (8, 9, 10))
    assert not torch.equal(other, index)


def test_every_valid_pixel_is_drawn_equally_often():
    """Also where all depths are equal: then parts are random halves, not the upper and the lower rows."""
    depth, valid = torch.ones(4000, 1, 2, 5), torch.ones(4000, 1, 2, 5, dtype=torch.bool)
    valid[..., 3] = False
    index, _ = query_pixels(depth, valid, 2, range(4000))
    for k in range(2):
        share = torch.bincount(index[:, k], minlength=10) / 4000
        wanted = torch.where(valid[0, 0].flatten(), 1 / 8, 0.0)
        assert (share - wanted).abs().max() < 0.025  # 5 standard errors of a share of 1/8


def test_few_or_no_valid_pixels():
    depth, valid = example()
    valid[0] = False
    valid[1] = False
    valid[1, 0, 2, 3] = True
    index, found = query_pixels(depth, valid, 3, (1, 2, 3))
    assert found.sum(1).tolist() == [0, 1, 3]
    assert index[1][found[1]].tolist() == [2 * 11 + 3]
    assert (index[~found] == 0).all()
