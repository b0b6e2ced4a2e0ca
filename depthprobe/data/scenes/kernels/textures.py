"""The table of textures: a material's pattern number to its function."""

from enum import IntEnum

from depthprobe.data.scenes.kernels import texture_basics as basic
from depthprobe.data.scenes.kernels import texture_objects as drawn
from depthprobe.data.scenes.kernels.compiling import helper
from depthprobe.data.scenes.kernels.texture_basics import PATTERN, SurfacePoint
from depthprobe.data.scenes.kernels.vectors import Array, Vector


class Pattern(IntEnum):
    """The procedural textures, all measured in metres."""

    SOLID = 0
    CHECKER = 1
    BRICK = 2
    PLANK = 3
    MARBLE = 4
    TILE = 5
    STRIPE = 6
    VORONOI = 7
    FRACTAL = 8
    DOTS = 9
    PARQUET = 10
    BOOKS = 11
    PICTURE = 12
    PANE = 13
    FACADE = 14
    ROAD = 15
    GRASS = 16
    PLAID = 17
    PANEL = 18
    SPECKLE = 19


@helper
def _mixed(m: Array, s: SurfacePoint, pattern: int) -> Vector:
    """Patterns 1 to 10."""
    if pattern == 1:
        return basic.checker(m, s)
    if pattern == 2:
        return basic.brick(m, s)
    if pattern == 3:
        return basic.plank(m, s)
    if pattern == 4:
        return basic.marble(m, s)
    if pattern == 5:
        return basic.tile(m, s)
    if pattern == 6:
        return basic.stripe(m, s)
    if pattern == 7:
        return basic.voronoi(m, s)
    if pattern == 8:
        return basic.fractal(m, s)
    if pattern == 9:
        return basic.dots(m, s)
    return basic.parquet(m, s)


@helper
def albedo(m: Array, s: SurfacePoint) -> Vector:
    """The linear RGB reflectance of material row m at a surface point (see `texture_basics`)."""
    pattern = int(m[PATTERN])
    if pattern == 0:
        return basic.solid(m, s)
    if pattern <= 10:
        return _mixed(m, s, pattern)
    if pattern == 11:
        return drawn.books(m, s)
    if pattern == 12:
        return drawn.picture(m, s)
    if pattern == 13:
        return drawn.pane(m, s)
    if pattern == 14:
        return drawn.facade(m, s)
    if pattern == 15:
        return drawn.road(m, s)
    if pattern == 16:
        return drawn.grass(m, s)
    if pattern == 17:
        return basic.plaid(m, s)
    if pattern == 18:
        return drawn.panel(m, s)
    return basic.speckle(m, s)
