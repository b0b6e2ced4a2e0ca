"""The corruption and sanity probes: planted answers and plain references."""

import numpy as np
import pytest
import tiny
import torch

from depthprobe.functional.corruption import severity_level
from depthprobe.functional.perturb import PERTURBATIONS
from depthprobe.functional.protocol import Protocol
from depthprobe.functional.quantities import agreement, spread_ratio
from depthprobe.functional.selection_core import generator
from depthprobe.models import DepthModel, ModelCard, load_model
from depthprobe.probes.corruption import CorruptionPlan, corruption
from depthprobe.probes.error import predict
from depthprobe.probes.sanity import SanityPlan, sanity

MAE = Protocol(name="mae", metrics=("mae",))


def batch():
    return tiny.sample(1, (40, 52))


def value(table, metric, **where):
    for column, wanted in {"metric": metric, **where}.items():
        table = table[table[column] == wanted]
    assert len(table)
    return table["value"].to_numpy()


def test_a_model_of_rows_bears_every_corruption():
    table = corruption(load_model("oracle:row"), batch(), CorruptionPlan(protocol=MAE, severities=(3,)))
    assert set(table["factor"]) == {"", *CorruptionPlan().corruptions}
    assert (value(table, "mae@self") == 0).all()
    changed = table[(table["metric"] == "pixel_change") & (table["factor"] != "")]
    assert (changed["value"] > 1e-3).all()
    assert (value(table, "pixel_change", factor="") == 0).all()


def test_a_model_of_brightness_is_wrong_by_what_the_corruption_does():
    plan = CorruptionPlan(protocol=MAE, corruptions=("gaussian_noise", "low_pass"), severities=(2, 5), seed=4)
    table, one = corruption(load_model("oracle:brightness"), batch(), plan), batch()
    for name in plan.corruptions:
        for severity in plan.severities:
            level = severity_level(name, severity, (40, 52))
            off = 9 * (PERTURBATIONS[name](one.image, level, seed=4) - one.image).mean(1, keepdim=True).abs()
            want = float(off[one.valid].mean())
            assert value(table, "mae@self", factor=name, level=severity)[0] == pytest.approx(want, rel=1e-4)


def test_corruption_plans_are_checked():
    with pytest.raises(ValueError, match="`corruption` to be one of"):
        CorruptionPlan(corruptions=("palette_swap",))
    with pytest.raises(ValueError, match="`severity` to be one of"):
        CorruptionPlan(severities=(0,))


def test_agreement_is_the_correlation():
    g = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 1, 6, 7, generator=g), torch.rand(2, 1, 6, 7, generator=g)
    for i in range(2):
        assert float(agreement(a, b)[i]) == pytest.approx(np.corrcoef(a[i].flatten(), b[i].flatten())[0, 1], abs=1e-6)
        assert float(spread_ratio(a, b)[i]) == pytest.approx(float(b[i].std() / a[i].std()), rel=1e-5)
    assert torch.allclose(agreement(a, 2 - 3 * a), torch.tensor([-1.0, -1.0], dtype=torch.float64))
    flat = torch.full_like(a, 0.3)
    assert (
        agreement(a, flat).isnan().all() and (spread_ratio(a, flat) == 0).all() and spread_ratio(flat, a).isnan().all()
    )


def test_a_model_of_rows_needs_no_image_and_has_learnt_nothing():
    table = sanity(load_model("oracle:row"), batch(), SanityPlan())
    np.testing.assert_allclose(value(table, "agreement@self"), 1, atol=1e-9)
    np.testing.assert_allclose(value(table, "spread_ratio@self"), 1, atol=1e-9)


def test_a_model_of_brightness_says_what_it_sees():
    table, one = sanity(load_model("oracle:brightness"), batch(), SanityPlan()), batch()
    assert np.isnan(value(table, "agreement@self", factor="constant")).all()
    assert (value(table, "spread_ratio@self", factor="constant") == 0).all()
    assert abs(value(table, "agreement@self", factor="pixel_shuffle")[0]) < 0.2
    assert value(table, "spread_ratio@self", factor="pixel_shuffle")[0] == pytest.approx(1, abs=1e-5)
    assert one.image.std() > 0


def test_shuffled_weights_are_those_of_the_layers_nearest_to_the_output():
    model, one = tiny.model(), batch()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    table = sanity(model, one, SanityPlan(inputs=(), weights=(1 / 3, 1.0), seed=5))
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())
    other, weight = tiny.model(), "net.last.weight"  # of three layers the last; its bias of one number has no order
    order = torch.randperm(before[weight].numel(), generator=generator(5, f"random weights of {weight}"))
    with torch.no_grad():
        other.net.last.weight.copy_(before[weight].flatten()[order].view(before[weight].shape))
    want = agreement(predict(model, one.image), predict(other, one.image))
    assert value(table, "agreement@self", level=1 / 3)[0] == pytest.approx(float(want), abs=1e-9)
    assert value(table, "agreement@self", level=1.0)[0] < 0.999
    reseeded = sanity(model, one, SanityPlan(inputs=(), seed=6))
    assert value(reseeded, "agreement@self", level=1.0)[0] != value(table, "agreement@self", level=1.0)[0]


class Seeing(torch.nn.Module):
    """Brightness; keeps the images that it reads."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return 1 + x.mean(1, keepdim=True)


def test_what_has_no_content_is_made_at_the_size_that_the_network_reads():
    """Made larger and resized, shuffled pixels and noise would average out to a nearly constant image."""
    card = ModelCard(name="seeing", tag="v1", family="cnn", output="metric_depth", size=(10, 13), mean=(0.0,) * 3,
                     std=(1.0,) * 3)  # fmt: skip
    model, one = DepthModel(Seeing(), card).eval(), batch()
    sanity(model, one, SanityPlan(inputs=("pixel_shuffle", "noise"), weights=()))
    clean, shuffled, noise = model.net.seen
    assert not torch.equal(shuffled, clean)
    assert torch.equal(shuffled.flatten(2).sort().values, clean.flatten(2).sort().values)
    assert torch.allclose(noise.std((2, 3)), clean.std((2, 3)), rtol=0.25)


def test_sanity_plans_are_checked():
    with pytest.raises(ValueError, match="input control to be one of"):
        SanityPlan(inputs=("silence",))
    with pytest.raises(ValueError, match="at least one control"):
        SanityPlan(inputs=(), weights=())
    with pytest.raises(ValueError, match="`weights` to be in"):
        SanityPlan(weights=(0.0,))
