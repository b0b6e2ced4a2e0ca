"""Procedural scenes with exact depth: the built-in data set."""

from depthprobe.data.scenes.dataset import SPLITS, scenes
from depthprobe.data.scenes.generate import SCENES_VERSION, build_scene, render_scene, warm_up
from depthprobe.data.scenes.render import Rendering, render

__all__ = ["SCENES_VERSION", "SPLITS", "Rendering", "build_scene", "render", "render_scene", "scenes", "warm_up"]
