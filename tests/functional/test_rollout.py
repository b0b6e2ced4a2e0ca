"""Attention rollout: closed forms of planted maps, explicit matrices built by counting pixels, rows that sum to 1."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthprobe.functional.attention import allowed_pairs, grid_places, reduced_places, window_places
from depthprobe.functional.rollout import FUSIONS, mean_row, place_rows, read_layer, rollout, spread, to_pixels

NOWHERE = torch.full((1, 2), torch.nan, dtype=torch.float64)


def plain(weights, grid, stride=4.0, prefix=0, **options):
    """A layer over a whole grid from weights (q,k) or (B,heads,q,k)."""
    places = torch.cat([NOWHERE.expand(prefix, 2), grid_places(grid, (stride, stride))])[None]
    weights = weights[None, None] if weights.ndim == 2 else weights
    return read_layer(weights[:, None], places, places, **options)


def uniform(n):
    return torch.full((n, n), 1 / n)


def softmax(*shape, seed=0, sharp=3.0):
    return (sharp * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).softmax(-1)


# --- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_uniform_attention_is_uniform_but_for_the_residual(depth):
    layers = [plain(uniform(12), (3, 4))] * depth
    want = 0.5**depth * torch.eye(12) + (1 - 0.5**depth) * uniform(12)
    torch.testing.assert_close(rollout(layers)[0], want.double())
    mean = rollout(layers, mean_row(layers[0]))
    torch.testing.assert_close(mean[0, 0], torch.full((12,), 1 / 12).double())
    torch.testing.assert_close(to_pixels(mean, layers[0], (12, 16))[0, 0], torch.full((12, 16), 1 / 192).double())


def test_attention_to_oneself_stays_in_ones_own_patch():
    layers = [plain(torch.eye(12), (3, 4))] * 3
    assert torch.equal(rollout(layers)[0], torch.eye(12).double())
    found = to_pixels(rollout(layers, place_rows(layers[0], torch.tensor([[7, 9]]))), layers[0], (12, 16))[0, 0]
    want = torch.zeros(12, 16).double()
    want[4:8, 8:12] = 1 / 16
    assert torch.equal(found, want)


def test_a_chain_of_steps_to_the_right_is_binomial():
    """Every token attends to its right neighbour: after L layers k steps with probability C(L,k) / 2^L."""
    right = torch.eye(8).roll(1, 1)
    layers = [plain(right, (1, 8))] * 5
    found = rollout(layers, place_rows(layers[0], torch.tensor([[1, 4]])))[0, 0]
    want = [math.comb(5, k) / 32 for k in range(6)]
    assert found.tolist() == pytest.approx([0.0, *want, 0.0])


def test_two_different_layers_act_in_their_order():
    """The last layer looks right, the first down: the output sees right of itself and from there down."""
    right, down = torch.eye(12).view(12, 3, 4).roll(1, 2).flatten(1), torch.eye(12).view(12, 3, 4).roll(1, 1).flatten(1)
    later = torch.zeros(12, 12)
    later[0, 1], later[range(1, 12), range(1, 12)] = 1, 1  # only token 0 looks right
    assert torch.equal(right[0], later[0])
    found = rollout([plain(down, (3, 4)), plain(later, (3, 4))])[0, 0]
    want = torch.zeros(12).double()
    want[[0, 4, 1, 5]] = 0.25
    assert torch.equal(found, want)
    other = rollout([plain(later, (3, 4)), plain(down, (3, 4))])[0, 0]
    want = torch.zeros(12).double()
    want[[0, 1]], want[4] = 0.25, 0.5
    assert torch.equal(other, want)


def test_a_merged_token_is_the_mean_of_its_four():
    layers = [plain(torch.eye(24), (4, 6)), plain(torch.eye(6), (2, 3), stride=8.0)]
    found = rollout(layers)[0].view(2, 3, 4, 6)
    for y, x in itertools.product(range(2), range(3)):
        want = torch.zeros(4, 6).double()
        want[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = 0.25
        assert torch.equal(found[y, x], want)


def test_grids_that_do_not_nest_share_by_area():
    """Cells of 6 pixels over cells of 4: the first holds one and a half of them; the last is cut by the border."""
    layers = [plain(torch.eye(3), (1, 3)), plain(torch.eye(2), (1, 2), stride=6.0)]
    layers[1] = read_layer(torch.eye(2)[None, None, None], *[torch.tensor([[[1.5, 2.5], [1.5, 8.5]]]).double()] * 2)
    torch.testing.assert_close(rollout(layers)[0], torch.tensor([[2, 1, 0], [0, 1, 2]]).double() / 3)
    pixels = to_pixels(rollout(layers, mean_row(layers[1])), layers[0], (4, 10))[0, 0]
    want = torch.tensor([1 / 12] * 8 + [1 / 6] * 2).double() / 4
    torch.testing.assert_close(pixels, want.expand(4, -1))


def test_a_reduced_key_is_the_mean_of_the_tokens_in_its_kernel():
    grid, stride = (5, 6), (4.0, 4.0)  # the fifth row is read by no kernel
    keys = reduced_places(grid, (2, 2), (2, 2), stride)[None]
    weights = torch.zeros(30, 6)
    weights[:, 4] = 1  # the kernel in the second row and column
    layer = read_layer(weights[None, None, None], grid_places(grid, stride)[None], keys)
    mean = torch.zeros(5, 6).double()
    mean[2:4, 2:4] = 0.25
    torch.testing.assert_close(rollout([layer])[0], 0.5 * torch.eye(30).double() + 0.5 * mean.flatten())


def test_class_and_register_tokens_pass_relevance_on_and_stand_nowhere():
    """Patch 0 attends to the class token, the class token attends to patch 3."""
    weights = torch.eye(6)
    weights[2], weights[0] = torch.eye(6)[0], torch.eye(6)[5]
    layers = [plain(weights, (2, 2), prefix=2)] * 2
    found = rollout(layers, place_rows(layers[0], torch.tensor([[0, 0]])))
    assert found[0, 0].tolist() == [0.5, 0, 0.25, 0, 0, 0.25]
    assert to_pixels(found, layers[0], (8, 8))[0, 0, ::4, ::4].tolist() == [[1 / 32, 0], [0, 1 / 32]]
    assert mean_row(layers[0]).tolist() == [[0, 0, 0.25, 0.25, 0.25, 0.25]]


# --- windows ---------------------------------------------------------------------------------------------------------


def windowed(grid, window, shift, stride=4.0, seed=None, batch=1, heads=1):
    """A layer of window attention: uniform over what may be seen, or random."""
    places = window_places(grid, window, shift, (stride, stride))
    allowed = allowed_pairs(places, window, (stride, stride)) & places.isfinite().all(-1)[:, None]
    weights = allowed.double()[None, :, None].expand(batch, -1, heads, -1, -1)
    if seed is not None:
        weights = weights * softmax(batch, len(places), heads, *weights.shape[-2:], seed=seed)
    weights = (weights / weights.sum(-1, keepdim=True)).nan_to_num()
    return weights, places, places


def cell(index, window, shift):
    """The window, cut at the border and never wrapped, in which a token of a shifted grid lies."""
    return tuple((i - s) // w for i, w, s in zip(index, window, shift, strict=True))


@pytest.mark.parametrize(
    ("grid", "window", "shift"),
    [((8, 8), (4, 4), (2, 2)), ((6, 12), (3, 4), (1, 2)), ((8, 6), (4, 6), (2, 0)), ((7, 10), (3, 4), (1, 2))],
)
def test_shifted_windows_reach_exactly_what_they_may(grid, window, shift):
    """Through a shifted window, then a plain one: the plain windows of all that shares the token's shifted window."""
    layers = [read_layer(*windowed(grid, window, (0, 0))), read_layer(*windowed(grid, window, shift))]
    found = rollout(layers)[0]
    tokens = list(itertools.product(range(grid[0]), range(grid[1])))
    assert found.shape == (len(tokens), len(tokens))
    for i, me in enumerate(tokens):
        near = [t for t in tokens if cell(t, window, shift) == cell(me, window, shift)]
        windows = {cell(t, window, (0, 0)) for t in near}
        assert [bool(x > 0) for x in found[i]] == [cell(t, window, (0, 0)) in windows for t in tokens]


