"""What a probe measured, as the rows of one frame: many small frames take longer than the network."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from depthprobe.schema import MEASURED

NAN = float("nan")


class Measured(NamedTuple):
    """One quantity of every sample of a batch, `value` (B,), and where it stands in the table."""

    metric: str
    value: Tensor
    layer: str = ""
    factor: str = ""
    level: float = NAN
    factor2: str = ""


def frame(sample: Sequence[str], measured: Sequence[Measured]) -> pd.DataFrame:
    """The rows of what was measured, for `sample` (B), quantity by quantity."""
    count = len(sample)
    values = torch.cat([torch.zeros(0, dtype=torch.float64), *(one.value.double().cpu() for one in measured)]).numpy()
    places = [name for name in Measured._fields if name != "value"]
    named: dict[str, Any] = {name: [x for one in measured for x in [getattr(one, name)] * count] for name in places}
    named |= {"sample": list(sample) * len(measured), "value": values}
    return pd.DataFrame(named).assign(level=lambda t: t["level"].astype(float), level2=NAN)[MEASURED]
