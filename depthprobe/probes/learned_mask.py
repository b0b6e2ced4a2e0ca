"""The sparsest mask through which a network still gives its own depth, and what it is worth."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.data.batch import Batch
from depthprobe.functional.filling_core import flat
from depthprobe.functional.protocol import prepare
from depthprobe.functional.selection import SELECTORS, SelectorInput
from depthprobe.functional.soft_masks import binarised, open_max, open_share
from depthprobe.models import DepthModel, load_model
from depthprobe.models.hooks import evaluating
from depthprobe.models.mask_generator import MaskedDepth
from depthprobe.models.masknet import optimise_mask
from depthprobe.probes.attribution_where import Places
from depthprobe.probes.learned_mask_plan import LearnedMaskPlan, weights_of
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.probes.sparse_jobs import Canvas, Masker, Packer
from depthprobe.probes.sparse_judge import Judge, full_predictions
from depthprobe.probes.sparse_maps import as_bytes, describe, thin
from depthprobe.probes.sparse_plan import Job

SEARCHED = "per image"
"""Name of the masks that are searched for image by image."""
SELECTOR_STEPS = 100
"""Steps of the search behind the selector `learned`."""


@SELECTORS.register(
    "learned", needs=("model",), source="Hu et al. 2019, arXiv:1904.03380, without their second network"
)
def learned(view: SelectorInput) -> Tensor:
    """Pixels by what a soft mask, searched for on this image, needs most for the network's own answer."""
    if not isinstance(view.model, DepthModel):
        raise ValueError("Expected a DepthModel for selector `learned`, but got a plain function.")
    return optimise_mask(view.model, view.image, seeds=view.seeds, steps=SELECTOR_STEPS).score


class Trial:
    """Masks of one batch tried on one network, on the canvas that it reads."""

    def __init__(self, model: DepthModel, batch: Batch, plan: LearnedMaskPlan) -> None:
        self.batch, protocol = as_read(batch, plan.protocol)
        self.model, self.plan = model, plan
        self.canvas = Canvas.of(model, self.batch, plan.seed, protocol)
        self.packer = Packer(plan.batch, self.canvas.image)
        self.hole = flat(self.canvas.image, model.card.fill)
        self.judge = Judge(full_predictions(model, self.canvas, self.packer), self.batch, protocol, model.card.output)
        self.places = Places.of(self.canvas)

    def soft_masks(self) -> Iterator[tuple[str, Tensor]]:
        """Every source and the logits (B,1,h,w) of its soft masks."""
        opened = [open_generator(path) for path in self.plan.generators]
        labels = [label for label, _ in opened]
        if len(set(labels)) < len(labels):
            raise ValueError(
                f"Expected `generators` to be trainings that differ in network, body, kind or seed, but got {labels}; "
                "try those that do not in runs of their own."
            )
        for label, generator in opened:
            with evaluating(generator), torch.no_grad():
                yield label, mask_logits(generator, self.canvas.image)
        if self.plan.steps:
            yield SEARCHED, self.search(None)

    def search(self, budget: float | None) -> Tensor:
        """The scores (B,1,h,w) of masks that are optimised image by image."""

        def find(some: Sequence[int]) -> Tensor:
            seeds = [self.canvas.seeds[i] for i in some]
            image, domain, plan = self.canvas.image[list(some)], self.canvas.domain[list(some)], self.plan
            how: dict[str, Any] = {"weight": plan.weight, "steps": plan.steps, "rate": plan.rate, "domain": domain}
            return optimise_mask(self.model, image, seeds=seeds, budget=budget, **how).score

        return torch.cat(list(self.packer.run(range(len(self.batch)), find)))

    def masked(self, mask: Tensor, some: Sequence[int]) -> Tensor:
        """The network's answers to some images through their masks (B,1,h,w), values in [0,1]."""
        index = list(some)
        return self.model(self.canvas.image[index] * mask[index] + self.hole * (1 - mask[index]))

    def judged(self, mask: Tensor) -> list[Measured]:
        """The protocol's metrics of the answers through masks."""

        def measure(some: Sequence[int]) -> Tensor:
            return torch.from_numpy(self.judge(self.masked(mask, some), list(some)))

        with torch.no_grad():
            values = torch.cat(list(self.packer.run(range(len(self.batch)), measure)))
        return [Measured(name, values[:, k]) for k, name in enumerate(self.judge.metrics)]

    def budgets(self, selector: str, budgets: Sequence[float], score: Tensor | None = None) -> list[Measured]:
        """The metrics of hard masks of exact budgets: of a registered selector, or of scores."""
        canvas = self.canvas if score is None else dataclasses.replace(self.canvas, maps={"rank": score})
        masker = Masker(self.model, canvas, self.plan.batch)
        jobs = [Job(i, selector, "mean", b) for i, b in itertools.product(range(len(self.batch)), budgets)]

        def measure(some: Sequence[Job]) -> Tensor:
            return torch.from_numpy(self.judge(self.model(masker.masked(some)), [job.image for job in some]))

        with torch.no_grad():
            found = torch.cat(list(self.packer.run(jobs, measure))).view(len(self.batch), len(budgets), -1)
        return [
            Measured(name, found[:, j, k], level=budget)
            for j, budget in enumerate(budgets)
            for k, name in enumerate(self.judge.metrics)
        ]