def test_uniform_windows_without_a_shift_are_uniform_in_the_window():
    layers = [read_layer(*windowed((4, 6), (2, 3), (0, 0)))] * 2
    found = rollout(layers, place_rows(layers[0], torch.tensor([[9, 13]])))[0, 0].view(4, 6)
    want = torch.zeros(4, 6).double()
    want[2:, 3:] = 0.75 / 6
    want[2, 3] += 0.25
    torch.testing.assert_close(found, want)


def test_attention_to_padding_is_left_out():
    """A 1x3 grid in windows of 2: the last token shares its window with padding, which takes most of the attention."""
    weights = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[0.1, 0.9], [0.3, 0.7]]])[None, :, None]
    places = window_places((1, 3), (1, 2), (0, 0), (4.0, 4.0))
    layer = read_layer(weights, places, places)
    torch.testing.assert_close(rollout([layer])[0], torch.tensor([[3, 1, 0], [1, 3, 0], [0, 0, 4]]).double() / 4)


# --- against explicit matrices ---------------------------------------------------------------------------------------


def pixels_of(place, side):
    """The pixels of a square patch, by counting."""
    start = [round(float(p) - (side - 1) / 2) for p in place]
    return set(itertools.product(*(range(s, s + side) for s in start)))


def share(cells, other):
    """Of each cell the shares of its pixels that lie in each of the others, as lists of lists."""
    rows = [[len(a & b) for b in other] for a in cells]
    return [[n / sum(row) for n in row] for row in rows]


