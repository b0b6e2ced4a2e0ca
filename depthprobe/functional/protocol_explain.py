"""Why two numbers of one metric, published under two protocols, differ: in words, and as protocols in between."""

import dataclasses
from collections.abc import Collection

from depthprobe.functional.alignment import ALIGNMENTS
from depthprobe.functional.conversion import DEPTH_KINDS, OUTPUT_KINDS
from depthprobe.functional.geometry import PixelBox, overlap
from depthprobe.functional.metrics import METRICS
from depthprobe.functional.protocol import ASPECTS, PROTOCOLS, Protocol

MEANING = {
    "data": "other images or another truth, which no protocol makes comparable",
    "window": "other pixels are judged, or the network reads another part of the image",
    "range": "which truth counts, and how wrong a prediction can be at most",
    "resize": "the values between the network's own pixels, most of all at depth edges",
    "alignment": "how much is fitted to the truth before the prediction is judged",
    "floor": "how far a fitted disparity near 0 may reach: few pixels, large errors",
    "flip": "one prediction, or the mean of two",
}


@dataclasses.dataclass(frozen=True)
class Difference:
    """One choice that two protocols make differently: each one's in words, and what it does to a number."""

    aspect: str
    a: str
    b: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class Contrast:
    """Two protocols that differ by one aspect (or, `whole`, by all), to be measured on the same predictions.

    Convention: how = "alone": only this aspect is taken from the second protocol; "in turn": it is switched after
    those before it, so that the changes add up to the whole; "together": the whole.
    """

    change: str
    how: str
    a: Protocol
    b: Protocol


def explain(
    a: Protocol, b: Protocol, *, kind: str | None = None, size: tuple[int, int] | None = None
) -> list[Difference]:
    """What two protocols do differently, in words, in the order in which a prediction meets it; [] if nothing.

    Convention: `kind`: only what matters to predictions of this output kind. `size` (h, w): the frame in which windows
    are said in pixels (None: the usual frame of a preset).

    Raises:
        ValueError: if a protocol refuses the kind, or its window does not fit the frame.
    """
    said = [_data(a, b)] if _fact(a, "data") != _fact(b, "data") else []
    for aspect in differing(a, b, kind):
        words = _WORDS[aspect](a, b, kind, size) if aspect in _WORDS else _plain(aspect, a, b)
        said.append(words)
    return said


def differing(a: Protocol, b: Protocol, kind: str | None = None) -> list[str]:
    """The aspects in which two protocols differ; with `kind`, only those that matter to it, and the metrics.

    Raises:
        ValueError: if a protocol refuses the kind.
    """
    fields = [x for xs in ASPECTS.values() for x in xs if getattr(a, x) != getattr(b, x)]
    if kind is not None:
        methods = {p.check(kind) for p in (a, b)}
        inverted = any(ALIGNMENTS.facts(method)["space"] == "disparity" for method in methods)
        matters = {"alignment": len(methods) > 1, "floor": inverted, "resize_space": kind in DEPTH_KINDS}
        fields = [x for x in fields if matters.get(x, True)]
    return [aspect for aspect, own in ASPECTS.items() if set(own) & set(fields)]


def shared_metrics(a: Protocol, b: Protocol) -> tuple[str, ...]:
    """The metrics that both protocols give, in the order of the first."""
    return tuple(metric for metric in a.metrics if metric in b.metrics)


def contrasts(a: Protocol, b: Protocol, kind: str) -> list[Contrast]:
    """The way from one protocol to another, one aspect at a time; [] if they judge this kind alike.

    Convention: all protocols have the metrics that both give. First, aspect by aspect, the change alone and in turn;
    at last the whole.

    Raises:
        ValueError: if a protocol refuses the kind, or they have no metric in common.
    """
    shared = shared_metrics(a, b)
    if not shared:
        raise ValueError(
            f"Expected two protocols with a metric in common, but got `{a.name}` with {list(a.metrics)} and "
            f"`{b.name}` with {list(b.metrics)}."
        )
    aspects = [aspect for aspect in differing(a, b, kind) if aspect != "metrics"]
    a, b = (dataclasses.replace(p, metrics=shared, seed=0) for p in (a, b))
    found, before = [], a
    for i, aspect in enumerate(aspects):
        alone, after = (_switched(a, b, some, aspects) for some in ([aspect], aspects[: i + 1]))
        found += [Contrast(aspect, "alone", a, alone), Contrast(aspect, "in turn", before, after)]
        before = after
    return [*found, Contrast("", "together", a, b)] if aspects else []


