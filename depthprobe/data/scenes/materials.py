"""Random colours and materials.

The order of random draws defines the data set: change it only together with `SCENES_VERSION`.
"""

import math

import numpy as np

from depthprobe.data.scenes.kernels.textures import Pattern
from depthprobe.data.scenes.scene import Colour, Scene, linear

Rng = np.random.Generator
_KINDS = ["wood", "warm", "cool", "grey", "pastel", "sat", "dark", "white"]
# what a thing of unknown kind may be covered with
_ANY_PATTERN = [
    *(Pattern.SOLID, Pattern.CHECKER, Pattern.BRICK, Pattern.PLANK, Pattern.MARBLE, Pattern.TILE, Pattern.STRIPE),
    *(Pattern.VORONOI, Pattern.FRACTAL, Pattern.DOTS, Pattern.PARQUET, Pattern.PLAID, Pattern.SPECKLE, Pattern.PICTURE),
]


def colour(rng: Rng, kind: str | None = None) -> Colour:
    """A random linear RGB of a plausible kind (wood warm cool grey pastel sat dark white)."""
    kind = kind or str(rng.choice(_KINDS))
    if kind == "wood":
        v = rng.uniform(0.25, 0.8)
        return linear(v, v * rng.uniform(0.62, 0.82), v * rng.uniform(0.35, 0.6))
    if kind == "grey":
        v = rng.uniform(0.3, 0.8)
        return linear(v, v * rng.uniform(0.96, 1.03), v * rng.uniform(0.93, 1.04))
    if kind == "white":
        v = rng.uniform(0.82, 0.96)
        return linear(v, v * rng.uniform(0.97, 1), v * rng.uniform(0.9, 1))
    if kind == "dark":
        v = rng.uniform(0.1, 0.28)
        return linear(v, v * rng.uniform(0.85, 1.1), v * rng.uniform(0.8, 1.15))
    return _hue_colour(rng, kind)


def _hue_colour(rng: Rng, kind: str) -> Colour:
    """A colour by hue, saturation and value; every range is drawn, whichever is used."""
    hues = {"warm": rng.uniform(-0.05, 0.16), "cool": rng.uniform(0.4, 0.7)}
    hue = hues.get(kind, rng.uniform(0, 1)) % 1
    saturations = {"pastel": rng.uniform(0.12, 0.35), "sat": rng.uniform(0.55, 0.9)}
    s = saturations.get(kind, rng.uniform(0.3, 0.65))
    v = rng.uniform(0.45, 0.92)
    sector = int(hue * 6)
    f = hue * 6 - sector
    a, b, c = v * (1 - s), v * (1 - s * f), v * (1 - s * (1 - f))
    return linear(*[(v, c, a), (b, v, a), (a, v, c), (a, b, v), (c, a, v), (v, a, b)][sector % 6])


def darker(base: Colour, factor: float) -> Colour:
    """The colour times a factor (above 1: lighter), at most 0.95."""
    r, g, b = (min(0.95, x * factor) for x in base)
    return r, g, b


def wood(scene: Scene, rng: Rng) -> int:
    """Planks."""
    c = colour(rng, "wood")
    scale, contrast = rng.uniform(0.08, 0.3), rng.uniform(0.5, 1.1)
    specular, shininess = rng.uniform(0, 0.25), rng.uniform(10, 60)
    return scene.material(
        Pattern.PLANK,
        darker(c, 0.6),
        darker(c, 1.25),
        c,
        scale=scale,
        contrast=contrast,
        specular=specular,
        shininess=shininess,
    )


def fabric(scene: Scene, rng: Rng) -> int:
    """Plaid, stripes, dots or woven cloth."""
    c = colour(rng)
    k = rng.integers(6)
    if k == 0:
        second = darker(c, rng.uniform(0.4, 1.6))
        return scene.material(Pattern.PLAID, c, second, colour(rng), scale=rng.uniform(0.06, 0.25))
    if k == 1:
        second, third = colour(rng), colour(rng)
        return scene.material(Pattern.STRIPE, c, second, third, scale=rng.uniform(0.05, 0.2), aux=rng.random())
    if k == 2:
        return scene.material(Pattern.DOTS, c, colour(rng), scale=rng.uniform(0.05, 0.15))
    scale, contrast = rng.uniform(0.01, 0.08), rng.uniform(0.6, 1.2)
    return scene.material(Pattern.FRACTAL, darker(c, 0.75), darker(c, 1.2), scale=scale, contrast=contrast)


def plain(scene: Scene, rng: Rng, kind: str | None = None, *, specular: float = 0.0, shininess: float = 20.0) -> int:
    """One colour."""
    c = colour(rng, kind)
    scale, contrast = rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.25)
    return scene.material(Pattern.SOLID, c, scale=scale, contrast=contrast, specular=specular, shininess=shininess)


def metal(scene: Scene, rng: Rng) -> int:
    """Glossy grey."""
    v = rng.uniform(0.25, 0.7)
    c = linear(v, v, v * rng.uniform(0.9, 1.05))
    return scene.material(Pattern.SOLID, c, scale=0.05, contrast=0.1, specular=0.7, shininess=rng.uniform(20, 80))


