"""Positions: gapless, in the order of their commits, each with what its kind brings; and how far consumers have read."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from trueup.events.schema import CORE
from trueup.proof.evidence import Check, Evidence, Found

CHECK = "positions"
INPUTS = (*CORE, "quarantine", "control", "declaration")
"""The tables whose rows come with a position."""
_SLACK_US = 3_600_000_000
"""How far the clock may have moved within one commit: waiting for the writer lock takes minutes at most."""
_DERIVED = {"placement": "reconcile", "scoring": "score"}
"""Tables whose rows name the position that their consumer committed with them."""


def check_positions(evidence: Evidence) -> Check:
    """Walks the position table, and compares it with the commits that brought rows and with the consumers' positions.

    A unit's rows came in the commit of its control row: the catalog says so of each data file.
    """
    found, rows = Found(CHECK), evidence.rows("positions")
    _walk(rows, found)
    for row in rows:
        _compare(row, found)
    for table in INPUTS:
        for stray in evidence.rows("without_position", table=table):
            detail = f"{stray['rows']} rows of {table} came in a commit without a position: added, or changed in place"
            found.tampered(f"{table}, snapshot {stray['snapshot_id']}", detail)
    for table in (*CORE, "quarantine"):
        for stray in evidence.rows("other_commit", table=table):
            detail = f"{stray['rows']} rows of {table} came in snapshot {stray['snapshot_id']}, none of its control rows did"
            found.tampered(f"unit {stray['source_id']}", detail)
    _consumers(evidence, max((row["position"] for row in rows), default=0), found)
    return Check(CHECK, len(rows), "position", found.all())


def _walk(rows: list[dict[str, Any]], found: Found) -> None:
    expected, snapshot = 1, -1
    for row in rows:
        position = row["position"]
        if position == expected - 1:
            found.tampered(f"position {position}", "the position is there twice")
            continue
        if position > expected:
            missing = f"position {expected}" if position == expected + 1 else f"positions {expected} to {position - 1}"
            found.tampered(missing, f"missing before position {position}: a row was removed or its number changed")
        if row["snapshot_id"] <= snapshot:
            found.tampered(f"position {position}", "it was committed before the position that precedes it")
        expected, snapshot = position + 1, row["snapshot_id"]


def _compare(row: dict[str, Any], found: Found) -> None:
    """A position with what came in its commit: one control row of a unit, or one declaration of its kind."""
    where, kind = f"position {row['position']}", row["kind"]
    if kind == "unit" and (row["units"], row["declarations"]) != (1, 0):
        found.tampered(
            where, f"its kind is unit, but {row['units']} control rows and {row['declarations']} declarations came with it"
        )
    elif kind != "unit" and (row["units"], row["declarations"], row["declared_kind"]) != (0, 1, kind):
        told = f"{row['units']} control rows and {row['declarations']} declarations ({row['declared_kind'] or 'no kind'})"
        found.tampered(where, f"its kind is {kind}, but {told} came with it")
    for name, moment in (("taken_at of its control row", row["taken_at_us"]), ("clock of its tick", row["ticked_at_us"])):
        if moment is not None and abs(row["committed_at_us"] - moment) > _SLACK_US:
            hours = (row["committed_at_us"] - moment) / 3_600_000_000
            found.tampered(where, f"committed_at is {hours:+.1f} hours off the {name}")


def _consumers(evidence: Evidence, newest: int, found: Found) -> None:
    """Consumers advance, never beyond the newest position, and their rows name the position they committed."""
    rows = evidence.rows("consumers")
    committed: dict[tuple[str, int], int] = {}
    for consumer, commits in groupby(rows, lambda row: str(row["consumer"])):
        before = 0
        for row in commits:
            position = row["position"]
            if position > newest:
                found.tampered(f"consumer {consumer}", f"it is at position {position}, beyond the newest, {newest}")
            if position < before:
                found.tampered(f"consumer {consumer}", f"it goes back from position {before} to {position}")
            before = position
            # A model that scores earlier records again does so under a name of its own.
            committed["score" if consumer.startswith("rescore ") else consumer, row["snapshot_id"]] = position
    for table, consumer in _DERIVED.items():
        for row in evidence.rows("consumed_with", table=table):
            told = committed.get((consumer, row["snapshot_id"]))
            if told != row["position"]:
                at = "no position" if told is None else f"position {told}"
                detail = f"its commit brought rows of {table} at position {row['position']}, but the consumer committed {at}"
                found.tampered(f"consumer {consumer}", detail)
