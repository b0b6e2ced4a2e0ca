"""The spectrum probe: planted grids come back at their period, artefact-free predictions do not have any."""

import dataclasses
import math

import numpy as np
import pytest
import tiny
import torch

from depthprobe.data import load_dataset
from depthprobe.functional.filters import gaussian_blur
from depthprobe.models import load_model
from depthprobe.probes.spectrum import SpectrumPlan, spectrum

PERIODS = (4.0, 8.0, 16.0)
PLAN = SpectrumPlan(periods=PERIODS)


@pytest.fixture(scope="module")
def rooms():
    return load_dataset("scenes", n=24, size=(96, 128), batch_size=24).load(range(24))[0]


def value(table, metric, **where):
    for column, wanted in {"metric": metric, "factor": "", **where}.items():
        table = table[table[column] == wanted]
    return table["value"].to_numpy()


def grid(batch, period, amplitude, base=None):
    model = load_model(f"oracle:grid?period={period}&amplitude={amplitude}")
    if base is not None:
        model.net.given(base)
    return spectrum(model, batch, PLAN)


@pytest.mark.parametrize("period", [4, 8, 16])
@pytest.mark.parametrize("amplitude", [0.005, 0.02])
@pytest.mark.parametrize("base", ["truth", "blurred", "wrong by 10 %"])
def test_the_planted_grid_is_found_at_its_period(rooms, period, amplitude, base):
    depth = rooms.depth
    if base == "blurred":
        depth = gaussian_blur(depth.log(), 2.0).exp()
    elif base == "wrong by 10 %":
        depth = depth * torch.exp(0.1 * torch.sin(torch.linspace(0, 7, 128) + torch.linspace(0, 5, 96)[:, None]))
    table = grid(rooms, period, amplitude, depth)
    assert value(table, "grid_period").tolist() == [period] * 24
    assert value(table, "grid_found").tolist() == [1.0] * 24
    for axis in ("x", "y"):
        size = value(table, "grid_amplitude", factor=axis, level=period)
        assert np.median(size) == pytest.approx(amplitude / 2, rel=0.1)
        assert np.median(value(table, "grid_energy", factor=axis, level=period)) > 10


@pytest.mark.parametrize(("period", "least"), [(4, 1.0), (8, 0.95), (16, 0.75)])
def test_half_a_percent_is_found_on_a_prediction_that_knows_only_the_row(rooms, period, least):
    """Without a truth `oracle:grid` builds on a ramp that is wrong by a factor of two: the share that is found."""
    assert np.mean(value(grid(rooms, period, 0.005), "grid_period") == period) >= least


def artefact_free(batch):
    """Predictions without a grid, of many kinds of error."""
    generator = torch.Generator().manual_seed(0)
    log = batch.depth.log()
    made = {
        "blurred": gaussian_blur(log, 1.0).exp(),
        "very blurred": gaussian_blur(log, 4.0).exp(),
        "noisy": batch.depth * torch.exp(0.02 * torch.randn(log.shape, generator=generator)),
        "scaled": 1.3 * batch.depth,
        "power": batch.depth**0.8,
    }
    for name, depth in made.items():
        model = load_model("oracle:grid?period=8&amplitude=0")
        model.net.given(depth)
        yield name, model
    for name in ("oracle:row", "oracle:brightness", "oracle:constant", "oracle:window?r=5", "oracle:support"):
        yield name, load_model(name)


def test_artefact_free_predictions_are_flagged_in_at_most_five_percent(rooms):
    found = {name: value(spectrum(model, rooms, PLAN), "grid_found") for name, model in artefact_free(rooms)}
    flat = np.concatenate(list(found.values()))
    assert len(flat) == 240 and np.isfinite(flat).sum() >= 216
    assert np.nanmean(flat) <= 0.05, {name: float(np.nanmean(v)) for name, v in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rooms", "streets", "shapes"])
def test_artefact_free_predictions_of_many_scenes(kind):
    batch = load_dataset("scenes", kind=kind, n=100, size=(96, 128), batch_size=100).load(range(100))[0]
    found = [value(spectrum(model, batch, PLAN), "grid_found") for _, model in artefact_free(batch)]
    assert np.nanmean(np.concatenate(found)) <= 0.05


def test_periods_are_read_from_the_network(rooms):
    table = spectrum(load_model("zoo:convnext"), rooms.take([0, 1]), SpectrumPlan())
    assert sorted(table[table["factor"] == "both"]["level"].unique()) == [4, 8, 16, 32]
    whole = value(table, "grid_p", factor="both", level=32)
    assert np.isfinite(whole).all(), "along x there are four periods"
    assert np.isnan(value(table, "grid_p", factor="y", level=32)).all(), "along y there are only three"


def test_periods_are_pixels_of_the_canvas(rooms):
    """A network that reads 96x128 and is judged at 192x256: its period of 8 is one of 16 there."""

    class Half(tiny.nn.Module):
        def forward(self, x):
            wave = torch.cos(2 * math.pi * torch.arange(128) / 8).expand(96, 128)
            return (3 * torch.exp(0.01 * wave + 0 * x[:, :1])).float()

    card = tiny.ModelCard(name="half", tag="x", family="cnn", output="metric_depth", size=(96, 128))
    big = load_dataset("scenes", n=2, size=(192, 256)).load(range(2))[0]
    table = spectrum(tiny.DepthModel(Half(), card), big.replace(depth=torch.full_like(big.depth, 3.0)), PLAN)
    assert value(table, "grid_period").tolist() == [8.0, 8.0]


def test_radial_spectra(rooms):
    few = rooms.take([0, 1, 2])
    table = grid(few, 8, 0.0, gaussian_blur(few.depth.log(), 2.0).exp())
    pred, truth = (table[table["metric"] == f"log_power@{name}"] for name in ("pred", "truth"))
    assert set(table[table["factor"] == "radial"]["level"]) == {0.5 * (k + 0.5) / 16 for k in range(16)}
    lost = pred["value"].to_numpy().reshape(16, 3) - truth["value"].to_numpy().reshape(16, 3)
    assert (np.abs(lost[0]) < 1).all() and (lost[8:] < -10).all(), "blur takes the high frequencies alone"


def test_without_periods_there_are_no_grids(rooms):
    table = spectrum(tiny.model(), rooms.take([0]), SpectrumPlan())
    assert set(table["factor"]) == {"radial"}


def test_plan_is_checked():
    assert SpectrumPlan(periods=(16, 4, 4)).periods == (4.0, 16.0)
    assert SpectrumPlan(protocol="bts_nyu").protocol.name == "bts_nyu"
    with pytest.raises(ValueError, match="Expected `period` to be in"):
        SpectrumPlan(periods=(1,))
    with pytest.raises(ValueError, match="Expected `rings` to be in"):
        dataclasses.replace(PLAN, rings=0)
