"""DIODE: indoor and outdoor pictures with dense depth of a laser scanner."""

from pathlib import Path

import numpy as np

from depthprobe.checks import check_one_of
from depthprobe.data.batch import Batch
from depthprobe.data.dataset import DATASETS, Dataset
from depthprobe.data.images import DepthEncoding, named, read_stored, unusable
from depthprobe.data.records import Record, existing_root, open_records, picture_and_truth

SPLITS = ("train", "val")
PLACES = ("indoors", "outdoor")
FRAME = (768, 1024)
INTRINSICS = (886.81, 0.0, 512.0, 0.0, 927.06, 384.0, 0.0, 0.0, 1.0)
_METRES = DepthEncoding(scale=1.0)
_WHAT = "the DIODE folder (with val/ or train/)"


@DATASETS.register("diode", source="Vasiljevic et al. 2019, DIODE, arXiv:1908.00463", judged="val")
def diode(
    *,
    root: str | Path | None = None,
    split: str = "val",
    n: int | None = None,
    batch_size: int = 8,
    on_error: str = "raise",
    place: str = "both",
) -> Dataset:
    """DIODE depth, indoors and outdoor (val: 325 and 446 pictures of 768x1024; the test set is not public).

    ```
    DIR/val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010.png
                                           00019_00183_indoors_000_010_depth.npy          metres, (H,W,1) or (H,W)
                                           00019_00183_indoors_000_010_depth_mask.npy     1 where the scanner saw
           /outdoor/scene_00022/...
    ```

    Convention:
        place: "indoors", "outdoor" or "both".
        Depth is valid where it is > 0 and the mask is 1. It is taken as z-depth, as the literature does; the release
        does not say. Near depth edges it has outliers that the mask does not exclude, and some benchmarks cut them out
        or ignore the mask: their numbers are others. Outdoor depth goes beyond 300 m; the protocol says what counts.
        Intrinsics are the development kit's, for 768x1024: fields of view of 60 and 45 degrees, which no camera with
            square pixels has. In a user's fit (issue 20 of the kit, unanswered) walls stand at right angles under about
            42 and 32 degrees: do not rely on planes, normals or points made with them.
        Groups are scenes.

    Raises:
        FileNotFoundError: if `root` is missing.
        ValueError: if there are no pictures of the split, or an option is unknown.
        SampleError: from reading, or at once if a depth map or mask is missing and `on_error` is "raise".
    """
    check_one_of("split", split, SPLITS)
    check_one_of("place", place, ("both", *PLACES))
    base = existing_root(root, _WHAT)
    kinds = PLACES if place == "both" else (place,)
    records = [_record(image) for kind in kinds for image in sorted((base / split / kind).glob("scene_*/scan_*/*.png"))]
    if not records:
        raise ValueError(
            f"Expected `root` to be {_WHAT}, but {base} has no {split}/{kinds[0]}/scene_*/scan_*/*.png; correct --root."
        )
    facts = {"split": split, "layout": "scene/scan", "version": "depth", "place": place, "groups": "scenes"}
    return open_records(
        "diode",
        records,
        root=base,
        read=_read,
        n=n,
        batch_size=batch_size,
        on_error=on_error,
        protocol="scenes",
        facts=facts,
    )


def _record(image: Path) -> Record:
    return Record(
        sample=f"diode-{image.stem}",
        group=f"diode-{image.parent.parent.name}",
        image=image,
        depth=image.with_name(f"{image.stem}_depth.npy"),
        besides=(image.with_name(f"{image.stem}_depth_mask.npy"),),
        intrinsics=INTRINSICS,
        frame=FRAME,
    )


def _read(record: Record) -> Batch:
    assert record.depth is not None
    depth, valid = _METRES.decode(read_stored(record.depth, record.where))
    (file,) = record.besides
    mask = read_stored(file, record.where)
    if mask.shape != depth.shape:
        raise unusable(
            f"{named(file, record.where)} to be a mask of {depth.shape}",
            f"it is of {mask.shape}",
            "download the depth map and its mask again",
        )
    seen = valid & (mask > 0)
    return picture_and_truth(record, np.where(seen, depth, np.float32(0)), seen)
