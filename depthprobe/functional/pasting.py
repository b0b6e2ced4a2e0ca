"""Cut and paste on photographs with a ground plane: a copy of an object that seems to stand elsewhere on the ground.

After van Dijk & de Croon 2019: where an object meets the ground, and how large it looks, both tell how far it is. Here
the object comes from the photograph itself, so that light and camera fit, and stays where it is: its copy stands in
another column, where ground is in sight, so that no hole is left behind. At the relative distance 1 the copy differs
from the object in the column alone, which tells what pasting does by itself (`paste_aside`).

Each entry is a function `(photo, level) -> Pasted`. Facts: the `unit` of the level, the level of no change to the cue
`identity`, the levels in `span` that make sense, and the source. Nothing is drawn: the result is decided by the photo.
Light and shadow on the ground are not copied, a size other than 1 is resampled, and a copy does not turn its side as it
would by its direction: `paste_aside`, and level 1 of each arm, carry the same flaws without the cue.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.pasting_ground import Ground, find_ground
from depthprobe.functional.pasting_object import ARMS, LEAST_READ, Room, Standing, body, find_object
from depthprobe.functional.perturb_core import EditError
from depthprobe.functional.planes_fit import Bools, Floats
from depthprobe.registry import Registry

PASTES = Registry("paste")
SOURCE = "van Dijk & de Croon 2019, arXiv:1905.07005"
_SPAN = (0.6, 1.6)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The ground of a photograph and an object on it, or the reason why there are none.

    `depth`, `valid` (H,W): what they were found in.
    """

    depth: Floats
    valid: Bools
    ground: Ground | None
    standing: Standing | None
    lacks: str = ""


def find_layout(depth: Tensor, valid: Tensor, intrinsics: Tensor, step: float = 0.0) -> Layout:
    """The ground and the object of one photograph.

    Convention: depth (1,1,H,W), dense; valid (1,1,H,W) bool; intrinsics (1,3,3) in pixels; `step`: the truth's own
    resolution in metres (the metric `depth_step`). Nothing outside `valid` has an effect.
    """
    check_shapes(depth=(depth, "1 1 h w"), valid=(valid, "1 1 h w"), intrinsics=(intrinsics, "1 3 3"))
    known: Bools = valid[0, 0].cpu().numpy()
    z: Floats = np.where(known, depth[0, 0].double().cpu().numpy(), 1.0)
    ground = find_ground(z, known, intrinsics[0].double().cpu().numpy(), step)
    if ground is None:
        return Layout(z, known, None, None, "no level plane with nothing under it covers enough of the image")
    standing = find_object(z, known, ground, step)
    lacks = "" if standing else "no object in full view stands on the ground with room for a copy of it"
    return Layout(z, known, ground, standing, lacks)


class Photo(NamedTuple):
    """An image (3,H,W) in [0,1] and what stands where in it."""

    image: Tensor
    layout: Layout


class Pasted(NamedTuple):
    """A photograph with a copy of its object.

    Convention: image (3,H,W); depth (H,W), with the depth that the cue under test implies in the copy: that of the
    object times the level; valid (H,W) bool; edited (H,W) bool: the copy; body (H,W) bool: the part that is read.
    """

    image: Tensor
    depth: Tensor
    valid: Tensor
    edited: Tensor
    body: Tensor


@PASTES.register("paste_position", unit="relative distance", identity=1.0, span=_SPAN, source=SOURCE)
def paste_position(photo: Photo, level: float) -> Pasted:
    """A copy of the same size stands level times as far off, by where it meets the ground."""
    return _arm(photo, level, "paste_position")


@PASTES.register("paste_size", unit="relative distance", identity=1.0, span=_SPAN, source=SOURCE)
def paste_size(photo: Photo, level: float) -> Pasted:
    """A copy as small as if it were level times as far off stands at the object's own distance."""
    return _arm(photo, level, "paste_size")


