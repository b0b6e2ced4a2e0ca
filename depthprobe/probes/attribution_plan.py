"""The plan of the attribution probe, and how its targets are written."""

import dataclasses
import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor

from depthprobe.checks import check_one_of, check_range
from depthprobe.functional.attribution import ATTRIBUTIONS
from depthprobe.functional.filling import FILLS
from depthprobe.functional.metrics import METRICS
from depthprobe.functional.protocol import Protocol, get_protocol
from depthprobe.functional.regions import REGIONS
from depthprobe.functional.targets import TARGETS, Target
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.attribution_curves import CURVES
from depthprobe.probes.fields import read_lists, read_protocol
from depthprobe.probes.sparse_jobs import Canvas

CHECKS = ("completeness_gap", "infidelity", "sensitivity_max")
BLOCKS = 4
"""Infidelity fits a scale to its random changes: with five of them an attribution of noise would seem to say a lot."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttributionPlan:
    """Which attributions, of what, and how they are tried.

    Convention:
        protocol: a Protocol or the name of one; `metrics` are measured in place of its own.
        methods: names in ATTRIBUTIONS. targets: as `parse_target` reads them: "mean", "edge_gradient", "error",
            "pixel:0.5:0.5" (shares of height and width), "region:far", "contrast:far:near", "band:2:4" (metres).
        curves: names in CURVES; shares: of the pixels removed (deletion, road) or shown (insertion), in (0, 1].
        square: side of the squares of pixels that are removed or shown as a whole, 1 for single pixels. ROAD repairs
            single pixels better than a hole, so that with 1 the control `centre`, one hole, beats what is scattered.
        fill: what replaces removed pixels, and what the image is compared with where nothing of it is left (baseline).
        checks: those of CHECKS that are made. Sensitivity costs `perturbations` attributions more.
        randomise: shares of the layers, from the output backwards, whose weights are shuffled (Adebayo et al. 2018).
        where: also say where the attribution lies.
        steps, samples, deviation, window, stride, size: options of the methods that take them.
        perturbations: random changes per image in `sensitivity_max`, and BLOCKS times as many in `infidelity`, where
            one costs no attribution; radius: of the former.
        batch: images per forward pass (a matter of speed and memory only).
    The default costs about 2000 passes per image of 96x128 pixels and target, 8 times 216 for attributions.
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    methods: tuple[str, ...] = ("saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "occlusion")
    targets: tuple[str, ...] = ("mean", "edge_gradient")
    metrics: tuple[str, ...] = ("abs_rel", "grad_mae")
    curves: tuple[str, ...] = ("deletion", "insertion", "road")
    shares: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75)
    square: int = 1
    fill: str = "mean"
    checks: tuple[str, ...] = CHECKS
    randomise: tuple[float, ...] = (0.25, 1.0)
    where: bool = True
    steps: int = 32
    samples: int = 16
    deviation: float = 0.1
    window: int = 16
    stride: int = 8
    size: int = 8
    perturbations: int = 5
    radius: float = 0.02
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        read_lists(self, ("methods", "targets", "metrics"), ("curves", "shares", "checks", "randomise"))
        for method in self.methods:
            check_one_of("method", method, ATTRIBUTIONS.names())
        for metric in self.metrics:
            METRICS.facts(metric)
        for text in self.targets:
            parse_target(text)
        check_one_of("fill", self.fill, FILLS.names())
        for kind, known in (("curves", CURVES), ("checks", CHECKS)):
            for one in getattr(self, kind):
                check_one_of(kind, one, known)
        for share in (*self.shares, *self.randomise):
            check_range("share", share, 0, 1, open_low=True)
        for name in ("square", "steps", "samples", "window", "stride", "size", "perturbations", "batch"):
            check_range(name, getattr(self, name), 1, 1e6)
        check_range("radius", self.radius, 0, 1, open_low=True)
        check_range("deviation", self.deviation, 0, 1)

    def options(self, method: str) -> dict[str, float]:
        """Those of the plan's options that a method takes."""
        taken = inspect.signature(ATTRIBUTIONS[method]).parameters
        given = ("steps", "samples", "deviation", "window", "stride", "size")
        return {name: getattr(self, name) for name in given if name in taken}


Reading = tuple[str, dict[str, list[str]]]
"""The name of a target, and by need what is written for it."""


def parse_target(text: str) -> Reading:
    """Read a target, `name:argument:argument`: a region is the name of one in REGIONS, place and band two numbers.

    Raises:
        ValueError: if the target or a region is unknown, or the arguments do not fit.
    """
    name, *written = text.split(":")
    needs = TARGETS.facts(name)["needs"]
    count = sum(_FROM[need][0] for need in needs)
    if len(written) != count:
        raise ValueError(f"Expected target `{name}` to have {count} arguments after colons, but got {text!r}.")
    left, found = iter(written), dict[str, list[str]]()
    for need in needs:
        found[need] = [next(left) for _ in range(_FROM[need][0])]
        if need in ("region", "other"):
            check_one_of("region", found[need][0], REGIONS.names())
        for one in found[need] if need in ("place", "band") else ():
            _number(one, text)
    return name, found


def _number(written: str, text: str) -> float:
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"Expected numbers >= 0 in target {text!r}, but got {written!r}.")
    return value


def make_target(text: str, model: DepthModel, canvas: Canvas, judged: Tensor) -> Target:
    """The target on a model's canvas; regions, bands and errors count where the truth is `judged` (B,1,h,w).

    Raises:
        ValueError: if the target compares the prediction with metres and the network does not predict metres.
    """
    name, written = parse_target(text)
    if TARGETS.facts(name)["unit"] != "pred" and model.card.output != "metric_depth":
        raise ValueError(
            f"Expected a network of metric_depth for target `{name}`, but got {model.card.output}; leave it out."
        )
    return Target(name, {need: _FROM[need][1](canvas, judged, arguments) for need, arguments in written.items()})


def _region(canvas: Canvas, judged: Tensor, written: list[str]) -> Tensor:
    found: Tensor = REGIONS[written[0]](canvas.image, canvas.depth, judged) & judged
    return found


def _place(canvas: Canvas, judged: Tensor, written: list[str]) -> Tensor:
    sides = zip(written, canvas.image.shape[-2:], strict=True)
    return torch.tensor([[min(int(float(share) * n), n - 1) for share, n in sides]], device=judged.device)


def _band(canvas: Canvas, judged: Tensor, written: list[str]) -> Tensor:
    return torch.tensor([[float(end) for end in written]], device=judged.device)


_FROM: dict[str, tuple[int, Callable[[Canvas, Tensor, list[str]], Tensor]]] = {
    "depth": (0, lambda canvas, judged, written: canvas.depth),
    "valid": (0, lambda canvas, judged, written: judged),
    "region": (1, _region),
    "other": (1, _region),
    "place": (2, _place),
    "band": (2, _band),
}
"""How each need of a target is written (how many arguments) and found."""
