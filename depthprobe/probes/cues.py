"""Which cues does a network follow? One cue is varied at a time, and what it answers is read."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from depthprobe.data.batch import Batch, stack
from depthprobe.functional.cues import line_slope
from depthprobe.functional.metrics import all_metrics
from depthprobe.functional.perturb_core import EditError
from depthprobe.functional.protocol import Protocol, get_protocol, prepare
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.cues_varied import CUES, READINGS, Seen
from depthprobe.probes.error import predict
from depthprobe.probes.fields import read_protocol
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.probes.texture import Edits, checked_edits


@dataclasses.dataclass(frozen=True, kw_only=True)
class CuesPlan:
    """Which cues are varied, and how far.

    Convention:
        protocol: a Protocol or the name of one; its metrics are not used.
        cues: names (CUES), each with its levels, in the unit of the edit behind it; the first is what the others are
            compared with in `log_mae@self`.
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    cues: Edits = tuple((name, CUES.facts(name)["levels"]) for name in CUES)
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        object.__setattr__(self, "cues", checked_edits("cues", self.cues))
        for name, levels in self.cues:
            CUES.facts(name)
            if len(levels) < 2:
                raise ValueError(f"Expected at least two levels for a slope, but got {levels} for the cue `{name}`.")
        if not self.cues:
            raise ValueError("Expected at least one cue in `cues`, but got none.")


@PROBES.register(
    "cues",
    plan=CuesPlan,
    axes={"factor": "cue", "level": "strength"},
    quick={
        "cues": (
            ("vertical_position", (0.0, 0.2)),
            ("roll", (0.0, 10.0)),
            ("fog", (0.0, 1.0)),
            ("paste_position", (1.0, 0.8)),
            ("paste_size", (1.0, 0.8)),
            ("paste_aside", (0.0, 1.0)),  # on photographs
        )
    },
)
def cues(model: DepthModel, batch: Batch, plan: CuesPlan) -> pd.DataFrame:
    """Rows of what is read at every strength of every cue, and of the slope of that on the dose, per sample.

    Convention: factor = cue, level = its strength: the reading (`log_depth`, `depth_gain`, `ground_pitch`,
    `ground_roll`) of the answer and `@truth` of the truth, the `cue_dose`, and for cues that leave geometry alone
    `log_mae@self` against the answer at the first level. Level NaN: `log_depth_slope` and so on, and `@truth`; what is
    right is the slope of the truth. Cues that the data set cannot vary have no rows; a sample that does not allow an
    edit (the object would be hidden, leave the image or hit something; a photograph has no ground or no object) has
    NaN there. Of a pasted copy, the truth is the depth that its cue implies: the slope is 1 for a network that follows
    this cue alone, and that of `paste_aside` is what pasting does without any cue.

    Raises:
        ValueError: if the protocol refuses the network's output kind, or the data set can vary none of the cues.
    """
    plan.protocol.check(model.card.output)
    offered = batch.edits()
    some = [(name, levels) for name, levels in plan.cues if CUES.facts(name)["needs"] in offered]
    if not some:
        needed = sorted({CUES.facts(name)["needs"] for name, _ in plan.cues})
        raise ValueError(
            f"Expected a data set with edits that vary a cue (one of {', '.join(needed)}), but this one has none; "
            "use `scenes`, or photographs with depth and intrinsics."
        )
    answers = _Answers(model, batch, plan.protocol)
    values = [one for name, levels in some for one in _responses(answers, name, levels)]
    return frame(batch.sample, values)


class _Answers:
    """What a network answers to the images of a batch and to varied ones; the same image is not predicted twice."""

    def __init__(self, model: DepthModel, batch: Batch, protocol: Protocol) -> None:
        self.model, self.batch, self.protocol = model, batch, protocol
        self.plain, self.inside = as_read(batch, protocol)

    @functools.cached_property
    def own(self) -> Tensor:
        """To the unedited images (B,1,h,w)."""
        return predict(self.model, self.plain.image, flip=self.inside.flip)

    def to(self, image: Tensor, index: Sequence[int]) -> Tensor:
        """To images (b,3,h,w), varied from the samples `index` of the batch."""
        changed = (image != self.plain.image[list(index)]).flatten(1).any(1)
        if changed.all():
            return predict(self.model, image, flip=self.inside.flip)
        found = self.own[list(index)].clone()
        if changed.any():
            found[changed] = predict(self.model, image[changed], flip=self.inside.flip)
        return found


def _responses(answers: _Answers, name: str, levels: Sequence[float]) -> Iterator[Measured]:
    """What is read at every level of one cue, then the slopes."""
    facts, found, first = CUES.facts(name), [], None
    for level in levels:
        seen, index = _seen(answers, name, level)
        first = seen if first is None else first
        values = {} if seen is None or first is None else _read(seen, first, level, facts)
        spread = {metric: _spread(values.get(metric), index, len(answers.batch)) for metric in _metrics(facts)}
        yield from (Measured(metric, value, factor=name, level=level) for metric, value in spread.items())
        found.append(spread)
    dose = torch.stack([one["cue_dose"] for one in found], 1)
    for against in ("", "@truth"):
        answer = torch.stack([one[facts["reading"] + against] for one in found], 1)
        yield Measured(f"{facts['reading']}_slope{against}", line_slope(dose, answer), factor=name)


def _metrics(facts: dict[str, Any]) -> list[str]:
    still = ["log_mae@self"] if facts.get("still") else []
    return ["cue_dose", facts["reading"], f"{facts['reading']}@truth", *still]


def _read(seen: Seen, first: Seen, level: float, facts: dict[str, Any]) -> dict[str, Tensor]:
    """Everything that is read at one level, for the samples that allow it."""
    take, reading = READINGS[facts["reading"]], facts["reading"]
    values = {
        "cue_dose": facts["dose"](seen, level),
        reading: take(seen, seen.pred),
        f"{reading}@truth": take(seen, seen.batch.depth),
    }
    if facts.get("still"):
        values["log_mae@self"] = all_metrics(seen.pred, first.pred, seen.where(), ["log_mae"])["log_mae"]
    return values


def _seen(answers: _Answers, name: str, level: float) -> tuple[Seen | None, list[int]]:
    """The varied batch and the network's answer, for the samples that allow the edit; and which these are."""
    ones, index = [], []
    for i in range(len(answers.batch)):
        try:
            ones.append(CUES[name](answers.batch.take([i]), level))
        except EditError:
            continue
        index.append(i)
    if not ones:
        return None, index
    varied, inside = as_read(stack(ones), answers.protocol)
    raw, kind = answers.to(varied.image, index), answers.model.card.output
    pred, mask = prepare(raw, varied.depth, varied.valid, kind=kind, protocol=inside)
    if CUES.facts(name).get("fitted") and inside.check(kind) != "none":
        plain, own = answers.plain.take(index), answers.own[index]
        pred, _ = prepare(raw, plain.depth, plain.valid, kind=kind, protocol=inside, fitted=own)
    return Seen(batch=varied, pred=pred, mask=mask), index


def _spread(value: Tensor | None, index: Sequence[int], count: int) -> Tensor:
    """The values of some samples among all `count`; NaN for the others."""
    out = torch.full((count,), torch.nan, dtype=torch.float64)
    if value is not None:
        out[list(index)] = value.detach().double().cpu()
    return out
