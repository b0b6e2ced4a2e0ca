"""Learning rates against closed forms and against torch's own schedulers."""

import itertools
import math

import pytest
import torch

from depthprobe.train.schedule import SCHEDULES, share_of_peak

STEPS = 40


def rates(schedule, **options):
    return [share_of_peak(schedule, step, STEPS, **options) for step in range(STEPS)]


def torch_rates(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, found = make(optimizer), []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine():
    expected = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * k / STEPS)) for k in range(STEPS)]
    assert rates("cosine", end=0.1) == pytest.approx(expected)
    oracle = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.1))
    assert rates("cosine", end=0.1) == pytest.approx(oracle)


def test_polynomial():
    assert rates("polynomial", power=0.9) == pytest.approx([(1 - k / STEPS) ** 0.9 for k in range(STEPS)])
    oracle = torch_rates(lambda o: torch.optim.lr_scheduler.PolynomialLR(o, STEPS, power=0.9))
    assert rates("polynomial", power=0.9) == pytest.approx(oracle)
    assert rates("polynomial", end=0.1, power=2)[20] == pytest.approx(0.1 + 0.9 * 0.25)


def test_one_cycle_is_torchs():
    def make(optimizer):
        options = {"div_factor": 25.0, "final_div_factor": 0.4, "cycle_momentum": False}  # ends at 1 / 25 / 0.4 = 0.1
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=STEPS + 1, **options)

    found = [share_of_peak("one_cycle", step, STEPS + 1, end=0.1) for step in range(STEPS)]
    assert found == pytest.approx(torch_rates(make))


def test_constant():
    assert rates("constant") == [1.0] * STEPS


@pytest.mark.parametrize("schedule", ["constant", "cosine", "polynomial"])
def test_the_warm_up_is_linear_and_reaches_the_peak(schedule):
    found = rates(schedule, warmup=0.25)
    assert found[:10] == pytest.approx([(k + 1) / 11 for k in range(10)])
    assert found[10] == pytest.approx(1.0)
    rest = [share_of_peak(schedule, k, 30) for k in range(30)]
    assert found[10:] == pytest.approx(rest)


@pytest.mark.parametrize("schedule", SCHEDULES.names())
def test_every_schedule_stays_between_its_end_and_its_peak(schedule):
    for steps, warmup, end in itertools.product((1, 2, 3, 7, 100), (0.0, 0.05, 0.9), (0.0, 0.3)):
        found = [share_of_peak(schedule, k, steps, warmup=warmup, end=end) for k in range(steps)]
        assert all(0 <= rate <= 1 + 1e-12 for rate in found)
        assert found[0] > 0
