"""Where the kept pixels lie: on depth edges, on texture, in flat interiors, near or far."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from depthprobe.functional.regions import regions
from depthprobe.functional.selection import kept_count
from depthprobe.probes.sparse_jobs import Canvas, Masker


class Where:
    """Shares and enrichments of the kept pixels by region, for each image and order, all budgets at once.

    Convention: `found[image, order]` is (budgets, metrics) in the order of `metrics`: `share@region` = share of the
    kept pixels with valid depth that lie in the region, `enrichment@region` = that over the region's share of all
    valid pixels (what a random subset has). Only pixels inside the protocol's crop count, as where depth is judged.
    Without budgets nothing is counted.
    """

    def __init__(self, canvas: Canvas, masker: Masker, budgets: Sequence[float]) -> None:
        base = canvas.valid & canvas.domain
        maps = regions(canvas.image, canvas.depth, base) if budgets else {}
        self.metrics = [f"{kind}@{name}" for kind in ("share", "enrichment") for name in maps]
        self.found: dict[tuple[int, str], np.ndarray] = {}
        self._maps = torch.cat([base, *maps.values()], 1).flatten(2)  # (B, 1 + regions, h * w)
        self._pixels, self._masker = base[0].numel(), masker
        last = [kept_count(budget, self._pixels) - 1 for budget in budgets]
        self._last = torch.tensor(last, dtype=torch.long, device=base.device)

    def see(self, keys: Iterable[tuple[int, str]]) -> None:
        """Count for some (image, order) unless that is done, one running count for all budgets."""
        for key in keys:
            if key not in self.found and len(self._last):
                self.found[key] = self._count(*key)

    def _count(self, image: int, order: str) -> np.ndarray:
        maps = self._maps[image]
        place = self._pixels - 1 - self._masker.rank(image, order).flatten().long()  # 0 = kept first
        kept = torch.zeros_like(maps).index_copy_(1, place, maps).cumsum(1, dtype=torch.int32)[:, self._last].double()
        share = kept[1:] / kept[0]
        expected = maps[1:].sum(1, keepdim=True).double() / maps[0].sum()
        enrichment = torch.where(expected > 0, share / expected, float("nan"))
        return torch.cat([share, enrichment]).T.cpu().numpy()
