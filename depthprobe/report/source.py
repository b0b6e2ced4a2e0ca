"""What the page is made from: table, sidecar, maps and the description beside them, read once."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from depthprobe.report import text
from depthprobe.report.maps import Dense, read_maps
from depthprobe.schema import read_sidecar, read_table

NOT_RECORDED = "not recorded"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A run as the report sees it. `side` is the sidecar ({} where there is none)."""

    out: Path
    table: pd.DataFrame
    side: dict[str, Any]
    study: str
    maps: list[Dense]
    broken: list[str]

    @property
    def models(self) -> pd.DataFrame:
        """One row per model: model, tag, family, samples."""
        facts = self.table.groupby(["model", "tag", "family"], sort=True)["sample"].nunique()
        return facts.rename("samples").reset_index()

    @property
    def short(self) -> dict[str, str]:
        """Model -> the name used in sentences."""
        return text.short_names(list(dict.fromkeys(self.models["model"])))

    def probe(self, name: str) -> pd.DataFrame:
        """The rows of one probe."""
        return self.table[self.table["probe"] == name]

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
    )


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
