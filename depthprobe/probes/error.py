"""How wrong is a network? The protocol's metrics per sample."""

import dataclasses
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from depthprobe.data.batch import Batch
from depthprobe.functional.alignment import ALIGNMENTS
from depthprobe.functional.conduct import nonpositive
from depthprobe.functional.conversion import DEPTH_KINDS
from depthprobe.functional.geometry import resize_map
from depthprobe.functional.protocol import Protocol, evaluate, prepare, prepare_truth
from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import evaluating
from depthprobe.probes.galleries import describe, pictures
from depthprobe.probes.reading import as_read, known_facts
from depthprobe.probes.registry import PROBES
from depthprobe.schema import rows


def error_maps(model: DepthModel, batch: Batch, plan: Protocol) -> list[dict[str, Any]]:
    """Per sample what the error is made of, for galleries.

    Convention: the protocol's window, or the whole image; image (H,W,3) uint8; depth (H,W) float32 metres, NaN where
    not judged; pred (H,W) float32 metres, aligned; meta: a JSON string with ids, protocol and metrics.
    """
    batch, protocol = as_read(batch, plan)
    raw = predict(model, batch.image, flip=plan.flip)
    pred, mask = prepare(raw, batch.depth, batch.valid, kind=model.card.output, protocol=protocol)
    values = _values(raw, model.card.output, batch, protocol)
    metrics = [{name: float(value[i]) for name, value in values.items()} for i in range(len(batch))]
    return [
        {**shown, "meta": describe(model, batch, i, plan, "error", ("", None, ""), metrics[i])}
        for i, shown in enumerate(pictures(batch, pred, mask))
    ]


@PROBES.register("error", plan=Protocol, axes={}, maps=error_maps)
def error(model: DepthModel, batch: Batch, plan: Protocol) -> pd.DataFrame:
    """Rows of the protocol's metrics against the ground truth, and of what was judged in the place of something else.

    Convention: `failed`, the share of the judged pixels without a number, and of kinds that are depth up to a scale
    `nonpositive`, that of the pixels where the network puts out 0 or less: both are judged as the nearest
    depth of the protocol. Where the protocol fits a shift to the depth too, 0 says nothing, and there is no
    `nonpositive`.

    Raises:
        ValueError: if the protocol refuses the network's output kind (names the protocols that fit), or its window or
            crop does not fit the images.
    """
    plan.check(model.card.output)
    batch, protocol = as_read(batch, plan)
    raw = predict(model, batch.image, flip=plan.flip)
    values = _values(raw, model.card.output, batch, protocol)
    return pd.concat([rows(batch.sample, name, value.tolist()) for name, value in values.items()], ignore_index=True)


def predict(model: DepthModel, image: Tensor, *, flip: bool = False) -> Tensor:
    """The network's own output (B,1,h,w) on its canvas: no gradient, eval mode (restored), no resize behind it.

    Convention: `flip` averages with the un-flipped prediction of the mirrored image.
    """
    with torch.no_grad(), evaluating(model):
        image = model.canvas(image)
        out: Tensor = model(image)
        if flip:
            out = (out + model(image.flip(-1)).flip(-1)) / 2
    return out


def _values(raw: Tensor, kind: str, batch: Batch, protocol: Protocol) -> dict[str, Tensor]:
    names = protocol.metrics if "failed" in protocol.metrics else (*protocol.metrics, "failed")
    protocol = dataclasses.replace(protocol, metrics=names)
    values = evaluate(raw, batch.depth, batch.valid, kind=kind, protocol=protocol, **known_facts(batch))
    shifts = "affine_depth" in ALIGNMENTS.facts(protocol.check(kind))["kinds"]  # what fits that, fits a shift of depth
    if kind not in DEPTH_KINDS or shifts:
        return values
    whole = resize_map(raw.float(), (batch.depth.shape[-2], batch.depth.shape[-1]), mode=protocol.resize)
    return values | {"nonpositive": nonpositive(whole, prepare_truth(batch.depth, batch.valid, protocol).mask)}