def slow_matrix(weights, queries, keys, prefix, stride, key_side, heads="mean", discard=0.0):
    """One image's layer (G,heads,q,k) as a matrix, in loops: fuse, discard, spread, add the identity, scale rows."""
    tokens = sorted(tuple(p) for p in queries.reshape(-1, 2).tolist() if p[0] == p[0])
    patches, count = [pixels_of(t, stride) for t in tokens], prefix + len(tokens)
    own = queries.shape == keys.shape

    def number(place, i):
        return i if i < prefix else prefix + tokens.index(tuple(place)) if place[0] == place[0] else None

    entries = {}
    for g, i in itertools.product(range(len(queries)), range(queries.shape[1])):
        if (row := number(queries[g, i].tolist(), i)) is None:
            continue
        seen = [j for j in range(keys.shape[1]) if not own or number(keys[g, j].tolist(), j) is not None]
        for j in seen:
            some = [float(w[i, j] / sum(w[i, s] for s in seen)) for w in weights[g]]
            entries[row, g, j] = {"mean": sum(some) / len(some), "max": max(some), "min": min(some)}[heads]
    for key in sorted(entries, key=entries.get)[: int(discard * len(entries))]:
        entries[key] = 0.0
    matrix = [[float(a == b) for b in range(count)] for a in range(count)]
    spreads = None if own else share([pixels_of(p, key_side) for p in keys[0]], patches)
    for (row, g, j), value in entries.items():
        if own:
            matrix[row][number(keys[g, j].tolist(), j)] += value
        else:
            for t, part in enumerate(spreads[j]):
                matrix[row][prefix + t] += value * part
    scaled = [[x / sum(row) for x in row] for row in matrix]
    return torch.tensor(scaled, dtype=torch.float64), patches


def a_plain(seed, grid, stride, prefix=0):
    places = torch.cat([NOWHERE.expand(prefix, 2), grid_places(grid, (stride, stride))])[None]
    n = places.shape[1]
    return (softmax(2, 1, 3, n, n, seed=seed).double(), places, places), prefix, stride, stride


