"""Selectors that look at the image alone: superpixels, edges, texture."""

import numpy as np
import torch
from skimage.feature import canny as skimage_canny
from skimage.segmentation import slic
from torch import Tensor

from depthprobe.functional.filters import box_mean, dilate, distance_to, edge_strength, gaussian_blur, luminance
from depthprobe.functional.selection_core import SELECTORS, SelectorInput, permutations


def edges_then_distance(edge: Tensor, strength: Tensor) -> Tensor:
    """Score: edge pixels first, by strength; then the others by distance to the nearest edge (in pixels, ascending).

    Convention: edge (B,1,H,W) bool, strength (B,1,H,W) >= 0. An image without edges is ordered by strength alone.
    """
    distance = distance_to(edge)
    has_edge = edge.flatten(1).any(1).view(-1, 1, 1, 1)
    return torch.where(edge | ~has_edge, strength, -distance)


@SELECTORS.register("superpixel", needs=(), source="Achanta et al. 2012 (SLIC, scikit-image)")
def superpixel(view: SelectorInput, *, segments: int = 150, compactness: float = 10.0) -> Tensor:
    """Whole superpixels in random order: SLIC with about `segments` segments. Of the last one random pixels."""
    out = []
    for one, seed in zip(view.image, view.seeds, strict=True):
        pixels = np.ascontiguousarray(one.detach().permute(1, 2, 0).cpu().numpy())
        label = slic(pixels, n_segments=segments, compactness=compactness, start_label=0, channel_axis=-1)
        order = permutations([seed], int(label.max()) + 1, salt="superpixel")[0]
        out.append(order[torch.from_numpy(label.astype(np.int64))])
    return torch.stack(out).unsqueeze(1).to(view.image.device)


@SELECTORS.register("image_edges", needs=(), source="Sobel magnitude")
def image_edges(view: SelectorInput) -> Tensor:
    """Pixels by Sobel magnitude of the luminance."""
    return edge_strength(view.image)


@SELECTORS.register("canny", needs=(), source="Canny 1986 (scikit-image)")
def canny(view: SelectorInput, *, sigma: float = 1.0) -> Tensor:
    """Canny edges (scikit-image's default thresholds 0.1, 0.2) by Sobel magnitude, then by distance to them."""
    gray = luminance(view.image)
    found = [skimage_canny(one[0].detach().cpu().numpy(), sigma=sigma) for one in gray]
    edge = torch.from_numpy(np.stack(found)).unsqueeze(1).to(view.image.device)
    return edges_then_distance(edge, edge_strength(view.image))


def image_contours(image: Tensor, *, coarse: float = 2.5) -> Tensor:
    """Pixels (B,1,H,W), bool, within 3 px of a contour of (B,3,H,W).

    Convention: a contour = a pixel among the 10 % strongest Sobel magnitudes of the image blurred by `coarse` px
    (texture vanishes in that blur, contours stay), if more than 0.005 per pixel.
    """
    strength = edge_strength(gaussian_blur(image, coarse))
    limit = strength.flatten(1).quantile(0.9, dim=1).view(-1, 1, 1, 1)
    return dilate((strength >= limit) & (strength > 0.005), 3)


def texture_energy(image: Tensor, *, fine: float = 1.0, coarse: float = 2.5, width: int = 9) -> Tensor:
    """Local variance of fine detail, contours removed: (B,1,H,W) from (B,3,H,W), in squared intensity.

    Convention: detail = luminance minus its Gaussian blur (`fine` px). The energy is the mean squared detail over the
    pixels of a width x width window that lie on no contour (`image_contours`); contour pixels get the median energy of
    the others, being neither texture nor smooth (a choice of ours).
    """
    gray = luminance(image)
    detail = gray - gaussian_blur(gray, fine)
    edge = image_contours(image, coarse=coarse)
    energy = box_mean(detail.square() * ~edge, width) / box_mean((~edge).to(gray), width).clamp_min(1e-6)
    middle = energy.masked_fill(edge, float("nan")).flatten(1).nanmedian(dim=1).values.nan_to_num()
    return torch.where(edge, middle.view(-1, 1, 1, 1), energy)


@SELECTORS.register("texture", needs=(), source="local variance after removing edges")
def texture(view: SelectorInput) -> Tensor:
    """Pixels by local variance of fine detail, contours removed: most textured first."""
    return texture_energy(view.image)


@SELECTORS.register("smooth", needs=(), source="local variance after removing edges")
def smooth(view: SelectorInput) -> Tensor:
    """The reverse of `texture`: least textured first."""
    return -texture_energy(view.image)
