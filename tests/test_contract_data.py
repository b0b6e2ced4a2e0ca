"""What every data set keeps to: the scenes, and those made of files on miniature copies."""

import inspect

import miniatures
import pytest
import torch

from depthprobe.data import DATASETS, load_dataset
from depthprobe.functional.protocol import PROTOCOLS
from depthprobe.schema import validate
from depthprobe.study import Study, open_dataset

SHIPPED = [n for n in DATASETS if DATASETS[n].__module__.startswith("depthprobe.")]  # not those of other tests

KEYWORDS = {"split", "n", "batch_size", "on_error"}
KINDS = ["rooms", "streets", "shapes"]


@pytest.fixture(scope="module", params=KINDS)
def scenes(request):
    return load_dataset("scenes", kind=request.param, n=5, size=(36, 48), batch_size=2)


def same(a, b):
    assert (a.sample, a.group) == (b.sample, b.group)
    for name in ("image", "depth", "valid", "intrinsics"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert a.maps.keys() == b.maps.keys()
    assert all(torch.equal(a.maps[k], b.maps[k]) for k in a.maps)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_data_set_takes_the_common_keywords(name):
    parameters = inspect.signature(DATASETS[name]).parameters
    assert set(parameters) >= KEYWORDS
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values())
    assert parameters["on_error"].default == "raise"


MADE_OF_FILES = [name for name in SHIPPED if name != "scenes"]


@pytest.fixture(params=MADE_OF_FILES)
def written(request, tmp_path, monkeypatch):
    """A data set's name, the root of its miniature copy, and a function that opens it."""
    assert request.param in miniatures.WRITERS, "write a miniature copy of the new data set in tests/miniatures.py"
    if request.param == "hub":
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    root = tmp_path / "data"
    root.mkdir()
    options = miniatures.WRITERS[request.param](root)
    return request.param, root, lambda **more: load_dataset(request.param, root=root, **options, **more)


def test_a_miniature_copy_is_read_by_the_conventions(written):
    name, _, open_it = written
    dataset = open_it(batch_size=2)
    assert dataset.name == name
    batches = list(dataset)
    assert [len(b) for b in batches] == [2, 1]
    assert [s for b in batches for s in b.sample] == list(dataset.samples)
    assert [g for b in batches for g in b.group] == list(dataset.groups)
    for b in batches:
        assert b.image.dtype == b.depth.dtype == torch.float32
        assert b.image.shape[1:] == (3, *miniatures.SIZE)
        assert 0 <= b.image.min() < 0.2
        assert 0.8 < b.image.max() <= 1
        assert torch.isfinite(b.depth).all()
        assert (b.depth[b.valid] > 0.5).all()
        assert (b.depth[b.valid] < 10).all()
        assert b.valid.flatten(1).any(1).all()


def test_a_miniature_copy_states_its_facts(written):
    name, root, open_it = written
    dataset = open_it()
    assert DATASETS.facts(name)["source"]
    assert dataset.protocol in PROTOCOLS
    assert dataset.facts["root"] == str(root)
    assert dataset.facts["n"] == 3
    assert dataset.facts["groups"]
    assert open_it().facts["digest"] == dataset.facts["digest"]
    assert open_it(n=2).facts["digest"] != dataset.facts["digest"]


def test_n_of_a_miniature_copy_is_an_even_spread(written):
    _, _, open_it = written
    all_of_them = list(open_it().samples)
    assert open_it(n=2).samples == all_of_them[:2]
    assert open_it(n=3).samples == all_of_them
    for n in (0, 4):
        with pytest.raises(ValueError, match=r"Expected `n` to be in \[1, 3\]"):
            open_it(n=n)


def test_a_miniature_copy_is_opened_by_a_study(written):
    name, root, open_it = written
    options = {"name": name, "root": str(root), "n": 2, "batch_size": 1, "on_error": "skip"}
    dataset = open_dataset(Study(models=("oracle:row",), dataset=options))
    assert dataset.samples == open_it(n=2).samples
    assert sum(len(batch) for batch in dataset) == 2
    assert not dataset.skipped


def test_no_root_a_missing_one_and_an_archive_are_one_sentence(written, tmp_path):
    name, _, _ = written
    with pytest.raises(ValueError, match=r"Expected .*`root`"):
        load_dataset(name)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist; correct --root"):
        load_dataset(name, root=tmp_path / "nowhere")
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"data\.zip is an archive; unpack it"):
        load_dataset(name, root=tmp_path / "data.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match=r"^Expected .*empty"):
        load_dataset(name, root=tmp_path / "empty")


def test_batches_keep_the_conventions(scenes):
    batches = list(scenes)
    assert [len(b) for b in batches] == [2, 2, 1]
    assert [s for b in batches for s in b.sample] == list(scenes.samples)
    for b in batches:
        assert b.image.dtype == b.depth.dtype == torch.float32
        assert b.image.shape[-2:] == (36, 48)
        assert b.image.min() >= 0
        assert b.image.max() <= 1
        assert b.image.flatten(1).std(1).min() > 0.01, "a picture, not a plain colour"
        assert torch.isfinite(b.depth).all()
        assert (b.depth[b.valid] > 0).all()
        assert b.valid.flatten(1).any(1).all()
        assert b.intrinsics.shape == (len(b), 3, 3)
        assert torch.equal(b.intrinsics[:, 2], torch.tensor([0.0, 0.0, 1.0]).expand(len(b), 3))


def test_the_same_sample_is_the_same_at_any_time_and_in_any_order(scenes):
    again = load_dataset("scenes", **scenes.options)
    same(scenes.load([3])[0], again.load([1, 3])[0].take([1]))


def test_fewer_samples_are_the_first_ones(scenes):
    few = load_dataset("scenes", **{**scenes.options, "n": 2})
    assert list(few.samples) == list(scenes.samples[:2])
    same(few.load([0, 1])[0], scenes.load([0, 1])[0])


def test_splits_share_no_sample(scenes):
    kind = scenes.options["kind"]
    ids = [set(load_dataset("scenes", kind=kind, split=s, n=50).samples) for s in ("train", "val", "test")]
    assert len(set.union(*ids)) == 150


def test_ids_and_facts(scenes):
    assert len(set(scenes.samples)) == len(scenes.samples) == len(scenes.groups)
    assert scenes.protocol in PROTOCOLS
    assert scenes.facts["version"]
    assert len({tuple(c) for c in scenes.chunks()}) == 3


def test_an_unknown_edit_lists_those_on_offer(scenes):
    batch = scenes.load([0])[0]
    assert batch.edits()
    with pytest.raises(ValueError, match="edit that this data set offers"):
        batch.edited("no such edit")


def test_a_run_over_scenes_is_a_valid_table(scenes, tmp_path):
    from depthprobe.run import run

    table = run(["oracle:row"], ["error"], scenes, out=tmp_path, device="cpu", maps=0)
    assert validate(table) is table
    assert table["sample"].nunique() == 5
