"""Rows of study 04: errors where there is texture, reactions to other textures, and the same of planted answers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from depthprobe.data import load_dataset, stack
from depthprobe.functional.texture import texture_decades
from depthprobe.models import DepthModel, load_model
from depthprobe.probes import PROBES

CONTROL, EDIT = "scrambled", "edit"
CHANGE = "abs_rel@self"
SLOPES = ("texture_growth", "texture_slope", "texture_bias")
TEXTURED, PLAIN, GROWTH = "abs_rel@textured", "abs_rel@plain", "texture_growth@place_held"
UNITS = {"abs_rel": "% of depth", "change": "% of depth", "control": "% of depth",
         "rise": "% of depth", "texture_growth": "% per decade",
         "texture_slope": "% of depth per decade", "texture_bias": "% of depth per decade"}  # fmt: skip


def quantities(rows: pd.DataFrame, plain: pd.DataFrame) -> pd.DataFrame:
    """One value per image, network and quantity, in per cent, from the rows of the probes texture and error (`plain`).

    Convention: `abs_rel@textured` and `abs_rel@plain`: the error on the quarter of the smooth pixels with the most and
    with the least texture. `texture_...@place_held`: see the metrics. `change@EDIT`: how far the depth moves from the
    answer to the unchanged image; `control@EDIT`: the same under CONTROL, which changes the pixels as much.
    `rise@EDIT`: by how much the error against the truth is larger than without the edit. The levels of an edit are
    draws, and averaged.
    """
    energy = bands(rows)
    start = energy["level"]
    parts = [
        energy[start == start.max()].assign(metric=TEXTURED),
        energy[start == start.min()].assign(metric=PLAIN),
        _per_cent(rows[rows["metric"].isin([f"{name}@place_held" for name in SLOPES])]),
    ]
    for edit, part in arms(rows).groupby("factor"):
        parts += [part[part["factor2"] == arm].assign(metric=f"{name}@{edit}")
                  for arm, name in ((EDIT, "change"), (CONTROL, "control"))]  # fmt: skip
        parts.append(_rise(rows[rows["factor"] == edit], plain).assign(metric=f"rise@{edit}"))
    out = pd.concat([part.reset_index(drop=True) for part in parts], ignore_index=True)
    unit = out["metric"].str.partition("@")[0].map(UNITS)
    return out.assign(factor="", level=np.nan, factor2="", unit=unit)


def bands(rows: pd.DataFrame) -> pd.DataFrame:
    """The error (`abs_rel`) by band of texture energy, in per cent."""
    return _per_cent(rows[(rows["metric"] == "abs_rel") & (rows["factor"] == "energy")])


def arms(rows: pd.DataFrame) -> pd.DataFrame:
    """How far the depth moves under every edit (factor) and control (factor2), averaged over draws, in per cent."""
    out = _over_draws(rows[rows["metric"] == CHANGE])
    return out.assign(factor2=out["factor2"].replace("", EDIT))


def _rise(rows: pd.DataFrame, plain: pd.DataFrame) -> pd.DataFrame:
    """The error against the truth under one edit less that of the same network on the same image without it."""
    errors = [part[(part["metric"] == "abs_rel") & (part["factor2"] == "")] for part in (rows, plain)]
    under, without = _by_image(_over_draws(errors[0])), _by_image(errors[1])
    return under.assign(value=under["value"] - 100 * without["value"])


def _over_draws(rows: pd.DataFrame) -> pd.DataFrame:
    keys = [c for c in rows if c not in ("level", "value")]
    out = _per_cent(rows).groupby(keys, sort=False, dropna=False, observed=True)["value"].mean().reset_index()
    return out.assign(level=np.nan, unit="%")


def _per_cent(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(value=100 * rows["value"], unit="%")


def _by_image(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.set_index(rows["model"] + "\n" + rows["sample"])


def planted_reliance(*, edits: Sequence[str] = ("texture_swap", "texture_off"), n: int = 4) -> pd.DataFrame:
    """How far the depth of models with a known answer moves (% of depth), under edits and under as large a control.

    `oracle:row` reads no pixel and must not move at all. `oracle:brightness` reads every pixel alone, whatever it
    shows, and moves under both. A model whose depth is the local texture moves under both as well: a control that
    changes as many pixels adds texture where there was none. So the control says how large a reaction to any change of
    that size is, not what a model without texture would do.
    """
    models = [load_model("oracle:row"), load_model("oracle:brightness"), _ruled(lambda i: texture_decades(i).add(6))]
    batch = stack(list(load_dataset("scenes", n=n, batch_size=n)))
    rendered = tuple((edit, (1.0,)) for edit in edits)
    plan = PROBES.facts("texture")["plan"](rendered=rendered, filtered=(), controls=(CONTROL,))
    found = []
    for name, model in zip(("row", "brightness", "texture"), models, strict=True):
        rows = PROBES["texture"](model, batch, plan)
        moved = arms(rows).groupby(["factor", "factor2"])["value"].mean()
        found.append(moved.rename(f"depth from {name}"))
    table = pd.DataFrame(found)
    return table[[(edit, arm) for edit in edits for arm in (EDIT, CONTROL)]]


def planted_quality(*, slope: float = 0.05, n: int = 4) -> pd.DataFrame:
    """What is found of errors that are planted: mean over `n` scenes, place held fixed, in per cent.

    Convention: an error of ln depth that grows by `slope` per decade of texture with signs that even out
    (`texture_slope`), once with all depths doubled, which must change nothing; the same without signs (`texture_bias`);
    and one that grows with depth alone, of which nothing may be found.
    """
    batch = stack(list(load_dataset("scenes", n=n, batch_size=n)))
    plan = PROBES.facts("texture")["plan"](rendered=(), filtered=())
    grown = slope * (texture_decades(batch.image) + 6)
    signs = _checkered(batch.depth)
    planted = {
        "none": batch.depth,
        "growing with texture": batch.depth * (grown * signs).exp(),
        "the same, all twice as far": 2 * batch.depth * (grown * signs).exp(),
        "texture taken for distance": batch.depth * grown.exp(),
        "growing with distance": batch.depth**1.1,
    }
    found = {}
    for name, depth in planted.items():
        rows = PROBES["texture"](_ruled(lambda _, depth=depth: depth), batch, plan)
        own = rows[rows["metric"].isin(["texture_slope@place_held", "texture_bias@place_held"])]
        found[name] = 100 * own.groupby("metric")["value"].mean()
    return pd.DataFrame(found).T.rename_axis("planted error", axis=0)


def _checkered(depth: Tensor) -> Tensor:
    rows, columns = (depth[:, :1].new_ones(depth.shape).cumsum(dim) for dim in (-2, -1))
    return (rows + columns) % 2 * 2 - 1


def _ruled(rule: Callable[..., Tensor]) -> DepthModel:
    """A model with that rule from image to depth."""
    model = load_model("oracle:constant")
    oracle: Any = model.net
    oracle.rule = rule
    return model
