"""The command line: thin commands over the package. Nothing heavy is imported before a command runs."""

from depthprobe.cli.app import app

__all__ = ["app"]
