"""What every data set that opens by itself keeps to, the scenes above all."""

import inspect

import pytest
import torch

from depthprobe.data import DATASETS, load_dataset
from depthprobe.functional.protocol import PROTOCOLS
from depthprobe.schema import validate

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
