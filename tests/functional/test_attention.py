"""Attention distance: closed forms, plain loops, and where tokens stand in windows and reductions."""

import math

import pytest
import torch

from depthprobe.functional.attention import (
    allowed_pairs,
    attention_distance,
    grid_places,
    reduced_places,
    window_places,
)


def one(weights):
    """Weights (q,k) as the map of one image, group and head."""
    return weights.double()[None, None, None]


def test_a_planted_offset_is_its_length():
    """Every token attends to the one 3 rows below and 4 columns to the right, around the corner at the border."""
    grid, stride = (6, 8), (4.0, 4.0)
    places = grid_places(grid, stride)
    weights = torch.zeros(48, 48)
    total = 0.0
    for y in range(6):
        for x in range(8):
            ky, kx = (y + 3) % 6, (x + 4) % 8
            weights[y * 8 + x, ky * 8 + kx] = 1
            total += 4 * math.hypot(ky - y, kx - x)
    assert float(attention_distance(one(weights), places[None], places[None])) == pytest.approx(total / 48)
    assert total / 48 == pytest.approx(20)  # 3 rows and 4 columns of 4 pixels, whichever way round


def test_attention_to_itself_is_0_and_uniform_attention_on_a_line_is_its_closed_form():
    n, stride = 9, 5.0
    places = grid_places((1, n), (stride, stride))[None]
    assert float(attention_distance(one(torch.eye(n)), places, places)) == 0
    uniform = torch.full((n, n), 1 / n)
    assert float(attention_distance(one(uniform), places, places)) == pytest.approx(stride * (n * n - 1) / (3 * n))


def test_any_map_against_plain_loops():
    g = torch.Generator().manual_seed(0)
    weights = torch.rand(2, 3, 4, 5, 6, generator=g).softmax(-1)
    queries, keys = 10 * torch.rand(3, 5, 2, generator=g), 10 * torch.rand(3, 6, 2, generator=g)
    queries[1, 2], keys[0, 3], keys[2, 0] = torch.nan, torch.nan, torch.nan
    found = attention_distance(weights, queries, keys)
    for b in range(2):
        for h in range(4):
            reached = []
            for i in range(3):
                for q in range(5):
                    if queries[i, q].isnan().any():
                        continue
                    placed = [k for k in range(6) if not keys[i, k].isnan().any()]
                    held = math.fsum(float(weights[b, i, h, q, k]) for k in placed)
                    far = [math.dist(queries[i, q].tolist(), keys[i, k].tolist()) for k in placed]
                    terms = [float(weights[b, i, h, q, k]) * d for k, d in zip(placed, far, strict=True)]
                    reached.append(math.fsum(terms) / held)
            assert float(found[b, h]) == pytest.approx(math.fsum(reached) / len(reached), rel=1e-6)


def test_tokens_stand_at_the_centres_of_their_patches():
    places = grid_places((2, 3), (4.0, 6.0))
    assert places.tolist() == [[1.5, 2.5], [1.5, 8.5], [1.5, 14.5], [5.5, 2.5], [5.5, 8.5], [5.5, 14.5]]


@pytest.mark.parametrize(
    ("grid", "window", "shift"),
    [((4, 6), (2, 3), (0, 0)), ((4, 6), (2, 3), (1, 1)), ((5, 7), (2, 3), (1, 2)), ((3, 4), (3, 4), (0, 0))],
)
def test_windows_are_those_of_a_map_that_is_rolled_padded_and_cut(grid, window, shift):
    found = window_places(grid, window, shift, (2.0, 2.0))
    rows, columns = -(-grid[0] // window[0]), -(-grid[1] // window[1])
    assert found.shape == (rows * columns, window[0] * window[1], 2)
    for i in range(rows * columns):
        for t in range(window[0] * window[1]):
            y = i // columns * window[0] + t // window[1]
            x = i % columns * window[1] + t % window[1]
            if y >= grid[0] or x >= grid[1]:
                assert found[i, t].isnan().all()
            else:
                wanted = [2 * ((y + shift[0]) % grid[0]) + 0.5, 2 * ((x + shift[1]) % grid[1]) + 0.5]
                assert found[i, t].tolist() == wanted


def test_pairs_that_only_a_roll_brought_together_are_not_allowed():
    window, stride = (2, 3), (4.0, 4.0)
    still = allowed_pairs(window_places((4, 6), window, (0, 0), stride), window, stride)
    assert still.all()
    rolled = window_places((4, 6), window, (1, 1), stride)
    found = allowed_pairs(rolled, window, stride)
    inside = grid_places(window, stride)
    for i in range(4):
        for q in range(6):
            for k in range(6):
                near = torch.equal(rolled[i, q] - rolled[i, k], inside[q] - inside[k])
                assert bool(found[i, q, k]) == near
    assert found[0].all() and not found[3].all()
    padded = allowed_pairs(window_places((3, 6), window, (0, 0), stride), window, stride)
    assert not padded[2, 0, 3] and padded[2, 0, 1], "padding is no partner"


def test_keys_of_a_reduction_stand_at_the_centres_of_their_kernels():
    """The mean place of the tokens under each kernel, also where the last tokens are under none."""
    grid, stride = (7, 9), (4.0, 4.0)
    tokens = grid_places(grid, stride).view(*grid, 2)
    for kernel, step in [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((4, 2), (3, 2))]:
        found = reduced_places(grid, kernel, step, stride)
        wanted = [
            tokens[y : y + kernel[0], x : x + kernel[1]].reshape(-1, 2).mean(0).tolist()
            for y in range(0, grid[0] - kernel[0] + 1, step[0])
            for x in range(0, grid[1] - kernel[1] + 1, step[1])
        ]
        assert torch.allclose(found, torch.tensor(wanted, dtype=torch.float64))
