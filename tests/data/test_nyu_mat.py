"""`nyu` from the original labelled file: miniature copies in its exact form (HDF5 v7.3, reversed axes, references)."""

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from depthprobe.data import SampleError, load_dataset

N, H, W = 6, 12, 16
SCENES = ["kitchen_0004", "kitchen_0004", "office_0012", "bedroom_0020", "bedroom_0020", "study_0003"]
HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 ."


def frames():
    """Images (N,H,W,3), dense and raw depth (N,H,W), in the order people think in."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, H, W, 3), dtype=np.uint8)
    dense = rng.uniform(0.7, 9.9, (N, H, W)).astype(np.float32)
    raw = np.where(rng.random((N, H, W)) < 0.2, np.float32(0), dense)
    return images, dense, raw


def write_mat(path, *, leave_out=(), **replace):
    images, dense, raw = frames()
    content = {
        "images": images.transpose(0, 3, 2, 1),
        "depths": dense.transpose(0, 2, 1),
        "rawDepths": raw.transpose(0, 2, 1),
    } | replace
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in content.items():
            if name not in leave_out:
                file[name] = array
        references = [file.create_dataset(f"#refs#/{i}", data=[[ord(c)] for c in s]).ref for i, s in enumerate(SCENES)]
        if "scenes" not in leave_out:
            file.create_dataset("scenes", data=np.array([references], dtype=h5py.ref_dtype))
    with path.open("r+b") as file:
        file.write(HEADER)


@pytest.fixture
def root(tmp_path):
    write_mat(tmp_path / "nyu_depth_v2_labeled.mat")
    splits = {"trainNdxs": np.array([[3], [4]], np.uint16), "testNdxs": np.array([[1], [2], [5], [6]], np.uint16)}
    scipy.io.savemat(tmp_path / "splits.mat", splits)
    return tmp_path


def mat(root):
    return root / "nyu_depth_v2_labeled.mat"


def test_axes_numbers_and_scenes(root):
    images, dense, _ = frames()
    dataset = load_dataset("nyu", root=root)
    assert dataset.samples == ["nyu-00001", "nyu-00002", "nyu-00005", "nyu-00006"]
    assert dataset.groups == ["kitchen_0004", "kitchen_0004", "bedroom_0020", "study_0003"]
    batch = dataset.load([0, 1, 2, 3])[0]
    for b, frame in enumerate((0, 1, 4, 5)):
        for y, x in ((0, 0), (3, 11), (H - 1, W - 1)):
            assert batch.depth[b, 0, y, x] == dense[frame, y, x]
            assert torch.equal(batch.image[b, :, y, x], torch.tensor(images[frame, y, x]) / 255)
    assert batch.valid.all()
    assert (dataset.facts["layout"], dataset.facts["depth"], dataset.facts["n"]) == ("mat", "dense", 4)


def test_raw_depth_has_its_holes(root):
    _, _, raw = frames()
    batch = load_dataset("nyu", root=root, depth="raw").load([2])[0]
    assert np.array_equal(batch.valid[0, 0].numpy(), raw[4] > 0)
    assert not batch.valid.all()
    np.testing.assert_array_equal(batch.depth[0, 0].numpy(), raw[4])


def test_root_may_be_the_file_itself(root):
    by_file, by_folder = (
        load_dataset("nyu", root=mat(root), split="train"),
        load_dataset("nyu", root=root, split="train"),
    )
    assert by_file.samples == by_folder.samples == ["nyu-00003", "nyu-00004"]
    assert by_file.facts == by_folder.facts


def test_digest_depends_on_choice_and_file(root):
    digests = {load_dataset("nyu", root=root, **o).facts["digest"] for o in ({}, {"n": 2}, {"depth": "raw"})}
    assert len(digests) == 3
    write_mat(mat(root), leave_out=["rawDepths"])
    assert load_dataset("nyu", root=root).facts["digest"] not in digests


def test_lists_come_first_unless_raw_depth_is_asked_for(root):
    (root / "test.txt").write_text("")
    with pytest.raises(ValueError, match=r"test\.txt to list samples"):
        load_dataset("nyu", root=root)
    assert load_dataset("nyu", root=root, depth="raw").facts["layout"] == "mat"


def test_missing_splits(root):
    (root / "splits.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"official split at .*splits\.mat, but there is none; put"):
        load_dataset("nyu", root=root)


@pytest.mark.parametrize("numbers", [[0, 1], [5, 7]])
def test_splits_of_another_file(root, numbers):
    scipy.io.savemat(root / "splits.mat", {"testNdxs": np.array(numbers)})
    with pytest.raises(ValueError, match=r"testNdxs of .*splits\.mat to hold frame numbers in 1\.\.6"):
        load_dataset("nyu", root=root)


@pytest.mark.parametrize("content", [b"", b"not a mat file at all" * 20])
def test_damaged_splits(root, content):
    (root / "splits.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"splits\.mat to be a MAT file with testNdxs, but reading it failed"):
        load_dataset("nyu", root=root)


def test_splits_without_the_key(root):
    scipy.io.savemat(root / "splits.mat", {"other": np.array([1])})
    with pytest.raises(ValueError, match=r"MAT file with testNdxs"):
        load_dataset("nyu", root=root)


def test_an_old_mat_is_no_labelled_file(root):
    scipy.io.savemat(mat(root), {"images": np.zeros((2, 2))})
    with pytest.raises(ValueError, match=r"MATLAB v7\.3, an HDF5 file\), but it is no HDF5 file; download it again"):
        load_dataset("nyu", root=root)


def test_a_download_that_broke_off(root):
    mat(root).write_bytes(mat(root).read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"to be a complete nyu_depth_v2_labeled\.mat, but .*download it again"):
        load_dataset("nyu", root=root)


@pytest.mark.parametrize("key", ["images", "depths", "scenes"])
def test_a_missing_array(root, key):
    write_mat(mat(root), leave_out=[key])
    with pytest.raises(ValueError, match=rf"to hold \['{key}'\], but it has only"):
        load_dataset("nyu", root=root)


def test_axes_in_another_order(root):
    images, _, _ = frames()
    write_mat(mat(root), images=images)
    with pytest.raises(
        ValueError, match=r"images \(N,3,W,H\), depths \(N,W,H\) and N scenes, but got \(6, 12, 16, 3\)"
    ):
        load_dataset("nyu", root=root)


def test_an_all_invalid_frame_is_one_bad_sample(root):
    _, dense, _ = frames()
    dense[1] = 0
    write_mat(mat(root), depths=dense.transpose(0, 2, 1))
    with pytest.raises(SampleError, match=r"the depth of frame 2 of .* at least one valid pixel"):
        load_dataset("nyu", root=root).load([0, 1])
    dataset = load_dataset("nyu", root=root, on_error="skip")
    assert [s for batch in dataset for s in batch.sample] == ["nyu-00001", "nyu-00005", "nyu-00006"]
    assert list(dataset.skipped) == ["nyu-00002"]


def test_nan_in_depth_is_invalid_and_leaves_no_nan(root):
    _, dense, _ = frames()
    dense[0, 2, 3], dense[0, 4, 5] = np.nan, np.inf
    write_mat(mat(root), depths=dense.transpose(0, 2, 1))
    batch = load_dataset("nyu", root=root).load([0])[0]
    assert sorted((~batch.valid[0, 0]).nonzero().tolist()) == [[2, 3], [4, 5]]
    assert torch.isfinite(batch.depth).all()


def test_a_frame_that_cannot_be_read_names_file_and_frame(root):
    dataset = load_dataset("nyu", root=root)
    mat(root).unlink()
    with pytest.raises(SampleError, match=r"frame 1 of .*nyu_depth_v2_labeled\.mat to be readable"):
        dataset.load([0])


def test_full_frames_carry_intrinsics(tmp_path):
    images = np.zeros((N, 3, 640, 480), np.uint8)
    write_mat(tmp_path / "nyu_depth_v2_labeled.mat", images=images, depths=np.ones((N, 640, 480), np.float32))
    scipy.io.savemat(tmp_path / "splits.mat", {"testNdxs": np.array([[1]])})
    batch = load_dataset("nyu", root=tmp_path).load([0])[0]
    assert batch.image.shape[-2:] == (480, 640)
    assert batch.intrinsics[0, 0, 2].item() == pytest.approx(325.5824)
