"""Check of positions: they have no gaps, follow the order of commits, and have the rows of their kind. Consumer positions agree."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from trueup.events.schema import CORE
from trueup.proof.evidence import Check, Evidence, FaultCollector

CHECK = "positions"
INPUTS = (*CORE, "moved", "quarantine", "control", "declaration")
"""Tables whose rows are committed at a position."""
_SLACK_US = 3_600_000_000
"""Maximum clock movement within one commit: waiting for the writer lock takes minutes at most."""
_DERIVED = {"placement": "reconcile", "scoring": "score"}
"""Tables whose rows carry the position up to which their consumer committed."""


def check_positions(evidence: Evidence) -> Check:
    """Check the sequence of positions, and compare it with the commits of rows and the consumers' positions.

    A unit's rows are committed with its control row; the catalog has the commit of each data file.
    """
    faults, rows = FaultCollector(CHECK), evidence.rows("positions/positions")
    _check_positions(rows, faults)
    for row in rows:
        _compare_position(row, faults)
    for table in INPUTS:
        for stray in evidence.rows("positions/without_position", table=table):
            detail = f"{stray['rows']} rows of {table} were committed without a position: added, or changed in place"
            faults.tampered(f"{table}, snapshot {stray['snapshot_id']}", detail)
    for table in (*CORE, "quarantine"):
        for stray in evidence.rows("positions/other_commit", table=table):
            detail = f"{stray['rows']} rows of {table} were committed in snapshot {stray['snapshot_id']} without a control row"
            faults.tampered(f"unit {stray['source_id']}", detail)
    _check_consumers(evidence, max((row["position"] for row in rows), default=0), faults)
    return Check(CHECK, len(rows), "position", faults.all())


def _check_positions(rows: list[dict[str, Any]], faults: FaultCollector) -> None:
    expected, snapshot = 1, -1
    for row in rows:
        position = row["position"]
        if position == expected - 1:
            faults.tampered(f"position {position}", "the position is repeated")
            continue
        if position > expected:
            missing = f"position {expected}" if position == expected + 1 else f"positions {expected} to {position - 1}"
            faults.tampered(missing, f"missing before position {position}: a row was removed or its number changed")
        if row["snapshot_id"] <= snapshot:
            faults.tampered(f"position {position}", "it was committed before the position that precedes it")
        expected, snapshot = position + 1, row["snapshot_id"]


def _compare_position(row: dict[str, Any], faults: FaultCollector) -> None:
    """Compare a position with the rows of its commit: one control row of a unit, or one declaration of its kind."""
    where, kind = f"position {row['position']}", row["kind"]
    if row["committed_at_us"] is None:
        faults.tampered(where, "it has no time of its commit: the time was removed")
        return
    if kind == "unit" and (row["units"], row["declarations"]) != (1, 0):
        faults.tampered(
            where,
            f"its kind is unit, but {row['units']} control rows and {row['declarations']} declarations were committed with it",
        )
    elif kind != "unit" and (row["units"], row["declarations"], row["declared_kind"]) != (0, 1, kind):
        committed_rows = f"{row['units']} control rows and {row['declarations']} declarations ({row['declared_kind'] or 'no kind'})"
        faults.tampered(where, f"its kind is {kind}, but {committed_rows} were committed with it")
    for name, moment in (("taken_at of its control row", row["taken_at_us"]), ("clock of its tick", row["ticked_at_us"])):
        if moment is not None and abs(row["committed_at_us"] - moment) > _SLACK_US:
            hours = (row["committed_at_us"] - moment) / 3_600_000_000
            faults.tampered(where, f"committed_at is {hours:+.1f} hours off the {name}")


def _check_consumers(evidence: Evidence, newest: int, faults: FaultCollector) -> None:
    """Check that consumers advance, never pass the newest position, and that their rows have the committed position."""
    rows = evidence.rows("positions/consumers")
    committed: dict[tuple[str, int], int] = {}
    for consumer, commits in groupby(rows, lambda row: str(row["consumer"])):
        previous = 0
        for row in commits:
            position = row["position"]
            if position > newest:
                faults.tampered(f"consumer {consumer}", f"it is at position {position}, beyond the newest, {newest}")
            if position < previous:
                faults.tampered(f"consumer {consumer}", f"its position falls from {previous} to {position}")
            previous = position
            # A model that scores earlier records again is a consumer with its own name.
            committed["score" if consumer.startswith("rescore ") else consumer, row["snapshot_id"]] = position
    for table, consumer in _DERIVED.items():
        for row in evidence.rows("positions/consumed_with", table=table):
            consumer_position = committed.get((consumer, row["snapshot_id"]))
            if consumer_position != row["position"]:
                at = "no position" if consumer_position is None else f"position {consumer_position}"
                detail = f"its commit has rows of {table} at position {row['position']}, but the consumer committed {at}"
                faults.tampered(f"consumer {consumer}", detail)
