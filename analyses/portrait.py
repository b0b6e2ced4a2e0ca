"""One picture per network: what it looks at, how far it looks, what it needs, and what moves it, beside the others.

Drawn from a measurement table alone (probes `error`, `sparse`, `receptive_field`, `context`, `texture`, `cues`,
`corruption`) and the arrays that a run keeps beside it. Every number is compared with the geometric mean of the other
networks on the same scenes; the title is the surest large difference.

Command: python -m analyses.portrait   (--quick: seconds); `a06_attribution` runs it as well
Cost: about 70 passes per scene and network; the default 24 scenes take about 2 minutes on one core.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.command import command, folders
from analyses.common import MODELS, matched, measure
from analyses.portrait_figure import draw_portrait
from depthprobe import plots, stats
from depthprobe.data import load_dataset
from depthprobe.functional.protocol import get_protocol
from depthprobe.gallery import choose_samples
from depthprobe.plots.theme import display_name
from depthprobe.plots.words import number
from depthprobe.probes import PROBES
from depthprobe.report.source import Source

BUDGET, WINDOW, SEVERITY = 0.05, 16.0, 3.0
OWN = "saliency"  # the order of the pixels that the picture shows: by the network's own gradient


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trait:
    """One number of a network per scene, > 0, and the words for it."""

    about: str
    label: str
    probe: str
    metric: str
    factor: str = ""
    level: float = float("nan")
    factor2: str = ""

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of the trait, its label as their metric."""
        same = (table["probe"] == self.probe) & (table["metric"] == self.metric) & (table["factor"] == self.factor)
        same &= table["level"].isna() if np.isnan(self.level) else table["level"] == self.level
        return table[same & (table["factor2"] == self.factor2)].assign(metric=self.label, better="none")


ABOUT = ("what it needs", "how far it looks", "what moves it")
SELF = "abs_rel@self"
_NEEDS, _FAR, _MOVES = ({"about": about} for about in ABOUT)
TRAITS = (
    Trait(**_NEEDS, label="error (abs_rel)", probe="error", metric="abs_rel"),
    Trait(**_NEEDS, label="change with 5 % random pixels left", probe="sparse", metric=SELF, factor="random",
          level=BUDGET, factor2="mean"),
    Trait(**_NEEDS, label="change with 5 % of its own pixels left", probe="sparse", metric=SELF, factor=OWN,
          level=BUDGET, factor2="mean"),
    Trait(**_FAR, label="radius of 50 % of the gradient", probe="receptive_field", metric="erf_radius",
          factor="radius", level=0.5),
    Trait(**_FAR, label="radius of 90 % of the gradient", probe="receptive_field", metric="erf_radius",
          factor="radius", level=0.9),
    Trait(**_FAR, label="change with 16 px around a pixel left", probe="context", metric=SELF, factor="visible",
          level=WINDOW, factor2="mean"),
    Trait(**_MOVES, label="change without texture", probe="texture", metric=SELF, factor="texture_off", level=1.0),
    Trait(**_MOVES, label="change with other textures", probe="texture", metric=SELF, factor="texture_swap", level=1.0),
    Trait(**_MOVES, label="change with 4 px patches shuffled", probe="texture", metric=SELF, factor="patch_shuffle",
          level=4.0),
    Trait(**_MOVES, label="change without shading", probe="cues", metric="log_mae@self", factor="shading", level=1.0),
    Trait(**_MOVES, label="change without shadows", probe="cues", metric="log_mae@self", factor="shadow", level=1.0),
    Trait(**_MOVES, label="change in fog", probe="cues", metric="log_mae@self", factor="fog", level=1.0),
    *(Trait(**_MOVES, label=f"change under {words}", probe="corruption", metric=SELF, factor=name, level=SEVERITY)
      for name, words in (("gaussian_noise", "noise"), ("defocus_blur", "blur"), ("jpeg", "JPEG"))),
)  # fmt: skip


def plans(quick: bool = False) -> dict[str, Any]:
    """The small plans of the portrait's probes."""
    fields: dict[str, dict[str, Any]] = {
        "sparse": {"selectors": ("random", OWN), "reverse": (), "budgets": (0.02, BUDGET, 0.1, 0.25, 0.5),
                   "where": False},
        "receptive_field": {"queries": 6},
        "context": {"queries": 3, "radii": (4, 8, 16, 32, 64), "views": ("visible",)},
        "texture": {"rendered": (("texture_off", (1.0,)), ("texture_swap", (1.0,))),
                    "filtered": (("patch_shuffle", (4.0,)),), "controls": ()},
        "cues": {"cues": (("shading", (0.0, 1.0)), ("shadow", (0.0, 1.0)), ("fog", (0.0, 1.0)))},
        "corruption": {"corruptions": ("gaussian_noise", "defocus_blur", "jpeg"), "severities": (int(SEVERITY),)},
    }  # fmt: skip
    if quick:
        fields["sparse"]["budgets"], fields["context"]["radii"] = (BUDGET, 0.25), (4, 16)
        fields["receptive_field"]["queries"] = 3
    few = dataclasses.replace(get_protocol("scenes"), metrics=("abs_rel",))
    return {"error": few} | {p: PROBES.facts(p)["plan"](protocol=few, **options) for p, options in fields.items()}


