"""`kitti` on a miniature copy of the raw layout: the list, the two depths, and a planted LiDAR point."""

import numpy as np
import pytest
import torch
from miniatures import CAM_TO_CAM, DAY, VELO_TO_CAM, H, W, drive, kitti, picture, png16, scan
from PIL import Image

from depthprobe.data import SampleError, load_dataset
from depthprobe.data.kitti import EIGEN_TEST
from depthprobe.data.kitti_lidar import project, read_calibration
from depthprobe.functional.protocol import evaluate, get_protocol
from depthprobe.probes.reading import as_read

TRUTH = "proj_depth/groundtruth/image_02"


@pytest.fixture
def root(tmp_path):
    kitti(tmp_path)
    return tmp_path


def set_lines(root, *lines, name="splits/eigen/test_files.txt"):
    (root / name).write_text("\n".join(lines) + "\n")


def bts(d, frame, *, depth=None, focal="721.5377"):
    truth = f"{drive(d)}/{TRUTH}/{frame:010d}.png" if depth is None else depth
    return f"{DAY}/{drive(d)}/image_02/data/{frame:010d}.png {truth} {focal}"


def test_improved_depth_is_the_stored_number_over_256(root):
    stored = np.zeros((H, W), np.uint16)
    stored[0, 0], stored[5, 7], stored[2, 3] = 1, 65535, 20000
    png16(root / f"data_depth_annotated/val/{drive(1)}/{TRUTH}/{7:010d}.png", stored)
    array = picture(root / f"{DAY}/{drive(1)}/image_02/data/{7:010d}.png", seed=9)
    batch = load_dataset("kitti", root=root).load([1])[0]
    assert batch.valid[0, 0].nonzero().tolist() == [[0, 0], [2, 3], [5, 7]]
    assert batch.depth[0, 0, 0, 0] == 1 / 256
    assert batch.depth[0, 0, 5, 7] == np.float32(65535 / 256)
    assert batch.depth[0, 0, 2, 3] == 78.125
    assert torch.equal(batch.image[0], torch.from_numpy(array).permute(2, 0, 1) / 255)
    assert batch.intrinsics[0].tolist() == [[10, 0, 4], [0, 10, 3], [0, 0, 1]]


def test_ids_groups_and_what_is_left_out(root):
    dataset = load_dataset("kitti", root=root)
    assert list(dataset.samples) == [f"kitti-{DAY}_drive_{d:04d}-{f:010d}" for d, f in ((1, 0), (1, 7), (2, 0))]
    assert list(dataset.groups) == [f"{DAY}_drive_0001"] * 2 + [f"{DAY}_drive_0002"]
    assert dataset.facts["frames_without_depth"] == 1, "frame 7 of drive 2 has no improved depth"
    assert dataset.facts["images"] == [".png"]
    assert dataset.protocol == "bts_kitti"
    assert len(load_dataset("kitti", root=root, depth="raw")) == 4


def test_jpeg_copies_of_the_pictures(root):
    image = root / f"{DAY}/{drive(1)}/image_02/data/{0:010d}.png"
    with Image.open(image) as picture_there:
        picture_there.save(image.with_suffix(".jpg"))
    image.unlink()
    dataset = load_dataset("kitti", root=root)
    assert dataset.facts["images"] == [".jpg", ".png"]
    assert len(dataset.load([0])[0]) == 1


@pytest.mark.parametrize("base", ["train", "data_depth_annotated/train", "", DAY])
def test_where_improved_depth_may_lie(root, base):
    old = root / "data_depth_annotated/val" / drive(1)
    new = root / base / drive(1)
    new.mkdir(parents=True, exist_ok=True)
    (old / "proj_depth").rename(new / "proj_depth")
    assert len(load_dataset("kitti", root=root)) == 3


# --- lists ---


def test_the_lists_of_bts_and_eigen(root):
    (root / "splits/eigen/test_files.txt").unlink()
    name = "eigen_test_files_with_gt.txt"
    set_lines(root, bts(1, 0), "/" + bts(2, 0), bts(1, 7, depth="None"), name=name)
    dataset = load_dataset("kitti", root=root)
    assert [s[-10:] for s in dataset.samples] == ["0000000000"] * 2
    assert (dataset.facts["frames_without_depth"], dataset.facts["layout"]) == (1, name)
    set_lines(root, bts(1, 7).split()[0], "", bts(2, 0).split()[0], name="mine.txt")
    assert len(load_dataset("kitti", root=root, files="mine.txt")) == 2


def test_the_right_camera(root):
    base = root / DAY / drive(1)
    picture(base / f"image_03/data/{0:010d}.png")
    png16(root / f"data_depth_annotated/val/{drive(1)}/proj_depth/groundtruth/image_03/{0:010d}.png", 512)
    set_lines(root, f"{DAY}/{drive(1)} 0 l", f"{DAY}/{drive(1)} 0 r")
    dataset = load_dataset("kitti", root=root)
    assert dataset.samples[1] == f"{dataset.samples[0]}-right"
    assert dataset.load([1])[0].depth.max() == 2


