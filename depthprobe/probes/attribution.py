"""Which pixels does a network's depth rest on, and can the answer be believed?"""

import dataclasses
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from depthprobe.data.batch import Batch
from depthprobe.functional import attribution_checks as tried
from depthprobe.functional.attribution import ATTRIBUTIONS, attribute, pixel_score
from depthprobe.functional.filling import fill_pixels
from depthprobe.functional.protocol import prepare
from depthprobe.functional.targets import Target
from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import evaluating
from depthprobe.probes.attribution_curves import CONTROLS, Tracer
from depthprobe.probes.attribution_plan import BLOCKS, AttributionPlan, make_target
from depthprobe.probes.attribution_sanity import layers_with_weights, randomised
from depthprobe.probes.attribution_where import Places
from depthprobe.probes.galleries import describe, pictures
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.probes.sparse_jobs import Canvas, Packer
from depthprobe.probes.sparse_judge import Judge, full_predictions


class Explainer:
    """Attributions of one model's answers to one batch, on the canvas that the network reads.

    Convention: the baseline is the image with every pixel removed by the plan's fill, except of methods that have one
    of their own (fact `baseline`: black).
    """

    def __init__(self, model: DepthModel, batch: Batch, plan: AttributionPlan) -> None:
        batch, protocol = as_read(batch, plan.protocol)
        self.model, self.batch, self.plan = model, batch, plan
        self.protocol = dataclasses.replace(protocol, metrics=plan.metrics)
        self.canvas = Canvas.of(model, batch, plan.seed, protocol)
        self.packer = Packer(plan.batch, self.canvas.image)
        self.full = full_predictions(model, self.canvas, self.packer)
        image, nothing = self.canvas.image, torch.zeros_like(self.canvas.valid)
        filled = fill_pixels(plan.fill, image, nothing, seeds=self.canvas.seeds, mean=model.card.fill)
        self._absent = {"given": filled, "none": filled, "black": torch.zeros_like(filled)}
        self._without: dict[str, Tensor] = {}

    def target(self, text: str) -> tuple[Target, Tensor]:
        """The target, and which images (B,) have it: a region may be empty."""
        target = make_target(text, self.model, self.canvas, self.canvas.judged(self.protocol))
        return target, target(self.full).isfinite()

    def absent(self, method: str) -> Tensor:
        """What a method compares the images with, (B,3,h,w)."""
        return self._absent[ATTRIBUTIONS.facts(method)["baseline"]]

    def without(self, method: str) -> Tensor:
        """The network's answers (B,1,h,w) to that."""
        kind = ATTRIBUTIONS.facts(method)["baseline"]
        if kind not in self._without:
            nothing = dataclasses.replace(self.canvas, image=self._absent[kind])
            self._without[kind] = full_predictions(self.model, nothing, self.packer)
        return self._without[kind]

    def attribution(self, method: str, target: Target, has: Tensor) -> Tensor:
        """The attribution (B,3,h,w), 0 for images without the target."""
        found = attribute(
            method, self.model, self.canvas.image, target, seeds=self.canvas.seeds, baseline=self.absent(method),
            batch=self.packer.size, **self.plan.options(method),
        )  # fmt: skip
        return torch.where(has.view(-1, 1, 1, 1), found, 0)


@torch.no_grad()
def attribution_maps(model: DepthModel, batch: Batch, plan: AttributionPlan) -> list[dict[str, Any]]:
    """Per sample, method and target the pixels' scores, for galleries.

    Convention: image (H,W,3) uint8; depth (H,W) float32 metres, NaN where not judged; pred (H,W) float32 metres,
    aligned; score (h,w) float32 on the network's canvas, as `pixel_score`; meta: a JSON string.
    """
    plan.protocol.check(model.card.output)
    with evaluating(model):
        seen = Explainer(model, batch, plan)
        found = [
            (method, text, pixel_score(method, seen.attribution(method, *seen.target(text))))
            for text in plan.targets
            for method in plan.methods
        ]
    batch = seen.batch
    pred, mask = prepare(seen.full, batch.depth, batch.valid, kind=model.card.output, protocol=seen.protocol)
    shown = pictures(batch, pred, mask)
    return [
        {
            **shown[i],
            "score": score[i, 0].float().cpu().numpy(),
            "meta": describe(model, batch, i, plan, "attribution", (method, None, text), {}),
        }
        for method, text, score in found
        for i in range(len(batch))
    ]


