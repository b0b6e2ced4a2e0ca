"""Statistics: frame in, frame out; whole groups resampled, nothing averaged silently."""

from depthprobe.stats.adjust import benjamini_hochberg, holm
from depthprobe.stats.axes import label, translate
from depthprobe.stats.curves import Curve, area, curve, curve_difference
from depthprobe.stats.paired import compare
from depthprobe.stats.summary import summarise

__all__ = [
    "Curve", "area", "benjamini_hochberg", "compare", "curve", "curve_difference", "holm", "label", "summarise",
    "translate",
]  # fmt: skip