def a_window(seed, grid, stride, window, shift):
    weights, places, _ = windowed(grid, window, shift, stride, seed=seed, batch=2, heads=3)
    noise = softmax(*weights.shape, seed=seed + 9)  # padded maps are not masked: padding is attended to
    return (0.7 * weights + 0.3 * noise, places, places), 0, stride, stride


def a_reduced(seed, grid, stride, kernel):
    keys = reduced_places(grid, (kernel, kernel), (kernel, kernel), (stride, stride))[None]
    places = grid_places(grid, (stride, stride))[None]
    return (
        (softmax(2, 1, 3, places.shape[1], keys.shape[1], seed=seed).double(), places, keys),
        0, stride, kernel * stride,
    )  # fmt: skip


CASES = {
    "plain": [a_plain(0, (2, 3), 4, prefix=2), a_plain(1, (2, 3), 4, prefix=2), a_plain(2, (2, 3), 4, prefix=2)],
    "stages with a class token": [a_plain(0, (4, 6), 2, prefix=1), a_plain(1, (2, 3), 4, prefix=1)],
    "windows": [a_window(0, (4, 6), 4, (2, 3), (0, 0)), a_window(1, (4, 6), 4, (2, 3), (1, 1)),
                a_window(2, (2, 3), 8, (2, 3), (0, 0))],
    "padded windows": [a_window(0, (5, 4), 4, (3, 3), (0, 0)), a_window(1, (5, 4), 4, (3, 3), (1, 1)),
                       a_window(2, (3, 2), 8, (3, 3), (0, 0))],
    "reduced": [a_reduced(0, (5, 4), 4, 4), a_reduced(1, (5, 4), 4, 2), a_reduced(2, (3, 2), 8, 1)],
    "all": [a_reduced(0, (4, 4), 4, 4), a_window(1, (4, 4), 4, (2, 2), (1, 1)), a_plain(2, (2, 2), 8)],
}  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"heads": "max"}, {"heads": "min", "discard": 0.4}, {"discard": 0.7}])
@pytest.mark.parametrize("case", CASES)
def test_rollout_equals_the_product_of_explicit_matrices(case, options):
    found = rollout([read_layer(*given, **options) for given, *_ in CASES[case]])
    for image in range(2):
        product, before = None, None
        for (weights, queries, keys), prefix, stride, side in CASES[case]:
            matrix, patches = slow_matrix(weights[image], queries, keys, prefix, stride, side, **options)
            if product is not None and patches != before:
                merge = torch.eye(prefix + len(patches), prefix + len(before)).double()
                merge[prefix:, prefix:] = torch.tensor(share(patches, before))
                product = merge @ product
            product, before = matrix if product is None else matrix @ product, patches
        torch.testing.assert_close(found[image], product, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_what_is_asked_about_is_a_weighting_of_the_output_tokens(case):
    layers = [read_layer(*given) for given, *_ in CASES[case]]
    every, last = rollout(layers), layers[-1]
    torch.testing.assert_close(rollout(layers, mean_row(last)), every[:, last.prefix :].mean(1, keepdim=True))
    at = torch.tensor([[3, 5], [0, 0]])
    torch.testing.assert_close(rollout(layers, place_rows(last, at)), place_rows(last, at) @ every)


# --- properties ------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 2),
    st.sampled_from(sorted(FUSIONS)), st.sampled_from([0.0, 0.3, 0.9, 1.0]),
)  # fmt: skip
def test_rows_are_shares_whatever_the_layout(seed, height, width, side, prefix, heads, discard):
    grid, options = (height, width), {"heads": heads, "discard": discard}
    layers = [plain(softmax(2, 3, n, n, seed=seed), grid, prefix=prefix, **options)
              for n in [prefix + height * width]] * 2  # fmt: skip
    if prefix == 0:
        window, shift = (side, min(side + 1, 3)), (side // 2, 0)
        layers += [read_layer(*windowed(grid, window, shift, seed=seed, batch=2, heads=2), **options)]
        kernel = min(side, height, width)
        given_, *_ = a_reduced(seed, grid, 4, kernel)
        layers += [read_layer(*given_, **options)]
    coarse = (-(-height // 2), -(-width // 2))
    n = prefix + coarse[0] * coarse[1]
    layers += [plain(softmax(2, 2, n, n, seed=seed), coarse, stride=8.0, prefix=prefix, **options)]
    found = rollout(layers)
    assert found.shape == (2, n, prefix + height * width)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(2, n).double())
    maps = to_pixels(rollout(layers, mean_row(layers[-1])), layers[0], (4 * height - 1, 4 * width))
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 1).double())


