"""TUM RGB-D: Kinect sequences whose pictures and depth maps are matched by time."""

import re
from pathlib import Path

from depthprobe.checks import check_one_of, check_range
from depthprobe.data.dataset import DATASETS, Dataset
from depthprobe.data.images import DepthEncoding
from depthprobe.data.records import Record, existing_root, inside, numbered_lines, open_records, reader

FRAME = (480, 640)
CAMERAS = {
    "freiburg1": (517.3, 0.0, 318.6, 0.0, 516.5, 255.3, 0.0, 0.0, 1.0),
    "freiburg2": (520.9, 0.0, 325.1, 0.0, 521.0, 249.7, 0.0, 0.0, 1.0),
    "freiburg3": (535.4, 0.0, 320.1, 0.0, 539.2, 247.6, 0.0, 0.0, 1.0),
}
_STORED = DepthEncoding(scale=1 / 5000)
_WHAT = "a sequence of TUM RGB-D (with rgb.txt and depth.txt) or the folder of several"
_Stamped = tuple[float, str, str]


@DATASETS.register("tum", source="Sturm et al. 2012, A benchmark for the evaluation of RGB-D SLAM systems")
def tum(
    *,
    root: str | Path | None = None,
    split: str = "test",
    n: int | None = None,
    batch_size: int = 8,
    on_error: str = "raise",
    max_difference: float = 0.02,
) -> Dataset:
    """TUM RGB-D, every frame that has a depth map taken at nearly the same time (there is no official split).

    ```
    DIR/rgbd_dataset_freiburg1_xyz/rgb.txt      lines `timestamp rgb/timestamp.png`, comments begin with #
                                   depth.txt    lines `timestamp depth/timestamp.png`
                                   rgb/1305031102.175304.png
                                   depth/1305031102.160407.png     16-bit PNG, 5000 per metre
    ```

    DIR may also be one sequence itself.

    Convention:
        max_difference: seconds that picture and depth map may lie apart; nearest pairs first, each file once, as the
            benchmark's associate.py.
        Intrinsics are those of the colour camera named in the folder (freiburg1, 2 or 3), for 480x640; its lens
        distortion is not undone. Groups are sequences.

    Raises:
        FileNotFoundError: if `root` is missing.
        ValueError: if there is no sequence, a list is malformed or leaves its folder, or no pair is near enough.
        SampleError: from reading, or at once if a listed file is missing and `on_error` is "raise".
    """
    check_one_of("split", split, ("test",))
    check_range("max_difference", max_difference, 0, float("inf"))
    place = existing_root(root, _WHAT)
    folders = [place] if (place / "rgb.txt").is_file() else sorted(f.parent for f in place.glob("*/rgb.txt"))
    records = [record for folder in folders for record in _sequence(folder, max_difference)]
    if not records:
        raise ValueError(
            f"Expected `root` to be {_WHAT}, but {place} has {len(folders)} sequences and no picture with a depth map "
            f"within {max_difference:g} s; correct --root."
        )
    facts = {"split": split, "layout": "rgb.txt + depth.txt", "max_difference": max_difference, "groups": "sequences"}
    return open_records(
        "tum",
        records,
        root=place,
        read=reader(_STORED),
        n=n,
        batch_size=batch_size,
        on_error=on_error,
        protocol="scenes",
        facts=facts,
    )


def _sequence(folder: Path, max_difference: float) -> list[Record]:
    lists = [folder / name for name in ("rgb.txt", "depth.txt")]
    if absent := [path for path in lists if not path.is_file()]:
        raise FileNotFoundError(f"Expected the list {absent[0]} of the sequence, but there is none; download it again.")
    images, depths = map(_stamped, lists)
    named = re.search("freiburg[123]", folder.resolve().name)
    sequence = folder.resolve().name.removeprefix("rgbd_dataset_")
    return [
        Record(
            sample=f"tum-{sequence}-{Path(images[i][1]).stem}",
            group=f"tum-{sequence}",
            image=inside(folder, images[i][1], images[i][2]),
            depth=inside(folder, depths[j][1], depths[j][2]),
            where=images[i][2],
            intrinsics=CAMERAS[named[0]] if named else None,
            frame=FRAME,
        )
        for i, j in associate([t for t, *_ in images], [t for t, *_ in depths], max_difference)
    ]


def _stamped(listing: Path) -> list[_Stamped]:
    """Time, file and place of every line that is no comment."""
    found = []
    for where, line in numbered_lines(listing):
        if line.startswith("#"):
            continue
        fields = line.replace(",", " ").split()
        try:
            found.append((float(fields[0]), fields[1], where))
        except (ValueError, IndexError) as error:
            raise ValueError(f"Expected {where} to read `timestamp file`, but got {line!r}.") from error
    return found


def associate(first: list[float], second: list[float], most: float) -> list[tuple[int, int]]:
    """Pairs (i, j) of times less than `most` apart, the nearest first and each used once; sorted by i."""
    order = sorted(range(len(second)), key=second.__getitem__)
    near: list[tuple[float, int, int]] = []
    start = 0
    for i in sorted(range(len(first)), key=first.__getitem__):
        while start < len(order) and second[order[start]] < first[i] - most:
            start += 1
        for j in order[start:]:
            if second[j] > first[i] + most:
                break
            near.append((abs(first[i] - second[j]), i, j))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for difference, i, j in sorted(near):
        if difference < most and i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return sorted(pairs.items())
