"""What lies beside the parts: `table.json`, `study.toml`, `maps/*.npz`; written once per run, by its first process."""

import dataclasses
import io
import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch

from depthprobe.checks import first_line
from depthprobe.data import Batch
from depthprobe.functional.protocol import Protocol
from depthprobe.functional.selection import SELECTORS
from depthprobe.gallery import RULE, choose_samples, indices_of, pack_map
from depthprobe.models import DepthModel
from depthprobe.probes import PROBES
from depthprobe.probes.cost import outside_torch
from depthprobe.provenance import circumstances, digest, plain
from depthprobe.schema import plan_id, read_note, read_table, write_atomic
from depthprobe.study import describe, judged_by, to_toml
from depthprobe.work import Unit, Work


def start_run(work: Work, *, resume: bool, maps: int) -> None:
    """Clear what a killed run left half-written (everything, without `resume`) and write the description."""
    removable = ["parts/*.partial", "maps/*.partial", "*.partial"]
    removable += [] if resume else ["parts/*.parquet", "maps/*.npz", "table.json"]
    for pattern in removable:
        for file in work.out.glob(pattern):
            file.unlink()
    study = describe(work.names, work.plans, work.dataset, out=str(work.out), maps=maps, limits=work.limits)
    head = f"# Repeat this run: depthprobe run {work.out / 'study.toml'}\n"
    if work.objects:
        head += f"# Passed as objects, so that their names alone may not open them again: {', '.join(work.objects)}\n"
    write_atomic(work.out / "study.toml", (head + to_toml(study)).encode())
    _write_sidecar(work, {"status": "running", "device": []})


def finish_run(work: Work, device: torch.device, *, maps: int, noting: bool = False) -> None:
    """Check that every part is there, keep the maps of chosen samples, and write the final `table.json`.

    With `noting`, maps that a network cannot give are warned of and left out.

    Raises:
        FileNotFoundError: if a part is missing, as when machines do not share the folder.
    """
    notes = {unit: read_note(work.path(unit)) for unit in work.units}
    if missing := [unit.part for unit, note in notes.items() if note is None]:
        raise FileNotFoundError(
            f"Expected all {len(notes)} parts in {work.out / 'parts'}, but {len(missing)} are missing; "
            f"give all machines a folder that they share and run again."
        )
    skipped: dict[str, str] = {}
    seconds: dict[tuple[str, str], float] = {}
    for unit, note in notes.items():
        skipped.update((note or {}).get("skipped", {}))
        who = (work.names[unit.model], unit.probe)
        seconds[who] = seconds.get(who, 0.0) + (note or {}).get("seconds", 0.0)
    table, refused = read_table(work.out), _refused(work, notes)
    code = [str((note or {}).get("code", "")) for note in notes.values()]
    undefined = table[table["value"].isna()].groupby(["probe", "model", "metric"]).size()
    found = {
        "status": "complete",
        "device": sorted({str((note or {}).get("device", "")) for note in notes.values()}),
        "code": sorted(set(code) - {""}),
        "code_not_recorded": code.count(""),
        "rows": len(table),
        "skipped": skipped,
        "refused": list(refused.values()),
        "undefined": [
            dict(zip(undefined.index.names, key, strict=True)) | {"n": int(n)} for key, n in undefined.items()
        ],
        "seconds": [{"model": m, "probe": p, "seconds": round(s, 2)} for (m, p), s in seconds.items()],
        "maps_rule": RULE,
        "maps": _write_maps(work, table, device, maps, leaving_out=set(refused), noting=noting),
    }
    _write_sidecar(work, found)


def _refused(work: Work, notes: dict[Unit, dict[str, Any] | None]) -> dict[tuple[int, str], dict[str, Any]]:
    """By (model, probe) what could not be measured: the first reason, and on how many samples of how many."""
    chunks = work.dataset.chunks()
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for unit, note in notes.items():
        if reason := (note or {}).get("refused"):
            card = work.models[unit.model].card
            one = {"model": card.name, "tag": card.tag, "probe": unit.probe, "reason": reason, "samples": 0}
            found.setdefault((unit.model, unit.probe), one)["samples"] += len(chunks[unit.chunk])
    for (model, probe), one in found.items():
        one["of"] = sum(len(chunks[u.chunk]) for u in notes if (u.model, u.probe) == (model, probe))
        if one["samples"] < one["of"]:
            one["reason"] = f"{one['reason'].rstrip('.')} (on {one['samples']} of {one['of']} samples)."
    return found