def _switched(a: Protocol, b: Protocol, some: Collection[str], aspects: Collection[str]) -> Protocol:
    """The first protocol with some aspects of the second; the second itself with all that matter."""
    if len(some) == len(aspects):
        return b
    changed = {field: getattr(b, field) for aspect in some for field in ASPECTS[aspect]}
    return dataclasses.replace(a, name="+".join((a.name, *some)), **changed)


def _fact(protocol: Protocol, name: str) -> object:
    return PROTOCOLS.facts(protocol.name).get(name) if protocol.name in PROTOCOLS else None


def _data(a: Protocol, b: Protocol) -> Difference:
    first, second = (str(_fact(p, "data") or "not said") for p in (a, b))
    return Difference("data", first, second, MEANING["data"])


def _plain(aspect: str, a: Protocol, b: Protocol) -> Difference:
    return Difference(aspect, a.words()[aspect], b.words()[aspect], MEANING[aspect])


def _window(a: Protocol, b: Protocol, kind: str | None, size: tuple[int, int] | None) -> Difference:
    """In words and in pixels; with what is common to both where they have the same frame."""
    frames = [size or _fact(p, "size") for p in (a, b)]
    boxes = [p.judges(f) if isinstance(f, tuple) else None for p, f in zip((a, b), frames, strict=True)]
    first, second = (_said_in_pixels(p, f, box) for p, f, box in zip((a, b), frames, boxes, strict=True))
    meaning = MEANING["window"]
    if boxes[0] is not None and boxes[1] is not None and frames[0] == frames[1]:
        meaning += f"; {100 * _common(boxes[0], boxes[1]):.1f} % in common (intersection over union)"
    return Difference("window", first, second, meaning)


def _said_in_pixels(protocol: Protocol, frame: object, box: PixelBox | None) -> str:
    words = protocol.words()["window"]
    if box is None or not isinstance(frame, tuple):
        return words
    return f"rows {box[0]}:{box[1]} of {frame[0]}, cols {box[2]}:{box[3]} of {frame[1]}: {words}"


def _common(a: PixelBox, b: PixelBox) -> float:
    """Intersection over union of two boxes."""
    both, one, other = (max(0, y1 - y0) * max(0, x1 - x0) for y0, y1, x0, x1 in (overlap(a, b), a, b))
    return both / (one + other - both)


def _alignment(a: Protocol, b: Protocol, kind: str | None, size: tuple[int, int] | None) -> Difference:
    """Kind by kind, those that are treated differently."""
    first, second = dict(a.alignment), dict(b.alignment)
    kinds = [k for k in OUTPUT_KINDS if first.get(k) != second.get(k) and kind in (None, k)]
    one, other = (", ".join(f"{k}: {methods.get(k, 'refused')}" for k in kinds) for methods in (first, second))
    return Difference("alignment", one, other, MEANING["alignment"])


def _metrics(a: Protocol, b: Protocol, kind: str | None, size: tuple[int, int] | None) -> Difference:
    """Those that only one has, with what they are: names alike in the literature can be other quantities."""
    first, second = (_said_of(p.metrics, q.metrics) for p, q in ((a, b), (b, a)))
    return Difference("metrics", first, second, f"in common: {', '.join(shared_metrics(a, b)) or 'none'}")


def _said_of(names: Collection[str], others: Collection[str]) -> str:
    own = [name for name in names if name not in others]
    lines = ((METRICS[name].__doc__ or "").partition("\n")[0].rstrip(".") for name in own)
    said = (f"{name} ({METRICS.facts(name)['unit']}): {line}" for name, line in zip(own, lines, strict=True))
    return "; ".join(said) or "none of its own"


_WORDS = {"window": _window, "alignment": _alignment, "metrics": _metrics}
