"""PhotographEditor: counterfactuals of photographs with depth and a known camera."""

import dataclasses
import functools
import hashlib

import torch
from torch import Tensor

from depthprobe.data.batch import Batch, ImageEditor
from depthprobe.data.editing import each_sample
from depthprobe.functional.continuity import depth_step
from depthprobe.functional.pasting import PASTES, Layout, Photo, find_layout
from depthprobe.functional.perturb_core import EditError

_KEPT_LAYOUTS = 32  # one of 480x640 takes about 12 MB


@dataclasses.dataclass(frozen=True)
class _Truth:
    """Depth, valid and camera of one sample, equal to another by what they hold."""

    digest: bytes
    depth: Tensor = dataclasses.field(compare=False)
    valid: Tensor = dataclasses.field(compare=False)
    intrinsics: Tensor = dataclasses.field(compare=False)


@functools.lru_cache(maxsize=_KEPT_LAYOUTS)
def _cached_layout(truth: _Truth) -> Layout:
    step = depth_step(truth.depth, truth.valid).nan_to_num(0.0)
    return find_layout(truth.depth, truth.valid, truth.intrinsics, float(step))


def layout(batch: Batch) -> Layout:
    """The ground and the object of a batch of one, from a cache of the last 32.

    Raises:
        EditError: if the camera is not known.
    """
    if batch.intrinsics is None:
        raise EditError("its camera is not known")
    parts = [x.detach().cpu().contiguous() for x in (batch.depth, batch.valid, batch.intrinsics)]
    digest = hashlib.sha256(b"".join(x.numpy().tobytes() for x in parts)).digest()
    return _cached_layout(_Truth(digest, *parts))


@dataclasses.dataclass(frozen=True)
class PhotographEditor:
    """Image-space edits, and copies of an object pasted on the ground (`functional.pasting`)."""

    def names(self) -> list[str]:
        """The registered perturbations and pastes; their facts are in `PERTURBATIONS` and `PASTES`."""
        return sorted([*ImageEditor().names(), *PASTES])

    def __call__(self, batch: Batch, name: str, level: float) -> Batch:
        """Apply a perturbation to the image alone, or paste.

        Convention:
            Pastes change image and depth inside the map `edited`, bool (B,1,H,W), the pixels of the copy, where the
            depth is what the cue implies; `body` is the part of it that is to be read. Nothing else changes.

        Raises:
            EditError: if a sample does not allow the paste; names the samples, why, and how to choose others.
        """
        if name not in PASTES:
            return ImageEditor()(batch, name, level)
        return each_sample(batch, lambda i: _pasted(batch.take([i]), name, level), name, level)

    def supported(self, batch: Batch, name: str, level: float = 1.0) -> list[int]:
        """The indices of the samples that allow a paste at a level."""
        return [i for i in range(len(batch)) if self.why_not(batch.take([i]), name, level) is None]

    def why_not(self, batch: Batch, name: str, level: float = 1.0) -> str | None:
        """Why the sample of a batch of one does not allow a paste; None if it does."""
        try:
            _pasted(batch, name, level)
        except EditError as error:
            return str(error)
        return None


def _pasted(batch: Batch, name: str, level: float) -> Batch:
    """A batch of one with a copy in it."""
    found = PASTES[name](Photo(batch.image[0], layout(batch)), level)
    depth, valid, edited, body = (x[None, None].to(batch.depth.device) for x in found[1:])
    return batch.replace(
        image=found.image[None],
        depth=torch.where(edited, depth.to(batch.depth.dtype), batch.depth),
        valid=torch.where(edited, valid, batch.valid),
        maps={**batch.maps, "edited": edited, "body": body},
    )
