"""The one family of errors: each says what happened, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from trueup.secret import mask


class TrueupError(Exception):
    """Something trueup could not do, told in one line.

    Parameters
    ----------
    what:
        What happened, as a sentence without its full stop.
    where:
        The file, record, table or setting it happened at; empty where there is no such place.
    todo:
        What the reader can do about it; empty where nothing can be done.

    All three are kept without the secrets that are known: the error may be pickled, logged or shown by a library.
    """

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        what, where, todo = mask(what), mask(where), mask(todo)
        super().__init__(what, where, todo)
        self.what, self.where, self.todo = what, where, todo

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f"; {self.todo}" if self.todo else ""
        # Masked again: a secret may have become known since.
        return mask(f"{self.what}{place}{advice}")

    def __reduce__(self) -> tuple[object, ...]:
        # Workers of a runner hand errors over pickled; keyword-only arguments need saying how.
        return (_again, (type(self), self.what, self.where, self.todo))


_MOST_NAMES, _MOST_CHARACTERS = 20, 60


def list_names(names: Sequence[str]) -> str:
    """Names for a message: the first of many, the beginning of long ones, `none` where there is none."""
    some = [name if len(name) <= _MOST_CHARACTERS else f"{name[:_MOST_CHARACTERS]}…" for name in names[:_MOST_NAMES]]
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*some, *more]) or "none"


def _again(kind: type[TrueupError], what: str, where: str, todo: str) -> TrueupError:
    return kind(what, where=where, todo=todo)


class ConfigError(TrueupError):
    """The project's configuration says something that cannot be meant."""


class SourceError(TrueupError):
    """A source unit (a file) could not be taken in; the others can."""


class LogError(TrueupError):
    """The event log could not do what was asked of it."""


class LogBusyError(LogError):
    """Another process holds the log; trying again may succeed."""


class DamagedError(LogError):
    """A file of the lake, or its catalog, is not as it was written."""


class ClockError(LogError):
    """The machine's clock and the times of the log's commits differ by more than may be: nothing was committed."""


class QueryError(TrueupError):
    """A query that is not one SELECT, or that DuckDB refuses."""


class MoneyError(TrueupError):
    """A sum of money or quantity that does not fit its type."""
