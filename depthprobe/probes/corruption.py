"""How does a network bear common corruptions, by severity? Against the truth and against its own clean answer."""

import dataclasses
from collections.abc import Iterator

import pandas as pd

from depthprobe.checks import check_one_of
from depthprobe.data.batch import Batch
from depthprobe.functional.corruption import SEVERITIES, corruptions, severity_level
from depthprobe.functional.perturb import PERTURBATIONS
from depthprobe.functional.protocol import Protocol, get_protocol
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.error import predict
from depthprobe.probes.fields import read_lists, read_protocol
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.probes.responses import Change, reactions


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorruptionPlan:
    """Which corruptions, how severe.

    Convention:
        protocol: a Protocol or the name of one; its metrics are measured.
        corruptions: names of perturbations that have severities; every one leaves the depth where it is.
        severities: of 1 to 5; lengths in pixels grow with the image's shorter side. The seed decides the random ones,
            which are the same for every image. Images are corrupted at the size at which the data set has them, alike
            for all networks: one that reads them smaller averages noise away (compare networks of one size).
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    corruptions: tuple[str, ...] = tuple(corruptions())
    severities: tuple[int, ...] = SEVERITIES
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        read_lists(self, ("corruptions", "severities"))
        for one in self.corruptions:
            check_one_of("corruption", one, corruptions())
        for severity in self.severities:
            check_one_of("severity", severity, SEVERITIES)

    def passes(self) -> int:
        """Forward passes per image: one as it is, and one per corruption and severity; twice as many with `flip`."""
        return (1 + len(self.corruptions) * len(self.severities)) * (2 if self.protocol.flip else 1)


@PROBES.register(
    "corruption",
    plan=CorruptionPlan,
    axes={"factor": "corruption", "level": "severity"},
    quick={"corruptions": ("gaussian_noise", "defocus_blur", "jpeg"), "severities": (1, 5)},
)
def corruption(model: DepthModel, batch: Batch, plan: CorruptionPlan) -> pd.DataFrame:
    """Rows of the protocol's metrics under every corruption and severity, and of the unchanged image (factor "").

    Convention: level = severity; `pixel_change` says how much the image differs, so that corruptions can be compared
    at equal change; `@self` is against the network's answer to the unchanged image.

    Raises:
        ValueError: if the protocol refuses the network's output kind, or does not fit the images.
    """
    plan.protocol.check(model.card.output)
    batch, protocol = as_read(batch, plan.protocol)
    answer = predict(model, batch.image, flip=protocol.flip)
    return reactions(model, batch, protocol, _changes(batch, plan), answer)


def _changes(batch: Batch, plan: CorruptionPlan) -> Iterator[Change]:
    size = (batch.image.shape[-2], batch.image.shape[-1])
    yield Change(factor="", level=float("nan"), image=batch.image)
    for name in plan.corruptions:
        for severity in plan.severities:
            image = PERTURBATIONS[name](batch.image, severity_level(name, severity, size), seed=plan.seed)
            yield Change(factor=name, level=severity, image=image)
