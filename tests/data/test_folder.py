"""`folder` with image/depth pairs found by pattern, on miniature copies."""

import numpy as np
import pytest
import torch
from PIL import Image

from depthprobe.data import SampleError, load_dataset

H, W = 6, 8


def write_image(path, mode="RGB", size=(H, W), value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = len(Image.new(mode, (1, 1)).getbands())
    shape = size if bands == 1 else (*size, bands)
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8) if value is None else np.full(shape, value)
    Image.fromarray(array.astype(np.uint8), mode=None).save(path)
    return array


def write_depth(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array) if path.suffix == ".npy" else Image.fromarray(array).save(path)


@pytest.fixture
def root(tmp_path):
    """Three pairs a, b, c with 2.5 m everywhere."""
    for stem in "abc":
        write_image(tmp_path / f"images/{stem}.png")
        write_depth(tmp_path / f"depth/{stem}.png", np.full((H, W), 2500, np.uint16))
    return tmp_path


def first(root, **options):
    return load_dataset("folder", root=root, **options).load([0])[0]


def test_pairs_by_name(root):
    dataset = load_dataset("folder", root=root)
    assert dataset.samples == dataset.groups == ["a", "b", "c"]
    batch = next(iter(dataset))
    assert batch.image.shape == (3, 3, H, W)
    assert torch.equal(batch.depth, torch.full((3, 1, H, W), 2.5))
    assert batch.valid.all()
    assert batch.intrinsics is None


def test_image_values_and_channel_order(root):
    array = write_image(root / "images/a.png")
    image = first(root).image[0]
    assert torch.equal(image, torch.from_numpy(array).permute(2, 0, 1) / 255)


# --- declared unit, scale, invalid value, depth or disparity ---

DECLARED = [
    ({}, 2500, 2.5),
    ({"scale": 0.01}, 250, 2.5),
    ({"scale": 1, "unit": "mm"}, 2500, 2.5),
    ({"scale": 1, "unit": "cm"}, 250, 2.5),
    ({"scale": "0.00390625"}, 640, 2.5),
    ({"scale": 0.001, "stores": "disparity"}, 400, 2.5),
    ({"scale": 0.001, "stores": "disparity", "unit": "cm"}, 4, 2.5),
]


@pytest.mark.parametrize(("options", "stored", "metres"), DECLARED)
def test_integer_files_become_metres(root, options, stored, metres):
    write_depth(root / "depth/a.png", np.full((H, W), stored, np.uint16))
    assert torch.allclose(first(root, **options).depth, torch.tensor(metres))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("shape", [(H, W), (H, W, 1), (1, H, W)])
def test_floating_files_are_metres_unless_declared(root, dtype, shape):
    (root / "depth/a.png").unlink()
    values = np.arange(1, H * W + 1, dtype=np.float64).reshape(shape)
    write_depth(root / "depth/a.npy", values.astype(dtype))
    assert torch.equal(first(root).depth.flatten(), torch.arange(1, H * W + 1.0))
    assert torch.allclose(first(root, scale=0.5).depth.flatten(), torch.arange(1, H * W + 1.0) / 2)


def test_integer_npy_and_float_tiff_follow_the_same_rule(root):
    (root / "depth/a.png").unlink()
    write_depth(root / "depth/a.npy", np.full((H, W), 2500, np.int32))
    (root / "depth/b.png").unlink()
    write_depth(root / "depth/b.tif", np.full((H, W), 2.5, np.float32))
    assert torch.allclose(next(iter(load_dataset("folder", root=root))).depth, torch.tensor(2.5))


def test_nan_inf_zero_and_negative_are_invalid_and_leave_no_nan(root):
    (root / "depth/a.png").unlink()
    array = np.full((H, W), 2.0, np.float32)
    array[0, :5] = [np.nan, np.inf, -np.inf, 0, -3]
    write_depth(root / "depth/a.npy", array)
    batch = first(root)
    assert (~batch.valid[0, 0]).nonzero().tolist() == [[0, x] for x in range(5)]
    assert torch.isfinite(batch.depth).all()


