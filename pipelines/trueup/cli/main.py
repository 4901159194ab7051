"""The application: all commands, and errors as one line on stderr."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TextIO, cast

import typer
from rich.markup import escape
from typer.main import get_command, get_command_name
from typer.models import CommandInfo

from trueup.allocation import keep_freed_memory
from trueup.cli import output
from trueup.cli.commands import (
    clock,
    controls,
    doctor,
    fraud,
    ingest,
    project,
    quality,
    query,
    rate,
    reconcile,
    recover,
    run,
    status,
    stream,
    tables,
)
from trueup.cli.commands.investigation import bill, bill_run, cases, decide, diff, evidence, links, notify, whatif
from trueup.cli.commands.presentation import picture, workbench
from trueup.cli.commands.proof import anchor, verify
from trueup.cli.exit_codes import DONE, FAILED
from trueup.cli.extras import EXTRAS as EXTRAS
from trueup.config import as_utf8, is_utf8
from trueup.errors import TrueupError
from trueup.secret import mask

_INTERRUPTED = "interrupted; committed work is kept, run the command again to continue"


def _build_app() -> typer.Typer:
    return typer.Typer(name="trueup", add_completion=False, pretty_exceptions_enable=False)


app = _build_app()


def _show_version(is_requested: bool) -> None:
    if is_requested:
        from trueup.warehouse.publish import version

        output.line(f"trueup {version()}")
        raise typer.Exit(DONE)


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Reconcile network usage with billing, and show where revenue leaks."""


_GROUPS = (
    project, ingest, reconcile, stream, quality, query, status, cases, decide, diff, whatif, evidence, bill, bill_run, notify,
    links, clock, verify, anchor, rate, recover, run, controls, fraud, tables, doctor, workbench, picture,
)  # fmt: skip
for group in _GROUPS:
    group.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; an error becomes one line on stderr, never a traceback."""
    argv = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    output.guard_stderr()
    output.be_quiet(False)
    keep_freed_memory()
    with _escape_streams(), _interrupt_on_termination():
        return _run_safely(argv)


def _run_safely(argv: list[str]) -> int:
    try:
        _check_utf8(argv)
        return _run(argv)
    except TrueupError as error:
        return _report_failure(str(error))
    except typer.TyperException as error:
        return _report_failure(f"{error.format_message().rstrip('.')}; see `trueup {_command_name(argv)}--help`")
    except (KeyboardInterrupt, typer.Abort):
        return _report_failure(_INTERRUPTED)
    except BrokenPipeError:
        # The reader of the output has stopped, as `head` does. Python would print an error when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        advice = f"install trueup[{extra}]" if extra else "install trueup again"
        return _report_failure(f"the package {error.name} is not installed; {advice}")
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        return _report_failure(f"{error.strerror or error}{place}; check the path, its permissions and the free space")
    except Exception as error:  # noqa: BLE001 - nothing is outside of this but the interpreter, which would print unmasked
        if str(error) == "Query interrupted":  # DuckDB's error for an interrupt during a query.
            return _report_failure(_INTERRUPTED)
        if os.environ.get("TRUEUP_DEBUG"):
            sys.stderr.write(traceback.format_exc())
        if isinstance(error, MemoryError) or str(error).startswith("Out of Memory Error"):
            return _report_failure(
                "the memory is not enough; close other programs, or run this on a machine with 2 GB free or more"
            )
        if str(error).startswith("Symlink loop"):  # Python's error where links of a path lead to themselves.
            return _report_failure(f"{error}; name a file or folder that exists")
        if isinstance(error, UnicodeError):
            return _report_failure(f"text is not UTF-8: {error}; write the file or the name in UTF-8")
        first = (str(error).splitlines() or [""])[0]
        return _report_failure(f"unexpected {type(error).__name__}: {first}; set TRUEUP_DEBUG=1 for a traceback, and report it")


class _Masked:
    """A stream for messages that masks the known secrets."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(mask(text))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _escape_streams() -> Iterator[None]:
    """Mask secrets in the output of libraries on stderr, and escape characters that a stream's encoding lacks."""
    for output_stream in (sys.stdout, sys.stderr):
        if isinstance(output_stream, io.TextIOWrapper) and output_stream.errors == "strict":
            output_stream.reconfigure(errors="backslashreplace")
    before = sys.stderr
    sys.stderr = cast(TextIO, _Masked(before))
    try:
        yield
    finally:
        sys.stderr = before


@contextmanager
def _interrupt_on_termination() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP as Ctrl-C: by default they end the process at once, and copies of the log's data remain."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # `nohup` ignores SIGHUP, which must remain so.
    handled = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def _check_utf8(arguments: Sequence[str]) -> None:
    """Raise `TrueupError` for an argument that is not UTF-8: it could be neither stored nor printed."""
    for argument in arguments:
        if not is_utf8(argument):
            raise TrueupError(f"the argument {as_utf8(argument)} is not UTF-8", todo="write it in UTF-8, or rename the file")


def _run(arguments: list[str]) -> int:
    command = _with_literal_help(get_command(app_of(arguments)))
    try:
        with command.make_context("trueup", arguments) as context:
            command.invoke(context)
            sys.stdout.flush()
    except typer.Exit as ended:
        return ended.exit_code
    return DONE


def _with_literal_help(command: Any) -> Any:
    """Return a command whose help texts show brackets as they are: Typer reads `[[source]]` in a text as markup of Rich."""
    for each in (command, *getattr(command, "commands", {}).values()):
        for text in (each, *each.params):
            if text.help:
                text.help = escape(text.help)
    return command


def app_of(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the named command alone: building all commands takes as long as a small query."""
    named = [info for info in app.registered_commands if _name_of(info) == arguments[0]]
    if not named:
        return app
    alone = _build_app()
    alone.callback()(root)
    alone.registered_commands = named
    return alone


def _name_of(command: CommandInfo) -> str:
    return command.name or get_command_name(command.callback.__name__ if command.callback else "")


def _command_name(arguments: Sequence[str]) -> str:
    first = arguments[0] if arguments else ""
    return f"{first} " if first in map(_name_of, app.registered_commands) else ""


def _report_failure(message: str) -> int:
    output.problem("trueup: " + " ".join(message.split()))
    return FAILED
