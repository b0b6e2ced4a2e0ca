"""timm backbones behind the shared decoder."""

import pytest
import timm
import torch

from depthprobe.models import load_model
from depthprobe.models.decoder import DepthDecoder
from depthprobe.models.timm_depth import family_of

BACKBONES = {
    "resnet18": "cnn",
    "convnext_atto": "cnn",
    "pvt_v2_b0": "transformer",
    "vit_tiny_patch16_224": "transformer",
    "swin_tiny_patch4_window7_224": "transformer",
    "coat_lite_tiny": "hybrid",
}


@pytest.mark.parametrize("backbone", ["convnext_atto", "pvt_v2_b0", "vit_tiny_patch16_224"])
def test_a_backbone_gives_positive_metric_depth_of_the_images_size(backbone):
    model = load_model(f"timm:{backbone}?size=64x96")
    depth = model(torch.rand(2, 3, 50, 70))
    assert depth.shape == (2, 1, 50, 70) and (depth > 0).all()
    assert model.card.family == BACKBONES[backbone] and model.card.output == "metric_depth"


@pytest.mark.parametrize("backbone", ["pvt_v2_b0", "vit_tiny_patch16_224"])
def test_declared_layers_give_maps(backbone):
    model = load_model(f"timm:{backbone}?size=64x96")
    found = model.features(torch.rand(1, 3, 64, 96), model.layers())
    assert len(found) == 8
    for activation in found.values():
        assert activation.ndim == 4 and activation.shape[2] * 96 == activation.shape[3] * 64


@pytest.mark.slow
@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_families_of_known_backbones(backbone):
    if backbone == "coat_lite_tiny":
        assert family_of(timm.create_model(backbone)) == "hybrid"
        return
    assert load_model(f"timm:{backbone}?size=64x96").card.family == BACKBONES[backbone]


def test_every_family_gets_the_same_decoder():
    names = [sorted(n for n, _ in load_model(f"timm:{b}?size=64x96").net.decoder.named_modules())
             for b in ("convnext_atto", "pvt_v2_b0")]  # fmt: skip
    assert names[0] == names[1]


def test_random_weights_are_the_same_each_time_and_the_global_generator_is_untouched():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    a, b = (load_model("timm:convnext_atto?size=32x32").net.decoder.head.weight for _ in range(2))
    assert torch.equal(a, b) and torch.equal(state, torch.get_rng_state())


def test_building_leaves_batch_norms_untouched_and_seeds_differ():
    net = load_model("timm:resnet18?size=64x96").net
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and all(m.num_batches_tracked == 0 and (m.running_var == 1).all() for m in norms)
    other = load_model("timm:resnet18?size=64x96&seed=1").net
    assert not torch.equal(net.decoder.head.weight, other.decoder.head.weight)


def test_features_before_an_in_place_activation_are_not_overwritten():
    model, image = load_model("timm:resnet18?size=64x96"), torch.rand(1, 3, 64, 96)
    inplace = [m for m in model.net.modules() if getattr(m, "inplace", False)]
    assert inplace
    assert model.features(image, ["encoder.bn1"])["encoder.bn1"].min() < 0
    assert all(m.inplace for m in inplace)


def test_a_decoder_starts_near_the_typical_depth():
    decoder = DepthDecoder([8, 8], typical_depth=3.0)
    depth = decoder([torch.randn(1, 8, 16, 16), torch.randn(1, 8, 8, 8)], (64, 64))
    assert depth.shape == (1, 1, 32, 32) and ((depth - 3).abs() < 0.5).all()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("resnet181", "resnet18"),
        ("vit_smal_patch16_224", "vit_small_patch16_224"),
        ("convnxt_atto.d2", "convnext_atto"),
    ],
)
def test_an_unknown_backbone_lists_similar_ones(typed, meant):
    with pytest.raises(ValueError, match=rf"got '{typed}'; similar names: \['{meant}', "):
        load_model(f"timm:{typed}")


@pytest.mark.parametrize("typed", ["nonsense", "", "hf-hub:a/b"])
def test_a_backbone_like_none_says_where_the_names_are(typed):
    with pytest.raises(ValueError, match=rf"got '{typed}'; choose one of timm\.list_models\(\), such as resnet18\.$"):
        load_model(f"timm:{typed}")


def test_weights_that_timm_does_not_get_are_one_sentence(monkeypatch):
    def refuse(*args, **options):
        raise OSError("no such host\nand more")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(ValueError, match=r"^Expected `resnet18` to be a timm backbone .* timm says: no such host$"):
        load_model("timm:resnet18?pretrained=1")


def test_an_unknown_scheme_lists_the_known():
    with pytest.raises(ValueError, match="oracle:row"):
        load_model("tim:resnet18")


@pytest.mark.parametrize("size", ["96", "0x4", "axb", "96x128x3"])
def test_a_bad_size_is_refused(size):
    with pytest.raises(ValueError, match="HEIGHTxWIDTH"):
        load_model(f"timm:resnet18?size={size}")


def test_further_options_go_to_timm_as_python_values():
    options = "size=32x32&embed_dim=12&depths=(1,1,1,1)&num_heads=(1,1,2,2)&window_size=4"
    model = load_model(f"timm:swin_tiny_patch4_window7_224?{options}")
    stages = [model.net.get_submodule(layer) for layer in model.card.layers[:4]]
    assert [len(stage.blocks) for stage in stages] == [1, 1, 1, 1]
    assert sum(p.numel() for p in model.net.encoder.parameters()) < 500_000
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 1, 32, 32)
    with pytest.raises(ValueError, match=r"Expected `resnet10t` .* unexpected keyword argument 'embed_dim'"):
        load_model("timm:resnet10t?size=32x32&embed_dim=12")
