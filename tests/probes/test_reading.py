"""What the probes read under a protocol with a window: the cut batch, and the numbers of the public code's pipeline."""

import dataclasses

import pytest
import torch
from torch import nn

from depthprobe.data import Batch
from depthprobe.functional.protocol import Protocol, evaluate, get_protocol
from depthprobe.models import DepthModel, ModelCard
from depthprobe.probes.error import error, error_maps, predict
from depthprobe.probes.reading import as_read, known_facts
from depthprobe.probes.sparse import SparsePlan, sparse

WINDOW = Protocol(
    name="mine",
    window=(12, 20),
    crop=(0.25, 0.9, 0.1, 0.8),
    frame=(1, 1),
    crop_of="window",
    metrics=("abs_rel", "rmse"),
)
WHOLE = dataclasses.replace(WINDOW, crop_of="image")


class Blur(nn.Module):
    """A network whose answer at a pixel depends on what it sees around it, and on where in its image that is."""

    def forward(self, image):
        mean = nn.functional.avg_pool2d(image.mean(1, keepdim=True), 5, 1, 2)
        return 1 + mean + torch.linspace(0, 1, image.shape[-1])


@pytest.fixture
def model():
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    card = ModelCard(name="blur", tag="exact", family="cnn", output="metric_depth", mean=zero, std=one)
    return DepthModel(Blur(), card).eval()


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(0)
    image, depth = torch.rand(2, 3, 17, 25, generator=g), torch.rand(2, 1, 17, 25, generator=g) * 5 + 0.5
    camera = torch.tensor([[10.0, 0.0, 12.0], [0.0, 11.0, 8.0], [0.0, 0.0, 1.0]]).expand(2, 3, 3)
    plane = (depth * 3).int()
    valid = torch.rand(2, 1, 17, 25, generator=g) < 0.9
    return Batch(image=image, depth=depth, valid=valid, sample=("a", "b"), group=("a", "b"), intrinsics=camera,
                 maps={"plane": plane})  # fmt: skip


def test_a_cut_batch_shows_the_same_points_in_a_moved_camera(batch):
    cut = batch.cut((5, 17, 2, 22))
    assert torch.equal(cut.image, batch.image[..., 5:17, 2:22])
    assert torch.equal(cut.depth, batch.depth[..., 5:17, 2:22])
    assert torch.equal(cut.valid, batch.valid[..., 5:17, 2:22])
    assert torch.equal(cut.maps["plane"], batch.maps["plane"][..., 5:17, 2:22])
    pixel, moved = torch.tensor([9.0, 7.0, 1.0]), torch.tensor([7.0, 2.0, 1.0])
    rays = [torch.linalg.inv(b.intrinsics) @ p for b, p in ((batch, pixel), (cut, moved))]
    torch.testing.assert_close(*rays)
    assert (cut.sample, cut.group) == (batch.sample, batch.group)
    assert batch.replace(intrinsics=None).cut((0, 4, 0, 4)).intrinsics is None


def test_without_a_window_nothing_is_cut(batch):
    protocol = get_protocol("scenes")
    assert as_read(batch, protocol) == (batch, protocol)


@pytest.mark.parametrize("protocol", [WINDOW, WHOLE])
def test_the_network_reads_the_window_alone_and_is_judged_in_the_whole_frame(model, batch, protocol):
    with torch.no_grad():
        raw = torch.full((2, 1, 17, 25), torch.nan)
        raw[..., 5:17, 2:22] = model(batch.image[..., 5:17, 2:22])
    want = evaluate(raw, batch.depth, batch.valid, kind="metric_depth", protocol=protocol)
    found = error(model, batch, protocol)
    for name, value in want.items():
        got = torch.tensor(found.loc[found["metric"] == name, "value"].to_numpy())
        torch.testing.assert_close(got, value.double(), rtol=1e-6, atol=0)
    whole = evaluate(predict(model, batch.image), batch.depth, batch.valid, kind="metric_depth", protocol=protocol)
    assert not torch.allclose(whole["abs_rel"], want["abs_rel"], rtol=1e-4), "reading all of the image is another thing"
    assert found.loc[found["metric"] == "failed", "value"].max() == 0


def test_the_mirror_image_is_that_of_the_window(model, batch):
    flipped = dataclasses.replace(WINDOW, flip=True)
    with torch.no_grad():
        part = batch.image[..., 5:17, 2:22]
        raw = torch.full((2, 1, 17, 25), torch.nan)
        raw[..., 5:17, 2:22] = (model(part) + model(part.flip(-1)).flip(-1)) / 2
    want = evaluate(raw, batch.depth, batch.valid, kind="metric_depth", protocol=flipped)["abs_rel"]
    found = error(model, batch, flipped)
    got = torch.tensor(found.loc[found["metric"] == "abs_rel", "value"].to_numpy())
    torch.testing.assert_close(got, want.double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("protocol", [WINDOW, WHOLE])
def test_the_sparse_probe_agrees_with_the_error_probe_on_the_whole_image(model, batch, protocol):
    plan = SparsePlan(protocol=protocol, selectors=("random",), reverse=(), budgets=(0.5, 1.0))
    rows = sparse(model, batch, plan)
    whole = rows[(rows["level"] == 1) & (rows["metric"] == "abs_rel")]["value"].tolist()
    found = error(model, batch, protocol)
    assert whole == pytest.approx(found.loc[found["metric"] == "abs_rel", "value"].tolist(), rel=1e-6)


def test_maps_show_what_was_read(model, batch):
    entry = error_maps(model, batch, WINDOW)[0]
    assert entry["image"].shape == (12, 20, 3)
    top, bottom, left, right = WINDOW.inside((17, 25)).judges((12, 20))
    assert (bottom - top, right - left) == (7, 14)
    seen = torch.from_numpy(entry["depth"]).isfinite().nonzero()
    assert seen.amin(0).tolist() >= [top, left]
    assert seen.amax(0).tolist() <= [bottom - 1, right - 1]
    assert len(seen) > 0.8 * 7 * 14


def test_what_a_batch_knows_of_its_truth(batch):
    assert set(known_facts(batch)) == {"planes", "intrinsics"}
    assert known_facts(batch.replace(intrinsics=None, maps={})) == {}
    edges = batch.replace(maps={"edges": batch.valid})
    assert known_facts(edges)["edges"] is edges.maps["edges"]


def test_annotated_edges_reach_the_metrics_that_match_boundaries(model, batch):
    protocol = Protocol(name="mine", metrics=("dbe_com", "syns_edge_com"))
    none = batch.replace(maps={"edges": torch.zeros_like(batch.valid)})
    found = error(model, none, protocol).query("metric not in ('failed', 'nonpositive')")
    assert found["value"].isna().all(), "no edges, nothing to match"
    some = batch.replace(maps={"edges": batch.depth > 3, "plane": batch.maps["plane"]})
    assert error(model, some, protocol)["value"].notna().all()
