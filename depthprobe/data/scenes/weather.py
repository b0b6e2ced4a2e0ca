"""Sky, sun and haze of a street."""

import math

from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.scene import Scene, linear

_CLOUDS, _SEED, _GLOW = 6, 7, 11  # columns of the sky
_EVENING, _OVERCAST = 2, 3


def set_weather(scene: Scene, rng: Rng) -> None:
    """Clear (twice as likely), evening or overcast; with haze."""
    mood = rng.integers(4)
    rise, turn = rng.uniform(0.3, 1.1), rng.uniform(0, 6.28)
    if mood == _OVERCAST:
        zenith, horizon = linear(0.62, 0.66, 0.7), linear(0.8, 0.82, 0.84)
        scene.sky[_CLOUDS] = rng.uniform(0.6, 0.9)
    elif mood == _EVENING:
        zenith, horizon = linear(0.35, 0.45, 0.7), linear(0.95, 0.75, 0.55)
        rise = rng.uniform(0.15, 0.35)
        scene.sky[_CLOUDS] = rng.uniform(0.2, 0.5)
    else:
        zenith, horizon = linear(0.25, 0.5, 0.9), linear(0.72, 0.83, 0.95)
        scene.sky[_CLOUDS] = rng.uniform(0.1, 0.6)
    scene.sky[0:3], scene.sky[3:6] = list(zenith), list(horizon)
    scene.sky[_SEED] = scene.seed % 1000
    if mood == _OVERCAST:
        scene.sun((math.cos(turn) * 0.3, math.sin(turn) * 0.3, 1.0), (0.5, 0.5, 0.52), 0.25)
        scene.ambient = [0.62, 0.64, 0.68, 0.2, 0.2, 0.18, 0, 0, 0]
    else:
        power = rng.uniform(1.6, 3.0)
        r, g, b = (1.0, 0.72, 0.45) if mood == _EVENING else (1.0, 0.94, 0.82)
        towards = (math.cos(rise) * math.cos(turn), math.cos(rise) * math.sin(turn), math.sin(rise))
        scene.sun(towards, (r * power, g * power, b * power), 0.01)
        scene.sky[_GLOW] = 1.0
        scene.ambient = [0.36, 0.43, 0.55, 0.16, 0.15, 0.12, 0, 0, 0]
    density = float(rng.choice([0.002, 0.004, 0.008, 0.02], p=[0.4, 0.3, 0.2, 0.1]))
    scene.fog = [density, *(math.sqrt(c) for c in horizon), 1.0 if density < 0.01 else 0.6]
    scene.occlusion_reach, scene.exposure = 1.5, rng.uniform(0.2, 0.32)
