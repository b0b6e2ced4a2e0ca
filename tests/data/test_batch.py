"""Batch: what it refuses, and that taking, stacking, moving and editing keep samples together."""

import dataclasses

import pytest
import torch

import depthprobe.data.batch as batch_module
from depthprobe.data import Batch, stack
from depthprobe.registry import Registry


def make(size=3, h=4, w=5, start=0, **changes):
    """Every tensor of sample i holds the number start + i, so a mix-up is seen."""
    value = torch.arange(start, start + size, dtype=torch.float32).view(size, 1, 1, 1)
    fields = {
        "image": value.expand(size, 3, h, w) / 100,
        "depth": value.expand(size, 1, h, w) + 1,
        "valid": torch.ones(size, 1, h, w, dtype=torch.bool),
        "sample": tuple(f"s{start + i}" for i in range(size)),
        "group": tuple(f"g{(start + i) // 2}" for i in range(size)),
        "intrinsics": value.view(size, 1, 1) * torch.eye(3),
        "maps": {"normal": value.expand(size, 3, h, w)},
    }
    return Batch(**fields | changes)


WRONG = {
    "image channels": ({"image": torch.zeros(3, 1, 4, 5)}, r"`image` to have shape \(b 3 h w\)"),
    "image axes": ({"image": torch.zeros(3, 4, 5)}, r"`image` to have shape \(b 3 h w\), but got \(3, 4, 5\)"),
    "depth size": ({"depth": torch.ones(3, 1, 4, 6)}, r"`depth` to have shape \(b 1 h w\) with w=5"),
    "depth channels": ({"depth": torch.ones(3, 2, 4, 5)}, r"`depth` to have shape"),
    "valid batch": ({"valid": torch.ones(2, 1, 4, 5, dtype=torch.bool)}, r"`valid` to have shape .* with b=3"),
    "valid type": ({"valid": torch.ones(3, 1, 4, 5)}, r"`valid` to be bool, but got torch\.float32"),
    "intrinsics": ({"intrinsics": torch.eye(3)}, r"`intrinsics` to have shape \(b 3 3\)"),
    "map size": ({"maps": {"object": torch.zeros(3, 1, 9, 9)}}, r"`object` to have shape"),
    "sample ids": ({"sample": ("a",)}, r"`sample` to have 3 ids, but got 1"),
    "group ids": ({"group": ("a", "b", "c", "d")}, r"`group` to have 3 ids, but got 4"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_field_is_refused(case):
    changes, sentence = WRONG[case]
    with pytest.raises(ValueError, match=sentence):
        make(**changes)


def test_maps_may_differ_in_channels():
    maps = {"normal": torch.zeros(3, 3, 4, 5), "object": torch.zeros(3, 1, 4, 5)}
    assert set(make(maps=maps).maps) == {"normal", "object"}


def test_a_batch_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().depth = torch.zeros(3, 1, 4, 5)


def holds(batch, numbers):
    """Whether every field of the batch is that of the samples `numbers`, in order."""
    value = torch.tensor([float(n) for n in numbers])
    return (
        batch.sample == tuple(f"s{n}" for n in numbers)
        and batch.group == tuple(f"g{n // 2}" for n in numbers)
        and torch.equal(batch.depth[:, 0, 0, 0], value + 1)
        and torch.equal(batch.image[:, 2, 3, 4], value / 100)
        and torch.equal(batch.maps["normal"][:, 1, 0, 0], value)
        and torch.equal(batch.intrinsics[:, 0, 0], value)
        and len(batch) == len(numbers)
    )


@pytest.mark.parametrize("numbers", [[2, 0], [1], [0, 1, 2], [1, 1], []])
def test_take_keeps_fields_together(numbers):
    assert holds(make().take(numbers), numbers)


def test_take_accepts_a_range_and_refuses_what_is_not_there():
    assert holds(make().take(range(1, 3)), [1, 2])
    with pytest.raises(IndexError):
        make().take([3])


def test_take_works_without_intrinsics_and_maps():
    one = make(intrinsics=None, maps={}).take([1])
    assert one.intrinsics is None
    assert one.maps == {}


def test_stack_undoes_take():
    assert holds(stack([make().take([i]) for i in range(3)]), [0, 1, 2])
    assert holds(stack([make(2), make(3, start=2)]), [0, 1, 2, 3, 4])


def test_stack_keeps_only_what_all_have():
    joined = stack([make(1), make(1, start=1, intrinsics=None, maps={})])
    assert joined.intrinsics is None
    assert joined.maps == {}


def test_stack_refuses_nothing_and_mixed_sizes():
    with pytest.raises(ValueError, match="at least one batch to stack"):
        stack([])
    with pytest.raises(RuntimeError):
        stack([make(1), make(1, h=6)])


def test_to_moves_every_tensor():
    moved = make().to("meta")
    tensors = (moved.image, moved.depth, moved.valid, moved.intrinsics, moved.maps["normal"])
    assert {t.device.type for t in tensors} == {"meta"}
    assert moved.sample == make().sample


@pytest.fixture
def darker(monkeypatch):
    """One registered perturbation, `darker`, in a registry of its own."""
    registry = Registry("perturbation")
    registry.register("darker")(lambda image, level: image * (1 - level))
    monkeypatch.setattr(batch_module, "PERTURBATIONS", registry)


@pytest.mark.usefixtures("darker")
def test_an_image_edit_changes_the_image_alone():
    batch = make()
    before = batch.image.clone()
    edited = batch.edited("darker", 0.25)
    assert batch.edits() == ["darker"]
    assert torch.allclose(edited.image, before * 0.75)
    assert torch.equal(batch.image, before)
    assert edited.depth is batch.depth
    assert edited.valid is batch.valid
    assert (edited.sample, edited.group) == (batch.sample, batch.group)


@pytest.mark.usefixtures("darker")
def test_an_unknown_edit_lists_those_on_offer():
    with pytest.raises(ValueError, match=r"an edit that this data set offers \['darker'\], but got 'fog'"):
        make().edited("fog")


def test_a_data_sets_own_editor_is_used_and_survives_take():
    class Nearer:
        def names(self):
            return ["nearer"]

        def __call__(self, batch, name, level):
            return batch.replace(depth=batch.depth - level)

    batch = make(editor=Nearer()).take([2, 1])
    assert batch.edits() == ["nearer"]
    assert batch.edited("nearer", 0.5).depth[:, 0, 0, 0].tolist() == [2.5, 1.5]