@pytest.mark.parametrize(
    "line", [f"{DAY}/{drive(1)} 0", f"{DAY}/{drive(1)} 0 x", "a b c", f"2011_09_28/{drive(1)} 0 l"]
)
def test_a_malformed_line(root, line):
    set_lines(root, f"{DAY}/{drive(1)} 0 l", line)
    with pytest.raises(ValueError, match=r"test_files\.txt:2 to read `DATE/DATE_drive_NNNN_sync FRAME l\|r` or"):
        load_dataset("kitti", root=root)


@pytest.mark.parametrize("line", ["../secret 0 l", bts(1, 0, depth="../secret.png"), "/../x.png a 7"])
def test_a_line_that_leaves_the_root(root, line):
    set_lines(root, line)
    with pytest.raises(ValueError, match=r"test_files\.txt:1 to name a file below"):
        load_dataset("kitti", root=root, on_error="skip")


def test_a_list_that_is_missing_empty_or_outside(root):
    with pytest.raises(FileNotFoundError, match=r"has none of \['splits/eigen/val_files\.txt'.*name it by `files`"):
        load_dataset("kitti", root=root, split="val")
    with pytest.raises(ValueError, match="`files` to name a file below"):
        load_dataset("kitti", root=root, files="../list.txt")
    set_lines(root, bts(1, 0, depth="None"))
    with pytest.raises(ValueError, match="to list frames, but no line has one with depth"):
        load_dataset("kitti", root=root)
    (root / "splits/eigen/test_files.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"test_files\.txt to be text \(UTF-8\)"):
        load_dataset("kitti", root=root)


def test_a_copy_without_all_of_the_improved_depth(root, monkeypatch):
    monkeypatch.setitem(EIGEN_TEST, 4, 4)
    with pytest.raises(ValueError, match=r"for 4 of the 4 frames of .*, but found 3; complete data_depth_annotated"):
        load_dataset("kitti", root=root)
    assert len(load_dataset("kitti", root=root, on_error="skip")) == 3
    set_lines(root, f"{DAY}/{drive(2)} 7 l")
    with pytest.raises(ValueError, match="found none of 1"):
        load_dataset("kitti", root=root)


# --- raw depth ---


def scene(x, y, z):
    """The scanner's point (forward, left, up) that the miniature calibration sees at pixel (x, y), counted as in the
    depth map, at depth z: u = (10 X + 4 z + 5) / z with X right, v = (10 Y + 3 z) / z with Y down, depth z; the
    scanner sits 0.25 m behind the camera.
    """
    u, v = x + 1, y + 1
    right, down = (u * z - 4 * z - 5) / 10, (v * z - 3 * z) / 10
    return [z + 0.25, -right, -down]


def raw_map(root, points):
    scan(root / f"{DAY}/{drive(1)}/velodyne_points/data/{0:010d}.bin", points)
    return load_dataset("kitti", root=root, depth="raw").load([0])[0]


def test_a_planted_point_falls_on_its_pixel_with_its_depth(root):
    batch = raw_map(root, [scene(2, 4, 5.0), scene(7, 0, 12.5), scene(0, 5, 20.0)])
    assert batch.valid[0, 0].nonzero().tolist() == [[0, 7], [4, 2], [5, 0]]
    assert batch.depth[0, 0, 4, 2].item() == pytest.approx(5.0, rel=1e-6)
    assert batch.depth[0, 0, 0, 7].item() == pytest.approx(12.5, rel=1e-6)
    assert batch.depth[0, 0, 5, 0].item() == pytest.approx(20.0, rel=1e-6)


def test_the_nearest_point_of_a_pixel_counts_whatever_their_order(root):
    for order in (1, -1):
        batch = raw_map(root, [scene(2, 4, 5.0), scene(2.2, 3.9, 9.0), scene(2, 4, 30.0)][::order])
        assert batch.depth[0, 0, 4, 2].item() == pytest.approx(5.0, rel=1e-6)
        assert batch.valid.sum() == 1


def test_points_behind_outside_or_not_a_number_are_left_out(root):
    points = [
        scene(2, 4, 5.0),
        [-3, 0, 0],
        scene(-1, 2, 5),
        scene(8, 2, 5),
        scene(3, 6, 5),
        [np.nan, 0, 0],
        [0.1, 0, 0],
    ]
    assert raw_map(root, points).valid[0, 0].nonzero().tolist() == [[4, 2]]


def test_the_first_pixel_of_a_row_is_not_the_last_of_the_row_above(root):
    batch = raw_map(root, [scene(7, 1, 5.0), scene(0, 2, 9.0)])
    assert batch.depth[0, 0, 1, 7].item() == pytest.approx(5.0, rel=1e-6)
    assert batch.depth[0, 0, 2, 0].item() == pytest.approx(9.0, rel=1e-6)


def test_the_projection_is_a_loop_over_points(root):
    matrix = read_calibration(root / DAY, 2, velodyne=True).from_velodyne
    points = np.random.default_rng(3).uniform([0, -6, -3], [30, 6, 3], (4000, 3))
    expected = np.zeros((H, W))
    for point in points:
        u, v, z = (sum(matrix[i][j] * point[j] for j in range(3)) + matrix[i][3] for i in range(3))
        if z <= 0:
            continue
        x, y = round(u / z) - 1, round(v / z) - 1
        if 0 <= x < W and 0 <= y < H and (expected[y, x] == 0 or z < expected[y, x]):
            expected[y, x] = z
    assert (expected > 0).sum() > 30
    np.testing.assert_allclose(project(points, matrix, (H, W)), expected, rtol=1e-6)


def test_raw_facts_and_digest(root):
    dataset = load_dataset("kitti", root=root, depth="raw")
    assert dataset.facts["depth"] == "raw"
    (root / DAY / "calib_velo_to_cam.txt").write_text(VELO_TO_CAM.replace("-0.25", "-0.35"))
    changed = load_dataset("kitti", root=root, depth="raw")
    assert changed.facts["digest"] != dataset.facts["digest"], "another calibration is another truth"


# --- what cannot be used ---


def test_without_calibration_there_are_no_intrinsics_and_no_raw_depth(root):
    (root / DAY / "calib_cam_to_cam.txt").unlink()
    assert load_dataset("kitti", root=root).load([0])[0].intrinsics is None
    with pytest.raises(FileNotFoundError, match=r"calibration at .*calib_cam_to_cam\.txt, but there is none"):
        load_dataset("kitti", root=root, depth="raw")


@pytest.mark.parametrize(
    ("old", "new"), [("P_rect_02: 10", "P_rect_02: ten"), ("S_rect_02", "S_rect_99"), ("R_rect_00: 1", "R_rect_00:")]
)
def test_a_damaged_calibration(root, old, new):
    text = CAM_TO_CAM.format(h=H, w=W)
    assert old in text
    (root / DAY / "calib_cam_to_cam.txt").write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=r"calib_cam_to_cam\.txt to give \w+ as \d+ numbers, but got"):
        load_dataset("kitti", root=root, depth="raw")


