"""`tum`, `7scenes` and `sunrgbd` on miniature copies."""

import itertools

import miniatures
import numpy as np
import pytest
import scipy.io
import torch
from miniatures import SUN_TEST, H, W, picture, png16, rotated

from depthprobe.data import SampleError, load_dataset
from depthprobe.data.sunrgbd import unrotated
from depthprobe.data.tum import associate

SEQUENCE = "rgbd_dataset_freiburg1_xyz"


@pytest.fixture
def tum(tmp_path):
    miniatures.tum(tmp_path)
    return tmp_path


@pytest.fixture
def scenes(tmp_path):
    miniatures.seven_scenes(tmp_path)
    return tmp_path


@pytest.fixture
def sun(tmp_path):
    miniatures.sunrgbd(tmp_path)
    return tmp_path


# --- TUM RGB-D ---


def test_tum_depth_is_the_stored_number_over_5000(tum):
    stored = np.zeros((H, W), np.uint16)
    stored[0, 0], stored[5, 7] = 5000, 65535
    png16(tum / SEQUENCE / "depth/1.010000.png", stored)
    batch = load_dataset("tum", root=tum).load([0])[0]
    assert batch.valid[0, 0].nonzero().tolist() == [[0, 0], [5, 7]]
    assert batch.depth[0, 0, 0, 0] == 1
    assert batch.depth[0, 0, 5, 7].item() == pytest.approx(13.107)


def test_tum_pairs_by_time_in_the_order_of_the_pictures(tum):
    for root in (tum, tum / SEQUENCE):
        dataset = load_dataset("tum", root=root)
        assert list(dataset.samples) == [f"tum-freiburg1_xyz-{t:.6f}" for t, _ in miniatures.TUM_TIMES]
        assert set(dataset.groups) == {"tum-freiburg1_xyz"}
    assert len(load_dataset("tum", root=tum, max_difference=0.005)) == 1
    with pytest.raises(ValueError, match=r"1 sequences and no picture with a depth map within 0\.001 s"):
        load_dataset("tum", root=tum, max_difference=0.001)


def slow_associate(first, second, most):
    """associate.py: all pairs, sorted by difference, taken while both are free."""
    free_a, free_b, pairs = set(range(len(first))), set(range(len(second))), []
    every = itertools.product(range(len(first)), range(len(second)))
    for i, j in sorted(every, key=lambda p: (abs(first[p[0]] - second[p[1]]), p)):
        if abs(first[i] - second[j]) < most and i in free_a and j in free_b:
            free_a.remove(i)
            free_b.remove(j)
            pairs.append((i, j))
    return sorted(pairs)


@pytest.mark.parametrize("seed", range(4))
def test_association_is_the_benchmarks(seed):
    rng = np.random.default_rng(seed)
    first, second = (list(rng.uniform(0, 1, size)) for size in (40, 30))
    pairs = associate(first, second, 0.02)
    assert pairs == slow_associate(first, second, 0.02)
    assert 5 < len(pairs) < 30


@pytest.mark.parametrize(("number", "focal"), [(1, 517.3), (2, 520.9), (3, 535.4)])
def test_tum_cameras_by_the_folders_name(tum, number, focal):
    place = (tum / SEQUENCE).rename(tum / f"rgbd_dataset_freiburg{number}_desk")
    picture(place / "rgb/1.000000.png", size=(480, 640))
    (place / "depth/1.010000.png").unlink()
    from PIL import Image

    Image.fromarray(np.full((480, 640), 5000, np.uint16)).save(place / "depth/1.010000.png")
    dataset = load_dataset("tum", root=tum)
    assert dataset.load([0])[0].intrinsics[0, 0, 0].item() == pytest.approx(focal)
    assert dataset.load([1])[0].intrinsics is None, "the camera is that of 480x640"


def test_tum_lists_that_are_wrong(tum):
    lists = tum / SEQUENCE
    for line, sentence in (("1.0 ../x.png", "to name a file below"), ("now rgb/x.png", "to read `timestamp file`"),
                           ("1.0", "to read `timestamp file`"), ("1.0 rgb/gone.png", "there is none")):  # fmt: skip
        (lists / "rgb.txt").write_text(f"# head\n{line}\n")
        with pytest.raises(ValueError, match=sentence) as caught:
            load_dataset("tum", root=tum)
        assert "rgb.txt:2" in str(caught.value)
    (lists / "depth.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"depth\.txt of the sequence, but there is none"):
        load_dataset("tum", root=tum)


# --- 7-Scenes ---


def test_7scenes_depth_in_millimetres_with_65535_unknown(scenes):
    stored = np.full((H, W), 1234, np.uint16)
    stored[0, 0], stored[0, 1] = 65535, 0
    png16(scenes / "chess/seq-03/frame-000000.depth.png", stored)
    batch = load_dataset("7scenes", root=scenes).load([0])[0]
    assert (~batch.valid[0, 0]).nonzero().tolist() == [[0, 0], [0, 1]]
    assert batch.depth[0, 0, 5, 7].item() == pytest.approx(1.234)
    assert torch.isfinite(batch.depth).all()


def test_7scenes_split_by_sequence_and_group_by_scene(scenes):
    dataset = load_dataset("7scenes", root=scenes)
    assert list(dataset.samples) == ["7scenes-chess-03-000000", "7scenes-chess-03-000001", "7scenes-fire-01-000000"]
    assert list(dataset.groups) == ["7scenes-chess", "7scenes-chess", "7scenes-fire"]
    assert load_dataset("7scenes", root=scenes, split="train").samples == ["7scenes-chess-01-000000"]
    assert len(load_dataset("7scenes", root=scenes / "chess")) == 2


@pytest.mark.parametrize(
    ("line", "sentence"),
    [("../chess", "to read `sequenceN`"), ("sequence9", "in .*seq-09, but there are none; unpack the sequence there")],
)
def test_7scenes_lists_that_are_wrong(scenes, line, sentence):
    (scenes / "fire/TestSplit.txt").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=sentence):
        load_dataset("7scenes", root=scenes)


