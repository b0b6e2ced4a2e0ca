"""Evaluation protocols: every choice between a raw prediction and a number, in one frozen, hashed, printable place.

Order of steps: resize the prediction to the truth -> mask (valid, min < g < max, crop) -> alignment by
output kind, fitted inside the mask -> clamp to [min, max] (infinity is far, hence max) -> metrics per image. A valid
pixel without a prediction (NaN) is a failure: it is judged as `min_depth` (as BTS) and counted by the metric `failed`.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from depthprobe.checks import check_one_of, check_range, check_shapes
from depthprobe.functional.alignment import align_maps, check_positive, method_for
from depthprobe.functional.conversion import OUTPUT_KINDS
from depthprobe.functional.geometry import RESIZES, Box, crop_mask, resize_map
from depthprobe.functional.metrics import Terms, Truth, measure
from depthprobe.registry import Registry
from depthprobe.schema import plan_id

PROTOCOLS = Registry("protocol")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a prediction is judged; the plan of the `error` probe.

    Convention:
        crop: (top, bottom, left, right), half-open, in pixels of an image of size `frame`; frame (1, 1): fractions.
        min_depth, max_depth: metres; truth counts where min < g < max, strictly; the prediction is clamped to them.
        alignment: (output kind, method) pairs; a kind that is not named is refused.
        floor: least aligned disparity in 1/m before it is inverted (None: 1 / max depth of the sample).
        resize, align_corners: of the prediction to the truth's size, `bilinear` or `bicubic`.
        flip: average the prediction with the un-flipped prediction of the flipped image (the `error` probe does).
    """

    name: str
    crop: Box | None = None
    frame: tuple[int, int] | None = None
    min_depth: float = 1e-3
    max_depth: float = 80.0
    resize: str = "bilinear"
    align_corners: bool = False
    alignment: tuple[tuple[str, str], ...] = (("metric_depth", "none"),)
    floor: float | None = None
    flip: bool = False
    metrics: tuple[str, ...] = ("abs_rel", "rmse", "delta1", "silog")
    seed: int = 0

    def __post_init__(self) -> None:
        for field in ("crop", "frame", "metrics"):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, tuple(getattr(self, field)))
        object.__setattr__(self, "alignment", tuple((kind, method) for kind, method in self.alignment))
        if (self.crop is None) != (self.frame is None):
            raise ValueError(f"Expected `crop` and `frame` together, but got crop={self.crop}, frame={self.frame}.")
        check_one_of("resize", self.resize, RESIZES)
        check_positive("min_depth", self.min_depth)
        check_range("max_depth", self.max_depth, self.min_depth, 1e9, open_low=True)
        if self.floor is not None:
            check_positive("floor", self.floor)
        for kind, method in self.alignment:
            check_one_of("kind", kind, OUTPUT_KINDS)
            method_for(kind, method)
        if not self.metrics:
            raise ValueError("Expected at least one name in `metrics`, but got none.")

    def check(self, kind: str) -> str:
        """The alignment of an output kind under this protocol.

        Raises:
            ValueError: if the protocol refuses the kind; names the protocols that fit it.
        """
        check_one_of("kind", kind, OUTPUT_KINDS)
        methods = dict(self.alignment)
        if kind not in methods:
            fits = [name for name in PROTOCOLS if kind in dict(get_protocol(name).alignment)]
            raise ValueError(
                f"Expected a network of kind {sorted(methods)} for protocol `{self.name}`, but got {kind}, which it "
                f"cannot judge; protocols that fit {kind}: {', '.join(fits)}."
            )
        return method_for(kind, methods[kind])

    def describe(self) -> str:
        """Every number of the protocol as text, with its hash."""
        crop = (
            "none" if self.crop is None else f"rows {self.crop[0]}:{self.crop[1]}, cols {self.crop[2]}:{self.crop[3]}"
        )
        frame = (
            "" if self.frame is None else " of the image" if self.frame == (1, 1) else " of {}x{}".format(*self.frame)
        )
        floor = "1 / max depth of the sample" if self.floor is None else f"{self.floor:g} 1/m"
        lines = {
            "protocol": f"{self.name} ({plan_id(self)})",
            "crop": crop + frame,
            "truth": f"{self.min_depth:g} < depth < {self.max_depth:g} m, strictly",
            "prediction": f"{self.resize} to the truth's size (align_corners={self.align_corners}), clamped to the "
            "same range after alignment; infinity = max, NaN = failure, judged as min",
            "alignment": ", ".join(f"{kind}: {method}" for kind, method in self.alignment) + "; other kinds refused",
            "floor": f"{floor} (aligned disparity)",
            "flip": "mean of prediction and un-flipped prediction of the flipped image" if self.flip else "no",
            "metrics": ", ".join(self.metrics) + "; per image, then the mean over images",
        }
        return "\n".join(f"{name + ':':12s}{text}" for name, text in lines.items())


def get_protocol(name: str) -> Protocol:
    """A preset by name.

    Raises:
        ValueError: if there is none; lists the known.
    """
    protocol: Protocol = PROTOCOLS[name]()
    return protocol


@dataclasses.dataclass(frozen=True)
class PreparedTruth:
    """Ground truth under a protocol (mask, crop, logarithm), made once and used for many predictions."""

    truth: Truth
    protocol: Protocol

    @property
    def mask(self) -> Tensor:
        """The pixels that are judged, bool (T,1,H,W)."""
        return self.truth.valid[:, None]


