"""Can an attribution be believed? Infidelity, sensitivity, completeness, likeness of two attributions."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.attribution import ATTRIBUTIONS, Scalar, attribute
from depthprobe.functional.selection_core import generator
from depthprobe.functional.targets import Target
from depthprobe.functional.terms import METRICS

YEH = "Yeh et al. 2019, arXiv:1901.09392"
ADEBAYO = "Adebayo et al. 2018, arXiv:1810.03292"


def block_masks(size: tuple[int, int], seed: int, *, samples: int, block: int, share: float) -> Tensor:
    """Random subsets of square blocks (samples,1,H,W), 1 = removed; the same for every method and network."""
    height, width = size
    down, across = -(-height // block), -(-width // block)
    drawn = torch.rand(samples, 1, down, across, generator=generator(seed, "infidelity"), dtype=torch.float32)
    whole = (drawn < share).float().repeat_interleave(block, 2).repeat_interleave(block, 3)
    return whole[..., :height, :width]


@METRICS.register("infidelity", unit="1", better="lower", source=YEH, inputs="model image target attribution")
def infidelity(
    name: str,
    model: Callable[[Tensor], Tensor],
    image: Tensor,
    target: Target | Callable[[Tensor], Tensor],
    attribution: Tensor,
    baseline: Tensor,
    *,
    seeds: Sequence[int],
    perturbations: int = 20,
    block: int = 8,
    share: float = 0.2,
    batch: int = 32,
) -> Tensor:
    """How badly an attribution predicts what happens when random blocks turn into the baseline, (B,), float64.

    Convention: mean (I·a - (f(x) - f(x - I)))² over subsets I of blocks, each removed with probability `share`, the
    attribution scaled as suits it best, over mean (f(x) - f(x - I))²: 0 says everything, 1 as much as no attribution.
    A contribution predicts the sum of the removed ones, a sensitivity that times the difference to the baseline. NaN
    where nothing changes the target, and for unsigned methods, which predict no change. Captum has no denominator, for
    which the network would have to read every changed image once more.

    Raises:
        ValueError: if shapes do not fit or a number is out of range.
    """
    check_shapes(image=(image, "b 3 h w"), attribution=(attribution, "b 3 h w"), baseline=(baseline, "b 3 h w"))
    check_range("perturbations", perturbations, 1, 1e6)
    check_range("block", block, 1, 1e6)
    check_range("share", share, 0, 1, open_low=True)
    facts = ATTRIBUTIONS.facts(name)
    out = torch.full((len(image),), torch.nan, dtype=torch.float64)
    for i, seed in enumerate(seeds if facts["signed"] else ()):
        one, size = slice(i, i + 1), (image.shape[-2], image.shape[-1])
        away = image[one] - baseline[one]
        weight = torch.ones_like(away) if facts["answers"] == "contribution" else away
        masks = block_masks(size, seed, samples=perturbations, block=block, share=share).to(image)
        net = Scalar(model, target.take(i) if isinstance(target, Target) else target)
        out[i] = _missed_share(net, image[one], attribution[one], away, weight, masks, min(int(batch), perturbations))
    return out


def _missed_share(
    net: Scalar, image: Tensor, attribution: Tensor, away: Tensor, weight: Tensor, masks: Tensor, batch: int
) -> float:
    """Infidelity of one image: what the masks (samples,1,h,w) remove is `away`, times `weight` for the attribution."""
    with torch.no_grad():
        after = torch.cat([net(image - some * away) for some in masks.split(batch)])
        moved = (net(image) - after).double()
    said = (masks * weight * attribution).flatten(1).sum(1, dtype=torch.float64)
    power, total = float(said.square().sum()), float(moved.square().sum())
    best = float((said * moved).sum()) / power if power > 0 else 0.0
    return float((best * said - moved).square().sum()) / total if total > 0 else torch.nan


@METRICS.register("sensitivity_max", unit="1", better="lower", source=YEH, inputs="model image target attribution")
def sensitivity_max(
    name: str,
    model: Callable[[Tensor], Tensor],
    image: Tensor,
    target: Target | Callable[[Tensor], Tensor],
    attribution: Tensor,
    baseline: Tensor,
    *,
    seeds: Sequence[int],
    perturbations: int = 10,
    radius: float = 0.02,
    batch: int = 32,
    **options: float,
) -> Tensor:
    """Largest relative change of an attribution when every value of the image moves by up to `radius`, (B,), float64.

    Convention: |a(x + e) - a(x)| / |a(x)| (Euclidean), the largest over random e, uniform in [-radius, radius];
    attribution (B,3,H,W) is a(x), as `attribute` gives it for the same seeds, baseline and options. Random methods draw
    the same noise each time, so that only the image's part is measured. NaN where a(x) is 0 (captum gives |a(x + e)|).

    Raises:
        ValueError: if shapes do not fit or a number is out of range.
    """
    from captum.metrics import sensitivity_max as largest

    check_shapes(image=(image, "b 3 h w"), attribution=(attribution, "b 3 h w"), baseline=(baseline, "b 3 h w"))
    check_range("perturbations", perturbations, 1, 1e6)
    check_range("radius", radius, 0, 1, open_low=True)
    out = torch.full((len(image),), torch.nan, dtype=torch.float64)
    for i, seed in enumerate(seeds):
        if not bool(attribution[i].any()):
            continue
        mine, one = (target.take(i) if isinstance(target, Target) else target), slice(i, i + 1)
        explain = functools.partial(
            _explained, name, model, mine, attribution[one], baseline[one], seed, batch, options
        )
        perturb = _jitter(generator(seed, "sensitivity"), radius)
        out[i] = float(largest(explain, image[one], perturb, n_perturb_samples=perturbations))
    return out


def _explained(
    name: str,
    model: Callable[[Tensor], Tensor],
    target: Target | Callable[[Tensor], Tensor],
    own: Tensor,
    baseline: Tensor,
    seed: int,
    batch: int,
    options: dict[str, float],
    image: Tensor | tuple[Tensor],
) -> Tensor | tuple[Tensor]:
    """The attribution of changed copies of one image; captum asks for its `own` first, with the image in a tuple.

    Captum looks at it as one row, which it can only where its numbers lie in order; a gradient's may lie otherwise.
    """
    if isinstance(image, tuple):
        return (own.contiguous(),)
    seeds, absent = [seed] * len(image), baseline.expand_as(image)
    return attribute(name, model, image, target, seeds=seeds, baseline=absent, batch=batch, **options).contiguous()


def _jitter(drawn: torch.Generator, radius: float) -> Callable[[Tensor], Tensor]:
    """A function of one argument, as captum asks for."""

    def perturb(x: Tensor) -> Tensor:
        moved = [torch.rand(x.shape[1:], generator=drawn, dtype=torch.float32) for _ in range(len(x))]
        return x + radius * (2 * torch.stack(moved) - 1).to(x)

    return perturb


@METRICS.register("completeness_gap", unit="1", better="lower", source="Sundararajan et al. 2017", inputs="attribution")
def completeness_gap(attribution: Tensor, change: Tensor) -> Tensor:
    """How much of the target's change from the baseline an attribution leaves unexplained, (B,), as a share of it.

    Convention: |Σ a - change| / |change|, attribution (B,3,H,W), change = f(image) - f(baseline) (B,); NaN where
    nothing changes. 0 for integrated gradients (up to their steps) and DeepLift where it knows all modules.
    """
    check_shapes(attribution=(attribution, "b 3 h w"), change=(change, "b"))
    gap = (attribution.double().sum((1, 2, 3)) - change.double()).abs() / change.double().abs()
    return gap.where(change != 0, torch.nan)


@METRICS.register("rank_correlation", unit="1", better="none", source=ADEBAYO, inputs="a b")
def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's correlation of two maps (B,1,H,W), (B,), float64; equal values share a rank, a flat map gives NaN."""
    check_shapes(a=(a, "b 1 h w"), b=(b, "b 1 h w"))
    x, y = (torch.stack([_ranks(one) for one in maps.flatten(1)]) for maps in (a, b))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    size = (x.square().sum(1) * y.square().sum(1)).sqrt()
    return torch.where(size > 0, (x * y).sum(1) / size, torch.nan)


def _ranks(x: Tensor) -> Tensor:
    """Ranks of the values (N,), float64, ties averaged."""
    _, place, count = x.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    return (last - (count - 1) / 2)[place]
