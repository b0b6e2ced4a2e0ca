"""The arrays of one scene as the kernels see them."""

from typing import NamedTuple

from depthprobe.data.scenes.kernels.vectors import Array


class World(NamedTuple):
    """A packed scene.

    Convention:
        primitives (n,16): columns in `intersect`; halves (n,3): half extents, metres; materials (m,21): columns in
        `texture_basics`; material_of, surface_of (n,): material row, id of the (possibly shared) surface; boxes,
        children: the hierarchy of `bvh`; lights (l,12), ambient (9,), sky (12,): see `lighting`; fog (5,): density
        per metre, RGB of the fog, transmission of the sky; disk (256,2): sample points; stack, last: work space.
    """

    primitives: Array
    halves: Array
    materials: Array
    material_of: Array
    surface_of: Array
    boxes: Array
    children: Array
    lights: Array
    ambient: Array
    sky: Array
    fog: Array
    disk: Array
    stack: Array
    last: Array


class Quality(NamedTuple):
    """What the image shows and how densely light is sampled."""

    cues: int
    shadow_samples: int
    occlusion_samples: int
    occlusion_reach: float
    exposure: float
    seed: int