def test_7scenes_without_a_depth_map(scenes):
    (scenes / "fire/seq-01/frame-000000.depth.png").unlink()
    with pytest.raises(SampleError, match=r"frame-000000\.depth\.png .*TestSplit\.txt:1\), but there is none"):
        load_dataset("7scenes", root=scenes)
    dataset = load_dataset("7scenes", root=scenes, on_error="skip")
    assert sum(len(batch) for batch in dataset) == 2


# --- SUN RGB-D ---


def test_sun_numbers_are_turned_left_by_three_bits(sun):
    every = np.arange(1 << 16, dtype=np.uint16)
    by_text = np.array([int(f"{int(x):016b}"[-3:] + f"{int(x):016b}"[:-3], 2) for x in every[::97]])
    assert (unrotated(every[::97]) == by_text).all()
    stored = np.full((H, W), rotated(2500), np.uint16)
    stored[0, :3] = [rotated(1), rotated(9000), 0]
    png16(sun / "SUNRGBD" / SUN_TEST[0] / "depth_bfx/picture.png", stored)
    batch = load_dataset("sunrgbd", root=sun).load([0])[0]
    assert batch.depth[0, 0, 0, :4].tolist() == pytest.approx([0.001, 9.0, 0.0, 2.5])
    assert (~batch.valid[0, 0]).nonzero().tolist() == [[0, 2]]
    assert batch.intrinsics[0].tolist() == [[10, 0, 4], [0, 11, 3], [0, 0, 1]]


def test_sun_raw_depth_is_the_other_folder(sun):
    assert load_dataset("sunrgbd", root=sun, depth="raw").load([0])[0].depth.unique().item() == pytest.approx(2.6)


def test_sun_splits_and_groups(sun):
    dataset = load_dataset("sunrgbd", root=sun)
    assert list(dataset.samples) == [f"sunrgbd-{name.replace('/', '-')}" for name in SUN_TEST]
    assert list(dataset.groups) == [
        "sunrgbd-nyu-block-000", "sunrgbd-kv2-kinect2data-000002_2014-05-26", "sunrgbd-xtion-sun3ddata-mit-hall",
    ]  # fmt: skip
    assert load_dataset("sunrgbd", root=sun, split="train").samples == ["sunrgbd-realsense-lg-a"]
    (sun / "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat").unlink()
    assert len(load_dataset("sunrgbd", root=sun, split="all")) == 4
    with pytest.raises(FileNotFoundError, match=r'allsplit\.mat, but there is none; .* or take split="all"'):
        load_dataset("sunrgbd", root=sun)


@pytest.mark.parametrize("name", ["/n/fs/sun3d/data/SUNRGBD/../../x", "../../x"])
def test_a_sun_split_that_leaves_the_root(sun, name):
    cell = {"alltest": np.array([[name]], dtype=object)}
    scipy.io.savemat(sun / "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat", cell)
    with pytest.raises(ValueError, match=r"allsplit\.mat entry 1 to name a file below"):
        load_dataset("sunrgbd", root=sun, on_error="skip")


def test_a_damaged_sun_split(sun):
    (sun / "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"allsplit\.mat to be a MAT file with alltest, but reading it failed"):
        load_dataset("sunrgbd", root=sun)


FAULTS = {
    "camera": (lambda f: (f / "intrinsics.txt").write_text("1 2 3"), "nine numbers of a camera matrix"),
    "words": (lambda f: (f / "intrinsics.txt").write_text("a " * 9), "nine numbers of a camera matrix"),
    "no camera": (lambda f: (f / "intrinsics.txt").unlink(), r"intrinsics\.txt .*but there is none"),
    "no depth": (lambda f: (f / "depth_bfx/picture.png").unlink(), r"depth_bfx.* but there is none"),
    "no picture": (lambda f: (f / "image/picture.jpg").unlink(), r"image.* but there is none"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_unusable_sun_frame_is_named_or_skipped(sun, fault):
    spoil, sentence = FAULTS[fault]
    spoil(sun / "SUNRGBD" / SUN_TEST[1])
    with pytest.raises(SampleError, match=sentence):
        list(load_dataset("sunrgbd", root=sun))
    dataset = load_dataset("sunrgbd", root=sun, on_error="skip")
    assert sum(len(batch) for batch in dataset) == 2
    assert len(dataset.skipped) == 1
