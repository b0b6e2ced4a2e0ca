"""A miniature copy of every data set, in exactly its layout: `WRITERS[name](root)` writes it, returns the options."""

import json

import numpy as np
import scipy.io
from PIL import Image

H, W = 6, 8
SIZE = (H, W)


def picture(path, seed=0, size=SIZE):
    """A picture of noise, so that channels and pixels cannot be mixed up unnoticed; returns it (H,W,3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(array).save(path)
    return array


def png16(path, stored):
    """A 16-bit PNG of the stored numbers, one for all pixels or (H,W)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.broadcast_to(np.asarray(stored, np.uint16), SIZE).copy()).save(path)


def folder(root):
    for stem in "abc":
        picture(root / f"images/{stem}.png")
        png16(root / f"depth/{stem}.png", 2500)
    return {}


def nyu(root):
    lines = []
    for number in (1, 2, 21):
        picture(root / f"test/{number:05d}.jpg")
        png16(root / f"test/{number:05d}.png", 2500)
        lines.append(f"test/{number:05d}.jpg test/{number:05d}.png 518.8579\n")
    (root / "test.txt").write_text("".join(lines))
    return {}


DAY = "2011_09_26"
CAM_TO_CAM = """calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
S_rect_02: {w:e} {h:e}
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: 10 0 4 5 0 10 3 0 0 0 1 0
S_rect_03: {w:e} {h:e}
P_rect_03: 10 0 4 -5 0 10 3 0 0 0 1 0
"""
VELO_TO_CAM = """calib_time: 15-Mar-2012 11:37:16
R: 0 -1 0 0 0 -1 1 0 0
T: 0 0 -0.25
delta_f: 0 0
"""


def drive(number):
    return f"{DAY}_drive_{number:04d}_sync"


def kitti(root):
    """Drives 1 and 2 with two frames each; improved depth 4 m; the last listed frame has none."""
    (root / DAY).mkdir(parents=True)
    (root / DAY / "calib_cam_to_cam.txt").write_text(CAM_TO_CAM.format(h=H, w=W))
    (root / DAY / "calib_velo_to_cam.txt").write_text(VELO_TO_CAM)
    for d, frame in ((1, 0), (1, 7), (2, 0), (2, 7)):
        base = root / DAY / drive(d)
        picture(base / f"image_02/data/{frame:010d}.png", seed=d)
        scan(base / f"velodyne_points/data/{frame:010d}.bin", [[4.25, 0, 0]])
        truth = f"data_depth_annotated/val/{drive(d)}/proj_depth/groundtruth/image_02/{frame:010d}.png"
        if (d, frame) != (2, 7):
            png16(root / truth, 4 * 256)
    (root / "splits/eigen").mkdir(parents=True)
    lines = [f"{DAY}/{drive(d)} {frame} l" for d, frame in ((1, 0), (1, 7), (2, 0), (2, 7))]
    (root / "splits/eigen/test_files.txt").write_text("\n".join(lines) + "\n")
    return {}


