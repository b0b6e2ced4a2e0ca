"""The cache of a training set: exact, resized by the house rule, and filled in any number of goes."""

import numpy as np
import pytest
import torch

from depthprobe.data import DATASETS, Batch, Dataset, SampleError
from depthprobe.data.cache import ArrayCache, open_cache


def toys(n=5, size=(6, 8), broken=(), on_error="raise", odd=False, log=None):
    def read(i):
        if log is not None:
            log.append(i)
        if i in broken:
            raise SampleError(f"Expected toy {i} to be whole, but it is broken; mend it.")
        h, w = (size[0] + 1, size[1]) if odd and i == 3 else size
        g = torch.Generator().manual_seed(i)
        depth = 1 + torch.rand(1, 1, h, w, generator=g)
        image = (torch.rand(1, 3, h, w, generator=g) * 255).round() / 255
        return Batch(image=image, depth=depth, valid=depth > 1.2, sample=(names[i],), group=(names[i],))

    names = [f"toy-{i}" for i in range(n)]
    facts = {"n": n, "size": size}
    return Dataset(name="toys", samples=names, groups=names, read=read, facts=facts, on_error=on_error)


def filled(folder, dataset=None, **options):
    cache = ArrayCache(dataset or toys(), folder, **options)
    cache.fill()
    return cache


def test_what_comes_back_is_what_was_read(tmp_path):
    image, depth, valid = filled(tmp_path).batch([4, 1])
    assert image.dtype == torch.uint8
    for row, i in enumerate((4, 1)):
        one = toys().read(i)
        assert torch.equal(image[row : row + 1] / 255, one.image)
        assert torch.equal(valid[row : row + 1], one.valid)
        assert torch.equal(depth[row : row + 1][one.valid], one.depth[one.valid])
        assert (depth[row : row + 1][~one.valid] == 1).all()


def test_nothing_is_read_twice_and_filling_goes_on(tmp_path):
    log = []
    cache = ArrayCache(toys(log=log), tmp_path)
    cache.fill(share=(0, 2))
    assert cache.missing() == [1, 3]
    log.clear()
    again = ArrayCache(toys(log=log), tmp_path)
    log.clear()
    again.fill()
    assert log == [1, 3]
    assert again.missing() == []
    assert again.usable() == [0, 1, 2, 3, 4]


def test_progress_is_told(tmp_path):
    seen = []
    ArrayCache(toys(n=20), tmp_path).fill(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 20), (8, 20), (16, 20)]


def test_resizing_takes_the_nearest_depth_and_the_mean_colour(tmp_path):
    """At a third of the size every pixel is the middle one of three by three; at its own size nothing changes."""
    dataset = toys(size=(9, 12))
    image, depth, valid = filled(tmp_path, dataset, size=(3, 4)).batch([0])
    one = dataset.read(0)
    assert torch.equal(valid, one.valid[..., 1::3, 1::3])
    assert torch.equal(depth[valid], one.depth[..., 1::3, 1::3][valid])
    assert set(depth[valid].tolist()) <= set(one.depth[one.valid].tolist())
    assert image.shape == (1, 3, 3, 4)
    assert abs(float(image.float().mean() / 255 - one.image.mean())) < 0.02
    same = filled(tmp_path, dataset, size=(9, 12)).batch([0])[0]
    assert torch.equal(same / 255, one.image)


def test_every_size_has_its_own_place(tmp_path):
    places = {filled(tmp_path, size=size).folder.name for size in ((), (3, 4), (6, 8))}
    assert len(places) == 3
    assert any(name.endswith("3x4") for name in places)


def test_samples_of_other_sizes_need_a_size(tmp_path):
    with pytest.raises(ValueError, match=r"to have one size \(6, 8\), but toy-3 has \(7, 8\); give a size"):
        filled(tmp_path / "a", toys(odd=True))
    assert filled(tmp_path / "b", toys(odd=True), size=(6, 8)).usable() == [0, 1, 2, 3, 4]


def test_unreadable_samples_stop_it_or_are_left_out(tmp_path):
    with pytest.raises(SampleError, match="Expected toy 2"):
        filled(tmp_path / "a", toys(broken=(2,)))
    cache = filled(tmp_path / "b", toys(broken=(0, 2), on_error="skip"))
    assert cache.usable() == [1, 3, 4]
    assert cache.missing() == [], "it is not tried again and again"
    with pytest.raises(ValueError, match="to have a sample that can be read"):
        ArrayCache(toys(broken=range(5), on_error="skip"), tmp_path / "c")


def test_nan_stays_where_the_data_set_calls_it_valid(tmp_path):
    cache = filled(tmp_path)
    cache.depth[0, 0, 0], cache.depth[0, 0, 1] = np.nan, np.inf
    _, depth, valid = cache.batch([0])
    assert valid[0, 0, 0, 0]
    assert depth[0, 0, 0, 0].isnan()
    assert not valid[0, 0, 0, 1]


def test_reading_a_batch_does_not_change_the_cache(tmp_path):
    cache = filled(tmp_path)
    before = cache.depth.copy()
    for x in cache.batch([0, 1]):
        x.zero_()
    assert (cache.depth == before).all()


def test_opened_by_name_and_filled(tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS._items, "toys", (toys, {}))
    cache = open_cache("toys", {"n": 3}, tmp_path, size=(3, 4))
    assert cache.usable() == [0, 1, 2]
    assert cache.rgb.shape == (3, 3, 4, 3)


def test_a_foreign_file_in_its_place_is_named(tmp_path):
    cache = filled(tmp_path)
    np.save(cache.folder / "depth.npy", np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="delete"):
        ArrayCache(toys(), tmp_path)
