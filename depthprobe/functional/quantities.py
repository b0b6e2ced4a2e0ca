"""Measured quantities that are no error of a prediction against a depth map; registered for their unit and direction.

`inputs` says what each is a function of; the name stands before the `@` in a table's metric (`share@depth_edge`).
`timing`: its values are read off a clock, and differ from one measurement to the next.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.terms import METRICS


@METRICS.register("share", unit="1", better="none", source="depthprobe", inputs="kept region")
def share(kept: Tensor, region: Tensor) -> Tensor:
    """Share of the kept pixels that lie in a region.

    Convention: bool (B,1,H,W) both; returns (B,), float64; NaN where nothing is kept.
    """
    check_shapes(kept=(kept, "b 1 h w"), region=(region, "b 1 h w"))
    return (kept & region).sum((1, 2, 3)).double() / kept.sum((1, 2, 3))


@METRICS.register("enrichment", unit="1", better="none", source="depthprobe", inputs="kept region base")
def enrichment(kept: Tensor, region: Tensor, base: Tensor) -> Tensor:
    """Share of the kept pixels in a region over the region's share of the base (what a random choice would give).

    Convention: bool (B,1,H,W) all; returns (B,), float64; NaN where nothing is kept or the base has no such pixel.
    """
    expected = share(base, region)
    return (share(kept, region) / expected).where(expected > 0, float("nan"))


@METRICS.register("target_change", unit="m", better="none", source="Zeiler & Fergus 2014", inputs="before after")
def target_change(before: Tensor, after: Tensor) -> Tensor:
    """Change of a scalar target, in metres: after - before, (B,) both."""
    return after - before


@METRICS.register("loss", unit="1", better="lower", source="training history", inputs="values")
def loss(values: Tensor) -> Tensor:
    """Mean of a training loss over its steps or samples (N,), float64."""
    return values.double().mean()


CLOCK = {"source": "wall clock", "timing": True}


@METRICS.register("throughput", unit="img/s", better="higher", inputs="images seconds", **CLOCK)
def throughput(images: int, seconds: float) -> float:
    """Images per second."""
    check_range("seconds", seconds, 0, float("inf"), open_low=True)
    return images / seconds


@METRICS.register("latency", unit="ms", better="lower", inputs="images seconds", **CLOCK)
def latency(images: int, seconds: float) -> float:
    """Milliseconds per image."""
    return 1000 / throughput(images, seconds)


@METRICS.register("learning_rate", unit="1", better="none", source="training history", inputs="peak share")
def learning_rate(peak: float, share: float) -> float:
    """The optimiser's learning rate: a share of its peak."""
    return peak * share


@METRICS.register("gradient_norm", unit="1", better="none", source="training history", inputs="values")
def gradient_norm(values: Tensor) -> Tensor:
    """Mean Euclidean norm of the whole gradient, before clipping, over steps (N,), float64."""
    return values.double().mean()


@METRICS.register("data_wait", unit="1", better="lower", inputs="waited seconds", **CLOCK)
def data_wait(waited: float, seconds: float) -> float:
    """Share of the time in which the network waited for samples."""
    check_range("seconds", seconds, 0, float("inf"), open_low=True)
    return waited / seconds


@METRICS.register("peak_memory", unit="MB", better="lower", source="CUDA allocator, or the process", inputs="bytes")
def peak_memory(allocated: int) -> float:
    """Most memory in use, in 10^6 bytes: of a training so far, or of one pass above weights and image (`cost`)."""
    return allocated / 1e6


@METRICS.register("parameters", unit="1", better="lower", source="depthprobe", inputs="network")
def parameters(network: nn.Module) -> int:
    """How many numbers a network has learnt or could learn, frozen ones included; shared ones count once."""
    return sum(parameter.numel() for parameter in network.parameters())


@METRICS.register("flops", unit="FLOP", better="lower", source="torch FlopCounterMode", inputs="counts")
def flops(counts: Mapping[str, int]) -> int:
    """Floating point operations of a pass, by operation: two for each multiplication of a convolution or product."""
    return sum(counts.values())


@METRICS.register("agreement", unit="1", better="none", source="Pearson correlation", inputs="answer other")
def agreement(answer: Tensor, other: Tensor) -> Tensor:
    """Correlation of two outputs of a network, of any kind, over the pixels of each sample.

    Convention: (B,1,H,W) both; returns (B,), float64; blind to scale and shift; NaN where one of them is constant.
    """
    check_shapes(answer=(answer, "b 1 h w"), other=(other, "b 1 h w"))
    a, b = (_centred(x) for x in (answer, other))
    size = a.square().sum(1) * b.square().sum(1)
    return ((a * b).sum(1) / size.sqrt()).where(size > 0, float("nan"))


@METRICS.register("spread_ratio", unit="1", better="none", source="depthprobe", inputs="answer other")
def spread_ratio(answer: Tensor, other: Tensor) -> Tensor:
    """Standard deviation of another output over that of the first, over the pixels of each sample.

    Convention: (B,1,H,W) both; returns (B,), float64; NaN where the first is constant.
    """
    check_shapes(answer=(answer, "b 1 h w"), other=(other, "b 1 h w"))
    a, b = (_centred(x).square().sum(1).sqrt() for x in (answer, other))
    return (b / a).where(a > 0, float("nan"))


def _centred(x: Tensor) -> Tensor:
    """Deviations (B,n), float64, from each sample's mean; exactly 0 where all are equal to rounding."""
    flat = x.flatten(1).double()
    off = flat - flat.mean(1, keepdim=True)
    noise = 1e-6 * flat.abs().amax(1, keepdim=True)
    return off * (off.abs().amax(1, keepdim=True) > noise)
