"""Verification: runs all checks of a project in order, or the quick ones, and returns one typed result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb

from trueup.errors import LogBusyError, TrueupError
from trueup.log.lake import Lake
from trueup.proof.chains import check_chains
from trueup.proof.counts import check_counts
from trueup.proof.decisions import check_decisions
from trueup.proof.declarations import check_declarations
from trueup.proof.event_ids import check_duplicates, check_event_ids
from trueup.proof.evidence import Check, Evidence
from trueup.proof.fault import Fault
from trueup.proof.files import check_files, first_line
from trueup.proof.findings import check_findings
from trueup.proof.moved import check_moved
from trueup.proof.positions import check_positions
from trueup.proof.raw.readable import without_files
from trueup.proof.raw.units import check_units
from trueup.proof.scores import check_scores

Step = tuple[str, Callable[[Evidence], Check]]

QUICK: tuple[Step, ...] = (
    ("files", partial(check_files, decode=False)),
    ("chains", check_chains),
    ("counts", check_counts),
    ("positions", check_positions),
    ("declarations", check_declarations),
    ("event_ids", partial(check_event_ids, newest_only=True)),
    ("moved", check_moved),
    ("decisions", check_decisions),
)
"""Checks of `status --check`: no raw bytes, no derived results, and ids of the newest events only."""

ALL: tuple[Step, ...] = (
    ("files", check_files),
    ("chains", check_chains),
    ("counts", check_counts),
    ("positions", check_positions),
    ("declarations", check_declarations),
    ("event_ids", check_event_ids),
    ("duplicates", check_duplicates),
    ("moved", check_moved),
    ("units", check_units),
    ("findings", check_findings),
    ("scores", check_scores),
    ("decisions", check_decisions),
)
"""Checks of `verify`, in order."""


@dataclass(frozen=True)
class Verification:
    """Results of all checks in order, and their faults."""

    checks: tuple[Check, ...]
    faults: tuple[Fault, ...] = field(default=())

    @classmethod
    def of(cls, checks: Sequence[Check]) -> Verification:
        """Return the result of checks; a fault that several checks find is listed once."""
        return cls(tuple(checks), tuple(dict.fromkeys(fault for check in checks for fault in check.faults)))

    @property
    def tampered(self) -> int:
        """Number of faults of differing content."""
        return sum(fault.kind == "tampered" for fault in self.faults)

    @property
    def unavailable(self) -> int:
        """Number of faults of unreadable evidence."""
        return sum(fault.kind == "unavailable" for fault in self.faults)

    @property
    def sound(self) -> bool:
        """Whether no check found a fault."""
        return not self.faults


def verify(
    lake: Lake, *, archives: Sequence[Path] = (), quick: bool = False, only: Sequence[str] = (),
    log: Callable[[str], None] | None = None,
) -> Verification:  # fmt: skip
    """Run all checks, the quick checks, or the checks named in `only`, and return their results.

    All checks read one snapshot of the lake, while others may write to it. A data file that cannot be read is a fault; with a
    SQLite catalog the checks continue with the other files. Raises `TrueupError` when a check could not do its work and no check
    found the reason.
    """
    steps = [step for step in (QUICK if quick else ALL) if not only or step[0] in only]
    with ExitStack() as stack:
        run = _Run(Evidence(lake, tuple(archives)), stack)
        for name, check in steps:
            if log:
                log(f"checking {name.replace('_', ' ')}")
            run.run_check(name, check)
    result = Verification.of(run.checks)
    if run.stopped is not None and not result.faults:
        raise run.stopped
    return result


class _Run:
    """Checks made so far, and the lake for the next check, without the data files that cannot be read."""

    def __init__(self, evidence: Evidence, stack: ExitStack) -> None:
        self._evidence, self._stack = evidence, stack
        self.checks, self.stopped = list[Check](), None
        stack.callback(self._end_transaction)
        self._begin_transaction()

    checks: list[Check]
    stopped: TrueupError | None

    def run_check(self, name: str, check: Callable[[Evidence], Check]) -> None:
        """Run one check; if an unreadable data file stops it, run it again without that file."""
        try:
            self.checks.append(check(self._evidence))
        except (duckdb.Error, TrueupError, OSError) as error:
            # The caller retries where the catalog is briefly locked.
            if isinstance(error, LogBusyError) or "locked" in str(error):
                raise
            self._evidence.lake.reconnect()
            self._begin_transaction()
            if self._exclude_damaged():
                self.run_check(name, check)
            else:
                self._record_stop(name, error)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a row that no version writes may end a check in any way; the others continue
            self._record_stop(name, error)
        else:
            if self._evidence.damaged:
                self._exclude(self._evidence.damaged)

    def _exclude_damaged(self) -> bool:
        """Search for data files that cannot be decoded; return whether any were found and excluded."""
        files = check_files(self._evidence)
        self.checks = [files if done.name == files.name else done for done in self.checks] or [files]
        if files not in self.checks:
            self.checks.append(files)
        return self._exclude(self._evidence.damaged)

    def _exclude(self, damaged: set[int]) -> bool:
        readable = without_files(self._evidence.lake, damaged) if damaged else None
        if readable is None:
            return False
        self._end_transaction()
        self._evidence = Evidence(self._stack.enter_context(readable), self._evidence.archives)
        self._begin_transaction()
        return True

    def _begin_transaction(self) -> None:
        self._evidence.lake.connection.execute("BEGIN")

    def _end_transaction(self) -> None:
        # A closed lake has no open transaction to end.
        with suppress(duckdb.Error):
            self._evidence.lake.connection.execute("ROLLBACK")

    def _record_stop(self, name: str, error: Exception) -> None:
        reason = str(error) if isinstance(error, TrueupError) else first_line(error)
        if not isinstance(error, duckdb.Error | TrueupError | OSError):
            reason = f"the log has a row that it cannot read ({type(error).__name__}: {reason})"
        self.checks.append(Check(name, 0, "", not_made=f"stopped: {reason}"))
        failure = TrueupError(f"the check of {name} could not be made: {reason}", where=str(self._evidence.lake.project.directory))
        self.stopped = self.stopped or failure
