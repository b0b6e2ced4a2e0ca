"""Boundaries matched within a distance (iBims-1, SYNS), and depth order relative to a plane.

Convention: as `metrics`. Edges of a prediction are Canny's (scikit-image) and distances those of a k-d tree of the edge
pixels (scipy; exact, as a distance transform's), image by image on the CPU, in float64; everything else is batched.
Pixels next to invalid ones are on no edge.
Edges of the truth are `edges` where the data set annotates them, as the sources do; otherwise Canny's, by the same
rule. Canny compares neighbours that are equal on both sides of a clean step, so that rounding decides which of the two
is the edge: a prediction scaled in float32 can move a value by a few thousandths of a pixel.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from skimage.feature import canny
from torch import Tensor

from depthprobe.functional.terms import Terms, Truth, per_pixel

IBIMS = "iBims-1, Koch et al. 2018, arXiv:1805.01328; evaluate_ibims_error_metrics.py"
SYNS = "SYNS-Patches, Spencer et al. 2022, arXiv:2208.01489; monodepth_benchmark"
CUT = 10.0
"""Pixels beyond which an edge has no counterpart."""


def _normalised(depth: Tensor, valid: Tensor) -> Tensor:
    """Depth from 0 (the nearest valid pixel) to 1 (the farthest); 0 where an image is constant or holds NaN."""
    far = depth.masked_fill(~valid, -torch.inf).amax((1, 2), keepdim=True)
    near = depth.masked_fill(~valid, torch.inf).amin((1, 2), keepdim=True)
    return ((depth - near) / (far - near)).nan_to_num(0.0, 0.0, 0.0)


def _canny(x: Tensor, valid: Tensor, sigma: float, low: float, high: float) -> Tensor:
    """Canny edges (B,H,W) of maps (B,H,W) with valid pixels (B or 1,H,W)."""
    maps, known = x.detach().double().cpu().numpy(), valid.expand_as(x).cpu().numpy()
    found = [canny(one, sigma, low, high, mask=mask) for one, mask in zip(maps, known, strict=True)]
    return torch.from_numpy(np.stack(found)).to(x.device)


def _ibims_edges(depth: Tensor, valid: Tensor) -> Tensor:
    return _canny(_normalised(depth.double(), valid), valid, 2**0.5, 0.15, 0.3)


def _syns_edges(depth: Tensor, valid: Tensor) -> Tensor:
    return _canny(depth.double().log().nan_to_num(0.0, 0.0, 0.0), valid, 1.0, 0.1, 0.2)


FINDERS = {"ibims": _ibims_edges, "syns": _syns_edges}


class Matched(NamedTuple):
    """Sums over the edge pixels of each image, (B,) float64, from the distances to the nearest edge of the other map.

    own, true: numbers of edge pixels of pred and truth. near: of pred, those within 10 px; near_sum: sum of their
    distances; own_sum, true_sum: sums of the distances cut at 10 px; true_whole: of those not cut.
    """

    own: Tensor
    true: Tensor
    near: Tensor
    near_sum: Tensor
    own_sum: Tensor
    true_sum: Tensor
    true_whole: Tensor


def _trees(edges: Tensor) -> list[cKDTree]:
    """The edge pixels of each image, ready to be asked for the nearest."""
    return [cKDTree(np.argwhere(one), balanced_tree=False, compact_nodes=False) for one in edges.cpu().numpy()]


@functools.cache
def _true_edges(finder: str) -> Callable[[Truth], list[cKDTree]]:
    """What finds a truth's edges."""

    def find(truth: Truth) -> list[cKDTree]:
        if "edges" in truth.known:
            return _trees(truth.known["edges"][:, 0].bool() & truth.valid)
        return _trees(FINDERS[finder](truth.depth, truth.valid))

    return find


@functools.cache
def _matched(finder: str) -> Callable[[Terms], Matched]:
    """What matches the edges of pred and truth."""

    def match(t: Terms) -> Matched:
        truth = t.truth.derive(_true_edges(finder))
        own = _trees(FINDERS[finder](t.pred, t.take(t.truth.valid)))
        found = [_sums(mine, truth[i]) for mine, i in zip(own, t.index, strict=True)]
        return Matched(*torch.tensor(found, dtype=torch.float64, device=t.pred.device).unbind(1))

    return match


