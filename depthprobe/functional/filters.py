"""Small image filters whose result for one image does not depend on the images beside it in the batch."""

import functools

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

LUMINANCE = (0.299, 0.587, 0.114)


def luminance(image: Tensor) -> Tensor:
    """Brightness (B,1,H,W) of an RGB image (B,3,H,W), with the weights of ITU-R BT.601."""
    red, green, blue = image.unbind(1)
    return (LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue).unsqueeze(1)


def sobel(x: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical derivative (B,C,H,W) of (B,C,H,W), in units of x per pixel.

    Convention: Sobel kernels divided by 8, borders replicated. Sums of shifted copies, not a convolution, so that the
    last bit does not depend on the batch.
    """
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    along_x = p[..., 2:] - p[..., :-2]
    along_y = p[..., 2:, :] - p[..., :-2, :]
    dx = (along_x[..., :-2, :] + 2 * along_x[..., 1:-1, :] + along_x[..., 2:, :]) / 8
    dy = (along_y[..., :-2] + 2 * along_y[..., 1:-1] + along_y[..., 2:]) / 8
    return dx, dy


def edge_strength(image: Tensor) -> Tensor:
    """Sobel magnitude (B,1,H,W) of the luminance of (B,3,H,W), in intensity per pixel."""
    dx, dy = sobel(luminance(image))
    return torch.sqrt(dx * dx + dy * dy)


@functools.lru_cache(maxsize=64)
def _smoothing(size: int, sigma: float, width: int) -> np.ndarray:
    """(size, size) matrix that smooths a line: Gaussian of `sigma`, or a box of `width` if that is not 0."""
    radius = width // 2 if width else min(max(1, int(np.ceil(4 * sigma))), 4 * size)
    offset = np.arange(-radius, radius + 1)
    weight = np.ones(len(offset)) if width else np.exp(-(offset**2) / (2 * sigma**2))
    matrix = np.zeros((size, size))
    for step, w in zip(offset, weight / weight.sum(), strict=True):
        place = (np.arange(size) + step) % (2 * size)
        np.add.at(matrix, (np.arange(size), np.minimum(place, 2 * size - 1 - place)), w)
    return matrix


def _separable(x: Tensor, sigma: float, width: int) -> Tensor:
    height, wide = x.shape[-2:]
    rows, cols = (torch.as_tensor(_smoothing(n, sigma, width), dtype=x.dtype, device=x.device) for n in (height, wide))
    flat = x.reshape(-1, height, wide)
    out = torch.bmm(rows.expand(len(flat), -1, -1), flat)
    return torch.bmm(out, cols.T.expand(len(flat), -1, -1)).reshape(x.shape)


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing of (B,C,H,W), `sigma` in pixels (cut at 4 sigma, borders mirrored); 0 changes nothing."""
    return x if sigma == 0 else _separable(x, float(sigma), 0)


def box_mean(x: Tensor, width: int) -> Tensor:
    """Mean of (B,C,H,W) over width x width windows (`width` odd, borders mirrored)."""
    return _separable(x, 0.0, width)


def distance_to(mask: Tensor) -> Tensor:
    """Euclidean distance (B,1,H,W), in pixels, from each pixel to the nearest true pixel of a bool mask (B,1,H,W).

    Convention: float32; where a mask is empty the distance is infinite.
    """
    out = torch.full(mask.shape, float("inf"), dtype=torch.float32)
    for i, one in enumerate(mask[:, 0].cpu().numpy()):
        if one.any():
            out[i, 0] = torch.from_numpy(ndimage.distance_transform_edt(~one)).float()
    return out.to(mask.device)


def dilate(mask: Tensor, radius: int) -> Tensor:
    """A bool mask (B,1,H,W) grown by `radius` pixels in a square neighbourhood."""
    out = mask
    for dim in (-2, -1):
        before, out, n = out, out.clone(), out.shape[dim]
        for step in range(1, min(radius, n - 1) + 1):
            out.narrow(dim, 0, n - step).logical_or_(before.narrow(dim, step, n - step))
            out.narrow(dim, step, n - step).logical_or_(before.narrow(dim, 0, n - step))
    return out


def depth_step(depth: Tensor, valid: Tensor) -> Tensor:
    """Largest |ln depth ratio| (B,1,H,W) of a pixel to its four neighbours; pairs with an invalid pixel count 0."""
    log = torch.where(valid, depth, torch.ones_like(depth)).clamp_min(1e-6).log()
    out = torch.zeros_like(log)
    for dim in (-2, -1):
        n = log.shape[dim] - 1
        pair = valid.narrow(dim, 0, n) & valid.narrow(dim, 1, n)
        step = (log.narrow(dim, 1, n) - log.narrow(dim, 0, n)).abs() * pair
        out.narrow(dim, 0, n).copy_(torch.maximum(out.narrow(dim, 0, n), step))
        out.narrow(dim, 1, n).copy_(torch.maximum(out.narrow(dim, 1, n), step))
    return out
