"""Photographs whose every answer is known: a tilted camera, level ground, a wall and an upright box, by plain rays."""

import math

import numpy as np
import torch

from depthprobe.data import Batch
from depthprobe.data.photographs import PhotographEditor

H, W = 120, 160
CAMERA = np.array([[130.0, 0, 81.3], [0, 128.0, 55.7], [0, 0, 1]])
HEIGHT, DOWN = 1.4, math.radians(18)  # of the camera above the ground, and how far it looks down
WALL = 9.0
BOX = (-0.7, 0.5, 3.0, 0.5, 0.8)  # left edge, width, distance of the front, thickness, height; metres


def ray(x, y):
    """The way (right, down, ahead) in the room of a step of 1 along the camera's axis, through a pixel."""
    u, v = (x - CAMERA[0, 2]) / CAMERA[0, 0], (y - CAMERA[1, 2]) / CAMERA[1, 1]
    c, s = math.cos(DOWN), math.sin(DOWN)
    return np.array([u, v * c + s, c - v * s])


def ground_depth(x, y):
    """Depth of the ground in a pixel."""
    return HEIGHT / ray(x, y)[1]


def ground_row(depth):
    """The row in which the ground has a depth: the camera does not roll, so that it is the same in every column."""
    tangent = (HEIGHT / depth - math.sin(DOWN)) / math.cos(DOWN)
    return CAMERA[1, 2] + CAMERA[1, 1] * tangent


def foot_row(box=BOX):
    """The row in which the front of the box meets the ground."""
    ahead = box[2]
    return ground_row(ahead * math.cos(DOWN) + HEIGHT * math.sin(DOWN))


def hit(way, box):
    """How many steps along a ray a box is met (infinite: never), by its six sides."""
    left, width, front, thick, tall = box
    near, far = 0.0, math.inf
    for step, low, high in zip(way, (left, HEIGHT - tall, front), (left + width, HEIGHT, front + thick), strict=True):
        if abs(step) < 1e-12:
            if not low <= 0 <= high:
                return math.inf
            continue
        first, last = sorted((low / step, high / step))
        near, far = max(near, first), min(far, last)
    return near if 0 < near <= far else math.inf


def room(box=BOX):
    """Depth (H,W) and what is seen (0 ground, 1 wall, 2 box)."""
    depth, seen = np.zeros((H, W)), np.zeros((H, W), int)
    for y in range(H):
        for x in range(W):
            way = ray(x, y)
            ways = [HEIGHT / way[1] if way[1] > 0 else math.inf, WALL / way[2]]
            ways.append(hit(way, box) if box else math.inf)
            seen[y, x] = int(np.argmin(ways))
            depth[y, x] = min(ways)
    return depth, seen


def photograph(number=0, box=BOX, editor=True, **changes):
    """A batch of one: the room, its surfaces speckled in colours of their own."""
    depth, seen = room(box)
    rng = np.random.default_rng(number)
    colour = np.array([[0.4, 0.4, 0.35], [0.6, 0.7, 0.8], [0.7, 0.2, 0.1]])[seen].transpose(2, 0, 1)
    image = (colour + rng.uniform(-0.1, 0.1, (3, H, W))).clip(0, 1)
    fields = {
        "image": torch.from_numpy(image).float()[None],
        "depth": torch.from_numpy(depth).float()[None, None],
        "valid": torch.ones(1, 1, H, W, dtype=torch.bool),
        "intrinsics": torch.from_numpy(CAMERA).float()[None],
        "sample": (f"room-{number}",),
        "group": (f"room-{number}",),
        "editor": PhotographEditor() if editor else None,
    }
    return Batch(**fields | changes)
