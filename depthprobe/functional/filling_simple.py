"""Fills that need no solver: one colour, noise, blur, shuffled pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from depthprobe.functional.filling_core import FILLS, flat
from depthprobe.functional.filters import gaussian_blur
from depthprobe.functional.selection_core import generator, permutations


@FILLS.register("mean", reads="nothing", source="Hu, Zhang, Okatani 2019 (0 in normalised space)")
def mean_colour(image: Tensor, keep: Tensor, seeds: Sequence[int], mean: Sequence[float]) -> Tensor:
    """The colour that counts as no information: 0 in normalised space where the network normalises by a mean.

    Convention: probes give `ModelCard.fill`, which is ImageNet's mean colour for a network that subtracts no mean; not
    necessarily the mean of the network's training images.
    """
    return flat(image, mean)


@FILLS.register("black", reads="nothing", source="Quantus (pixel flipping)")
def black(image: Tensor, keep: Tensor, seeds: Sequence[int], mean: Sequence[float]) -> Tensor:
    """Black."""
    return flat(image, (0.0, 0.0, 0.0))


@FILLS.register("noise", reads="image", source="matched moments")
def noise(image: Tensor, keep: Tensor, seeds: Sequence[int], mean: Sequence[float]) -> Tensor:
    """White Gaussian noise with each channel's mean and standard deviation in the whole image, clamped to [0,1].

    Convention: one noise field per seed, the same for every mask, so that budgets stay nested. The clamp makes the
    deviation slightly smaller than the image's. The whole image counts, also what a protocol's crop leaves out.
    """
    drawn = torch.stack([torch.randn(image.shape[1:], generator=generator(seed, "noise")) for seed in seeds])
    spread, centre = torch.std_mean(image, dim=(-2, -1), keepdim=True)
    return (centre + spread * drawn.to(image)).clamp(0, 1)


@FILLS.register("blur", reads="kept", source="Knutsson & Westin 1993 (normalised convolution)")
def blur(image: Tensor, keep: Tensor, seeds: Sequence[int], mean: Sequence[float]) -> Tensor:
    """A Gaussian average of the kept pixels around, so that nothing of a removed pixel shows through.

    Convention: sigma = 1/20 of the longer side; where hardly any kept pixel is near, the average of all kept pixels
    (the network's mean colour if none is kept).
    """
    weight = keep.to(image.dtype)
    sigma = max(image.shape[-2:]) / 20
    blurred = gaussian_blur(torch.cat([image * weight, weight], 1), sigma)
    count = weight.sum(dim=(-2, -1), keepdim=True)
    overall = (image * weight).sum(dim=(-2, -1), keepdim=True) / count.clamp_min(1)
    overall = torch.where(count > 0, overall, flat(image, mean))
    prior = 1e-3
    return ((blurred[:, :3] + prior * overall) / (blurred[:, 3:] + prior)).clamp(0, 1)


@FILLS.register("shuffle", reads="image", source="permutation of pixels")
def shuffle(image: Tensor, keep: Tensor, seeds: Sequence[int], mean: Sequence[float]) -> Tensor:
    """The colours of the image at shuffled places: one permutation per seed, the same for every mask.

    Convention: colours of the whole image, also of what a protocol's crop leaves out (a frame spreads over the image).
    """
    place = permutations(seeds, image[0, 0].numel(), salt="shuffle").to(image.device)
    return image.flatten(2).gather(2, place.unsqueeze(1).expand(-1, 3, -1)).view_as(image)
