"""Rendering a scene: packed arrays in, image and exact maps out.

Depth is the analytic hit of the ray through each pixel's centre in float64, never averaged; only colour is.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from depthprobe.data.scenes.kernels import lighting
from depthprobe.data.scenes.kernels.antialias import antialias
from depthprobe.data.scenes.kernels.bvh import STACK_SIZE, build_bvh
from depthprobe.data.scenes.kernels.imaging import expose, smooth_light
from depthprobe.data.scenes.kernels.intersect import ELLIPSOID, FLAGS, FLAT_FACES, FRUSTUM, SHAPE, TAPER
from depthprobe.data.scenes.kernels.shading import DIRECT, NORMAL, REFLECTANCE, shade_pixels
from depthprobe.data.scenes.kernels.visibility import build_tiles, trace_pixels
from depthprobe.data.scenes.kernels.world import Quality, World
from depthprobe.data.scenes.scene import Camera, Scene

Array = npt.NDArray[Any]
ALL_CUES = lighting.TEXTURE | lighting.SHADING | lighting.SHADOW | lighting.OCCLUSION | lighting.GLOSS | lighting.FOG


def _disk_points(count: int = 256) -> Array:
    """Low-discrepancy points of the unit disk, ordered so that 16 strided sub-blocks are each well spread."""
    i = np.arange(count)
    u, v = (0.5 + 0.7548776662466927 * i) % 1, (0.5 + 0.5698402909980532 * i) % 1
    radius = np.sqrt(u)
    return np.round(np.stack([radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)], 1), 6)


_DISK = _disk_points()


@dataclasses.dataclass(frozen=True)
class Packed:
    """The geometry of a scene as arrays: what every render of it shares."""

    primitives: Array
    halves: Array
    centres: Array
    axes: Array
    boxes: Array
    children: Array
    material_of: Array
    surface_of: Array
    object_of: Array
    class_of: Array


@dataclasses.dataclass(frozen=True)
class Visible:
    """What each pixel sees.

    Convention:
        depth: float64 (H,W), z-depth in metres, inf where nothing is hit. primitive: int32, -1 there. object_id,
        class_id: int32, uint8, 0 there. plane_id: int32, equal for all pixels of one plane, -1 on curved surfaces.
    """

    depth: Array
    primitive: Array
    face: Array
    object_id: Array
    class_id: Array
    plane_id: Array
    tiles: tuple[Array, Array, Array]


@dataclasses.dataclass(frozen=True)
class Rendering:
    """An image with its exact maps.

    Convention:
        rgb: uint8 (H,W,3), display values. depth: float32 (H,W), z-depth in metres, inf = sky. normal: float32
        (H,W,3) in camera coordinates (right, down, forward), facing the camera, 0 where nothing is hit. Ids as in
        `Visible`. albedo, irradiance: float64 (H,W,3), linear. intrinsics (3,3) in pixels, origin = centre of the
        top-left pixel. pose (4,4): camera to world.
    """

    rgb: Array
    depth: Array
    normal: Array
    object_id: Array
    class_id: Array
    plane_id: Array
    albedo: Array
    irradiance: Array
    intrinsics: Array
    pose: Array


def pack(scene: Scene) -> Packed:
    """The scene's geometry as arrays, with its bounding volume hierarchy."""
    items = scene.primitives
    shape = np.array([p.shape for p in items], float)
    taper = np.array([p.taper for p in items], float)
    centre = np.array([p.centre for p in items], float)
    half = np.array([p.half for p in items], float)
    rotation = np.array([p.rotation for p in items], float).reshape(-1, 3, 3)
    count = len(items)
    inverse = rotation.transpose(0, 2, 1) / half[:, :, None]
    primitives = np.zeros((count, 16))
    world_to_unit = np.concatenate([inverse, -(inverse * centre[:, None, :]).sum(-1)[:, :, None]], 2)
    primitives[:, :12] = world_to_unit.reshape(count, 12)
    primitives[:, SHAPE], primitives[:, TAPER] = shape, taper
    primitives[:, FLAGS] = np.array([p.flags for p in items], float)
    outer = half.copy()  # a frustum that widens upwards needs a wider box
    wide = shape == FRUSTUM
    outer[wide, :2] *= np.maximum(1.0, taper)[wide, None]
    spread = (np.abs(rotation) * outer[:, None, :]).sum(-1)
    round_spread = np.sqrt(((rotation * half[:, None, :]) ** 2).sum(-1))
    extent = np.where((shape == ELLIPSOID)[:, None], round_spread, spread)
    boxes, children = build_bvh(np.ascontiguousarray(centre - extent), np.ascontiguousarray(centre + extent))
    axes = np.ascontiguousarray((rotation * outer[:, None, :]).reshape(count, 9))
    ids = np.array([(p.material, p.surface_id, p.object_id, p.class_id) for p in items], np.int64)
    material_of, surface_of, object_of, class_of = (np.ascontiguousarray(column) for column in ids.T)
    return Packed(primitives, half, centre, axes, boxes, children, material_of, surface_of, object_of, class_of)


