"""`depthprobe audit`: one network, everything that is asked of it, one page."""

import inspect
import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl

import typer

from depthprobe.cli.measure import Many, flag, progress_bar

if TYPE_CHECKING:
    from depthprobe.audit import Trained
    from depthprobe.data import Dataset

_DATA, _WHAT, _HOW = "Data", "What it stands beside", "How it runs"
TRUST = "trust"


def audit(
    model: Annotated[str, typer.Argument(help="A network of any kind: py:, hf:, timm:, ckpt:, onnx:, zoo:, ...")],
    dataset: Annotated[str, flag("--dataset", "-d", panel=_DATA, help="scenes, nyu, folder, ...")] = "scenes",
    root: Annotated[Path | None, flag("--root", panel=_DATA, help="Where the data set lies.")] = None,
    split: Annotated[str | None, flag("--split", panel=_DATA, help="train, val or test (default).")] = None,
    n: Annotated[int | None, flag("--n", "-n", panel=_DATA, help="Number of samples (-n under torchrun).")] = None,
    size: Annotated[str | None, flag("--size", panel=_DATA, help="Scenes: height x width, e.g. 96x128.")] = None,
    kind: Annotated[str | None, flag("--kind", panel=_DATA, help="Scenes: rooms, streets, shapes, mixed.")] = None,
    batch_size: Annotated[int | None, flag("--batch-size", panel=_DATA, help="Samples per unit of work.")] = None,
    on_error: Annotated[str | None, flag("--on-error", panel=_DATA, help="Unreadable sample: raise or skip.")] = None,
    data: Annotated[Many, flag("--data", panel=_DATA, help="Another option of the data set, NAME=VALUE.")] = None,
    against: Annotated[Many, flag("--against", panel=_WHAT, help="zoo (default), none, or networks.")] = None,
    quick: Annotated[bool, flag("--quick", panel=_HOW, help="Fewer samples, shorter plans: minutes.")] = False,
    trust: Annotated[bool, flag("--trust", panel=_HOW, help="Let a file run code while it is opened.")] = False,
    out: Annotated[Path, flag("--out", "-o", panel=_HOW, help="Folder of table and page.")] = Path("out/audit"),
    resume: Annotated[bool, flag("--resume/--no-resume", panel=_HOW, help="Go on, or do all anew.")] = True,
    device: Annotated[str, flag("--device", panel=_HOW, help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    maps: Annotated[int, flag("--maps", panel=_HOW, help="Samples in the galleries.")] = 3,
    page: Annotated[bool, flag("--report/--no-report", panel=_HOW, help="Write the page.")] = True,
) -> None:  # fmt: skip
    """Audit one network: accuracy, sparse pixels, continuity, texture, context, cues, corruption, conduct and cost.

    The zoo's networks are measured on the same samples, so that every number has a place among others. One page and a
    table come out, warnings first. Nothing has to be registered or changed.

    **Your own file mynet.py:** depthprobe audit "py:mynet:build?output=affine_disparity" --quick

    What its numbers mean is said by `output`: metric_depth (the default), scale_depth, affine_depth or
    affine_disparity. If it is wrong every number is, so the audit checks it and warns first.

    **A transformers model:** depthprobe audit hf:depth-anything/Depth-Anything-V2-Small-hf --out out/dav2

    **On NYU:** depthprobe audit ckpt:runs/mine/best.safetensors --dataset nyu --root data/nyuv2 --out out/mine

    **A bare backbone, trained first:** depthprobe audit timm:pvt_v2_b0 --out out/pvt

    **On all cores or GPUs:** torchrun --nproc-per-node 2 -m depthprobe audit zoo:pvt.mixed

    Stopped or killed, the same command goes on where it was.
    """
    from depthprobe.audit import audit as measure
    from depthprobe.audit.presets import open_data
    from depthprobe.cli import console, flagged
    from depthprobe.ranks import open_ranks

    first, started = console.is_first(), time.perf_counter()
    flags = {"root": root, "split": split, "n": n, "size": size, "kind": kind, "batch_size": batch_size,
             "on_error": on_error}  # fmt: skip
    options = flagged.dataset({"name": dataset}, dataset, flags, data or [])
    opened = open_data(str(options.pop("name")), options, quick=quick)
    name = with_trust(model) if trust else model
    with open_ranks(device):  # once around the training and the run
        trained = _trained(name, opened, out, quick=quick, resume=resume, device=device, first=first)
        if first:
            console.say(f"{name} on {console.counted(len(opened), 'sample')} of {opened.name} → {out}")
        with progress_bar(first) as progress:
            table = measure(
                name, opened, out=out, against=against or "zoo", quick=quick, resume=resume, device=device,
                progress=progress, maps=maps, trained=trained,
            )  # fmt: skip
    if first:
        _tell(table, out, page=page, quick=quick)
        console.say(f"Table: {out} ({len(table):,} rows), in {time.perf_counter() - started:.0f} s")
        again = {"dataset": dataset, **flags, "n": None, "data": data, "against": against, "device": device}
        console.say(f"Next:  {next_command(name, out, again, quick=quick)}")


def with_trust(model: str) -> str:
    """A model's name with the option that lets its file run code, where files of its kind can and it says nothing."""
    from depthprobe.models import SCHEMES

    base, _, query = model.partition("?")
    scheme = base.partition(":")[0]
    can = scheme in SCHEMES and TRUST in inspect.signature(SCHEMES[scheme]).parameters
    said = TRUST in dict(parse_qsl(query, keep_blank_values=True))
    return f"{base}?{query}{'&' if query else ''}{TRUST}=1" if can and not said else model


def _trained(
    model: str, data: "Dataset", out: Path, *, quick: bool, resume: bool, device: str, first: bool
) -> "Trained | None":
    """The training of a bare backbone, with progress; None where the network needs none."""
    from depthprobe.audit import is_bare, train_bare
    from depthprobe.cli import console
    from depthprobe.cli.trainer import training_bar
    from depthprobe.report.head import told

    if not is_bare(model):
        return None
    if first:
        console.say(f"{model} has no trained decoder: it is trained first, by the recipe `audit` → {out / 'train'}")
    with training_bar(first) as (rendering, progress):
        trained = train_bare(model, data, out / "train", quick=quick, resume=resume, device=device,
                             progress=progress, rendering=rendering)  # fmt: skip
    if first:
        scores = ", ".join(f"{name} {value:.4g}" for name, value in told(trained.record["scores"]).items())
        console.say(f"Trained in {trained.record['seconds']:.0f} s: {scores} (validation)")
    return trained


def _tell(table: Any, out: Path, *, page: bool, quick: bool) -> None:
    """What came out: warnings and verdict as the page says them, or the run's summary without a page."""
    from depthprobe.cli import console, summary
    from depthprobe.schema import read_sidecar

    for one in read_sidecar(out).get("refused", []):
        console.say(f"Left out: {one['probe']} of {one['model']}: {one['reason']}")
    if not page:
        summary.show(table, out)
        return
    from depthprobe.report import write_report

    with console.status("Writing the page"):
        place = write_report(out)
    said = json.loads((out / "report.json").read_text())
    for line in [f"Warning: {text}" for text in said["warnings"]] + [
        f"{f['lead']} {f['text']}" for f in said["findings"]
    ]:
        console.say(line)
    console.say(f"Page:  {place}")


def next_command(model: str, out: Path, flags: Mapping[str, Any], *, quick: bool) -> str:
    """The one command that a user would run next: the whole audit after a quick one, else a comparison.

    Convention: `flags`: what the whole audit is to be told again, by parameter; a list stands for a repeated flag.
    """
    if not quick:
        return f"depthprobe compare {shlex.quote(str(out))} --by probe"
    usual = {name: parameter.default for name, parameter in inspect.signature(audit).parameters.items()}
    given = [
        f" --{name.replace('_', '-')} {shlex.quote(str(value))}"
        for name, values in flags.items()
        if values is not None and values != usual[name]
        for value in (values if isinstance(values, list) else [values])
    ]
    return f"depthprobe audit {shlex.quote(model)}{''.join(given)} --out {shlex.quote(f'{out}-full')}"
