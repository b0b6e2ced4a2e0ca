"""Statistics: frame in, frame out; whole groups resampled, nothing averaged silently."""

from depthprobe.stats.axes import label, translate
from depthprobe.stats.curves import Curve, area, curve, curve_difference
from depthprobe.stats.detection import power
from depthprobe.stats.families import family_contrast
from depthprobe.stats.leaning import leaning
from depthprobe.stats.multiplicity import adjust, benjamini_hochberg, holm
from depthprobe.stats.paired import compare
from depthprobe.stats.ranking import Ranks, rank_agreement, ranks
from depthprobe.stats.summary import summarise

__all__ = [
    "Curve", "Ranks", "adjust", "area", "benjamini_hochberg", "compare", "curve", "curve_difference", "family_contrast",
    "holm", "label", "leaning", "power", "rank_agreement", "ranks", "summarise", "translate",
]  # fmt: skip