@pytest.mark.parametrize("case", CASES)
def test_an_image_does_not_depend_on_its_batch(case):
    options = {"heads": "max", "discard": 0.3}
    both = rollout([read_layer(*given, **options) for given, *_ in CASES[case]])
    for i in range(2):
        alone = rollout([read_layer(w[i : i + 1], *places, **options) for (w, *places), *_ in CASES[case]])
        torch.testing.assert_close(alone[0], both[i], rtol=1e-12, atol=1e-15)


def test_discarding_everything_leaves_the_residual():
    layers = [plain(softmax(1, 2, 12, 12), (3, 4), discard=1.0)] * 2
    assert torch.equal(rollout(layers)[0], torch.eye(12).double())


def test_spreading_keeps_the_sum():
    fine, coarse = plain(torch.eye(15), (3, 5)).grid, plain(torch.eye(6), (2, 3), stride=7.0).grid
    values = torch.rand(2, 15, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(spread(values, fine, coarse).sum(-1), values.sum(-1))


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_layouts_that_do_not_fit_are_explained():
    places, eye = grid_places((2, 3), (4.0, 4.0))[None], torch.eye(6)[None, None, None]
    with pytest.raises(ValueError, match="at least one layer"):
        rollout([])
    with pytest.raises(ValueError, match="to be >= 0"):
        read_layer(-eye, places, places)
    with pytest.raises(ValueError, match="to be >= 0"):
        read_layer(eye * torch.nan, places, places)
    with pytest.raises(ValueError, match="`heads` to be one of"):
        read_layer(eye, places, places, heads="median")
    with pytest.raises(ValueError, match="`discard` to be in"):
        read_layer(eye, places, places, discard=1.5)
    with pytest.raises(ValueError, match="Expected `keys` to have shape"):
        read_layer(eye, places, places[:, :5])
    holes = places.clone()
    holes[0, 5] = torch.tensor([30.0, 30.0])
    with pytest.raises(ValueError, match="to form a grid"):
        read_layer(eye, holes, holes)
    twice = places.clone()
    twice[0, 5] = twice[0, 4]
    with pytest.raises(ValueError, match="5 places in 2 rows and 3 columns"):
        read_layer(eye, twice, twice)
    with pytest.raises(ValueError, match="each once"):
        read_layer(eye.expand(1, 2, 1, 6, 6), places.expand(2, -1, -1), places.expand(2, -1, -1))
    with pytest.raises(ValueError, match="side by side"):
        read_layer(eye, places + 5, places + 5)
    with pytest.raises(ValueError, match="keys that are not the queries"):
        read_layer(eye[..., :4], places, torch.cat([NOWHERE, places[0, :3]])[None])


def test_layers_that_do_not_fit_each_other_are_explained():
    small, large = plain(torch.eye(6), (2, 3)), plain(torch.eye(7), (2, 3), prefix=1)
    with pytest.raises(ValueError, match="0 class and register tokens"):
        rollout([small, large])
    with pytest.raises(ValueError, match="Expected `rows` to have shape"):
        rollout([small], torch.eye(7))
    for place in ((8, 0), (0, 12), (-1, 0)):
        with pytest.raises(ValueError, match="`places` to lie in"):
            place_rows(small, torch.tensor([place]))
    with pytest.raises(ValueError, match="Expected every cell of a grid"):
        to_pixels(rollout([small]), small, (4, 12))
