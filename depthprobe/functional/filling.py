"""What replaces removed pixels; a masked image is out of distribution, so use more than one fill.

A new fill is one decorated function `(image, keep, seeds, mean) -> image (B,3,H,W)`; its fact `reads` says what it
takes from the image: "nothing", "kept" (kept pixels only) or "image" (statistics of the whole image).
"""

from depthprobe.functional import filling_interpolation, filling_simple
from depthprobe.functional.filling_core import FILLS, IMAGENET_MEAN, fill_pixels

__all__ = ["FILLS", "IMAGENET_MEAN", "fill_pixels", "filling_interpolation", "filling_simple"]
