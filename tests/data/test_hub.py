"""`hub` on local copies: Parquet files as the Hub has them, and what `datasets` saves. Nothing is downloaded."""

import io
import json
import sys

import miniatures
import numpy as np
import pytest
import torch
from miniatures import H, W
from PIL import Image

from depthprobe.data import SampleError, load_dataset
from depthprobe.data.hub_values import depth_of, image_of

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "copy"
    place.mkdir()
    miniatures.hub(place)
    return place


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def rows_of(depths, **columns):
    """Rows with one picture and one depth map each, the latter as an array."""
    pictures = [Image.fromarray(np.full((H, W, 3), 40 * i, np.uint8)) for i in range(len(depths))]
    features = datasets.Features({"image": datasets.Image(), "depth": datasets.Sequence(datasets.Sequence(
        datasets.Value("float32"))), **{name: datasets.Value("string") for name in columns}})  # fmt: skip
    rows = {"image": pictures, "depth": [d.tolist() for d in depths], **columns}
    return datasets.Dataset.from_dict(rows, features=features)


def test_encoded_pictures_and_depth_maps(root):
    dataset = load_dataset("hub", root=root)
    assert list(dataset.samples) == list(dataset.groups) == ["row-000000", "row-000001", "row-000002"]
    batch = dataset.load([0, 1, 2])[0]
    first = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
    assert torch.equal(batch.image[0], torch.from_numpy(first).permute(2, 0, 1) / 255)
    assert torch.equal(batch.depth, torch.full((3, 1, H, W), 2.5))
    assert dataset.facts["layout"] == "parquet"


def test_columns_of_ids_and_groups(root):
    dataset = load_dataset("hub", root=root, ids="name", groups="scene")
    assert (list(dataset.samples), list(dataset.groups)) == (["x", "y", "z"], ["a", "a", "b"])
    with pytest.raises(ValueError, match="column 'scene' to name every sample once"):
        load_dataset("hub", root=root, ids="scene")
    with pytest.raises(ValueError, match=r"column 'image' to hold names, but it has .{,60}; choose another"):
        load_dataset("hub", root=root, groups="image")


@pytest.mark.parametrize("option", ["config", "revision"])
def test_what_a_local_copy_does_not_have_is_not_ignored(root, option):
    with pytest.raises(ValueError, match="no `config` and no `revision` for a local copy"):
        load_dataset("hub", root=root, **{option: "v1"})


def test_scale_unit_and_invalid_as_in_folder(root):
    batch = load_dataset("hub", root=root, scale=0.5, unit="cm", invalid=7).load([0])[0]
    assert batch.depth.unique().item() == pytest.approx(12.5)
    for unknown in (2500, "2500", [7, 2500]):
        with pytest.raises(SampleError, match="at least one valid pixel"):
            load_dataset("hub", root=root, invalid=unknown).load([0])
    with pytest.raises(ValueError, match="Expected `invalid` to be a number or several, but got 'none'"):
        load_dataset("hub", root=root, invalid="none")


@pytest.mark.parametrize("name", ["my[set]", "what?", "all*", "a b"])
@pytest.mark.parametrize("streaming", [False, True])
def test_names_of_folders_are_no_patterns(root, name, streaming):
    place = root.rename(root.with_name(name))
    assert len(load_dataset("hub", root=place, streaming=streaming, n=3).load([0, 2])[0]) == 2


def test_a_single_file_and_a_split_by_folder(root):
    file = root / "data/test-00000-of-00001.parquet"
    assert len(load_dataset("hub", root=file)) == 3
    (root / "default/validation").mkdir(parents=True)
    file.rename(root / "default/validation/0000.parquet")
    assert len(load_dataset("hub", root=root, split="validation")) == 3
    with pytest.raises(ValueError, match=r"split 'test', or what `save_to_disk` writes, but \['default/validation"):
        load_dataset("hub", root=root)


