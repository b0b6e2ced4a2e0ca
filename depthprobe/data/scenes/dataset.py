"""The data set `scenes`: rooms, streets and shapes, rendered as they are read."""

import functools

from depthprobe.checks import check_one_of, check_range
from depthprobe.data.batch import Batch
from depthprobe.data.dataset import DATASETS, Dataset
from depthprobe.data.scenes.dropout import drawn_edits
from depthprobe.data.scenes.editor import SceneEditor
from depthprobe.data.scenes.generate import KINDS, SCENES_VERSION, render_scene
from depthprobe.data.scenes.identity import DEFAULT_COUNT, digest, sample_id, split_seeds, to_batch


@DATASETS.register("scenes", source="rendered by depthprobe", audit={"kind": "mixed", "n": 256}, references="mixed")
def scenes(
    *,
    kind: str = "rooms",
    split: str = "test",
    n: int | None = DEFAULT_COUNT,
    size: tuple[int, int] = (96, 128),
    batch_size: int = 8,
    start: int = 0,
    cue_dropout: float = 0.0,
    on_error: str = "raise",
    workers: int = 2,
) -> Dataset:
    """Procedural scenes with exact depth.

    Convention:
        Depth is the exact z-depth of each pixel's centre ray; sky is not valid. Maps: `normal` (camera coordinates:
        right, down, forward), `object`, `class` (0 = sky, see `classes`), `plane` (-1 = curved). Every scene is its
        own group. `batch.edited(name, level)` renders the scenes again with one thing changed (see `editor`).

    Args:
        kind: rooms, streets, shapes or mixed (half rooms, a quarter each of the others).
        split: train, val or test: disjoint ranges of seeds.
        n: number of scenes (None: 64).
        size: (height, width) in pixels.
        batch_size: scenes per batch.
        start: number of scenes of the split to leave out at its beginning.
        cue_dropout: share of the scenes rendered with one cue missing (see `dropout`), for training sets.
        on_error: "raise" or "skip"; a scene cannot fail to be read, so it makes no difference here.
        workers: threads that render the scenes of a batch.

    Raises:
        ValueError: if kind or split is unknown, the split holds fewer scenes, or a share is none.
    """
    check_one_of("kind", kind, KINDS)
    check_range("cue_dropout", cue_dropout, 0, 1)
    seeds = split_seeds(split, n, start)
    height, width = (int(length) for length in size)
    samples = [sample_id(kind, seed) for seed in seeds]
    read = functools.partial(_read, kind, seeds, (height, width), cue_dropout)
    facts = {
        "kind": kind,
        "version": SCENES_VERSION,
        "split": split,
        "size": [height, width],
        "cue_dropout": cue_dropout,
        "seeds": [seeds.start, seeds.stop],
        "digest": digest(render_scene(kind, seeds.start, (height, width))) if samples else "",
    }
    return Dataset(
        name="scenes",
        samples=samples,
        groups=samples,
        read=read,
        facts=facts,
        batch_size=batch_size,
        on_error=on_error,
        workers=workers,
    )


def _read(kind: str, seeds: range, size: tuple[int, int], cue_dropout: float, i: int) -> Batch:
    seed, sample = seeds[i], sample_id(kind, seeds[i])
    if edits := drawn_edits(seed, cue_dropout):
        return SceneEditor(edits).render(sample, size)
    return to_batch(render_scene(kind, seed, size), sample).replace(editor=SceneEditor())
