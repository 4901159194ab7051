"""The page of commands, from the application that Typer builds."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import typer
from markdown_text import code, plain, table


def command_reference() -> str:
    """Return the page: each command with its arguments, options and their defaults."""
    # `trueup.cli` exports a function of this name, so the module is imported by its path.
    group: Any = typer.main.get_command(importlib.import_module("trueup.cli.main").app)
    exits = "Exit status is 0, 1 for a failed check, 2 for work that could not be done."
    parts = ["# Commands\n", f"`trueup COMMAND [--project DIR]`. {exits} `trueup COMMAND --help` shows the same text.\n"]
    parts.append(
        table(("command", "what it does"), [(f"[{n}](#{n})", plain(_first(c))) for n, c in sorted(group.commands.items())])
    )
    for name, command in sorted(group.commands.items()):
        parts += [f"## {name}\n", plain(_help(command)) + "\n"]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option"]
        usage = " ".join(["trueup", name, *(_argument(a) for a in arguments), "[OPTIONS]"])
        parts.append(f"```text\n{usage}\n```\n")
        rows = [(code(_argument(a)), plain(a.help or ""), "") for a in arguments]
        rows += [(code(_option(o)), plain(o.help or ""), code(_default(o))) for o in options]
        if rows:
            parts.append(table(("argument or option", "meaning", "default"), rows))
    return "\n".join(parts)


def _help(command: Any) -> str:
    return inspect.cleandoc(command.help or "")


def _first(command: Any) -> str:
    return " ".join(_help(command).split("\n\n")[0].split())


def _argument(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _option(option: Any) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    takes_value = not option.is_flag
    return f"{names} {option.metavar or _kind(option)}" if takes_value else names


def _kind(option: Any) -> str:
    """Return the noun of an option's value, as `--help` shows it."""
    return {int: "NUMBER", float: "NUMBER", str: "TEXT"}.get(option.type_descriptor.annotation, "TEXT")


def _default(option: Any) -> str:
    default = option.default
    return "" if default is None or default is False or callable(default) or default in ((), []) else str(default)
