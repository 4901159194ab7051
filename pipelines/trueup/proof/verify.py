"""All checks of a project in their order, and the quick half of them; one typed result."""

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
from trueup.proof.positions import check_positions
from trueup.proof.readable import without_files
from trueup.proof.scores import check_scores
from trueup.proof.units import check_units

Step = tuple[str, Callable[[Evidence], Check]]

QUICK: tuple[Step, ...] = (
    ("files", partial(check_files, decode=False)),
    ("chains", check_chains),
    ("counts", check_counts),
    ("positions", check_positions),
    ("declarations", check_declarations),
    ("event_ids", partial(check_event_ids, newest_only=True)),
    ("decisions", check_decisions),
)
"""What `status --check` runs: no raw bytes, nothing that is derived, and ids of the newest events only."""

ALL: tuple[Step, ...] = (
    ("files", check_files),
    ("chains", check_chains),
    ("counts", check_counts),
    ("positions", check_positions),
    ("declarations", check_declarations),
    ("event_ids", check_event_ids),
    ("duplicates", check_duplicates),
    ("units", check_units),
    ("findings", check_findings),
    ("scores", check_scores),
    ("decisions", check_decisions),
)
"""What `verify` runs, in this order."""


@dataclass(frozen=True)
class Verified:
    """What all checks found, in their order."""

    checks: tuple[Check, ...]
    faults: tuple[Fault, ...] = field(default=())

    @classmethod
    def of(cls, checks: Sequence[Check]) -> Verified:
        """The result of some checks; a fault that several find is listed once."""
        return cls(tuple(checks), tuple(dict.fromkeys(fault for check in checks for fault in check.faults)))

    @property
    def tampered(self) -> int:
        """How many faults are of content that differs."""
        return sum(fault.kind == "tampered" for fault in self.faults)

    @property
    def unavailable(self) -> int:
        """How many faults are of evidence that cannot be read."""
        return sum(fault.kind == "unavailable" for fault in self.faults)

    @property
    def sound(self) -> bool:
        """Whether nothing was found, nothing is unavailable."""
        return not self.faults


def verify(
    lake: Lake, *, archives: Sequence[Path] = (), quick: bool = False, only: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
) -> Verified:  # fmt: skip
    """Runs all checks, the quick half of them, or those of the names in `only`, and returns what they found.

    All checks read the lake as of one snapshot, so that it may be written meanwhile. A data file that cannot be read is a fault;
    the checks go on with what the other files hold, where the catalog is SQLite.
    Raises `TrueupError` when a check could not do its work and no check found why.
    """
    steps = [step for step in (QUICK if quick else ALL) if not only or step[0] in only]
    with ExitStack() as stack:
        run = _Run(Evidence(lake, tuple(archives)), stack)
        for name, check in steps:
            if say:
                say(f"checking {name.replace('_', ' ')}")
            run.make(name, check)
    result = Verified.of(run.checks)
    if run.stopped is not None and not result.faults:
        raise run.stopped
    return result


class _Run:
    """The checks made so far, and the lake that the next one reads: without the data files that cannot be read."""

    def __init__(self, evidence: Evidence, stack: ExitStack) -> None:
        self._evidence, self._stack = evidence, stack
        self.checks, self.stopped = list[Check](), None
        stack.callback(self._end)
        self._begin()

    checks: list[Check]
    stopped: TrueupError | None

    def make(self, name: str, check: Callable[[Evidence], Check]) -> None:
        """Makes one check; where an unreadable data file stops it, again without that file."""
        try:
            self.checks.append(check(self._evidence))
        except (duckdb.Error, TrueupError, OSError) as error:
            # Whoever asks a catalog that is locked for a moment asks again.
            if isinstance(error, LogBusyError) or "locked" in str(error):
                raise
            self._evidence.lake.reconnect()
            self._begin()
            if self._leave_out_damaged():
                self.make(name, check)
            else:
                self._stop(name, error)
        else:
            if self._evidence.damaged:
                self._leave_out(self._evidence.damaged)

    def _leave_out_damaged(self) -> bool:
        """Looks for data files that cannot be decoded; whether there are some, which the lake goes on without."""
        found = check_files(self._evidence)
        self.checks = [found if made.name == found.name else made for made in self.checks] or [found]
        if found not in self.checks:
            self.checks.append(found)
        return self._leave_out(self._evidence.damaged)

    def _leave_out(self, damaged: set[int]) -> bool:
        readable = without_files(self._evidence.lake, damaged) if damaged else None
        if readable is None:
            return False
        self._end()
        self._evidence = Evidence(self._stack.enter_context(readable), self._evidence.archives)
        self._begin()
        return True

    def _begin(self) -> None:
        self._evidence.lake.connection.execute("BEGIN")

    def _end(self) -> None:
        # A lake that was closed before has no transaction left to end.
        with suppress(duckdb.Error):
            self._evidence.lake.connection.execute("ROLLBACK")

    def _stop(self, name: str, error: Exception) -> None:
        reason = str(error) if isinstance(error, TrueupError) else first_line(error)
        self.checks.append(Check(name, 0, "", not_made=f"stopped: {reason}"))
        told = TrueupError(f"the check of {name} could not be made: {reason}", where=str(self._evidence.lake.project.directory))
        self.stopped = self.stopped or told