@pytest.mark.parametrize(("invalid", "bad"), [(65535, [1]), ((65535, 7), [1, 2]), ("65535", [1]), (0, [])])
def test_the_declared_invalid_value(root, invalid, bad):
    array = np.full((H, W), 2500, np.uint16)
    array[0, 1], array[0, 2] = 65535, 7
    write_depth(root / "depth/a.png", array)
    assert (~first(root, invalid=invalid).valid[0, 0, 0]).nonzero().flatten().tolist() == bad


def test_an_invalid_value_is_compared_in_the_stored_precision(root):
    (root / "depth/a.png").unlink()
    array = np.full((H, W), 2.0, np.float32)
    array[0, 0] = 0.1
    write_depth(root / "depth/a.npy", array)
    assert not first(root, invalid=0.1).valid[0, 0, 0, 0]


def test_zero_disparity_is_invalid_not_infinite(root):
    array = np.full((H, W), 400, np.uint16)
    array[0, 0] = 0
    write_depth(root / "depth/a.png", array)
    batch = first(root, stores="disparity", invalid=65535)
    assert not batch.valid[0, 0, 0, 0]
    assert torch.isfinite(batch.depth).all()


# --- pictures that are not plain RGB ---


def test_grey_becomes_rgb(root):
    grey = write_image(root / "images/a.png", "L")
    image = first(root).image[0]
    assert torch.equal(image, (torch.from_numpy(grey) / 255).expand(3, H, W))


def test_alpha_is_dropped_without_blending(root):
    rgba = write_image(root / "images/a.png", "RGBA")
    assert torch.equal(first(root).image[0], torch.from_numpy(rgba[..., :3].copy()).permute(2, 0, 1) / 255)


def test_palette_is_looked_up(root):
    rgb = np.zeros((H, W, 3), np.uint8)
    rgb[:, 4:] = (255, 0, 128)
    Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE).save(root / "images/a.png")
    assert torch.allclose(first(root).image[0, :, 0, 7], torch.tensor([255, 0, 128]) / 255)


# --- patterns, groups, intrinsics ---


def test_patterns_pair_by_what_the_wildcards_stand_for(tmp_path):
    for scene, number in (("hall", "01"), ("hall", "02"), ("loft", "01")):
        write_image(tmp_path / scene / f"rgb_{number}.jpg")
        write_depth(tmp_path / scene / f"depth_{number}.npy", np.full((H, W), 3.0))
    dataset = load_dataset("folder", root=tmp_path, images="*/rgb_*.jpg", depths="*/depth_*.npy", groups="^([^-]+)-")
    assert dataset.samples == ["hall-01", "hall-02", "loft-01"]
    assert dataset.groups == ["hall", "hall", "loft"]
    assert len(next(iter(dataset))) == 3


def test_patterns_reach_any_depth(tmp_path):
    for place in ("x/y/1", "z/1"):
        write_image(tmp_path / "rgb" / f"{place}.png")
        write_depth(tmp_path / "d" / f"{place}.png", np.full((H, W), 900, np.uint16))
    assert load_dataset("folder", root=tmp_path, images="rgb/**/*.png", depths="d/**/*.*").samples == ["x-y-1", "z-1"]


def test_other_files_are_no_samples(root):
    (root / "images/notes.txt").write_text("x")
    (root / "images/sub").mkdir()
    assert len(load_dataset("folder", root=root)) == 3


def test_groups_from_a_table(root):
    (root / "groups.csv").write_text("id,group\na,x\nb,x\nc,y\n")
    assert load_dataset("folder", root=root, groups="groups.csv").groups == ["x", "x", "y"]


CAMERAS = [
    "500,510,4,3",
    [500, 510, 4, 3],
    [[500, 0, 4], [0, 510, 3], [0, 0, 1]],
    "camera.txt",
    "row.txt",
    "cameras.csv",
]


