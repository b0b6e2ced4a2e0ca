"""SceneEditor: counterfactual batches by rendering edited scenes again."""

import dataclasses
import functools
import threading

import numpy as np
import torch

from depthprobe.data.batch import Batch
from depthprobe.data.editing import each_sample
from depthprobe.data.scenes import edits_geometry  # noqa: F401  (registers the geometric edits)
from depthprobe.data.scenes.edits import SCENE_EDITS, Mixture, View
from depthprobe.data.scenes.generate import build_scene
from depthprobe.data.scenes.identity import parse_sample_id, to_batch
from depthprobe.data.scenes.rendering import pack, render
from depthprobe.data.scenes.target import find_target
from depthprobe.functional.perturb_core import EditError

_KEPT_SCENES = 64  # a scene with its packed arrays takes about 1 MB
_lock = threading.Lock()


@functools.lru_cache(maxsize=_KEPT_SCENES)
def _cached_view(kind: str, seed: int, size: tuple[int, int]) -> View:
    scene = build_scene(kind, seed, size)
    packed = pack(scene)
    return View(scene, packed, target=find_target(scene, packed))


def base_view(sample: str, size: tuple[int, int]) -> View:
    """The unedited view of a sample, from a cache of the last 64."""
    kind, seed = parse_sample_id(sample)
    with _lock:
        return _cached_view(kind, seed, size)


@dataclasses.dataclass(frozen=True)
class SceneEditor:
    """Edits of rendered scenes; edits can follow each other: `batch.edited("texture_off").edited("shadow_off")`.

    Sample ids never change, so that edited and original samples are paired.
    """

    applied: tuple[tuple[str, float], ...] = ()

    def names(self) -> list[str]:
        """The registered scene edits; their facts are in `SCENE_EDITS`."""
        return SCENE_EDITS.names()

    def __call__(self, batch: Batch, name: str, level: float) -> Batch:
        """The batch with one more edit, rendered again.

        Convention:
            Under edits that change the image only, depth, valid and maps are bit-identical. Object edits add the map
            `edited`, bool (B,1,H,W): the pixels of the changed object. `perspective_off` has no intrinsics.

        Raises:
            EditError: if a sample does not allow the edit; names the samples, why, and how to choose others.
        """
        after = SceneEditor((*self.applied, (name, level)))
        size, names = _size(batch), batch.sample
        edited = each_sample(batch, lambda i: after.render(names[i], size), name, level).to(batch.image.device)
        return edited.replace(group=batch.group, editor=after)

    def supported(self, batch: Batch, name: str, level: float = 1.0) -> list[int]:
        """The indices of the samples that allow an edit at a level."""
        return [i for i, sample in enumerate(batch.sample) if self.why_not(sample, _size(batch), name, level) is None]

    def why_not(self, sample: str, size: tuple[int, int], name: str, level: float = 1.0) -> str | None:
        """Why a sample does not allow an edit; None if it does."""
        try:
            SceneEditor((*self.applied, (name, level)))._views(sample, size)
        except EditError as error:
            return str(error)
        return None

    def target(self, sample: str, size: tuple[int, int]) -> int | None:
        """The id of the object that object edits change (see `target.find_target`)."""
        return base_view(sample, size).target

    def _views(self, sample: str, size: tuple[int, int]) -> Mixture:
        mixture: Mixture = [(1.0, base_view(sample, size))]
        for name, level in self.applied:
            edit = SCENE_EDITS[name]
            mixture = [(weight * share, new) for weight, view in mixture for share, new in edit(view, level)]
        return mixture

    def render(self, sample: str, size: tuple[int, int]) -> Batch:
        """A sample of `size` (height, width) with the applied edits, as a batch of one that carries this editor.

        Raises:
            EditError: if the scene does not allow one of them.
        """
        mixture = self._views(sample, size)
        images = [render(view.scene, cues=view.cues, packed=view.packed) for _, view in mixture]
        batch = to_batch(images[0], sample).replace(editor=self)
        if len(images) > 1:
            parts = [weight * to_batch(image, sample).image for (weight, _), image in zip(mixture, images, strict=True)]
            batch = batch.replace(image=torch.stack(parts).sum(0).clamp(0, 1))
        view = mixture[0][1]
        if view.scene.camera is not None and view.scene.camera.orthographic:
            batch = batch.replace(intrinsics=None)
        if view.edited is not None:
            mask = torch.from_numpy(np.asarray(images[0].object_id == view.edited))[None, None]
            batch = batch.replace(maps={**batch.maps, "edited": mask})
        return batch


def _size(batch: Batch) -> tuple[int, int]:
    height, width = batch.image.shape[-2:]
    return int(height), int(width)
