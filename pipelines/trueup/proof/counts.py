"""Counts of units: records = accepted + duplicate + filtered + quarantined, and the log has as many rows as they count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueup.proof.evidence import Check, Evidence, FaultCollector

CHECK = "counts"


def check_counts(evidence: Evidence) -> Check:
    """Compare the counts of every unit's control rows with each other and with the rows in the log."""
    faults, notes, rows = FaultCollector(CHECK), list[str](), evidence.rows("accounts")
    for row in rows:
        mismatches = differences(row)
        if mismatches:
            faults.tampered(f"unit {row['source_id']}", "; ".join(mismatches))
        if row["is_complete"] and row["declared_records"] not in (None, row["records"]):
            # A difference from the sender's count concerns the feed, which quality evaluates.
            notes.append(
                f"unit {row['source_id']}: its sender declares {row['declared_records']} records, but it has {row['records']}"
            )
    return Check(CHECK, len(rows), "unit", faults.all(), tuple(notes))


def differences(row: Mapping[str, Any]) -> list[str]:
    """Return the contradictions in the counts of a unit; empty where there are none."""
    mismatches = []
    if row["records"] is None:
        return [f"{row['event_rows'] + row['quarantine_rows']} rows without a control row"]
    if row["records"] != row["accepted"] + row["duplicate"] + row["filtered"] + row["quarantined"]:
        mismatches.append("records are not accepted + duplicate + filtered + quarantined")
    if row["accepted"] != row["event_rows"]:
        mismatches.append(f"{row['accepted']} accepted, but {row['event_rows']} events")
    if row["quarantined"] != row["quarantine_rows"]:
        mismatches.append(f"{row['quarantined']} quarantined, but {row['quarantine_rows']} in quarantine")
    if row["parts"] != row["distinct_parts"] or row["parts"] != row["last_part_no"] + 1:
        mismatches.append("a part is missing or repeated")
    return mismatches
