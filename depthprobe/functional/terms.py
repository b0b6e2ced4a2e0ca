"""What per-pixel metrics share (validity, differences, log ratios), computed once; and the registry of metrics."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from depthprobe.checks import check_one_of, check_shapes
from depthprobe.registry import Registry

METRICS = Registry("metric")

INVARIANCES: dict[str, str] = {
    "scale": "pred -> c pred",
    "units": "pred, depth -> c pred, c depth (metres or kilometres)",
    "swap": "pred, depth -> depth, pred",
    "inverse": "pred, depth -> 1/pred, 1/depth (judged in disparity or in depth)",
}

KNOWN: dict[str, str] = {"planes": "t 1 h w", "intrinsics": "t 3 3", "edges": "t 1 h w"}
"""What a truth may know besides depth: plane ids (-1: on no plane), camera, annotated depth edges (bool)."""

Metric = Callable[..., Tensor]
T = TypeVar("T")


class Deriving:
    """Something from which other things are derived once, on first use, and then shared by all who need them."""

    def derive(self, make: Callable[[Any], T]) -> T:
        """`make(self)`; the same object whenever it is asked for again."""
        derived: dict[Any, Any] = self.__dict__.setdefault("_derived", {})
        if make not in derived:
            derived[make] = make(self)
        found: T = derived[make]
        return found


class Truth(Deriving):
    """Ground truth made ready once, to judge many predictions.

    Convention: depth (T,1,H,W), metres, > 0 where valid; valid bool (T,1,H,W); `known`: other facts, see KNOWN.
    Invalid pixels are set to 1, here and in the prediction, so that every error is exactly 0 there and no pass over
    the pixels needs the mask again.
    """

    def __init__(self, depth: Tensor, valid: Tensor, **known: Tensor) -> None:
        for name in known:
            check_one_of("known", name, KNOWN)
        check_shapes(depth=(depth, "t 1 h w"), **{name: (x, KNOWN[name]) for name, x in known.items()})
        self.known = known
        self.valid = valid[:, 0]
        self.dense = bool(self.valid.all())
        self.depth = depth[:, 0] if self.dense else torch.where(self.valid, depth[:, 0], 1.0)
        self.count = self.valid.sum((1, 2)).to(torch.float64)

    @functools.cached_property
    def log(self) -> Tensor:
        """Ln g; 0 where invalid."""
        return self.depth.log()

    @functools.cached_property
    def weight(self) -> Tensor:
        """1 where valid, else 0."""
        return self.valid.to(self.depth.dtype)

    def __len__(self) -> int:
        return len(self.depth)

    def need(self, name: str) -> Tensor:
        """A known fact.

        Raises:
            ValueError: if the truth came without it.
        """
        if name not in self.known:
            raise ValueError(
                f"Expected the truth to come with `{name}`, but got {['depth', 'valid', *sorted(self.known)]}; "
                f"give {name}=... or leave out the metrics that need it."
            )
        return self.known[name]

    @staticmethod
    def take(x: Tensor, index: Sequence[int] | None) -> Tensor:
        """The entries of `x` at `index`; one entry shared by all is returned once, to broadcast, not copied."""
        if index is None:
            return x
        if len(set(index)) == 1:
            return x[index[0] : index[0] + 1]
        return x[torch.as_tensor(index, device=x.device)]


class Terms(Deriving):
    """One batch of predictions against a truth: the intermediates of all metrics, each computed when first asked for.

    Convention: pred (B,1,H,W); `index` says which image of the truth each prediction belongs to (None: one to one).
    `failed_as`: the depth that a NaN prediction is judged as (None: NaN stays NaN and so does the metric).
    Rows are summed in the prediction's precision, then in float64, which is as fast as one float32 sum.
    """

    def __init__(
        self, pred: Tensor, truth: Truth, index: Sequence[int] | None = None, failed_as: float | None = None
    ) -> None:
        self.raw = pred[:, 0] if pred.dtype in (torch.float32, torch.float64) else pred[:, 0].float()
        self.truth, self._failed_as = truth, failed_as
        self._index = index

    @property
    def index(self) -> Sequence[int]:
        """Which image of the truth each prediction belongs to."""
        return range(len(self.raw)) if self._index is None else self._index

    def take(self, x: Tensor) -> Tensor:
        """Of something with one entry per image of the truth, the entries that belong to the predictions."""
        return self.truth.take(x, self._index)

    def __len__(self) -> int:
        return len(self.raw)

    @functools.cached_property
    def count(self) -> Tensor:
        """Number of valid pixels n, float64."""
        return self.take(self.truth.count)

    @functools.cached_property
    def depth(self) -> Tensor:
        """Truth g (B or 1,H,W); 1 where invalid."""
        return self.take(self.truth.depth)

    @functools.cached_property
    def pred(self) -> Tensor:
        """Prediction z (B,H,W); 1 where invalid."""
        z = self.raw if self._failed_as is None else self.raw.nan_to_num(self._failed_as)
        return z if self.truth.dense else torch.where(self.take(self.truth.valid), z, 1.0)

    @functools.cached_property
    def difference(self) -> Tensor:
        """The error z - g."""
        return self.pred - self.depth

    @functools.cached_property
    def relative(self) -> Tensor:
        """|z - g| / g."""
        return self.difference.abs() / self.depth

    @functools.cached_property
    def inverse(self) -> Tensor:
        """1/z - 1/g, in 1/m."""
        return 1 / self.pred - 1 / self.depth

    @functools.cached_property
    def log_pred(self) -> Tensor:
        """Ln z; 0 where invalid."""
        return self.pred.log()

    @functools.cached_property
    def log_ratio(self) -> Tensor:
        """The log ratio d = ln z - ln g."""
        return self.log_pred - self.take(self.truth.log)

    @functools.cached_property
    def log_mean(self) -> Tensor:
        """Mean d (B,), float64."""
        return self.mean(self.log_ratio)

    @functools.cached_property
    def log_variance(self) -> Tensor:
        """Mean (d - mean d)² (B,), float64, in two passes: mean d² - (mean d)² cancels in float32."""
        centred = self.log_ratio - self.log_mean.to(self.log_ratio.dtype)[:, None, None]
        if not self.truth.dense:
            centred = centred * self.take(self.truth.weight)
        return self.mean(centred.square())

    def mean(self, x: Tensor) -> Tensor:
        """Mean over the valid pixels (B,), float64; NaN where there is none. `x` must be 0 where invalid."""
        return x.sum(-1).sum(-1, dtype=torch.float64) / self.count

    def share_beyond(self, ratio: float, *, strict: bool = False) -> Tensor:
        """Share of valid pixels whose max(z/g, g/z) is >= ratio (> with `strict`); NaN and z <= 0 are beyond."""
        z, g = self.pred, self.depth
        within = (z <= ratio * g) & (g <= ratio * z) if strict else (z < ratio * g) & (g < ratio * z)
        return self.share(~within)

    def share(self, x: Tensor) -> Tensor:
        """Share of the valid pixels where the bool `x` holds (B,), float64. `x` must be False where invalid."""
        return x.sum(-1, dtype=torch.int32).sum(-1) / self.count

    def median(self, x: Tensor) -> Tensor:
        """Median over the valid pixels (the lower of two, as torch); NaN where there is none or one of them is NaN."""
        marked = x.masked_fill(~self.take(self.truth.valid), torch.nan).flatten(1)
        return marked.nanmedian(1).values.where(~self.mean(x).isnan(), torch.nan)

    @property
    def failed(self) -> Tensor:
        """Valid pixels without a prediction (NaN), bool (B,H,W)."""
        return self.raw.isnan() & self.take(self.truth.valid)


def per_pixel(name: str, **facts: Any) -> Callable[[Callable[[Terms], Tensor]], Metric]:
    """Register a metric written on `Terms` and return it as a function (pred, depth, valid) -> (B,).

    Facts: unit; better; perfect = its value for a perfect prediction; source; invariant = names in INVARIANCES;
    differentiable; inputs = its arguments, those after `valid` by keyword (KNOWN); scope = "pixel", or "structure" for
    what neighbouring pixels say together; terms = the function on `Terms`, by which `all_metrics` shares intermediates.
    """
    facts = {"inputs": "pred depth valid", "invariant": (), "differentiable": True, "scope": "pixel", **facts}
    facts.setdefault("perfect", 0.0 if facts["better"] == "lower" else 1.0)

    def add(on_terms: Callable[[Terms], Tensor]) -> Metric:
        def metric(pred: Tensor, depth: Tensor, valid: Tensor, **known: Tensor) -> Tensor:
            return all_metrics(pred, depth, valid, [name], **known)[name]

        written: Any = getattr(on_terms, "func", on_terms)  # several metrics of one formula are partials of it
        metric.__name__ = metric.__qualname__ = name
        metric.__module__, metric.__doc__ = written.__module__, written.__doc__
        return METRICS.register(name, terms=on_terms, **facts)(metric)

    return add


def all_metrics(pred: Tensor, depth: Tensor, valid: Tensor, names: Sequence[str], **known: Tensor) -> dict[str, Tensor]:
    """Several metrics at once, intermediates shared; the same numbers as one at a time.

    Convention: pred, depth (B,1,H,W) in metres, valid bool (B,1,H,W); `known` as KNOWN says, for metrics that need it
    (planes=..., intrinsics=...); each value is (B,), in the precision of `pred`. Pixels outside `valid` have no
    effect, whatever they hold; an empty mask gives NaN.

    Raises:
        ValueError: on unequal shapes, on a name that is not a metric of (pred, depth, valid), or where a metric needs
            something that is not given.
    """
    check_shapes(pred=(pred, "b 1 h w"), depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    return measure(Terms(pred, Truth(depth, valid, **known)), names)


def measure(terms: Terms, names: Sequence[str]) -> dict[str, Tensor]:
    """The named metrics of one `Terms`.

    Raises:
        ValueError: if a name is unknown, or is a quantity that is no function of (pred, depth, valid).
    """
    values = {}
    for name in names:
        on_terms = METRICS.facts(name).get("terms")
        if on_terms is None:
            known = [n for n in METRICS.names() if "terms" in METRICS.facts(n)]
            raise ValueError(f"Expected metrics of (pred, depth, valid), one of {known}, but got {name!r}.")
        values[name] = on_terms(terms).to(terms.raw.dtype)
    return values