def trace(packed: Packed, camera: Camera) -> Visible:
    """Cast one ray per pixel centre."""
    height, width = camera.size
    row = camera.row()
    tiles = build_tiles(row, width, height, packed.centres, packed.axes)
    depth, primitive, face = trace_pixels(row, width, height, *tiles, packed.primitives)
    hit = primitive >= 0
    p = np.where(hit, primitive, 0)
    plane = packed.surface_of[p] * 8 + face
    return Visible(
        depth=depth,
        primitive=primitive,
        face=face,
        object_id=np.where(hit, packed.object_of[p], 0).astype(np.int32),
        class_id=np.where(hit, packed.class_of[p], 0).astype(np.uint8),
        plane_id=np.where(hit & (face < FLAT_FACES), plane, -1).astype(np.int32),
        tiles=tiles,
    )


def render(
    scene: Scene,
    *,
    cues: int = ALL_CUES,
    materials: Array | None = None,
    packed: Packed | None = None,
    smooth: bool = True,
) -> Rendering:
    """Render a scene from its camera.

    Args:
        scene: what to render.
        cues: which cues the image shows (bits in `kernels.lighting`); geometry is the same for all.
        materials: material rows to use instead of the scene's.
        packed: `pack(scene)`, where it is at hand.
        smooth: adaptive antialiasing of colour.
    """
    if scene.camera is None:
        raise ValueError("Expected `scene` to have a camera, but got none; call `scene.look` first.")
    packed = pack(scene) if packed is None else packed
    seen = trace(packed, scene.camera)
    row = scene.camera.row()
    world = _world(scene, packed, materials)
    quality = Quality(cues, 2, 4, scene.occlusion_reach, scene.exposure, scene.seed & 0xFFFFF)
    shaded = shade_pixels(world, quality, row, seen.depth, seen.primitive, seen.face)
    light = smooth_light(seen.depth, seen.primitive, seen.face, packed.surface_of, shaded)
    image, exposure = expose(world, quality, seen.depth, seen.primitive, shaded, light)
    if smooth:
        coarse = quality._replace(shadow_samples=1, occlusion_samples=2)
        maps = (seen.depth, seen.primitive, seen.face)
        image = antialias(world, coarse, row, seen.tiles, maps, shaded, light, image, exposure, np.zeros(16))
    return Rendering(
        rgb=(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8),
        depth=seen.depth.astype(np.float32),
        normal=_camera_normals(shaded[..., NORMAL : NORMAL + 3], scene.camera, seen.primitive >= 0),
        object_id=seen.object_id,
        class_id=seen.class_id,
        plane_id=seen.plane_id,
        albedo=shaded[..., REFLECTANCE : REFLECTANCE + 3],
        irradiance=light[..., DIRECT - 3 : DIRECT],
        intrinsics=scene.camera.intrinsics(),
        pose=scene.camera.pose(),
    )


def _world(scene: Scene, packed: Packed, materials: Array | None) -> World:
    return World(
        primitives=packed.primitives,
        halves=packed.halves,
        materials=np.array(scene.materials, float) if materials is None else materials,
        material_of=packed.material_of,
        surface_of=packed.surface_of,
        boxes=packed.boxes,
        children=packed.children,
        lights=np.array(scene.lights, float).reshape(-1, 12),
        ambient=np.array(scene.ambient, float),
        sky=np.array(scene.sky, float),
        fog=np.array(scene.fog, float),
        disk=_DISK,
        stack=np.zeros(STACK_SIZE, np.int64),
        last=np.full(64, -1, np.int64),
    )


def _camera_normals(normal: Array, camera: Camera, hit: Array) -> Array:
    """World normals in camera coordinates; plain sums, because a matrix product may round differently elsewhere."""
    turned = np.stack([normal[..., 0] * a + normal[..., 1] * b + normal[..., 2] * c for a, b, c in camera.axes], -1)
    turned[~hit] = 0
    return turned.astype(np.float32)
