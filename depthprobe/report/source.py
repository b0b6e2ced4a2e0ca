"""What the page is made from: table, sidecar, maps and the description beside them, read once."""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from depthprobe.report import text
from depthprobe.report.maps import Dense, read_maps
from depthprobe.schema import read_sidecar, read_table

NOT_RECORDED = "not recorded"
AUDIT = "audit.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """Whose audit a page is, and beside whom: `audit.json` as the page needs it. `training`: {} where none was done."""

    subject: str
    references: list[str]
    quick: bool
    training: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A run as the report sees it. `side` is the sidecar ({} where there is none), `audit` None for a plain run."""

    out: Path
    table: pd.DataFrame
    side: dict[str, Any]
    study: str
    maps: list[Dense]
    broken: list[str]
    audit: Audit | None = None

    @property
    def subject(self) -> str | None:
        """The model that the page is about, with which all others are compared; None where it compares all pairs."""
        return self.audit.subject if self.audit else None

    @property
    def references(self) -> list[str]:
        """The networks that the subject is held against."""
        return self.audit.references if self.audit else []

    @functools.cached_property
    def models(self) -> pd.DataFrame:
        """One row per model: model, tag, family, samples."""
        facts = self.table.groupby(["model", "tag", "family"], sort=True)["sample"].nunique()
        return facts.rename("samples").reset_index()

    @functools.cached_property
    def short(self) -> dict[str, str]:
        """Model -> the name used in sentences."""
        return text.short_names(list(dict.fromkeys(self.models["model"])))

    def led(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A frame with the rows of the subject first; the order stays otherwise."""
        return frame.sort_values("model", key=lambda names: names != self.subject, kind="stable", ignore_index=True)

    def probe(self, name: str) -> pd.DataFrame:
        """The rows of one probe."""
        return self.table[self.table["probe"] == name]

    @functools.cached_property
    def protocols(self) -> dict[str, str]:
        """Plan -> "protocol (hash of the protocol)" as far as the sidecar knows; else the plan's own hash."""
        plans, names = self.side.get("plans") or {}, {}
        for plan in self.table["plan"].unique():
            fields = plans.get(plan) or {}
            judged = fields.get("protocol") or (fields if fields.get("name") else None)
            judged = {"name": judged} if isinstance(judged, str) else judged
            names[plan] = f"{judged['name']}{self._hash(judged)}" if judged else str(plan)
        return names

    def _hash(self, judged: Mapping[str, Any]) -> str:
        """` (hash)` of the stored protocol that agrees with these fields; "" if it is not recorded."""
        stored = [p for p in self.side.get("protocols") or [] if isinstance(p, Mapping) and p.get("hash")]
        same = [p for p in stored if all(p[k] == v for k, v in judged.items() if k in p and k != "seed")]
        return f" ({same[0]['hash']})" if same else ""

    def under(self, plans: Iterable[str]) -> str:
        """`protocol scenes (630866e6), plan eff998d8`, for captions; the protocol where there is one."""
        plans = sorted(set(plans))
        named = [self.protocols[p] for p in plans if self.protocols[p] != p]
        judged = f"protocol {text.listed(dict.fromkeys(named))}, " if named else ""
        return f"{judged}{'plan' if len(plans) == 1 else 'plans'} {text.listed(plans)}"

    def refused(self, probe: str) -> str:
        """Why the subject could not be asked by a probe; "" where it was, or nothing is recorded."""
        said = [one for one in self.side.get("refused") or [] if isinstance(one, Mapping)]
        mine = [
            one
            for one in said
            if one.get("probe") == probe and self.subject in (one.get("model"), f"{one.get('model')}.{one.get('tag')}")
        ]
        return str(mine[0].get("reason", NOT_RECORDED)) if mine else ""

    def absent(self, probe: str) -> str:
        """Why there are no values of a probe, and what brings them: --probe for a run, the same audit again."""
        if reason := self.refused(probe):
            return reason
        if len(self.probe(probe)):
            return "all that it measured is undefined (NaN)."
        if self.audit:
            return f"the table has no `{probe}` rows; start the audit again, it measures what is missing."
        return f"the run has no `{probe}` probe; add --probe {probe}."

    def plan(self, probe: str) -> list[tuple[str, str]]:
        """Every field of the plans of one probe, for "how it was measured"."""
        found = []
        for name in sorted(self.probe(probe)["plan"].unique()):
            fields = (self.side.get("plans") or {}).get(name)
            found.append(("plan", name))
            found += flat(fields) if isinstance(fields, Mapping) else [("fields", NOT_RECORDED)]
        return found


def read_source(out: Path) -> Source:
    """Read a run's folder.

    Raises:
        FileNotFoundError: if there is no table, with what to run.
        ValueError: if `audit.json` is not one, or its subject was not measured.
    """
    maps, broken = read_maps(out)
    study, table = out / "study.toml", _tagged(read_table(out))
    return Source(
        out=out,
        table=table,
        side=read_sidecar(out),
        study=study.read_text() if study.is_file() else "",
        maps=maps,
        broken=broken,
        audit=_read_audit(out / AUDIT, table),
    )


def _read_audit(path: Path, table: pd.DataFrame) -> Audit | None:
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text())
        subject, references = str(said["subject"]), [str(name) for name in said["references"]]
        quick, training = bool(said.get("quick")), dict(said.get("training") or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"Expected {path} to be a JSON object with `subject` and `references`, but got {error!r}; "
            "remove it for a plain report, or run the audit again."
        ) from error
    known = set(table["model"])
    if subject not in known:
        raise ValueError(
            f"Expected the `subject` of {path} to be one of {sorted(known)}, but got {subject!r}; "
            "its measurements are missing: run the audit again."
        )
    beside = [name for name in dict.fromkeys(references) if name in known and name != subject]
    return Audit(subject=subject, references=beside, quick=quick, training=training)


def _tagged(table: pd.DataFrame) -> pd.DataFrame:
    """Names made unique: `model.tag` where one name was measured with several weights."""
    tags = table.groupby("model")["tag"].transform("nunique")
    return table.assign(model=table["model"].where(tags == 1, table["model"] + "." + table["tag"]))


def flat(fields: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested fields as (dotted name, text) pairs, in the order in which they stand."""
    out: list[tuple[str, str]] = []
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            out += flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            out.append((f"{prefix}{name}", ", ".join(map(str, value)) or "none"))
        else:
            out.append((f"{prefix}{name}", "none" if value is None or value in ("", {}) else str(value)))
    return out
