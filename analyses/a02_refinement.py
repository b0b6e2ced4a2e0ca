"""Do Depth Gradient Refinement and the optimal-transport loss make a network better, and what do they cost?

Question: a Transformer (PVT-v2-b0) and a CNN (ConvNeXt-atto), each trained from scratch as it is, with DGR, with the
optimal-transport depth loss (OT), and with both; everything else is the same.

Context: claims C4 ("DGR improves a Transformer, in accuracy and in continuity"), C5 ("the OT loss improves it
further") and C6 ("neither adds noticeable cost") of Yao, Wu and Zhang (arXiv 2308.08333). No working implementation of
theirs exists; this is a test of the definitions in `depthprobe.models.dgr` and `depthprobe.functional.losses`.

Endpoints, chosen before looking: accuracy = `abs_rel`; continuity = `grad_mae_smooth` (error of depth gradients away
from depth edges). Every other metric drawn is description. A change within 2 % of the plain network's value counts as
none. The unit is the training: intervals hold for another training on other scenes, and three trainings give few
degrees of freedom, so "undecided" comes with the difference that would have been found.

Controls: `plain`, a block of plain convolutions with as many parameters in the place of DGR, tells the derivatives
from the parameters; `detached`, the OT term without its gradient (what the released code of the paper does), must give
the weights of the plain training, bit by bit.

Command: python -m analyses.a02_refinement --train   (without --train: from the measured trainings in analyses/results)
Cost: 32 trainings of about 5 minutes each on one core (two processes may share the work); stopped, it goes on where it
was. Costs
(C6) are timed when nothing else runs: --cost.
Expected result: none is promised. At this size (64x80, minutes) only large effects can be seen.

What this cannot show: two architectures are no families; small networks, trained for minutes on synthetic scenes, are
not the networks of the paper, which start from ImageNet weights and train for days.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analyses import costs, factorial
from analyses.command import command, conclude, folders
from analyses.common import in_per_cent
from analyses.factorial import Arm, Cell, Design
from depthprobe import plots, stats
from depthprobe.functional.protocol import get_protocol
from depthprobe.probes import PROBES
from depthprobe.train import Recipe

RESULTS = Path(__file__).parent / "results" / "a02"
NETWORKS = {"pvt": "timm:pvt_v2_b0?size=64x80", "convnext": "timm:convnext_atto?size=64x80"}
OT = {"loss": "optimal_transport", "loss_options": {"base": "silog", "ratio": 0.3}}
ARMS = {
    "base": Arm(),
    "dgr": Arm(option="dgr=last_feature"),
    "ot": Arm(**OT),
    "dgr+ot": Arm(option="dgr=last_feature", **OT),
    "plain": Arm(option="dgr=last_feature,block=plain"),
    "detached": Arm(loss=OT["loss"], loss_options={**OT["loss_options"], "detach_transport": True}),
}
SEEDS, CONTROL_SEEDS = (0, 1, 2), {"plain": (0, 1, 2), "detached": (0,)}
SCENES = {"kind": "mixed", "size": [64, 80]}
RECIPE = Recipe(
    dataset="scenes", train={"split": "train", "n": 16_000, "cue_dropout": 0.3, **SCENES},
    val={"split": "val", "n": 64, **SCENES}, steps=3000, batch_size=16, lr=1e-3, val_every=1000, precision="bf16-mixed",
)  # fmt: skip
ACCURACY, CONTINUITY = "abs_rel", "grad_mae_smooth"
CONTRASTS = (
    ("base", "dgr"),
    ("base", "ot"),
    ("base", "dgr+ot"),
    ("dgr", "dgr+ot"),
    ("base", "plain"),
    ("plain", "dgr"),
)
CLAIMS = {"C4": ("base", "dgr"), "C5": ("dgr", "dgr+ot")}
DRAWN = ("abs_rel", "delta1", "grad_mae_smooth", "grad_mae_edge", "curvature_mae", "bridge_rate")
FAMILIES = {"pvt": "transformer", "convnext": "cnn"}
ROPE, NOTICEABLE = 0.02, 0.05
WORDS = {
    "better": "supported", "worse": "refuted (it is worse)", "equivalent": "refuted (no noticeable change)",
    "undecided": "undecided",
}  # fmt: skip
CAUTIONS = (
    "Two architectures: no claim about families follows from this.",
    "Small networks, minutes of training on synthetic scenes at 64x80; the paper's are large and pretrained.",
)


def main(
    quick: bool = False,
    *,
    train: bool = False,
    cost: bool = False,
    results: str | Path | None = None,
    out: str | Path | None = None,
    figures: str | Path | None = None,
    design: Design | None = None,
    seeds: Sequence[int] = SEEDS,
) -> dict[str, Any]:
    """Train what is missing (`train`), time what is timed (`cost`), estimate, draw and judge.

    Args:
        quick: two seeds of tiny trainings in a temporary folder, everything measured.
        train: train and measure the cells that have no file in `results`.
        cost: measure the costs and replace `costs.csv` in `results`.
        results: folder of the measured trainings (default analyses/results/a02).
        out: folder of checkpoints and rendered scenes (default out/a02).
        figures: folder of the figures (default figures/; beside `out` when quick).
        design: other networks, arms, recipe or test set.
        seeds: of the trainings.

    Returns:
        effects, checks and costs (frames), verdict (sentences), figures (paths).

    Raises:
        FileNotFoundError: if nothing was measured yet and `train` is off.
    """
    out, figures = folders("a02", out, figures, quick=quick)
    results = Path(results) if results else out / "results" if quick else RESULTS
    design, seeds = design or make_design(quick=quick), (0, 1) if quick else seeds
    if train or quick:
        factorial.make(design, cells_of(design, seeds), results, out)
    if cost or quick:
        costs.measure(design, rounds=2 if quick else 30).to_csv(results / "costs.csv", index=False)
    table, notes = factorial.read(results)
    effects = estimate(table)
    checks = same_weights(table)
    timed = costs.summary(pd.read_csv(results / "costs.csv")) if (results / "costs.csv").is_file() else None
    sentences = verdict(effects, checks, timed, notes)
    paths = draw(effects, timed, figures, notes)
    conclude(sentences, paths)
    return {"effects": effects, "checks": checks, "costs": timed, "verdict": sentences, "figures": paths}


def make_design(*, quick: bool = False) -> Design:
    """The study's design, or one of the same form that takes seconds."""
    scenes = {"split": "test", "n": 200, "batch_size": 25, **SCENES}
    recipe, networks = RECIPE, NETWORKS
    if quick:
        small = {"kind": "rooms", "size": [32, 32]}
        networks = {"pvt": "timm:test_vit?size=32x32", "convnext": "timm:test_convnext?size=32x32"}
        recipe = dataclasses.replace(
            RECIPE, train={"split": "train", "n": 8, **small}, val={"split": "val", "n": 2, **small}, steps=3,
            batch_size=4, val_every=3, precision="32-true",
        )  # fmt: skip
        scenes = {"split": "test", "n": 4, "batch_size": 4, **small}
    plans = {"error": get_protocol("scenes"), "continuity": PROBES.facts("continuity")["plan"]()}
    return Design(networks=networks, arms=ARMS, recipe=recipe, test=scenes, plans=plans)


