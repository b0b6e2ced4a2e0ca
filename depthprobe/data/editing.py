"""Editing a batch sample by sample, where some samples may not allow it."""

from collections.abc import Callable

from depthprobe.data.batch import Batch, stack
from depthprobe.functional.perturb_core import EditError


def each_sample(batch: Batch, edit: Callable[[int], Batch], name: str, level: float) -> Batch:
    """The edited samples (`edit` of their indices) as one batch; `name` and `level` are for the sentence.

    Raises:
        EditError: if a sample does not allow the edit; names the samples, why, and how to choose others.
    """
    ones, refused = [], {}
    for i, sample in enumerate(batch.sample):
        try:
            ones.append(edit(i))
        except EditError as error:
            refused[sample] = str(error)
    if refused:
        sample, reason = next(iter(refused.items()))
        raise EditError(
            f"Expected every sample to allow the edit {name!r} at level {level:g}, but {len(refused)} of "
            f"{len(batch)} do not (e.g. {sample}: {reason}); take those that do: "
            f"`batch.take(batch.editor.supported(batch, {name!r}, {level:g}))`."
        )
    return stack(ones)
