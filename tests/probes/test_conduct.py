"""The conduct probe: networks with one planted fault each, and quantities against plain references."""

import copy
import math

import numpy as np
import pytest
import scipy.stats
import tiny
import torch
from torch import nn

from depthprobe.data.batch import Batch, stack
from depthprobe.functional import conduct as quantities
from depthprobe.functional.conversion import OUTPUT_KINDS
from depthprobe.functional.protocol import get_protocol
from depthprobe.models import DepthModel, ModelCard
from depthprobe.models.hooks import training
from depthprobe.probes.conduct import ConductPlan, conduct

H, W = 24, 32
DIFFERENCES = ("repeat_difference", "batch_difference", "train_difference")


def batch(n=2):
    return stack([tiny.sample(i, (H, W)) for i in range(n)])


def model(net, output="metric_depth"):
    zero, one = (0.0,) * 3, (1.0,) * 3
    card = ModelCard(name="planted", tag="", family="cnn", output=output, mean=zero, std=one)
    return DepthModel(net, card).eval()


class Doing(nn.Module):
    """A network that is a function of the image, after an optional layer."""

    def __init__(self, function, layer=None):
        super().__init__()
        self.function, self.layer = function, layer or nn.Identity()

    def forward(self, x):
        return self.function(self.layer(x))


def grey(x):
    return 1 + x.mean(1, keepdim=True)


def found(function, layer=None, output="metric_depth", some=None, **plan):
    """Values by metric (and kind) of a planted network."""
    table = conduct(model(Doing(function, layer), output), some or batch(), ConductPlan(**plan))
    names = table["metric"].where(table["factor"] == "", table["metric"] + "@" + table["factor"])
    return {name: rows["value"].to_numpy() for name, rows in table.groupby(names)}


def test_a_network_without_fault_has_none():
    values = found(grey)
    for name in (*DIFFERENCES, "nan_share", "nonpositive_share", "out_of_range_share"):
        assert (values[name] == 0).all(), name
    assert (values["spread"] > 0.01).all()


def test_dropout_in_eval_mode_answers_differently_each_time():
    values = found(lambda x: grey(nn.functional.dropout(x, 0.5, training=True)))
    assert (values["repeat_difference"] > 0.1).all()


def test_dropout_and_batch_norm_differ_in_train_mode_alone():
    for layer in (nn.Dropout(0.5), nn.BatchNorm2d(3)):
        values = found(grey, layer)
        assert (values["train_difference"] > 0.01).all(), layer
        assert (values["repeat_difference"] == 0).all()
        assert (values["batch_difference"] == 0).all()


def test_a_network_that_normalises_by_the_batch_depends_on_it():
    values = found(lambda x: grey(x / x.mean()))
    assert (values["batch_difference"] > 0.01).all()
    assert (values["repeat_difference"] == 0).all()


def test_numbers_that_no_depth_is_are_counted():
    def holed(x):
        out = grey(x).clone()
        out[..., :6, :] = torch.nan
        out[..., 6:12, :] = torch.inf
        out[..., 12:18, :] = -1
        return out

    values = found(holed)
    assert values["nan_share"] == pytest.approx(0.5)
    assert values["nonpositive_share"] == pytest.approx(0.25)
    ok = batch().valid & (batch().depth < get_protocol("scenes").max_depth)
    some = ok[..., 6:18, :].sum((1, 2, 3)) / ok.sum((1, 2, 3))
    assert values["out_of_range_share"] == pytest.approx(some.numpy()), "infinity and -1, where there is a truth"
    assert (values["repeat_difference"] == 0).all(), "NaN twice is no difference"


def test_depths_out_of_range_count_only_where_the_truth_is_in_it():
    """As the sky: far is right there, however far."""
    some = batch()
    sky = torch.zeros_like(some.valid)
    sky[..., :12, :] = True
    some = some.replace(depth=torch.where(sky, 500.0, some.depth))
    far = found(lambda x: torch.where(sky[:1], 1000.0, grey(x)), some=some)
    assert (far["out_of_range_share"] == 0).all()
    near = found(lambda x: torch.where(sky[:1], 1.0, grey(x) + 999), some=some)
    assert (near["out_of_range_share"] == 1).all()


