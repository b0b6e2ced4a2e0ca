"""Cue drop-out: training scenes from which one cue is missing, so that edited scenes are no news to a network."""

import numpy as np

from depthprobe.data.scenes.edits import SCENE_EDITS

_STREAM = 11


def drawn_edits(seed: int, share: float) -> tuple[tuple[str, float], ...]:
    """The edit that the scene of a seed is rendered with: none, or with probability `share` one that drops a cue.

    Convention: one of the registered edits that change the image only and have 0 as their level of no change, at a
    level drawn from its span: half of the time its far end (the cue is gone), else uniform; draws are uniform. A
    function of the seed alone: a scene that is edited at one share is edited alike at every larger share.
    """
    rng = np.random.default_rng([seed, _STREAM])
    if rng.random() >= share:
        return ()
    facts = {name: SCENE_EDITS.facts(name) for name in SCENE_EDITS.names()}
    cues = sorted(name for name, f in facts.items() if f["changes"] == "image" and f["identity"] == 0)
    name = cues[rng.integers(len(cues))]
    low, high = facts[name]["span"]
    if facts[name]["unit"] == "draw":
        return ((name, float(rng.integers(1, high + 1))),)
    return ((name, float(low + (high - low) * min(1.0, 2 * rng.random()))),)
