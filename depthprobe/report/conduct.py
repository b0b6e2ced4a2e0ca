"""What an audit warns of first: a subject that does not behave as declared, from the rows of the probe `conduct`."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from depthprobe import stats
from depthprobe.report import estimates, head, text, traits
from depthprobe.report.source import Source

CLEARLY = 0.5  # what is clearly less: half
KINDS = ("metric_depth", "scale_depth", "affine_depth", "affine_disparity")  # the freer the alignment, the later
FREEDOM = {"none": 0, "median": 1, "scale": 1, "scale_l1": 1, "scale_shift": 2, "scale_shift_l1": 2, "disparity": 2}
"""Numbers that an alignment fits per image."""
FALLING = "affine_disparity"  # the kind whose numbers fall where depth grows
TURNED = 0.3  # size of a rank correlation of the wrong sign from which on an output counts as turned
SCALE = (0.8, 1.25)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """A share or difference above `limit` (`below`: under it), and what is then said.

    Convention: `{value}` is the mean over samples, or the largest of them (`worst`); `{judged}` what becomes of a depth
    that nothing moves.
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
        limit=0.02,  # a little spills over at the border of the sky, also of good networks
        say="{value} of its depths lie outside the protocol's where the true ones do not{judged}.",
    ),
    Check(
        metric="spread",
        limit=1e-3,
        below=True,
        say="Its answer hardly varies over an image (standard deviation {value} of the mean): a constant output.",
    ),
    Check(
        metric="image_difference",
        limit=0.01,
        below=True,
        say="It hardly looks at the image: its answer to another one differs by {value} of the output's range.",
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
    """In words: what is wrong or suspected of the subject, unequal terms, what could not be asked, haste."""
    if source.audit is None:
        return []
    rows = source.probe("conduct")
    mine = rows[rows["model"] == source.subject]
    unmoved = head.alignments(source).get(str(source.subject)) == "none"
    judged = "; they are judged as the nearest one" if unmoved else ""
    found = [*_kind(source, mine, options), *_scale(mine, options), *_checks(mine, judged), *_seen(source, options),
             *_freer(source)]  # fmt: skip
    asked = sorted({str(one.get("probe")) for one in source.side.get("refused") or []})
    found += [f"It could not be asked by `{p}`: {reason}" for p in asked if (reason := source.refused(p))]
    if mine.empty and not source.refused("conduct"):
        found.append(f"Whether it behaves as declared was not measured: {source.absent('conduct')}")
    if source.audit.quick:
        found.append("This is a quick audit: few samples and settings, so intervals are wide and much is undecided.")
    return found


def _checks(mine: pd.DataFrame, judged: str) -> list[str]:
    out = []
    for check in CHECKS:
        values = mine[mine["metric"] == check.metric]["value"].dropna()
        if values.empty:
            continue
        value = float(values.max() if check.worst else values.mean())
        if value < check.limit if check.below else value > check.limit:
            out.append(check.say.format(value=text.percent(value), judged=judged))
    return out


def _kind(source: Source, mine: pd.DataFrame, options: estimates.Options) -> list[str]:
    """Another output kind than the declared one suspected, by the direction of the output or by how well it fits.

    Convention: an output that clearly falls where a rising one is declared (or the reverse) is of no kind that rises. A
    freer alignment always fits better, also an honest network, so a smaller error alone says nothing: how much smaller
    it is has to be clearly less than half of what it is in the median reference (without one: than half of half). Named
    is the kind with the least freedom that fits at most twice as badly as the best.
    """
    errors = mine[(mine["metric"] == "kind_error") & mine["value"].notna()]
    declared = _declared(source, errors)
    if declared is None or errors["factor"].nunique() < 2:
        return []
    means = stats.summarise(errors, ["factor"], **options.both).set_index("factor")
    turned = _turned(mine, declared, options)
    other = [k for k in KINDS if k in means.index and k != declared]
    if turned:
        fits = [k for k in other if (k == FALLING) != (declared == FALLING)]
    else:
        fits = [k for k in other if _fits(source, errors, declared, k, options)]
    if not fits:
        return []
    least = means.loc[fits, "estimate"]
    alike = [k for k in other if (k == FALLING) == (least.idxmin() == FALLING)]
    named = next(k for k in alike if CLEARLY * means.loc[k, "estimate"] <= least.min())
    a, b = (means.loc[k] for k in (declared, named))
    better = b["estimate"] < a["estimate"]
    remedy = (
        f"If that is what it puts out, declare it (output={named}) and audit again"
        if better
        else "Its sign may be turned, or it has not learnt what is near"
    )
    return [
        f"Wrong output kind suspected: it is declared as {declared.replace('_', ' ')}{turned}, and so read its error "
        f"(AbsRel) is {text.interval(a['estimate'], a['low'], a['high'])}; read as {named.replace('_', ' ')} it is "
        f"{'only ' if better else ''}{text.interval(b['estimate'], b['low'], b['high'])}. {remedy}: every number below "
        "rests on it."
    ]


def _turned(mine: pd.DataFrame, declared: str, options: estimates.Options) -> str:
    """What is said of an output that clearly runs against the direction of its declared kind; "" where none does."""
    rows = mine[(mine["metric"] == "order") & mine["value"].notna()]
    if rows.empty:
        return ""
    found = stats.summarise(rows, ["plan"], **options.both).iloc[0]
    falling = declared == FALLING
    wrong = _end(found, "low") > 0 if falling else _end(found, "high") < 0
    if not wrong or abs(found["estimate"]) < TURNED:
        return ""
    promised, does = ("falls", "grows") if falling else ("grows", "falls")
    size = text.interval(found["estimate"], found["low"], found["high"])
    return f", which {promised} with distance, but it {does} (rank correlation with the true depth {size})"


def _fits(source: Source, errors: pd.DataFrame, declared: str, kind: str, options: estimates.Options) -> bool:
    """Whether `kind` fits the subject clearly better than the declared one, beyond what it does for the references."""
    limit = CLEARLY * _usual(source, declared, kind)
    pair = errors[errors["factor"].isin([declared, kind])]
    held = pair["value"].where(pair["factor"] != declared, limit * pair["value"])
    gap = stats.compare(pair.assign(value=held, better="lower"), ["plan"], between="factor", a=declared, b=kind,
                        **options.both).iloc[0]  # fmt: skip
    return _end(gap, "high") < 0


def _usual(source: Source, declared: str, kind: str) -> float:
    """The error of a kind over that of the declared one, in the median reference; at most 1."""
    rows = source.probe("conduct")
    rows = rows[rows["model"].isin(source.references) & (rows["metric"] == "kind_error")]
    means = rows.groupby(["model", "factor"])["value"].mean().unstack()
    if not {declared, kind} <= set(means.columns):
        return CLEARLY
    ratio = (means[kind] / means[declared]).median()
    return float(min(ratio, 1)) if pd.notna(ratio) else CLEARLY


def _end(found: pd.Series, end: str) -> float:
    """An end of an interval; of a single group, which has none, the estimate."""
    return float(found[end] if pd.notna(found[end]) else found["estimate"])


def _freer(source: Source) -> list[str]:
    """References that the protocol fits to the truth more freely than the subject, which flatters them.

    Convention: by the alignments, not the kinds: a protocol may fit all kinds alike. The reverse does not happen in an
    audit, whose protocol fits what is less free as freely.
    """
    kinds = {name: str(card.get("output")) for name, card in head.cards(source).items()}
    mine, free = kinds.get(str(source.subject), ""), {m: FREEDOM.get(by) for m, by in head.alignments(source).items()}
    least = free.get(str(source.subject))
    freer = [name for name in source.references if least is not None and (free.get(name) or 0) > least]
    if not freer:
        return []
    named = text.listed(f"{source.short[name]} ({kinds[name].replace('_', ' ')})" for name in freer)
    return [
        f"Not on equal terms: {named} {'is' if len(freer) == 1 else 'are'} fitted to the truth more freely than a "
        f"{mine.replace('_', ' ')}, which makes the errors smaller."
    ]


def _declared(source: Source, errors: pd.DataFrame) -> str | None:
    card: Mapping[str, object] = head.cards(source)[str(source.subject)]
    kind = str(card.get("output"))
    return kind if kind in set(errors["factor"]) else None


def _scale(mine: pd.DataFrame, options: estimates.Options) -> list[str]:
    """A scale that is clearly not 1: the geometric mean over images, since ratios multiply."""
    rows = mine[(mine["metric"] == "scale") & (mine["value"] > 0)]
    if rows.empty:
        return []
    found = stats.summarise(rows.assign(value=np.log(rows["value"])), ["plan"], **options.both).iloc[0]
    if not (np.exp(_end(found, "high")) < SCALE[0] or np.exp(_end(found, "low")) > SCALE[1]):
        return []
    mean, low, high = (float(np.exp(found[end])) for end in ("estimate", "low", "high"))
    ratio = text.interval(mean, low, high)
    return [
        f"Scale off: at the median its depth is {ratio} times the true one; 1 is right for metric depth. Another unit, "
        "camera or a missing factor is the usual reason."
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
    if not _end(pair, "high") < 0:
        return []
    return [
        f"Training on these images is a possibility: its error ({text.number(means[source.subject])}) is less than "
        f"half of that of the best reference ({source.short[best]}, {text.number(beside[best])}). It may simply be the "
        "better network; the numbers here cannot tell. Audit it on images of the same kind that it cannot have seen: "
        "if it is as good there, it is the better network."
    ]
