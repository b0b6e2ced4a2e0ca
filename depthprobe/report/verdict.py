"""The verdict of an audit: five lines of plain language, each with number, interval and percentile."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd

from depthprobe import stats
from depthprobe.report import estimates, findings, head, standings, text, traits
from depthprobe.report.blocks import Finding
from depthprobe.report.source import Source

SCALED = "after a fit of its scale to every image, "
SHIFTED = "after a fit of its scale and shift to every image, "
FITTED = {
    "none": "", "median": SCALED, "scale": SCALED, "scale_l1": SCALED, "scale_shift": SHIFTED,
    "scale_shift_l1": SHIFTED, "disparity": "after a fit of the scale and shift of its disparity to every image, ",
}  # fmt: skip
"""What is said before an error, by the protocol's alignment of the kind: how much was given from the truth."""
MOVED = {"texture": "other textures", "detail": "smoothing"}  # what leaves shapes alone, by lead; the first measured


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known:
    """What a line may be made of."""

    source: Source
    led: traits.Led
    sparse: estimates.Sparse | None
    options: estimates.Options

    @property
    def subject(self) -> str:
        """Of the audit."""
        return str(self.source.subject)

    def leads(self, probe: str, *keys: str) -> dict[str, traits.Estimated]:
        """The leads named, as far as the subject has them."""
        found = {one.lead.key: one for one in self.led.get(probe, [])}
        return {key: found[key] for key in keys if key in found and self.subject in set(found[key].means["model"])}

    def plainly(self, probe: str, *keys: str) -> str:
        """The sentences of these leads, without a full stop; "" where there are none."""
        return "; ".join(standings.stands(self.source, one) for one in self.leads(probe, *keys).values())


def lines(
    source: Source, led: traits.Led, sparse: estimates.Sparse | None, options: estimates.Options
) -> list[Finding]:
    """How accurate, how few pixels and which, how continuous, texture or shape, how far it looks."""
    known, out = Known(source=source, led=led, sparse=sparse, options=options), []
    for lead, section, probe, say in LINES:
        out.append(Finding(lead=lead, text=say(known) or f"not measured: {source.absent(probe)}", section=section))
    return out


def _accurate(known: Known) -> str:
    led, source = known.leads("error", "error"), known.source
    if "error" not in led:
        return ""
    one = led["error"]
    mine = one.means[one.means["model"] == source.subject]["estimate"]
    plain = ""
    if one.metric == "abs_rel" and mine.notna().any():
        fitted = FITTED.get(head.alignments(source).get(known.subject, "none"), "")
        plain = f"{fitted}its depth is off by {text.percent(float(mine.iloc[0]))} of the true distance on average: "
    measured = f"{one.metric} {standings.number(source, one)} under protocol {head.protocol_name(source)}"
    return f"{plain}{measured}, {traits.standing(source, one).said()}."


def _pixels(known: Known) -> str:
    found, source, subject = known.sparse, known.source, known.subject
    if found is None or subject not in set(found.curves.points["model"]):
        return ""
    parts = [f"{_enough(found, subject)}.", _which(found, subject)]
    if (led := known.leads("sparse", "sparse")) and source.references:
        one = led["sparse"]
        parts.append(f"On random pixels it loses {standings.number(source, one)} of its answer (mean over budgets of "
                     f"{one.metric}), {traits.standing(source, one).said()}.")  # fmt: skip
    return " ".join(part for part in parts if part)


def _which(found: estimates.Sparse, subject: str) -> str:
    """Which orders of pixels are clearly better than random ones under every fill."""
    if found.control.empty:
        return "No random control was measured, so which pixels matter is not known."
    agreed = findings.consistent(found.control[found.control["model"] == subject], ["b"])
    better = [findings.named(found, s) for s in agreed[agreed["verdict"] == "better"]["b"]]
    tried = f"of {text.counted(len(agreed), 'order')} tried, under {text.counted(len(found.fills), 'fill')}"
    if not better:
        return f"No choice of pixels is clearly better than a random one ({tried})."
    return f"Clearly better than random pixels: {text.listed(better)} ({tried})."


def _enough(found: estimates.Sparse, subject: str) -> str:
    """`90 % of what the full image gains comes from 20 % [...] of random pixels and from 10 % of texture pixels`."""
    every = findings.wide(found.curves.summary)
    every = every[(every["model"] == subject) & (every["factor2"] == found.fills[0])]
    best = findings.best_selectors(found)
    best = best[(best["model"] == subject) & (best["factor2"] == found.fills[0])]
    chosen = dict.fromkeys(["random", *best["factor"]])
    said = []
    for name in chosen:
        row = every[every["factor"] == name]
        if len(row) and np.isfinite(row["b90"].iloc[0]):
            r = row.iloc[0]
            size = findings.budget(r["b90"], r["b90_low"], r["b90_high"], found.budgets[0])
            picked = f" (the best of {best['of'].iloc[0]} selectors, picked after looking)" if name != "random" else ""
            said.append(f"{size} of {text.selector_name(str(name))} pixels{picked}")
    if not said:
        return "the full image gains nothing over the fewest pixels, so no budget is stated"
    smallest = text.percent(found.budgets[0])
    return f"90 % of what the full image gains over {smallest} of the pixels comes from {' and from '.join(said)}"


def _texture(known: Known) -> str:
    first = next(iter(known.leads("texture", *MOVED)), "")
    led, said = known.leads("texture", first, "shape"), known.plainly("texture", first, "shape")
    if len(led) < 2:
        return f"{said}." if said else ""
    mine = [one.rows[one.rows["model"] == known.subject].assign(model=key) for key, one in led.items()]
    both = pd.concat(mine).assign(metric="moved", better="none")
    if both.groupby("model")["value"].count().min() == 0:
        return f"{said}."
    gap = stats.compare(both, ["metric"], a=first, b="shape", **known.options.both).iloc[0]
    size = text.interval(gap["estimate"], gap["low"], gap["high"], gap["unit"])
    more = {
        "higher": f"Broken shapes move it more than {MOVED[first]}",
        "lower": f"Broken shapes move it less than {MOVED[first]}",
    }.get(str(gap["verdict"]), "Which of the two moves it more is undecided")
    return f"{said}. {more} (difference {size})."


def _far(known: Known) -> str:
    said = [known.plainly("receptive_field", "radius90"), known.plainly("context", "window")]
    return f"{'; '.join(part for part in said if part)}." if any(said) else ""


def _continuous(known: Known) -> str:
    said = known.plainly("continuity", "smooth", "edges")
    return f"{said}." if said else ""


LINES: tuple[tuple[str, str, str, Callable[[Known], str]], ...] = (
    ("How accurate:", "accuracy", "error", _accurate),
    ("How few pixels, and which:", "sparse", "sparse", _pixels),
    ("How continuous its gradients are:", "continuity", "continuity", _continuous),
    ("Texture or shape:", "texture", "texture", _texture),
    ("How far it looks:", "receptive-field", "receptive_field", _far),
)