def test_a_stream_of_a_local_copy(root):
    with pytest.raises(ValueError, match="Expected `n` with streaming"):
        load_dataset("hub", root=root, streaming=True)
    stream = load_dataset("hub", root=root, streaming=True, n=2, ids="name", batch_size=1)
    whole = load_dataset("hub", root=root, ids="name")
    assert list(stream.samples) == ["x", "y"]
    for i in (0, 1, 1, 0):
        assert torch.equal(stream.load([i])[0].image, whole.load([i])[0].image), i
    longer = load_dataset("hub", root=root, streaming=True, n=5)
    with pytest.raises(SampleError, match=r"row 4 of .* to be there, but the stream ends before it"):
        longer.load([4])


@pytest.mark.parametrize("streaming", [False, True])
def test_what_datasets_saves(tmp_path, streaming):
    rows = rows_of([np.full((H, W), 1.0 + i) for i in range(2)], place=["a", "b"])
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": rows.select([0]), "test": rows}).save_to_disk(tmp_path / "two")
    for place in ("one", "two"):
        dataset = load_dataset("hub", root=tmp_path / place, streaming=streaming, n=2, groups="place")
        assert dataset.load([1])[0].depth.unique().item() == 2
        assert list(dataset.groups) == ["a", "b"]
        assert dataset.facts["layout"] == "saved"
    with pytest.raises(ValueError, match=r"`split` to be one of \['train', 'test'\]"):
        load_dataset("hub", root=tmp_path / "two", split="val")


@pytest.fixture
def opened():
    """The files that are opened while a test runs."""
    seen, on = [], [True]
    sys.addaudithook(lambda event, args: seen.append(str(args[0])) if event == "open" and on else None)
    yield seen
    on.clear()


@pytest.mark.parametrize("streaming", [False, True])
def test_no_cell_opens_a_file_that_it_names(tmp_path, streaming, opened):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(np.full((H, W), 4321, np.uint16)))
    named, here = {"bytes": None, "path": str(secret)}, {"path": None}
    picture = datasets.Image()
    whole = datasets.Features({"image": picture, "depth": picture, "other": picture, "list": [picture],
                               "struct": {"depth": picture}})  # fmt: skip
    colours, numbers = png(np.zeros((H, W, 3), np.uint8)), png(np.full((H, W), 2500, np.uint16))
    rows = {"image": [here | {"bytes": colours}], "depth": [here | {"bytes": numbers}], "other": [named],
            "list": [[named]], "struct": [{"depth": named}]}  # fmt: skip
    (tmp_path / "copy").mkdir()
    plain = datasets.Features({name: without_decoding(feature) for name, feature in whole.items()})
    table = datasets.Dataset.from_dict(rows, features=plain).cast(whole)
    table.to_parquet(tmp_path / "copy/test.parquet")
    del opened[:]
    options = {"root": tmp_path / "copy", "streaming": streaming, "n": 1}
    assert load_dataset("hub", **options).load([0])[0].depth.unique() == 2.5
    for column in ("list", "struct"):
        with pytest.raises(ValueError, match=rf"columns \['{column}'\] of .* which may name files elsewhere"):
            load_dataset("hub", **options, depth=column)
    with pytest.raises(ValueError, match=r"columns \['other'\]"):
        load_dataset("hub", **options, ids="other")
    with pytest.raises(SampleError, match="it only names a file"):
        load_dataset("hub", **options, depth="other").load([0])
    assert not [file for file in opened if "secret" in file]


def without_decoding(feature):
    if isinstance(feature, datasets.Image):
        return datasets.Image(decode=False)
    if isinstance(feature, dict):
        return {name: without_decoding(one) for name, one in feature.items()}
    return [without_decoding(feature[0])] if isinstance(feature, list) else feature


def test_a_saved_copy_that_names_files_outside_is_refused(tmp_path):
    rows_of([np.ones((H, W))]).save_to_disk(tmp_path / "one")
    state = tmp_path / "one/state.json"
    content = json.loads(state.read_text())
    content["_data_files"] = [{"filename": "../../secret.arrow"}]
    state.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"state\.json to name a file below"):
        load_dataset("hub", root=tmp_path / "one")


