"""Oracles: models whose every answer is known, so that a probe can be proved before it speaks about a network.

All take a canonical image (B,3,H,W) of any size and depend on it exactly as stated; none has parameters. Two of them
(`oracle:affine`, optionally `oracle:grid`) build on a ground truth that a test hands them with `given`; the adapter
never does.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depthprobe.checks import check_range
from depthprobe.models.adapter import DepthModel, ModelCard
from depthprobe.models.registry import MODELS

NEAR, FAR = 1.0, 10.0


def _oracle(name: str, net: nn.Module, *, output: str = "metric_depth", tag: str = "exact") -> DepthModel:
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    card = ModelCard(
        name=f"oracle:{name}", tag=tag, family="oracle", output=output, mean=zero, std=one, layers=("out",)
    )
    return DepthModel(net, card)


class Rule(nn.Module):
    """Base of the oracles: `rule(image)` gives the depth; `out` is a layer to capture."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Identity()

    def rule(self, image: Tensor) -> Tensor:
        """Depth (B,1,H,W) of an image."""
        raise TypeError(f"Expected {type(self).__name__} to define `rule`.")

    def forward(self, image: Tensor) -> Tensor:
        """The planted depth; 0 * image keeps gradients defined (and exactly zero) where the image has no part."""
        return self.out(self.rule(image) + 0 * image[:, :1])


def row_ramp(image: Tensor) -> Tensor:
    """Depth (B,1,H,W) that falls linearly from FAR in the top row to NEAR in the bottom row."""
    batch, _, height, width = image.shape
    ramp = torch.linspace(FAR, NEAR, height, dtype=image.dtype, device=image.device)
    return ramp.view(1, 1, height, 1).expand(batch, 1, height, width)


class Row(Rule):
    """Depth from the image row alone: reacts to no photometric edit."""

    def rule(self, image: Tensor) -> Tensor:
        """The ramp."""
        return row_ramp(image)


class Brightness(Rule):
    """Depth from the pixel's own brightness alone: NEAR + (FAR - NEAR) * mean of RGB."""

    def rule(self, image: Tensor) -> Tensor:
        """Depth of each pixel's brightness."""
        return NEAR + (FAR - NEAR) * image.mean(1, keepdim=True)


class Constant(Rule):
    """One depth everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        check_range("value", value, 0, 1e4, open_low=True)
        self.value = value

    def rule(self, image: Tensor) -> Tensor:
        """The constant."""
        return torch.full_like(image[:, :1], self.value)


class Linear(Rule):
    """depth(p) = 2 + sum_c w_c(p) image_c(p): the attribution of mean depth is w / (H*W), of a pixel w there alone."""

    @staticmethod
    def weights(height: int, width: int) -> Tensor:
        """The planted weights (3,H,W), positive and different for each channel and pixel."""
        y = torch.linspace(0, 1, height).view(1, height, 1)
        x = torch.linspace(0, 1, width).view(1, 1, width)
        channel = torch.tensor([0.5, 1.0, 1.5]).view(3, 1, 1)
        return channel * (1 + torch.sin(7 * x) * torch.cos(5 * y) / 2)

    def rule(self, image: Tensor) -> Tensor:
        """The weighted sum of each pixel's colours."""
        weights = self.weights(*image.shape[-2:]).to(image)
        return 2 + (weights * image).sum(1, keepdim=True)


