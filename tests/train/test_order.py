"""Which samples make up a step: a function of the step alone, however the batch is shared."""

import pytest

from depthprobe.train.order import batch_at, key_of, share_of


def stream(count, batch_size, steps, seed=0):
    return [batch_at(step, count, batch_size, seed) for step in range(steps)]


@pytest.mark.parametrize(("count", "batch_size"), [(16, 4), (16, 5), (7, 3), (3, 8), (1, 1)])
def test_every_pass_sees_each_sample_once(count, batch_size):
    passes = 3
    batches = stream(count, batch_size, passes * count)  # steps x batch_size = batch_size x passes whole passes
    seen = [number for batch in batches for number, _ in batch]
    assert {seen.count(number) for number in range(count)} == {passes * batch_size}
    if count % batch_size == 0:
        first = [number for batch in batches[: count // batch_size] for number, _ in batch]
        assert sorted(first) == list(range(count))


def test_passes_and_seeds_differ_and_steps_can_be_replayed():
    first, second = ([[n for n, _ in batch] for batch in stream(16, 4, 8)[4 * i : 4 * i + 4]] for i in (0, 1))
    assert first != second
    assert stream(16, 4, 8)[6] == batch_at(6, 16, 4, 0)
    assert stream(16, 4, 4, seed=1) != stream(16, 4, 4, seed=0)


def test_every_sample_has_another_key_every_time():
    keys = [key for batch in stream(8, 4, 200) for _, key in batch]
    assert len(set(keys)) == len(keys)
    assert not set(keys) & {key for batch in stream(8, 4, 200, seed=1) for _, key in batch}


@pytest.mark.parametrize(("world", "parts"), [(1, 1), (1, 4), (2, 1), (2, 2), (4, 2)])
def test_the_shares_of_all_processes_make_up_the_batch(world, parts):
    batch = batch_at(3, 40, 16, 0)
    shares = [share for rank in range(world) for share in share_of(batch, rank, world, parts)]
    assert [pair for share in shares for pair in share] == batch
    assert {len(share) for share in shares} == {16 // (world * parts)}


def test_the_order_within_a_batch_is_that_of_the_numbers():
    assert all(batch == sorted(batch) for batch in stream(40, 16, 5))


def test_keys_are_stable_across_processes_and_versions():
    assert key_of(0, "sample", 0) == 6786282637489265118
    assert 0 <= key_of("anything") < 2**63
