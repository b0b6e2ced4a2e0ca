"""The reference of the command line, from the commands themselves."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from depthprobe.cli import app

HEAD = """# Command line

Made from the commands themselves when the site is built. Every command says the same with `--help`; expected errors are
one sentence and exit code 2; a run that was stopped goes on when its command is given again.
"""


def commands() -> dict[str, Any]:
    """Every command by its full name."""
    return dict(_walk("depthprobe", typer.main.get_command(app)))


def command_page() -> str:
    """The page of all commands."""
    return "\n".join([HEAD, *(_section(name, command) for name, command in commands().items())])


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for key, child in command.commands.items():
        yield from _walk(f"{name} {key}", child)


def _section(name: str, command: Any) -> str:
    visible = [p for p in command.params if p.name != "help" and not getattr(p, "hidden", False)]
    arguments = [p for p in visible if p.param_type_name == "argument"]
    options = [p for p in visible if p not in arguments]
    usage = " ".join([name, *("[OPTIONS]" for _ in options[:1]), *(_metavar(p) for p in arguments)])
    parts = [f"## {name.removeprefix('depthprobe ')}", f"```text\n{usage}\n```", _text(command)]
    for title, some in (("argument", arguments), ("option", options)):
        if some:
            rows = [f"| {_names(p)} | {_help(p)} | {_default(p)} |" for p in some]
            parts.append("\n".join([f"| {title} | what | default |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _text(command: Any) -> str:
    """The docstring; its examples, one a paragraph, become code."""
    out = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        title, mark, code = paragraph.partition(":** ")
        out.append(f"{title}:**\n\n```bash\n{' '.join(code.split())}\n```" if mark else paragraph)
    return "\n\n".join(out)


def _metavar(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name or "").upper()
    return name if parameter.required else f"[{name}]"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_metavar(parameter)}`"
    names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{name}`" for name in names) + (" (repeatable)" if parameter.multiple else "")


def _help(parameter: Any) -> str:
    text = " ".join(str(getattr(parameter, "help", "") or "").split()).replace("|", r"\|")
    return text.replace("; repeatable", "").replace("*", r"\*")


def _default(parameter: Any) -> str:
    value = parameter.default
    if callable(value) or value in (None, "", (), []) or "Sentinel" in type(value).__name__:
        return ""
    if isinstance(value, bool):
        names = parameter.opts if value else parameter.secondary_opts
        return f"`{names[0]}`" if names else "no"
    return f"`{getattr(value, 'value', value)}`"
