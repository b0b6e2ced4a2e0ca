"""Depth Gradient Refinement on any network: attach it, detach it, or ask for it in the model's name.

    attach_dgr(model)                         lasting, for training; detach_dgr(model) takes it off again
    with refined(model, at="depth"): ...      for as long as the block runs
    load_model("timm:convnext_atto?dgr")      from the start; "zoo:convnext?dgr=depth,orders=2" with options

The block becomes a child named `dgr` of the layer whose output it refines, and one forward hook, which knows nothing
but that name, applies it. So its weights are the network's (optimiser, `state_dict`, weights files, memory formats,
distributed training), a copy of the network uses its own block, the names of all layers and other weights stay, and
whatever reads the layer reads what was refined.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.models.adapter import DepthModel, as_prediction
from depthprobe.models.dgr_blocks import (
    BLOCKS,
    KERNELS,
    PRESETS,
    DepthGradientRefinement,
    DepthRefinement,
    PlainRefinement,
    Refinement,
)
from depthprobe.models.hooks import as_map, evaluating, intervene
from depthprobe.models.registry import OPTIONS

__all__ = [
    "BLOCKS", "KERNELS", "PRESETS", "DepthGradientRefinement", "PlainRefinement", "Variant",
    "attach_dgr", "detach_dgr", "refined",
]  # fmt: skip

CHILD, OUTPUT = "dgr", ""
PLACES: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "last_feature": lambda layers: [layers[-1]],
    "each_stage": lambda layers: [n for n in layers if n.rpartition(".")[0] == layers[-1].rpartition(".")[0]],
}
READ: dict[str, Callable[[str], Any]] = {
    "orders": lambda text: tuple(int(digit) for digit in text),
    "reduction": int,
    "learnable": {"1": True, "0": False}.__getitem__,
}
WRITE: dict[str, Callable[[Any], str]] = {
    "orders": lambda orders: "".join(map(str, orders)),
    "learnable": "{:d}".format,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """Which block is attached where; the text of it stands in the model's name and on its card.

    Convention: `at` is a place or layers joined by `/`; `block` is `dgr` or `plain` (the control); the rest is said
    at DepthGradientRefinement.
    """

    at: str = "last_feature"
    block: str = "dgr"
    orders: tuple[int, ...] = (2, 3)
    preset: str = "stable"
    kernels: str = "derivative"
    reduction: int | None = None
    padding: str | None = None
    learnable: bool | None = None

    @classmethod
    def read(cls, text: str) -> "Variant":
        """The variant of `last_feature` (also the empty text) or `depth,orders=2,preset=paper`.

        Raises:
            ValueError: on an option that is not known, or a value that does not fit it.
        """
        at, *parts = text.split(",")
        known = [f.name for f in dataclasses.fields(cls) if f.name != "at"]
        options: dict[str, Any] = {"at": at} if at else {}
        for name, _, value in (part.partition("=") for part in parts):
            try:
                options[known[known.index(name)]] = READ.get(name, str)(value)
            except (ValueError, KeyError) as error:
                raise ValueError(
                    f"Expected `dgr` to be PLACE,NAME=VALUE,... with names from {known}, such as "
                    f"last_feature,orders=23,learnable=1, but got {text!r}."
                ) from error
        return cls(**options)

    @property
    def text(self) -> str:
        """The place, then every option that differs from the default; `read` gives the variant back."""
        told = [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "at"]
        changed = [(name, value) for name, value in told if value != getattr(Variant, name)]
        return ",".join([self.at, *(f"{name}={WRITE.get(name, str)(value)}" for name, value in changed)])

    def build(self, channels: int) -> Refinement:
        """A new block for maps of so many channels."""
        options = {k: v for k, v in dataclasses.asdict(self).items() if k not in ("at", "block")}
        made: Refinement = BLOCKS[self.block](channels, **options)
        return made


def attach_dgr(
    model: DepthModel, at: str | Sequence[str] = "last_feature", *, seed: int = 0, **options: Any
) -> dict[str, Refinement]:
    """Refine a network's depth or features by blocks that become part of it, until `detach_dgr`.

    Convention: `at` is `last_feature` (the last of the card's layers, which run from input to output), `each_stage`
    (all of the card's layers beside that one, such as `decoder.refine.*`), `depth` (what the network returns), or the
    name(s) of layers that give maps (B,C,h,w). A depth in metres or up to scale is refined in ln z, see
    DepthRefinement. `options` are those of Variant; weights are drawn from `seed`. The card's name gets `?dgr=...`.

    Returns:
        The new blocks by layer (`""`: the output).

    Raises:
        ValueError: if the network has a refinement already, a layer is unknown, not called or gives no such map, or an
            option does not fit; the network is then as before.
    """
    variant = Variant(at=at if isinstance(at, str) else "/".join(at), **options)
    if present := [name for name, layer in model.net.named_modules() if hasattr(layer, CHILD)]:
        raise ValueError(f"Expected no layer with a child `{CHILD}`, but got {present}; detach_dgr takes them off.")
    maps = _maps(model, _layers(model, variant.at))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: a GPU's generator is not ours to seed
        blocks = {name: variant.build(found.shape[1]) for name, found in maps.items()}
    if OUTPUT in blocks:
        log = model.card.output in ("metric_depth", "scale_depth")
        blocks[OUTPUT] = DepthRefinement(blocks[OUTPUT], log=log, map=model.card.map)
    for name, block in blocks.items():
        layer = model.net.get_submodule(name)
        layer.add_module(CHILD, block.to(maps[name].device, maps[name].dtype).train(layer.training))
        if type(layer).forward is not nn.Sequential.forward:  # a Sequential runs its last child by itself
            block.handle = layer.register_forward_hook(_refine)
    card = model.card
    facts = {**card.facts, CHILD: variant.text}
    model.card = dataclasses.replace(card, name=f"{card.name}?{CHILD}={variant.text}", facts=facts)
    return blocks


def detach_dgr(model: DepthModel) -> None:
    """Take off every refinement, also of a copy or of a network opened by name; a network without one stays as it is.

    What was trained meanwhile stays trained; without training the network is exactly what it was.
    """
    for layer in list(model.net.modules()):
        if isinstance(block := getattr(layer, CHILD, None), Refinement):
            if block.handle is not None:
                block.handle.remove()
            delattr(layer, CHILD)
    facts = dict(model.card.facts)
    name = model.card.name.removesuffix(f"?{CHILD}={facts.pop(CHILD, None)}")
    model.card = dataclasses.replace(model.card, name=name, facts=facts)


@contextlib.contextmanager
def refined(
    model: DepthModel, at: str | Sequence[str] = "last_feature", **options: Any
) -> Iterator[dict[str, Refinement]]:
    """`attach_dgr` for the block; afterwards, also after an exception, the network is as before."""
    card = model.card
    blocks = attach_dgr(model, at, **options)
    try:
        yield blocks
    finally:
        detach_dgr(model)
        model.card = card


@OPTIONS.register(
    "dgr",
    form="last_feature|depth|each_stage|LAYER,orders=23,preset=stable|paper,kernels=derivative|random|identity,"
    "block=dgr|plain",
)
def with_dgr(model: DepthModel, text: str, *, seed: int) -> None:
    """Depth Gradient Refinement or one of its controls, attached to any model."""
    variant = Variant.read(text)
    options = {f.name: getattr(variant, f.name) for f in dataclasses.fields(variant)}
    attach_dgr(model, seed=seed, **options)


def _refine(layer: nn.Module, inputs: Any, output: Any) -> Any:
    return getattr(layer, CHILD)(output)


def _layers(model: DepthModel, at: str) -> list[str]:
    """Names of the layers to refine; the output is the layer without a name."""
    if at == "depth":
        return [OUTPUT]
    if at not in PLACES:
        return at.split("/")
    if not model.card.layers:
        raise ValueError(
            f"Expected the card of {model.card.name} to declare layers for at={at!r}, but it declares none; "
            "use at='depth' or the name of a layer that gives maps (b c h w)."
        )
    return PLACES[at](model.card.layers)


def _maps(model: DepthModel, names: Sequence[str]) -> dict[str, Tensor]:
    """What the layers give for an empty picture, to learn channels, device and type."""
    size = model.canvas_size(96, 128)
    found: dict[str, Any] = {}

    def keep(name: str) -> Callable[[Tensor], Tensor]:
        return lambda output: found.setdefault(name, output)

    with torch.no_grad(), evaluating(model), intervene(model.net, {name: keep(name) for name in names}):
        model(torch.zeros(1, 3, *size, device=model.mean.device))
    if OUTPUT in found:
        found[OUTPUT] = as_prediction(found[OUTPUT], model.card.name, model.card.map)
    for name in names:
        if name not in found or as_map(found[name], size, name) is not found[name]:
            what = "none" if name not in found else tuple(found[name].shape)
            raise ValueError(
                f"Expected layer `{name}` to give a map (b c h w) in the forward pass, but got {what}; "
                "choose another layer, such as a stage of the decoder."
            )
    return found