@pytest.mark.parametrize(("answer", "sign"), [(lambda d: d, 1), (lambda d: 1 / d, -1), (lambda d: 3 - d**3, -1)])
def test_the_order_says_whether_the_answer_grows_or_falls_with_depth(answer, sign):
    assert planted_truth(answer)["order"] == pytest.approx(sign)
    assert planted_truth(answer, output="affine_disparity")["order"] == pytest.approx(sign), "whatever is declared"


def test_the_order_is_spearmans_over_the_pixels_that_have_a_truth_and_an_answer():
    g = torch.Generator().manual_seed(2)
    out, depth = (torch.rand(2, 1, 6, 7, generator=g).round(decimals=1) for _ in range(2))  # with ties
    valid = torch.rand(2, 1, 6, 7, generator=g) > 0.3
    out[0, 0, 0, :3] = torch.nan
    ok = valid[0, 0] & out[0, 0].isfinite()
    want = scipy.stats.spearmanr(out[0, 0][ok].numpy(), depth[0, 0][ok].numpy()).statistic
    assert float(quantities.order(out, depth, valid)[0]) == pytest.approx(want, rel=1e-9)
    valid[1] = False
    assert torch.isnan(quantities.order(out, depth, valid)[1])
    assert torch.isnan(quantities.order(out * 0, depth, valid)).all()


def test_an_answer_that_ignores_the_image_is_the_same_for_another():
    rows = torch.linspace(1, 5, H).view(1, 1, H, 1).expand(1, 1, H, W)
    assert (found(lambda x: rows.expand(len(x), -1, -1, -1))["image_difference"] == 0).all()
    assert (found(grey)["image_difference"] > 0.1).all()


def test_what_a_kind_leaves_open_is_not_held_against_it():
    open_shift = found(lambda x: -grey(x), output="affine_disparity")
    assert np.isnan([open_shift[name] for name in ("nonpositive_share", "out_of_range_share", "scale")]).all()
    open_scale = found(lambda x: 1e4 * grey(x), output="scale_depth")
    assert (open_scale["nonpositive_share"] == 0).all()
    assert np.isnan(open_scale["out_of_range_share"]).all()


def test_a_constant_answer_has_no_spread():
    for value in (3.0, 0.1, 0.0):
        assert (found(lambda x, v=value: torch.full_like(x[:, :1], v))["spread"] == 0).all()


def planted_truth(function, output="metric_depth"):
    """A network that knows the depth, and answers with a function of it."""
    some = batch(1)
    return found(lambda x: function(some.depth).expand(len(x), 1, H, W), output=output, some=some)


def test_millimetres_have_a_scale_of_a_thousand():
    assert planted_truth(lambda depth: 1000 * depth)["scale"] == pytest.approx(1000, rel=1e-5)
    assert planted_truth(lambda depth: depth)["scale"] == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "function", "fits"),
    [
        ("metric_depth", lambda d: d, {"metric_depth", "scale_depth", "affine_depth"}),
        ("scale_depth", lambda d: 0.2 * d, {"scale_depth", "affine_depth"}),
        ("affine_depth", lambda d: 0.2 * d + 3, {"affine_depth"}),
        ("affine_disparity", lambda d: 2 / d + 0.3, {"affine_disparity"}),
    ],
)
def test_the_kind_that_an_output_is_fits_it_whatever_is_declared(kind, function, fits):
    values = planted_truth(function)
    errors = {name: float(values[f"kind_error@{name}"][0]) for name in OUTPUT_KINDS}
    assert errors[kind] < 1e-4
    assert {name for name, error in errors.items() if error < 0.01} == fits


