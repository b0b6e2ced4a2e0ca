"""From a seed to a scene: the one door to all generators."""

from collections.abc import Callable

from depthprobe.checks import check_one_of
from depthprobe.data.scenes.identity import MIXED, kind_of
from depthprobe.data.scenes.kernels.compiling import warm_once
from depthprobe.data.scenes.rendering import ALL_CUES, Rendering, pack, render
from depthprobe.data.scenes.rooms import make_room
from depthprobe.data.scenes.scene import Frame, Scene
from depthprobe.data.scenes.shapes import make_shapes
from depthprobe.data.scenes.streets import make_street
from depthprobe.data.scenes.viewpoint import is_poor_view

SCENES_VERSION = 1  # raise it with every change that changes a byte of any image, depth or id
_ATTEMPTS = 8
Generator = Callable[[int, tuple[int, int]], Scene]


def make_good_room(seed: int, size: tuple[int, int]) -> Scene:
    """The first of up to eight rooms of a seed whose view is not poor (the last, if all are)."""
    for attempt in range(_ATTEMPTS):
        scene = make_room(seed, size, attempt)
        assert scene.camera is not None
        if not is_poor_view(pack(scene), scene.camera):
            break
    return scene


GENERATORS: dict[str, Generator] = {"rooms": make_good_room, "streets": make_street, "shapes": make_shapes}
KINDS = (*GENERATORS, MIXED)


def build_scene(kind: str, seed: int, size: tuple[int, int] = (96, 128)) -> Scene:
    """Build the scene of a seed, to be seen at (height, width).

    Raises:
        ValueError: if the kind is unknown.
    """
    check_one_of("kind", kind, KINDS)
    warm_up()
    return GENERATORS[kind_of(kind, seed)](seed, size)


def render_scene(kind: str, seed: int, size: tuple[int, int] = (96, 128)) -> Rendering:
    """Build and render the scene of a seed."""
    return render(build_scene(kind, seed, size))


def warm_up(announce: Callable[[str], object] | None = None) -> bool:
    """Load the compiled renderer, or compile it (about 40 s, once per machine; announced in one line on stderr).

    Everything here calls it by itself; call it before starting workers, so that only one of them compiles.

    Args:
        announce: called with the line instead of printing it.

    Returns:
        Whether something had to be compiled.
    """
    return warm_once(_render_smallest, announce)


def _render_smallest() -> None:
    """Call every kernel once on a scene of two boxes."""
    scene = Scene()
    cover = scene.material(0, (0.5, 0.5, 0.5))
    scene.begin("box")
    for x in (-1.0, 1.0):
        scene.box(Frame(x, 3), (0, 0, 0.5), (0.4, 0.4, 0.5), cover)
    scene.lamp((0, 0, 2), (1.0, 1.0, 1.0))
    scene.look((0, 0, 1), 0, 0, 0, 1.0, (8, 8))
    render(scene, cues=ALL_CUES)