def cells_of(design: Design, seeds: Sequence[int]) -> list[Cell]:
    """All trainings, seed by seed, so that what is there at any time is as complete as it can be."""
    return [
        Cell(network, arm, seed)
        for seed in seeds
        for arm in design.arms
        for network in design.networks
        if seed in CONTROL_SEEDS.get(arm, seeds)
    ]


def estimate(table: pd.DataFrame) -> pd.DataFrame:
    """Every contrast of every network and metric, the training as the unit; `relative` to the first arm's mean."""
    whole = table[table["factor"] == ""]
    parts = []
    for network, rows in whole.groupby("network"):
        rope = {m: ROPE * abs(v) for m, v in rows[rows["arm"] == "base"].groupby("metric")["value"].mean().items() if v}
        for a, b in CONTRASTS:
            if {a, b} <= set(rows["arm"]):
                part = rows[rows["metric"].isin(rope)]
                parts.append(
                    stats.family_contrast(part, ["metric"], between="arm", unit="tag", a=a, b=b, rope=rope).assign(
                        network=network, contrast=f"{a} → {b}"
                    )
                )
    return in_per_cent(pd.concat(parts, ignore_index=True))


def same_weights(table: pd.DataFrame) -> pd.DataFrame:
    """Largest difference between the measurements of `detached` and `base` trainings of one seed: must be exactly 0."""
    key = ["network", "tag", "probe", "sample", "factor", "level", "metric"]
    sides = [table[table["arm"] == arm].set_index(key)["value"] for arm in ("base", "detached")]
    gap = (sides[1] - sides[0].reindex(sides[1].index)).abs()
    return gap.groupby("network").max().rename("largest").reset_index()


