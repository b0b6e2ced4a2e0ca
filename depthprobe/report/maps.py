"""Dense maps of a run (`out/maps/*.npz`) and how they become small pictures inside the page."""

import base64
import dataclasses
import functools
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from depthprobe.plots.gallery import DEPTH_MAP, ERROR_MAP

WIDTH, QUALITY = 256, 82
HATCH = (168, 188)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dense:
    """One stored map: where it lies and what it was measured for."""

    path: Path
    sample: str
    group: str
    model: str
    probe: str
    plan: str
    factor: str
    level: float
    factor2: str
    metrics: dict[str, float]

    @functools.cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """`image` (h,w,3) uint8, `depth` and `pred` (h,w) metres (NaN: invalid), `keep` (h,w) bool where recorded.

        All are thinned to at most WIDTH columns by taking every k-th pixel, so depths stay measured values.
        """
        with np.load(self.path, allow_pickle=False) as stored:
            names = [k for k in ("image", "depth", "pred", "keep") if k in stored]
            arrays = {k: stored[k] for k in names}
        height, width = arrays["image"].shape[:2]
        step = max(1, math.ceil(width / WIDTH))
        size = (len(range(0, height, step)), len(range(0, width, step)))
        return {k: nearest(a, size) for k, a in arrays.items()}

    def forget(self) -> None:
        """Free the arrays; they are read again when asked for."""
        self.__dict__.pop("arrays", None)


def nearest(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h,w,...) array at another size, nearest neighbour (pixel centres aligned)."""
    rows, cols = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, array.shape, strict=False))
    return np.ascontiguousarray(array[rows][:, cols])


def read_maps(out: Path) -> tuple[list[Dense], list[str]]:
    """All stored maps of a run in a fixed order, and the names of files that could not be read."""
    maps, broken = [], []
    for path in sorted((out / "maps").glob("**/*.npz")):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                meta = json.loads(str(stored["meta"]))
                complete = {"image", "depth", "pred"} <= set(stored.files)
            if not complete:
                raise KeyError("image, depth or pred")
            maps.append(_dense(path, meta))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            broken.append(path.name)
    return sorted(maps, key=lambda m: (m.sample, m.model, m.factor, m.factor2, _number(m.level), m.path.name)), broken


def _dense(path: Path, meta: dict[str, Any]) -> Dense:
    named = {k: str(meta.get(k) or "") for k in ("sample", "group", "model", "probe", "plan", "factor", "factor2")}
    metrics = {str(k): _number(v) for k, v in (meta.get("metrics") or {}).items()}
    return Dense(path=path, level=_number(meta.get("level")), metrics=metrics, **named)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def depth_range(dense: Dense) -> tuple[float, float]:
    """One fixed range in metres for a row of pictures: the 1st to 99th percentile of the ground truth."""
    depth = dense.arrays["depth"]
    known = depth[np.isfinite(depth)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, [1, 99])
    return float(low), float(max(high, low + 1e-3))


def error_range(dense: list[Dense]) -> float:
    """Half-width in metres of a symmetric error scale: the 95th percentile of |pred - truth| over these maps."""
    gaps = [np.abs(d.arrays["pred"] - d.arrays["depth"]) for d in dense]
    known = np.concatenate([g[np.isfinite(g)].ravel() for g in gaps])
    return float(max(np.percentile(known, 95), 1e-3)) if known.size else 1.0


def depth_picture(depth: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """(h,w) metres as (h,w,3) uint8: near = warm, invalid pixels hatched grey."""
    low, high = limits
    return _coloured((depth - low) / (high - low), DEPTH_MAP, np.isfinite(depth))


def error_picture(pred: np.ndarray, depth: np.ndarray, half: float) -> np.ndarray:
    """Signed error in metres as (h,w,3) uint8: red = predicted too far, blue = too near, white = right."""
    gap = pred - depth
    return _coloured((gap + half) / (2 * half), ERROR_MAP, np.isfinite(gap))


def kept_picture(image: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The image with removed pixels faded to grey, so that both the choice and the picture can be seen."""
    faded = (0.2 * image.mean(-1, keepdims=True) + 0.8 * 128).repeat(3, -1)
    return np.where(keep[..., None], image, faded.astype(np.uint8))


def _coloured(share: np.ndarray, name: str, known: np.ndarray) -> np.ndarray:
    colours = matplotlib.colormaps[name](np.clip(np.where(known, share, 0.0), 0, 1))[..., :3]
    y, x = np.mgrid[0 : share.shape[0], 0 : share.shape[1]]
    hatch = np.where((x + y) % 6 < 2, HATCH[0], HATCH[1])[..., None]
    return np.where(known[..., None], np.round(255 * colours), hatch).astype(np.uint8)


def data_uri(picture: np.ndarray, *, exact: bool = False) -> str:
    """(h,w,3) or (h,w) uint8 as a `data:` link: WebP, or PNG where every value must survive."""
    stream = io.BytesIO()
    if exact:
        Image.fromarray(picture).save(stream, "PNG", optimize=True)
    else:
        Image.fromarray(picture).save(stream, "WEBP", quality=QUALITY, method=4)
    kind = "png" if exact else "webp"
    return f"data:image/{kind};base64," + base64.b64encode(stream.getvalue()).decode()


def colour_bar(name: str) -> str:
    """A 128-step colour map as a `data:` link, first value left."""
    steps = matplotlib.colormaps[name](np.linspace(0, 1, 128))[None, :, :3]
    return data_uri(np.round(255 * steps).astype(np.uint8), exact=True)
