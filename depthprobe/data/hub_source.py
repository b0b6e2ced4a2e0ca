"""Where the rows of `hub` come from: a repository of the Hub, Parquet files, or a folder written by `save_to_disk`."""

import dataclasses
import glob
import hashlib
import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from depthprobe.checks import first_line, shortened
from depthprobe.data.images import unusable
from depthprobe.data.links import check_links
from depthprobe.data.records import file_bytes, inside
from depthprobe.schema import read_object

SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"


@dataclasses.dataclass(frozen=True)
class Source:
    """An opened `datasets` table: how sentences name it, what it is made of, its facts and what its digest rests on."""

    name: str
    table: Any
    facts: dict[str, Any]
    identity: bytes


class Rows:
    """The rows of a source by number; `count` is None for a stream."""

    def __init__(self, source: Source, table: Any) -> None:
        self.name, self.facts = source.name, source.facts
        self._table, self._identity = table, source.identity
        self.count = None if source.facts["streaming"] else len(table)
        self._stream: Iterator[Any] = iter(())
        self._next = -1

    def row(self, number: int, where: str) -> dict[str, Any]:
        """One row; of a stream the next one costs least.

        Raises:
            SampleError: if it cannot be read.
        """
        try:
            found: dict[str, Any] = self._table[number] if self.count is not None else self._streamed(number)
            return found
        except StopIteration as error:
            raise unusable(f"{where} to be there", "the stream ends before it", "give a smaller `n`") from error
        except Exception as error:  # pyarrow, fsspec and the network raise many kinds
            what = f"reading it failed: {first_line(error)}"
            raise unusable(f"{where} to be readable", what, "get it again") from error

    def _streamed(self, number: int) -> dict[str, Any]:
        if number != self._next:
            self._stream = iter(self._table.skip(number) if number else self._table)
        self._next = -1
        found: dict[str, Any] = next(self._stream)
        self._next = number + 1
        return found

    def texts(self, column: str, numbers: Sequence[int]) -> list[str]:
        """The values of a column as text."""
        alone = self._table.select_columns([column])
        rows = alone.select(numbers) if self.count is not None else alone.take(len(numbers))
        found = [row[column] for row in rows]
        if bad := [value for value in found if not isinstance(value, str | int) or value == ""]:
            held = shortened(repr(bad[0]), 60)
            raise ValueError(f"Expected the column {column!r} to hold names, but it has {held}; choose another.")
        return [str(value) for value in found]

    def digest(self, numbers: Sequence[int]) -> str:
        """12-character hash of the source and the rows that are read."""
        return hashlib.sha256(self._identity + repr(list(numbers)).encode()).hexdigest()[:12]


def open_rows(source: Source, *, needed: Sequence[str], known: Sequence[str]) -> Rows:
    """The rows of a source, these columns alone, pictures left encoded.

    Raises:
        ValueError: if a column is missing (lists those there are), or reading one would open files that it names.
    """
    columns = list(dict.fromkeys((*needed, *known)))
    features = source.table.features or {}
    if absent := [column for column in columns if column not in features]:
        raise ValueError(
            f"Expected {source.name} to have the columns {[*needed, *known]}, but {absent} are not among "
            f"{sorted(features)}; name them by `image`, `depth`, `ids` and `groups`."
        )
    table, picture = source.table.select_columns(columns), _datasets().Image
    for column in needed:
        if isinstance(features[column], picture):
            table = table.cast_column(column, picture(decode=False))
    if opening := [column for column in columns if _opens_files(table.features[column])]:
        raise ValueError(
            f"Expected the columns {opening} of {source.name} to hold pictures, arrays or names, but they hold "
            f"{[str(features[column]) for column in opening]}, which may name files elsewhere; choose others."
        )
    return Rows(source, table)


def _opens_files(feature: Any) -> bool:
    """Whether reading a cell may open a file that it names: pictures, sound and films, in lists and structs too."""
    if isinstance(feature, dict | list):
        return any(map(_opens_files, feature.values() if isinstance(feature, dict) else feature))
    return bool(getattr(feature, "decode", False)) or _opens_files(getattr(feature, "feature", []))


