"""Sample ids, splits by seed, and a rendering as a batch."""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from depthprobe.checks import check_one_of
from depthprobe.data.batch import Batch
from depthprobe.data.scenes.rendering import Rendering

# first seed of each split and the seed after its last
SPLITS = {"train": (0, 10_000_000), "val": (10_000_000, 11_000_000), "test": (11_000_000, 12_000_000)}
MIXED = "mixed"
MIXTURE = ("rooms", "streets", "rooms", "shapes")  # kinds of `mixed`, by seed modulo 4: every second scene is a room
DEFAULT_COUNT = 64
HIDDEN_DEPTH = 1.0  # stands where depth is invalid (sky); finite, so that nothing turns into NaN


def split_seeds(split: str, n: int | None = None, start: int = 0) -> range:
    """The seeds of samples `start` to `start + n` of a split (n=None: 64).

    Raises:
        ValueError: if the split is unknown or holds fewer seeds.
    """
    check_one_of("split", split, SPLITS)
    first, end = SPLITS[split]
    count = DEFAULT_COUNT if n is None else n
    if count < 0 or start < 0 or first + start + count > end:
        raise ValueError(
            f"Expected `start` + `n` to be at most {end - first:,} (the seeds of split {split!r}) and both >= 0, "
            f"but got start={start:,}, n={count:,}; ask for fewer samples or another split."
        )
    return range(first + start, first + start + count)


def kind_of(kind: str, seed: int) -> str:
    """The generator's kind of a seed: in `mixed` it varies with the seed, elsewhere it is the data set's own."""
    return MIXTURE[seed % len(MIXTURE)] if kind == MIXED else kind


def sample_id(kind: str, seed: int) -> str:
    """The id of a scene, e.g. `rooms-11000003`; scenes of `mixed` carry the kind that they are."""
    return f"{kind_of(kind, seed)}-{seed:08d}"


def parse_sample_id(sample: str) -> tuple[str, int]:
    """Kind and seed of a sample id."""
    kind, _, seed = sample.rpartition("-")
    return kind, int(seed)


def digest(rendering: Rendering) -> str:
    """sha256 (first 16 characters) of the bytes that define the data set: colour, depth, ids."""
    total = hashlib.sha256()
    for array in (rendering.rgb, rendering.depth, rendering.object_id, rendering.class_id, rendering.plane_id):
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def to_batch(rendering: Rendering, sample: str) -> Batch:
    """A rendering as a batch of one; the sky is not valid."""
    depth = torch.from_numpy(rendering.depth)[None, None]
    valid = torch.isfinite(depth)
    return Batch(
        image=_planes(rendering.rgb).float() / 255,
        depth=torch.where(valid, depth, HIDDEN_DEPTH),
        valid=valid,
        sample=(sample,),
        group=(sample,),
        intrinsics=torch.from_numpy(rendering.intrinsics).float()[None],
        maps={
            "normal": _planes(rendering.normal),
            "object": torch.from_numpy(rendering.object_id)[None, None],
            "class": torch.from_numpy(rendering.class_id.astype(np.int32))[None, None],
            "plane": torch.from_numpy(rendering.plane_id)[None, None],
        },
    )


def _planes(image: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
