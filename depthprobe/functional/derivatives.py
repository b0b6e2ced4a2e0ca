"""Derivatives of maps as small kernels: the gradient, the Laplacian and the gradient of the Laplacian.

Convention: kernels are correlated with the map, as everywhere in torch; x grows to the right and y downwards; units are
per pixel. They are exact on polynomials up to the third degree, those of order 1 up to the second.

| order | components | on smooth maps | kernel |
|---|---|---|---|
| 1 | two: x, y | d/dx, d/dy | central difference, 3x3 |
| 2 | one | -3 (d2/dx2 + d2/dy2) | LAPLACIAN, 3x3 |
| 3 | two: x, y | d/dx, d/dy of the component of order 2 | central difference of LAPLACIAN, 5x5 |
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.checks import check_one_of

LAPLACIAN = ((-1.0, -1.0, -1.0), (-1.0, 8.0, -1.0), (-1.0, -1.0, -1.0))
COMPONENTS = {1: 2, 2: 1, 3: 2}
PADDINGS = {"replicate": "replicate", "reflect": "reflect", "zeros": "constant"}


def derivative_kernels(orders: Sequence[int]) -> list[Tensor]:
    """One kernel (k,k) per component of the derivatives of `orders`, lowest order first, x before y.

    Raises:
        ValueError: unless `orders` are some of 1, 2 and 3, each once.
    """
    if not orders or len(set(orders)) < len(orders) or not set(orders) <= set(COMPONENTS):
        raise ValueError(f"Expected `orders` to be some of {tuple(COMPONENTS)}, each once, but got {tuple(orders)}.")
    along_x = torch.tensor([[0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]])
    second = torch.tensor(LAPLACIAN)
    wide = F.pad(second, (1, 1, 1, 1))
    third = (wide.roll(1, 1) - wide.roll(-1, 1)) / 2  # the Laplacian one pixel to the right minus one to the left
    components = {1: [along_x, along_x.T], 2: [second], 3: [third, third.T]}
    return [kernel.clone() for order in sorted(orders) for kernel in components[order]]


def extend(x: Tensor, width: int, padding: str) -> Tensor:
    """Maps (B,C,H,W) with `width` more pixels on each side; `padding` is replicate, reflect or zeros.

    Only `replicate` keeps every derivative of a constant map 0; zeros draw an edge around the map.

    Raises:
        ValueError: if `padding` is none of these.
    """
    check_one_of("padding", padding, PADDINGS)
    return F.pad(x, (width, width, width, width), mode=PADDINGS[padding])