def verdict(
    effects: pd.DataFrame, checks: pd.DataFrame, timed: pd.DataFrame | None, notes: Mapping[Cell, Mapping[str, Any]]
) -> list[str]:
    """C4, C5 and C6 in sentences, each with its interval; what the controls say; what this cannot show."""
    said = []
    for claim, (a, b) in CLAIMS.items():
        for _, row in _endpoints(effects, f"{a} → {b}").iterrows():
            said.append(
                f"{claim}, {_aspect(row['metric'])}, {row['network']} | {WORDS[row['verdict']]}: {_change(row)}."
            )
    for _, row in _endpoints(effects, "plain → dgr").iterrows():
        said.append(
            f"control | {row['network']}: derivatives against a plain block with as many parameters, "
            f"{row['verdict']} ({_change(row)})."
        )
    for _, row in checks.iterrows():
        same = "is the plain training, bit by bit" if row["largest"] == 0 else f"DIFFERS by up to {row['largest']:.3g}"
        said.append(f"control | {row['network']}: training with a detached OT term {same}.")
    said += [] if timed is None else _cost_sentences(timed)
    trained = pd.Series([cell.seed for cell in notes]).nunique()
    return [*said, *(f"caution | {caution}" for caution in (f"{trained} trainings per arm.", *CAUTIONS))]


def _endpoints(effects: pd.DataFrame, contrast: str) -> pd.DataFrame:
    some = effects[(effects["contrast"] == contrast) & effects["metric"].isin([ACCURACY, CONTINUITY])]
    return some.sort_values(["network", "metric"], ascending=[False, True])


def _aspect(metric: str) -> str:
    return "accuracy" if metric == ACCURACY else "continuity"


def _change(row: pd.Series) -> str:
    a, b = row["contrast"].split(" → ")
    e, low, high, found = (row[f"relative_{c}"] for c in ("estimate", "low", "high", "detectable"))
    if pd.isna(low):
        return f"{row['metric']} {e:+.1f} % from {a} to {b}, without interval: one training says nothing on another"
    return (
        f"{row['metric']} {e:+.1f} % [{low:+.1f}, {high:+.1f}] from {a} to {b}; {found:.1f} % would have been found "
        f"(n = {row['n']} scenes, {row['units_a']} and {row['units_b']} trainings)"
    )


def _cost_sentences(timed: pd.DataFrame) -> list[str]:
    said = []
    for (network, arm), part in timed.groupby(["network", "arm"], sort=False):
        cells = [
            f"{row['quantity']} {100 * (row['estimate'] - 1):+.1f} %"
            + (f" [{100 * (row['low'] - 1):+.1f}, {100 * (row['high'] - 1):+.1f}]" if row["n"] > 1 else "")
            for _, row in part.iterrows()
        ]
        noticeable = (part["low"] > 1 + NOTICEABLE).any()
        sure = (part["high"] <= 1 + NOTICEABLE).all()
        word = "refuted" if noticeable else "supported" if sure else "undecided"
        what = "control" if arm == "plain" else "C6"
        said.append(
            f"{what}, {network} {arm} | {word} (noticeable: more than {100 * NOTICEABLE:g} %): {', '.join(cells)}."
        )
    return said


