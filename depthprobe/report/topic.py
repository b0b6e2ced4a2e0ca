"""What a section of the page is declared by (`topics`): its question, leading numbers, curves, and how to read them."""

import dataclasses

ANY = ("*",)  # of a factor, level or layer: all that there are, averaged within a sample
ERROR = "{error}"  # stands for the first metric of the protocol


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lead:
    """One number per sample of a probe.

    Convention: `metric` may hold ERROR. `factor`: of these the first that was measured (ANY: the mean over all);
    `level`: this one, the nearest measured one if it is not there; None: the mean over all. `area`: the mean over
    levels on the log scale instead (`stats.area`). `right`: the metric whose mean says what would be right. `trait`:
    how the number is named where traits are compared with other networks ("": it is no trait); `word`: what a network
    with the better number is called ("": better, or larger where none is better); `plain`: the number in a sentence
    ("": `says` and the number); `layers`: the mean over all layers; `exact`: a fact that needs no interval; `ranked`:
    whether a place among others says anything.
    """

    key: str
    says: str
    metric: str
    factor: tuple[str, ...] = ("",)
    level: float | None = None
    area: bool = False
    right: str = ""
    trait: str = ""
    word: str = ""
    plain: str = ""
    layers: bool = False
    exact: bool = False
    ranked: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """Curves over the level: one panel per factor named, or per factor measured (ANY) but the whole image.

    Convention: `scale`: "log", "linear", or "steps" for bands, which stand at equal distances.
    """

    metric: str
    x: str
    factors: tuple[str, ...] = ANY
    scale: str = "linear"
    title: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topic:
    """A section: what is asked, by which numbers and curves, and how they are read."""

    probe: str
    title: str
    question: str
    read: str
    leads: tuple[Lead, ...] = ()
    plots: tuple[Plot, ...] = ()
