"""Study 05: the mean effective receptive field of the pixel in the middle of the image, as a picture."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch.nn.functional import avg_pool2d

from analyses.context_rows import SHARE
from depthprobe import plots, stats
from depthprobe.data import Dataset
from depthprobe.functional.receptive import distance_profile, erf_radius, input_energy
from depthprobe.models import DepthModel
from depthprobe.models.hooks import evaluating
from depthprobe.plots.theme import display_name
from depthprobe.plots.words import with_interval
from depthprobe.report.source import Source

BLOCK = 4  # pixels along each side of what is drawn as one
FLOOR = 0.01  # of uniform density: what is drawn as nothing


def names_of(models: Iterable[str]) -> dict[str, str]:
    """What a reader sees for networks: without the scheme, and without a tag that all of them have."""
    shown = {model: display_name(model) for model in models}
    tags = {name.partition(".")[2] for name in shown.values()}
    return {m: name.partition(".")[0] for m, name in shown.items()} if len(tags) == 1 else shown


def capital(text: str) -> str:
    """The text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def size_of(source: Source) -> tuple[int, int]:
    """Height and width of the canvas that the networks of a run read."""
    sides = source.probe("receptive_field").query("metric == 'canvas_side'").groupby("factor")["value"].first()
    return int(sides["height"]), int(sides["width"])


def each(rows: pd.DataFrame, scale: float = 1.0) -> str:
    """`convnext 12.1 [11.8, 12.4]; pvt ...`: each network's estimate and interval."""
    rows = rows.assign(**{c: scale * rows[c] for c in ("estimate", "low", "high")}).sort_values(["family", "model"])
    names = names_of(rows["model"])
    return "; ".join(f"{names[r['model']]} {with_interval(r)}" for _, r in rows.iterrows())


def anywhere(size: tuple[int, int]) -> np.ndarray:
    """The share (n,h,w) of an image's pixels within each whole distance of each pixel.

    Convention: size (h,w), n = max(h,w), square windows cut at the border: the most even field that there can be.
    """
    radius = np.arange(max(size))[:, None]
    down, across = (
        (np.minimum(np.arange(n) + radius, n - 1) - np.maximum(np.arange(n) - radius, 0) + 1) / n for n in size
    )
    return np.asarray(down[:, :, None] * across[:, None, :])


def fields(models: Sequence[DepthModel], dataset: Dataset, *, n_boot: int) -> pd.DataFrame:
    """The density of the receptive field of the middle pixel by place, the mean over images, and its radius.

    Returns:
        model, family, y, x (of blocks of BLOCK pixels, in pixels of the canvas), density (1: as if every pixel of the
        canvas counted alike), estimate, low, high, n, groups, seeds, unit, better (the radius of SHARE of the field).
    """
    found = []
    for model in models:
        density, radii = [], []
        for batch in dataset:
            image = model.canvas(batch.image)
            high, wide = image.shape[-2:]
            middle = torch.full((len(batch), 1), high // 2 * wide + wide // 2)
            with evaluating(model):
                energy = input_energy(model, image, middle)
            radius = erf_radius(distance_profile(energy, middle), SHARE)[:, 0]
            radii.append(pd.DataFrame({"sample": batch.sample, "group": batch.group, "value": radius.tolist()}))
            density.append(high * wide * energy / energy.sum((-2, -1), keepdim=True))
        mean = avg_pool2d(torch.cat(density).nanmean(0), BLOCK)[0]
        y, x = np.indices(mean.shape)
        place = pd.DataFrame({"y": BLOCK * y.ravel(), "x": BLOCK * x.ravel(), "density": mean.flatten().numpy()})
        facts = {"model": model.card.name, "family": model.card.family, "seed": 0, "unit": "px", "better": "none"}
        rows = pd.concat(radii, ignore_index=True).assign(**facts)
        found.append(place.merge(stats.summarise(rows, ["model", "family"], n_boot=n_boot), how="cross"))
    return pd.concat(found, ignore_index=True)


def draw(frame: pd.DataFrame, name: str) -> tuple[Figure, pd.DataFrame]:
    """The mean field of every network, and the square that holds SHARE of it in the mean image."""
    norm, size = LogNorm(FLOOR, max(10 * FLOOR, frame["density"].max())), (frame["y"].max(), frame["x"].max())
    high, wide = (int(n) + BLOCK for n in size)
    drawn: list[Axes] = []

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        grid = part.pivot(index="y", columns="x", values="density").to_numpy()
        ax.imshow(grid.clip(FLOOR), norm=norm, cmap="inferno", extent=(0, wide, high, 0), interpolation="nearest")
        radius = part["estimate"].iloc[0]
        corner, side = (wide // 2 + 0.5 - radius - 0.5, high // 2 + 0.5 - radius - 0.5), 2 * radius + 1
        ax.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="white", linewidth=1.0, linestyle="--"))
        ax.set_xlim(0, wide)
        ax.set_ylim(high, 0)
        ax.set_xticks([0, wide // 2, wide])
        ax.set_yticks([0, high // 2, high])
        ax.set_xlabel("column (px)")
        ax.set_ylabel("row (px)")
        ax.grid(visible=False)
        drawn.append(ax)

    radii = frame.drop_duplicates("model").sort_values(["family", "model"])
    figure = plots.small_multiples(frame, panel, panel="model", order=radii["model"].tolist(), columns=4, height=1.05,
                                   names=names_of(radii["model"]))  # fmt: skip
    with plots.theme():
        bar = figure.colorbar(drawn[0].images[0], ax=drawn, shrink=0.8, pad=0.01)
        bar.set_label("weight of a pixel\n(1: all alike)")
    title = f"{100 * SHARE:g} % of what moves the depth in the middle of the image lies within (px): {each(radii)}"
    caption = (
        f"{name} · the mean over images of the squared gradient of the middle pixel's depth by the image, blocks of "
        f"{BLOCK}×{BLOCK} px; dashed: the square of that radius · {plots.caption_line(radii)}"
    )
    return plots.describe_figure(figure, title=title, caption=caption), frame
