"""Writing a figure: vector, picture and the data drawn, byte for byte the same every time."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from depthprobe.plots.theme import figure_of, theme


def save_figure(figure: Figure | Axes, stem: str | Path, frame: pd.DataFrame) -> list[Path]:
    """Write `stem`.pdf, `stem`.png (200 dpi) and `stem`.csv (the frame drawn); returns the three paths.

    Convention: no date and no program version goes into the files, so unchanged data give unchanged files.
    """
    figure = figure if isinstance(figure, Figure) else figure_of(figure)
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("pdf", "png", "csv")]
    with theme():
        nothing = {"Creator": None, "Producer": None, "CreationDate": None}
        figure.savefig(paths[0], metadata=nothing, bbox_inches="tight", pad_inches=0.04)
        figure.savefig(paths[1], metadata={"Software": None}, dpi=200, bbox_inches="tight", pad_inches=0.04)
    frame.to_csv(paths[2], index=False, float_format="%.8g", lineterminator="\n")
    return paths
