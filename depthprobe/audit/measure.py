"""audit(): the run."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from depthprobe.audit import presets
from depthprobe.audit.references import cache_folder, references
from depthprobe.audit.training import Trained, is_bare, train_bare
from depthprobe.checks import first_line
from depthprobe.data import Dataset
from depthprobe.functional.protocol import Protocol
from depthprobe.models import DepthModel, load_model
from depthprobe.models.adapter import NetworkError
from depthprobe.probes import PROBES
from depthprobe.provenance import plain
from depthprobe.ranks import open_ranks
from depthprobe.run import Progress, run
from depthprobe.schema import write_atomic

FORMAT, VERSION = "depthprobe-audit", 1
AUDIT, TRAINING = "audit.json", "train"


def audit(
    model: str | DepthModel,
    dataset: str | Dataset = "scenes",
    *,
    out: str | Path,
    against: str | Sequence[str] = "zoo",
    quick: bool = False,
    resume: bool = True,
    device: str = "auto",
    progress: Progress | None = None,
    maps: int = 3,
    trained: Trained | None = None,
) -> pd.DataFrame:
    """Ask everything of one network, beside others and on the same samples; the table, also written to `out`.

    Writes what `depthprobe.run` does, and `audit.json`: whose audit it is. What a network cannot be asked (gradients of
    an ONNX file, attention that cannot be read) is left out, with the reason in `table.json`. Killed, the same call
    goes on. Rows of the package's networks are kept for the next audit on this machine. Under `torchrun` the processes
    share the work.

    Args:
        model: a name for `load_model`, or a model; a bare backbone (`timm:`) is trained first, into `out`/train.
        dataset: a data set, or the name of one with the preset's number of samples.
        out: folder of the audit.
        against: "zoo", those of the zoo's networks that fit the data; names of networks; or "none".
        quick: fewer samples and shorter plans.
        resume: use what is there; otherwise train and measure anew, the references too.
        device: auto, cpu, cuda, cuda:1, mps.
        progress: called with (images measured, images in all, what is measured).
        maps: samples whose dense maps are kept for galleries.
        trained: a training of this network that is already done (`train_bare`).

    Raises:
        ValueError: if the network gives no map, a name is unknown, or an option does not fit.
        OSError: if `out` cannot be written. Finished parts are kept.
        MemoryError: if the device's memory does not suffice, with what to change.
    """
    out = Path(out)
    data = presets.open_data(dataset, {}, quick=quick) if isinstance(dataset, str) else dataset
    with open_ranks(device) as ranks:  # once around the training and the run
        if trained is None and isinstance(model, str) and is_bare(model):
            trained = train_bare(model, data, out / TRAINING, quick=quick, resume=resume, device=device)
        name = trained.name if trained else model if isinstance(model, str) else model.card.name
        subject = load_model(name) if trained or isinstance(model, str) else model
        if trained and isinstance(model, str):  # known by what the user named; its tag says which weights
            subject.card = dataclasses.replace(subject.card, name=model)
        others = _beside(against, data, subject)
        kinds = [one.card.output for one in others.values()]
        protocol = presets.judging(data.protocol, subject.card.output, kinds)
        tried(subject, data, protocol)
        if ranks.first:
            _write_record(out, subject, list(others.values()), quick=quick, trained=trained)
        return run(
            {name: subject, **others} if isinstance(model, str) else [subject, *others.values()],
            presets.plans(protocol, quick=quick),
            data,
            out=out,
            resume=resume,
            device=device,
            progress=progress,
            maps=maps,
            limits=presets.limits(len(data), quick=quick),
            refusals="note",
            cache=cache_folder() if resume else None,
        )


def _beside(against: str | Sequence[str], data: Dataset, subject: DepthModel) -> dict[str, DepthModel]:
    """The references by the names that open them: the zoo's without the subject itself, and all that are named.

    Raises:
        ValueError: if the subject itself is named, or two networks could not be told apart.
    """
    given = {against} if isinstance(against, str) else set(against)
    found = {one: load_model(one) for one in references(against, data)}
    if itself := [one for one, model in found.items() if one in given and same(model, subject)]:
        raise ValueError(
            f"Expected `against` to name other networks than the audited one, but {itself[0]} is the same."
        )
    others = {one: model for one, model in found.items() if not same(model, subject)}
    cards = [(model.card.name, model.card.tag) for model in (subject, *others.values())]
    if twice := [f"{name}.{tag}" for name, tag in dict.fromkeys(cards) if cards.count((name, tag)) > 1]:
        raise ValueError(
            f"Expected every network to have its own name or tag, but got {twice} twice; give one another tag, in its "
            "ModelCard if it has one of its own, else by ?tag=NAME."
        )
    return others


def same(model: DepthModel, subject: DepthModel) -> bool:
    """Whether it is the subject itself, be it by another name (`zoo:pvt`, `zoo:pvt.mixed`).

    Convention: weights decide where both are known by them, since two files may have one name (`train/final`).
    """
    one, other = model.card, subject.card
    if one.digest and other.digest:
        return one.digest == other.digest
    return (one.name, one.tag, one.output) == (other.name, other.tag, other.output)


def tried(model: DepthModel, data: Dataset, protocol: Protocol) -> None:
    """Let the network answer to the first sample that can be read, so that one that cannot costs no run.

    Raises:
        ValueError: saying that this network does not work, and why.
    """
    for i in range(len(data)):
        if batches := data.load([i]):
            break
    else:
        return
    try:
        PROBES[presets.ALL](model, batches[0], protocol)
    except NetworkError:
        raise  # says whose it is
    except (ValueError, RuntimeError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise ValueError(
            f"Expected {model.card.name} to give depth for {batches[0].sample[0]}, but it says: {first_line(error)}"
        ) from error


def _write_record(
    out: Path, subject: DepthModel, others: list[DepthModel], *, quick: bool, trained: Trained | None
) -> None:
    """Write whose audit it is; a name that several networks have is followed by the tag, as the page does."""
    cards = [model.card for model in (subject, *others)]
    names = [card.name for card in cards]
    told = [card.name if names.count(card.name) == 1 else f"{card.name}.{card.tag}" for card in cards]
    said: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "subject": told[0],
        "references": told[1:],
        "quick": quick,
        "training": trained.record if trained else None,
    }
    write_atomic(out / AUDIT, json.dumps(said, indent=1, default=plain).encode())
