"""What an audit warns of first: a subject that does not behave as declared, from the rows of the probe `conduct`."""

import dataclasses
from collections.abc import Mapping

import pandas as pd

from depthprobe import stats
from depthprobe.report import estimates, head, text, traits
from depthprobe.report.source import Source

CLEARLY = 0.5  # of the declared kind's error: what another kind has to stay below before it is suspected
KINDS = ("metric_depth", "scale_depth", "affine_depth", "affine_disparity")  # the freer the alignment, the later
NEARLY = 1.1  # times the smallest error: kinds this near it are as good, and the one with the least freedom is named
SCALE = (0.8, 1.25)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """A share or difference above `limit` (`below`: under it), and what is then said.

    Convention: `{value}` is the mean over samples, or the largest of them (`worst`).
    """

    metric: str
    limit: float
    say: str
    worst: bool = False
    below: bool = False


CHECKS = (
    Check(metric="nan_share", limit=0, say="{value} of its output values are no numbers (NaN or infinite)."),
    Check(
        metric="nonpositive_share", limit=0, say="{value} of its output values are zero or negative, which no depth is."
    ),
    Check(
        metric="out_of_range_share",
        limit=0.001,
        say="{value} of its output values lie outside the depths of the protocol; they are judged as the nearest one.",
    ),
    Check(
        metric="spread",
        limit=1e-3,
        below=True,
        say="Its answer hardly varies over an image (standard deviation {value} of the mean): a constant output.",
    ),
    Check(
        metric="repeat_difference",
        limit=1e-6,
        worst=True,
        say="It is not deterministic: two passes on one image differ by up to {value} of the output's range, and every "
        "number here would move when measured again.",
    ),
    Check(
        metric="batch_difference",
        limit=1e-3,
        worst=True,
        say="Its answer depends on what else is in the batch, by up to {value} of the output's range.",
    ),
    Check(
        metric="train_difference",
        limit=1e-3,
        worst=True,
        say="In train mode it answers differently, by up to {value} of the output's range: it has batch normalisation "
        "or dropout. That is usual; everything here is measured in eval mode.",
    ),
)


def warnings(source: Source, options: estimates.Options) -> list[str]:
    """In words: wrong kind, scale, values that are no depths, chance, the batch, suspicion about the data, haste."""
    if source.audit is None:
        return []
    rows = source.probe("conduct")
    mine = rows[rows["model"] == source.subject]
    found = [*_kind(source, mine, options), *_scale(mine, options), *_checks(mine), *_seen(source, options)]
    asked = sorted({str(one.get("probe")) for one in source.side.get("refused") or []})
    found += [f"It could not be asked by `{p}`: {reason}" for p in asked if (reason := source.refused(p))]
    if mine.empty and not source.refused("conduct"):
        found.append("Whether it behaves as declared was not measured; add --probe conduct.")
    if source.audit.quick:
        found.append("This is a quick audit: few samples and settings, so intervals are wide and much is undecided.")
    return found


def _checks(mine: pd.DataFrame) -> list[str]:
    out = []
    for check in CHECKS:
        values = mine[mine["metric"] == check.metric]["value"].dropna()
        if values.empty:
            continue
        value = float(values.max() if check.worst else values.mean())
        if value < check.limit if check.below else value > check.limit:
            out.append(check.say.format(value=text.percent(value)))
    return out


def _kind(source: Source, mine: pd.DataFrame, options: estimates.Options) -> list[str]:
    """Another output kind than the declared one suspected: its error is clearly below half of the declared kind's.

    Convention: a freer alignment always fits better, so a smaller error alone says nothing; half of it, with a paired
    interval below, does. Of the kinds that fit about as well as the best, the one with the least freedom is named.
    """
    errors = mine[(mine["metric"] == "kind_error") & mine["value"].notna()]
    declared = _declared(source, errors)
    if declared is None or errors["factor"].nunique() < 2:
        return []
    held = errors["value"].where(errors["factor"] != declared, CLEARLY * errors["value"])
    gaps = stats.compare(
        errors.assign(value=held, better="lower"), ["plan"], between="factor", a=declared, **options.both
    )
    clear = set(gaps[gaps["high"] < 0]["b"])
    means = stats.summarise(errors, ["factor"], **options.both).set_index("factor")
    if not clear:
        return []
    least = means.loc[sorted(clear), "estimate"].min()
    named = next(k for k in KINDS if k in clear and means.loc[k, "estimate"] <= NEARLY * least)
    a, b = (means.loc[k] for k in (declared, named))
    return [
        f"Wrong output kind suspected: it is declared as {declared.replace('_', ' ')}, and so read its error (AbsRel) "
        f"is {text.interval(a['estimate'], a['low'], a['high'])}; read as {named.replace('_', ' ')} it is only "
        f"{text.interval(b['estimate'], b['low'], b['high'])}. If that is what it puts out, declare it "
        f"(output={named}) and audit again: every number below rests on it."
    ]


def _declared(source: Source, errors: pd.DataFrame) -> str | None:
    card: Mapping[str, object] = head.cards(source)[str(source.subject)]
    kind = str(card.get("output"))
    return kind if kind in set(errors["factor"]) else None


def _scale(mine: pd.DataFrame, options: estimates.Options) -> list[str]:
    rows = mine[(mine["metric"] == "scale") & mine["value"].notna()]
    if rows.empty:
        return []
    found = stats.summarise(rows, ["plan"], **options.both).iloc[0]
    low, high = (found[c] if pd.notna(found[c]) else found["estimate"] for c in ("low", "high"))
    if not (high < SCALE[0] or low > SCALE[1]):
        return []
    return [
        f"Scale off: at the median its depth is {text.interval(found['estimate'], found['low'], found['high'])} times "
        "the true one; 1 is right for metric depth. Another unit, camera or a missing factor is the usual reason."
    ]


def _seen(source: Source, options: estimates.Options) -> list[str]:
    """An error clearly below half of the best reference's: better, or it has seen these images."""
    rows = traits.rows(source, "error", traits.ACCURACY)
    rows = estimates.comparable(source, rows[rows["model"].isin([source.subject, *source.references])])
    if rows.empty or rows["plan"].nunique() > 1 or rows["better"].iloc[0] != "lower":
        return []
    means = rows.groupby("model")["value"].mean()
    beside = means.drop(str(source.subject))
    best = beside.idxmin()
    held = rows["value"].where(rows["model"] == source.subject, CLEARLY * rows["value"])
    pair = stats.compare(rows.assign(value=held), a=best, b=source.subject, **options.both).iloc[0]
    if not pair["high"] < 0:
        return []
    return [
        f"Training on these images is a possibility: its error ({text.number(means[source.subject])}) is less than "
        f"half of that of the best reference ({source.short[best]}, {text.number(beside[best])}). It may simply be the "
        "better network; the numbers here cannot tell. Audit it on images that it cannot have seen."
    ]
