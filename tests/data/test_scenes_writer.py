"""Scenes as files: what `folder` reads back, what an interruption leaves, what does not fit into 16 bits."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from depthprobe.data import load_dataset
from depthprobe.data.scenes import write_scenes

SIZE = (16, 20)


def both(folder, kind, n):
    """The same scenes from files and rendered."""
    read = load_dataset("folder", root=folder, batch_size=n)
    made = load_dataset("scenes", kind=kind, split="train", n=n, size=SIZE, batch_size=n)
    return next(iter(read)), next(iter(made))


@pytest.mark.parametrize(("depth_format", "tolerance"), [("png16", 0.00051), ("npy", 0.0)])
def test_round_trip(tmp_path, depth_format, tolerance):
    seen = []
    target = write_scenes(
        tmp_path, kind="rooms", n=3, size=SIZE, depth_format=depth_format, progress=lambda *p: seen.append(p)
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert target == tmp_path / "dataset.json"
    read, made = both(tmp_path, "rooms", 3)
    assert read.sample == made.sample == ("rooms-00000000", "rooms-00000001", "rooms-00000002")
    assert read.group == made.group
    assert torch.equal(read.image, made.image)
    assert torch.equal(read.valid, made.valid)
    assert (read.depth - made.depth)[made.valid].abs().max() <= tolerance
    assert torch.equal(read.intrinsics, made.intrinsics)


def test_depth_beyond_16_bits_is_invalid_and_counted(tmp_path):
    target = write_scenes(tmp_path / "png", kind="streets", n=2, size=SIZE)
    read, made = both(tmp_path / "png", "streets", 2)
    far = made.valid & (made.depth > 65.535)
    assert far.any()
    assert torch.equal(read.valid, made.valid & ~far)
    assert json.loads(target.read_text())["facts"]["pixels_beyond_range"] == far.sum()
    write_scenes(tmp_path / "npy", kind="streets", n=2, size=SIZE, depth_format="npy")
    read, made = both(tmp_path / "npy", "streets", 2)
    assert torch.equal(read.valid, made.valid)
    assert torch.equal(read.depth[read.valid], made.depth[made.valid])


def test_an_interrupted_writer_goes_on_where_it_stopped(tmp_path):
    class StopError(Exception):
        pass

    def stop(done, total):
        if done == 2:
            raise StopError

    with pytest.raises(StopError):
        write_scenes(tmp_path, n=5, size=SIZE, progress=stop, workers=1)
    assert not (tmp_path / "dataset.json").exists()
    kept = tmp_path / "images" / "rooms-00000000.png"
    Image.new("RGB", SIZE[::-1]).save(kept)  # a finished file is left as it is
    (tmp_path / "depth" / "rooms-00000001.png").unlink()  # half a sample is made again
    (tmp_path / "images" / ".rooms-00000004.png.1.part").write_bytes(b"torn")
    target = write_scenes(tmp_path, n=5, size=SIZE)
    assert np.asarray(Image.open(kept)).max() == 0
    kept.unlink()
    write_scenes(tmp_path, n=5, size=SIZE)
    assert len(json.loads(target.read_text())["samples"]) == 5
    assert not (tmp_path / "unfinished.json").exists()
    read, made = both(tmp_path, "rooms", 5)
    assert torch.equal(read.image, made.image)
    assert (read.depth - made.depth).abs().max() <= 0.00051


def test_folders_of_other_settings_are_refused(tmp_path):
    write_scenes(tmp_path, n=1, size=SIZE)
    with pytest.raises(ValueError, match=r"the same size.*choose another folder"):
        write_scenes(tmp_path, n=1, size=(20, 20))
    with pytest.raises(ValueError, match="the same kind"):
        write_scenes(tmp_path, kind="shapes", n=1, size=SIZE)
    with pytest.raises(ValueError, match="`depth_format` to be one of"):
        write_scenes(tmp_path / "new", n=1, depth_format="exr")


def test_a_finished_folder_loses_no_scene(tmp_path):
    write_scenes(tmp_path, n=2, size=SIZE)
    before = (tmp_path / "dataset.json").read_text()
    for other in ({"n": 1}, {"n": 2, "start": 1}, {"n": 2, "split": "val"}):
        with pytest.raises(ValueError, match=r"include those already in .* \(seeds 0 to 1\).*choose another folder"):
            write_scenes(tmp_path, size=SIZE, **other)
    assert (tmp_path / "dataset.json").read_text() == before
    assert len(load_dataset("folder", root=write_scenes(tmp_path, n=3, size=SIZE))) == 3
