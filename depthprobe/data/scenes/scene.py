"""Scene: a list of primitives with materials, lights and a camera, built piece by piece.

Convention:
    World axes: x right, y forward, z up; metres; the ground is z = 0. Angles in radians. Half extents throughout.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthprobe.data.scenes.classes import CLASS_IDS
from depthprobe.data.scenes.kernels.intersect import BOX, ELLIPSOID, FRUSTUM
from depthprobe.data.scenes.kernels.textures import Pattern

Colour = tuple[float, float, float]
Point = tuple[float, float, float]
Rotation = tuple[float, ...]  # nine entries, row by row


class Primitive(NamedTuple):
    """One box, ellipsoid or frustum."""

    shape: int
    taper: float  # frustum: top radius / bottom radius
    material: int
    object_id: int
    class_id: int
    surface_id: int  # shared by the pieces of one wall
    flags: int
    centre: Point
    half: Point
    rotation: Rotation


class Frame:
    """A place to build at: position, heading (radians, 0 = facing -y) and size factor."""

    __slots__ = ("cos", "factor", "sin", "x", "y", "yaw", "z")

    def __init__(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0, factor: float = 1.0) -> None:
        self.x, self.y, self.z, self.yaw, self.factor = x, y, z, yaw, factor
        self.cos, self.sin = math.cos(yaw), math.sin(yaw)

    def point(self, x: float, y: float, z: float) -> Point:
        """A local point in world coordinates."""
        x *= self.factor
        y *= self.factor
        return (
            self.x + self.cos * x - self.sin * y,
            self.y + self.sin * x + self.cos * y,
            self.z + z * self.factor,
        )

    def rotation(self, local: Sequence[Sequence[float]] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))) -> Rotation:
        """The frame's heading after a local rotation matrix."""
        return multiply(((self.cos, -self.sin, 0), (self.sin, self.cos, 0), (0, 0, 1.0)), local)


def multiply(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> Rotation:
    """Product of two 3x3 matrices in a fixed order of sums (a BLAS may choose another)."""
    return tuple(0.0 + a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j] for i in range(3) for j in range(3))


def about_x(angle: float) -> Sequence[Sequence[float]]:
    """Rotation matrix about the x axis."""
    c, s = math.cos(angle), math.sin(angle)
    return ((1, 0, 0), (0, c, -s), (0, s, c))


def linear(*rgb: float) -> Colour:
    """Display RGB (gamma 2.2) to linear RGB."""
    r, g, b = (float(c) ** 2.2 for c in rgb)
    return r, g, b


class Camera(NamedTuple):
    """A pinhole (or parallel) camera.

    Convention:
        `axes`: unit rows right, down, forward in world coordinates. `focal` (fx, fy) in pixels (pixels per metre if
        `orthographic`). `centre` (cx, cy): the centre of the top-left pixel is (0, 0). `size` (height, width).
    """

    position: npt.NDArray[Any]
    axes: npt.NDArray[Any]
    focal: tuple[float, float]
    centre: tuple[float, float]
    size: tuple[int, int]
    orthographic: bool = False

    def row(self) -> npt.NDArray[Any]:
        """The 17 numbers that the kernels read (see `kernels.visibility`)."""
        return np.array([*self.position, *self.axes.ravel(), *self.focal, *self.centre, float(self.orthographic)])

    def intrinsics(self) -> npt.NDArray[Any]:
        """3x3 matrix in pixels."""
        return np.array([[self.focal[0], 0, self.centre[0]], [0, self.focal[1], self.centre[1]], [0, 0, 1.0]])

    def pose(self) -> npt.NDArray[Any]:
        """4x4 map from camera coordinates (right, down, forward) to the world."""
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = self.axes.T, self.position
        return pose

    def resized(self, height: int, width: int) -> "Camera":
        """The same view (horizontal angle kept) in another size."""
        factor = width / self.size[1]
        focal = (self.focal[0] * factor, self.focal[1] * factor)
        return self._replace(focal=focal, centre=((width - 1) / 2, (height - 1) / 2), size=(height, width))


