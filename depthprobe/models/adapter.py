"""The adapter: canonical image in, declared kind of depth out, named layers to read."""

import dataclasses
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.checks import check_one_of, check_shapes, first_line, shortened
from depthprobe.functional.conversion import OUTPUT_KINDS
from depthprobe.models.hooks import capture
from depthprobe.models.reading import Reading
from depthprobe.schema import FAMILIES

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_PACKAGE, _TORCH = Path(__file__).parents[1], Path(torch.__file__).parent


class NetworkError(ValueError, RuntimeError):
    """A network that fails in its own code or returns no map; the message says which, at what, where and why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What is known about a network before it sees an image.

    Convention: `output` is one of OUTPUT_KINDS; `size` is (h, w) of the network's own input or None (any size);
    where `size` is None the input is resized to the nearest multiple of `multiple`. `reading` says what two numbers do
    not (aspect, filter, frame) and then decides alone. `map` says which is the depth where the network returns several:
    an index or a key, `depth.-1` for the last in `depth`. `layers` are the dotted names that probes read by default
    (empty: every module). `facts` carry provenance (command, data, steps, scores).
    """

    name: str
    tag: str
    family: str
    output: str
    size: tuple[int, int] | None = None
    multiple: int = 1
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    layers: tuple[str, ...] = ()
    digest: str = ""
    reading: Reading | None = None
    map: str = ""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_one_of("family", self.family, FAMILIES)
        check_one_of("output", self.output, OUTPUT_KINDS)

    @property
    def fill(self) -> tuple[float, ...]:
        """The colour (RGB in [0,1]) that counts as no information, of the fill `mean`.

        Convention: 0 in normalised space where the network normalises by a mean, otherwise (`mean` is 0, where that
        would be black) ImageNet's mean colour; not necessarily the mean of the network's training images.
        """
        return self.mean if any(self.mean) else IMAGENET_MEAN


class DepthModel(nn.Module):
    """A network behind one interface; resizing and normalisation are inside, differentiable.

    Convention: forward takes an image (B,3,H,W), RGB in [0,1], and returns (B,1,H,W) of the kind `card.output`.
    The adapter never sees ground truth.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.net, self.card = net, card
        self.register_buffer("mean", torch.tensor(card.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(card.std).view(1, 3, 1, 1), persistent=False)

    @property
    def reading(self) -> Reading:
        """How the network reads an image of any size."""
        card = self.card
        return card.reading or Reading(size=card.size, multiple=1 if card.size else card.multiple)

    def canvas_size(self, height: int, width: int) -> tuple[int, int]:
        """The resolution (h, w) at which the network reads an image of the given size."""
        return self.reading.canvas_size(height, width)

    def canvas(self, image: Tensor) -> Tensor:
        """The image (B,3,h,w) as the network reads it: probes mask here, since a later resize would blur a mask."""
        return self.reading.canvas(image)

    def prepare(self, image: Tensor) -> Tensor:
        """What the network itself is given for an image: its canvas, normalised, in its frame where there is one."""
        return self.reading.enter((self.canvas(image) - self.mean) / self.std)

    def forward(self, image: Tensor) -> Tensor:
        """Depth (or what `card.output` declares) for an image.

        Raises:
            NetworkError: if its own code fails, whatever that raised (memory that runs out is raised as it is), or it
                returns no map for each image.
        """
        sizes = check_shapes(image=(image, "b 3 h w"))
        answer = as_prediction(self._answer(self.prepare(image)), self.card.name, self.card.map)
        _check_answers(answer, image, self.card.name)
        size = (sizes["h"], sizes["w"])
        return self.reading.leave(answer, self.canvas_size(*size), size)

    def _answer(self, given: Tensor) -> Any:
        try:
            return self.net(given)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            frames = traceback.extract_tb(error.__traceback__)
            if Path(frames[-1].filename).is_relative_to(_PACKAGE):
                raise  # said by this package, which looks on, and not by the network
            own = next((f for f in reversed(frames) if not Path(f.filename).is_relative_to(_TORCH)), frames[-1])
            raise NetworkError(
                f"Expected {self.card.name} to answer to {tuple(given.shape)}, but it raised {type(error).__name__}: "
                f"{first_line(error).rstrip('.')} ({Path(own.filename).name}, line {own.lineno})."
            ) from error

    def layers(self) -> list[str]:
        """Dotted names, inside `net`, of the layers to read."""
        return list(self.card.layers) or [name for name, _ in self.net.named_modules() if name]

    def features(self, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Activations of named layers as (B,C,h,w); token grids and channel-last maps are rearranged.

        Raises:
            ValueError: if a layer is unknown, was not called, or gives no map.
        """
        size = self.reading.input_size(*self.canvas_size(*image.shape[-2:]))
        with capture(self.net, names, size=size) as found:
            self(image)
        return dict(found)


