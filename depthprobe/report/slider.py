"""The slider's data: what a reader sees for every stored sample x selector x budget x fill x model."""

import dataclasses
import math
from typing import Any

import numpy as np

from depthprobe.report.maps import Dense, data_uri, depth_picture, depth_range, error_picture, error_range

MAX_BYTES = 5_500_000


@dataclasses.dataclass
class Pictures:
    """Data URIs without repeats; the page refers to them by number."""

    uris: list[str] = dataclasses.field(default_factory=list)
    numbers: dict[str, int] = dataclasses.field(default_factory=dict)

    def add(self, uri: str) -> int:
        """The number of this picture."""
        if uri not in self.numbers:
            self.numbers[uri] = len(self.uris)
            self.uris.append(uri)
        return self.numbers[uri]

    def size(self) -> int:
        """Bytes that they take inside the page."""
        return sum(map(len, self.uris))


def payload(maps: list[Dense], metric: str) -> dict[str, Any]:
    """Everything the script needs, as JSON-ready lists; stops adding samples before the page grows too large.

    Convention: `masks["sample|model|selector"]` is a picture whose value is the position in `budgets` of the first
    budget at which a pixel is kept (255: never), so that one picture holds the nested masks of every budget.
    """
    maps = [m for m in maps if m.probe == "sparse" and math.isfinite(m.level)]
    samples = list(dict.fromkeys(m.sample for m in maps))
    pictures = Pictures()
    data: dict[str, Any] = {
        "metric": metric, "models": _unique(m.model for m in maps), "selectors": _unique(m.factor for m in maps),
        "fills": _unique(m.factor2 for m in maps), "budgets": sorted({m.level for m in maps}),
        "samples": [], "masks": {}, "frames": {}, "stored": len(samples),
    }  # fmt: skip
    for sample in samples:
        mine = [m for m in maps if m.sample == sample]
        if data["samples"] and pictures.size() * (1 + 1 / len(data["samples"])) > MAX_BYTES:
            break
        _add_sample(data, pictures, mine, metric)
    return {**data, "pictures": pictures.uris}


def _unique(values: Any) -> list[str]:
    return sorted(dict.fromkeys(values), key=lambda v: (v.partition(".")[0] != "random", v))


def _add_sample(data: dict[str, Any], pictures: Pictures, maps: list[Dense], metric: str) -> None:
    first, limits, half = maps[0], depth_range(maps[0]), error_range(maps)
    arrays = first.arrays
    data["samples"].append({
        "id": first.sample, "near": limits[0], "far": limits[1], "half": half,
        "image": pictures.add(data_uri(arrays["image"])),
        "truth": pictures.add(data_uri(depth_picture(arrays["depth"], limits))),
    })  # fmt: skip
    for key, ranks in _mask_levels(maps, data["budgets"]).items():
        data["masks"]["|".join(key)] = pictures.add(data_uri(ranks, exact=True))
    for m in maps:
        pred, depth = m.arrays["pred"], m.arrays["depth"]
        value = m.metrics.get(metric, float("nan"))
        data["frames"]["|".join((m.sample, m.model, m.factor, m.factor2, str(data["budgets"].index(m.level))))] = [
            pictures.add(data_uri(depth_picture(pred, limits))),
            pictures.add(data_uri(error_picture(pred, depth, half))),
            value if math.isfinite(value) else None,
        ]
        m.forget()


def _mask_levels(maps: list[Dense], budgets: list[float]) -> dict[tuple[str, str, str], np.ndarray]:
    levels: dict[tuple[str, str, str], np.ndarray] = {}
    for m in maps:
        if "keep" not in m.arrays:
            continue
        key = (m.sample, m.model, m.factor)
        now = np.where(m.arrays["keep"], budgets.index(m.level), 255).astype(np.uint8)
        levels[key] = np.minimum(levels[key], now) if key in levels else now
    return levels
