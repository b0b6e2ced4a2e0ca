"""Data sets of the Hugging Face Hub, and local copies of them: Parquet files or a folder that `datasets` saved."""

from collections.abc import Sequence
from pathlib import Path

from depthprobe.checks import check_one_of, check_range
from depthprobe.data.batch import Batch
from depthprobe.data.dataset import DATASETS, Dataset
from depthprobe.data.hub_source import Rows, open_local, open_repo, open_rows
from depthprobe.data.hub_values import depth_of, image_of
from depthprobe.data.images import STORES, DepthEncoding, one_sample, unknown_values
from depthprobe.data.records import existing_root, spread

_WHAT = "a .parquet file, a folder of them, or a folder written by `save_to_disk`"


@DATASETS.register("hub", source="the Hugging Face Hub, or a local copy")
def hub(
    *,
    root: str | Path | None = None,
    repo: str | None = None,
    split: str = "test",
    n: int | None = None,
    batch_size: int = 8,
    on_error: str = "raise",
    protocol: str = "scenes",
    config: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
    image: str = "image",
    depth: str = "depth",
    ids: str | None = None,
    groups: str | None = None,
    scale: float | None = None,
    unit: str = "m",
    invalid: float | Sequence[float] = 0.0,
    stores: str = "depth",
) -> Dataset:
    """A data set of the Hugging Face Hub (`repo`), or a local copy (`root`), by the columns that hold image and depth.

    ```
    DIR/data/test-00000-of-00001.parquet      files named, or in a folder named, after the split; DIR may be a file
    DIR/dataset_dict.json  DIR/test/...       written by DatasetDict.save_to_disk
    DIR/state.json  DIR/data-00000-of-...     written by Dataset.save_to_disk
    ```

    No code of a data set is ever run, and nothing outside it is read: images and depth maps must be in its files.

    Convention:
        config, revision: of the repository; without a revision what was measured may change under its name.
        streaming: read over the network, row by row, without a download; takes the first `n` rows, where otherwise `n`
            is an evenly spread subset.
        image, depth: columns of encoded pictures or of arrays, (H,W,3) of 8 bits and (H,W).
        ids, groups: columns of sample ids and groups; default: the row's number, every sample its own group.
        scale, unit, invalid, stores: as in `folder`.

    Raises:
        ImportError: if `datasets` is not installed.
        FileNotFoundError: if `root` is missing.
        ValueError: if neither or both of `root` and `repo` are given, the data set cannot be opened, or lacks a column.
        SampleError: from reading.
    """
    check_one_of("stores", stores, STORES)
    check_range("batch_size", batch_size, 1, float("inf"))
    if (root is None) == (repo is None):
        raise ValueError("Expected one of `root` (a local copy) and `repo` (OWNER/NAME on the Hub); give one of them.")
    encoding = DepthEncoding(scale=scale, unit=unit, invalid=unknown_values(invalid), stores=stores)
    if repo is None and (config or revision):
        raise ValueError("Expected no `config` and no `revision` for a local copy (`root`); they are of a `repo`.")
    if repo is None:
        source = open_local(existing_root(root, _WHAT), split, streaming=streaming)
    else:
        source = open_repo(repo, split, config=config, revision=revision, streaming=streaming)
    rows = open_rows(source, needed=(image, depth), known=tuple(c for c in (ids, groups) if c))
    return _dataset(
        rows,
        _numbers(rows, n),
        columns=(image, depth, ids, groups),
        encoding=encoding,
        batch_size=batch_size,
        on_error=on_error,
        protocol=protocol,
    )


def _numbers(rows: Rows, n: int | None) -> list[int]:
    """The numbers of the rows to be read."""
    if rows.count is not None:
        return spread(rows.count, n)
    if n is None:
        raise ValueError("Expected `n` with streaming, because a stream does not say how long it is; give --n.")
    check_range("n", n, 1, float("inf"))
    return list(range(n))


def _dataset(
    rows: Rows,
    numbers: Sequence[int],
    *,
    columns: tuple[str, str, str | None, str | None],
    encoding: DepthEncoding,
    batch_size: int,
    on_error: str,
    protocol: str,
) -> Dataset:
    image, depth, ids, groups = columns
    samples = rows.texts(ids, numbers) if ids else [f"row-{i:06d}" for i in numbers]
    sources = rows.texts(groups, numbers) if groups else samples
    if len(set(samples)) != len(samples):
        raise ValueError(f"Expected the column {ids!r} to name every sample once, but some repeat; choose another.")

    def read(i: int) -> Batch:
        where = f"row {numbers[i]} of {rows.name}"
        row = rows.row(numbers[i], where)
        metres, valid = encoding.decode(depth_of(row[depth], f"{depth} of {where}"))
        pixels = image_of(row[image], f"{image} of {where}", (metres.shape[0], metres.shape[1]))
        return one_sample(pixels, metres, valid, sample=samples[i], group=sources[i], source=where)

    facts = {
        **rows.facts,
        "columns": {"image": image, "depth": depth, "ids": ids, "groups": groups},
        "unit": encoding.unit,
        "scale": encoding.scale,
        "invalid": list(encoding.invalid),
        "stores": encoding.stores,
        "groups": f"column {groups}" if groups else "every sample",
        "n": len(numbers),
        "digest": rows.digest(numbers),
    }
    return Dataset(
        name="hub",
        samples=samples,
        groups=sources,
        read=read,
        facts=facts,
        protocol=protocol,
        batch_size=batch_size,
        on_error=on_error,
    )
