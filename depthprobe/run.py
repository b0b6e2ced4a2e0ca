"""The only loop over models x probes x batches, the only writer of tables, and the circumstances of each row.

A unit of work is one (model, probe, plan, seed, chunk of samples). Its rows are one Parquet part, whose name is a hash
of everything that decides them; a part that is there is not measured again. That one rule gives resuming after a kill,
adding a model or samples to a finished run, and sharing the work among processes. `table.json` lists the parts of the
present description: parts of an earlier one stay in the folder as a cache, and are never read.
"""

import contextlib
import itertools
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from depthprobe.checks import check_one_of, first_line
from depthprobe.data import Batch, Dataset, load_dataset
from depthprobe.functional.metrics import METRICS
from depthprobe.models import DepthModel
from depthprobe.models.hooks import evaluating
from depthprobe.probes import PROBES
from depthprobe.probes.sparse_jobs import out_of_memory
from depthprobe.provenance import package_code
from depthprobe.ranks import Ranks, open_ranks
from depthprobe.schema import COLUMNS, plan_id, read_table, validate, write_part
from depthprobe.sidecar import finish_run, start_run
from depthprobe.work import AGAIN, Unit, Work, plan_work

Progress = Callable[[int, int, str], None]


def run(
    models: Sequence[str | DepthModel] | Mapping[str, DepthModel],
    plans: Mapping[str, Any] | Sequence[str],
    dataset: str | Dataset,
    *,
    out: str | Path,
    resume: bool = True,
    device: str = "auto",
    progress: Progress | None = None,
    maps: int = 3,
    limits: Mapping[str, int] | None = None,
    refusals: str = "raise",
    cache: str | Path | None = None,
) -> pd.DataFrame:
    """Measure every model with every probe and plan on every sample; the table, also written to the folder `out`.

    Started by `torchrun`, the processes share the chunks and each returns the whole table.

    Args:
        models: names for `load_model`, or models; or by name the models that these names open.
        plans: by probe a plan or several; or only names of probes, for their default plans.
        dataset: a data set, or the name of one with its defaults.
        out: folder for `parts/*.parquet`, `table.json`, `study.toml` and `maps/*.npz`.
        resume: use the parts that are there; otherwise remove all parts in `out` and measure anew.
        device: auto, cpu, cuda, cuda:1, mps.
        progress: called with (images measured, images in all, what is measured) on the first process.
        maps: samples per model and plan whose dense maps are kept for galleries.
        limits: by probe on how many samples it is measured, evenly spread and rounded up to whole units of work; probes
            that are not named, on all.
        refusals: "raise", or "note": where a network cannot be measured in some way, or memory runs out, leave that
            out and write the reason into `table.json`. What failed for lack of memory the same run tries again.
        cache: folder where parts of the package's own networks are kept for other runs, and looked for.

    Raises:
        ValueError: if a name is unknown, a protocol does not fit a model, or a row breaks the schema.
        OSError: if `out` cannot be written. Finished parts are kept.
        MemoryError: if the device's memory does not suffice, with what to change.
    """
    data = load_dataset(dataset) if isinstance(dataset, str) else dataset
    check_one_of("refusals", refusals, ("raise", "note"))
    kept = None if cache is None else Path(cache)
    with open_ranks(device) as ranks, contextlib.ExitStack() as stack:
        work = plan_work(models, plans, data, Path(out), limits=limits, cache=kept)
        for model in work.models:
            stack.enter_context(_placed(model, ranks.device))
        if ranks.first:
            start_run(work, resume=resume, maps=maps)
        ranks.barrier()
        _measure(work, ranks, progress or (lambda done, total, what: None), noting=refusals == "note")
        ranks.barrier()
        if ranks.first:
            finish_run(work, ranks.device, maps=maps, noting=refusals == "note")
        ranks.barrier()
    return read_table(out)


@contextlib.contextmanager
def _placed(model: DepthModel, device: torch.device) -> Iterator[None]:
    """The model on a device and in eval mode; afterwards it is where and as it was."""
    home = next(iter(model.buffers())).device
    with evaluating(model):
        try:
            model.to(device)
            yield
        finally:
            model.to(home)


