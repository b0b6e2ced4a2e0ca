"""`onnx:FILE`: a network as an ONNX graph, run by onnxruntime; it looks forward only and gives no gradients."""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthprobe.checks import first_line
from depthprobe.models.adapter import DepthModel
from depthprobe.models.declared import declared_card
from depthprobe.models.options import parse_size
from depthprobe.models.registry import SCHEMES

TYPES: dict[str, type[np.floating[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
ATTENDS = re.compile(rb"\x22(?:\x07Softmax|\x09Attention|\x12MultiHeadAttention)")  # a node's field op_type, by length
ELSEWHERE = re.compile(rb"\x0a\x08location\x12([\x01-\x7f]|[\x80-\xff][\x01-\x7f])")  # external_data, then a length


@SCHEMES.register("onnx", form="FILE?output=...&size=HxW&mean=imagenet", example="onnx:mynet.onnx?output=metric_depth")
def from_onnx(path: str, *, map: str = "", multiple: int = 1, **options: str) -> DepthModel:
    """A network in an ONNX file, run on the CPU by onnxruntime, without gradients.

    Input size, layout (channels first or last), type and the number of images at once are read from the file. Options:
    those of `py:`, and `map`, the name of the output where there are several. The file is a graph, not code; its
    weights may lie beside it, never outside its folder.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if onnxruntime is not installed, the file is no network of one image, or an option does not fit.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"Expected an ONNX file at {file}, but there is no such file.")
    content = file.read_bytes()
    net = OnnxNet(_session(file), f"onnx:{file.name}", map)
    if options.get("size") and net.fixed not in (None, parse_size(options["size"])):
        raise ValueError(f"Expected `size` to be {net.fixed}, which {file.name} fixes, but got {options['size']!r}.")
    digest = _digest(content, file.parent)
    card = declared_card(
        net.name, net, options, size=net.fixed, multiple=multiple, tag=digest[:8], digest=digest,
        family="transformer" if ATTENDS.search(content) else "cnn",
    )  # fmt: skip
    return DepthModel(net, card)


def _session(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(
            "Expected onnxruntime to be installed for onnx:, but it is not; pip install 'depthprobe[onnx]'."
        ) from None
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise ValueError(f"Expected {file} to be an ONNX network, but {_sentence(error)}.") from error


def _digest(content: bytes, folder: Path) -> str:
    """Of the file and of the files beside it that hold its weights."""
    found = hashlib.sha256(content)
    places = {content[m.end() : m.end() + _length(m[1])].decode(errors="ignore") for m in ELSEWHERE.finditer(content)}
    for place in sorted(places):
        if (folder / place).is_file():
            found.update((folder / place).read_bytes())
    return found.hexdigest()[:12]


def _length(stored: bytes) -> int:
    """A number of one or two bytes of 7 bits, the lower first."""
    return sum((byte & 0x7F) << 7 * i for i, byte in enumerate(stored))


def _sentence(error: Exception) -> str:
    """What onnxruntime says, without its code."""
    return first_line(error).rpartition(" : ")[2].strip().rstrip(".")


class OnnxNet(nn.Module):
    """An onnxruntime session that takes a normalised image (B,3,h,w) and returns its map (B,1,h,w).

    Convention: `fixed` is the (h, w), `batch` the number of images that the graph demands (None: any).
    """

    outside_torch = True

    def __init__(self, session: Any, name: str, output: str = "") -> None:
        super().__init__()
        self.session, self.name = session, name
        taken = _only(session.get_inputs(), "", f"{name} to take one image", "")
        self.output = _only(session.get_outputs(), output, f"{name} to give one map", "; add ?map=NAME").name
        self.input, shape = taken.name, [side if isinstance(side, int) else None for side in taken.shape]
        self.last = len(shape) == 4 and shape[1] != 3 and shape[3] == 3
        if taken.type not in TYPES or len(shape) != 4 or not (self.last or shape[1] in (3, None)):
            raise ValueError(
                f"Expected {name} to take an image (b 3 h w) or (b h w 3) of {sorted(TYPES)}, but it takes "
                f"{taken.shape} of {taken.type}."
            )
        self.kind: type[np.floating[Any]] = TYPES[taken.type]
        self.batch = shape[0]
        size = shape[1:3] if self.last else shape[2:]
        self.fixed = (int(size[0]), int(size[1])) if size[0] and size[1] else None

    def forward(self, image: Tensor) -> Tensor:
        """The map of a normalised image; its backward pass says that there is none."""
        answer: Tensor = _Forward.apply(image, self._run, self.name)
        return answer

    def _run(self, image: Tensor) -> Tensor:
        array = image.detach().cpu().numpy()
        array = np.ascontiguousarray(array.transpose(0, 2, 3, 1) if self.last else array, self.kind)
        count = self.batch or len(array)
        filled = np.concatenate([array, np.repeat(array[-1:], -len(array) % count, 0)])
        parts = [filled[i : i + count] for i in range(0, len(filled), count)]
        try:
            found = [self.session.run([self.output], {self.input: part})[0] for part in parts]
        except Exception as error:
            raise ValueError(
                f"Expected {self.name} to read images of {tuple(image.shape[-2:])}, but {_sentence(error)}; give its "
                "?size=HxW, or ?multiple=N."
            ) from error
        maps = [_as_map(one, len(part)) for one, part in zip(found, parts, strict=True)]
        return torch.from_numpy(np.concatenate(maps)[: len(array)]).to(image)


def _only(given: Sequence[Any], name: str, expected: str, remedy: str) -> Any:
    chosen = [one for one in given if one.name == name] if name else list(given)
    if len(chosen) != 1:
        names = [one.name for one in given]
        raise ValueError(f"Expected {expected}{f' named {name}' if name else ''}, but it has {names}{remedy}.")
    return chosen[0]


def _as_map(found: np.ndarray, count: int) -> np.ndarray:
    """An output as (B,1,h,w) where it can be read so; else as it is, which the adapter refuses with its shape."""
    if found.ndim == 2 and count == 1:
        return found[None, None]
    if found.ndim == 4 and found.shape[-1] == 1 != found.shape[1]:
        return found.transpose(0, 3, 1, 2)
    return found


class _Forward(torch.autograd.Function):
    """A step without a way back: whoever asks for gradients gets one sentence, whichever way they asked."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, run: Callable[[Tensor], Tensor], name: str) -> Tensor:
        ctx.name = name
        return run(image)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise ValueError(
            f"Expected a network with gradients, but {ctx.name} runs in onnxruntime, which only looks forward; choose "
            "probes, selectors and methods that need none, or open the network itself by py: or hf:."
        )
