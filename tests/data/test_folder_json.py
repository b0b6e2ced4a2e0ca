"""`folder` with a `dataset.json`, the form in which scenes are written."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from depthprobe.data import SampleError, load_dataset

H, W = 6, 8
CAMERA = [[100.0, 0, 3.5], [0, 100.0, 2.5], [0, 0, 1]]


def entry(i, **changes):
    sample = {"id": f"rooms-{i}", "group": f"house-{i // 2}", "image": f"images/{i}.png", "depth": f"depth/{i}.png"}
    return sample | {"intrinsics": CAMERA} | changes


def describe(root, *, samples=None, **changes):
    content = {
        "format": "depthprobe-folder",
        "version": 1,
        "depth": {"unit": "m", "scale": 0.00025, "invalid": 0},
        "samples": [entry(i) for i in range(4)] if samples is None else samples,
        "facts": {"kind": "rooms", "scenes_version": 1},
    } | changes
    (root / "dataset.json").write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


@pytest.fixture
def root(tmp_path):
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
    for i in range(4):
        Image.fromarray(np.full((H, W, 3), 40 * i, np.uint8)).save(tmp_path / f"images/{i}.png")
        Image.fromarray(np.full((H, W), 4000 * (i + 1), np.uint16)).save(tmp_path / f"depth/{i}.png")
    describe(tmp_path)
    return tmp_path


def test_everything_is_taken_from_the_description(root):
    dataset = load_dataset("folder", root=root)
    assert dataset.samples == ["rooms-0", "rooms-1", "rooms-2", "rooms-3"]
    assert dataset.groups == ["house-0", "house-0", "house-1", "house-1"]
    batch = next(iter(dataset))
    assert torch.allclose(batch.depth[:, 0, 0, 0], torch.tensor([1.0, 2, 3, 4]))
    assert torch.allclose(batch.image[:, 1, 0, 0], torch.tensor([0, 40, 80, 120]) / 255)
    assert torch.equal(batch.intrinsics, torch.tensor(CAMERA).expand(4, 3, 3))
    assert dataset.facts["source"] == {"kind": "rooms", "scenes_version": 1}
    assert (dataset.facts["layout"], dataset.facts["scale"], dataset.facts["n"]) == ("dataset.json", 0.00025, 4)


def test_the_file_itself_may_be_the_root(root):
    assert load_dataset("folder", root=root / "dataset.json").facts == load_dataset("folder", root=root).facts


def test_floating_depth_takes_the_declared_scale_too(root):
    np.save(root / "depth/0.npy", np.full((H, W), 2.0, np.float32))
    describe(root, samples=[entry(0, depth="depth/0.npy")], depth={"unit": "m", "scale": 1, "invalid": -1})
    assert torch.equal(load_dataset("folder", root=root).load([0])[0].depth, torch.full((1, 1, H, W), 2.0))


@pytest.mark.parametrize(("invalid", "bad"), [(0, 1), (None, 1), (4000, 48), ([7, 9], 3)])
def test_invalid_values(root, invalid, bad):
    array = np.full((H, W), 4000, np.uint16)
    array[0, :3] = [0, 7, 9]
    Image.fromarray(array).save(root / "depth/0.png")
    describe(root, samples=[entry(0)], depth={"unit": "m", "scale": 0.001, "invalid": invalid})
    valid = load_dataset("folder", root=root).load([0])[0].valid
    expected = {1: [0], 3: [0, 1, 2], 48: [0, *range(3, W)]}[bad]
    assert (~valid[0, 0, 0]).nonzero().flatten().tolist() == expected


def test_disparity_may_be_declared(root):
    describe(root, depth={"unit": "m", "scale": 0.0001, "stores": "disparity"})
    assert load_dataset("folder", root=root).load([0])[0].depth[0, 0, 0, 0].item() == pytest.approx(2.5)


def test_what_may_be_left_out(root):
    samples = [{k: v for k, v in entry(i).items() if k not in ("group", "intrinsics")} for i in range(2)]
    describe(root, samples=samples, facts=...)
    dataset = load_dataset("folder", root=root)
    assert dataset.groups == dataset.samples
    assert next(iter(dataset)).intrinsics is None


def test_split_selects_only_where_samples_name_theirs(root):
    assert len(load_dataset("folder", root=root, split="train")) == 4
    assert load_dataset("folder", root=root, split="train").facts["split"] == "all"
    describe(root, samples=[entry(i, split="train" if i else "test") for i in range(4)])
    assert load_dataset("folder", root=root, split="test").samples == ["rooms-0"]
    assert load_dataset("folder", root=root, split="train").facts["split"] == "train"
    with pytest.raises(ValueError, match=r"`split` to be one of \['test', 'train'\] .* but got 'val'"):
        load_dataset("folder", root=root, split="val")


def test_plain_options_beside_a_description_are_refused(root):
    with pytest.raises(
        ValueError, match=r"Expected no \['scale', 'unit'\] beside .*dataset\.json, which declares them"
    ):
        load_dataset("folder", root=root, scale=1, unit="m")


WRONG = {
    "format": ({"format": "coco"}, r'to say "format": "depthprobe-folder", but got \'coco\''),
    "version": ({"version": 2}, r"of version 1, but got 2; read it with the depthprobe that wrote it"),
    "no depth": ({"depth": ...}, r'to declare "depth"'),
    "no scale": ({"depth": {"unit": "m"}}, r'to declare "depth"'),
    "scale": ({"depth": {"unit": "m", "scale": "x"}}, r"to declare a usable `depth`"),
    "unit": ({"depth": {"unit": "ft", "scale": 1}}, r"usable `depth`: Expected `unit` to be one of"),
    "no samples": ({"samples": []}, r"a list `samples` with at least one entry"),
    "samples": ({"samples": {"a": 1}}, r"a list `samples` with at least one entry"),
    "entry": ({"samples": [entry(0), "x"]}, r"dataset\.json sample 1 to have the texts `id`, `image` and `depth`"),
    "no image": ({"samples": [entry(0, image=None)]}, r"sample 0 to have the texts"),
    "absolute": ({"samples": [entry(0, image="/etc/passwd")]}, r"sample 0 to name a file below .*'/etc/passwd'"),
    "climbs": ({"samples": [entry(0, depth="../d.png")]}, r"sample 0 to name a file below .* without `\.\.`"),
    "climbs inside": ({"samples": [entry(0, depth="depth/../../d.png")]}, r"sample 0 to name a file below"),
    "camera": ({"samples": [entry(0, intrinsics=[[1, 2], [3, 4]])]}, r"sample 0 to give intrinsics as"),
    "twice": (
        {"samples": [entry(0), entry(1), entry(0)]},
        r"unique sample ids, but .*sample 0 and .*sample 2 are both",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_description_is_explained(root, case):
    changes, sentence = WRONG[case]
    describe(root, **changes)
    with pytest.raises(ValueError, match=sentence) as caught:
        load_dataset("folder", root=root, on_error="skip")
    assert not isinstance(caught.value, SampleError)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00"])
def test_what_is_no_description(root, text):
    (root / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=r"Expected .*dataset\.json to (be JSON|say)"):
        load_dataset("folder", root=root)


def test_a_missing_file_names_the_entry_and_can_be_skipped(root):
    (root / "depth/2.png").unlink()
    with pytest.raises(SampleError, match=r"a file at .*2\.png \(.*dataset\.json sample 2\), but there is none"):
        load_dataset("folder", root=root)
    dataset = load_dataset("folder", root=root, on_error="skip")
    assert sum(len(batch) for batch in dataset) == 3
    assert list(dataset.skipped) == ["rooms-2"]
