"""Moved contents: derived anew from the events of their records, and counted by the control row of their commit."""

from __future__ import annotations

from trueup.events.identity import bucket_key_sql
from trueup.events.schema import MOVED_CONTENT
from trueup.proof.evidence import Check, Evidence, FaultCollector

CHECK = "moved"


def check_moved(evidence: Evidence) -> Check:
    """Compare each row of `moved` with the events of its record, and the rows of each commit with its control row.

    The control row shows that rows were removed where none of a record is left; its hash chain protects it.
    """
    faults = FaultCollector(CHECK)
    for row in evidence.rows("moved_counts"):
        where = f"snapshot {row['snapshot_id']}" if row["position"] is None else f"position {row['position']}"
        faults.tampered(where, f"its control row declares {row['declared']} moved contents, but the log has {row['stored']}")
    moved = evidence.lake.count("moved")
    bucket_by = evidence.lake.project.config.lake.bucket_by
    # Without a row the record keys of the streams are not read.
    for stream, columns in MOVED_CONTENT.items() if moved else ():
        parts = {
            "stream": stream, "scope": bucket_key_sql(bucket_by, of="e"),
            "item": "e.item IS NOT NULL" if stream == "charge" else "false", "columns": _list_copied_columns("e", columns),
            "stored_columns": _list_copied_columns("m", columns),
        }  # fmt: skip
        for row in evidence.rows("moved_contents", {"stream": stream}, **parts):
            where = f"moved {stream} event {row['event_id'].hex()}"
            faults.tampered(where, f"record {row['record_key']}: {_describe_fault(row)}", kind_of=stream)
    return Check(CHECK, moved, "moved content", faults.all())


def _list_copied_columns(table: str, columns: tuple[str, ...]) -> str:
    return ", ".join(f"{name} := {table}.{name}" for name in columns)


def _describe_fault(row: dict[str, object]) -> str:
    if row["is_missing"]:
        return "another bucket key of the record lacks this content: a row was removed, and both may count"
    if row["is_unexplained"]:
        return "no content of the record under another bucket key explains this row"
    if row["copies"] != 1:
        return f"the log has {row['copies']} rows for one bucket key"
    return "the row is not that of its event: a column, its bucket or its position was changed"
