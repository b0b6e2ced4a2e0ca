"""Which pixels suffice for a network, when a second network learns to choose them, and can such masks be believed?

Question: a generator G learns, once per network N and without the truth, the sparsest mask M under which N(I ⊗ M)
stays N(I). How few pixels does a CNN need, how few a Transformer, and which? Is a soft mask worth what it seems to be:
what remains when as many whole pixels are kept instead, or when every pixel is dimmed alike? Do masks transfer?

Context: Hu, Zhang, Okatani (ICCV 2019, arXiv:1904.03380) find, for CNNs and soft masks, thin structural edges and some
filled objects. A soft mask may flatter a network whose LayerNorm undoes a uniform dimming, so masks of exact budgets
are the primary result here, beside controls of equal size.

Endpoints, chosen before looking, for each network at a budget of 10 % and as the change of its own answer (`rmse@self`
in metres): the pixels in the order of its soft mask against image edges, against random pixels, and against the order
of the mask that was learned for the other network. A change within 5 % of what the own soft mask leaves counts as none.
After a first look at these, masks trained hard, for exactly this budget, and masks searched for on each image by itself
were added; they and everything else drawn are description.

Spread: three trainings of G per network, which differ in the first weights of its head, in the order of the images and
in their augmentation; the weights of its body are the same at the start. Intervals are over the scenes of NYU.

Command: python -m analyses.a07_learned_masks --train --root PATH/TO/nyuv2   (without --train: from the measurements in
analyses/results)
Cost: 18 trainings of G of about 3 minutes on one core (several processes may share them), and about 530 passes per
image and network (a backward one counted as two), 360 of them to search for masks of each image by itself; stopped, it
goes on where it was.
Expected result: Hu's finding for soft masks; none is promised for hard ones.

What this cannot show: small networks that read 96x128 pixels, where an edge is a pixel wide and an object a few; 795
training images, where Hu et al. have 50,688; two architectures are no families; removed pixels have one colour, and the
budget of the endpoints is one of five, above the mean of the soft masks.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analyses import factorial
from analyses import masks_figures as figure
from analyses.command import NYU, command, conclude, folders
from analyses.common import change, measure
from analyses.factorial import Arm, Cell, Design
from analyses.masks_estimates import BUDGET, CONTROLS, HARD, SEARCHED, SELF, SOFT, Found, estimate
from analyses.structure import MATCHED, matched_to, protocol_of
from depthprobe.data import Dataset, load_dataset
from depthprobe.plots.theme import display_name
from depthprobe.probes import PROBES
from depthprobe.report.source import Source
from depthprobe.schema import read_table, write_part
from depthprobe.train import RECIPES, Recipe
from depthprobe.train.recipe import OWN

NETWORKS = {"convnext": "zoo:convnext.nyu", "pvt": "zoo:pvt.nyu"}
BODIES = ("conv", "transformer")
BUDGETS, STEPS = (0.02, 0.05, 0.1, 0.2, 0.35), 60
ARMS = {f"weight{w}": Arm(option=f"weight={w}", loss=OWN) for w in (1, 3, 5)}
ARMS[HARD] = Arm(option=f"budget={BUDGET:g}", loss=OWN)
SEEDS = (0, 1, 2)
KEPT = (SELF, "rmse", "open_share", "open_max")  # and enrichments: the rows that are kept in RESULTS
RESULTS = Path(__file__).parent / "results" / "a07" / "masks.parquet"
CAUTIONS = (
    "Small networks at 96x128, a few minutes of training for a mask; two architectures are no families.",
    "Three trainings of a generator from one start say how much its training scatters, no more.",
    "Removed pixels have one colour, the mean: more pixels can leave a larger error; other budgets may say otherwise.",
    "Hard masks take the pixels inside the protocol's crop first; generators were trained without it.",
    "A mask searched for on one image follows the network's gradient: its pixels may steer the network, not inform it.",
)


def main(
    quick: bool = False,
    root: str | Path | None = None,
    out: str | Path | None = None,
    *,
    train: bool = False,
    results: str | Path | None = None,
    figures: str | Path | None = None,
    n: int = 100,
) -> dict[str, Any]:
    """Train and measure what is missing (`train`), estimate, draw and judge.

    Args:
        quick: tiny networks on a few scenes, into a temporary folder by default; everything is trained and measured.
        root: folder of NYU Depth v2, to train and measure on.
        out: folder of trainings and runs (default out/a07); the gallery of photographs is drawn there.
        train: train the generators that are not there and measure all.
        results: file of the measurements (default analyses/results/a07/masks.parquet; beside the runs when quick).
        figures: folder of the figures (default figures/; beside the runs when quick).
        n: test images.

    Returns:
        found (estimates), verdict (sentences), figures (paths).

    Raises:
        ValueError: if photographs are to be measured without a `root`.
        FileNotFoundError: if nothing was measured yet and `train` is off.
    """
    out, figures = folders("a07", out, figures, quick=quick)
    results = Path(results) if results else out / "masks.parquet" if quick else RESULTS
    n_boot = 500 if quick else 10_000
    paths = []
    if train or quick:
        source = _measured(root, out, quick=quick, n=n, n_boot=n_boot)
        rows = source.probe("learned_mask")
        kept = rows["metric"].isin(KEPT) | rows["metric"].str.startswith("enrichment@")
        write_part(rows[kept], results)
        paths = figure.draw_gallery(source)
    if not results.is_file():
        raise FileNotFoundError(f"Expected measurements at {results}, but found none; run the study with --train.")
    found = estimate(read_table(results), n_boot=n_boot)
    sentences = verdict(found)
    paths += figure.draw(found, figures)
    conclude(sentences, paths)
    return {"found": found, "verdict": sentences, "figures": paths}


def make_design(root: str | Path | None, *, quick: bool, n: int) -> tuple[Design, Mapping[str, str], Dataset]:
    """The trainings, the networks under study and the images that they are tried on."""
    if quick:
        scenes = {"kind": "rooms", "size": [32, 32]}
        networks = {"convnext": "timm:test_convnext?size=32x32", "pvt": "timm:test_vit?size=32x32"}
        recipe = Recipe(
            dataset="scenes", train={"split": "train", "n": 8, **scenes}, val={"split": "val", "n": 2, **scenes},
            steps=2, batch_size=4, val_every=2, loss=OWN,
        )  # fmt: skip
        test = {"split": "test", "n": 4, "batch_size": 4, **scenes}
        data = load_dataset("scenes", **test)
    else:
        fields = RECIPES["nyu-masks"]()
        fields["train"] = {**fields["train"], "root": str(root)}
        networks, recipe = NETWORKS, Recipe(**fields | {"precision": "bf16-mixed"})
        test = {"split": "test", "root": str(root), "n": n}
        data = matched_to(load_dataset("nyu", root=root, n=n, batch_size=8), MATCHED)
    body = {"conv": "timm:test_convnext", "transformer": "timm:test_vit"} if quick else {b: b for b in BODIES}
    masked = {f"{k}_{b}": _masked(body[b], name) for k, name in networks.items() for b in BODIES}
    protocol = protocol_of("scenes" if quick else "nyu")
    return Design(networks=masked, arms=ARMS, recipe=recipe, test=test, plans={"error": protocol}), networks, data


def _masked(body: str, network: str) -> str:
    return f"mask:{body}?of={network.replace('?', '%3F').replace('&', '%26')}"


def cells_of(design: Design, seeds: Sequence[int]) -> list[Cell]:
    """All trainings: soft and hard masks with every seed, other weights and the other body with the first."""
    main = [Cell(f"{k}_{BODIES[0]}", arm, seed) for seed in seeds for arm in (SOFT, HARD) for k in NETWORKS]
    other = [Cell(f"{k}_{BODIES[1]}", SOFT, seeds[0]) for k in NETWORKS]
    lighter = [Cell(f"{k}_{BODIES[0]}", a, seeds[0]) for a in design.arms if a not in (SOFT, HARD) for k in NETWORKS]
    return [*main, *other, *lighter]


def _measured(root: str | Path | None, out: Path, *, quick: bool, n: int, n_boot: int) -> Source:
    """Train what is missing, and try every generator's masks on every network."""
    if root is None and not quick:
        raise ValueError("Expected the folder of NYU Depth v2 as --root or in $DEPTHPROBE_NYU, but got none.")
    design, networks, data = make_design(root, quick=quick, n=n)
    cells = cells_of(design, SEEDS[:2] if quick else SEEDS)
    factorial.make(design, cells, out / "trained", out / "work")
    plan = PROBES.facts("learned_mask")["plan"](
        protocol=design.plans["error"], generators=[str(out / "work" / cell.stem) for cell in cells],
        steps=2 if quick else STEPS, searched=(BUDGET,), budgets=BUDGETS, controls=CONTROLS,
    )  # fmt: skip
    plans = {"error": design.plans["error"], "learned_mask": plan}
    return measure(list(networks.values()), plans, data, out / "run", n_boot=n_boot, title="Learned masks")


