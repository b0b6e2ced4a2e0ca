"""How a network reacts to changed images of one batch: the one path of the probes that change what it sees."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from depthprobe.data.batch import Batch
from depthprobe.functional.protocol import Protocol
from depthprobe.functional.texture import pixel_change
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.error import predict
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.sparse_judge import Judge


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """The images (B,3,H,W) of a batch after one change; `control` names what stands in for it ("": nothing does)."""

    factor: str
    level: float
    image: Tensor
    control: str = ""


def reactions(
    model: DepthModel, batch: Batch, protocol: Protocol, changes: Iterable[Change], answer: Tensor
) -> pd.DataFrame:
    """Rows of the protocol's metrics under every change, against the truth and against the unchanged answer (`@self`).

    Convention: a change leaves depth and valid as they are; batch and protocol are those of `as_read`; `answer` is what
    `predict` gives for the batch, and for a change that is none (the very image of the batch). `pixel_change` says how
    much each image differs. Changes are made one after the other, so that one image of each is held.
    """
    judge = Judge(answer, batch, protocol, model.card.output)
    index, found = range(len(batch)), list[Measured]()
    for change in changes:
        same = change.image is batch.image
        values = judge(answer if same else predict(model, change.image, flip=protocol.flip), index)
        names = zip(judge.metrics, values.T, strict=True)
        place: dict[str, Any] = {"factor": change.factor, "level": change.level, "factor2": change.control}
        found += [Measured(name, torch.from_numpy(value), **place) for name, value in names]
        found.append(Measured("pixel_change", pixel_change(batch.image, change.image), **place))
    return frame(batch.sample, found)