class Scene:
    """Everything that is rendered; built by the generators, changed by the edits."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.primitives: list[Primitive] = []
        self.materials: list[list[float]] = []
        self.lights: list[list[float]] = []
        self.ambient: list[float] = [0.35, 0.35, 0.38, 0.22, 0.2, 0.18, 0, 0, 0]
        self.sky: list[float] = [0.25, 0.45, 0.85, 0.75, 0.82, 0.9, 0, 0, 0, 0, 1, 0]
        self.fog: list[float] = [0.0, 0.7, 0.75, 0.8, 0.5]
        self.exposure, self.occlusion_reach = 0.20, 0.8
        self.camera: Camera | None = None
        self._object, self._class, self._surface = 0, 0, 0

    def copy(self) -> "Scene":
        """A copy whose lists can be changed."""
        other = copy.copy(self)
        for name in ("primitives", "materials", "lights"):
            setattr(other, name, list(getattr(self, name)))
        return other

    def begin(self, class_name: str) -> int:
        """Start a new object; what is added next belongs to it. Returns its id."""
        self._object += 1
        self._class = CLASS_IDS[class_name]
        return self._object

    def new_surface(self) -> int:
        """A surface id to be shared by several primitives."""
        self._surface += 1
        return self._surface

    def material(
        self,
        pattern: Pattern | int,
        a: Colour,
        b: Colour | None = None,
        c: Colour | None = None,
        *,
        scale: float = 0.3,
        aux: float = 0.5,
        specular: float = 0.0,
        shininess: float = 20.0,
        emission: float = 0.0,
        contrast: float = 0.5,
        grain: float = 0.0,
        mean: Colour | None = None,
    ) -> int:
        """Add a material (columns in `kernels.texture_basics`); `scale` in metres. Returns its number."""
        b = a if b is None else b
        c = a if c is None else c
        if mean is None:
            mean = tuple(0.5 * x + 0.3 * y + 0.2 * z for x, y, z in zip(a, b, c, strict=True))  # type: ignore[assignment]
        seed = (len(self.materials) * 131 + self.seed * 7 + 11) & 0xFFFFF
        surface = (specular, shininess, emission, contrast, grain)
        self.materials.append([int(pattern), seed, scale, aux, *a, *b, *c, *surface, *mean])  # type: ignore[misc]
        return len(self.materials) - 1

    def _add(
        self,
        shape: int,
        centre: Point,
        rotation: Rotation,
        half: Point,
        material: int,
        taper: float,
        flags: int,
        surface: int | None,
    ) -> None:
        own = self.new_surface()
        surface = own if surface is None else surface
        self.primitives.append(
            Primitive(shape, taper, material, self._object, self._class, surface, flags, centre, half, rotation)
        )

    def _upright(
        self,
        shape: int,
        at: Frame,
        centre: Point,
        half: Point,
        material: int,
        taper: float,
        flags: int,
        surface: int | None,
    ) -> None:
        k = at.factor
        size = (half[0] * k, half[1] * k, half[2] * k)
        turn = (at.cos, -at.sin, 0.0, at.sin, at.cos, 0.0, 0.0, 0.0, 1.0)
        self._add(shape, at.point(*centre), turn, size, material, taper, flags, surface)

    def box(
        self, at: Frame, centre: Point, half: Point, material: int, *, flags: int = 0, surface: int | None = None
    ) -> None:
        """Add an upright box at a local point of a frame."""
        self._upright(BOX, at, centre, half, material, 1.0, flags, surface)

    def ellipsoid(self, at: Frame, centre: Point, half: Point, material: int, *, flags: int = 0) -> None:
        """Add an upright ellipsoid."""
        self._upright(ELLIPSOID, at, centre, half, material, 1.0, flags, None)

    def frustum(
        self,
        at: Frame,
        centre: Point,
        radius: float,
        half_height: float,
        material: int,
        *,
        taper: float = 1.0,
        flags: int = 0,
        depth_radius: float | None = None,
    ) -> None:
        """Add an upright capped frustum; `taper` = top radius / bottom radius."""
        half = (radius, depth_radius or radius, half_height)
        self._upright(FRUSTUM, at, centre, half, material, taper, flags, None)

    def rotated(
        self, shape: int, centre: Point, rotation: Rotation, half: Point, material: int, *, taper: float = 1.0
    ) -> None:
        """Add a primitive in any orientation; `centre` in world coordinates."""
        self._add(shape, centre, rotation, half, material, taper, 0, None)

    def lamp(self, position: Point, rgb: Colour, radius: float = 0.08) -> None:
        """Add a lamp that shines in all directions; a larger radius gives softer shadows."""
        self.lights.append([0.0, *position, *rgb, radius, -2.0, 0, 0, 0])

    def sun(self, direction: Point, rgb: Colour, radius: float = 0.01) -> None:
        """Add a distant light; `direction` points to it."""
        x, y, z = (float(k) for k in direction)
        size = math.sqrt(x * x + y * y + z * z)
        towards = (x / size, y / size, z / size)
        self.lights.append([1.0, *towards, *rgb, radius, -2.0, 0, 0, 0])
        self.sky[8:11] = list(towards)

    def look(
        self, position: Point, yaw: float, pitch: float, roll: float, field_of_view: float, size: tuple[int, int]
    ) -> None:
        """Set the camera: yaw 0 looks along +y, pitch > 0 looks up, horizontal field of view; size (height, width)."""
        height, width = size
        cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
        cr, sr = math.cos(roll), math.sin(roll)
        forward, level = np.array([-sy * cp, cy * cp, sp]), np.array([cy, sy, 0.0])
        down = np.cross(forward, level)
        axes = np.stack([cr * level + sr * down, -sr * level + cr * down, forward])
        focal = (width / 2) / math.tan(field_of_view / 2)
        centre = ((width - 1) / 2, (height - 1) / 2)
        self.camera = Camera(np.array(position, float), axes, (focal, focal), centre, size)