def as_prediction(output: Any, name: str = "the network", map: str = "") -> Tensor:
    """The map (B,1,h,w) in what a network returned: a tensor, a list of tensors, or a dict/object.

    Convention: `map` says which (`ModelCard`); a tensor is the map itself, whatever `map` says. Otherwise of a list the
    last counts, as of decoders that go from coarse to fine; it must be larger than the others, since among several of
    one size (a depth and its confidence, a depth and its refinements) nothing says which it is.

    Raises:
        NetworkError: if there is none, or more than one, with the shape or type found.
    """
    output = _chosen(output, name, map) if map else output
    if isinstance(output, dict) or hasattr(output, "predicted_depth"):
        get = output.get if isinstance(output, dict) else lambda key: getattr(output, key, None)
        found = [get(key) for key in ("predicted_depth", "metric_depth", "depth", "disparity", "out")]
        output = next((x for x in found if x is not None), output)
    if isinstance(output, list | tuple) and output:
        pixels = [x.shape[-2:].numel() for x in output if isinstance(x, Tensor) and x.ndim >= 2]
        if len(pixels) > 1 and max(pixels[:-1]) >= pixels[-1]:
            raise NetworkError(
                f"Expected {name} to return one map, but got {len(pixels)} and the last is not the largest; say which "
                "it is by ?map=-1 (`map` in a ModelCard: an index or a key, depth.-1 for the last in `depth`), or "
                "return the depth alone or a dictionary with `depth`."
            )
        output = output[-1]
    if isinstance(output, Tensor) and output.ndim == 3:
        output = output.unsqueeze(1)
    if not isinstance(output, Tensor) or output.ndim != 4 or output.shape[1] != 1 or not output.numel():
        what = tuple(output.shape) if isinstance(output, Tensor) else _holding(output)
        raise NetworkError(f"Expected {name} to return a map (b 1 h w) or (b h w), but got {what}.")
    if output.is_complex() or output.dtype == torch.bool:
        raise NetworkError(f"Expected {name} to return real numbers, but got {output.dtype}.")
    return output if output.is_floating_point() else output.float()


def _chosen(output: Any, name: str, map: str) -> Any:
    """What stands at `map` in a list, dictionary or object, or in what is inside it."""
    for key in map.split("."):
        if isinstance(output, Tensor):
            break
        try:
            if isinstance(output, list | tuple) and not hasattr(output, key):
                output = output[int(key)]
            else:
                output = output[key] if isinstance(output, dict) else getattr(output, key)
        except (AttributeError, KeyError, IndexError, ValueError):
            raise NetworkError(f"Expected {name} to return a map at `{map}`, but got {_holding(output)}.") from None
    return output


def _holding(output: Any) -> str:
    """The type of what is no tensor, with what is in it."""
    what = type(output).__name__
    if isinstance(output, dict) and output:
        return f"{what} with {shortened(str(list(output)))}; say which it is by ?map=KEY"
    return f"{what} of {len(output)}" if isinstance(output, list | tuple) else what


def _check_answers(answer: Tensor, image: Tensor, name: str) -> None:
    if len(answer) != len(image):
        raise NetworkError(
            f"Expected {name} to return one map for each of the {len(image)} images, but got {len(answer)}."
        )
    if answer.device != image.device:
        raise NetworkError(
            f"Expected {name} to return a map on the device of the images, {image.device}, but got one on "
            f"{answer.device}; make new tensors with device=x.device."
        )
