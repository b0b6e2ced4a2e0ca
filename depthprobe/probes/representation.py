"""Which layers of a network see an image alike, and at which frequencies their features lie?"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.checks import check_range
from depthprobe.data.batch import Batch
from depthprobe.functional.cka import cka, gram, hsic
from depthprobe.functional.feature_spectrum import feature_log_amplitude, profile_levels
from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import evaluating
from depthprobe.models.strides import strides
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.registry import PROBES
from depthprobe.probes.sparse_jobs import Packer

CONTROLS = ("(image)", "(position)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RepresentationPlan:
    """Which layers are compared, on which lattice of places.

    Convention:
        layers: dotted names; empty: those of `model.layers()` that give maps.
        most: at most so many of them, spread evenly from the first to the last.
        grid: (rows, columns) of the places of an image at which all layers are compared: finer maps are averaged,
            coarser ones interpolated.
        batch: images per forward pass (a matter of speed and memory only). An image costs one forward pass.
    """

    layers: tuple[str, ...] = ()
    most: int = 12
    grid: tuple[int, int] = (12, 16)
    batch: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(dict.fromkeys(self.layers)))
        object.__setattr__(self, "grid", tuple(self.grid))
        if len(self.grid) != 2 or min(self.grid) < 2:
            raise ValueError(f"Expected `grid` to be (rows, columns), at least 2 each, but got {self.grid}.")
        check_range("most", self.most, 1, 1000)
        check_range("batch", self.batch, 1, 1e6)


@PROBES.register(
    "representation",
    plan=RepresentationPlan,
    axes={"layer": "layer", "factor": "other_layer", "level": "frequency"},
    quick={"most": 4, "grid": (6, 8)},
)
def representation(model: DepthModel, batch: Batch, plan: RepresentationPlan) -> pd.DataFrame:
    """Rows of HSIC and linear CKA for every pair of layers, and of every layer's frequency profile.

    A probe's rows may not depend on how images are batched, so a minibatch of CKA is one image and its examples are the
    places of the grid: do two layers tell the places of an image apart in the same way? What differs between images
    alone does not count. `hsic` of a pair (layer, other layer) is unbiased per image; CKA over a data set is
    mean hsic(a,b) / √(mean hsic(a,a) mean hsic(b,b)), which `functional.cka.linear_cka` also gives for two networks.
    `cka` is that ratio of one image.

    Convention: whole images, whatever a protocol judges. factor = other layer, never before `layer` in the network's
    order. Controls are compared like layers: "(image)", the colours, and "(position)", row and column alone: any two
    smooth maps are somewhat alike, and a pair says something where it is above them. `feature_log_amplitude`, factor
    "": by level = frequency, as a share of the layer's highest.

    Raises:
        ValueError: if a layer is unknown or gives no map, or no layer does.
    """
    names = _chosen(model, batch, plan)

    def look(some: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        image = model.canvas(batch.image[list(some)])
        features = model.features(image, names)
        profiles = {name: feature_log_amplitude(x) for name, x in features.items() if min(x.shape[-2:]) > 1}
        maps = [*(features[name] for name in names), image, _position(image)]
        return hsic(torch.stack([gram(_at(x, plan.grid)) for x in maps], 1)), profiles

    with torch.no_grad(), evaluating(model):
        parts = list(Packer(plan.batch, model.canvas(batch.image[:1])).run(range(len(batch)), look))
    terms = torch.cat([part[0] for part in parts])
    found = list(_pairs((*names, *CONTROLS), terms))
    for name in parts[0][1]:
        found += _profile(name, torch.cat([part[1][name] for part in parts]))
    return frame(batch.sample, found)


def _chosen(model: DepthModel, batch: Batch, plan: RepresentationPlan) -> list[str]:
    names = list(plan.layers or strides(model, batch.image))
    if not names:
        raise ValueError(f"Expected layers of {model.card.name} that give maps, but found none; name some in `layers`.")
    if len(names) <= plan.most:
        return names
    last = max(plan.most - 1, 1)
    return [names[round(k * (len(names) - 1) / last)] for k in range(plan.most)]


def _at(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Features (B,places,C) of a map (B,C,h,w) at the places of a grid."""
    x = x.float()
    if tuple(x.shape[-2:]) != grid:
        x = F.interpolate(x, grid, mode="bilinear", align_corners=False, antialias=True)
    return x.flatten(2).mT


def _position(image: Tensor) -> Tensor:
    """Row and column (B,2,h,w) of every pixel, from -1 to 1."""
    y, x = (torch.linspace(-1, 1, n, device=image.device) for n in image.shape[-2:])
    return torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(len(image), -1, -1, -1)


def _pairs(names: Sequence[str], terms: Tensor) -> Iterator[Measured]:
    """HSIC (B,L,L) and CKA of every pair of layers, each once."""
    ratios = cka(terms)
    for (a, one), (b, other) in itertools.combinations_with_replacement(enumerate(names), 2):
        yield Measured("hsic", terms[:, a, b], layer=one, factor=other)
        yield Measured("cka", ratios[:, a, b], layer=one, factor=other)


def _profile(name: str, amplitude: Tensor) -> Iterator[Measured]:
    """The frequency profile (B,K) of a layer."""
    size = 2 * amplitude.shape[1]
    for k, level in enumerate(profile_levels((size, size))):
        yield Measured("feature_log_amplitude", amplitude[:, k], layer=name, level=level)