@pytest.mark.parametrize("given", CAMERAS, ids=str)
def test_intrinsics_in_every_form(root, given):
    (root / "camera.txt").write_text("500 0 4\n0 510 3\n0 0 1\n")
    (root / "row.txt").write_text("500, 510, 4, 3\n")
    (root / "cameras.csv").write_text("id,fx,fy,cx,cy\nb,1,1,1,1\na,500,510,4,3\nc,1,1,1,1\n")
    assert first(root, intrinsics=given).intrinsics.tolist() == [[[500, 0, 4], [0, 510, 3], [0, 0, 1]]]


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_one_number_changed_in_the_middle_of_a_plain_file_is_other_data(root, suffix):
    """Such files keep their size, and often their margins, when depth is corrected; a run must not use old parts."""
    (root / "depth/a.png").unlink()
    depth = np.full((48, 64), 2.0, np.float32)

    def digest():
        write_depth(root / f"depth/a{suffix}", depth)
        return load_dataset("folder", root=root, n=1).facts["digest"]

    before = digest()
    depth[24, 32] = 3.0
    assert digest() != before
    depth[24, 32] = 2.0
    assert digest() == before


def test_facts_declare_everything(root):
    facts = load_dataset("folder", root=root, scale=0.002, unit="cm", invalid=9, n=2).facts
    known = {"root": str(root), "layout": "images/* + depth/*", "scale": 0.002, "unit": "cm", "invalid": [9.0], "n": 2}
    assert {k: facts[k] for k in known} == known
    assert load_dataset("folder", root=root).facts["digest"] != facts["digest"]


def test_skip_leaves_out_unpaired_images_and_counts_them(root):
    (root / "depth/b.png").unlink()
    (root / "images/c.png").unlink()
    dataset = load_dataset("folder", root=root, on_error="skip")
    assert [s for batch in dataset for s in batch.sample] == ["a"]
    assert list(dataset.skipped) == ["b"]
    assert dataset.facts["depths_without_image"] == 1


# --- what is wrong with the whole ---

