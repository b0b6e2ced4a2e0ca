"""Procedural scenes with exact depth: the built-in data set."""

from depthprobe.data.scenes.dataset import scenes
from depthprobe.data.scenes.editor import SceneEditor
from depthprobe.data.scenes.edits import SCENE_EDITS
from depthprobe.data.scenes.generate import SCENES_VERSION, build_scene, render_scene, warm_up
from depthprobe.data.scenes.identity import SPLITS
from depthprobe.data.scenes.rendering import Rendering, render
from depthprobe.data.scenes.writer import write_scenes
from depthprobe.functional.perturb_core import EditError

__all__ = [
    "SCENES_VERSION",
    "SCENE_EDITS",
    "SPLITS",
    "EditError",
    "Rendering",
    "SceneEditor",
    "build_scene",
    "render",
    "render_scene",
    "scenes",
    "warm_up",
    "write_scenes",
]
