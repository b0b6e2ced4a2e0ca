"""Dataset: units of work, unreadable samples, mixed sizes; and what every registered data set must accept."""

import inspect

import pytest
import torch

from depthprobe.data import DATASETS, Batch, Dataset, SampleError, load_dataset, stack
from depthprobe.data.records import spread

SHIPPED = [n for n in DATASETS if DATASETS[n].__module__.startswith("depthprobe.")]  # not those of other tests


def one(i, h=4, w=5):
    return Batch(
        image=torch.full((1, 3, h, w), i / 100),
        depth=torch.full((1, 1, h, w), i + 1.0),
        valid=torch.ones(1, 1, h, w, dtype=torch.bool),
        sample=(f"s{i}",),
        group=(f"g{i // 2}",),
    )


def make(total=7, *, read=one, **options):
    samples, groups = [f"s{i}" for i in range(total)], [f"g{i // 2}" for i in range(total)]
    return Dataset(**{"name": "toy", "samples": samples, "groups": groups, "read": read} | options)


def read_but(*broken):
    def read(i):
        if i in broken:
            raise SampleError(f"Expected sample {i} to be readable, but it is not; replace it.")
        return one(i)

    return read


def test_chunks_cover_every_sample_once_in_order():
    for total in (0, 1, 6, 7):
        for batch_size in (1, 3, 100):
            chunks = make(total, batch_size=batch_size).chunks()
            assert [i for chunk in chunks for i in chunk] == list(range(total))
            assert all(1 <= len(chunk) <= batch_size for chunk in chunks)


def test_iterating_gives_every_sample_once():
    batches = list(make(batch_size=3))
    assert [len(b) for b in batches] == [3, 3, 1]
    assert [s for b in batches for s in b.sample] == [f"s{i}" for i in range(7)]


def test_batching_does_not_matter():
    whole, singles = stack(list(make(batch_size=4))), stack(list(make(batch_size=1)))
    assert torch.equal(whole.image, singles.image)
    assert torch.equal(whole.depth, singles.depth)
    assert whole.sample == singles.sample


def test_load_takes_any_samples_in_any_order():
    assert make().load([5, 1])[0].sample == ("s5", "s1")
    assert make().load([]) == []


def test_mixed_sizes_come_as_one_batch_per_size():
    dataset = make(5, read=lambda i: one(i, h=4 if i % 2 else 6), batch_size=5)
    by_height = {b.image.shape[2]: b for b in dataset}
    assert by_height[6].sample == ("s0", "s2", "s4")
    assert by_height[4].sample == ("s1", "s3")
    assert by_height[4].depth[:, 0, 0, 0].tolist() == [2, 4]


def test_an_unreadable_sample_stops_by_default():
    dataset = make(read=read_but(2))
    with pytest.raises(SampleError, match="Expected sample 2 to be readable"):
        list(dataset)
    assert dataset.skipped == {}


def test_skip_leaves_it_out_and_notes_why():
    dataset = make(read=read_but(2, 3), batch_size=2, on_error="skip")
    batches = list(dataset)
    assert [s for b in batches for s in b.sample] == ["s0", "s1", "s4", "s5", "s6"]
    assert set(dataset.skipped) == {"s2", "s3"}
    assert "Expected sample 3" in dataset.skipped["s3"]
    assert len(dataset.chunks()) == 4  # the units of work do not depend on what can be read


def test_reading_twice_counts_a_skipped_sample_once():
    dataset = make(read=read_but(2), on_error="skip")
    assert len(list(dataset)) == len(list(dataset))
    assert list(dataset.skipped) == ["s2"]


def test_skip_forgives_unreadable_samples_only():
    def read(i):
        raise RuntimeError("a fault of the code")

    with pytest.raises(RuntimeError, match="a fault of the code"):
        list(make(read=read, on_error="skip"))


def test_wrong_options():
    with pytest.raises(ValueError, match=r"`on_error` to be one of \['raise', 'skip'\], but got 'ignore'"):
        make(on_error="ignore")
    with pytest.raises(ValueError, match="unique sample ids in data set `toy`"):
        make(samples=["a", "a"], groups=["a", "a"])


def test_unknown_data_set_lists_the_known():
    with pytest.raises(
        ValueError, match=r"Expected dataset to be one of \[.*'folder', .*'nyu'.*but got 'nyuu'.*mean `nyu`"
    ):
        load_dataset("nyuu")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_data_set_takes_the_common_options(name):
    parameters = inspect.signature(DATASETS[name]).parameters
    judged = DATASETS.facts(name).get("judged", "test")  # the split that networks are judged on
    common = {"split": judged, "batch_size": 8, "on_error": "raise"}
    assert {k: parameters[k].default for k in common} == common
    assert parameters["n"].default is None or parameters["n"].default > 0  # an endless data set has a number to start
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values())
    assert inspect.getdoc(DATASETS[name])


@pytest.mark.parametrize(("total", "n"), [(1, 1), (5, 2), (654, 64), (10, 9), (7, 7)])
def test_spread_is_even(total, n):
    chosen = spread(total, n)
    assert len(set(chosen)) == n
    assert chosen == sorted(chosen)
    assert chosen[0] >= 0
    assert chosen[-1] < total
    gaps = {b - a for a, b in zip(chosen, [*chosen[1:], total], strict=True)}
    assert max(gaps) - min(gaps) <= 1


def test_spread_refuses_more_than_there_is():
    with pytest.raises(ValueError, match=r"`n` to be in \[1, 5\] \(the samples there are\), but got 6"):
        spread(5, 6)
