"""The application, its commands, and errors as one sentence."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import depthprobe
from depthprobe.cli import auditing, commands, console, measure, protocols, trainer

EXPECTED = (ValueError, OSError, MemoryError, ImportError, FloatingPointError)
HELP = """What does a monocular depth network look at, and why does it fail?

Measure networks with probes on images with depth, then compare and read the results:

    depthprobe run --model zoo:convnext --model zoo:pvt --probe error --probe sparse --n 64 --out out/demo

    depthprobe compare out/demo --by probe,selector

    depthprobe report out/demo

What there is to choose from: depthprobe list models|datasets|probes|metrics|protocols|selectors|fills|recipes
"""


class OneSentence(TyperGroup):
    """Commands whose expected errors end as one sentence and exit code 2; bugs keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; `--debug` (or DEPTHPROBE_DEBUG=1) shows the traceback of expected errors too."""
        try:
            return super().invoke(ctx)
        except (*EXPECTED, KeyboardInterrupt) as error:
            if ctx.params.get("debug"):
                raise
            _say(error)
            raise typer.Exit(130 if isinstance(error, KeyboardInterrupt) else 2) from error


def _say(error: BaseException) -> None:
    text = str(error).strip() or type(error).__name__
    if isinstance(error, KeyboardInterrupt):
        text = "Stopped. What is measured is kept: the same command goes on from here."
    if console.is_first() or not isinstance(error, KeyboardInterrupt):  # ranks stop together: say it once
        typer.secho(f"Error: {text}", fg=typer.colors.RED, err=True)


app = typer.Typer(
    cls=OneSentence,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
_DEBUG = typer.Option("--debug", envvar="DEPTHPROBE_DEBUG", help="Show tracebacks.")


def _version(show: bool) -> None:
    if show:
        typer.echo(f"depthprobe {depthprobe.__version__}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[bool, _DEBUG] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and stop.")
    ] = False,
) -> None:
    """See HELP."""


app.command("run")(measure.run)
app.command("audit")(auditing.audit)
app.command("compare")(commands.compare)
app.command("report")(commands.report)
app.command("scenes")(commands.scenes)
app.command("train")(trainer.train)
app.command("list")(commands.list_names)
app.add_typer(protocols.protocols, name="protocols")