@PASTES.register("paste_both", unit="relative distance", identity=1.0, span=_SPAN, source=SOURCE)
def paste_both(photo: Photo, level: float) -> Pasted:
    """A copy stands level times as far off and is as small as that."""
    return _arm(photo, level, "paste_both")


@PASTES.register("paste_aside", unit="1", identity=0.0, span=(0, 1), source="the control of the arms")
def paste_aside(photo: Photo, level: float) -> Pasted:
    """The photograph itself, its object marked (level 0), or a copy at its distance in its size (level 1)."""
    if level not in (0, 1):
        raise ValueError(f"Expected `level` to be 0 (the object itself) or 1 (a copy beside it), but got {level!r}.")
    if level == 1:
        return _arm(photo, 1.0, "paste_both")
    standing, _ = _found(photo.layout)
    depth, valid = (torch.from_numpy(x) for x in (photo.layout.depth, photo.layout.valid))
    read = body(standing, standing.mask, standing.foot, 1.0)
    return Pasted(photo.image, depth, valid, torch.from_numpy(standing.mask), torch.from_numpy(read))


def _found(layout: Layout) -> tuple[Standing, Ground]:
    if layout.standing is None or layout.ground is None:
        raise EditError(layout.lacks)
    return layout.standing, layout.ground


def _arm(photo: Photo, level: float, arm: str) -> Pasted:
    """A copy in one arm.

    Raises:
        EditError: if the photograph has no ground or object, or no room for this copy.
    """
    check_range("level", level, 0, float("inf"), open_low=True)
    standing, ground = _found(photo.layout)
    distance, size = (level**power for power in ARMS[arm])
    layout = photo.layout
    if not Room(standing, layout.depth, layout.valid, ground).free(standing.column, distance, 1 / size):
        raise EditError("the copy would leave the image, its ground or the view")
    foot = standing.lands(ground, distance)
    image, copy = _drawn(photo.image, standing, foot, size)
    read = body(standing, copy, foot, 1 / size)
    if read.sum() < LEAST_READ:
        raise EditError("the copy would be too small to be read")
    implied, seen = (_carried(x, standing.foot, foot, size) for x in (layout.depth, layout.valid))
    depth, valid = np.where(copy, level * implied, layout.depth), np.where(copy, seen > 0, layout.valid)
    return Pasted(image, *(torch.from_numpy(x) for x in (depth, valid, copy, read)))


def _carried(
    x: NDArray[np.generic], old: tuple[int, int], new: tuple[int, int], shrink: float, order: int = 0
) -> Floats:
    """A map (H,W) shrunk about `old`, which comes to lie at `new`; 0 where nothing comes from inside it."""
    offset = [a - shrink * b for a, b in zip(old, new, strict=True)]
    out: Floats = ndimage.affine_transform(x.astype(np.float64), [shrink, shrink], offset, order=order, prefilter=False)
    return out


def _drawn(image: Tensor, standing: Standing, foot: tuple[int, int], shrink: float) -> tuple[Tensor, Bools]:
    """The image with a copy in it, and the copy's pixels.

    Convention: colours are weighted by the object's mask before they are smoothed (a Gaussian of (shrink² - 1) / 4
    square pixels, against aliasing) and interpolated, so that the object's surroundings do not come along.
    """
    sigma = (max(shrink, 1.0) ** 2 - 1) ** 0.5 / 2
    pixels = image.double().cpu().numpy()
    layers = [standing.mask * colour for colour in (*pixels, np.ones_like(pixels[0]))]
    smooth = [ndimage.gaussian_filter(x, sigma) if sigma else x for x in layers]
    *colours, cover = (_carried(x, standing.foot, foot, shrink, order=1) for x in smooth)
    inside = cover > 1e-6
    mixed = np.where(inside, np.stack(colours) + (1 - cover) * pixels, pixels).clip(0, 1)
    return torch.from_numpy(mixed).to(image), cover > 0.5