@PROBES.register(
    "attribution",
    plan=AttributionPlan,
    axes={"factor": "method", "level": "share", "factor2": "target"},
    maps=attribution_maps,
    quick={
        "methods": ("saliency", "integrated_gradients"), "targets": ("mean",), "curves": ("deletion", "insertion"),
        "shares": (0.1, 0.5), "steps": 4, "perturbations": 2, "randomise": (1.0,), "checks": ("infidelity",),
    },
)  # fmt: skip
@torch.no_grad()
def attribution(model: DepthModel, batch: Batch, plan: AttributionPlan) -> pd.DataFrame:
    """Rows of the curves of every method and target beside controls, of its checks, its sanity, and where it lies.

    Convention: factor = method, or "random" and "centre", which know nothing of the network; factor2 = target.
    `abs_rel@deletion` by level = share of the pixels removed, most important first, `@insertion` share shown, `@road`
    as deletion with the others' colours imputed; `.self` behind it: against the network's own full answer.
    `infidelity`, `sensitivity_max`, `completeness_gap`: see `functional.attribution_checks`; the latter for
    contributions alone. `rank_correlation@random_weights`: of the pixels' scores with those of the network whose last
    layers (level = their share) have shuffled weights; near 1 means that the map does not depend on what was learned.
    `share@region`: of the pixels' scores; `enrichment@region`: that over the region's share of the pixels (`Places`).
    NaN where a sample has no such target, or a network has no weights.

    Raises:
        ValueError: if the protocol refuses the network's output kind, or a target or a method does not fit the network.
    """
    plan.protocol.check(model.card.output)
    measured: list[Measured] = []
    with evaluating(model):
        seen = Explainer(model, batch, plan)
        judge = Judge(seen.full, seen.batch, seen.protocol, model.card.output)
        options: dict[str, Any] = {"curves": plan.curves, "shares": plan.shares, "fill": plan.fill}
        tracer = Tracer(model, seen.canvas, judge, seen.packer, square=plan.square, **options)
        controls = [m._replace(factor=c) for c in CONTROLS for m in tracer.follow(c)]
        places = Places.of(seen.canvas) if plan.where else None
        for text in plan.targets:
            target, has = seen.target(text)
            found = list(controls)
            for method in plan.methods:
                values = seen.attribution(method, target, has)
                score = pixel_score(method, values)
                mine = tracer.follow("rank_map", score) + _checks(seen, method, target, values)
                mine += _sanity(seen, method, target, has, score)
                mine += places.measured(score) if places else []
                found += [m._replace(factor=method, value=m.value.where(has.cpu(), torch.nan)) for m in mine]
            measured += [m._replace(factor2=text) for m in found]
    return frame(seen.batch.sample, measured)


def _checks(seen: Explainer, method: str, target: Target, values: Tensor) -> list[Measured]:
    plan, absent = seen.plan, seen.absent(method)
    what = (method, seen.model, seen.canvas.image, target, values, absent)
    settings: dict[str, Any] = {"seeds": seen.canvas.seeds, "batch": seen.packer.size}
    found = []
    if "completeness_gap" in plan.checks and ATTRIBUTIONS.facts(method)["answers"] == "contribution":
        change = target(seen.full) - target(seen.without(method))
        found.append(Measured("completeness_gap", tried.completeness_gap(values, change).cpu()))
    if "infidelity" in plan.checks:
        masks = BLOCKS * plan.perturbations
        value = tried.infidelity(*what, perturbations=masks, block=plan.size, **settings)
        found.append(Measured("infidelity", value))
    if "sensitivity_max" in plan.checks:
        settings |= {"perturbations": plan.perturbations, "radius": plan.radius, **plan.options(method)}
        found.append(Measured("sensitivity_max", tried.sensitivity_max(*what, **settings)))
    return found


def _sanity(seen: Explainer, method: str, target: Target, has: Tensor, score: Tensor) -> list[Measured]:
    """Likeness of the scores to those of the network with shuffled weights."""
    found = []
    for share in seen.plan.randomise:
        likeness = torch.full((len(score),), torch.nan, dtype=torch.float64)
        if layers_with_weights(seen.model):
            with randomised(seen.model, share, seen.plan.seed):
                other = pixel_score(method, seen.attribution(method, target, has))
            likeness = tried.rank_correlation(score, other).cpu()
        found.append(Measured("rank_correlation@random_weights", likeness, level=share))
    return found
