"""Evaluation protocols: every choice between a raw prediction and a number, in one frozen, hashed, printable place.

Order of steps: resize the prediction to the truth -> mask (valid, min < g < max, window, crop) -> alignment by
output kind, fitted inside the mask -> clamp to [min, max] (infinity is far, hence max) -> metrics per image. A valid
pixel without a prediction (NaN) is a failure: it is judged as `min_depth` (as BTS) and counted by the metric `failed`.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional import protocol_presets  # noqa: F401  (they register into PROTOCOLS)
from depthprobe.functional.alignment import fit_maps
from depthprobe.functional.conversion import DEPTH_KINDS, depth_to_disparity
from depthprobe.functional.geometry import resize_map
from depthprobe.functional.metrics import Terms, Truth, measure
from depthprobe.functional.protocol_core import ASPECTS, PROTOCOLS, Protocol, get_protocol

__all__ = ["ASPECTS", "PROTOCOLS", "PreparedTruth", "Protocol", "evaluate", "evaluate_prepared", "get_protocol",
           "prepare", "prepare_truth"]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class PreparedTruth:
    """Ground truth under a protocol (mask, crop, logarithm), made once and used for many predictions."""

    truth: Truth
    protocol: Protocol

    @property
    def mask(self) -> Tensor:
        """The pixels that are judged, bool (T,1,H,W)."""
        return self.truth.valid[:, None]


def prepare_truth(depth: Tensor, valid: Tensor, protocol: Protocol, **known: Tensor) -> PreparedTruth:
    """Make ground truth (T,1,H,W) ready to judge any number of predictions with `evaluate_prepared`.

    Convention: `known`: what the truth knows besides depth (annotated `edges`, `planes`, `intrinsics`; terms.KNOWN).
    """
    check_shapes(depth=(depth, "t 1 h w"), valid=(valid, "t 1 h w"))
    mask = valid & (depth > protocol.min_depth) & (depth < protocol.max_depth)
    if protocol.crop is not None or protocol.window is not None:
        mask = mask & protocol.region((depth.shape[2], depth.shape[3])).to(depth.device)
    return PreparedTruth(Truth(depth, mask, **known), protocol)


def evaluate_prepared(
    pred: Tensor, prepared: PreparedTruth, *, kind: str, index: Sequence[int] | None = None
) -> dict[str, Tensor]:
    """The protocol's metrics of predictions (B,1,h,w); `index` (B) says which image of the truth each belongs to.

    Convention: index None: one prediction per image, in order. Values (B,), the same numbers as `evaluate`.

    Raises:
        ValueError: if the protocol refuses the kind, or index and predictions differ in number.
    """
    terms = _terms(pred, prepared, kind, index)
    return measure(terms, prepared.protocol.metrics)


def evaluate(
    pred: Tensor, depth: Tensor, valid: Tensor, *, kind: str, protocol: Protocol, **known: Tensor
) -> dict[str, Tensor]:
    """The protocol's metrics {name: (B,)} of predictions (B,1,h,w) of a declared kind against depth (B,1,H,W).

    Convention: a prediction, of any resolution, shows the whole image that the depth shows, also under a protocol with
    a window; `known` as `prepare_truth`.

    Raises:
        ValueError: if the protocol refuses the kind (names those that fit), the crop or window does not fit the image,
            or the prediction looks like one of the window alone.
    """
    return evaluate_prepared(pred, prepare_truth(depth, valid, protocol, **known), kind=kind)


def prepare(
    pred: Tensor, depth: Tensor, valid: Tensor, *, kind: str, protocol: Protocol, fitted: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What the metrics are computed from: the aligned, clamped prediction (B,1,H,W) in metres, and the mask.

    Convention: `fitted`: the prediction whose alignment is taken, of the size of `pred`; None: its own.
    """
    prepared = prepare_truth(depth, valid, protocol)
    terms = _terms(pred, prepared, kind, None, fitted)
    return terms.raw.nan_to_num(protocol.min_depth)[:, None], prepared.mask


def _terms(
    pred: Tensor, prepared: PreparedTruth, kind: str, index: Sequence[int] | None, fitted: Tensor | None = None
) -> Terms:
    protocol, truth = prepared.protocol, prepared.truth
    method = protocol.check(kind)
    check_shapes(pred=(pred, "b 1 h w"))
    index = None if index is None else [int(i) for i in index]
    if len(pred) != (len(truth) if index is None else len(index)):
        raise ValueError(
            f"Expected one prediction per {'image' if index is None else 'entry of `index`'}, but got {len(pred)} for "
            f"{len(truth) if index is None else len(index)}."
        )
    size = (truth.depth.shape[1], truth.depth.shape[2])
    pred = _resized(_floating(pred), size, kind, protocol)
    if method != "none":
        fitted = pred if fitted is None else _resized(_floating(fitted), size, kind, protocol)
        depth, valid = (truth.take(x, index) for x in (truth.depth, truth.valid))
        pred = fit_maps(fitted[:, 0], depth, valid, kind, method, protocol.floor)(pred[:, 0])[:, None]
    return Terms(pred.clamp(protocol.min_depth, protocol.max_depth), truth, index, failed_as=protocol.min_depth)


def _floating(pred: Tensor) -> Tensor:
    """The prediction in float32, unless it is in float64."""
    return pred if pred.dtype == torch.float64 else pred.float()


def _resized(pred: Tensor, size: tuple[int, int], kind: str, protocol: Protocol) -> Tensor:
    """The prediction at the truth's size."""
    if tuple(pred.shape[-2:]) == size:
        return pred
    if tuple(pred.shape[-2:]) == protocol.window:
        raise ValueError(
            f"Expected a prediction of the whole image ({size[0]}x{size[1]}), but got one of the size of the window of "
            f"protocol `{protocol.name}`, {protocol.window[0]}x{protocol.window[1]}; cut depth and valid to "
            "`protocol.reads(size)` too and judge by `protocol.inside(size)`, or resize the prediction to the image."
        )
    inverted = protocol.resize_space == "disparity" and kind in DEPTH_KINDS
    out = depth_to_disparity(pred) if inverted else pred
    out = resize_map(out, size, mode=protocol.resize, align_corners=protocol.align_corners)
    return 1 / out if inverted else out
