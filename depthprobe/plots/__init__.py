"""Figures: a frame and an optional Axes in, the Axes out; nothing is averaged, loaded or shown here."""

from depthprobe.plots.curves import draw_curves
from depthprobe.plots.forest import draw_forest
from depthprobe.plots.gallery import draw_gallery
from depthprobe.plots.panels import describe_figure, draw_curve_panels, small_multiples
from depthprobe.plots.save import save_figure
from depthprobe.plots.structure import draw_structure
from depthprobe.plots.theme import FAMILY_COLOURS, styles, theme
from depthprobe.plots.words import caption_line, difference_title, ratio_title, value_label

__all__ = [
    "FAMILY_COLOURS", "caption_line", "describe_figure", "difference_title", "draw_curve_panels", "draw_curves",
    "draw_forest", "draw_gallery", "draw_structure", "ratio_title", "save_figure", "small_multiples",
    "styles", "theme", "value_label",
]  # fmt: skip
