"""`timm:<backbone>`: any timm backbone with feature maps behind the shared decoder."""

import difflib
from typing import Any

import timm
import torch
from torch import Tensor, nn

from depthprobe.checks import first_line
from depthprobe.leave import says_yes
from depthprobe.models.adapter import IMAGENET_MEAN, IMAGENET_STD, DepthModel, ModelCard
from depthprobe.models.decoder import DepthDecoder
from depthprobe.models.hooks import as_map, evaluating
from depthprobe.models.options import parse_size, parse_value
from depthprobe.models.registry import SCHEMES

DEPTHS = 4
HYBRIDS = (
    "coat", "maxxvit", "maxvit", "levit", "efficientformer", "mobilevit", "edgenext", "fastvit", "nextvit",
    "tiny_vit", "efficientvit", "convit", "cvt", "visformer", "xcit", "mvitv2",
)  # fmt: skip


class TimmDepth(nn.Module):
    """A timm encoder and the shared decoder; plain ViT token grids are reshaped to maps.

    Convention: takes the normalised image (B,3,h,w), returns metric depth (B,1,h/2,w/2) in metres.
    """

    def __init__(
        self, backbone: str, size: tuple[int, int], *, width: int = 64, pretrained: bool = False, **options: Any
    ) -> None:
        super().__init__()
        self.encoder = _encoder(backbone, size, pretrained=pretrained, **options)
        with torch.no_grad(), evaluating(self.encoder):  # in train mode a batch norm would take this image in
            channels = [f.shape[1] for f in self._features(torch.zeros(1, 3, *size))]
        self.decoder = DepthDecoder(channels, width=width)

    def _features(self, image: Tensor) -> list[Tensor]:
        size = (int(image.shape[-2]), int(image.shape[-1]))
        return [as_map(f, size) for f in self.encoder(image)][-DEPTHS:]

    def forward(self, image: Tensor) -> Tensor:
        """Metric depth of a normalised image."""
        return self.decoder(self._features(image), (int(image.shape[-2]), int(image.shape[-1])))

    def scores(self, image: Tensor) -> Tensor:
        """What the decoder's head says of a normalised image, before it is made depth."""
        return self.decoder.scores(self._features(image), (int(image.shape[-2]), int(image.shape[-1])))


def _encoder(backbone: str, size: tuple[int, int], **options: Any) -> nn.Module:
    options |= {"features_only": True}
    config = timm.get_pretrained_cfg(backbone)
    if config is not None and config.fixed_input_size:
        options["img_size"] = size
    try:
        encoder: Any = timm.create_model(backbone, **options)
        blocks = len(getattr(getattr(encoder, "model", encoder), "blocks", ()))
        if len(encoder.feature_info.channels()) < DEPTHS <= blocks:  # plain Transformer: four blocks, evenly spread
            spread = [blocks * (i + 1) // DEPTHS - 1 for i in range(DEPTHS)]
            encoder = timm.create_model(backbone, out_indices=spread, **options)
        made: nn.Module = encoder
        return made
    except Exception as error:  # timm, its hub and its layers raise many kinds
        raise ValueError(
            f"Expected `{backbone}` to be a timm backbone with feature maps, but timm says: {first_line(error)}"
        ) from error


def family_of(net: nn.Module) -> str:
    """cnn, transformer or hybrid, from the timm module that defines the network and its layers."""
    origin = type(getattr(net, "model", net)).__module__.rsplit(".", 1)[-1]
    names = {type(m).__module__.rsplit(".", 1)[-1] for m in net.modules()} | {origin}
    if any(n.startswith(HYBRIDS) for n in names):
        return "hybrid"
    attends = any("attention" in type(m).__name__.lower() for m in net.modules())
    return "transformer" if attends else "cnn"


def build(
    backbone: str, *, size: tuple[int, int], width: int = 64, pretrained: bool = False, seed: int = 0, **options: Any
) -> TimmDepth:
    """A timm backbone with the shared decoder, with random weights drawn from `seed` (or a pretrained encoder).

    Raises:
        ValueError: if timm does not know the backbone or an option of it, or cannot give its feature maps, or the
            decoder cannot have such a width.
    """
    if width < 8 or width % 8:
        raise ValueError(f"Expected `width` of the decoder to be a multiple of 8, but got {width}.")
    if not timm.is_model(backbone):
        near = difflib.get_close_matches(backbone.partition(".")[0], timm.list_models(), n=5)
        similar = f"similar names: {near}" if near else "choose one of timm.list_models(), such as resnet18"
        raise ValueError(f"Expected a timm backbone, but got {backbone!r}; {similar}.")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: a GPU's generator is not ours to seed
        try:
            return TimmDepth(backbone, size, width=width, pretrained=pretrained, **options)
        except RuntimeError as error:  # what its layers raise at the first image
            raise ValueError(
                f"Expected `{backbone}` to read images (3, {size[0]}, {size[1]}), but: {first_line(error)}"
            ) from error


def reading_points(net: TimmDepth) -> tuple[str, ...]:
    """Names of the layers that probes read: the encoder's feature layers and the decoder's stages."""
    known = {name for name, _ in net.named_modules()}
    info = getattr(net.encoder, "feature_info", None)
    names = [str(m) for m in info.module_name()] if info is not None else []
    candidates = [[f"encoder.{n}", f"encoder.model.{n}", f"encoder.{n.replace('.', '_')}"] for n in names]
    stages = [next((c for c in options if c in known), None) for options in candidates]
    return tuple(s for s in stages if s) + tuple(
        f"decoder.refine.{i}" for i in reversed(range(len(net.decoder.refine)))
    )


@SCHEMES.register(
    "timm", form="<backbone>?size=HxW&pretrained=0&seed=0", example="timm:resnet18?size=96x128", untrained=True
)
def timm_model(
    name: str, *, size: str = "96x128", pretrained: str = "0", width: int = 64, seed: int = 0, **options: str
) -> DepthModel:
    """An untrained network: timm backbone + shared decoder (train it with `depthprobe train`).

    Further options go to timm as Python values, e.g. `timm:swin_tiny_patch4_window7_224?embed_dim=36&depths=(2,2,4,2)`.
    """
    taught = says_yes("pretrained", pretrained)
    chosen = {key: parse_value(value) for key, value in options.items()}
    net = build(name, size=parse_size(size), width=width, pretrained=taught, seed=seed, **chosen)
    config = timm.get_pretrained_cfg(name) if taught else None
    card = ModelCard(
        name=f"timm:{name}",
        tag="pretrained-encoder" if taught else f"random{seed}" if seed else "random",
        family=family_of(net.encoder),
        output="metric_depth",
        size=parse_size(size),
        mean=tuple(config.mean) if config else IMAGENET_MEAN,
        std=tuple(config.std) if config else IMAGENET_STD,
        layers=reading_points(net),
    )
    return DepthModel(net, card)
