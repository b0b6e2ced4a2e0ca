"""What an evaluation protocol is: one frozen, hashed, printable record, and the registry of presets."""

import dataclasses

from torch import Tensor

from depthprobe.checks import check_one_of, check_range
from depthprobe.functional.alignment import ALIGNMENTS, check_positive, method_for
from depthprobe.functional.conversion import OUTPUT_KINDS
from depthprobe.functional.geometry import RESIZES, Box, PixelBox, box_mask, crop_box, overlap, window_box
from depthprobe.registry import Registry
from depthprobe.schema import plan_id

PROTOCOLS = Registry("protocol")

ASPECTS: dict[str, tuple[str, ...]] = {
    "window": ("window", "crop", "frame", "crop_of"),
    "range": ("min_depth", "max_depth"),
    "resize": ("resize", "align_corners", "resize_space"),
    "alignment": ("alignment",),
    "floor": ("floor",),
    "flip": ("flip",),
    "metrics": ("metrics",),
}
"""The choices that a protocol consists of, each with its fields; the order in which a prediction meets them."""

CROPS_OF = ("image", "window")
RESIZE_SPACES = ("output", "disparity")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a prediction is judged; the plan of the `error` probe.

    Convention:
        window: (h, w), the part of the image at its bottom, centred, that the network reads alone (the probes do) and
            outside which nothing is judged: KITTI's benchmark crop. None: the whole image.
        crop: (top, bottom, left, right), half-open, in pixels of an image of size `frame`; frame (1, 1): fractions,
            cut down to whole pixels at both ends, as `int()` does in the public code.
        crop_of: what the crop is measured in, the `image` or its `window`. "Garg's crop" is both in the literature.
        min_depth, max_depth: metres; truth counts where min < g < max, strictly; the prediction is clamped to them.
        resize, align_corners: of the prediction to the truth's size, `bilinear` or `bicubic`.
        resize_space: "output": as the network puts it out; "disparity": a depth is inverted meanwhile (monodepth2).
        alignment: (output kind, method) pairs; a kind that is not named is refused.
        floor: least aligned disparity in 1/m before it is inverted (None: 1 / max depth of the sample).
        flip: average the prediction with the un-flipped prediction of the flipped image (the `error` probe does).
    """

    name: str
    window: tuple[int, int] | None = None
    crop: Box | None = None
    frame: tuple[int, int] | None = None
    crop_of: str = "image"
    min_depth: float = 1e-3
    max_depth: float = 80.0
    resize: str = "bilinear"
    align_corners: bool = False
    resize_space: str = "output"
    alignment: tuple[tuple[str, str], ...] = (("metric_depth", "none"),)
    floor: float | None = None
    flip: bool = False
    metrics: tuple[str, ...] = ("abs_rel", "rmse", "delta1", "silog")
    seed: int = 0

    def __post_init__(self) -> None:
        for field in ("window", "crop", "frame", "metrics"):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, tuple(getattr(self, field)))
        object.__setattr__(self, "alignment", tuple((kind, method) for kind, method in self.alignment))
        self._check_window()
        check_one_of("resize", self.resize, RESIZES)
        check_one_of("resize_space", self.resize_space, RESIZE_SPACES)
        check_positive("min_depth", self.min_depth)
        check_range("max_depth", self.max_depth, self.min_depth, 1e9, open_low=True)
        if self.floor is not None:
            check_positive("floor", self.floor)
        for kind, method in self.alignment:
            check_one_of("kind", kind, OUTPUT_KINDS)
            method_for(kind, method)
        if not self.metrics:
            raise ValueError("Expected at least one name in `metrics`, but got none.")

    def _check_window(self) -> None:
        if (self.crop is None) != (self.frame is None):
            raise ValueError(f"Expected `crop` and `frame` together, but got crop={self.crop}, frame={self.frame}.")
        check_one_of("crop_of", self.crop_of, CROPS_OF)
        if self.crop_of == "window" and (self.window is None or self.crop is None):
            raise ValueError(
                f'Expected `window` and `crop` with crop_of="window", but got window={self.window}, crop={self.crop}.'
            )
        for side in self.window or ():
            check_range("window", side, 1, 1e6)

    def check(self, kind: str) -> str:
        """The alignment of an output kind under this protocol.

        Raises:
            ValueError: if the protocol refuses the kind; names the protocols that fit it.
        """
        check_one_of("kind", kind, OUTPUT_KINDS)
        methods = dict(self.alignment)
        if kind not in methods:
            fits = [name for name in PROTOCOLS if kind in dict(get_protocol(name).alignment)]
            raise ValueError(
                f"Expected a network of kind {sorted(methods)} for protocol `{self.name}`, but got {kind}, which it "
                f"cannot judge; protocols that fit {kind}: {', '.join(fits)}."
            )
        return method_for(kind, methods[kind])

    def reads(self, size: tuple[int, int]) -> PixelBox:
        """The rectangle (top, bottom, left, right) of an image of `size` (h, w) that the network reads, in pixels.

        Raises:
            ValueError: if the image is smaller than the window.
        """
        return (0, size[0], 0, size[1]) if self.window is None else window_box(size, self.window)

    def judges(self, size: tuple[int, int]) -> PixelBox:
        """The rectangle of an image of `size` (h, w) outside which nothing is judged; inside `reads(size)`.

        Raises:
            ValueError: if window or crop do not fit the image.
        """
        part = self.reads(size)
        if self.crop is None or self.frame is None:
            return part
        if self.crop_of == "window" and self.window is not None:
            top, bottom, left, right = crop_box(self.window, self.crop, self.frame)
            return (part[0] + top, part[0] + bottom, part[2] + left, part[2] + right)
        if self.window == tuple(size) and self.frame == (1, 1):
            raise ValueError(
                f"Expected whole images for protocol `{self.name}`, but got {size[0]}x{size[1]}, which is its window "
                "already; fractions of it would be another crop: give it whole images, or use a protocol whose crop is "
                "measured in the window."
            )
        return overlap(part, crop_box(size, self.crop, self.frame))

    def region(self, size: tuple[int, int]) -> Tensor:
        """The pixels of `judges(size)`, bool (H,W)."""
        return box_mask(size, self.judges(size))

    def inside(self, size: tuple[int, int]) -> "Protocol":
        """This protocol for images of `size` that are already cut to what the network reads; the same pixels count."""
        if self.window is None:
            return self
        (top, _, left, _), box = self.reads(size), self.judges(size)
        crop = (box[0] - top, box[1] - top, box[2] - left, box[3] - left)
        return dataclasses.replace(self, window=None, crop=crop, frame=self.window, crop_of="image")

    def words(self) -> dict[str, str]:
        """Every number of the protocol as text, by aspect (ASPECTS)."""
        low, high = f"{self.min_depth:g}", f"{self.max_depth:g}"
        fitted = any(ALIGNMENTS.facts(method)["space"] == "disparity" for _, method in self.alignment)
        floor = "1 / max depth of the sample" if self.floor is None else f"{self.floor:g} 1/m"
        resize = f"{self.resize} to the truth's size (align_corners={self.align_corners})"
        return {
            "window": self._window_words(),
            "range": f"{low} < truth < {high} m, strictly; prediction clamped to {low}..{high} m after alignment",
            "resize": resize + (", a depth as disparity" if self.resize_space == "disparity" else ""),
            "alignment": ", ".join(f"{kind}: {method}" for kind, method in self.alignment) + "; other kinds refused",
            "floor": f"{floor} (aligned disparity)" if fitted else "none: nothing is fitted in disparity",
            "flip": "mean of prediction and un-flipped prediction of the flipped image" if self.flip else "no",
            "metrics": ", ".join(self.metrics) + "; per image, then the mean over images",
        }

    def _window_words(self) -> str:
        """What the network reads and which part of it is judged."""
        reads = "" if self.window is None else "the network reads {}x{} at the bottom, centred; ".format(*self.window)
        if self.crop is None or self.frame is None:
            return reads + ("the whole image is judged" if self.window is None else "all of it is judged")
        rows, cols = f"rows {self.crop[0]}:{self.crop[1]}", f"cols {self.crop[2]}:{self.crop[3]}"
        frame = f"the {self.crop_of}" if self.frame == (1, 1) else "{}x{}".format(*self.frame)
        frame += " in its window" if self.frame != (1, 1) and self.crop_of == "window" else ""
        return f"{reads}{rows}, {cols} of {frame} are judged"

    def describe(self) -> str:
        """Every number of the protocol as text, with its hash."""
        missing = {"missing": "infinity = max; NaN = failure, judged as min and counted"}
        lines = {"protocol": f"{self.name} ({plan_id(self)})", **self.words(), **missing}
        return "\n".join(f"{name + ':':12s}{text}" for name, text in lines.items())


def get_protocol(name: str) -> Protocol:
    """A preset by name.

    Raises:
        ValueError: if there is none; lists the known.
    """
    protocol: Protocol = PROTOCOLS[name]()
    return protocol
