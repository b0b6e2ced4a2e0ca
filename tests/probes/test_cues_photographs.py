"""The cues probe on photographs: copies pasted on the ground, against closed forms of a room of plain rays."""

import math

import numpy as np
import pandas as pd
import photographs as room
import pytest
import torch

from depthprobe.data.batch import stack
from depthprobe.data.images import one_sample
from depthprobe.data.photographs import PhotographEditor
from depthprobe.functional.pasting import PASTES
from depthprobe.functional.perturb import PERTURBATIONS
from depthprobe.functional.perturb_core import EditError
from depthprobe.models import DepthModel, ModelCard, load_model
from depthprobe.probes.cues import CUES, CuesPlan, cues
from depthprobe.schema import MEASURED

H, W = room.H, room.W
LEVELS = (1.0, 0.8, 0.9, 1.1, 1.25)
ARMS = ("paste_position", "paste_size", "paste_both")
BOXES = (room.BOX, (0.5, 0.6, 3.4, 0.4, 0.7), None, (-0.2, 0.4, 2.9, 0.3, 0.6))
WITH = [i for i, box in enumerate(BOXES) if box]
PLAN = CuesPlan(cues=tuple((name, CUES.facts(name)["levels"]) for name in sorted(PASTES)))


@pytest.fixture(scope="module")
def batch():
    return stack([room.photograph(i, box) for i, box in enumerate(BOXES)])


@pytest.fixture(scope="module")
def of_rows(batch):
    return cues(load_model("oracle:row"), batch, PLAN)


def value(table, metric, cue, level=None):
    table = table[(table["metric"] == metric) & (table["factor"] == cue)]
    table = table[table["level"].isna() if level is None else table["level"] == level]
    assert len(table) == len(BOXES)
    return table["value"].to_numpy()


def ramp(rows):
    return np.log(np.linspace(10, 1, H)[rows])


@pytest.mark.parametrize("cue", ARMS)
def test_a_model_of_rows_follows_where_a_copy_stands_and_not_how_large_it_is(batch, of_rows, cue):
    """What is read are set rows above the foot, and the foot is where the ground has the implied depth."""
    for i in WITH:
        one = batch.take([i])
        first = batch.editor(one, cue, 1.0)
        rows = np.flatnonzero(first.maps["body"][0, 0].any(1).numpy())
        foot = np.flatnonzero(first.maps["edited"][0, 0].any(1).numpy())[-1]
        depth = room.ground_depth(
            0, np.flatnonzero(batch.editor(one, "paste_aside", 0).maps["edited"][0, 0].any(1))[-1]
        )
        dose, answer = [], []
        for level in LEVELS:
            moves = level if "size" not in cue else 1.0
            read = rows - foot + round(room.ground_row(moves * float(depth)))
            if not math.isnan(value(of_rows, "log_depth", cue, level)[i]):
                dose.append(math.log(level))
                answer.append(ramp(read).mean())
                got = value(of_rows, "log_depth", cue, level)[i]
                assert got == pytest.approx(answer[-1], abs=6e-3), "rows count equally: the box is nearly upright"
        assert len(dose) >= 3
        slope = value(of_rows, "log_depth_slope", cue)[i]
        assert slope == pytest.approx(np.polyfit(dose, answer, 1)[0], abs=0.02)
        assert abs(slope) < 0.02 if "size" in cue else slope > 0.2


@pytest.mark.parametrize("cue", ARMS)
def test_the_truth_follows_every_cue_and_a_constant_none(batch, of_rows, cue):
    """Of another size, the set rows show other heights of the box, whose depth they tell: 5 % at this tilt."""
    atol = 1e-4 if cue == "paste_position" else 0.05
    np.testing.assert_allclose(value(of_rows, "log_depth_slope@truth", cue)[WITH], 1.0, atol=atol)
    constant = cues(load_model("oracle:constant"), batch, PLAN)
    assert (value(constant, "log_depth_slope", cue)[WITH] == 0).all()


