"""How every study is started and ends: its command line, its folders, its last words."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

NYU = os.environ.get("DEPTHPROBE_NYU") or None  # folder of NYU Depth v2, or None


def command(doc: str | None, study: str, *, quick: str = "a few samples, seconds") -> argparse.ArgumentParser:
    """The options that every study has; it adds its own.

    Convention: what is left out is None (quick: False), and `main` has the default.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--out", help=f"folder of the runs (default out/{study})")
    parser.add_argument("--figures", help="folder of the figures (default figures/)")
    return parser


def comparison(doc: str | None, study: str, *, n: int, n_nyu: int | None) -> argparse.ArgumentParser:
    """The options of a study that compares networks on scenes and on NYU, with its numbers of samples."""
    parser = command(doc, study)
    parser.add_argument("--root", default=NYU, help="folder of NYU Depth v2 (default: $DEPTHPROBE_NYU)")
    parser.add_argument("--n", type=int, default=n, help="samples of the scenes (default %(default)s)")
    all_or = "all 654" if n_nyu is None else "%(default)s"
    parser.add_argument("--n-nyu", type=int, default=n_nyu, help=f"samples of NYU Depth v2 (default {all_or})")
    parser.add_argument(
        "--model", action="append", default=[], dest="models", help="a network; repeat it (default: of the zoo)"
    )
    return parser


def folders(study: str, out: str | Path | None, figures: str | Path | None, *, quick: bool) -> tuple[Path, Path]:
    """The folders of the runs and of the figures; what is quick stays out of the repository unless it is told where."""
    if out is None:
        out = tempfile.mkdtemp(prefix=f"{Path(study).parts[0]}-") if quick else Path("out") / study
    return Path(out), Path(figures or (Path(out) / "figures" if quick else "figures"))


def conclude(sentences: Sequence[str], figures: Sequence[Path]) -> None:
    """Print the verdict and where the figures are."""
    print("\n".join(sentences))
    print("Figures:", *sorted({str(p.with_suffix("")) for p in figures}), sep="\n  ")
