"""Light: sky, lamps, sun with soft shadows, ambient occlusion.

Convention:
    A light is a row: kind (0 lamp, 1 sun), position or unit direction 3, linear RGB 3, radius (softness), cosine of
    the spot cone (-2: none), spot direction 3. `sky`: zenith 3, horizon 3, cloud amount, seed, sun direction 3, glow.
    `ambient`: from above 3, from below 3, added along the world normal 3.
"""

import math

from depthprobe.data.scenes.kernels.bvh import occluded
from depthprobe.data.scenes.kernels.compiling import helper, inlined
from depthprobe.data.scenes.kernels.noise import fractal_2d
from depthprobe.data.scenes.kernels.texture_basics import SHININESS, SPECULAR
from depthprobe.data.scenes.kernels.vectors import Array, Vector, along, dot, offset_by_two, scaled, tangents, three
from depthprobe.data.scenes.kernels.world import Quality, World

# cues of an image; each can be taken away without touching geometry
TEXTURE, SHADING, SHADOW, OCCLUSION, GLOSS, FOG = 1, 2, 4, 8, 16, 32
KIND, POSITION, COLOUR, RADIUS, CONE, SPOT = 0, 1, 4, 7, 8, 9  # columns of a light
_LAMP_SOFTENING = 0.3  # m^2, keeps the inverse-square law finite
_SUN_DISTANCE = 1e4
_SKIN = 1e-4  # metres that shadow rays start above the surface
_OCCLUSION_SLOT = 63


@helper
def sky_colour(direction: Vector, sky: Array) -> Vector:
    """Gradient, clouds and the glow of the sun in a unit direction."""
    dx, dy, dz = direction
    t = max(0.0, dz)
    q = 1 - (1 - t) * (1 - t) * (1 - t)
    r = sky[3] + (sky[0] - sky[3]) * q
    g = sky[4] + (sky[1] - sky[4]) * q
    b = sky[5] + (sky[2] - sky[5]) * q
    if sky[6] > 0 and dz > 0.01:
        k = 1.0 / (dz + 0.12)
        cloud = fractal_2d(dx * k * 1.1, dy * k * 1.1, int(sky[7]), 5, 0.02 * k) + 2 * sky[6] - 0.9
        cloud = min(1.0, max(0.0, cloud * 2.2)) * min(1.0, dz * 8)
        r += (1.0 - r) * cloud
        g += (1.0 - g) * cloud
        b += (1.0 - b) * cloud
    s = max(0.0, dx * sky[8] + dy * sky[9] + dz * sky[10])
    s2 = s * s
    s4 = s2 * s2
    s8 = s4 * s4
    glow = sky[11] * (0.15 * s4 + 0.6 * s8 * s8 * s8)
    return r + glow, g + glow * 0.9, b + glow * 0.7


@inlined
def _towards(light: Array, point: Vector) -> Vector:
    return light[1] - point[0], light[2] - point[1], light[3] - point[2]


@inlined
def _unshadowed(point: Vector, normal: Vector, lights: Array, reference: float) -> float:
    """Green irradiance if nothing cast shadows, on top of `reference`."""
    total = reference
    for k in range(lights.shape[0]):
        light = lights[k]
        if light[KIND] < 0.5:
            d = _towards(light, point)
            d2 = dot(d, d)
            c = dot(d, normal) / math.sqrt(d2) / (d2 + _LAMP_SOFTENING)
        else:
            c = dot(three(light, POSITION), normal)
        if c > 0:
            total += c * light[COLOUR + 1]
    return total


@inlined
def _incoming(light: Array, point: Vector) -> tuple[Vector, float]:
    """Unit direction to the light and its attenuation by distance."""
    if light[KIND] >= 0.5:
        return three(light, POSITION), 1.0
    d = _towards(light, point)
    d2 = dot(d, d)
    return scaled(d, 1.0 / math.sqrt(d2)), 1.0 / (d2 + _LAMP_SOFTENING)


@inlined
def _spot(light: Array, direction: Vector) -> float:
    """Share of light inside the soft cone of a spot; 1 for other lights."""
    if light[CONE] <= -1.5:
        return 1.0
    cosine = -(direction[0] * light[SPOT] + direction[1] * light[SPOT + 1] + direction[2] * light[SPOT + 2])
    return min(1.0, (cosine - light[CONE]) * 4 + 0.25)