def test_the_control_has_no_slope_where_there_is_no_artefact(of_rows, batch):
    assert np.abs(value(of_rows, "log_depth_slope", "paste_aside")[WITH]).max() < 0.01
    np.testing.assert_allclose(value(of_rows, "log_depth_slope@truth", "paste_aside")[WITH], 0.0, atol=1e-6)
    bright = cues(load_model("oracle:brightness"), batch, PLAN)
    assert np.abs(value(bright, "log_depth_slope", "paste_aside")[WITH]).max() < 1e-6, "the same pixels"


def test_a_photograph_without_an_object_is_counted(of_rows):
    for cue, levels in PLAN.cues:
        assert all(math.isnan(value(of_rows, "log_depth", cue, level)[2]) for level in levels)
        assert math.isnan(value(of_rows, "log_depth_slope", cue)[2])


@pytest.mark.parametrize("name", ["oracle:row", "oracle:brightness"])
def test_batching_does_not_matter_and_the_batch_stays(batch, name):
    before = {key: getattr(batch, key).clone() for key in ("image", "depth", "valid", "intrinsics")}
    whole = cues(load_model(name), batch, PLAN)
    singles = pd.concat([cues(load_model(name), batch.take([i]), PLAN) for i in (2, 0, 3, 1)])
    order = MEASURED[:-1]
    both = [x.sort_values(order, na_position="first", ignore_index=True) for x in (whole, singles)]
    pd.testing.assert_frame_equal(*both, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(getattr(batch, key), value) for key, value in before.items())
    assert batch.maps == {}


class Doubles(torch.nn.Module):
    """A ramp of rows, twice as far wherever an image is none of those that it knows."""

    def __init__(self, known):
        super().__init__()
        self.known = known

    def forward(self, image):
        new = torch.stack([torch.tensor(not any(torch.equal(one, k) for k in self.known)) for one in image])
        return torch.linspace(5, 0.5, H).view(1, 1, H, 1).expand(len(image), 1, H, W) * (1 + new.view(-1, 1, 1, 1))


def test_alignment_does_not_absorb_what_is_read(batch):
    """The whole answer doubles under any copy: a fit to that answer itself would take the doubling away."""
    card = ModelCard(name="test:doubles", tag="x", family="cnn", output="scale_depth", mean=(0.0,) * 3, std=(1.0,) * 3)
    table = cues(DepthModel(Doubles(list(batch.image)), card), batch, PLAN)
    np.testing.assert_allclose(value(table, "log_depth_slope", "paste_aside")[WITH], math.log(2), atol=0.01)
    level = {at: value(table, "log_depth", "paste_aside", at)[WITH] for at in (0, 1)}
    np.testing.assert_allclose(level[1] - level[0], math.log(2), atol=0.01)


def test_who_offers_pastes():
    picture, depth = np.zeros((H, W, 3), np.uint8), np.ones((H, W), np.float32)
    facts = {"sample": "a", "group": "a", "source": "a.png"}
    known = one_sample(picture, depth, depth > 0, intrinsics=room.CAMERA.ravel().tolist(), **facts)
    assert set(known.edits()) == {*PASTES, *PERTURBATIONS}
    unknown = one_sample(picture, depth, depth > 0, **facts)
    assert set(unknown.edits()) == set(PERTURBATIONS)
    with pytest.raises(ValueError, match="photographs with depth and intrinsics"):
        cues(load_model("oracle:row"), unknown, PLAN)


def test_edits_of_a_batch_name_what_is_refused(batch):
    editor = PhotographEditor()
    assert editor.supported(batch, "paste_both", 1.0) == WITH
    assert "no object" in editor.why_not(batch.take([2]), "paste_both")
    with pytest.raises(
        EditError, match=r"1 of 4 do not \(e\.g\. room-2: no object.*supported\(batch, 'paste_both', 1\)"
    ):
        batch.edited("paste_both", 1.0)
    some = batch.take(WITH).edited("paste_both", 1.1)
    assert some.sample == tuple(batch.sample[i] for i in WITH) and some.editor == editor
    copy = some.maps["edited"]
    before = batch.take(WITH)
    assert torch.equal(some.depth[~copy], before.depth[~copy]) and torch.equal(some.valid, before.valid)
    assert torch.equal(batch.edited("grayscale", 1.0).image, PERTURBATIONS["grayscale"](batch.image, 1.0))
    assert "camera" in editor.why_not(batch.take([0]).replace(intrinsics=None), "paste_both")
