"""What galleries show of a sample, whatever the probe: the image, the truth, the answer, and where they come from."""

import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from depthprobe.data.batch import Batch
from depthprobe.models.adapter import DepthModel
from depthprobe.schema import plan_id


def as_bytes(image: Tensor) -> Any:
    """Images (B,3,H,W) in [0,1] as uint8 arrays (B,H,W,3)."""
    return (image.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def pictures(batch: Batch, pred: Tensor, mask: Tensor) -> list[dict[str, Any]]:
    """Of every sample the image, the truth and the answer.

    Convention: pred, mask (B,1,H,W) as `prepare` gives them -> image (H,W,3) uint8; depth (H,W) float32 metres, NaN
    where not judged; pred (H,W) float32 metres, aligned.
    """
    image, depth = as_bytes(batch.image), batch.depth.where(mask, torch.nan)
    maps = [x[:, 0].float().cpu().numpy() for x in (depth, pred)]
    return [{"image": image[i], "depth": maps[0][i], "pred": maps[1][i]} for i in range(len(batch))]


def describe(
    model: DepthModel, batch: Batch, i: int, plan: Any, probe: str, place: tuple[str, float | None, str],
    metrics: Mapping[str, float],
) -> str:  # fmt: skip
    """What a gallery says of sample `i`, as JSON; place = (factor, level, factor2)."""
    meta = {
        "sample": batch.sample[i],
        "group": batch.group[i],
        "model": model.card.name,
        "probe": probe,
        "plan": plan_id(plan),
        "factor": place[0],
        "level": place[1],
        "factor2": place[2],
        "metrics": {name: None if math.isnan(value) else value for name, value in metrics.items()},
        "protocol": getattr(plan, "protocol", plan).name,
    }
    return json.dumps(meta)
