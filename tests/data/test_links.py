"""Links in a data set: inside they are followed, out of it only with leave; the root may be one."""

import contextlib
import os
import shutil

import pytest
import torch
from miniatures import WRITERS

from depthprobe.data import load_dataset
from depthprobe.data.links import VARIABLE

PARTS = {
    "folder": ("images/a.png", "depth"),
    "nyu": ("test/00001.png", "test"),
    "kitti": ("data_depth_annotated", "2011_09_26"),
    "ibims": ("corridor_01.mat",),
    "diode": ("val/indoors/scene_00019", "val"),
    "tum": ("rgbd_dataset_freiburg1_xyz/depth", "rgbd_dataset_freiburg1_xyz/rgb/1.000000.png"),
    "7scenes": ("chess/seq-03", "fire/seq-01/frame-000000.depth.png"),
    "sunrgbd": ("SUNRGBD/kv1", "SUNRGBD/kv2/kinect2data/000002_2014-05-26_rgbf000103-resize/intrinsics.txt"),
    "hub": ("data/test-00000-of-00001.parquet",),
}
CASES = [(name, part) for name, parts in PARTS.items() for part in parts]
"""What is moved elsewhere and linked to: files and folders, pictures, depth maps and what lies beside them."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "set").mkdir()
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


def write(name, root, monkeypatch):
    if name == "hub":
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", root.parent / "cache")
    WRITERS[name](root)


def moved(file, to):
    shutil.move(file, to)
    os.symlink(to, file)


def load(name, root):
    dataset = load_dataset(name, root=root)
    return dataset, [batch for i in range(len(dataset)) for batch in dataset.load([i])]


def test_every_data_set_of_files_is_here():
    assert set(PARTS) == set(WRITERS)


@pytest.mark.parametrize(("name", "part"), CASES)
def test_out_of_the_root_only_with_leave(name, part, place, monkeypatch):
    root = place / "set"
    write(name, root, monkeypatch)
    before, expected = load(name, root)
    moved(root / part, place / "elsewhere/x.png" if part.endswith("png") else place / f"elsewhere/{root.name}")
    for on_error in ("raise", "skip"):
        with pytest.raises(ValueError, match=rf"files of {name} to lie below .* leads to .*elsewhere.*{VARIABLE}=1"):
            load_dataset(name, root=root, on_error=on_error)
    monkeypatch.setenv(VARIABLE, "1")
    after, found = load(name, root)
    assert after.facts["digest"] == before.facts["digest"]
    assert all(
        torch.equal(a.depth, b.depth) and torch.equal(a.image, b.image) for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize(
    ("said", "sentence"),
    [("no", f"set {VARIABLE}=1 if the links are yours, or copy"), ("FALSE", "leads to"), ("0", "leads to"),
     ("maybe", f"Expected `{VARIABLE}` to be one of .*'yes'.*, but got 'maybe'"), ("Yes", ""), ("true", "")],
)  # fmt: skip
def test_leave_is_a_yes(said, sentence, place, monkeypatch):
    WRITERS["folder"](place / "set")
    moved(place / "set/images/a.png", place / "elsewhere/a.png")
    monkeypatch.setenv(VARIABLE, said)
    with pytest.raises(ValueError, match=sentence) if sentence else contextlib.nullcontext():
        load_dataset("folder", root=place / "set")


@pytest.mark.parametrize("name", WRITERS)
def test_the_root_may_be_a_link_and_links_within_it_are_followed(name, place, monkeypatch):
    write(name, place / "set", monkeypatch)
    part = place / "set" / PARTS[name][0]
    moved(part, place / "set" / f"kept{part.suffix}")
    os.symlink(place / "set", place / "link")
    assert len(load(name, place / "link")[1]) >= 3


def test_a_link_through_another_link_is_looked_through(place):
    root = place / "set"
    WRITERS["folder"](root)
    moved(root / "depth/a.png", place / "elsewhere/a.png")
    moved(root / "depth/a.png", root / "aside.png")
    with pytest.raises(ValueError, match=r"depth/a\.png leads to .*elsewhere/a\.png"):
        load_dataset("folder", root=root)


@pytest.mark.parametrize("name", ["folder", "hub"])
def test_the_hubs_cache_is_known(name, place, monkeypatch):
    """Its snapshots are links to blobs beside them."""
    root, blobs = place / "datasets--a--b/snapshots/0123", place / "datasets--a--b/blobs"
    root.mkdir(parents=True)
    blobs.mkdir()
    write(name, root, monkeypatch)
    for i, file in enumerate(sorted(f for f in root.rglob("*") if f.is_file())):
        moved(file, blobs / str(i))
    assert len(load(name, root)[1]) == 3
    if name == "folder":
        moved(blobs / "0", place / "elsewhere/0")
        with pytest.raises(ValueError, match=r"leads to .*elsewhere/0"):
            load(name, root)
