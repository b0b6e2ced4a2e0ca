"""MATLAB files that point to other files: what lies elsewhere is not read, neither directly nor by detours."""

import h5py
import numpy as np
import pytest
import test_nyu_mat
from miniatures import H, W, ibims, ibims_fields

from depthprobe.data import SampleError, load_dataset


def external_link(file, name, array, secret):
    with h5py.File(secret, "w") as other:
        other["x"] = array
    file[name] = h5py.ExternalLink(str(secret), "/x")


def detour(file, name, array, secret):
    external_link(file, "aside", array, secret)
    file[name] = h5py.SoftLink("/aside")


def external_numbers(file, name, array, secret):
    secret.write_bytes(array.tobytes())
    file.create_dataset(name, array.shape, array.dtype, external=[(str(secret), 0, array.nbytes)])


def virtual(file, name, array, secret):
    with h5py.File(secret, "w") as other:
        other["x"] = array
    layout = h5py.VirtualLayout(array.shape, array.dtype)
    layout[:] = h5py.VirtualSource(str(secret), "x", array.shape)
    file.create_virtual_dataset(name, layout)


WAYS = [external_link, detour, external_numbers, virtual]


@pytest.mark.parametrize("way", WAYS)
def test_ibims_reads_its_own_file_alone(way, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    ibims(root)
    fields = ibims_fields()
    with h5py.File(root / "corridor_01.mat", "w") as file:
        for name, array in fields.items():
            if name != "depth":
                file[f"data/{name}"] = array.T
        way(file, "data/depth", np.ascontiguousarray(fields["depth"].T), tmp_path / "secret")
        assert file["data/depth"].shape == (W, H), "the detour leads somewhere"
    with pytest.raises(SampleError, match=r"corridor_01\.mat .*`depth` (is a link|lies in another file)"):
        load_dataset("ibims", root=root).load([0])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["images", "depths"])
def test_nyu_reads_its_own_file_alone(way, name, tmp_path):
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    test_nyu_mat.write_mat(path)
    with h5py.File(path, "r+") as file:
        array = file[name][()]
        del file[name]
        way(file, name, array, tmp_path / "secret")
    with pytest.raises(ValueError, match=rf"complete .*`{name}` (is a link|lies in another file)"):
        load_dataset("nyu", root=path)


def test_nyu_takes_no_scene_from_another_file(tmp_path):
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    test_nyu_mat.write_mat(path)
    with h5py.File(path, "r+") as file:
        external_numbers(file, "stolen", np.full((9, 1), 65, np.uint16), tmp_path / "secret")
        file["scenes"][0, 0] = file["stolen"].ref
    with pytest.raises(ValueError, match=r"`scenes` lies in another file"):
        load_dataset("nyu", root=path)