@pytest.mark.parametrize("content", [b"", b"\0" * 17])
def test_a_damaged_scan_is_one_bad_sample(root, content):
    (root / f"{DAY}/{drive(1)}/velodyne_points/data/{7:010d}.bin").write_bytes(content)
    with pytest.raises(SampleError, match=r"\.bin to hold points of 4 float32 numbers, but it has \d+ bytes"):
        list(load_dataset("kitti", root=root, depth="raw"))
    dataset = load_dataset("kitti", root=root, depth="raw", on_error="skip")
    assert sum(len(batch) for batch in dataset) == 3
    assert list(dataset.skipped) == [f"kitti-{DAY}_drive_0001-{7:010d}"]


def test_a_missing_scan_is_reported_before_the_first_is_read(root):
    (root / f"{DAY}/{drive(2)}/velodyne_points/data/{7:010d}.bin").unlink()
    with pytest.raises(SampleError, match=r"a file at .*0000000007\.bin \(.*test_files\.txt:4\), but there is none"):
        load_dataset("kitti", root=root, depth="raw")


def test_a_scan_for_pictures_of_another_size(root):
    picture(root / f"{DAY}/{drive(1)}/image_02/data/{0:010d}.png", size=(H, W + 1))
    with pytest.raises(SampleError, match="the image is 6x9 and the depth 6x8"):
        load_dataset("kitti", root=root, depth="raw").load([0])


def test_a_frame_of_full_size_is_judged_by_the_protocol(root):
    """A prediction of twice the depth is wrong by 100 %; what lies outside Garg's crop does not count."""
    size = (375, 1242)
    stored = np.zeros(size, np.uint16)
    stored[200, 600], stored[300, 100], stored[100, 600] = 2560, 5120, 256
    truth = root / f"data_depth_annotated/val/{drive(1)}/{TRUTH}/{0:010d}.png"
    Image.fromarray(stored).save(truth)
    picture(root / f"{DAY}/{drive(1)}/image_02/data/{0:010d}.png", size=size)
    set_lines(root, f"{DAY}/{drive(1)} 0 l")
    (batch,) = load_dataset("kitti", root=root)
    protocol = get_protocol("bts_kitti")
    cut, inner = as_read(batch, protocol)
    assert cut.image.shape[-2:] == (352, 1216)
    pred = torch.where(cut.depth == 1, 9.0, cut.depth * 2)
    found = evaluate(pred, cut.depth, cut.valid, kind="metric_depth", protocol=inner)
    assert found["abs_rel"].item() == pytest.approx(1.0)
