"""The cues probe: planted answers, samples that refuse an edit, data sets that cannot vary a cue."""

import math

import numpy as np
import pytest
import tiny
import torch

from depthprobe.data import load_dataset
from depthprobe.models import DepthModel, load_model
from depthprobe.probes.cues import CUES, CuesPlan, cues

PLAN = CuesPlan()
PHOTOMETRIC = ("shading", "shadow", "fog", "occlusion", "occlusion_beside")


@pytest.fixture(scope="module")
def rooms():
    return load_dataset("scenes", n=4, size=(48, 64), batch_size=4).load(range(4))[0]


@pytest.fixture(scope="module")
def rows_table(rooms):
    return cues(load_model("oracle:row"), rooms, PLAN)


def value(table, metric, cue, level=None):
    table = table[(table["metric"] == metric) & (table["factor"] == cue)]
    table = table[table["level"].isna() if level is None else table["level"] == level]
    assert len(table)
    return table["value"].to_numpy()


def test_a_model_of_rows_follows_the_height_of_an_object_as_its_ramp_says(rooms, rows_table):
    """The ramp is known, so is the mean of its logarithm over the pixels of the object at every height."""
    levels = dict(PLAN.cues)["vertical_position"]
    ramp = np.linspace(10, 1, 48)
    seen = 0
    for i in range(len(rooms)):
        dose, answer = [], []
        for level in levels:
            if rooms.editor.why_not(rooms.sample[i], (48, 64), "object_lift", level) is not None:
                continue
            mask = rooms.take([i]).edited("object_lift", level).maps["edited"][0, 0].numpy()
            rows = np.nonzero(mask)[0]
            dose.append((47 - rows.mean()) / 48)
            answer.append(np.log(ramp[rows]).mean())
        got = value(rows_table, "log_depth_slope", "vertical_position")[i]
        if len(dose) < 2 or np.ptp(dose) == 0:
            assert math.isnan(got)
            continue
        assert got == pytest.approx(np.polyfit(dose, answer, 1)[0], rel=1e-4)
        assert got > 0, "higher in the image is farther"
        assert abs(value(rows_table, "log_depth_slope@truth", "vertical_position")[i]) < 0.3 * got
        seen += 1
    assert seen >= 1


@pytest.mark.parametrize("cue", PHOTOMETRIC)
def test_a_model_of_rows_does_not_follow_photometric_cues(rows_table, cue):
    slope = value(rows_table, "log_depth_slope", cue)
    assert (slope[~np.isnan(slope)] == 0).all() and (~np.isnan(slope)).any()
    change = value(rows_table, "log_mae@self", cue, dict(PLAN.cues)[cue][-1])
    assert np.nanmax(change) == 0


def test_a_model_of_brightness_follows_fog_and_shading(rooms):
    table = cues(load_model("oracle:brightness"), rooms, CuesPlan(cues=(("fog", (0, 1)), ("shading", (0, 1)))))
    for cue, edit in (("fog", "fog"), ("shading", "unlit")):
        depths = [1 + 9 * rooms.edited(edit, level).image.mean(1, keepdim=True) for level in (0.0, 1.0)]
        means = [[float(d[i][rooms.valid[i]].log().mean()) for i in range(4)] for d in depths]
        want = np.subtract(means[1], means[0])
        np.testing.assert_allclose(value(table, "log_depth_slope", cue), want, atol=1e-4)
        assert np.abs(want).max() > 0.01


class Knowing(torch.nn.Module):
    """Answers every image that it was told about with the depth it was told."""

    def __init__(self):
        super().__init__()
        self.known = []

    def forward(self, image):
        return torch.stack([next(d for i, d in self.known if torch.equal(i, one)) for one in image])


def test_a_perfect_model_has_the_slopes_of_the_truth(rooms):
    card, net = load_model("oracle:row").card, Knowing()
    plan = CuesPlan(cues=(("pitch", (0, -4, 4)), ("roll", (0, -8, 8)), ("distance", (1, 0.8)), ("perspective", (0, 1))))
    for name, levels in plan.cues:
        for level in levels:
            for i in range(len(rooms)):
                try:
                    varied = CUES[name](rooms.take([i]), level)
                except ValueError:
                    continue
                net.known.append((varied.image[0], varied.depth[0]))
    table = cues(DepthModel(net, card), rooms, plan)
    for name, _ in plan.cues:
        reading = CUES.facts(name)["reading"]
        mine, truth = (value(table, f"{reading}_slope{at}", name) for at in ("", "@truth"))
        np.testing.assert_allclose(mine, truth, atol=1e-4)
        right = {"pitch": 1.0, "roll": 1.0, "distance": 1.0, "perspective": 0.0}[name]
        assert np.isfinite(mine).any()
        np.testing.assert_allclose(mine[np.isfinite(mine)], right, atol=2e-3, err_msg=name)


def test_the_unedited_image_is_predicted_once(rooms):
    seen, model = [], load_model("oracle:row")
    model.register_forward_pre_hook(lambda _, given: seen.extend(given[0]))
    cues(model, rooms, CuesPlan(cues=(("pitch", (0, 3)), ("roll", (0, 5, 10)), ("fog", (0, 0.5)))))
    own = [sum(torch.equal(image, one) for one in seen) for image in rooms.image]
    assert own == [1] * len(rooms)
    assert len(seen) == 5 * len(rooms)


def test_samples_that_refuse_an_edit_are_counted(rooms):
    plan = CuesPlan(cues=(("vertical_position", (0, 0.2, 50.0)),))
    table = cues(load_model("oracle:row"), rooms, plan)
    assert np.isnan(value(table, "log_depth", "vertical_position", 50.0)).all()
    assert len(value(table, "log_depth_slope", "vertical_position")) == len(rooms)


def test_other_data_sets_say_what_they_offer():
    with pytest.raises(ValueError, match="edits that vary a cue"):
        cues(tiny.model(), tiny.sample(1), PLAN)


def test_plans_are_checked():
    with pytest.raises(ValueError, match="cue to be one of"):
        CuesPlan(cues=(("smell", (0, 1)),))
    with pytest.raises(ValueError, match="two levels"):
        CuesPlan(cues=(("fog", (0,)),))
    with pytest.raises(ValueError, match="at least one cue"):
        CuesPlan(cues=())