def _write_sidecar(work: Work, found: dict[str, Any]) -> None:
    parts = sorted({unit.part for unit in work.units})
    stale = {file.stem for file in (work.out / "parts").glob("*.parquet")} - set(parts)
    protocols = _protocols(work)
    record = {
        "status": found.pop("status"),
        "command": ["depthprobe", "run", str(work.out / "study.toml")],
        "dataset": _data_record(work),
        "models": [_model_record(work, number) for number in range(len(work.models))],
        "protocol": protocols[0] if len(protocols) == 1 else {"name": ", ".join(p["name"] for p in protocols)},
        "protocols": protocols,
        "plans": _plan_records(work),
        "axes": {probe: PROBES.facts(probe).get("axes", {}) for probe in work.plans},
        "selectors_given_truth": _given_truth(work),
        **circumstances(found.pop("device")),
        **found,
        "stale_parts": len(stale),
        "parts": parts,
    }
    write_atomic(work.out / "table.json", json.dumps(record, indent=1, default=plain).encode())


def _data_record(work: Work) -> dict[str, Any]:
    data = work.dataset
    counts = {"samples": len(data), "groups": len(set(data.groups)), "batch_size": data.batch_size}
    return {**work.identity["dataset"], "options": data.options, **counts, "protocol": data.protocol}


def _model_record(work: Work, number: int) -> dict[str, Any]:
    who, model = work.identity["models"][number], work.models[number]
    known = None if outside_torch(model) else sum(p.numel() for p in model.parameters())
    return {**who["card"], "weights": who["weights"], "parameters": known, "facts": model.card.facts}


def _plan_records(work: Work) -> dict[str, dict[str, Any]]:
    """Every plan by its hash, with all fields but the seed, and the seeds that were run."""
    found: dict[str, dict[str, Any]] = {}
    for probe, many in work.plans.items():
        for plan in many:
            fields = dataclasses.asdict(plan)
            seed = fields.pop("seed")
            record = found.setdefault(
                plan_id(plan), {"probe": probe, "type": type(plan).__name__, **fields, "seeds": []}
            )
            record["seeds"].append(seed)
    return found


def _given_truth(work: Work) -> list[str]:
    """The selectors of the plans that rank pixels by the ground truth: they need its depth or its objects."""
    used = {s for many in work.plans.values() for plan in many
            for field in ("selectors", "reverse") for s in getattr(plan, field, ())}  # fmt: skip
    return sorted(s for s in used if {"depth", "object"} & set(SELECTORS.facts(s).get("needs", ())))


def _protocols(work: Work) -> list[dict[str, Any]]:
    """The evaluation protocols that the plans are, or name, each once with its hash."""
    found: dict[str, Protocol] = {}
    for plan in (plan for many in work.plans.values() for plan in many):
        if protocol := judged_by(plan):
            found.setdefault(plan_id(protocol), protocol)
    return [{"name": p.name, "hash": key, **dataclasses.asdict(p)} for key, p in found.items()]


def _write_maps(
    work: Work, table: pd.DataFrame, device: torch.device, count: int, *, leaving_out: set[tuple[int, str]],
    noting: bool,
) -> list[str]:  # fmt: skip
    """Maps of the chosen samples, one `.npz` each; those of an earlier description or choice are removed.

    Convention: samples are chosen among those that every probe with maps measured; `leaving_out`: (model, probe).
    """
    probes = [probe for probe in work.plans if "maps" in PROBES.facts(probe)]
    judged = table[table["probe"].isin(probes)]
    by_sample = judged.groupby("sample")["probe"].nunique()
    chosen = choose_samples(judged[judged["sample"].isin(by_sample[by_sample == by_sample.max()].index)], count)
    folder, names = work.out / "maps", []
    for index in indices_of(work.dataset.samples, chosen):
        for batch in work.dataset.load([index]):
            for number, model in enumerate(work.models):
                for probe in (p for p in probes if (number, p) not in leaving_out):
                    try:
                        names += _maps_of(work, number, probe, batch.to(device), model)
                    except Exception as error:  # after hours of measuring
                        if not noting:
                            raise
                        message = f"No maps of {model.card.name} · {probe} for {batch.sample[0]}: {first_line(error)}"
                        warnings.warn(message, RuntimeWarning, stacklevel=2)
    for file in folder.glob("*.npz"):
        if file.stem not in set(names):
            file.unlink()
    return sorted(names)


def _maps_of(work: Work, number: int, probe: str, batch: Batch, model: DepthModel) -> list[str]:
    names, card = [], model.card
    for key, plan in {plan_id(p): p for p in reversed(work.plans[probe])}.items():
        stamp = {"sample": batch.sample[0], "group": batch.group[0], "model": card.name, "tag": card.tag,
                 "probe": probe, "plan": key, "seed": plan.seed}  # fmt: skip
        for place, entry in enumerate(PROBES.facts(probe)["maps"](model, batch, plan)):
            names.append(digest([work.identity["models"][number], stamp, place]))
            stream = io.BytesIO()
            arrays: dict[str, Any] = dict(pack_map(entry, stamp))
            np.savez_compressed(stream, **arrays)
            write_atomic(work.out / "maps" / f"{names[-1]}.npz", stream.getvalue())
    return names
