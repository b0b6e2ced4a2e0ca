"""Study 05: figures of what is inside the networks, the reach of attention and layers that are alike."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.context_fields import capital, names_of, size_of
from depthprobe import plots
from depthprobe.plots.theme import WIDTH
from depthprobe.plots.words import with_interval
from depthprobe.report.source import Source

if TYPE_CHECKING:
    from analyses.a05_context import Found

LAYERS = ["model", "family", "layer", "place", "other_model", "other_family", "other_layer", "other_place"]


def attention(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """Mean attention distance by layer, of all heads and of each, beside that of uniform attention."""
    names = {"attention_distance": "attention", "attention_distance@uniform": "uniform"}
    style = {m: {"color": c, "marker": k, "linestyle": line, "markersize": 4} for m, c, k, line in
             (("attention_distance", plots.FAMILY_COLOURS["transformer"], "^", "-"),
              ("attention_distance@uniform", plots.FAMILY_COLOURS["oracle"], "d", "--"))}  # fmt: skip

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        heads = part[part["factor"] == "head"]
        ax.plot(heads["depth"], heads["estimate"], ".", color="#B0B0B0", markersize=3, zorder=1)
        whole = part[part["factor"] == ""]
        plots.draw_curves(
            whole, ax, x="depth", line="metric", style=style, names=names, log=False, direct=last, axes={}
        )
        ax.set_xlabel("attention layer, in the order of the network")
        ax.set_xticks(sorted(part["depth"].unique()))
        ax.set_ylabel("mean attention distance (px)")
        ax.set_ylim(bottom=0)

    figure = plots.small_multiples(one.attention, panel, panel="model", columns=2, height=2.3, share_x=False,
                                   names=names_of(one.attention["model"].unique()))  # fmt: skip
    caption = (
        f"{name} · dots: single heads; uniform: what the layer's windows and keys alone would give · Transformers only "
        f"· canvas of {'×'.join(map(str, size_of(source)))} px · {plots.caption_line(one.attention, source.side)}"
    )
    return plots.describe_figure(figure, title=capital(attention_sentence(one)), caption=caption), one.attention


def attention_sentence(one: "Found") -> str:
    """In how many layers attention is nearer or farther than uniform attention would be, for every Transformer."""
    whole = one.attention[one.attention["factor"] == ""]
    said, names = [], names_of(whole["model"].unique())
    for model, part in whole.groupby("model"):
        own, uniform = (part[part["metric"] == f"attention_distance{s}"].set_index("depth") for s in ("", "@uniform"))
        near, far = (own["high"] < uniform["estimate"]).sum(), (own["low"] > uniform["estimate"]).sum()
        means = f"mean over layers {own['estimate'].mean():.1f} px against {uniform['estimate'].mean():.1f}"
        said.append(f"in {near} of {len(own)} layers of {names[model]}, farther in {far} ({means})")
    return f"attention reaches less far than uniform attention over the same keys {'; '.join(said)}"


def layers(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """Linear CKA of every two layers of all networks."""
    keys = one.layers[["model", "family", "layer", "place"]].drop_duplicates()
    keys = keys.sort_values(["family", "model", "place"], ascending=[True, True, False], ignore_index=True)
    at = {(m, k): i for i, (m, k) in enumerate(zip(keys["model"], keys["layer"], strict=True))}
    grid = np.full((len(at), len(at)), np.nan)
    for _, r in one.layers.iterrows():
        i, j = at[r["model"], r["layer"]], at[r["other_model"], r["other_layer"]]
        grid[i, j] = grid[j, i] = r["estimate"]
    starts = keys.groupby("model", sort=False).head(1).index.to_numpy()
    middles = keys.reset_index().groupby("model", sort=False)["index"].mean()
    with plots.theme():
        figure = Figure(figsize=(WIDTH * 0.75, WIDTH * 0.62), layout="constrained")
        ax = figure.subplots()
        image = ax.imshow(grid, cmap="viridis", vmin=0, vmax=1)
        for edge in starts[1:] - 0.5:
            ax.axhline(edge, color="white", linewidth=1.5)
            ax.axvline(edge, color="white", linewidth=1.5)
        labels = list(names_of(middles.index).values())
        ax.set_xticks(middles, labels)
        ax.set_yticks(middles, labels, rotation=90, va="center")
        ax.grid(visible=False)
        figure.colorbar(image, ax=ax, label="linear CKA (1)")
    caption = (
        f"{name} · per network its layers from the first of the encoder (above, left) to the last of the decoder · the "
        f"mean over images of unbiased linear CKA between places of one image "
        f"· {plots.caption_line(one.layers, source.side)}"
    )
    title = capital(alike_sentence(one)) if len(one.alike) else "How alike the layers of the networks are"
    return plots.describe_figure(figure, title=title, caption=caption), one.layers


def alike_sentence(one: "Found") -> str:
    """Whether layers at one place are more alike within families than across them."""
    rows = one.alike.set_index("metric")
    within, across, gap = (rows.loc[key] for key in ("within", "across", "difference"))
    word = "more" if gap["low"] > 0 else "less" if gap["high"] < 0 else "neither more nor less"
    return (
        f"layers of these networks at the same place are {word} alike within a family (CKA "
        f"{with_interval(within)}) than across families "
        f"({with_interval(across)}; difference {with_interval(gap, sign=True)})"
    )