def scan(path, points):
    """A Velodyne scan of points forward, left, up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.concatenate([np.asarray(points, "<f4"), np.full((len(points), 1), 0.3, "<f4")], axis=1)
    path.write_bytes(rows.astype("<f4").tobytes())


IBIMS_NAMES = ("corridor_01", "corridor_02", "office_01")


def ibims_fields(seed=0):
    """The struct `data` of one picture, as MATLAB holds it."""
    rng = np.random.default_rng(seed)
    wall, floor = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    wall[:2, :4], wall[:2, 4:], floor[4:] = 1, 2, 1
    good = np.ones(SIZE, np.uint8)
    calib = np.array([[10, 0, 0], [0, 11, 0], [4.5, 3.5, 1.0]])
    return {
        "rgb": rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8),
        "depth": rng.uniform(1, 9, SIZE),
        "calib": calib,
        "edges": (np.arange(W) == 4)[None].repeat(H, 0).astype(np.uint8),
        "mask_invalid": good,
        "mask_transp": good.copy(),
        "mask_wall": wall,
        "mask_wall_paras": np.zeros((2, 4)),
        "mask_table": np.zeros(SIZE, np.uint8),
        "mask_table_paras": np.zeros((0, 0)),
        "mask_floor": floor,
        "mask_floor_paras": np.zeros((1, 4)),
    }


def ibims(root):
    for seed, name in enumerate(IBIMS_NAMES):
        scipy.io.savemat(root / f"{name}.mat", {"data": ibims_fields(seed)})
    (root / "imagelist.txt").write_text("\n".join(IBIMS_NAMES) + "\n")
    return {}


def diode(root):
    for kind, scene, number in (("indoors", 19, 0), ("indoors", 19, 1), ("outdoor", 22, 0)):
        stem = f"{scene:05d}_00183_{kind}_{number:03d}_010"
        place = root / f"val/{kind}/scene_{scene:05d}/scan_00183"
        picture(place / f"{stem}.png")
        np.save(place / f"{stem}_depth.npy", np.full((H, W, 1), 2.5, np.float32))
        np.save(place / f"{stem}_depth_mask.npy", np.ones(SIZE))
    return {}


TUM_TIMES = ((1.000, 1.010), (1.033, 1.030), (1.066, 1.075))


def tum(root):
    """A sequence of three frames whose depth maps were taken up to 10 ms apart, and a depth map of no frame."""
    place = root / "rgbd_dataset_freiburg1_xyz"
    for rgb, depth in TUM_TIMES:
        picture(place / f"rgb/{rgb:.6f}.png")
        png16(place / f"depth/{depth:.6f}.png", 12500)
    heads = "# color images\n# file: 'rgbd_dataset_freiburg1_xyz.bag'\n# timestamp filename\n"
    (place / "rgb.txt").write_text(heads + "".join(f"{t:.6f} rgb/{t:.6f}.png\n" for t, _ in TUM_TIMES))
    times = [*(t for _, t in TUM_TIMES), 1.5]
    (place / "depth.txt").write_text(heads + "".join(f"{t:.6f} depth/{t:.6f}.png\n" for t in times))
    return {}


def seven_scenes(root):
    for scene, sequence, number in (("chess", 1, 0), ("chess", 3, 0), ("chess", 3, 1), ("fire", 1, 0)):
        place = root / scene / f"seq-{sequence:02d}"
        picture(place / f"frame-{number:06d}.color.png")
        png16(place / f"frame-{number:06d}.depth.png", 2500)
    for scene, train, test in (("chess", "sequence1", "sequence3"), ("fire", "", "sequence1")):
        (root / scene / "TrainSplit.txt").write_text(train + "\n")
        (root / scene / "TestSplit.txt").write_text(test + "\n")
    return {}


SUN_TEST = (
    "kv1/NYUdata/NYU0001",
    "kv2/kinect2data/000002_2014-05-26_rgbf000103-resize",
    "xtion/sun3ddata/mit/hall/0001",
)


def rotated(millimetres):
    """Stored numbers of SUN RGB-D: millimetres turned left by 3 of their 16 bits."""
    numbers = int(millimetres)
    return (numbers << 3 | numbers >> 13) & 0xFFFF


def sunrgbd(root):
    for name in (*SUN_TEST, "realsense/lg/a"):
        place = root / "SUNRGBD" / name
        picture(place / "image/picture.jpg")
        png16(place / "depth_bfx/picture.png", rotated(2500))
        png16(place / "depth/picture.png", rotated(2600))
        (place / "intrinsics.txt").write_text("10 0 4 0 11 3 0 0 1 ")
    prefix = "/n/fs/sun3d/data/SUNRGBD/"
    cells = {"alltest": SUN_TEST, "alltrain": ("realsense/lg/a",)}
    toolbox = root / "SUNRGBDtoolbox/traintestSUNRGBD"
    toolbox.mkdir(parents=True)
    split = {key: np.array([[prefix + name for name in names]], dtype=object) for key, names in cells.items()}
    scipy.io.savemat(toolbox / "allsplit.mat", split)
    return {}


def hub(root):
    """A folder of Parquet files as the Hub has them: pictures as structs of bytes and path."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    def encoded(array):
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, "PNG")
        return {"bytes": stream.getvalue(), "path": None}

    rng = np.random.default_rng(0)
    images = [encoded(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)) for _ in range(3)]
    depths = [encoded(np.full(SIZE, 2500, np.uint16)) for _ in range(3)]
    stored = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(images, stored), "depth": pa.array(depths, stored), "scene": ["a", "a", "b"],
               "name": ["x", "y", "z"]}  # fmt: skip
    picture_type = {"_type": "Image"}
    text_type = {"dtype": "string", "_type": "Value"}
    features = {"image": picture_type, "depth": picture_type, "scene": text_type, "name": text_type}
    described = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pa.table(columns).replace_schema_metadata(described)
    (root / "data").mkdir(parents=True)
    pq.write_table(table, root / "data/test-00000-of-00001.parquet")
    return {}


WRITERS = {
    "folder": folder,
    "nyu": nyu,
    "kitti": kitti,
    "ibims": ibims,
    "diode": diode,
    "tum": tum,
    "7scenes": seven_scenes,
    "sunrgbd": sunrgbd,
    "hub": hub,
}
