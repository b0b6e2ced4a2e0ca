"""The learning rate of a step as a share of its peak: closed forms of the step, so that any step can be replayed."""

import math

from depthprobe.registry import Registry

SCHEDULES = Registry("schedule")  # (t in [0, 1], end, power) -> share of the peak; `rise`: share of the steps it climbs


@SCHEDULES.register("constant")
def constant(t: float, end: float, power: float) -> float:
    """Always the peak."""
    return 1.0


@SCHEDULES.register("cosine", source="Loshchilov & Hutter 2017, arXiv:1608.03983")
def cosine(t: float, end: float, power: float) -> float:
    """Half a cosine from the peak down to `end`."""
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * t))


@SCHEDULES.register("polynomial", source="BTS, bts_main.py; PixelFormer (power 0.9)")
def polynomial(t: float, end: float, power: float) -> float:
    """(1 - t)^power from the peak down to `end`."""
    return end + (1 - end) * (1 - t) ** power


RISE, START = 0.3, 1 / 25


@SCHEDULES.register("one_cycle", rise=RISE, source="Smith & Topin 2018, arXiv:1708.07120; torch's defaults")
def one_cycle(t: float, end: float, power: float) -> float:
    """Half a cosine from 1/25 up to the peak in the first 30 % of the steps, and another down to `end`; no warm-up."""
    if t < 0:
        return START + (1 - START) * 0.5 * (1 - math.cos(math.pi * (1 + t)))
    return cosine(t, end, power)


def share_of_peak(
    schedule: str, step: int, steps: int, *, warmup: float = 0.0, end: float = 0.0, power: float = 0.9
) -> float:
    """The learning rate at `step` (from 0) of `steps`, as a share of its peak.

    Convention: a linear warm-up over the first `warmup` (a share of the steps), then the schedule runs with t from 0
    towards 1, which the step after the last would have. A schedule with its own `rise` takes no warm-up; its t runs
    from -1 to 0 while it rises and is 1 at the last step (as torch's OneCycleLR).
    """
    if (rise := SCHEDULES.facts(schedule).get("rise")) is not None:
        top = max(1e-9, rise * steps - 1)
        t = step / top - 1 if step < top else (step - top) / max(1e-9, steps - 1 - top)
    elif step < (warm := warmup * steps):
        return (step + 1) / (warm + 1)
    else:
        t = (step - warm) / max(1, steps - warm)
    share: float = SCHEDULES[schedule](min(1.0, t), end, power)
    return share
