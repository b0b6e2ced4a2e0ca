"""Small random networks of every depth type of transformers, with their image processors, saved as their users do."""

from pathlib import Path

import torch

VIT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
DINO = VIT | {"mlp_ratio": 2, "image_size": 56, "patch_size": 14, "out_indices": [1, 2, 3, 4]}
NECK = {"neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 8}
KEEP = {"keep_aspect_ratio": True, "ensure_multiple_of": 14, "size": {"height": 56, "width": 56}}


def dpt():
    """DPT as MiDaS 3: a plain ViT."""
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    config = DPTConfig(**VIT, **NECK, image_size=64, patch_size=16, backbone_out_indices=[0, 1, 2, 3])
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    size = {"height": 64, "width": 64}
    return DPTForDepthEstimation(config), DPTImageProcessor(size=size, ensure_multiple_of=32, **half)


def dpt_hybrid():
    """DPT-Hybrid as MiDaS 3: a ViT on the maps of a ResNet."""
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    convolutions = {
        "model_type": "bit", "global_padding": "same", "layer_type": "bottleneck", "depths": [1, 1, 1],
        "hidden_sizes": [8, 16, 16], "embedding_size": 8, "num_groups": 4, "embedding_dynamic_padding": True,
        "out_features": ["stage1", "stage2", "stage3"],
    }  # fmt: skip
    config = DPTConfig(
        **VIT, is_hybrid=True, backbone_config=convolutions, backbone_featmap_shape=[1, 16, 4, 4], image_size=64,
        patch_size=16, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 16, 16, 16], fusion_hidden_size=8,
        reassemble_factors=[1, 1, 1, 0.5],
    )  # fmt: skip
    size = {"height": 64, "width": 64}
    return DPTForDepthEstimation(config), DPTImageProcessor(size=size, ensure_multiple_of=32)  # it reads no other size


def dpt_metric():
    """DPT on DINOv2, as its authors trained it on NYU: no resizing, values up to 255, a frame up to a multiple."""
    from transformers import Dinov2Config, DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    backbone = Dinov2Config(**DINO, apply_layernorm=False, reshape_hidden_states=False)
    config = DPTConfig(
        backbone_config=backbone, add_projection=True, use_bias_in_fusion_residual=False, neck_hidden_sizes=[8] * 4,
        fusion_hidden_size=256,
    )  # fmt: skip
    numbers = {"image_mean": [123.675, 116.28, 103.53], "image_std": [58.395, 57.12, 57.375]}
    processor = DPTImageProcessor(do_resize=False, do_rescale=False, do_pad=True, size_divisor=14, **numbers)
    return DPTForDepthEstimation(config), processor


