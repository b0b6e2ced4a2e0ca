"""The optimal-transport depth loss: a base loss plus a weighted transport cost between depth maps."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from depthprobe.checks import check_one_of, check_range
from depthprobe.functional.losses_core import LOSSES, clean, loss
from depthprobe.functional.transport import histogram_wasserstein, row_wasserstein, sinkhorn_divergence

SPACES: dict[str, Callable[..., Tensor]] = {
    "position": sinkhorn_divergence,
    "rows": row_wasserstein,
    "values": histogram_wasserstein,
}


class TransportTerms(NamedTuple):
    """What the loss is made of: base + weight * transport, all scalars; the weight is a constant in the gradient."""

    base: Tensor
    transport: Tensor
    weight: Tensor


@loss(
    "optimal_transport",
    source="Yao et al. 2023, arXiv:2308.08333, written from its definition",
    perfect=1e-4,
    invariant=("units",),
)
def optimal_transport_depth_loss(
    pred: Tensor,
    depth: Tensor,
    valid: Tensor,
    *,
    space: str = "position",
    base: str = "silog",
    weight: float | None = None,
    ratio: float = 0.1,
    detach_transport: bool = False,
    base_options: Mapping[str, Any] | None = None,
    transport_options: Mapping[str, Any] | None = None,
) -> Tensor:
    """Base loss + weight * optimal transport between predicted and true depth, seen as distributions over pixels.

    The transport cost is blind to the prediction's global scale in `position` and `rows`, so the base must carry it. In
    coordinates whose longer side is 1 it is about 1e-3, so a weight of 1 is nearly inert: by default the weight is
    chosen in every batch such that the transport's gradient in `pred` is `ratio` times as long as the base's. (With
    several ranks, each chooses its own.) `optimal_transport_terms` tells the parts.

    Args:
        pred: predicted depth, > 0 where valid.
        depth: true depth.
        valid: which pixels exist.
        space: `position`: mass z / Σz at each pixel, moved in the image plane (`sinkhorn_divergence`); `rows`: the
            same, where only the row counts (`row_wasserstein`, what the released code's cost matrix means); `values`:
            depth values in metres, moved along the depth axis (`histogram_wasserstein`).
        base: any registered loss that needs no image, e.g. `silog` or `mse`.
        weight: the weight itself; None chooses it by `ratio`.
        ratio: length of the transport's gradient over that of the base's.
        detach_transport: keep the value, drop the transport's gradient. The ablation in which the loss must train
            exactly like its base (and what the released code does by accident).
        base_options: keywords of the base loss.
        transport_options: keywords of the transport, e.g. `blur`, `reach`, `tolerance` in `position`.

    Raises:
        ValueError: if a name or an option is unknown, or a prediction is negative, NaN or infinite at a valid pixel.
    """
    terms = optimal_transport_terms(
        pred,
        depth,
        valid,
        space=space,
        base=base,
        weight=weight,
        ratio=ratio,
        base_options=base_options,
        transport_options=transport_options,
    )
    transport = terms.transport.detach() if detach_transport else terms.transport
    return terms.base + terms.weight * transport


def optimal_transport_terms(
    pred: Tensor,
    depth: Tensor,
    valid: Tensor,
    *,
    space: str = "position",
    base: str = "silog",
    weight: float | None = None,
    ratio: float = 0.1,
    base_options: Mapping[str, Any] | None = None,
    transport_options: Mapping[str, Any] | None = None,
) -> TransportTerms:
    """The parts of `optimal_transport_depth_loss`, with its arguments: to report the weight, which a result needs."""
    check_one_of("space", space, SPACES)
    names = [name for name in LOSSES.names() if LOSSES.facts(name)["inputs"] == "pred depth valid"]
    check_one_of("base", base, [name for name in names if name != "optimal_transport"])
    if weight is None:
        check_range("ratio", ratio, 0, float("inf"))
    base_options, transport_options = base_options or {}, transport_options or {}
    _check_options("base_options", base_options, LOSSES[base])
    _check_options("transport_options", transport_options, SPACES[space])

    def both(z: Tensor) -> tuple[Tensor, Tensor]:
        cleaned, truth = clean(z, depth, valid)
        has = valid.flatten(1).any(1)
        masses = (cleaned[has, 0], truth[has, 0].to(cleaned.dtype))
        cost = SPACES[space](*masses, valid=valid[has, 0], **transport_options).mean()
        return LOSSES[base](z, depth, valid, **base_options), cost

    if weight is not None:
        first, cost = both(pred)
        return TransportTerms(first, cost, cost.new_tensor(weight))
    if torch.is_grad_enabled() and pred.requires_grad:
        own = pred.view_as(pred)  # gradients stop here: a hook on pred (Fabric's, in mixed precision) is not run twice
        first, cost = both(own)
        return TransportTerms(first, cost, _balance(first, cost, own, ratio))
    with torch.enable_grad():
        leaf = pred.detach().requires_grad_()
        first, cost = both(leaf)
        chosen = _balance(first, cost, leaf, ratio)
    return TransportTerms(first.detach(), cost.detach(), chosen)


def _check_options(name: str, options: Mapping[str, Any], function: Callable[..., Tensor]) -> None:
    known = [
        p for p in inspect.signature(function).parameters if p not in ("pred", "depth", "valid", "a", "b", "z", "g")
    ]
    for option in options:
        check_one_of(f"{name} key", option, known)


def _balance(base: Tensor, transport: Tensor, pred: Tensor, ratio: float) -> Tensor:
    """The weight at which the transport's gradient is `ratio` times as long as the base's; 0 where it has none."""
    first, second = (torch.autograd.grad(term, pred, retain_graph=True)[0].norm() for term in (base, transport))
    return torch.where(second > 0, ratio * first / torch.where(second > 0, second, 1), 0).to(transport.dtype)
