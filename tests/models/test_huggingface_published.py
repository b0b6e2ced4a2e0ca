"""`hf:` with image processors of the sizes and forms, old and new, that published networks have: shapes and pixels."""

import json

import pytest
import torch
from torch import nn

pytest.importorskip("transformers")

from depthprobe.models import DepthModel, ModelCard
from depthprobe.models.huggingface_types import TYPES, reading_of

PLAIN = {"do_normalize": True, "do_rescale": True, "do_resize": True, "rescale_factor": 1 / 255}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
BYTES = {"image_mean": [123.675, 116.28, 103.53], "image_std": [58.395, 57.12, 57.375]}


def of(kind, side, width=None, multiple=14, **more):
    said = {"image_processor_type": f"{kind}ImageProcessor", "size": {"height": side, "width": width or side}}
    rest = {"keep_aspect_ratio": True, "ensure_multiple_of": multiple, "resample": 3, "do_pad": False}
    return PLAIN | said | rest | {"size_divisor": None} | more


PUBLISHED = {
    "Intel/dpt-large": ("dpt", {"feature_extractor_type": "DPTFeatureExtractor", "do_normalize": True,
                                "do_resize": True, "resample": 2, "size": 384} | HALF),
    "Intel/dpt-hybrid-midas": ("dpt", of("DPT", 384, multiple=32) | HALF),
    "facebook/dpt-dinov2-small-nyu": ("dpt", of("DPT", 384, multiple=1, keep_aspect_ratio=False, do_resize=False,
                                                do_rescale=False, do_pad=True, size_divisor=14) | BYTES),
    "depth-anything/Depth-Anything-V2-Small-hf": ("depth_anything", of("DPT", 518) | IMAGENET),
    "depth-anything/prompt-depth-anything": ("prompt_depth_anything", of("PromptDepthAnything", 756) | IMAGENET),
    "Intel/zoedepth-nyu": ("zoedepth", of("ZoeDepth", 384, 512, 32, resample=2, do_pad=True) | HALF),
    "Intel/zoedepth-kitti": ("zoedepth", of("ZoeDepth", 384, 768, 32, resample=2, do_pad=True) | HALF),
    "vinvino02/glpn-nyu": ("glpn", {"feature_extractor_type": "GLPNFeatureExtractor", "do_rescale": True,
                                    "do_resize": True, "resample": 2, "size_divisor": 32}),
}  # fmt: skip


def waves(height, width):
    """A picture without the jumps at which a bicubic filter leaves [0,1]."""
    y, x = torch.meshgrid(torch.linspace(0, 5, height), torch.linspace(0, 7, width), indexing="ij")
    return torch.stack([0.5 + 0.3 * torch.sin(x + k) * torch.cos(y - k) for k in range(3)])[None]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("size", [(480, 640), (640, 480), (375, 1242), (353, 611)])
def test_pixels_are_those_of_transformers(name, size, tmp_path):
    from transformers import AutoImageProcessor

    kind, said = PUBLISHED[name]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="torchvision")
    reading, mean, std = reading_of(processor, {"type": kind, **TYPES.facts(kind)})
    card = ModelCard(name=name, tag="x", family="cnn", output="metric_depth", reading=reading, mean=mean, std=std)
    image = waves(*size)
    expected = processor(images=[image[0] * 255], return_tensors="pt")["pixel_values"]
    got = DepthModel(nn.Identity(), card).prepare(image)
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, atol=1e-4), (got - expected).abs().max()