@pytest.mark.parametrize("error", [AssertionError, IndexError, KeyError, AttributeError, ZeroDivisionError])
def test_a_network_may_refuse_a_batch_with_any_error(error):
    def single(x):
        if len(x) > 1:
            raise error
        return grey(x)

    values = found(single)
    assert np.isnan([values[name] for name in ("batch_difference", "train_difference", "image_difference")]).all()


def test_a_network_that_refuses_batches_or_train_mode_is_not_compared_in_them():
    def single(x):
        if len(x) > 1:
            raise ValueError("Expected a batch of 1.")
        return grey(x)

    values = found(single)
    assert np.isnan(values["batch_difference"]).all()
    assert np.isnan(values["train_difference"]).all()
    assert (values["repeat_difference"] == 0).all()


def test_train_mode_leaves_no_trace_also_after_an_exception():
    net = tiny.Net(0).train()
    net.norm.eval()
    before, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]

    def tripping():
        with training(net), torch.no_grad():
            assert net.norm.training
            net(torch.rand(2, 3, H, W))
            assert not torch.equal(net.norm.running_mean, before["norm.running_mean"])
            net.norm.running_var = torch.zeros(8)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        tripping()
    assert all(torch.equal(net.state_dict()[name], x) for name, x in before.items())
    assert [m.training for m in net.modules()] == modes


def test_the_difference_is_that_of_its_definition():
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, 1, 4, 5, generator=g) for _ in range(2))
    a[0, 0, 0, 0] = torch.nan
    b[1, 0, 2, 3] = torch.inf
    for i, got in enumerate(quantities.repeat_difference(a, b)):
        pairs = [
            (float(x), float(y)) for x, y in zip(a[i].flatten(), b[i].flatten(), strict=True)
            if math.isfinite(x) and math.isfinite(y)
        ]  # fmt: skip
        size = max(x for x, _ in pairs) - min(x for x, _ in pairs)
        assert float(got) == pytest.approx(max(abs(x - y) for x, y in pairs) / size)


def test_the_difference_of_constant_and_of_undefined_answers():
    flat = torch.full((1, 1, 2, 2), 4.0)
    assert float(quantities.repeat_difference(flat, flat + 1)) == pytest.approx(0.25)
    assert float(quantities.repeat_difference(flat, flat)) == 0
    assert torch.isnan(quantities.repeat_difference(flat * 0, flat)).all()
    assert torch.isnan(quantities.repeat_difference(flat * torch.nan, flat)).all()


def test_spread_and_scale_are_those_of_numpy():
    g = torch.Generator().manual_seed(1)
    out, depth = torch.randn(2, 1, 5, 5, generator=g) + 3, torch.rand(2, 1, 5, 5, generator=g) + 1
    valid = torch.rand(2, 1, 5, 5, generator=g) > 0.3
    valid[1] = False
    spread = [x.numpy().std() / abs(x.numpy().mean()) for x in out.double()]
    assert quantities.spread(out).tolist() == pytest.approx(spread)
    assert torch.isnan(quantities.spread(out * torch.nan)).all()
    z, g = (np.sort(x[0][valid[0]].numpy()) for x in (out, depth))
    found = quantities.scale(out, depth, valid)
    assert float(found[0]) == pytest.approx(z[(len(z) - 1) // 2] / g[(len(g) - 1) // 2], rel=1e-6)
    assert torch.isnan(found[1])


def test_pixels_without_truth_do_not_count_in_the_kinds_errors():
    one = batch(1)
    truth = one.depth.clone()
    spoilt = one.replace(depth=torch.where(one.valid, one.depth, torch.tensor(50.0)))
    assert isinstance(spoilt, Batch)
    values = found(lambda x: truth.expand(len(x), 1, H, W), some=spoilt)
    assert values["kind_error@metric_depth"] == pytest.approx(0, abs=1e-6)
    assert values["scale"] == pytest.approx(1)