@inlined
def _blocked(world: World, slot: int, start: Vector, ray: Vector, limit: float) -> bool:
    """Whether a shadow ray meets something; the arrays go one by one, a call that passes all of `world` is slow."""
    return occluded(world.boxes, world.children, world.primitives, world.stack, world.last, slot, start, ray, limit)


@inlined
def _visible_share(world: World, start: Vector, direction: Vector, k: int, samples: int, phase: int) -> float:
    """Share of shadow rays to points on light k that arrive."""
    light, disk = world.lights[k], world.disk
    a, b = tangents(direction)
    count = disk.shape[0]
    arrived = 0.0
    for j in range(samples):
        d = (phase + k * 37 + j * (count // samples)) % count
        u, v = disk[d, 0] * light[RADIUS], disk[d, 1] * light[RADIUS]
        if light[KIND] < 0.5:
            target = offset_by_two(three(light, POSITION), a, u, b, v)
            ray = (target[0] - start[0], target[1] - start[1], target[2] - start[2])
            limit = 1.0
        else:
            ray = offset_by_two(direction, a, u, b, v)
            limit = _SUN_DISTANCE
        if not _blocked(world, k, start, ray, limit):
            arrived += 1
    return arrived / samples


@inlined
def _gloss(direction: Vector, view: Vector, normal: Vector, strength: float, shininess: float) -> float:
    """Blinn-Phong lobe times `strength`."""
    h = (direction[0] + view[0], direction[1] + view[1], direction[2] + view[2])
    q = dot(h, normal) / math.sqrt(h[0] * h[0] + h[1] * h[1] + h[2] * h[2] + 1e-12)
    if q <= 0:
        return 0.0
    return strength * (q**shininess) * (shininess + 8) * 0.04


@inlined
def direct_light(
    world: World, quality: Quality, point: Vector, normal: Vector, view: Vector, material: Array, phase: int
) -> tuple[Vector, Vector]:
    """Irradiance and glossy radiance (linear RGB) from all lights; faint lights (< 4 %) are not traced for shadow."""
    er, eg, eb, sr, sg, sb = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    start = along(point, _SKIN, normal)
    faint = 0.04 * _unshadowed(point, normal, world.lights, world.ambient[1])
    specular, shininess = material[SPECULAR], material[SHININESS]
    for k in range(world.lights.shape[0]):
        light = world.lights[k]
        direction, attenuation = _incoming(light, point)
        c, cone = dot(direction, normal), _spot(light, direction)
        if c <= 0 or cone <= 0:
            continue
        attenuation *= cone
        visible = 1.0
        if quality.cues & SHADOW and c * attenuation * light[COLOUR + 1] > faint:
            visible = _visible_share(world, start, direction, k, quality.shadow_samples, phase)
            if visible == 0.0:
                continue
        w = c * attenuation * visible
        er, eg, eb = er + w * light[4], eg + w * light[5], eb + w * light[6]
        if specular > 0 and quality.cues & GLOSS:
            w = _gloss(direction, view, normal, specular * attenuation * visible, shininess)
            sr, sg, sb = sr + w * light[4], sg + w * light[5], sb + w * light[6]
    return (er, eg, eb), (sr, sg, sb)


@inlined
def open_share(world: World, quality: Quality, point: Vector, normal: Vector, phase: int) -> float:
    """Ambient occlusion: share of cosine-weighted rays that meet nothing within reach."""
    start = along(point, _SKIN, normal)
    a, b = tangents(normal)
    disk, samples = world.disk, quality.occlusion_samples
    count = disk.shape[0]
    arrived = 0.0
    for j in range(samples):
        d = (phase + j * (count // samples)) % count
        u, v = disk[d, 0], disk[d, 1]
        w = math.sqrt(max(0.0, 1 - u * u - v * v)) + 0.02
        x = a[0] * u + b[0] * v + normal[0] * w
        y = a[1] * u + b[1] * v + normal[1] * w
        z = a[2] * u + b[2] * v + normal[2] * w
        if not _blocked(world, _OCCLUSION_SLOT, start, (x, y, z), quality.occlusion_reach):
            arrived += 1
    return arrived / samples