WRONG = {
    "no root": ({"root": None}, r"Expected `root` to be a folder of images.*but got none; give its place"),
    "scale zero": ({"scale": 0}, r"`scale` to be a positive number, but got 0"),
    "scale nan": ({"scale": "nan"}, r"`scale` to be a positive number, but got nan"),
    "unit": ({"unit": "inch"}, r"`unit` to be one of \['cm', 'm', 'mm'\], but got 'inch'"),
    "stores": ({"stores": "inverse"}, r"`stores` to be one of \['depth', 'disparity'\]"),
    "nothing fits": ({"images": "rgb/*.png"}, r"found 0 images, 3 depth maps and no pair; correct the patterns"),
    "no wildcard": ({"images": "images/a.png"}, r"a pattern with a `\*`"),
    "leaves root": ({"images": "../*/a.png"}, r"a pattern to name a file below .* but got '\.\./\*/a\.png'"),
    "absolute": ({"depths": "/tmp/*.png"}, r"a pattern to name a file below"),
    "expression": ({"groups": "(["}, r"`groups` to be a \.csv file or a regular expression"),
    "no bracket": ({"groups": "a"}, r"`groups` to have a bracket"),
    "misfit": ({"groups": "^(a)"}, r"to fit every sample id, but it fits none of \['b', 'c'\] \(2 of 3\)"),
    "three numbers": ({"intrinsics": [1, 2, 3]}, r"`intrinsics` to give intrinsics as fx, fy, cx, cy or 3x3"),
    "not numbers": ({"intrinsics": "a,b,c,d"}, r"`intrinsics` to hold numbers"),
    "negative focal": ({"intrinsics": "-5,5,1,1"}, r"`intrinsics` to give intrinsics"),
    "batch size": ({"batch_size": 0}, r"`batch_size` to be in \[1, inf\], but got 0"),
    "on_error": ({"on_error": "ignore"}, r"`on_error` to be one of \['raise', 'skip'\]"),
    "n": ({"n": 4}, r"`n` to be in \[1, 3\]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_option_is_explained(root, case):
    options, sentence = WRONG[case]
    with pytest.raises(ValueError, match=sentence) as caught:
        load_dataset("folder", **{"root": root} | options)
    assert not isinstance(caught.value, SampleError)


@pytest.mark.parametrize("option", ["groups", "intrinsics"])
def test_a_missing_table(root, option):
    with pytest.raises(FileNotFoundError, match=rf"Expected `{option}` to name a file, but there is neither .*t\.csv"):
        load_dataset("folder", root=root, **{option: "t.csv"})


TABLES = [
    ("id,scene\na,x\n", r"t\.csv to have the header id,group, but \['group'\] is missing"),
    ("id,group\na,x\nb,x\n", r"a row for every sample, but \['c'\] \(1\) lack one"),
    ("id,group\na,x\nb,\nc,y\n", r"a row for every sample, but \['b'\] \(1\) lack one"),
    ("id,group\na,x\na,y\nb,x\nc,x\n", r"every sample once, but line 3 repeats one"),
]


@pytest.mark.parametrize(("text", "sentence"), TABLES)
def test_a_wrong_table(root, text, sentence):
    (root / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        load_dataset("folder", root=root, groups="t.csv")


def test_two_files_for_one_sample(root):
    write_image(root / "images/a.jpg")
    with pytest.raises(
        ValueError, match=r"one file per sample, but .*a\.jpg and .*a\.png are both 'a'; make the pattern"
    ):
        load_dataset("folder", root=root)


def test_missing_root_and_a_file_as_root(root):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; correct --root"):
        load_dataset("folder", root=root / "nowhere")
    with pytest.raises(ValueError, match=r"a\.png is a file; give its folder"):
        load_dataset("folder", root=root / "images/a.png")


# --- what is wrong with one sample ---


class Trap:
    """Unpickling this would raise a marker that no reader may let through."""

    def __reduce__(self):
        return (exec, ("raise RuntimeError('unpickled')",))


def npy(root, array):
    (root / "depth/b.png").unlink()
    np.save(root / "depth/b.npy", array, allow_pickle=True)


def archive(root):
    (root / "depth/b.png").unlink()
    with (root / "depth/b.npy").open("wb") as file:
        np.savez(file, depth=np.ones((H, W)))


def cut_npy(root):
    npy(root, np.ones((H, W)))
    (root / "depth/b.npy").write_bytes((root / "depth/b.npy").read_bytes()[:-50])


FAULTS = {
    "no depth": (
        lambda r: (r / "depth/b.png").unlink(),
        r"a depth map for .*b\.png, but none matches; add it or remove",
    ),
    "size": (lambda r: write_image(r / "images/b.png", size=(H, W + 1)), r"image is 6x9 and the depth 6x8"),
    "not a picture": (lambda r: (r / "images/b.png").write_bytes(b"hello"), r"b\.png to be a complete, readable file"),
    "8-bit depth": (lambda r: write_image(r / "depth/b.png", "L"), r"16 or 32 bits, but its mode is L"),
    "16-bit image": (
        lambda r: write_depth(r / "images/b.png", np.ones((H, W), np.uint16)),
        r"8-bit picture, but its mode is I;16",
    ),
    "all NaN": (lambda r: npy(r, np.full((H, W), np.nan)), r"at least one valid pixel, but all 48 are"),
    "pickle": (lambda r: npy(r, np.array([Trap()], dtype=object)), r"b\.npy to be a complete, readable file"),
    "archive": (archive, r"b\.npy to hold real numbers, but it holds an archive"),
    "complex": (lambda r: npy(r, np.ones((H, W), complex)), r"b\.npy to hold real numbers, but it holds complex128"),
    "bool": (lambda r: npy(r, np.ones((H, W), bool)), r"b\.npy to hold real numbers, but it holds bool"),
    "shape": (lambda r: npy(r, np.ones((H, W, 3))), r"\(H,W\), \(H,W,1\) or \(1,H,W\), but it has \(6, 8, 3\)"),
    "empty": (lambda r: npy(r, np.ones((0, W))), r"but it has \(0, 8\)"),
    "cut npy": (cut_npy, r"b\.npy to be a complete, readable file.*copy or download it again"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_unusable_sample_is_named_or_skipped(root, fault):
    spoil, sentence = FAULTS[fault]
    spoil(root)
    with pytest.raises(SampleError, match=sentence):
        list(load_dataset("folder", root=root))
    dataset = load_dataset("folder", root=root, on_error="skip")
    assert [s for batch in dataset for s in batch.sample] == ["a", "c"]
    assert list(dataset.skipped) == ["b"]