def main(
    quick: bool = False,
    out: str | Path | None = None,
    *,
    figures: str | Path | None = None,
    models: Sequence[str] = (),
    n: int = 24,
) -> dict[str, Any]:
    """Measure the networks on a few scenes and draw the portrait of each.

    Args:
        quick: 4 samples, few resamples; by default into a temporary folder.
        out: folder of the run (default out/a06/portraits).
        figures: folder of the figures (default figures/; beside the run when quick).
        models: names for `load_model`, a CNN and a Transformer at least (default: the zoo's mixed networks).
        n: samples of the scenes.

    Returns:
        source (what was measured), said (the title by network), figures (paths).

    Raises:
        ValueError: as `matched`.
    """
    out, figures = folders("a06/portraits", out, figures, quick=quick)
    n_boot, loaded = 500 if quick else 10_000, matched(models or MODELS["scenes"])
    dataset = load_dataset("scenes", kind="mixed", n=4 if quick else n, batch_size=8)
    title = f"Portraits: {', '.join(m.card.name for m in loaded)}"
    source = measure(loaded, plans(quick), dataset, out, n_boot=n_boot, title=title)
    said, paths = {}, []
    for model in source.models["model"]:
        entry = shown(source, model)
        figure, frame, said[model] = portrait(source.table, model, entry=entry, side=source.side, n_boot=n_boot)
        stem = "".join(c if c.isalnum() else "_" for c in display_name(model))
        paths += plots.save_figure(figure, figures / f"a06_portrait_{stem}", frame)
    return {"source": source, "said": said, "figures": paths}


def portrait(
    table: pd.DataFrame,
    model: str,
    *,
    entry: Mapping[str, Any] | None = None,
    side: Mapping[str, Any] | None = None,
    n_boot: int = 10_000,
) -> tuple[Figure, pd.DataFrame, str]:
    """The picture of one network from a measurement table, the frame of what is drawn, and its title.

    Convention: `entry` are the arrays of `shown`, `side` the table's sidecar; without them no scene is drawn and no
    protocol is named. Probes that were not run are said to be missing.

    Raises:
        ValueError: if the table has no rows of the network, or of no other.
    """
    found = profile(table, model, n_boot=n_boot)
    title, lines = salient(found, model), curves(table, n_boot=n_boot)
    members = families(table[table["family"] != "oracle"])
    figure = draw_portrait(found, lines, entry or {}, model, members, title=title, side=side or {})
    frame = pd.concat([found, *(part.assign(about=name) for name, part in lines.items())], ignore_index=True)
    return figure, frame, title


def families(table: pd.DataFrame) -> dict[str, str]:
    """The family of every network of a table."""
    return dict(table.groupby("model")["family"].first())


def profile(table: pd.DataFrame, model: str, *, n_boot: int = 10_000) -> pd.DataFrame:
    """Every trait of a network as a multiple of the geometric mean of the others on the same scenes.

    Convention: one row per trait and network: `estimate` is the ratio, for the network itself with its interval
    (scenes resampled, paired; verdict Holm-corrected over the traits) and `value`, its mean in the trait's unit. Traits
    that were not measured have no row; scenes on which one is 0 or undefined are left out and counted.

    Raises:
        ValueError: if the table does not hold the network, or no other.
    """
    networks = families(table[table["family"] != "oracle"])
    if model not in networks or len(networks) < 2:
        raise ValueError(f"Expected {model!r} and another network in the table, but got {sorted(networks)}.")
    rows = pd.concat([trait.rows(table) for trait in TRAITS])
    rows = rows[rows["model"].isin(networks)]
    means = rows.groupby(["metric", "model"])["value"].mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = rows.assign(value=np.log(rows["value"].where(rows["value"] > 0)))
    keys = [c for c in logs if c not in ("model", "tag", "family", "value")]
    others = logs[logs["model"] != model].groupby(keys, dropna=False, sort=False)["value"]
    rest = others.agg(lambda some: some.mean(skipna=False)).reset_index().assign(model="others", tag="", family="")
    both = pd.concat([logs[logs["model"] == model], rest], ignore_index=True)
    own = stats.compare(both, ["metric"], a="others", b=model, n_boot=n_boot)
    found = [_ratios(own).assign(model=model, value=[means[label, model] for label in own["metric"]])]
    middle = rest.groupby("metric")["value"].mean()
    for other, part in logs[logs["model"] != model].groupby("model"):
        ratio = np.exp(part.groupby("metric")["value"].mean() - middle)
        found.append(pd.DataFrame({"metric": ratio.index, "estimate": ratio.to_numpy(), "model": other}))
    units = rows.groupby("metric")["unit"].first()
    facts = {t.label: (t.about, i, units.get(t.label, "")) for i, t in enumerate(TRAITS)}
    out = pd.concat(found, ignore_index=True)
    for k, column in enumerate(("about", "place", "unit")):
        out[column] = [facts[label][k] for label in out["metric"]]
    return out.sort_values(["place", "model"], ignore_index=True)


