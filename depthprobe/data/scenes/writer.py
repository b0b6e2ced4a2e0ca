"""Scenes as files: PNG images, 16-bit PNG or .npy depth, and the `dataset.json` that the data set `folder` reads."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from depthprobe.checks import check_one_of
from depthprobe.data.scenes.generate import KINDS, SCENES_VERSION, build_scene, warm_up
from depthprobe.data.scenes.identity import sample_id, split_seeds
from depthprobe.data.scenes.rendering import Rendering, render

DEPTH_FORMATS = {"png16": (".png", 0.001), "npy": (".npy", 1.0)}  # suffix, metres per stored 1
_MAX_STORED = 65535  # of a 16-bit PNG: 65.535 m
_FAR_PIXELS = "depthprobe-far-pixels"  # PNG text entry: pixels too far for the format
_UNFINISHED = "unfinished.json"


def write_scenes(
    out: str | Path,
    *,
    kind: str = "rooms",
    n: int,
    size: tuple[int, int] = (96, 128),
    split: str = "train",
    start: int = 0,
    depth_format: str = "png16",
    progress: Callable[[int, int], object] | None = None,
    workers: int = 2,
) -> Path:
    """Render scenes to a folder; an interrupted call, given again, goes on where it stopped.

    Convention:
        `images/<id>.png` 8-bit RGB; `depth/<id>.png` 16-bit millimetres, or `depth/<id>.npy` float32 metres; stored 0
        is invalid (sky). 16 bits end at 65.535 m: pixels beyond it are stored as invalid and counted in the facts of
        `dataset.json`; `npy` keeps them.

    Args:
        out: the folder, created if need be.
        kind: rooms, streets, shapes or mixed.
        n: number of scenes.
        size: (height, width) in pixels.
        split: train, val or test.
        start: number of scenes of the split to leave out at its beginning.
        depth_format: "png16" or "npy".
        progress: called with (scenes done, n).
        workers: threads that render.

    Returns:
        The path of `dataset.json`.

    Raises:
        ValueError: if an option is unknown, or `out` holds scenes written with other options or that are not asked for.
    """
    check_one_of("kind", kind, KINDS)
    check_one_of("depth_format", depth_format, DEPTH_FORMATS)
    seeds, folder, (height, width) = split_seeds(split, n, start), Path(out), size
    settings: dict[str, Any] = {"source": "depthprobe scenes", "version": SCENES_VERSION, "kind": kind}
    settings |= {"size": [height, width], "depth_format": depth_format}
    _claim(folder, settings, seeds)
    warm_up()

    def write(seed: int) -> tuple[dict[str, Any], int]:
        return _write_sample(folder, kind, seed, (height, width), depth_format)

    entries, far = [], 0
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for done, (entry, count) in enumerate(pool.map(write, seeds), start=1):
            entries.append(entry)
            far += count
            if progress is not None:
                progress(done, len(seeds))
    facts = {**settings, "split": split, "seeds": [seeds.start, seeds.stop], "pixels_beyond_range": far}
    return _describe(folder, depth_format, entries, facts)


def _describe(folder: Path, depth_format: str, entries: list[dict[str, Any]], facts: dict[str, Any]) -> Path:
    """Write `dataset.json`: the folder is finished."""
    description = {
        "format": "depthprobe-folder",
        "version": 1,
        "depth": {"unit": "m", "scale": DEPTH_FORMATS[depth_format][1], "invalid": 0},
        "samples": entries,
        "facts": facts,
    }
    target = folder / "dataset.json"
    _write_atomic(target, lambda path: path.write_text(json.dumps(description, indent=1), encoding="utf-8"))
    (folder / _UNFINISHED).unlink(missing_ok=True)
    return target


def _claim(folder: Path, settings: dict[str, Any], seeds: range) -> None:
    """Refuse a folder with scenes of other settings or seeds; note the settings before the first scene is written."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (_UNFINISHED, "dataset.json"):
        file = folder / name
        if file.exists():
            found = json.loads(file.read_text(encoding="utf-8")).get("facts", {})
            differ = sorted(key for key, value in settings.items() if found.get(key) != value)
            if differ:
                raise ValueError(
                    f"Expected `out` to be empty or to hold scenes with the same {', '.join(differ)}, but {file} says "
                    f"{ {key: found.get(key) for key in differ} }; choose another folder."
                )
            first, end = found.get("seeds", (seeds.start, seeds.stop))
            if first < seeds.start or end > seeds.stop:
                raise ValueError(
                    f"Expected the scenes asked for (seeds {seeds.start} to {seeds.stop - 1}) to include those already "
                    f"in {file} (seeds {first} to {end - 1}), which would drop out of it; choose another folder."
                )
    for name in ("images", "depth"):
        (folder / name).mkdir(exist_ok=True)
    note = json.dumps({"facts": settings})
    _write_atomic(folder / _UNFINISHED, lambda path: path.write_text(note, encoding="utf-8"))


def _write_sample(
    folder: Path, kind: str, seed: int, size: tuple[int, int], depth_format: str
) -> tuple[dict[str, Any], int]:
    """Write one scene unless it is there; returns its entry and its number of pixels beyond the range."""
    name = sample_id(kind, seed)
    image, depth = Path("images") / f"{name}.png", Path("depth") / f"{name}{DEPTH_FORMATS[depth_format][0]}"
    scene = build_scene(kind, seed, size)
    assert scene.camera is not None
    entry = {
        "id": name,
        "group": name,
        "image": image.as_posix(),
        "depth": depth.as_posix(),
        "intrinsics": scene.camera.intrinsics().tolist(),
    }
    if not ((folder / image).exists() and (folder / depth).exists()):
        rendering = render(scene)
        _write_depth(folder / depth, rendering, depth_format)
        _write_atomic(folder / image, lambda path: Image.fromarray(rendering.rgb).save(path, format="PNG"))
    return entry, _far_pixels(folder / depth, depth_format)


def _write_depth(file: Path, rendering: Rendering, depth_format: str) -> None:
    valid = np.isfinite(rendering.depth)
    metres: npt.NDArray[np.float32] = np.where(valid, rendering.depth, 0).astype(np.float32)
    if depth_format == "npy":
        _write_atomic(file, lambda path: _save_array(path, metres))
        return
    stored = np.round(metres.astype(np.float64) / DEPTH_FORMATS["png16"][1])
    far = stored > _MAX_STORED
    text = PngInfo()
    text.add_text(_FAR_PIXELS, str(int(far.sum())))
    picture = Image.fromarray(np.where(far, 0, stored).astype(np.uint16))
    _write_atomic(file, lambda path: picture.save(path, format="PNG", pnginfo=text))


def _save_array(path: Path, array: npt.NDArray[np.float32]) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)


def _far_pixels(file: Path, depth_format: str) -> int:
    if depth_format == "npy":
        return 0
    with Image.open(file) as picture:
        return int(picture.info.get(_FAR_PIXELS, 0))


def _write_atomic(file: Path, write: Callable[[Path], object]) -> None:
    """Write beside the file, then rename: a file that exists is complete."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.part")
    write(draft)
    draft.replace(file)