def depth_anything(kind="relative"):
    """Depth Anything, relative or metric."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    backbone = Dinov2Config(**DINO, reshape_hidden_states=False)
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, head_hidden_size=8, depth_estimation_type=kind,
        max_depth=20 if kind == "metric" else 1, **NECK,
    )  # fmt: skip
    return DepthAnythingForDepthEstimation(config), DPTImageProcessor(**KEEP)


def depth_anything_metric():
    """Depth Anything, metric."""
    return depth_anything("metric")


def prompt_depth_anything():
    """Prompt Depth Anything, which runs without a prompt too."""
    from transformers import (
        Dinov2Config,
        PromptDepthAnythingConfig,
        PromptDepthAnythingForDepthEstimation,
        PromptDepthAnythingImageProcessor,
    )

    backbone = Dinov2Config(**DINO, reshape_hidden_states=False)
    config = PromptDepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, head_hidden_size=8, depth_estimation_type="metric", **NECK
    )
    return PromptDepthAnythingForDepthEstimation(config), PromptDepthAnythingImageProcessor(**KEEP)


def zoedepth():
    """ZoeDepth on BEiT: a mirrored frame, then a size of equal aspect."""
    from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation, ZoeDepthImageProcessor

    backbone = BeitConfig(
        **VIT, image_size=64, patch_size=16, out_indices=[1, 2, 3, 4], reshape_hidden_states=False,
        use_relative_position_bias=True,
    )  # fmt: skip
    bins = [{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}]
    config = ZoeDepthConfig(
        backbone_config=backbone, bottleneck_features=8, num_attractors=[4, 2, 2, 1], bin_embedding_dim=8,
        bin_configurations=bins, num_relative_features=8, **NECK,
    )  # fmt: skip
    size = {"height": 64, "width": 96}
    return ZoeDepthForDepthEstimation(config), ZoeDepthImageProcessor(size=size, ensure_multiple_of=32)


def glpn():
    """GLPN: sides rounded down to 32, no normalisation."""
    from transformers import GLPNConfig, GLPNForDepthEstimation, GLPNImageProcessor

    config = GLPNConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2], mlp_ratios=[2] * 4,
        decoder_hidden_size=8,
    )  # fmt: skip
    return GLPNForDepthEstimation(config), GLPNImageProcessor()


def depth_pro(fov=True):
    """Depth Pro, whose inverse depth and field of view together are metres."""
    from transformers import DepthProConfig, DepthProForDepthEstimation, DepthProImageProcessor, Dinov2Config

    inner = Dinov2Config(**VIT, mlp_ratio=2, image_size=32, patch_size=8).to_dict()
    config = DepthProConfig(
        patch_size=32, fusion_hidden_size=16, intermediate_hook_ids=[3, 1], intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.5, 1.0], scaled_images_overlap_ratios=[0.0, 0.25], scaled_images_feature_dims=[8, 8],
        merge_padding_value=1, use_fov_model=fov, image_model_config=inner, patch_model_config=dict(inner),
        fov_model_config=dict(inner),
    )  # fmt: skip
    return DepthProForDepthEstimation(config), DepthProImageProcessor(size={"height": 64, "width": 64})


def depth_pro_blind():
    """Depth Pro without its field of view."""
    return depth_pro(False)


def tipsv2_dpt():
    """TIPSv2 with a DPT head."""
    from transformers import Tipsv2DptConfig, Tipsv2DptForDepthEstimation, Tipsv2DptImageProcessor
    from transformers.models.tipsv2 import Tipsv2VisionConfig

    backbone = Tipsv2VisionConfig(**DINO, apply_layernorm=True, reshape_hidden_states=False)
    config = Tipsv2DptConfig(backbone_config=backbone, num_depth_bins=8, **NECK)
    return Tipsv2DptForDepthEstimation(config), Tipsv2DptImageProcessor(size={"height": 56, "width": 56})


def chmv2():
    """CHMv2: heights of canopies seen from above."""
    from transformers import CHMv2Config, CHMv2ForDepthEstimation, CHMv2ImageProcessor, DINOv3ViTConfig

    backbone = DINOv3ViTConfig(
        **VIT, image_size=64, patch_size=16, num_register_tokens=4, key_bias=True, out_indices=[1, 2, 3, 4],
        reshape_hidden_states=True, apply_layernorm=True, return_class_token=True,
    )  # fmt: skip
    config = CHMv2Config(
        backbone_config=backbone, post_process_channels=[8, 8, 16, 16], fusion_hidden_size=8, head_hidden_size=8,
        number_output_channels=8,
    )  # fmt: skip
    return CHMv2ForDepthEstimation(config), CHMv2ImageProcessor()


CASES = {
    f.__name__: f
    for f in (
        dpt, dpt_hybrid, dpt_metric, depth_anything, depth_anything_metric, prompt_depth_anything, zoedepth, glpn,
        depth_pro, depth_pro_blind, tipsv2_dpt, chmv2,
    )
}  # fmt: skip


def save(case: str, folder: Path) -> Path:
    """A case with weights from a fixed seed, large enough that its answers vary, as `save_pretrained` writes it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, processor = CASES[case]()
        with torch.no_grad():
            for name, p in net.named_parameters():
                if p.ndim > 1 and "embed" not in name:
                    torch.nn.init.xavier_normal_(p)
    net.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
