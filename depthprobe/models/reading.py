"""How a network reads an image of any size: at which size, by which filter, in which frame, and back again.

Most networks say it by two numbers of their card, `size` and `multiple`. Others keep the aspect, resize by another
filter, or read a frame around the image; their card carries a `Reading` with the numbers of their own preprocessing.
"""

import dataclasses
import math
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from depthprobe.checks import check_one_of

ASPECTS = ("stretch", "keep", "within")
ROUNDINGS = ("nearest", "down")
FILTERS = ("bilinear", "bicubic")
BACK: dict[str, dict[str, Any]] = {
    "bilinear": {"mode": "bilinear", "align_corners": False},
    "bicubic": {"mode": "bicubic", "align_corners": False},
    "corners": {"mode": "bilinear", "align_corners": True},
}
"""Ways in which an answer gets the size of the image."""
FRAMES = ("", "zero", "reflect")
INVERSE = (1e-4, 1e4)
"""Limits of an inverse depth before it is inverted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """The numbers of a network's preprocessing and of the way back.

    Convention: sizes are (h, w). The canvas is the image as the network reads it, inside any frame; it has `size`
    (None: that of the image), each side rounded to a `multiple`. `aspect`: "stretch" ignores it, "keep" scales both
    sides by the factor that changes the image least, "within" by the smaller one. `filter`, `antialias` and `corners`
    (align_corners) say how it is resized, `back` (BACK) how the answer is; if `inverse` the answer is 1/depth, and
    inverted when it has its size. `frame`: "zero" adds the mean colour around the canvas up to a multiple of `divisor`;
    "reflect" mirrors 3 * sqrt(side / 2) pixels at each edge, as ZoeDepth, and `inner` then resizes the framed canvas.
    What is said of the frame is cut off before the answer goes back.
    """

    size: tuple[int, int] | None = None
    multiple: float = 1
    rounding: str = "nearest"
    aspect: str = "stretch"
    filter: str = "bilinear"
    antialias: bool = True
    corners: bool = False
    back: str = "bilinear"
    inverse: bool = False
    frame: str = ""
    divisor: int = 1
    inner: "Reading | None" = None

    def __post_init__(self) -> None:
        check_one_of("aspect", self.aspect, ASPECTS)
        check_one_of("rounding", self.rounding, ROUNDINGS)
        check_one_of("filter", self.filter, FILTERS)
        check_one_of("back", self.back, BACK)
        check_one_of("frame", self.frame, FRAMES)

    def canvas_size(self, height: int, width: int) -> tuple[int, int]:
        """The resolution (h, w) of the canvas of an image of the given size."""
        if self.size is None:
            return self._round(height), self._round(width)
        down, across = self.size[0] / height, self.size[1] / width
        if self.aspect == "keep":
            down = across = across if abs(1 - across) < abs(1 - down) else down
        if self.aspect == "within":
            down = across = min(down, across)
            return self._round(down * height, self.size[0]), self._round(across * width, self.size[1])
        return self._round(down * height), self._round(across * width)

    def _round(self, length: float, most: float = math.inf) -> int:
        steps = length / self.multiple
        near = math.floor(steps) if self.rounding == "down" else round(steps)
        if near * self.multiple > most:
            near = math.floor(steps)
        return max(int(near * self.multiple), math.ceil(self.multiple))

    def canvas(self, image: Tensor) -> Tensor:
        """The image (B,3,H,W) at the size of its canvas.

        Convention: what a bicubic filter puts beyond [0,1] is cut off, as it is where a library resizes bytes.
        """
        size = self.canvas_size(*image.shape[-2:])
        if tuple(image.shape[-2:]) == size:
            return image
        out = self._resized(image, size)
        return out.clamp(0, 1) if self.filter == "bicubic" else out

    def _resized(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(x, size, mode=self.filter, align_corners=self.corners, antialias=self.antialias)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The size (h, w) of what the network itself is given for a canvas of the given size."""
        (top, bottom), (left, right) = self._frame(height), self._frame(width)
        size = (top + height + bottom, left + width + right)
        return self.inner.canvas_size(*size) if self.inner else size

    def _frame(self, side: int) -> tuple[int, int]:
        """Pixels added before and after a side."""
        if self.frame == "reflect":
            return (int(math.sqrt(side / 2) * 3),) * 2
        more = -side % self.divisor if self.frame == "zero" else 0
        return more // 2, more - more // 2

    def enter(self, canvas: Tensor) -> Tensor:
        """What the network itself is given for a normalised canvas (B,3,h,w), in which 0 is the mean colour.

        Raises:
            ValueError: if the canvas is too small for its frame.
        """
        height, width = canvas.shape[-2:]
        rows, columns = self._frame(height), self._frame(width)
        if not self.frame or not any((*rows, *columns)):
            return self._inside(canvas)
        if self.frame == "reflect" and (rows[0] >= height or columns[0] >= width):
            raise ValueError(
                f"Expected an image larger than the frame that mirrors it, {rows[0]} and {columns[0]} pixels, but got "
                f"{(height, width)}; give a larger one."
            )
        return self._inside(F.pad(canvas, (*columns, *rows), mode="reflect" if self.frame == "reflect" else "constant"))

    def _inside(self, framed: Tensor) -> Tensor:
        if self.inner is None:
            return framed
        size = self.inner.canvas_size(*framed.shape[-2:])
        return framed if tuple(framed.shape[-2:]) == size else self.inner._resized(framed, size)

    def leave(self, answer: Tensor, canvas: tuple[int, int], image: tuple[int, int]) -> Tensor:
        """The network's map (B,1,·,·) at the size (h, w) of the image, without the frame around the canvas."""
        answer = self._back(self.unframed(answer, canvas), image)
        return 1 / answer.clamp(*INVERSE) if self.inverse else answer

    def unframed(self, x: Tensor, canvas: tuple[int, int]) -> Tensor:
        """A map (B,C,·,·) of what the network was given: without the frame around the canvas, if there is one."""
        rows, columns = self._frame(canvas[0]), self._frame(canvas[1])
        if not self.frame or not any((*rows, *columns)):
            return x
        framed = self._back(x, (sum(rows) + canvas[0], sum(columns) + canvas[1]))
        return framed[..., rows[0] : rows[0] + canvas[0], columns[0] : columns[0] + canvas[1]]

    def entered(self, at: tuple[int, int], canvas: tuple[int, int]) -> tuple[float, float]:
        """Where a pixel (y, x) of the canvas lies in what the network is given, in its pixels."""
        sides = zip(at, canvas, self.input_size(*canvas), strict=True)
        y, x = ((p + sum(self._frame(n)[:1]) + 0.5) * m / (n + sum(self._frame(n))) - 0.5 for p, n, m in sides)
        return y, x

    def _back(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(x.shape[-2:]) == tuple(size):
            return x
        return F.interpolate(x, size, **BACK[self.back])
