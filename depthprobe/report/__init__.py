"""One self-contained page and a JSON file from the table of a run."""

from depthprobe.report.page import write_report

__all__ = ["write_report"]
