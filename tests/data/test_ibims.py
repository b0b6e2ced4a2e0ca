"""`ibims` on miniature .mat files, in MATLAB's v5 and v7.3 forms."""

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from miniatures import IBIMS_NAMES, H, W, ibims, ibims_fields

from depthprobe.data import SampleError, load_dataset
from depthprobe.functional.metrics import all_metrics
from depthprobe.probes.reading import known_facts


@pytest.fixture
def root(tmp_path):
    ibims(tmp_path)
    return tmp_path


def rewrite(root, name="corridor_02", *, leave_out=(), **replaced):
    fields = ibims_fields(1) | replaced
    scipy.io.savemat(root / f"{name}.mat", {"data": {k: v for k, v in fields.items() if k not in leave_out}})


def second(root, **options):
    return load_dataset("ibims", root=root, **options).load([1])[0]


def test_values_are_those_of_the_file(root):
    fields, batch = ibims_fields(1), second(root)
    np.testing.assert_allclose(batch.depth[0, 0], fields["depth"], rtol=1e-6)
    assert torch.equal(batch.image[0], torch.from_numpy(fields["rgb"]).permute(2, 0, 1) / 255)
    assert batch.maps["edges"].dtype == torch.bool
    assert batch.maps["edges"][0, 0].nonzero().tolist() == [[y, 4] for y in range(H)]


def test_depth_is_valid_where_both_masks_are_one_and_it_is_there(root):
    invalid, transparent = np.ones((H, W), np.uint8), np.ones((H, W), np.uint8)
    invalid[0, 0] = transparent[1, 1] = 0
    depth = ibims_fields(1)["depth"]
    depth[2, 2], depth[3, 3] = 0, np.nan
    rewrite(root, mask_invalid=invalid, mask_transp=transparent, depth=depth)
    batch = second(root)
    assert (~batch.valid[0, 0]).nonzero().tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert torch.isfinite(batch.depth).all()


def test_every_wall_table_and_floor_is_a_plane_of_its_own(root):
    table = np.zeros((H, W), np.uint8)
    table[3, 0] = 5
    rewrite(root, mask_table=table)
    expected = np.full((H, W), -1)
    expected[:2, :4], expected[:2, 4:], expected[3, 0], expected[4:] = 0, 1, 2, 3
    assert second(root).maps["plane"][0, 0].tolist() == expected.tolist()


def test_the_camera_is_transposed_and_counted_from_0(root):
    assert second(root).intrinsics[0].tolist() == [[10, 0, 3.5], [0, 11, 2.5], [0, 0, 1]]
    assert "disocclude" not in second(root).edits()
    rewrite(root, calib=ibims_fields(1)["calib"].T)
    assert second(root).intrinsics[0].tolist() == [[10, 0, 3.5], [0, 11, 2.5], [0, 0, 1]]


def test_planarity_has_what_it_needs(root):
    """A prediction that is exact has planes as flat as the truth: PE of zero change, and no NaN."""
    ray = (np.arange(W) - 3.5) / 10
    depth = np.broadcast_to(2 / (1 + 0.3 * ray), (H, W)).copy()
    rewrite(root, depth=depth)
    batch = second(root)
    facts = known_facts(batch)
    assert facts.keys() == {"planes", "edges", "intrinsics"}
    found = all_metrics(batch.depth, batch.depth, batch.valid, ["planarity"], **facts)
    assert abs(found["planarity"].item()) < 1e-5


def test_ids_groups_and_protocol(root):
    dataset = load_dataset("ibims", root=root)
    assert list(dataset.samples) == [f"ibims-{name}" for name in IBIMS_NAMES]
    assert list(dataset.groups) == ["ibims-corridor", "ibims-corridor", "ibims-office"]
    assert dataset.protocol == "ibims"


def test_the_files_may_lie_in_their_own_folder(tmp_path):
    inner = tmp_path / "ibims1_core_mat"
    inner.mkdir()
    ibims(inner)
    assert len(load_dataset("ibims", root=tmp_path)) == 3


def test_version_73_reads_the_same(root, tmp_path):
    expected = second(root)
    fields = ibims_fields(1)
    with h5py.File(root / "corridor_02.mat", "w", userblock_size=512) as file:
        for name, array in fields.items():
            file[f"data/{name}"] = array.T
    found = second(root)
    for name in ("image", "depth", "valid", "intrinsics"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert all(torch.equal(found.maps[k], expected.maps[k]) for k in ("plane", "edges"))


def test_without_camera_edges_and_planes(root):
    rewrite(root, leave_out=["calib", "edges", "mask_wall", "mask_table", "mask_floor"])
    batch = second(root)
    assert batch.intrinsics is None
    assert (batch.maps["plane"] == -1).all()
    assert "edges" not in batch.maps


def cut(root):
    file = root / "corridor_02.mat"
    file.write_bytes(file.read_bytes()[:-200])


FAULTS = {
    "cut": (cut, r"to be a MAT file with the struct `data`, but reading it failed: .*download it again"),
    "empty": (lambda r: (r / "corridor_02.mat").write_bytes(b""), "to be a MAT file with the struct `data`"),
    "text": (lambda r: (r / "corridor_02.mat").write_text("hello" * 100), "to be a MAT file with the struct `data`"),
    "no struct": (lambda r: scipy.io.savemat(r / "corridor_02.mat", {"x": 1}), "with the struct `data`"),
    "no depth": (lambda r: rewrite(r, leave_out=["depth"]), "to hold rgb, depth, .* but depth"),
    "no mask": (lambda r: rewrite(r, leave_out=["mask_transp"]), "mask_transp is missing or of another size"),
    "size": (lambda r: rewrite(r, edges=np.zeros((H, W + 1))), "edges is missing or of another size"),
    "image size": (lambda r: rewrite(r, rgb=np.zeros((H, W + 1, 3), np.uint8)), "image is 6x9 and the depth 6x8"),
    "grey": (lambda r: rewrite(r, rgb=np.zeros((H, W), np.uint8)), r"to be a picture \(H,W,3\) of 8 bits"),
    "camera": (lambda r: rewrite(r, calib=np.zeros((3, 3))), r"to be a camera matrix \(3,3\)"),
    "cells": (lambda r: rewrite(r, depth=np.array([{"a": 1}], dtype=object)), "depth"),
    "nothing valid": (lambda r: rewrite(r, mask_invalid=np.zeros((H, W))), "at least one valid pixel"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_unusable_file_is_named_or_skipped(root, fault):
    spoil, sentence = FAULTS[fault]
    spoil(root)
    with pytest.raises(SampleError, match=sentence) as caught:
        second(root)
    assert "corridor_02.mat" in str(caught.value)
    dataset = load_dataset("ibims", root=root, on_error="skip")
    assert sum(len(batch) for batch in dataset) == 2
    assert list(dataset.skipped) == ["ibims-corridor_02"]


def test_what_is_wrong_with_the_list(root):
    for name, sentence in (
        ("../secret", "to name a file below"),
        ("gone", r"gone\.mat .*imagelist\.txt:1\), but there is"),
    ):
        (root / "imagelist.txt").write_text(f"{name}\n")
        with pytest.raises(ValueError, match=sentence):
            load_dataset("ibims", root=root)
    (root / "imagelist.txt").write_text("\n")
    with pytest.raises(ValueError, match="to list pictures, but it is empty"):
        load_dataset("ibims", root=root)
    (root / "imagelist.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no imagelist\.txt"):
        load_dataset("ibims", root=root)
    with pytest.raises(ValueError, match=r"`split` to be one of \['test'\]"):
        load_dataset("ibims", root=root, split="train")
