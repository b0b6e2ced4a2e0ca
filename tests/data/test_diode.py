"""`diode` on a miniature copy."""

import numpy as np
import pytest
from miniatures import H, W, diode

from depthprobe.data import SampleError, load_dataset
from depthprobe.data.diode import FRAME, INTRINSICS

FIRST = "val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010"


@pytest.fixture
def root(tmp_path):
    diode(tmp_path)
    return tmp_path


def first(root, **options):
    return load_dataset("diode", root=root, **options).load([0])[0]


def test_depth_in_metres_where_the_mask_is_one(root):
    depth = np.arange(H * W, dtype=np.float32).reshape(H, W, 1) / 10
    mask = np.ones((H, W))
    mask[0, 5] = 0
    np.save(root / f"{FIRST}_depth.npy", depth)
    np.save(root / f"{FIRST}_depth_mask.npy", mask)
    batch = first(root)
    assert (~batch.valid[0, 0]).nonzero().tolist() == [[0, 0], [0, 5]], "zero depth, and what the mask leaves out"
    assert batch.depth[0, 0, 3, 4].item() == pytest.approx(2.8)
    assert batch.depth[0, 0, 0, 5] == 0


def test_ids_groups_and_places(root):
    dataset = load_dataset("diode", root=root)
    assert dataset.samples[0] == "diode-00019_00183_indoors_000_010"
    assert list(dataset.groups) == ["diode-scene_00019"] * 2 + ["diode-scene_00022"]
    assert len(load_dataset("diode", root=root, place="indoors")) == 2
    assert load_dataset("diode", root=root, place="outdoor").facts["place"] == "outdoor"


def test_intrinsics_for_full_frames_only(root):
    assert first(root).intrinsics is None
    from miniatures import picture

    picture(root / f"{FIRST}.png", size=FRAME)
    for part, value in (("depth", 2.5), ("depth_mask", 1.0)):
        np.save(root / f"{FIRST}_{part}.npy", np.full(FRAME, value, np.float32))
    assert first(root).intrinsics.flatten().tolist() == pytest.approx(INTRINSICS)


def test_the_digest_follows_the_mask(root):
    before = load_dataset("diode", root=root).facts["digest"]
    mask = np.ones((H, W))
    mask[1, 1] = 0
    np.save(root / f"{FIRST}_depth_mask.npy", mask)
    assert load_dataset("diode", root=root).facts["digest"] != before


FAULTS = {
    "mask size": (lambda r: np.save(r / f"{FIRST}_depth_mask.npy", np.ones((H, W + 1))), r"a mask of \(6, 8\)"),
    "empty mask": (lambda r: np.save(r / f"{FIRST}_depth_mask.npy", np.zeros((H, W))), "at least one valid pixel"),
    "no depth": (lambda r: (r / f"{FIRST}_depth.npy").unlink(), r"_depth\.npy, but there is none"),
    "no mask": (lambda r: (r / f"{FIRST}_depth_mask.npy").unlink(), r"_depth_mask\.npy, but there is none"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_unusable_sample_is_named_or_skipped(root, fault):
    spoil, sentence = FAULTS[fault]
    spoil(root)
    with pytest.raises(SampleError, match=sentence):
        first(root)
    dataset = load_dataset("diode", root=root, on_error="skip")
    assert sum(len(batch) for batch in dataset) == 2
    assert list(dataset.skipped) == ["diode-00019_00183_indoors_000_010"]


def test_what_is_wrong_with_the_whole(root):
    with pytest.raises(ValueError, match=r"has no train/indoors/scene_\*/scan_\*/\*\.png"):
        load_dataset("diode", root=root, split="train")
    with pytest.raises(ValueError, match="`split` to be one of"):
        load_dataset("diode", root=root, split="test")
    with pytest.raises(ValueError, match="`place` to be one of"):
        load_dataset("diode", root=root, place="outdoors")
