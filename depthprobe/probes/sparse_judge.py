"""The answers of a network to masked images, judged against the truth and against its answer to the whole image."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from depthprobe.data.batch import Batch
from depthprobe.functional.metrics import Truth
from depthprobe.functional.protocol import PreparedTruth, Protocol, evaluate_prepared, prepare, prepare_truth
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.reading import known_facts
from depthprobe.probes.sparse_jobs import Canvas, Packer

CACHED_PIXELS = 2**19
"""Pixels judged at once on a CPU: maps of 480x640 one by one stay in its cache, five times as fast as 32 at once."""


class Judge:
    """Judges predictions against the ground truth and against the network's own prediction of the whole image.

    Convention: the network's own prediction, aligned to the truth and clamped as the protocol says, takes the truth's
    place for `@self`, on the same pixels; where the output kind leaves scale (and shift) open, a masked prediction is
    fitted to it in the same way, so that only what the kind declares is compared.
    """

    def __init__(self, full: Tensor, batch: Batch, protocol: Protocol, kind: str) -> None:
        self.kind, self.protocol = kind, protocol
        known = known_facts(batch)
        self.truth = prepare_truth(batch.depth, batch.valid, protocol, **known)
        own, mask = prepare(full, batch.depth, batch.valid, kind=kind, protocol=protocol)
        seen = {name: x for name, x in known.items() if name != "edges"}  # annotated on the truth, not on its answer
        self.own = PreparedTruth(Truth(own, mask, **seen), protocol)
        self.metrics = [*protocol.metrics, *(f"{name}@self" for name in protocol.metrics)]

    def __call__(self, pred: Tensor, index: Sequence[int]) -> np.ndarray:
        """Values (J, metrics) of predictions (J,1,h,w); `index` says which image each belongs to."""
        mask = self.truth.mask
        step = max(1, CACHED_PIXELS // mask[0].numel()) if mask.device.type == "cpu" else len(pred)
        parts = [self._values(pred[i : i + step], index[i : i + step]) for i in range(0, len(pred), step)]
        return torch.cat(parts).double().cpu().numpy()

    def _values(self, pred: Tensor, index: Sequence[int]) -> Tensor:
        found = [evaluate_prepared(pred, ref, kind=self.kind, index=index) for ref in (self.truth, self.own)]
        return torch.stack([value for one in found for value in one.values()], 1)


def full_predictions(model: DepthModel, canvas: Canvas, packer: Packer) -> Tensor:
    """The network's output (B,1,h,w) for the whole images."""
    return torch.cat(list(packer.run(range(len(canvas.image)), lambda some: model(canvas.image[list(some)]))))