def test_no_code_of_a_data_set_is_run(tmp_path):
    place = tmp_path / "scripted"
    place.mkdir()
    (place / "scripted.py").write_text("raise RuntimeError('run')\n")
    with pytest.raises(ValueError, match=r"there are none; .*No data set's own code is run"):
        load_dataset("hub", root=place)


def test_a_repository_that_needs_its_code_is_refused(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("Dataset scripts are no longer supported, but found nyu.py")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(ValueError, match=r'its own code to be read, which is never run; .*revision="refs/convert'):
        load_dataset("hub", repo="someone/nyu")


def test_a_repository_is_opened_at_its_revision(monkeypatch, root):
    asked = {}

    def opened(repo, config, **options):
        asked.update(repo=repo, config=config, **options)
        return datasets.Dataset.from_parquet(str(root / "data/test-00000-of-00001.parquet"))

    monkeypatch.setattr(datasets, "load_dataset", opened)
    dataset = load_dataset("hub", repo="a/b", revision="v1", config="small", split="val")
    assert asked == {"repo": "a/b", "config": "small", "split": "val", "revision": "v1", "streaming": False}
    assert (dataset.facts["repo"], dataset.facts["version"]) == ("a/b", "v1")
    assert "trust_remote_code" not in asked
    assert len(dataset.load([2])[0]) == 1


def test_a_repository_that_cannot_be_reached(monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("Couldn't reach 'a/b' on the Hub\nand a long story")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(ValueError, match=r"a/b \(test\) to open as .* but Couldn't reach 'a/b' on the Hub; check"):
        load_dataset("hub", repo="a/b")


def test_without_datasets_or_with_an_old_one(monkeypatch, root):
    monkeypatch.setattr(datasets, "__version__", "3.6.0")
    with pytest.raises(ImportError, match=r"Expected datasets 4 or later, .* but got 3\.6\.0"):
        load_dataset("hub", root=root)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"Expected datasets to be installed for hub, .*'depthprobe\[hub\]'"):
        load_dataset("hub", root=root)


def test_what_is_wrong_with_the_whole(root):
    with pytest.raises(ValueError, match=r"one of `root` .* and `repo`"):
        load_dataset("hub", root=root, repo="a/b")
    with pytest.raises(ValueError, match=r"columns \['image', 'depth_map'\], but \['depth_map'\] are not among"):
        load_dataset("hub", root=root, depth="depth_map")
    with pytest.raises(ValueError, match="`stores` to be one of"):
        load_dataset("hub", root=root, stores="inverse")
    file = root / "data/test-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ValueError, match="to be a complete local copy of a data set, but"):
        load_dataset("hub", root=root)


# --- cells ---

CELLS = {
    "a path": ({"bytes": None, "path": "/etc/passwd"}, "none outside the data set is read"),
    "text": ("a.png", "to hold a picture or an array of numbers, but it holds str"),
    "nothing": (None, "to hold a picture or an array of numbers, but it holds NoneType"),
    "ragged": ([[1.0], [1.0, 2.0]], "rows of different lengths"),
    "three channels": (np.ones((H, W, 3)).tolist(), r"\(H,W\), \(H,W,1\) or \(1,H,W\)"),
    "8 bits": (
        {"bytes": png(np.ones((H, W), np.uint8)), "path": None},
        "one channel of 16 or 32 bits, but its mode is L",
    ),
    "truncated": ({"bytes": png(np.ones((H, W), np.uint16))[:40], "path": None}, "to be a complete, readable file"),
    "no bytes": ({"bytes": b"", "path": None}, "to be a complete, readable file"),
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_that_is_no_depth_map_names_its_row(cell):
    value, sentence = CELLS[cell]
    with pytest.raises(SampleError, match=sentence) as caught:
        depth_of(value, "depth of row 3 of a/b")
    assert "row 3 of a/b" in str(caught.value)


def test_cells_that_are_pictures():
    array = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
    for cell in (png(array), {"bytes": png(array)}, array.tolist()):
        assert (image_of(cell, "here", (H, W)) == array).all()
    with pytest.raises(SampleError, match=r"picture \(H,W,3\) of 8 bits, but it has shape \(6, 8\)"):
        image_of(array[..., 0].tolist(), "here", (H, W))
