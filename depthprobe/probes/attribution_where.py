"""Where an attribution lies: on depth edges, on texture, where objects stand, near the horizon, in flat interiors."""

import dataclasses

import torch
from torch import Tensor

from depthprobe.functional.regions import NEARBY, regions
from depthprobe.functional.selection import SELECTORS, SelectorInput
from depthprobe.probes.measured import Measured
from depthprobe.probes.sparse_jobs import Canvas

HORIZON = 0.1
LEAST = 0.01  # of the judged pixels: what a few pixels hold over their share says nothing


@dataclasses.dataclass(frozen=True)
class Places:
    """The judged pixels of a canvas and the regions among them, bool maps (B,1,h,w)."""

    base: Tensor
    regions: dict[str, Tensor]

    @classmethod
    def of(cls, canvas: Canvas) -> "Places":
        """The registered regions, and where the data set knows camera and objects the lines of ground and horizon.

        Convention: `ground_contact` is within NEARBY pixels of where objects stand on something, `horizon` within
        HORIZON of the image's height of the ground's vanishing line; both empty where an image has none.
        """
        base = canvas.valid & canvas.domain
        found = regions(canvas.image, canvas.depth, base)
        reach = {"ground_contact": float(NEARBY), "horizon": HORIZON * canvas.image.shape[-2]}
        view = SelectorInput(
            image=canvas.image, seeds=canvas.seeds, depth=canvas.depth, valid=canvas.valid,
            intrinsics=canvas.intrinsics, maps=canvas.maps,
        )  # fmt: skip
        for name, most in reach.items():
            if set(SELECTORS.facts(name)["needs"]) <= set(view.offers()):
                away = -SELECTORS[name](view)
                known = away.amax((1, 2, 3), keepdim=True) > 0  # all pixels alike: there is no such line
                found[name] = (away <= most) & known & base
        return cls(base, found)

    def measured(self, score: Tensor) -> list[Measured]:
        """Share of the scores (B,1,h,w), >= 0, in each region, and that over the region's share of the pixels.

        Convention: of the judged pixels alone; `enrichment` is 1 for an attribution that is the same everywhere. NaN
        where all scores are 0, and `enrichment` where less than LEAST of an image's pixels lie in such a region.
        """
        weight = score.double() * self.base
        total, count = weight.sum((1, 2, 3)), self.base.sum((1, 2, 3))
        found = []
        for name, region in self.regions.items():
            share = (weight * region).sum((1, 2, 3)) / total
            expected = region.sum((1, 2, 3)) / count
            found.append(Measured(f"share@{name}", share.cpu()))
            enrichment = torch.where(expected >= LEAST, share / expected, torch.nan)
            found.append(Measured(f"enrichment@{name}", enrichment.cpu()))
        return found