def verdict(found: Found) -> list[str]:
    """The endpoints in sentences, what soft masks are worth, how trainings scatter, and what this cannot show."""
    said = [
        f"{row['role']}, {display_name(row['model'])}, {100 * BUDGET:g} % of the pixels | {_against(row)}"
        for _, row in found.pairs.sort_values("role", ascending=False, kind="stable").iterrows()
    ]
    for (model, generator), part in found.masks.groupby(["model", "generator"]):
        said.append(f"{display_name(model)}, {generator} | {_worth(part)}")
    return [*said, *(f"caution | {caution}" for caution in CAUTIONS)]


def _against(row: pd.Series) -> str:
    words = {"better": "better than", "worse": "worse than", "equivalent": "no noticeable difference to",
             "undecided": "undecided against"}  # fmt: skip
    return (
        f"{row['b']}: {words[row['verdict']]} {row['a'].replace('_', ' ')}, {SELF} {row['mean_b']:.3g} m against "
        f"{row['mean_a']:.3g} m, {change(row)}; {row['relative_detectable']:.0f} % would have been found "
        f"(n = {row['n']} images)."
    )


def _worth(part: pd.DataFrame) -> str:
    at = part.set_index(["factor2", "metric"])
    share, most = at.loc[("soft", "open_share")], at.loc[("soft", "open_max"), "estimate"]
    kinds = ", ".join(f"{kind} {_ranged(at.loc[(kind, SELF)])} m" for kind in ("soft", "binarised", "uniform"))
    truth = ", ".join(f"{kind} {at.loc[(kind, 'rmse'), 'estimate']:.3g} m" for kind in ("soft", "binarised"))
    return (
        f"open {_ranged(share)} of the image (largest value {most:.2f}); {SELF} {kinds}; rmse against the truth "
        f"{truth} ({_made(part['generator'].iloc[0], int(share['trainings']))})."
    )


def _made(generator: str, trainings: int) -> str:
    if generator == SEARCHED:
        return "no training"
    return f"{trainings} training{'s' * (trainings > 1)}"


def _ranged(row: pd.Series) -> str:
    several = f" ({row['least']:.3g} to {row['most']:.3g})" if row["trainings"] > 1 else ""
    return f"{row['estimate']:.3g}{several}"


if __name__ == "__main__":
    parser = command(__doc__, "a07", quick="tiny networks on scenes, a minute")
    parser.add_argument("--train", action="store_true", help="train what is missing, and measure")
    parser.add_argument("--root", default=NYU, help="folder of NYU Depth v2 (default: $DEPTHPROBE_NYU)")
    parser.add_argument("--results", help="file of the measurements (default analyses/results/a07/masks.parquet)")
    parser.add_argument("--n", type=int, default=100, help="test images (default %(default)s)")
    main(**vars(parser.parse_args()))
