"""A made-up audit with planted answers: a network of neither family beside two CNNs and two Transformers."""

import json

import numpy as np
import pandas as pd
import report_tables as planted

from depthprobe.schema import COLUMNS, rows

SUBJECT = "py:mine:net"
FAMILIES = {
    SUBJECT: "hybrid",
    "zoo:convnext": "cnn",
    "zoo:efficientnet": "cnn",
    "zoo:pvt": "transformer",
    "zoo:swin": "transformer",
}
REFERENCES = [name for name in FAMILIES if name != SUBJECT]
ORDERS = ("random", "texture", "image_edges")
PLANTED = {  # (probe, metric, factor, level): unit, better, the subject's mean, those of CNNs, those of Transformers
    ("continuity", "grad_mae_smooth", "", np.nan): ("ln/px", "lower", 0.010, (0.010, 0.010), (0.020, 0.021)),
    ("continuity", "grad_mae_edge", "", np.nan): ("ln/px", "lower", 0.300, (0.20, 0.21), (0.20, 0.21)),
    ("texture", "abs_rel@self", "texture_swap", 1.0): ("1", "lower", 0.30, (0.10, 0.11), (0.30, 0.31)),
    ("texture", "abs_rel@self", "patch_shuffle", 4.0): ("1", "lower", 0.50, (0.40, 0.40), (0.40, 0.40)),
    ("context", "abs_rel@self", "visible", 4.0): ("1", "lower", 0.60, (0.30, 0.30), (0.60, 0.60)),
    ("context", "abs_rel@self", "visible", 16.0): ("1", "lower", 0.40, (0.20, 0.20), (0.40, 0.40)),
    ("receptive_field", "erf_radius", "radius", 0.9): ("px", "none", 40.0, (30.0, 30.0), (50.0, 50.0)),
    ("receptive_field", "canvas_side", "height", np.nan): ("px", "none", 24.0, (24.0, 24.0), (24.0, 24.0)),
    ("receptive_field", "canvas_side", "width", np.nan): ("px", "none", 32.0, (32.0, 32.0), (32.0, 32.0)),
    ("cost", "parameters", "", np.nan): ("1", "lower", 4_200_000.0, (3e6, 3e6), (4e6, 4e6)),
    ("cost", "latency", "", np.nan): ("ms", "lower", 12.0, (10.0, 10.0), (20.0, 20.0)),
}
FITS = {"metric_depth": "none", "scale_depth": "median", "affine_depth": "scale_shift", "affine_disparity": "disparity"}
WELL = {  # metric, factor -> value of a network that behaves as declared
    ("nan_share", ""): 0.0, ("nonpositive_share", ""): 0.0, ("spread", ""): 0.4, ("out_of_range_share", ""): 0.0,
    ("repeat_difference", ""): 0.0, ("batch_difference", ""): 1e-6, ("train_difference", ""): 0.0, ("scale", ""): 1.02,
    ("kind_error", "metric_depth"): 0.15, ("kind_error", "scale_depth"): 0.14, ("kind_error", "affine_depth"): 0.11,
    ("kind_error", "affine_disparity"): 0.12,
}  # fmt: skip


def make_audit(n=24, *, conduct=None, subject=SUBJECT, sparse=True, error=0.0, seed=0):
    """Rows of all probes; `conduct` replaces entries of WELL, `error` is added to the subject's abs_rel."""
    table = planted.make_table(n, FAMILIES, sparse=sparse, seed=seed)
    spare = (table["probe"] == "sparse") & (table["metric"].str.startswith("delta1") | ~table["factor"].isin(ORDERS))
    table = table[~spare].reset_index(drop=True)
    mine = (table["model"] == SUBJECT) & (table["probe"] == "error") & (table["metric"] == "abs_rel")
    table.loc[mine, "value"] = table.loc[mine, "value"] - 0.1 + error
    rng, sample = np.random.default_rng(seed), table["sample"].unique()
    groups = dict(zip(table["sample"], table["group"], strict=True))
    hard, parts = rng.normal(0, 0.02, len(sample)), [table]
    for (probe, metric, factor, level), (unit, better, *means) in PLANTED.items():
        exact = probe == "cost" or metric == "canvas_side"
        for (model, family), mean in zip(FAMILIES.items(), (means[0], *means[1], *means[2]), strict=True):
            noise = 0 if exact else hard + rng.normal(0, 0.02, len(sample))
            found = rows(sample, metric, mean * (1 + noise + np.zeros(len(sample))), factor=factor, level=level)
            facts = {"model": model, "family": family, "probe": probe, "plan": f"{probe:.4}0000"}
            parts.append(found.assign(unit=unit, better=better, **facts))
    for (metric, factor), mean in {**WELL, **(conduct or {})}.items():
        noise = rng.normal(0, 0.02, len(sample))
        found = rows(sample, metric, mean * (1 + noise), factor=factor)
        facts = {"model": SUBJECT, "family": FAMILIES[SUBJECT], "probe": "conduct", "plan": "c0c0c0c0"}
        parts.append(found.assign(unit="1", better="none", **facts))
    every = pd.concat(parts, ignore_index=True)
    every = every.assign(dataset="scenes", seed=0, tag="planted", group=every["sample"].map(groups))
    return every.assign(model=every["model"].replace(SUBJECT, subject))[COLUMNS]


def write_audit(
    out, table=None, *, subject=SUBJECT, output="metric_depth", quick=False, training=None, maps=2, fits=FITS,
    **planted_as,
):  # fmt: skip
    """The audit on disk, as `depthprobe audit` leaves it; `fits`: the protocol's alignment by output kind."""
    table = make_audit(subject=subject, **planted_as) if table is None else table
    side = planted.make_sidecar()
    card = {"tag": "planted", "size": [24, 32], "parameters": 4_200_000, "output": "metric_depth"}
    names = {name.replace(SUBJECT, subject): family for name, family in FAMILIES.items()}
    side["models"] = [{**card, "name": name, "family": family} for name, family in names.items()]
    side["models"][0]["output"] = output
    side["protocols"][0]["alignment"] = [list(pair) for pair in fits.items()]
    side["command"] = ["depthprobe", "audit", subject, "--against", "zoo"]
    planted.write_run(out, table, side, maps=0)
    if maps:
        planted.write_maps(out / "maps", table[table["model"] == subject], maps)
    about = {"format": "depthprobe-audit", "version": 1, "subject": subject, "references": REFERENCES, "quick": quick,
             "training": training}  # fmt: skip
    (out / "audit.json").write_text(json.dumps(about))
    return out