def _ratios(own: pd.DataFrame) -> pd.DataFrame:
    """A comparison of logarithms as ratios."""
    columns = ["metric", "n", "groups", "undefined", "p_holm", "verdict", "seeds"]
    return own[columns].assign(**{c: np.exp(own[c]) for c in ("estimate", "low", "high")})


def salient(found: pd.DataFrame, model: str) -> str:
    """The surest large difference of a network from the others, in one sentence with its interval."""
    own = found[(found["model"] == model) & found["low"].notna()]
    others = found["model"].nunique() - 1
    sure = own[own["verdict"].isin(["higher", "lower"])]
    name, many = display_name(model), f"{others} others" if others > 1 else "other network"
    if sure.empty:
        return f"{name} surely differs from the {many} in none of {len(own)} traits"
    ends = np.log(sure[["low", "high"]]).abs().min(axis=1)
    row = sure.loc[ends.idxmax()]
    times = f"{number(row['estimate'], 3)}× [{number(row['low'], 3)}, {number(row['high'], 3)}]"
    return f"{name}: the {row['metric']} is {times} that of the {many}"


def curves(table: pd.DataFrame, *, n_boot: int = 10_000) -> dict[str, pd.DataFrame]:
    """The three curves of a portrait, for all networks: pixels left, window left, gradient beyond a radius."""
    table = table[table["family"] != "oracle"]
    wanted = {
        "pixels": ("sparse", SELF, OWN), "window": ("context", SELF, "visible"),
        "beyond": ("receptive_field", "erf_beyond", "beyond"),
    }  # fmt: skip
    found = {}
    for name, (probe, metric, factor) in wanted.items():
        rows = table[(table["probe"] == probe) & (table["metric"] == metric) & (table["factor"] == factor)]
        if len(rows):
            found[name] = stats.curve(rows, ["model", "family", "metric"], n_boot=n_boot).points
    return found


def shown(source: Source, model: str) -> dict[str, Any]:
    """The arrays of the picture: the middle one of the stored scenes, its own pixels kept, and the field's radii.

    Convention: {} where the run kept no such maps; image, depth, keep as stored, pred from the kept pixels and whole
    from all of them, error and error_whole their abs_rel; radii {share: part of the image's width}.
    """
    chosen = choose_samples(source.table[source.table["probe"].isin(["error", "sparse"])], 3)
    mine = [m for m in source.maps if m.model == model and m.sample == chosen[len(chosen) // 2]] if chosen else []
    kept = [m for m in mine if m.probe == "sparse" and m.factor == OWN and m.level == BUDGET]
    whole = [m for m in mine if m.probe == "error"]
    if not (kept and whole):
        return {}
    rows = source.probe("receptive_field")
    rows = rows[rows["model"] == model]
    side = rows.loc[(rows["metric"] == "canvas_side") & (rows["factor"] == "width"), "value"].mean()
    radius = rows[rows["metric"] == "erf_radius"].groupby("level")["value"].mean() / side
    errors = source.probe("error")
    errors = errors[(errors["model"] == model) & (errors["sample"] == kept[0].sample) & (errors["metric"] == "abs_rel")]
    return {
        **kept[0].arrays, "whole": whole[0].arrays["pred"], "sample": kept[0].sample,
        "error": kept[0].metrics.get("abs_rel", float("nan")), "error_whole": errors["value"].mean(),
        "radii": radius.dropna().to_dict(),
    }  # fmt: skip


if __name__ == "__main__":
    parser = command(__doc__, "a06/portraits", quick="4 scenes, seconds")
    parser.add_argument("--n", type=int, default=24, help="samples of the scenes (default %(default)s)")
    parser.add_argument("--model", action="append", default=[], dest="models", help="a network (default: of the zoo)")
    print("\n".join(main(**vars(parser.parse_args()))["said"].values()))