def draw(
    effects: pd.DataFrame, timed: pd.DataFrame | None, folder: Path, notes: Mapping[Cell, Mapping[str, Any]]
) -> list[Path]:
    """All figures of the study: PDF, PNG and the CSV of what is drawn."""
    figure, frame = effect_figure(effects, notes)
    paths = plots.save_figure(figure, folder / "a02_effects", frame)
    if timed is not None:
        figure, frame = cost_figure(timed)
        paths += plots.save_figure(figure, folder / "a02_costs", frame)
    return paths


def effect_figure(effects: pd.DataFrame, notes: Mapping[Cell, Mapping[str, Any]]) -> tuple[Figure, pd.DataFrame]:
    """Change of every metric in per cent of the first arm's mean: a panel per metric, a row per contrast."""
    frame = effects[effects["metric"].isin(DRAWN)].copy()
    for column in ("estimate", "low", "high"):
        frame[column] = frame[f"relative_{column}"]
    contrasts = [f"{a} → {b}" for a, b in CONTRASTS]
    places = {"metric": DRAWN, "network": list(NETWORKS), "contrast": contrasts}
    frame = frame.assign(unit="%").sort_values(list(places), key=lambda x: x.map(list(places[x.name]).index))

    def panel(part: pd.DataFrame, ax: Any, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["contrast"], hue="network", families=FAMILIES, numbers=False,
                          label="change (% of the first arm's mean)")  # fmt: skip

    rows = frame.groupby(["contrast", "network"]).ngroups
    order = list(dict.fromkeys(frame["metric"]))
    figure = plots.small_multiples(frame, panel, panel="metric", order=order, height=0.7 + 0.17 * rows)
    first = _endpoints(effects, "base → dgr").iloc[0]
    trained = pd.Series([cell.seed for cell in notes]).nunique()
    caption = (
        f"scenes at 64x80 · n = {first['n']} in {first['groups']} groups · {trained} trainings per arm, the unit · "
        "95 % intervals of the mixed model · hollow = undecided · lower is better except delta1"
    )
    title = f"DGR on {first['network']}, {_aspect(first['metric'])}: {first['verdict']}, {_change(first)}"
    return plots.describe_figure(figure, title=title, caption=caption), frame


def cost_figure(timed: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Cost of every arm over that of the plain network."""
    frame = timed.assign(unit="1", better="lower", metric="ratio")

    def panel(part: pd.DataFrame, ax: Any, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["arm"], hue="network", families=FAMILIES, ratio=True, numbers=False,
                          label="cost over the plain network")  # fmt: skip

    rows = frame.groupby(["arm", "network"]).ngroups
    figure = plots.small_multiples(frame, panel, panel="quantity", columns=2, height=0.7 + 0.17 * rows)
    top = frame.loc[frame["estimate"].idxmax()]
    title = f"The dearest: {top['arm']} on {top['network']}, {top['estimate']:.2f} times the plain {top['quantity']}"
    caption = f"median of {frame['n'].max()} rounds in turns, CPU time, with 95 % intervals of the median"
    return plots.describe_figure(figure, title=title, caption=caption), frame


if __name__ == "__main__":
    parser = command(__doc__, "a02", quick="tiny trainings, a minute")
    parser.add_argument("--train", action="store_true", help="train and measure what is missing")
    parser.add_argument("--cost", action="store_true", help="time the costs again (keep the machine quiet)")
    parser.add_argument("--results", help="folder of the measured trainings (default analyses/results/a02)")
    main(**vars(parser.parse_args()))
