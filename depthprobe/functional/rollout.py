"""Attention rollout: which tokens of the first layer an output token rests on (Abnar & Zuidema 2020, arXiv:2005.00928).

Of every layer the mean over heads plus the identity (for the residual connection), rows scaled to sum to 1; rollout is
the product over the layers. It is taken here in the space of places, (y, x) in pixels of the image that the network
reads, so that it also holds for (shifted) windows, for keys that stand between tokens (each is spread over the tokens
in its cell) and for grids that change between layers (a token is spread over the tokens of the earlier grid in its
cell, by area). All of these are row-stochastic matrices; none is ever formed, since relevance is carried back from the
output row by row.

What it leaves out: values, norms, MLPs, convolutions, the overlap of patches, and everything after the last layer. It
knows no target: it says where information may have come from, not whether it raised or lowered an answer.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.checks import check_one_of, check_range, check_shapes
from depthprobe.functional.attention import grid_places

ABNAR = "Abnar & Zuidema 2020, arXiv:2005.00928"
FUSIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda weights: weights.mean(2),
    "max": lambda weights: weights.amax(2),
    "min": lambda weights: weights.amin(2),
}
"""What stands for all heads of a layer: their mean in the paper; largest and smallest are in use too."""


@dataclasses.dataclass(frozen=True)
class Cells:
    """A grid of equal rectangles: centres of its rows (n,) and columns (m,) in pixels, float64.

    Convention: the first cell begins at the border of the image; the others may lie apart or overlap.
    """

    y: Tensor
    x: Tensor

    def __len__(self) -> int:
        """How many cells there are."""
        return len(self.y) * len(self.x)

    def same(self, other: "Cells") -> bool:
        """Whether two grids are one."""
        return torch.equal(self.y, other.y) and torch.equal(self.x, other.x)


@dataclasses.dataclass(frozen=True)
class Layer:
    """The attention of one layer over the tokens that it has: `prefix` tokens without a place, then a grid row by row.

    Convention: weights (B,G,q,k), heads fused; token (G,q), the number of the token that a query is, or the number of
    tokens for padding; the keys are the same tokens, or cells of their own, `reduced`.
    """

    weights: Tensor
    token: Tensor
    prefix: int
    grid: Cells
    reduced: Cells | None

    def __len__(self) -> int:
        """How many tokens there are."""
        return self.prefix + len(self.grid)


def read_layer(weights: Tensor, queries: Tensor, keys: Tensor, *, heads: str = "mean", discard: float = 0.0) -> Layer:
    """Make a layer of rollout from an attention map and the places of its tokens.

    Convention: weights (B,G,heads,q,k), >= 0, and places as in `attention_distance`. Tokens without a place are class
    and register tokens where they come first in a map without windows, else padding: attention to padding is left out
    and the rest scaled up to 1, in each head. heads: a name in FUSIONS. discard: share of a map's pairs, the smallest,
    that are set to 0 before the identity is added, equal ones in their order: a heuristic of public code (0, the
    definition, discards none).

    Raises:
        ValueError: if shapes or numbers do not fit, or the places form no grid.
    """
    sizes = check_shapes(weights=(weights, "b g heads q k"), queries=(queries, "g q 2"), keys=(keys, "g k 2"))
    check_one_of("heads", heads, FUSIONS)
    check_range("discard", discard, 0, 1)
    if not bool((weights >= 0).all()):
        raise ValueError("Expected `weights` of attention to be >= 0, but got negative ones or NaN; give the softmax.")
    prefix, grid, token = _numbered(queries)
    own = sizes["q"] == sizes["k"] and torch.equal(queries.nan_to_num(-1), keys.nan_to_num(-1))
    reduced = None if own else _between(keys)
    count = prefix + len(grid)
    seen = token < count if own else torch.ones(keys.shape[:2], dtype=torch.bool)
    pairs = ((token < count)[:, :, None] & seen[:, None]).to(weights.device)  # (G,q,k)
    kept = weights.double().where(pairs[:, None], 0)
    fused = FUSIONS[heads]((kept / kept.sum(-1, keepdim=True)).nan_to_num())
    return Layer(_without_least(fused, pairs, discard), token.to(weights.device), prefix, grid, reduced)


def rollout(layers: Sequence[Layer], rows: Tensor | None = None) -> Tensor:
    """Relevance (B,Q,tokens of the first layer) of the tokens that go in for tokens that come out; rows sum to 1.

    Convention: layers in the order in which they act, each on what the one before it gave; rows (Q,tokens of the last
    layer): what is asked about, e.g. `mean_row` or `place_rows`; None: every token that comes out.

    Raises:
        ValueError: if there is no layer, or one does not fit the next.
    """
    if not layers:
        raise ValueError("Expected at least one layer of attention, but got none; read some with `read_layer`.")
    last = layers[-1]
    asked = torch.eye(len(last), dtype=torch.float64) if rows is None else rows
    check_shapes(rows=(asked, f"q {len(last)}"))
    found = asked.to(last.weights).expand(len(last.weights), -1, -1)
    for number in reversed(range(len(layers))):
        found = _through(layers[number], found)
        if number:
            found = _earlier(found, layers[number], layers[number - 1])
    return found


def mean_row(layer: Layer) -> Tensor:
    """The row (1,tokens) that asks about all tokens of the grid alike."""
    row = torch.full((1, len(layer)), 1 / len(layer.grid), dtype=torch.float64)
    row[:, : layer.prefix] = 0
    return row


def place_rows(layer: Layer, places: Tensor) -> Tensor:
    """Rows (Q,tokens) that ask about the tokens in whose cells the places (Q,2), in pixels, lie.

    Raises:
        ValueError: if a place is in no token's cell.
    """
    check_shapes(places=(places, "q 2"))
    number = torch.zeros(len(places), dtype=torch.long)
    for axis, centres in enumerate((layer.grid.y, layer.grid.x)):
        index = ((places[:, axis].double() + 0.5) / _length(centres)).floor().long()
        if not bool(((index >= 0) & (index < len(centres))).all()):
            end = len(centres) * _length(centres) - 0.5
            raise ValueError(
                f"Expected `places` to lie in [-0.5, {end:g}) on axis {axis}, but got {places[:, axis].tolist()}."
            )
        number = number * len(centres) + index
    return F.one_hot(layer.prefix + number, len(layer)).double()


def to_pixels(relevance: Tensor, layer: Layer, size: tuple[int, int]) -> Tensor:
    """Relevance (B,Q,h,w) of the pixels of an image of `size` from that of the tokens (B,Q,tokens); maps sum to 1.

    Convention: a token's relevance is spread evenly over the pixels of its cell; that of class and register tokens,
    which stand nowhere, is left out and the rest scaled up.
    """
    check_shapes(relevance=(relevance, f"b q {len(layer)}"))
    placed = relevance[..., layer.prefix :]
    pixels = _cells(grid_places(size, (1.0, 1.0)))
    return spread(placed / placed.sum(-1, keepdim=True), layer.grid, pixels).unflatten(-1, size)


def spread(values: Tensor, source: Cells, target: Cells) -> Tensor:
    """Hand what each cell of one grid holds (...,n·m) to the cells of another, by the area that they share with it.

    Raises:
        ValueError: if a cell shares no area with the other grid.
    """
    down, across = _shares(source.y, target.y).to(values), _shares(source.x, target.x).to(values)
    return (down.T @ values.unflatten(-1, (len(source.y), len(source.x))) @ across).flatten(-2)


def _shares(source: Tensor, target: Tensor) -> Tensor:
    """Of every interval (n,) around `source` the shares (n,m) in the intervals around `target`; rows sum to 1."""
    long, other = _length(source), _length(target)
    low = torch.maximum(source[:, None] - long / 2, target - other / 2)
    high = torch.minimum(source[:, None] + long / 2, target + other / 2)
    common = (high - low).where(high - low > 1e-6 * min(long, other), 0)
    if not bool((common.sum(1) > 0).all()):
        raise ValueError(
            f"Expected every cell of a grid to lie on the grid that it is spread over, but got rows or columns around "
            f"{source.tolist()} and {target.tolist()}; give the places of all layers in pixels of the same image."
        )
    return common / common.sum(1, keepdim=True)


def _length(centres: Tensor) -> float:
    """How long a cell is: the first one begins at the border, -0.5."""
    return 2 * (float(centres[0]) + 0.5)


def _cells(places: Tensor) -> Cells:
    """The grid whose centres are `places` (n,2), row by row."""
    y, x = places[:, 0].unique(), places[:, 1].unique()
    if not len(places) or not torch.equal(places, torch.cartesian_prod(y, x)) or min(y[0], x[0]) <= -0.5:
        raise ValueError(
            f"Expected the places of tokens to form a grid on the image, row by row, but got {len(places)} places in "
            f"{len(y)} rows and {len(x)} columns; the layout of the layer does not fit."
        )
    return Cells(y, x)


def _numbered(queries: Tensor) -> tuple[int, Cells, Tensor]:
    """How many tokens come before the grid, the grid, and which token (G,q) every query is."""
    placed = queries.isfinite().all(-1)
    prefix = int((placed[0].cumsum(0) == 0).sum()) if len(queries) == 1 else 0
    found, index = queries[placed].double().unique(dim=0, return_inverse=True)
    grid = _cells(found)
    tiles = grid_places((len(grid.y), len(grid.x)), (_length(grid.y), _length(grid.x)))
    if len(index) != len(found) or not torch.allclose(found, tiles, rtol=0, atol=1e-3):
        raise ValueError(
            f"Expected the queries of a layer to be tokens side by side, each once, but got {len(index)} queries at "
            f"{len(found)} places; the layout of the layer does not fit."
        )
    token = torch.full(placed.shape, prefix + len(grid))
    token[placed] = prefix + index
    token[0, :prefix] = torch.arange(prefix)
    return prefix, grid, token


def _between(keys: Tensor) -> Cells:
    """The cells of keys that are no tokens."""
    if len(keys) != 1 or not bool(keys.isfinite().all()):
        raise ValueError(
            "Expected keys that are not the queries to have places and to be seen by all queries, but got "
            f"{len(keys)} windows of {keys.shape[1]} keys, {int(keys.isnan().any(-1).sum())} of them without a place; "
            "the layout of the layer does not fit."
        )
    return _cells(keys[0].double())


def _without_least(weights: Tensor, pairs: Tensor, discard: float) -> Tensor:
    """The weights (B,G,q,k) with the smallest share `discard` of the pairs set to 0, image by image."""
    count = int(discard * int(pairs.sum()))
    if not count:
        return weights
    least = weights.where(pairs, torch.inf).flatten(1).argsort(dim=1, stable=True)[:, :count]
    return weights.flatten(1).scatter(1, least, 0).view_as(weights)


def _through(layer: Layer, found: Tensor) -> Tensor:
    """Rows (B,Q,tokens) times the layer's matrix: attention plus identity, its rows scaled to sum to 1."""
    token = layer.token.flatten()
    asked = F.pad(found, (0, 1))[..., token].unflatten(-1, layer.token.shape)
    asked = asked / (layer.weights.sum(-1) + 1)[:, None]
    given = torch.einsum("bzgq,bgqk->bzgk", asked, layer.weights).flatten(2)
    out = torch.zeros_like(F.pad(found, (0, 1))).index_add_(-1, token, asked.flatten(2))
    if layer.reduced is None:
        return out.index_add_(-1, token, given)[..., :-1]
    out[..., layer.prefix : -1] += spread(given, layer.reduced, layer.grid)
    return out[..., :-1]


def _earlier(found: Tensor, layer: Layer, before: Layer) -> Tensor:
    """Rows (B,Q,tokens) of a layer as rows of the tokens of the layer before it."""
    if layer.prefix != before.prefix or len(layer.weights) != len(before.weights):
        raise ValueError(
            f"Expected a layer to take the {before.prefix} class and register tokens and {len(before.weights)} images "
            f"of the layer before it, but got {layer.prefix} and {len(layer.weights)}; the layers do not fit."
        )
    if layer.grid.same(before.grid):
        return found
    placed = spread(found[..., layer.prefix :], layer.grid, before.grid)
    return torch.cat([found[..., : layer.prefix], placed], -1)
