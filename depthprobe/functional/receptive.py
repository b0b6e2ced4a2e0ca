"""The effective receptive field: how far away the pixels are that move the depth at one pixel (Luo et al. 2016).

Distances are those of square windows (the larger of the two offsets), as the radii of the probe `context`, so that
what a network could use and what it does use are read on one axis. The paper averages gradients over inputs and calls
receptive what exceeds 4.55 % of the centre; here energy is the squared gradient, image by image, and a share of it
holds for any shape of the field.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from depthprobe.checks import check_gradient, check_range, check_shapes
from depthprobe.functional.terms import METRICS

LUO = "Luo et al. 2016, arXiv:1701.04128"


def input_energy(network: Callable[[Tensor], Tensor], image: Tensor, index: Tensor) -> Tensor:
    """Squared gradient of the output at query pixels with respect to the image, summed over colours.

    Convention: image (B,3,H,W); `network` gives (B,1,H,W) and treats the images of a batch independently, as every
    network in eval mode; index (B,Q) into the H·W output pixels, row by row; returns (B,Q,H,W), float64. One backward
    pass per query, which all images share and queries never do: gradients of two outputs would add up before they are
    squared. Parameters get no gradient.

    Raises:
        ValueError: if shapes do not fit, or the output does not carry a gradient.
    """
    check_shapes(image=(image, "b 3 h w"), index=(index, "b q"))
    with torch.enable_grad():
        seen = image.detach().requires_grad_()
        out = network(seen)
        check_shapes(image=(image, "b 3 h w"), output=(out, "b 1 h w"))
        check_gradient(out)
        asked = out.flatten(1).gather(1, index).sum(0)
        energy = []
        for query in range(len(asked)):
            (gradient,) = torch.autograd.grad(asked[query], seen, retain_graph=query + 1 < len(asked))
            energy.append(gradient.double().square().sum(1))
    return torch.stack(energy, 1)


def distance_profile(energy: Tensor, index: Tensor, lengths: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """The energy at each whole distance from its query: (B,Q,H,W) and (B,Q) -> (B,Q,n).

    Convention: the distance of two pixels is the larger of their offsets in rows and in columns, each times the length
    of a pixel (down, across; an image may be stretched), rounded up; index as `input_energy`; n is one more than the
    longest side, so counted; the image's border cuts the field, and nothing makes up for what lies beyond.
    """
    size = check_shapes(energy=(energy, "b q h w"), index=(index, "b q"))
    rows, columns = (torch.arange(size[k], device=index.device) for k in "hw")
    down = (rows - (index // size["w"])[..., None]).abs()
    across = (columns - (index % size["w"])[..., None]).abs()
    far = torch.maximum(lengths[0] * down[..., :, None], lengths[1] * across[..., None, :])
    distance = (far - 1e-6).ceil().long()
    longest = max(lengths[0] * (size["h"] - 1), lengths[1] * (size["w"] - 1))
    out = energy.new_zeros(size["b"], size["q"], 1 + math.ceil(longest - 1e-6))
    return out.scatter_add_(2, distance.flatten(2), energy.flatten(2))


@METRICS.register("erf_radius", unit="px", better="none", source=LUO, inputs="profile share")
def erf_radius(profile: Tensor, share: float) -> Tensor:
    """The least radius of a square window around the query that holds a share of the energy.

    Convention: profile (B,Q,n) of `distance_profile`, share in (0, 1] (1: the farthest pixel with energy above the
    rounding of float64); returns (B,Q), in pixels of the image given to the network; NaN without energy.
    """
    check_range("share", share, 0, 1, open_low=True)
    held = profile.cumsum(-1)
    total = held[..., -1:]
    radius = (held >= share * total).to(torch.int64).argmax(-1).to(profile.dtype)
    return radius.where(total[..., 0] > 0, torch.nan)


@METRICS.register("erf_beyond", unit="1", better="none", source=LUO, inputs="profile radius")
def erf_beyond(profile: Tensor, radius: int) -> Tensor:
    """The share of the energy outside the square window of a radius around the query.

    Convention: profile (B,Q,n) of `distance_profile`; returns (B,Q); NaN without energy.
    """
    check_range("radius", radius, 0, 1e6)
    total = profile.sum(-1)
    return (profile[..., radius + 1 :].sum(-1) / total).where(total > 0, torch.nan)


@METRICS.register("erf_undefined", unit="1", better="none", source="depthprobe", inputs="profile found")
def erf_undefined(profile: Tensor, found: Tensor) -> Tensor:
    """The share of the queries whose depth no pixel moves, so that they have no receptive field.

    Convention: profile (B,Q,n), found (B,Q) bool, the queries that exist; returns (B,), float64; NaN without any.
    """
    still = (profile.sum(-1) == 0) & found
    return still.sum(1).double() / found.sum(1)


@METRICS.register("canvas_side", unit="px", better="none", source="depthprobe", inputs="image")
def canvas_side(image: Tensor) -> tuple[int, int]:
    """Height and width of the image (B,C,h,w) that the network reads, in which radii are counted."""
    return int(image.shape[-2]), int(image.shape[-1])
