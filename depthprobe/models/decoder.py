"""The shared light decoder: the same for every backbone, so that networks differ in their encoder alone."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

LOG_RANGE = 7.0  # log-depth is kept within ln(e^-7 m) .. ln(e^7 m): about 1 mm to 1.1 km


class _Refine(nn.Module):
    """Residual 3x3 convolution with group normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(8, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.gelu(self.norm(self.conv(x)))


class DepthDecoder(nn.Module):
    """Feature maps of four depths -> metric depth (B,1,h/2,w/2), in metres.

    Each map is projected to `width` channels, resized to stride 4, 8, 16, 32 and fused from coarse to fine; the head
    predicts ln(depth) around `typical_depth`. Plain Transformers, whose maps all have one stride, enter the same way.

    Convention: `features` from shallow to deep, (B,C_i,h_i,w_i); `size` = (h, w) of the network's input.
    """

    def __init__(self, channels: Sequence[int], *, width: int = 64, typical_depth: float = 3.0) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.norm = nn.ModuleList(nn.GroupNorm(8, width) for _ in channels)
        self.refine = nn.ModuleList(_Refine(width) for _ in channels)
        self.upper = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.GELU(),
        )
        self.head = nn.Conv2d(width // 2, 1, 3, padding=1)
        nn.init.normal_(self.head.weight, std=1e-3)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, math.log(typical_depth))

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Decode feature maps to depth."""
        return self.scores(features, size).clamp(-LOG_RANGE, LOG_RANGE).exp()

    def scores(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """What the head says (B,1,h/2,w/2): ln(depth), any real number."""
        fused: Tensor | None = None
        for i in reversed(range(len(features))):
            stride = 4 * 2**i
            target = (-(-size[0] // stride), -(-size[1] // stride))
            x = self.norm[i](self.project[i](features[i]))
            x = _resize(x, target)
            fused = self.refine[i](x if fused is None else x + _resize(fused, target))
        assert fused is not None
        upper = self.upper(_resize(fused, (-(-size[0] // 2), -(-size[1] // 2))))
        scores: Tensor = self.head(upper)
        return scores


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