def _sums(own: cKDTree, true: cKDTree) -> tuple[float, ...]:
    """The entries of `Matched` for one image; distances to a map without edges are infinite."""
    to_true, to_own = (
        b.query(a.data)[0] if a.n and b.n else np.full(a.n, np.inf) for a, b in ((own, true), (true, own))
    )
    near = to_true[to_true < CUT]
    cut = (float(np.minimum(d, CUT).sum()) for d in (to_true, to_own))
    return own.n, true.n, len(near), float(near.sum()), *cut, float(to_own.sum())


def _accuracy(finder: str, t: Terms) -> Tensor:
    m = t.derive(_matched(finder))
    return torch.where(m.near > 0, m.near_sum / m.near, CUT).where(m.true > 0, torch.nan)


def dbe_acc(t: Terms) -> Tensor:
    """Mean distance to the truth's nearest edge, over the predicted edge pixels nearer than 10 px to one.

    Edges: Canny of depth scaled from its least to its largest value to 0..1, sigma √2, thresholds 0.15 and 0.3. 10
    where no predicted edge is that near.
    """
    return _accuracy("ibims", t)


def dbe_com(t: Terms) -> Tensor:
    """Mean distance, cut at 10 px, from all edge pixels of either map to the other's edges; edges as in `dbe_acc`."""
    m = t.derive(_matched("ibims"))
    return torch.where(m.near > 0, (m.own_sum + m.true_sum) / (m.own + m.true), CUT).where(m.true > 0, torch.nan)


def syns_edge_acc(t: Terms) -> Tensor:
    """`dbe_acc` with SYNS's edges: Canny of ln depth, sigma 1, thresholds 0.1 and 0.2."""
    return _accuracy("syns", t)


def syns_edge_com(t: Terms) -> Tensor:
    """Mean distance from the truth's edge pixels to the nearest predicted edge, not cut; edges of `syns_edge_acc`.

    10 where no predicted edge is within 10 px of a true one. Not cut, one missed edge far from all others outweighs
    many good ones: compare `dbe_com`.
    """
    m = t.derive(_matched("syns"))
    return torch.where(m.near > 0, m.true_whole / m.true, CUT).where(m.true > 0, torch.nan)


_PIXELS: dict[str, Any] = {"unit": "px", "better": "lower", "differentiable": False, "scope": "structure"}
_FAR = (0.0, float("inf"))
per_pixel("dbe_acc", source=IBIMS, range=(0.0, CUT), invariant=("scale", "units"), **_PIXELS)(dbe_acc)
per_pixel("dbe_com", source=IBIMS, range=(0.0, CUT), invariant=("scale", "units", "swap"), **_PIXELS)(dbe_com)
per_pixel("syns_edge_acc", source=SYNS, range=(0.0, CUT), invariant=("scale", "units", "inverse"), **_PIXELS)(
    syns_edge_acc
)
per_pixel("syns_edge_com", source=SYNS, range=_FAR, invariant=("scale", "units", "inverse"), **_PIXELS)(syns_edge_com)


def _sides(plane: float, t: Terms) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels in front of the plane in pred, behind it in pred, and in front of it in truth."""
    valid = t.take(t.truth.valid)
    return (t.pred <= plane) & valid, (t.pred > plane) & valid, t.depth <= plane


def dde(plane: float, t: Terms) -> Tensor:
    """Percentage of pixels on the right side of a plane at 3 m (iBims-1) or 10 m (SYNS); directed depth error."""
    front, behind, true = _sides(plane, t)
    return 100 * t.share(front & true | behind & ~true)


def dde_near(plane: float, t: Terms) -> Tensor:
    """Percentage of pixels predicted in front of the plane of `dde` that are behind it (DDE-)."""
    front, _, true = _sides(plane, t)
    return 100 * t.share(front & ~true)


def dde_far(plane: float, t: Terms) -> Tensor:
    """Percentage of pixels predicted behind the plane of `dde` that are in front of it (DDE+)."""
    _, behind, true = _sides(plane, t)
    return 100 * t.share(behind & true)


_PERCENT: dict[str, Any] = {"unit": "%", "range": (0.0, 100.0), "differentiable": False, "scope": "structure"}
for _name, _plane, _source in (("dde_3m", 3.0, IBIMS), ("syns_dde_10m", 10.0, SYNS)):
    _facts = {"source": _source, **_PERCENT}
    per_pixel(_name, better="higher", perfect=100.0, invariant=("swap",), **_facts)(functools.partial(dde, _plane))
    per_pixel(f"{_name}_near", better="lower", **_facts)(functools.partial(dde_near, _plane))
    per_pixel(f"{_name}_far", better="lower", **_facts)(functools.partial(dde_far, _plane))
