"""How a network reacts to changed images of one batch: the one path of the probes that change what it sees."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from depthprobe.data.batch import Batch
from depthprobe.functional.protocol import Protocol
from depthprobe.functional.texture import pixel_change
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.error import predict
from depthprobe.probes.sparse_judge import Judge
from depthprobe.schema import MEASURED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """The images (B,3,H,W) of a batch after one change; `control` names what stands in for it ("": nothing does)."""

    factor: str
    level: float
    image: Tensor
    control: str = ""


Values = tuple[str, str, float, str, Tensor]
"""Metric, factor, level, factor2 and the values (B,)."""


def reactions(model: DepthModel, batch: Batch, protocol: Protocol, changes: Iterable[Change]) -> pd.DataFrame:
    """Rows of the protocol's metrics under every change, against the truth and against the unchanged answer (`@self`).

    Convention: a change leaves depth and valid as they are; batch and protocol are those of `as_read`. `pixel_change`
    says how much each image differs. Changes are made one after the other, so that one image of each is held.
    """
    judge = Judge(predict(model, batch.image, flip=protocol.flip), batch, protocol, model.card.output)
    index, found = range(len(batch)), []
    for change in changes:
        values = judge(predict(model, change.image, flip=protocol.flip), index)
        names = zip(judge.metrics, values.T, strict=True)
        found += [(name, change.factor, change.level, change.control, value) for name, value in names]
        differs = pixel_change(batch.image, change.image).cpu().numpy()
        found.append(("pixel_change", change.factor, change.level, change.control, differs))
    return _frame(batch.sample, found)


def as_rows(sample: Sequence[str], values: Sequence[Values]) -> pd.DataFrame:
    """Values as the rows that a probe states: one frame for all, since many small ones take longer than a network."""
    return _frame(sample, [(m, f, at, other, value.double().cpu().numpy()) for m, f, at, other, value in values])


def _frame(sample: Sequence[str], values: Sequence[tuple[str, str, float, str, np.ndarray]]) -> pd.DataFrame:
    count = len(sample)
    columns = {
        "sample": list(sample) * len(values),
        "layer": "",
        "factor": [factor for _, factor, _, _, _ in values for _ in range(count)],
        "level": [float(level) for _, _, level, _, _ in values for _ in range(count)],
        "factor2": [other for _, _, _, other, _ in values for _ in range(count)],
        "level2": float("nan"),
        "metric": [metric for metric, *_ in values for _ in range(count)],
        "value": np.concatenate([value for *_, value in values]) if values else np.zeros(0),
    }
    return pd.DataFrame(columns)[MEASURED]