def prepare_truth(depth: Tensor, valid: Tensor, protocol: Protocol) -> PreparedTruth:
    """Make ground truth (T,1,H,W) ready to judge any number of predictions with `evaluate_prepared`."""
    check_shapes(depth=(depth, "t 1 h w"), valid=(valid, "t 1 h w"))
    mask = valid & (depth > protocol.min_depth) & (depth < protocol.max_depth)
    if protocol.crop is not None and protocol.frame is not None:
        mask = mask & crop_mask((depth.shape[2], depth.shape[3]), protocol.crop, protocol.frame).to(depth.device)
    return PreparedTruth(Truth(depth, mask), protocol)


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


def evaluate(pred: Tensor, depth: Tensor, valid: Tensor, *, kind: str, protocol: Protocol) -> dict[str, Tensor]:
    """The protocol's metrics {name: (B,)} of predictions (B,1,h,w) of a declared kind against depth (B,1,H,W).

    Raises:
        ValueError: if the protocol refuses the kind (names those that fit), or the crop does not fit the image.
    """
    return evaluate_prepared(pred, prepare_truth(depth, valid, protocol), kind=kind)


def prepare(pred: Tensor, depth: Tensor, valid: Tensor, *, kind: str, protocol: Protocol) -> tuple[Tensor, Tensor]:
    """What the metrics are computed from: the aligned, clamped prediction (B,1,H,W) in metres, and the mask."""
    prepared = prepare_truth(depth, valid, protocol)
    terms = _terms(pred, prepared, kind, None)
    return terms.raw.nan_to_num(protocol.min_depth)[:, None], prepared.mask


def _terms(pred: Tensor, prepared: PreparedTruth, kind: str, index: Sequence[int] | None) -> Terms:
    protocol, truth = prepared.protocol, prepared.truth
    method = protocol.check(kind)
    check_shapes(pred=(pred, "b 1 h w"))
    index = None if index is None else [int(i) for i in index]
    if len(pred) != (len(truth) if index is None else len(index)):
        raise ValueError(
            f"Expected one prediction per {'image' if index is None else 'entry of `index`'}, but got {len(pred)} for "
            f"{len(truth) if index is None else len(index)}."
        )
    pred = pred if pred.dtype == torch.float64 else pred.float()
    size = (truth.depth.shape[1], truth.depth.shape[2])
    pred = resize_map(pred, size, mode=protocol.resize, align_corners=protocol.align_corners)
    if method != "none":
        depth, valid = (truth.take(x, index) for x in (truth.depth, truth.valid))
        pred = align_maps(pred[:, 0], depth, valid, kind, method, protocol.floor)[:, None]
    return Terms(pred.clamp(protocol.min_depth, protocol.max_depth), truth, index, failed_as=protocol.min_depth)


@PROTOCOLS.register("scenes", source="depthprobe")
def scenes() -> Protocol:
    """The built-in scenes: no crop, 1e-3..80 m, each kind by the alignment made for it, disparity floor 1/80."""
    return Protocol(
        name="scenes",
        alignment=tuple((kind, method_for(kind)) for kind in OUTPUT_KINDS),
        floor=1 / 80,
    )


@PROTOCOLS.register("bts_nyu", source="BTS, pytorch/bts_eval.py; ZoeDepth, utils/misc.py")
def bts_nyu() -> Protocol:
    """NYUv2 as BTS and most metric networks since: Eigen crop, 1e-3..10 m, no alignment, BTS's nine numbers."""
    return Protocol(
        name="bts_nyu",
        crop=(45, 471, 41, 601),
        frame=(480, 640),
        max_depth=10.0,
        metrics=("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "delta1", "delta2", "delta3"),
    )


@PROTOCOLS.register("midas_nyu", source="MiDaS; gist ranftlr/a1c7a24ebb24ce0e2f2ace5bce917022")
def midas_nyu() -> Protocol:
    """NYUv2 as MiDaS and DPT: no crop, least squares in disparity, floor 1/10, % of pixels off by more than 1.25.

    MiDaS takes rawDepths as truth. Depth networks are inverted first; an affine depth has no disparity to fit.
    """
    return Protocol(
        name="midas_nyu",
        max_depth=10.0,
        alignment=tuple((k, "disparity") for k in ("affine_disparity", "scale_depth", "metric_depth")),
        floor=1 / 10,
        metrics=("d1_outlier", "abs_rel", "rmse", "delta1", "silog"),
    )


@PROTOCOLS.register("marigold_nyu", source="Marigold, eval.py and src/util/alignment.py")
def marigold_nyu() -> Protocol:
    """NYUv2 as Marigold: Eigen crop, 1e-3..10 m, least squares scale and shift in the space of the output.

    In depth for every kind of depth, in disparity (floor 1e-3) for an affine disparity.
    """
    return Protocol(
        name="marigold_nyu",
        crop=(45, 471, 41, 601),
        frame=(480, 640),
        max_depth=10.0,
        alignment=(
            *((kind, "scale_shift") for kind in ("affine_depth", "scale_depth", "metric_depth")),
            ("affine_disparity", "disparity"),
        ),
        floor=1e-3,
        metrics=("abs_rel", "delta1", "delta2", "delta3", "rmse", "log10", "silog"),
    )
