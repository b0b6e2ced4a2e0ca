"""Study 05: what is derived from the probes' rows image by image, and the networks read side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor, nn

from depthprobe.data import Dataset
from depthprobe.models import DepthModel, ModelCard
from depthprobe.probes import PROBES
from depthprobe.report.source import Source, read_source
from depthprobe.run import run

ERROR, WINDOW, SHARE = "abs_rel", 16, 0.9
FILLS = ("mean", "blur")
_ON = ["model", "tag", "sample", "seed"]


def log_ratio(above: pd.DataFrame, below: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rows of ln(above / below), image by image, with the places of `above`: differences of these are ratios of ratios.

    Convention: `below` has one row per network and image. A ratio that is 0, infinite or unknown is NaN.
    """
    both = above.merge(below[[*_ON, "value"]], on=_ON, suffixes=("", "_below"), validate="many_to_one")
    return _logged(both["value"] / both["value_below"], both.drop(columns="value_below"), metric)


def _logged(value: pd.Series, rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(value.to_numpy(float))
    return rows.assign(metric=metric, value=np.where(np.isfinite(log), log, np.nan), unit="ln", better="none")


def relative_errors(context: pd.DataFrame) -> pd.DataFrame:
    """`error`: ln of the error at the query pixels through every window over that with the whole image."""
    own = context[context["metric"] == ERROR]
    windows, whole = own[own["factor"].isin(["visible", "hidden"])], own[own["factor"] == "whole"]
    return log_ratio(windows, whole, "error")


def quantities(source: Source) -> pd.DataFrame:
    """One row per network, image and quantity, all in ln, so that a difference of networks is a ratio.

    reach: the radius of the effective receptive field that holds SHARE of its energy (px); reach50: half of it.
    gain_FILL: error with only the window of radius WINDOW visible over that with the whole image, the rest replaced by
    FILL; gain_near, gain_far: the same at the nearest and farthest third of the query pixels. need_FILL: error with
    that window hidden over that with the whole image. whole, window_FILL: the two errors that make up a gain.
    far_near: error of the farthest third of all pixels over that of the nearest, both with the whole image.
    """
    context, field = source.probe("context"), source.probe("receptive_field")
    named = {name: part for name, part in context.groupby("metric") if name.startswith(ERROR)}
    own, near, far = (named[ERROR + suffix] for suffix in ("", "@near", "@far"))
    at = lambda rows, view, fill: rows[(rows["factor"] == view) & (rows["level"] == WINDOW) & (rows["factor2"] == fill)]  # noqa: E731
    whole = lambda rows: rows[rows["factor"] == "whole"]  # noqa: E731
    found = [log_ratio(far[far["factor"] == ""], near[near["factor"] == ""], "far_near")]
    for fill in FILLS:
        found.append(log_ratio(at(own, "visible", fill), whole(own), f"gain_{fill}"))
        found.append(log_ratio(at(own, "hidden", fill), whole(own), f"need_{fill}"))
        found.append(_logged((part := at(own, "visible", fill))["value"], part, f"window_{fill}"))
    for name, part in (("near", near), ("far", far)):
        found.append(log_ratio(at(part, "visible", FILLS[0]), whole(part), f"gain_{name}"))
    found.append(_logged(whole(own)["value"], whole(own), "whole"))
    radii = field[field["metric"] == "erf_radius"]
    for name, share in (("reach", SHARE), ("reach50", 0.5)):
        part = radii[radii["level"] == share]
        found.append(_logged(part["value"], part, name))
    return pd.concat(found, ignore_index=True)


class Together(nn.ModuleList):
    """Networks that read the same image one after the other, so that their layers can be compared like those of one."""

    def forward(self, image: Tensor) -> Tensor:
        """The depth of the last."""
        answers: list[Tensor] = [model(image) for model in self]
        return answers[-1]


def together(models: Sequence[DepthModel]) -> DepthModel:
    """One model of several; its layers are `NUMBER.net.LAYER`, in the order of the networks.

    Convention: the networks read one size; each normalises for itself.
    """
    layers = tuple(f"{i}.net.{name}" for i, model in enumerate(models) for name in model.layers())
    card = ModelCard(
        name="+".join(m.card.name for m in models), tag="+".join(m.card.tag for m in models),
        family=models[0].card.family, output=models[0].card.output, size=models[0].canvas_size(96, 128),
        mean=(0.0,) * 3, std=(1.0,) * 3, layers=layers,
    )  # fmt: skip
    return DepthModel(Together(models), card)


def likeness(models: Sequence[DepthModel], dataset: Dataset, out: Path) -> pd.DataFrame:
    """Per image, the linear CKA of every two layers of all networks, each pair once.

    Returns:
        sample, group, model, layer, place and other_model, other_layer, other_place (the two layers; place: layers from
        the end of the network, 0 = last), family, other_family, value and the other columns of a table.
    """
    pair = together(models)
    plan = PROBES.facts("representation")["plan"](layers=pair.layers(), most=len(pair.layers()))
    run([pair], {"representation": plan}, dataset, out=out)
    rows = read_source(out).probe("representation")
    rows = rows[(rows["metric"] == "cka") & ~rows["layer"].str.startswith("(") & ~rows["factor"].str.startswith("(")]
    one, other = _whose(rows["layer"], models), _whose(rows["factor"], models).add_prefix("other_")
    bare = rows.drop(columns=["model", "family", "layer", "factor"])
    return pd.concat([bare, one, other], axis=1).reset_index(drop=True)


def _whose(layers: pd.Series, models: Sequence[DepthModel]) -> pd.DataFrame:
    """Network, family, layer and place of every `NUMBER.net.LAYER`."""
    facts = {}
    for i, model in enumerate(models):
        names = model.layers()
        for k, name in enumerate(names):
            facts[f"{i}.net.{name}"] = (model.card.name, model.card.family, name, len(names) - 1 - k)
    columns = ["model", "family", "layer", "place"]
    return pd.DataFrame([facts[name] for name in layers], columns=columns, index=layers.index)


def across_families(rows: pd.DataFrame) -> pd.DataFrame:
    """Per image, the mean CKA of layers at one place in two networks: `within` a family, `across`, and the difference.

    Convention: rows of `likeness`; a place counts that all networks have. Empty where no family has two networks.
    """
    places = set.intersection(*(set(part["place"]) for _, part in rows.groupby("model")))
    same = (rows["place"] == rows["other_place"]) & (rows["model"] != rows["other_model"]) & rows["place"].isin(places)
    kind = np.where(rows["family"] == rows["other_family"], "within", "across")
    keys = ["dataset", "sample", "group", "tag", "probe", "plan", "seed", "unit", "better", "level", "level2"]
    means = rows[same].assign(kind=kind[same]).groupby([*keys, "kind"], dropna=False)["value"].mean().unstack("kind")
    if "within" not in means:
        return pd.DataFrame()
    means = means.assign(difference=means["within"] - means["across"]).reset_index()
    return means.melt(keys, ["within", "across", "difference"], var_name="metric", value_name="value")
