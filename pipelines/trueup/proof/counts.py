"""The counts of units: records = accepted + duplicate + quarantined, and as many rows in the log as the control rows count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueup.proof.evidence import Check, Evidence, Found

CHECK = "counts"


def check_counts(evidence: Evidence) -> Check:
    """Compares what every unit's control rows count with each other and with the rows in the log."""
    found, notes, rows = Found(CHECK), list[str](), evidence.rows("accounts")
    for row in rows:
        wrong = differences(row)
        if wrong:
            found.tampered(f"unit {row['source_id']}", "; ".join(wrong))
        if row["is_whole"] and row["declared_records"] not in (None, row["records"]):
            # The sender counted otherwise: a matter of the feed, which quality judges.
            notes.append(f"unit {row['source_id']}: its sender declares {row['declared_records']} records, it has {row['records']}")
    return Check(CHECK, len(rows), "unit", found.all(), tuple(notes))


def differences(row: Mapping[str, Any]) -> list[str]:
    """What in the counts of a unit does not add up; empty where all does."""
    wrong = []
    if row["records"] is None:
        return [f"{row['event_rows'] + row['quarantine_rows']} rows without a control row"]
    if row["records"] != row["accepted"] + row["duplicate"] + row["quarantined"]:
        wrong.append("records are not accepted + duplicate + quarantined")
    if row["accepted"] != row["event_rows"]:
        wrong.append(f"{row['accepted']} accepted, but {row['event_rows']} events")
    if row["quarantined"] != row["quarantine_rows"]:
        wrong.append(f"{row['quarantined']} quarantined, but {row['quarantine_rows']} in quarantine")
    if row["parts"] != row["distinct_parts"] or row["parts"] != row["last_part_no"] + 1:
        wrong.append("a part is missing or there twice")
    return wrong
