"""Batch: the tensors that a probe reads."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional.perturb import PERTURBATIONS


class Editor(Protocol):
    """Makes counterfactual copies of a batch: same samples, one thing changed."""

    def names(self) -> list[str]:
        """The edits on offer."""
        ...

    def __call__(self, batch: "Batch", name: str, level: float) -> "Batch":
        """The batch with edit `name` applied at strength `level`."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """Images with depth.

    Convention:
        image: float32 (B,3,H,W), RGB in [0,1].
        depth: float32 (B,1,H,W), metres, z-depth, > 0 where valid; arbitrary but finite elsewhere.
        valid: bool (B,1,H,W); the only mark of invalid pixels.
        intrinsics: float32 (B,3,3) in pixels, or None; the origin is the centre of the top-left pixel.
        sample, group: unique ids; samples of one group (scene, drive) are not independent.
        maps: exact extra maps of the data set, (B,C,H,W): `normal`, `object`, `class`, `plane` for scenes.
        editor: who makes counterfactuals; None: the image-space edits of `functional.perturb`.
    """

    image: Tensor
    depth: Tensor
    valid: Tensor
    sample: tuple[str, ...]
    group: tuple[str, ...]
    intrinsics: Tensor | None = None
    maps: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    editor: Editor | None = None

    def __post_init__(self) -> None:
        named = {"image": (self.image, "b 3 h w"), "depth": (self.depth, "b 1 h w"), "valid": (self.valid, "b 1 h w")}
        if self.intrinsics is not None:
            named["intrinsics"] = (self.intrinsics, "b 3 3")
        for name, extra in self.maps.items():
            named[name] = (extra, f"b {name}_channels h w")
        size = check_shapes(**named)["b"]
        if self.valid.dtype != torch.bool:
            raise ValueError(f"Expected `valid` to be bool, but got {self.valid.dtype}.")
        for name, ids in (("sample", self.sample), ("group", self.group)):
            if len(ids) != size:
                raise ValueError(f"Expected `{name}` to have {size} ids, but got {len(ids)}.")

    def __len__(self) -> int:
        return len(self.sample)

    def take(self, indices: Sequence[int]) -> "Batch":
        """The samples at `indices`, in that order."""
        index = torch.as_tensor(list(indices), dtype=torch.long)
        sample, group = (tuple(ids[i] for i in indices) for ids in (self.sample, self.group))
        return self.replace(**self._tensors(lambda x: x[index]), sample=sample, group=group)

    def cut(self, box: tuple[int, int, int, int]) -> "Batch":
        """The part of every image inside `box` = (top, bottom, left, right), half-open, in pixels; the camera moves on.

        An editor that re-renders whole images does not go with it.
        """
        top, bottom, left, right = box
        shift = torch.tensor([[0.0, 0.0, left], [0.0, 0.0, top], [0.0, 0.0, 0.0]])
        camera = None if self.intrinsics is None else self.intrinsics - shift.to(self.intrinsics)
        planes = self._tensors(lambda x: x[..., top:bottom, left:right])
        return self.replace(**{**planes, "intrinsics": camera}, editor=None)

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on another device."""
        return self.replace(**self._tensors(lambda x: x.to(device, non_blocking=True)))

    def replace(self, **changes: object) -> "Batch":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def edits(self) -> list[str]:
        """Names that `edited` accepts for this batch."""
        return self._editor().names()

    def edited(self, name: str, level: float = 1.0) -> "Batch":
        """The same samples with one thing changed (counterfactual).

        Raises:
            ValueError: if this data set does not offer the edit; lists those it does.
        """
        editor = self._editor()
        if name not in editor.names():
            raise ValueError(
                f"Expected `name` to be an edit that this data set offers {editor.names()}, but got {name!r}."
            )
        return editor(self, name, level)

    def _editor(self) -> Editor:
        return self.editor if self.editor is not None else ImageEditor()

    def _tensors(self, function: Callable[[Tensor], Tensor]) -> dict[str, object]:
        return {
            "image": function(self.image),
            "depth": function(self.depth),
            "valid": function(self.valid),
            "intrinsics": None if self.intrinsics is None else function(self.intrinsics),
            "maps": {name: function(x) for name, x in self.maps.items()},
        }


class ImageEditor:
    """Image-space edits, for every data set that cannot re-render; depth and ids stay as they are."""

    def names(self) -> list[str]:
        """The registered perturbations."""
        return PERTURBATIONS.names()

    def __call__(self, batch: Batch, name: str, level: float) -> Batch:
        """Apply a registered perturbation to the image alone."""
        return batch.replace(image=PERTURBATIONS[name](batch.image, level))


def stack(batches: Sequence[Batch]) -> Batch:
    """Join batches of equal image size; keeps intrinsics and maps only where all have them."""
    if not batches:
        raise ValueError("Expected at least one batch to stack, but got none.")
    first = batches[0]
    names = set.intersection(*(set(b.maps) for b in batches))
    has_intrinsics = all(b.intrinsics is not None for b in batches)
    return Batch(
        image=torch.cat([b.image for b in batches]),
        depth=torch.cat([b.depth for b in batches]),
        valid=torch.cat([b.valid for b in batches]),
        intrinsics=torch.cat([b.intrinsics for b in batches if b.intrinsics is not None]) if has_intrinsics else None,
        maps={k: torch.cat([b.maps[k] for b in batches]) for k in sorted(names)},
        sample=tuple(s for b in batches for s in b.sample),
        group=tuple(g for b in batches for g in b.group),
        editor=first.editor,
    )
