"""The protocol's scores on samples that are not trained on."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from lightning.fabric import Fabric

from depthprobe.data import Batch, Dataset, load_dataset
from depthprobe.data.records import spread
from depthprobe.functional.metrics import METRICS
from depthprobe.functional.protocol import get_protocol
from depthprobe.models import DepthModel
from depthprobe.probes import PROBES
from depthprobe.train.recipe import Recipe

KEPT_BYTES = 2**30


class Validation:
    """The validation samples of a training; batches stay in memory if all fit into 1 GB.

    Convention: `numbers` are the samples of `dataset` that count. `crop`: the window at the centre that is judged.
    """

    def __init__(self, dataset: Dataset, numbers: Sequence[int], *, crop: Sequence[int] = ()) -> None:
        self.dataset, self.crop = dataset, tuple(crop)
        size = dataset.batch_size
        self.chunks = [list(numbers[i : i + size]) for i in range(0, len(numbers), size)]
        self._kept: dict[int, list[Batch]] = {}
        self._bytes = 0

    def batches(self, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """The batches; `share` = (k, n): every n-th from the k-th."""
        for number in range(share[0], len(self.chunks), share[1]):
            if number in self._kept:
                yield from self._kept[number]
                continue
            loaded = [_bare(batch, self.crop) for batch in self.dataset.load(self.chunks[number])]
            self._bytes += sum(x.nbytes for b in loaded for x in (b.image, b.depth, b.valid))
            if self._bytes <= KEPT_BYTES:
                self._kept[number] = loaded
            yield from loaded


def held_out(dataset: Dataset, share: float) -> tuple[list[int], list[int]]:
    """Sample numbers to train on, and those held out: all samples of a `share` of the groups, evenly spread.

    Raises:
        ValueError: if there are fewer than two groups to part.
    """
    groups = list(dict.fromkeys(dataset.groups))
    if len(groups) < 2:
        raise ValueError(f"Expected at least 2 groups for held_out={share:g}, but `{dataset.name}` has {len(groups)}.")
    count = min(len(groups) - 1, max(1, round(share * len(groups))))
    chosen = {groups[i] for i in spread(len(groups), count)}
    out = [i for i, group in enumerate(dataset.groups) if group in chosen]
    kept = [i for i, group in enumerate(dataset.groups) if group not in chosen]
    return kept, out


def judge(model: DepthModel, validation: Validation, recipe: Recipe, fabric: Fabric) -> pd.DataFrame:
    """Rows of the `error` probe (and `group`) of every validation sample; the same on every process.

    The network is judged in float32, as `depthprobe run` judges it, whatever the precision of training. Processes
    share the batches, unless the network is sharded over them.
    """
    alone = fabric.world_size == 1 or recipe.strategy == "fsdp"
    share = (0, 1) if alone else (fabric.global_rank, fabric.world_size)
    frame = _rows(model, validation, recipe, fabric.device, share)
    if alone:
        return frame
    parts: list[pd.DataFrame | None] = [None] * fabric.world_size
    torch.distributed.all_gather_object(parts, frame)
    found = pd.concat([part for part in parts if part is not None], ignore_index=True)
    order = {name: i for i, name in enumerate([*found["metric"].unique(), *validation.dataset.samples])}
    return found.sort_values(["metric", "sample"], key=lambda names: names.map(order), ignore_index=True)


def means(frame: pd.DataFrame) -> dict[str, float]:
    """Mean over the samples by metric, in the order of the protocol."""
    found = frame.groupby("metric", sort=False)["value"].mean()
    return {str(name): float(value) for name, value in found.items()}


def improves(scores: dict[str, float], recipe: Recipe, best: float | None) -> tuple[float, bool]:
    """The score that decides (the protocol's first metric), and whether it is better than the best so far."""
    name = get_protocol(recipe.protocol).metrics[0]
    value = scores[name]
    if best is None or METRICS.facts(name)["better"] == "none":
        return value, value == value
    return value, value < best if METRICS.facts(name)["better"] == "lower" else value > best


def score(model: DepthModel, recipe: Recipe, device: torch.device) -> dict[str, float]:
    """Mean metrics of a network over the recipe's validation set, by its protocol."""
    dataset = load_dataset(recipe.dataset, **recipe.val)
    validation = Validation(dataset, range(len(dataset)), crop=recipe.crop)
    return means(_rows(model, validation, recipe, device, (0, 1)))


def _rows(
    model: DepthModel, validation: Validation, recipe: Recipe, device: torch.device, share: tuple[int, int]
) -> pd.DataFrame:
    protocol, probe, found = get_protocol(recipe.protocol), PROBES["error"], []
    for batch in validation.batches(share):
        frame = probe(model, batch.to(device), protocol)
        found.append(frame.assign(group=frame["sample"].map(dict(zip(batch.sample, batch.group, strict=True)))))
    return (
        pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["sample", "group", "metric", "value"])
    )


def _bare(batch: Batch, crop: Sequence[int]) -> Batch:
    """The batch without maps and editor, cut to the window at its centre."""
    image, depth, valid = batch.image, batch.depth, batch.valid
    if crop:
        (h, w), (height, width) = crop, image.shape[-2:]
        top, left = (height - h) // 2, (width - w) // 2
        image, depth, valid = (x[..., top : top + h, left : left + w].contiguous() for x in (image, depth, valid))
    return Batch(image=image, depth=depth, valid=valid, sample=batch.sample, group=batch.group)
