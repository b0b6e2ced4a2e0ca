"""7-Scenes: Kinect sequences of seven rooms."""

import re
from pathlib import Path

from depthprobe.checks import check_one_of
from depthprobe.data.dataset import DATASETS, Dataset
from depthprobe.data.images import DepthEncoding
from depthprobe.data.records import Record, existing_root, numbered_lines, open_records, reader

SPLITS = {"train": "TrainSplit.txt", "test": "TestSplit.txt"}
FRAME = (480, 640)
INTRINSICS = (585.0, 0.0, 320.0, 0.0, 585.0, 240.0, 0.0, 0.0, 1.0)
_STORED = DepthEncoding(scale=0.001, invalid=(0.0, 65535.0))
_WHAT = "a scene of 7-Scenes (with TrainSplit.txt and TestSplit.txt) or the folder of several"


@DATASETS.register("7scenes", source="Shotton et al. 2013, Scene coordinate regression forests")
def seven_scenes(
    *,
    root: str | Path | None = None,
    split: str = "test",
    n: int | None = None,
    batch_size: int = 8,
    on_error: str = "raise",
) -> Dataset:
    """7-Scenes with its official split of sequences.

    ```
    DIR/chess/TrainSplit.txt  TestSplit.txt                lines `sequence1`, ...
              seq-01/frame-000000.color.png
                     frame-000000.depth.png                16-bit PNG in millimetres, 65535 = unknown
    ```

    DIR may also be one scene itself.

    Convention:
        The depth maps were not moved to the colour camera: edges of the two lie some pixels apart, and boundary metrics
        mean little. Intrinsics are the depth camera's published ones (585, 320, 240), for 480x640. Frames of one room
        are not independent, whatever the sequence: groups are scenes.

    Raises:
        FileNotFoundError: if `root` or a split's list is missing.
        ValueError: if there is no scene, a list is malformed, or a sequence has no frames.
        SampleError: from reading, or at once if a depth map is missing and `on_error` is "raise".
    """
    check_one_of("split", split, SPLITS)
    place = existing_root(root, _WHAT)
    name = SPLITS[split]
    lists = [place / name] if (place / name).is_file() else sorted(place.glob(f"*/{name}"))
    records = [record for listing in lists for record in _scene(listing)]
    if not records:
        raise ValueError(f"Expected `root` to be {_WHAT}, but {place} has no {name} that lists a sequence.")
    facts = {"split": split, "layout": "scene/sequence/frame", "groups": "scenes"}
    return open_records(
        "7scenes",
        records,
        root=place,
        read=reader(_STORED),
        n=n,
        batch_size=batch_size,
        on_error=on_error,
        protocol="scenes",
        facts=facts,
    )


def _scene(listing: Path) -> list[Record]:
    scene = listing.parent.resolve().name
    return [
        Record(
            sample=f"7scenes-{scene}-{folder.name[4:]}-{image.name[6:-10]}",
            group=f"7scenes-{scene}",
            image=image,
            depth=image.with_name(image.name.replace(".color.", ".depth.")),
            where=where,
            intrinsics=INTRINSICS,
            frame=FRAME,
        )
        for where, folder in _sequences(listing)
        for image in sorted(folder.glob("frame-*.color.png"))
    ]


def _sequences(listing: Path) -> list[tuple[str, Path]]:
    """The folder of every listed sequence, and where it is listed."""
    found = []
    for where, line in numbered_lines(listing):
        hit = re.fullmatch(r"(?:sequence|seq-?)(\d+)", line)
        if hit is None:
            raise ValueError(f"Expected {where} to read `sequenceN`, but got {line!r}.")
        folder = listing.parent / f"seq-{int(hit[1]):02d}"
        if next(folder.glob("frame-*.color.png"), None) is None:
            raise ValueError(f"Expected frames of {where} in {folder}, but there are none; unpack the sequence there.")
        found.append((where, folder))
    return found