class Support(Rule):
    """Depends only on a planted set of pixels: a row ramp times exp(1 - mean brightness of the set)."""

    def __init__(self, share: float, seed: int) -> None:
        super().__init__()
        check_range("share", share, 0, 1, open_low=True)
        self.share, self.seed = share, seed

    def support(self, height: int, width: int) -> Tensor:
        """The planted set, bool (H,W): ceil(share * H * W) pixels drawn from the seed."""
        count = -int(-self.share * height * width // 1)
        order = torch.randperm(height * width, generator=torch.Generator().manual_seed(self.seed))
        chosen = torch.zeros(height * width, dtype=torch.bool)
        chosen[order[:count]] = True
        return chosen.view(height, width)

    def rule(self, image: Tensor) -> Tensor:
        """The ramp, scaled by what the planted pixels show."""
        chosen = self.support(*image.shape[-2:]).to(image.device)
        brightness = image[:, :, chosen].mean((1, 2)).view(-1, 1, 1, 1)
        return row_ramp(image) * torch.exp(1 - brightness)


class Window(Rule):
    """Depth from the mean brightness of the (2r+1)x(2r+1) window around each pixel: receptive radius exactly r."""

    def __init__(self, radius: int) -> None:
        super().__init__()
        check_range("r", radius, 0, 4096)
        self.radius = radius

    def rule(self, image: Tensor) -> Tensor:
        """Windowed brightness as depth; at the border the window is cut, not padded."""
        size = 2 * self.radius + 1
        grey = image.mean(1, keepdim=True)
        mean = F.avg_pool2d(grey, size, stride=1, padding=self.radius, count_include_pad=False) if size > 1 else grey
        return NEAR + (FAR - NEAR) * mean


class Given(Rule):
    """An oracle that builds on a ground truth handed over by a test."""

    def __init__(self) -> None:
        super().__init__()
        self.truth: Tensor | None = None

    def given(self, depth: Tensor) -> "Given":
        """Hand over the ground truth (B,1,H,W) of the batch that will be asked about."""
        self.truth = depth
        return self


class Grid(Given):
    """A smooth depth times 1 + amplitude * a grid of the given period: the artefact of a patch-based network.

    The depth is the ground truth where a test has `given` one, otherwise the row ramp.
    """

    def __init__(self, period: int, amplitude: float) -> None:
        super().__init__()
        check_range("period", period, 2, 4096)
        check_range("amplitude", amplitude, 0, 0.5)
        self.period, self.amplitude = period, amplitude

    def rule(self, image: Tensor) -> Tensor:
        """The depth with its grid."""
        height, width = image.shape[-2:]
        turn = 2 * torch.pi / self.period
        y = torch.cos(turn * torch.arange(height, device=image.device)).view(height, 1)
        x = torch.cos(turn * torch.arange(width, device=image.device)).view(1, width)
        base = row_ramp(image) if self.truth is None else self.truth.to(image)
        return base * (1 + self.amplitude * (x + y) / 2).to(image)


class Affine(Given):
    """Affine disparity of the ground truth, scale / depth + shift: perfect after the one valid alignment."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def rule(self, image: Tensor) -> Tensor:
        """The transformed truth."""
        if self.truth is None:
            raise ValueError(
                "Expected the truth to be given to `oracle:affine`, but got none; call model.net.given(depth)."
            )
        return self.scale / self.truth.to(image) + self.shift


@MODELS.register("oracle:row", summary="depth from the image row alone")
def oracle_row() -> DepthModel:
    """See Row."""
    return _oracle("row", Row())


@MODELS.register("oracle:brightness", summary="depth from each pixel's brightness alone")
def oracle_brightness() -> DepthModel:
    """See Brightness."""
    return _oracle("brightness", Brightness())


@MODELS.register("oracle:constant", summary="one depth everywhere (?value=3)")
def oracle_constant(*, value: float = 3.0) -> DepthModel:
    """See Constant."""
    return _oracle("constant", Constant(value), tag=f"value={value:g}")


@MODELS.register("oracle:linear", summary="linear in the pixels, weights known")
def oracle_linear() -> DepthModel:
    """See Linear."""
    return _oracle("linear", Linear())


@MODELS.register("oracle:support", summary="reads only a planted pixel set (?share=0.05&seed=0)")
def oracle_support(*, share: float = 0.05, seed: int = 0) -> DepthModel:
    """See Support."""
    return _oracle("support", Support(share, seed), tag=f"share={share:g},seed={seed}")


@MODELS.register("oracle:window", summary="receptive radius exactly r (?r=5)")
def oracle_window(*, r: int = 5) -> DepthModel:
    """See Window."""
    return _oracle("window", Window(r), tag=f"r={r}")


@MODELS.register("oracle:grid", summary="adds a grid artefact (?period=8&amplitude=0.05)")
def oracle_grid(*, period: int = 8, amplitude: float = 0.05) -> DepthModel:
    """See Grid."""
    return _oracle("grid", Grid(period, amplitude), tag=f"period={period},amplitude={amplitude:g}")


@MODELS.register("oracle:affine", summary="affine disparity of a truth that a test hands over", needs="truth")
def oracle_affine(*, scale: float = 2.0, shift: float = 0.3) -> DepthModel:
    """See Affine."""
    tag = f"scale={scale:g},shift={shift:g}"
    return _oracle("affine", Affine(scale, shift), output="affine_disparity", tag=tag)
