"""The family of errors: each states what happened, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from trueup.secret import mask


class TrueupError(Exception):
    """An operation that trueup could not do, described in one line.

    Parameters
    ----------
    what:
        What happened, as a sentence without its full stop.
    where:
        The file, record, table or setting concerned; empty if there is none.
    todo:
        What the reader can do about it; empty if there is no remedy.

    Known secrets are masked in all three, because a library may pickle, log or show the error.
    """

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        what, where, todo = mask(what), mask(where), mask(todo)
        super().__init__(what, where, todo)
        self.what, self.where, self.todo = what, where, todo

    def __str__(self) -> str:
        location = f" ({self.where})" if self.where else ""
        advice = f"; {self.todo}" if self.todo else ""
        # Mask again: more secrets may be known by now.
        return mask(f"{self.what}{location}{advice}")

    def __reduce__(self) -> tuple[object, ...]:
        # Workers of a runner pickle errors, and pickle does not restore keyword-only arguments by itself.
        return (_rebuild, (type(self), self.what, self.where, self.todo))


_MOST_NAMES, _MOST_CHARACTERS = 20, 60


def list_names(names: Sequence[str]) -> str:
    """Return names for a message: the first of many, the beginning of long ones, `none` for an empty list."""
    shown = [name if len(name) <= _MOST_CHARACTERS else f"{name[:_MOST_CHARACTERS]}…" for name in names[:_MOST_NAMES]]
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*shown, *more]) or "none"


def _rebuild(kind: type[TrueupError], what: str, where: str, todo: str) -> TrueupError:
    return kind(what, where=where, todo=todo)


class ConfigError(TrueupError):
    """The project's configuration holds an invalid setting."""


class SourceError(TrueupError):
    """A source unit (a file) could not be ingested; the others can."""


class LogError(TrueupError):
    """The event log could not do the requested operation."""


class LogBusyError(LogError):
    """Another process holds the log; trying again may succeed."""


class DamagedError(LogError):
    """A file of the lake, or its catalog, is damaged."""


class ClockError(LogError):
    """The machine's clock differs too far from the times of the log's commits: nothing was committed."""


class QueryError(TrueupError):
    """A query that is not one SELECT, or that DuckDB refuses."""


class MoneyError(TrueupError):
    """A sum of money or quantity that does not fit its type."""
