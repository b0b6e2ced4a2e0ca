"""Which pixels: selectors rank the pixels of an image, budgets take the top.

A new selector is one decorated function: `@SELECTORS.register("name", needs=(...), source="...")` on a function
`(view: SelectorInput, **options) -> score (B,1,H,W)`, higher = kept earlier; ties are allowed.
"""

from depthprobe.functional import attribution_select, selection_image, selection_regular, selection_truth
from depthprobe.functional.selection_core import (
    SELECTORS,
    SelectorInput,
    keep_top,
    kept_count,
    rank_pixels,
    reverse_rank,
    sample_seeds,
    strict_rank,
)

__all__ = [
    "SELECTORS",
    "SelectorInput",
    "attribution_select",
    "keep_top",
    "kept_count",
    "rank_pixels",
    "reverse_rank",
    "sample_seeds",
    "selection_image",
    "selection_regular",
    "selection_truth",
    "strict_rank",
]