def _measure(work: Work, ranks: Ranks, progress: Progress, *, noting: bool) -> None:
    """This process's share: every `world`-th chunk, read once for all models and plans, or not at all if done."""
    chunks = work.dataset.chunks()
    mine = [u for u in work.units if u.chunk % ranks.world == ranks.rank]
    open_units = [u for u in mine if not work.recall(u)]
    total = sum(len(chunks[u.chunk]) for u in mine)
    done = total - sum(len(chunks[u.chunk]) for u in open_units)
    report = progress if ranks.first else (lambda done, total, what: None)
    report(done, total, "")
    for chunk, units in itertools.groupby(open_units, key=lambda u: u.chunk):
        batches = [batch.to(ranks.device) for batch in work.dataset.load(chunks[chunk])]
        skipped = work.dataset.skipped
        left_out = {s: skipped[s] for s in (work.dataset.samples[i] for i in chunks[chunk]) if s in skipped}
        for unit in units:
            report(done, total, f"{work.models[unit.model].card.name} · {unit.probe}")
            started = time.perf_counter()
            table, reason = _rows_or_reason(work, unit, batches, ranks.device, noting=noting)
            seconds = round(time.perf_counter() - started, 4)
            note = {"skipped": left_out, "device": str(ranks.device), "rank": ranks.rank, "seconds": seconds,
                    "code": package_code()}  # fmt: skip
            write_part(table, work.path(unit), note | reason)
            if not reason:
                work.keep(unit)
            done += len(chunks[chunk])
            report(done, total, f"{work.models[unit.model].card.name} · {unit.probe}")


def _rows_or_reason(
    work: Work, unit: Unit, batches: Sequence[Batch], device: torch.device, *, noting: bool
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The unit's measurements; or, if refusals are noted, none and why a network cannot be measured so.

    Convention: whatever a foreign network, or a probe that reads one, raises ends this unit and no other. `again`: the
    reason may be gone next time, so that the same run tries once more.
    """
    try:
        return _rows(work, unit, batches, device), {}
    except Exception as error:
        if not noting:
            raise
        said, kind = first_line(error), type(error).__name__
        usual = isinstance(error, ValueError | RuntimeError | TypeError | MemoryError) or said == kind
        note: dict[str, Any] = {"refused": said if usual else f"{kind}: {said}"}
        return pd.DataFrame(columns=COLUMNS), note | ({AGAIN: True} if isinstance(error, MemoryError) else {})


def _rows(work: Work, unit: Unit, batches: Sequence[Batch], device: torch.device) -> pd.DataFrame:
    """The unit's measurements, stamped."""
    model = work.models[unit.model]
    try:
        measured = [_stamped(PROBES[unit.probe](model, batch, unit.plan), batch) for batch in batches]
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        if device.type == "cuda":
            torch.cuda.empty_cache()
        raise MemoryError(
            f"Expected {model.card.name} · {unit.probe} to fit on {device} with batches of {work.dataset.batch_size}, "
            f"but its memory ran out; use a smaller --batch-size or --device cpu. Finished parts are kept."
        ) from error
    if not measured:
        return pd.DataFrame(columns=COLUMNS)
    card = model.card
    table = pd.concat(measured, ignore_index=True).assign(
        dataset=work.dataset.name, model=card.name, tag=card.tag, family=card.family,
        probe=unit.probe, plan=plan_id(unit.plan), seed=unit.plan.seed,
    )  # fmt: skip
    return validate(table[COLUMNS])


def _stamped(frame: pd.DataFrame, batch: Batch) -> pd.DataFrame:
    """The rows with their group, and with the unit and direction of their metric (its name before `@`)."""
    facts = {name: METRICS.facts(name.partition("@")[0]) for name in frame["metric"].unique()}
    return frame.assign(
        group=frame["sample"].map(dict(zip(batch.sample, batch.group, strict=True))),
        unit=frame["metric"].map({name: fact["unit"] for name, fact in facts.items()}),
        better=frame["metric"].map({name: fact["better"] for name, fact in facts.items()}),
    )


class _Callable(types.ModuleType):
    """`depthprobe.run` names this module and the function in it: calling the module calls the function."""

    __call__ = staticmethod(run)


sys.modules[__name__].__class__ = _Callable