def open_repo(repo: str, split: str, *, config: str | None, revision: str | None, streaming: bool) -> Source:
    """A split of a repository on the Hub.

    Raises:
        ValueError: if it cannot be opened, or only by running its own code.
    """
    datasets = _datasets()
    name = f"{repo}{f'@{revision}' if revision else ''} ({split})"
    try:
        table = datasets.load_dataset(repo, config, split=split, revision=revision, streaming=streaming)
    except Exception as error:  # the library, fsspec and the network raise many kinds
        if "script" in str(error):
            raise ValueError(
                f"Expected {repo} to hold its data as files, but it needs its own code to be read, which is never run; "
                'take its Parquet copy: revision="refs/convert/parquet".'
            ) from error
        raise ValueError(
            f"Expected {name} to open as a data set of the Hugging Face Hub, but {first_line(error)}; check `repo`, "
            "`config`, `split` and `revision`, or give a local copy by `root`."
        ) from error
    facts = {"split": split, "layout": "hub", "repo": repo, "config": config, "version": revision or "not pinned",
             "streaming": streaming}  # fmt: skip
    identity = f"{repo}\0{config}\0{revision}\0{split}\0{'' if streaming else table._fingerprint}"
    return Source(name, table, facts, identity.encode())


def open_local(root: Path, split: str, *, streaming: bool) -> Source:
    """A split of a local copy.

    Raises:
        ValueError: if it is none, has no such split, names files outside itself, or cannot be read.
    """
    datasets = _datasets()
    place = _split_folder(root, split)
    saved = (place / SAVED).is_file()
    files = _saved_files(place) if saved else _parquet_files(place, split)
    check_links(files, root, "hub")
    try:
        if saved:
            table = datasets.load_from_disk(str(place))
            table = table.to_iterable_dataset() if streaming else table
        else:
            names = [glob.escape(str(file)) for file in files]  # or brackets in a name would stand for other files
            table = datasets.load_dataset("parquet", data_files={"x": names}, split="x", streaming=streaming)
    except Exception as error:  # pyarrow raises many kinds on a damaged file
        raise ValueError(
            f"Expected {place} to be a complete local copy of a data set, but {first_line(error)}; copy it again."
        ) from error
    facts = {"root": str(root), "split": split, "layout": "saved" if saved else "parquet", "streaming": streaming}
    listed = [file.relative_to(root).as_posix().encode() if file != root else b"" for file in files]
    identity = b"\0".join(part for name, file in zip(listed, files, strict=True) for part in (name, file_bytes(file)))
    return Source(f"{root} ({split})", table, facts, identity)


def _split_folder(root: Path, split: str) -> Path:
    """The folder of a split where `save_to_disk` wrote several, else `root`."""
    if not (root / SAVED_SPLITS).is_file():
        return root
    known = read_object(root / SAVED_SPLITS, "save the data set again").get("splits")
    if not isinstance(known, list) or split not in known:
        raise ValueError(f"Expected `split` to be one of {known} (named in {root / SAVED_SPLITS}), but got {split!r}.")
    return inside(root, split, f"{root / SAVED_SPLITS}")


def _saved_files(place: Path) -> list[Path]:
    """The files that `state.json` names."""
    state = place / SAVED
    listed = read_object(state, "save the data set again").get("_data_files")
    names = [f.get("filename") if isinstance(f, dict) else None for f in listed] if isinstance(listed, list) else [None]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"Expected {state} to list its `_data_files`, but got {listed!r}; save the data set again.")
    return [inside(place, str(name), str(state)) for name in names]


def _parquet_files(root: Path, split: str) -> list[Path]:
    """The Parquet files of a split: named, or in a folder named, after it; a single file is taken as it is."""
    if root.is_file():
        if root.suffix != ".parquet":
            raise ValueError(f"Expected `root` to be a .parquet file or a folder, but got {root}; give its folder.")
        return [root]
    there = sorted(root.rglob("*.parquet"))
    found = [f for f in there if split in (re.split(r"[-_.]", f.stem)[0], f.parent.name)]
    if not found:
        shown = [f.relative_to(root).as_posix() for f in there[:3]]
        raise ValueError(
            f"Expected {root} to hold Parquet files of split {split!r}, or what `save_to_disk` writes, but "
            f"{f'{shown} ({len(there)}) are not named after it' if there else 'there are none'}; correct --root or "
            "--split, or give one file itself. No data set's own code is run."
        )
    return found


def _datasets() -> Any:
    """The package `datasets`, from the version on that runs no data set's code."""
    try:
        module = importlib.import_module("datasets")
    except ImportError as error:
        raise ImportError(
            "Expected datasets to be installed for hub, but it is not; pip install 'depthprobe[hub]'."
        ) from error
    if int(module.__version__.split(".")[0]) < 4:
        raise ImportError(
            f"Expected datasets 4 or later, which runs no code of a data set, but got {module.__version__}; "
            "pip install -U datasets."
        )
    return module
