"""`nyu` in the list layout of the depth literature, on miniature copies, and on the real frames where they are."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from depthprobe.data import SampleError, load_dataset
from depthprobe.data.nyu import INTRINSICS

FOCAL = "518.8579"


def write_frame(root, stem, *, size=(12, 16), depth=None, suffix=".jpg"):
    h, w = size
    rng = np.random.default_rng(sum(map(ord, stem)))
    (root / stem).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)).save(root / f"{stem}{suffix}")
    stored = rng.integers(700, 9000, (h, w)).astype(np.uint16) if depth is None else depth
    Image.fromarray(stored).save(root / f"{stem}.png")
    return stored


@pytest.fixture
def root(tmp_path):
    """Test frames 1, 2, 9, 14, 21 and train frame 3, as the official numbering has them."""
    for number in (1, 2, 9, 14, 21):
        write_frame(tmp_path, f"test/{number:05d}")
    write_frame(tmp_path, "train/00003")
    lines = [f"test/{n:05d}.jpg test/{n:05d}.png {FOCAL}" for n in (1, 2, 9, 14, 21)]
    (tmp_path / "test.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "train.txt").write_text(f"train/00003.jpg train/00003.png {FOCAL}\n")
    return tmp_path


def set_lines(root, *lines, split="test"):
    (root / f"{split}.txt").write_text("\n".join(lines) + "\n")


def test_values_are_the_stored_millimetres_and_the_picture_in_0_1(root):
    stored = np.zeros((12, 16), np.uint16)
    stored[0, 0], stored[11, 15] = 1234, 9999
    write_frame(root, "test/00001", depth=stored)
    batch = load_dataset("nyu", root=root).load([0])[0]
    assert batch.image.shape == (1, 3, 12, 16)
    assert batch.image.dtype == batch.depth.dtype == torch.float32
    assert batch.depth[0, 0, 0, 0].item() == pytest.approx(1.234)
    assert batch.depth[0, 0, 11, 15].item() == pytest.approx(9.999)
    assert batch.valid.sum() == 2
    assert batch.valid[0, 0, 0, 0]
    with Image.open(root / "test/00001.jpg") as picture:
        expected = np.asarray(picture).astype(np.float32) / 255
    for channel in range(3):
        np.testing.assert_allclose(batch.image[0, channel], expected[:, :, channel], atol=1e-7)


def test_ids_are_official_numbers_and_groups_blocks_of_ten(root):
    dataset = load_dataset("nyu", root=root)
    assert list(dataset.samples) == ["nyu-00001", "nyu-00002", "nyu-00009", "nyu-00014", "nyu-00021"]
    assert list(dataset.groups) == ["nyu-block-000"] * 3 + ["nyu-block-001", "nyu-block-002"]
    assert load_dataset("nyu", root=root, split="train").samples == ["nyu-00003"]


@pytest.mark.parametrize(("number", "block"), [(1, 0), (10, 0), (11, 1), (1440, 143), (1449, 144)])
def test_a_block_holds_ten_consecutive_numbers(root, number, block):
    write_frame(root, f"test/{number:05d}")
    set_lines(root, f"test/{number:05d}.jpg test/{number:05d}.png {FOCAL}")
    assert load_dataset("nyu", root=root).groups == [f"nyu-block-{block:03d}"]


def test_facts_describe_the_source(root):
    facts = load_dataset("nyu", root=root, n=3).facts
    assert facts["root"] == str(root)
    assert (facts["split"], facts["layout"], facts["n"]) == ("test", "list", 3)
    assert "10 consecutive" in facts["groups"]
    assert load_dataset("nyu", root=root).protocol == "bts_nyu"


def test_the_digest_follows_the_files(root):
    digest = load_dataset("nyu", root=root).facts["digest"]
    assert load_dataset("nyu", root=root).facts["digest"] == digest
    assert load_dataset("nyu", root=root, n=2).facts["digest"] != digest
    (root / "test/00002.png").write_bytes((root / "test/00002.png").read_bytes()[:-20])
    assert load_dataset("nyu", root=root).facts["digest"] != digest


@pytest.mark.parametrize("step", [1, 39])
def test_the_depth_step_is_measured(root, step):
    values = (np.arange(192).reshape(12, 16) % 100 * step + 700).astype(np.uint16)
    for number in (1, 2, 9, 14, 21):
        write_frame(root, f"test/{number:05d}", depth=values)
    assert load_dataset("nyu", root=root).facts["depth_step_m"] == pytest.approx(step / 1000)


def test_intrinsics_only_for_full_frames(root):
    write_frame(root, "test/00002", size=(480, 640))
    small, full = load_dataset("nyu", root=root).load([0, 1])
    assert small.intrinsics is None
    expected = [[518.8579, 0, 325.5824], [0, 519.4696, 253.7362], [0, 0, 1]]
    assert torch.allclose(full.intrinsics, torch.tensor([expected]))


def test_leading_slash_none_depth_and_blank_lines(root):
    set_lines(
        root,
        f"/test/00001.jpg /test/00001.png {FOCAL}",
        "",
        f"test/00002.jpg None {FOCAL}",
        "test/00009.jpg test/00009.png",
    )
    dataset = load_dataset("nyu", root=root)
    assert dataset.samples == ["nyu-00001", "nyu-00009"]
    assert dataset.facts["lines_without_depth"] == 1
    assert len(dataset.load([0, 1])[0]) == 2


def test_scene_folders_give_groups_and_0_based_names_their_official_number(root):
    for stem in ("kitchen_0028b/00045", "kitchen_0028b/00046", "bathroom/00000"):
        write_frame(root, stem)
        folder, number = stem.split("/")
        (root / f"{stem}.jpg").rename(root / folder / f"rgb_{number}.jpg")
        (root / f"{stem}.png").rename(root / folder / f"sync_depth_{number}.png")
    names = ["kitchen_0028b/{}_00045", "kitchen_0028b/{}_00046", "bathroom/{}_00000"]
    set_lines(root, *(f"/{n.format('rgb')}.jpg /{n.format('sync_depth')}.png {FOCAL}" for n in names))
    dataset = load_dataset("nyu", root=root)
    assert dataset.samples == ["nyu-kitchen_0028b-00045", "nyu-kitchen_0028b-00046", "nyu-00001"]
    assert dataset.groups == ["nyu-kitchen_0028b", "nyu-kitchen_0028b", "nyu-block-000"]
    assert dataset.facts["groups"] == "scene folders"


def test_n_is_an_even_and_repeatable_spread(root):
    assert load_dataset("nyu", root=root, n=2).samples == ["nyu-00001", "nyu-00009"]
    assert load_dataset("nyu", root=root, n=5).samples == load_dataset("nyu", root=root).samples


# --- what is wrong with the whole ---


@pytest.mark.parametrize("n", [0, -1, 6])
def test_n_out_of_range(root, n):
    with pytest.raises(ValueError, match=r"Expected `n` to be in \[1, 5\]"):
        load_dataset("nyu", root=root, n=n)


def test_no_root():
    with pytest.raises(ValueError, match=r"Expected `root` to be the NYU Depth v2 folder.*--root PATH"):
        load_dataset("nyu")


def test_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; correct --root"):
        load_dataset("nyu", root=tmp_path / "nowhere")


def test_missing_list(root):
    (root / "test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"has neither test\.txt nor nyu_depth_v2_labeled\.mat"):
        load_dataset("nyu", root=root)


def test_unknown_split_and_depth(root):
    with pytest.raises(ValueError, match=r"Expected `split` to be one of \['test', 'train'\], but got 'val'"):
        load_dataset("nyu", root=root, split="val")
    with pytest.raises(ValueError, match="Expected `depth` to be one of"):
        load_dataset("nyu", root=root, depth="filled")
    with pytest.raises(ValueError, match=r"raw depth is only in nyu_depth_v2_labeled\.mat"):
        load_dataset("nyu", root=root, depth="raw")


def test_empty_list(root):
    set_lines(root, "", f"test/00002.jpg None {FOCAL}")
    with pytest.raises(ValueError, match=r"test\.txt to list samples, but no line has"):
        load_dataset("nyu", root=root)


@pytest.mark.parametrize("line", ["test/00001.jpg", "a b c d", "test/00001.jpg,test/00001.png,518"])
def test_malformed_line(root, line):
    set_lines(root, f"test/00002.jpg test/00002.png {FOCAL}", line)
    with pytest.raises(ValueError, match=r"test\.txt:2 to read `rgb depth focal`, but got"):
        load_dataset("nyu", root=root)


@pytest.mark.parametrize(
    "name", ["../secret/00001.jpg", "test/../../00001.jpg", "C:\\data\\00001.jpg", "/../00001.jpg"]
)
def test_a_line_that_leaves_the_root_is_refused(root, name):
    set_lines(root, f"{name} test/00001.png {FOCAL}")
    with pytest.raises(ValueError, match=r"test\.txt:1 to name a file below .* without `\.\.`"):
        load_dataset("nyu", root=root, on_error="skip")


def test_a_line_for_another_camera_is_refused(root):
    set_lines(root, "test/00001.jpg test/00001.png 721.5377")
    with pytest.raises(ValueError, match=r"test\.txt:1 to give NYU's focal length 518.8579, but got '721.5377'"):
        load_dataset("nyu", root=root)


@pytest.mark.parametrize("name", ["test/frame.jpg", "test/00000.jpg"])
def test_a_name_without_an_official_number_is_refused(root, name):
    set_lines(root, f"{name} test/00001.png {FOCAL}")
    with pytest.raises(ValueError, match=r"test\.txt:1 to (name an image NNNNN|carry an official frame number)"):
        load_dataset("nyu", root=root)


def test_a_frame_listed_twice_is_refused(root):
    line = f"test/00001.jpg test/00001.png {FOCAL}"
    set_lines(root, line, f"test/00002.jpg test/00002.png {FOCAL}", line)
    with pytest.raises(
        ValueError, match=r"unique sample ids, but .*test\.txt:1 and .*test\.txt:3 are both 'nyu-00001'"
    ):
        load_dataset("nyu", root=root)


# --- what is wrong with one sample ---


def truncate(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def size_mismatch(root):
    write_frame(root, "other", size=(10, 16))
    (root / "other.png").replace(root / "test/00002.png")


FAULTS = {
    "missing image": (
        lambda r: (r / "test/00002.jpg").unlink(),
        r"a file at .*00002\.jpg .*test\.txt:2.*there is none",
    ),
    "missing depth": (
        lambda r: (r / "test/00002.png").unlink(),
        r"a file at .*00002\.png .*test\.txt:2.*there is none",
    ),
    "truncated image": (lambda r: truncate(r / "test/00002.jpg"), r"00002\.jpg .*truncated.*download it again"),
    "truncated depth": (lambda r: truncate(r / "test/00002.png"), r"00002\.png .*truncated.*download it again"),
    "empty image": (lambda r: truncate(r / "test/00002.jpg", 0), r"00002\.jpg .*complete, readable file"),
    "size mismatch": (size_mismatch, r"00002\.jpg .*the image is 12x16 and the depth 10x16 \(height x width\)"),
    "all invalid": (
        lambda r: write_frame(r, "test/00002", depth=np.zeros((12, 16), np.uint16)),
        r"00002\.png .*at least one valid pixel, but all 192 are zero",
    ),
    "8-bit depth": (
        lambda r: write_frame(r, "test/00002", depth=np.full((12, 16), 200, np.uint8)),
        r"00002\.png .*16 or 32 bits, but its mode is L.*16-bit PNG",
    ),
    "depth in colour": (
        lambda r: write_frame(r, "test/00002", depth=np.full((12, 16, 3), 200, np.uint8)),
        r"00002\.png .*16 or 32 bits, but its mode is RGB",
    ),
    "depth as image": (
        lambda r: (r / "test/00002.jpg").write_bytes((r / "test/00002.png").read_bytes()),
        r"00002\.jpg .*8-bit picture, but its mode is I;16.*depth map listed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_unusable_sample_is_named_with_its_remedy(root, fault):
    spoil, sentence = FAULTS[fault]
    spoil(root)
    with pytest.raises(SampleError, match=sentence) as caught:
        load_dataset("nyu", root=root).load([0, 1, 2])
    assert str(caught.value).startswith("Expected ")
    assert str(caught.value).endswith('or leave the sample out with on_error="skip".')
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_skip_goes_on_and_notes_what_it_left_out(root, fault):
    spoil, _ = FAULTS[fault]
    spoil(root)
    dataset = load_dataset("nyu", root=root, on_error="skip")
    assert [s for batch in dataset for s in batch.sample] == ["nyu-00001", "nyu-00009", "nyu-00014", "nyu-00021"]
    assert list(dataset.skipped) == ["nyu-00002"]
    assert dataset.skipped["nyu-00002"].startswith("Expected ")


def test_a_missing_file_is_reported_before_the_first_is_read(root):
    (root / "test/00021.png").unlink()
    with pytest.raises(SampleError, match=r"00021\.png"):
        load_dataset("nyu", root=root)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_wherever_a_file_is_cut_it_is_noticed(root, suffix, share):
    write_frame(root, "test/00002", size=(64, 64))
    truncate(root / f"test/00002{suffix}", share)
    with pytest.raises(SampleError, match=r"00002"):
        load_dataset("nyu", root=root).load([1])


# --- the real frames ---


def real_root():
    given = os.environ.get("DEPTHPROBE_NYU")
    return Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "data" / "nyuv2"


real = pytest.mark.skipif(
    not (real_root() / "test.txt").is_file(),
    reason=f"no NYU Depth v2 at {real_root()}; set DEPTHPROBE_NYU to its folder",
)


@real
@pytest.mark.parametrize(("split", "count"), [("train", 795), ("test", 654)])
def test_the_real_split_has_its_official_size(split, count):
    dataset = load_dataset("nyu", root=real_root(), split=split)
    assert len(dataset) == len(set(dataset.samples)) == count
    assert 100 < len(set(dataset.groups)) <= 145


@real
def test_the_real_splits_are_disjoint_and_complete():
    train, test = (set(load_dataset("nyu", root=real_root(), split=s).samples) for s in ("train", "test"))
    assert train | test == {f"nyu-{number:05d}" for number in range(1, 1450)}
    assert not train & test


@real
def test_the_real_frames_look_as_documented():
    dataset = load_dataset("nyu", root=real_root(), n=8)
    batch = next(iter(dataset))
    assert batch.image.shape == (8, 3, 480, 640)
    assert 0 <= batch.image.min() < 0.1
    assert 0.9 < batch.image.max() <= 1
    depth = batch.depth[batch.valid]
    assert 0.7 < depth.min() < 2
    assert 4 < depth.max() < 10
    assert batch.intrinsics.tolist()[0] == torch.tensor(INTRINSICS).reshape(3, 3).tolist()
    assert 0.0005 < dataset.facts["depth_step_m"] < 0.05