def anything(scene: Scene, rng: Rng) -> int:
    """Any pattern in any colours."""
    pattern = int(rng.choice([int(p) for p in _ANY_PATTERN]))
    a, b, c = colour(rng), colour(rng), colour(rng)
    scale = math.exp(rng.uniform(math.log(0.04), math.log(0.5)))
    aux = rng.uniform(0.02, 0.8)
    specular = float(rng.choice([0, 0, 0.2, 0.5]))
    shininess, contrast = rng.uniform(8, 80), rng.uniform(0.3, 1.2)
    return scene.material(
        pattern, a, b, c, scale=scale, aux=aux, specular=specular, shininess=shininess, contrast=contrast
    )


def floor(scene: Scene, rng: Rng) -> int:
    """Boards, parquet, checks, tiles, carpet, marble, terrazzo or paving."""
    k = rng.integers(9)
    gloss = rng.uniform(0, 0.35)
    if k <= 2:
        return _wooden_floor(scene, rng, k == 2, gloss)
    if k == 3:
        c = colour(rng)
        white = colour(rng, "white")
        scale = rng.uniform(0.2, 0.6)
        return scene.material(Pattern.CHECKER, white, c, scale=scale, specular=gloss, shininess=40.0)
    if k == 4:
        c = colour(rng, str(rng.choice(["grey", "warm", "white"])))
        joint, scale = darker(c, 0.45), rng.uniform(0.25, 0.6)
        return scene.material(
            Pattern.TILE, c, joint, darker(c, 0.7), scale=scale, contrast=1.0, specular=gloss, shininess=40.0
        )
    if k == 5:
        c = colour(rng)
        scale = rng.uniform(0.02, 0.06)
        return scene.material(Pattern.FRACTAL, darker(c, 0.7), darker(c, 1.2), scale=scale, contrast=1.0)
    if k == 6:
        c = colour(rng, "white")
        scale = rng.uniform(0.4, 1.0)
        return scene.material(
            Pattern.MARBLE, c, darker(c, 0.3), darker(c, 0.7), scale=scale, specular=0.4, shininess=60.0
        )
    if k == 7:
        c = colour(rng, "grey")
        chips, scale = colour(rng), rng.uniform(0.04, 0.1)
        return scene.material(Pattern.SPECKLE, c, darker(c, 0.4), chips, scale=scale, specular=0.3, shininess=40.0)
    c = colour(rng, str(rng.choice(["grey", "warm"])))
    return scene.material(Pattern.VORONOI, c, darker(c, 0.4), darker(c, 0.65), scale=rng.uniform(0.2, 0.45), aux=0.9)


def _wooden_floor(scene: Scene, rng: Rng, parquet: bool, gloss: float) -> int:
    c = colour(rng, "wood")
    if parquet:
        scale, a, b = rng.uniform(0.25, 0.5), darker(c, 0.7), darker(c, 1.25)
        return scene.material(Pattern.PARQUET, a, b, c, scale=scale, specular=gloss, shininess=30.0)
    scale, a, b = rng.uniform(0.08, 0.2), darker(c, 0.65), darker(c, 1.2)
    return scene.material(Pattern.PLANK, a, b, c, scale=scale, contrast=0.8, specular=gloss, shininess=30.0)


def wall_cover(scene: Scene, rng: Rng) -> int:
    """Paint, wallpaper, brick, boards or tiles."""
    k = rng.integers(10)
    c = colour(rng, str(rng.choice(["white", "pastel", "pastel", "warm", "cool", "grey"])))
    if k <= 4:
        scale, contrast = rng.uniform(0.2, 0.8), rng.uniform(0.05, 0.25)
        return scene.material(Pattern.SOLID, c, scale=scale, contrast=contrast)
    if k == 5:
        second, third = darker(c, rng.uniform(0.6, 0.9)), colour(rng)
        return scene.material(Pattern.STRIPE, c, second, third, scale=rng.uniform(0.1, 0.5), aux=rng.random())
    if k == 6:
        c = linear(rng.uniform(0.45, 0.75), rng.uniform(0.28, 0.42), rng.uniform(0.2, 0.35))
        mortar, scale = colour(rng, "grey"), rng.uniform(0.2, 0.3)
        return scene.material(Pattern.BRICK, c, mortar, darker(c, 0.55), scale=scale)
    if k == 7:
        scale = rng.uniform(0.08, 0.2)
        return scene.material(Pattern.PLANK, darker(c, 0.7), darker(c, 1.1), c, scale=scale, contrast=0.5)
    if k == 8:
        pattern = Pattern.DOTS if rng.random() < 0.5 else Pattern.PLAID
        second, third = darker(c, rng.uniform(0.5, 0.85)), colour(rng)
        return scene.material(pattern, c, second, third, scale=rng.uniform(0.08, 0.4))
    scale = rng.uniform(0.1, 0.3)
    return scene.material(
        Pattern.TILE, c, darker(c, 0.7), darker(c, 0.85), scale=scale, contrast=0.6, specular=0.3, shininess=50.0
    )