def open_generator(path: str) -> tuple[str, DepthModel]:
    """The name of a mask generator's masks, and the masked network, from the folder of its training.

    Raises:
        FileNotFoundError: if there is no finished training.
        ValueError: if it is a training of something else.
    """
    file = weights_of(path)
    if not file.is_file():
        raise FileNotFoundError(
            f"Expected a trained mask at {file}, but found none; depthprobe train nyu-masks makes one."
        )
    model = _opened(str(file), file.stat().st_mtime_ns)
    if not isinstance(model.net, MaskedDepth):
        raise ValueError(
            f"Expected {path} to be a training of a mask (depthprobe train nyu-masks), but it is {model.card.name}."
        )
    recipe, facts = file.parent / "recipe.json", model.card.facts
    seed = json.loads(recipe.read_text())["seed"] if recipe.is_file() else facts["seed"]
    return f"{facts['of']}/{facts['body']}/{facts['kind']}/seed{seed}", model


@functools.lru_cache(maxsize=32)
def _opened(file: str, changed: int) -> DepthModel:
    return load_model(f"ckpt:{file}")


def mask_logits(masked: DepthModel, image: Tensor) -> Tensor:
    """The logits (B,1,h,w) that a trained generator gives images, at their size."""
    net: Any = masked.to(image.device).net
    found = net.generator(masked.canvas(image))
    size = (image.shape[-2], image.shape[-1])
    return found if found.shape[-2:] == size else F.interpolate(found, size, mode="bilinear", align_corners=False)


def learned_mask_maps(model: DepthModel, batch: Batch, plan: LearnedMaskPlan) -> list[dict[str, Any]]:
    """Per sample and source the soft mask, as many whole pixels, and the answer through the soft mask.

    Convention: as `sparse_maps`, with score (h,w) float32 in [0,1] the soft mask; `keep` are as many whole pixels.
    """
    plan.protocol.check(model.card.output)
    with evaluating(model):
        trial, found = Trial(model, batch, plan), list[dict[str, Any]]()
        for label, logits in trial.soft_masks():
            found += _entries(trial, label, logits)
    return found


@torch.no_grad()
def _entries(trial: Trial, label: str, logits: Tensor) -> list[dict[str, Any]]:
    batch, model, judge, soft = trial.batch, trial.model, trial.judge, logits.sigmoid()
    every, hard = range(len(batch)), binarised(logits, trial.canvas.seeds)
    raw = torch.cat(list(trial.packer.run(every, lambda some: trial.masked(soft, some))))
    pred, mask = prepare(raw, batch.depth, batch.valid, kind=model.card.output, protocol=judge.protocol)
    values, share = judge(raw, list(every)), open_share(soft).tolist()
    depth, pred = (thin(x).float().cpu() for x in (batch.depth.where(mask, torch.nan), pred))
    images = as_bytes(thin(batch.image))
    masked = as_bytes(thin(trial.canvas.image * soft + trial.hole * (1 - soft)))
    keep, score = thin(hard > 0).cpu(), thin(soft).float().cpu()
    return [
        {
            "image": images[i],
            "depth": depth[i, 0].numpy(),
            "pred": pred[i, 0].numpy(),
            "keep": keep[i, 0].numpy(),
            "masked": masked[i],
            "score": score[i, 0].numpy(),
            "meta": describe(
                model, batch, i, trial.plan, "learned_mask", (label, share[i], "soft"),
                dict(zip(judge.metrics, values[i].tolist(), strict=True)),
            ),
        }
        for i in every
    ]  # fmt: skip


@PROBES.register(
    "learned_mask",
    plan=LearnedMaskPlan,
    axes={"factor": "mask", "level": "budget", "factor2": "kind"},
    maps=learned_mask_maps,
    quick={"steps": 10, "searched": (0.2,), "budgets": (0.1, 0.2), "controls": ("random", "image_edges")},
)
def learned_mask(model: DepthModel, batch: Batch, plan: LearnedMaskPlan) -> pd.DataFrame:
    """Rows of the protocol's metrics through learned masks, against the truth and against the network's own answer.

    Convention: factor = where the mask comes from: a generator ("of/body/kind/seed": that of another network is a
    cross-applied mask), "per image", or a control. factor2 = "soft": the mask as it is, with `open_share`, its mean,
    and `open_max`, its largest value; "binarised": as many whole pixels, so that the difference to "soft" is what
    half-open pixels are worth; "uniform": every pixel open by that mean, which LayerNorm may undo; "hard": level
    = exact budget, by the order of the same mask; "searched": level = exact budget, found for it. `share@region` and
    `enrichment@region` say where the soft mask is open. Controls are "hard" alone.

    Raises:
        ValueError: if the protocol refuses the network's output kind, a generator is no mask's, or two have one name.
        FileNotFoundError: if a generator is not there.
    """
    plan.protocol.check(model.card.output)
    found: list[Measured] = []
    with evaluating(model):
        trial = Trial(model, batch, plan)
        for label, logits in trial.soft_masks():
            mine = list(_soft(trial, logits))
            mine += [m._replace(factor2="hard") for m in trial.budgets("rank_map", plan.budgets, logits)]
            found += [m._replace(factor=label) for m in mine]
        for budget in plan.searched if plan.steps else ():
            mine = trial.budgets("rank_map", [budget], trial.search(budget))
            found += [m._replace(factor=SEARCHED, factor2="searched") for m in mine]
        for control in plan.controls:
            found += [m._replace(factor=control, factor2="hard") for m in trial.budgets(control, plan.budgets)]
    return frame(trial.batch.sample, found)


def _soft(trial: Trial, logits: Tensor) -> Iterator[Measured]:
    soft = logits.sigmoid()
    share = open_share(soft)
    hard, even = binarised(logits, trial.canvas.seeds), share.view(-1, 1, 1, 1).expand_as(soft)
    kinds = {"soft": soft, "binarised": hard, "uniform": even}
    for kind, mask in kinds.items():
        yield from (m._replace(factor2=kind) for m in trial.judged(mask))
    yield Measured("open_share", share, factor2="soft")
    yield Measured("open_max", open_max(soft), factor2="soft")
    yield from (m._replace(factor2="soft") for m in trial.places.measured(soft))
