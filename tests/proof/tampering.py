"""Changes that an attacker with write access may make to a project, each with the fault that verification must name.

Apply one to a copy of the small project (`verified_lake`): `TAMPERINGS["usage_subscriber"].apply(folder)`. A change with
`needs_anchor` leaves a lake that agrees with itself and its raw files: only an earlier signed statement can show it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from rewriting import (
    Row,
    Where,
    add,
    both,
    delete,
    edit,
    edit_and_rehash,
    flip_byte,
    move_file,
    raw,
    remove_file,
    rewrite,
    with_id,
    with_new_id,
)  # fmt: skip
from small_project import FILES, LATE, process_all, write_files

from trueup.config import Project
from trueup.proof.fault import FaultKind


@dataclass(frozen=True)
class Tampering:
    """One change, and the fault that verification finds.

    `check` is the check that reports the fault, and `names` are texts of the fault's `where` or `detail`. With `quick`, quick
    verification finds the fault too.
    """

    apply: Callable[[Path], None]
    check: str = ""
    names: tuple[str, ...] = ()
    kind: FaultKind = "tampered"
    needs_anchor: bool = False
    quick: bool = False


def record(key: str) -> Where:
    """Return a condition for the record with this key."""
    return lambda row: row["record_key"] == key


def by(name: str, value: object) -> Where:
    """Return a condition for the rows with this value."""
    return lambda row: row[name] == value


def later(name: str, **by_how_much: int) -> Callable[[Row], Any]:
    """Return a function that moves the column's value in time."""
    return lambda row: row[name] + timedelta(**by_how_much)


def decision_id(row: Row) -> bytes:
    """Return the id of a decision's content."""
    note, decider = row["note"] or "", row["decided_by"] or ""
    parts = ["1;decision", row["finding_id"].hex(), row["decision"], len(note), note, len(decider), decider,
             round(row["decided_at"].timestamp() * 1_000_000)]  # fmt: skip
    return hashlib.sha256(";".join(map(str, parts)).encode()).digest()[:16]


def alter_decision(**values: Any) -> Callable[[Path], None]:
    """Return a change that alters the first decision and recomputes its id."""

    def change(rows: list[Row]) -> list[Row]:
        altered = [{**row, **values} if row["decision"] == "confirmed" else row for row in rows]
        return [{**row, "event_id": decision_id(row)} for row in altered]

    return lambda folder: rewrite(folder, "decision", change)


def reprice_policy(row: Row) -> str:
    """Return the policy with another price of voice."""
    content = json.loads(row["content"])
    content["services"]["voice"]["price"] = 9_000_000
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def rebuild_lake(folder: Path) -> None:
    """Write the raw files with another quantity, and rebuild the lake from them."""
    shutil.rmtree(folder / "lake")
    for name in LATE:
        (folder / "landing" / name).unlink()
    process_all(write_files(folder, {name: text.replace("10:05:00,10,", "10:05:00,1,") for name, text in FILES.items()}))


def change_buckets(folder: Path) -> None:
    """Change the lake's fixed number of buckets, and likewise the configuration."""
    edit("setting", lambda row: True, content=lambda row: row["content"].replace("4", "8"))(folder)
    path = folder / "trueup.toml"
    path.write_text(path.read_text("utf-8").replace("buckets = 4", "buckets = 8"), "utf-8")
    Project.load(folder)


AT = datetime(2024, 3, 2, 11, 0, tzinfo=UTC)
U3, C3 = record("u3"), record("c3")

TAMPERINGS: dict[str, Tampering] = {
    # Columns of events that the event id covers.
    "usage_subscriber": Tampering(edit("usage", U3, subscriber="A9"), "event_ids", ("usage", "u3"), quick=True),
    "usage_time": Tampering(edit("usage", U3, started_at=later("started_at", hours=1)), "event_ids", ("usage", "u3"), quick=True),
    "usage_quantity": Tampering(edit("usage", U3, quantity_micros=1), "event_ids", ("usage", "u3"), quick=True),
    "usage_service": Tampering(edit("usage", U3, service="sms"), "event_ids", ("usage", "u3"), quick=True),
    "usage_peer": Tampering(edit("usage", U3, peer=None), "event_ids", ("usage", "u3"), quick=True),
    "charge_amount": Tampering(edit("charge", C3, amount_micros=55_000_000), "event_ids", ("charge", "c3"), quick=True),
    "charge_currency": Tampering(edit("charge", C3, currency="USD"), "event_ids", ("charge", "c3"), quick=True),
    "charge_account": Tampering(edit("charge", C3, account="K9"), "event_ids", ("charge", "c3"), quick=True),
    "subscriber_status": Tampering(
        edit("subscriber", by("subscriber", "A2"), status="active"), "event_ids", ("subscriber",), quick=True
    ),
    # The same changes with the id of the new content: only the raw bytes show the change.
    "usage_quantity_with_its_id": Tampering(
        with_new_id("usage", U3, quantity_micros=1_000_000), "units", ("msc-1.csv", "record 2", "quantity_micros")
    ),
    "charge_amount_with_its_id": Tampering(
        with_new_id("charge", C3, amount_micros=55_000_000), "units", ("billing-1.csv", "record 1", "amount_micros")
    ),
    # Columns that the event id does not cover.
    "usage_attributes": Tampering(edit("usage", U3, attributes='{"imei":"99"}'), "units", ("msc-1.csv", "record 2", "attributes")),
    "usage_attributes_removed": Tampering(edit("usage", U3, attributes=None), "units", ("msc-1.csv", "record 2", "attributes")),
    "usage_bucket": Tampering(edit("usage", U3, bucket=0), "event_ids", ("usage", "u3", "bucket"), quick=True),
    "usage_buckets_swapped": Tampering(
        edit("usage", lambda row: row["record_key"] in ("u3", "u1"), bucket=lambda row: 5 - row["bucket"]),
        "event_ids",
        ("usage", "bucket"),
        quick=True,
    ),
    "usage_day": Tampering(edit("usage", U3, day=date(2024, 3, 9)), "event_ids", ("usage", "u3", "day"), quick=True),
    "usage_source_row": Tampering(edit("usage", U3, source_row=77), "units", ("msc-1.csv", "record 77")),
    "usage_source_row_removed": Tampering(edit("usage", U3, source_row=None), "units", ("msc-1.csv", "without a record number")),
    "usage_source_row_largest": Tampering(edit("usage", U3, source_row=2**63 - 1), "units", ("msc-1.csv", f"record {2**63 - 1}")),
    "usage_source_offset": Tampering(edit("usage", U3, source_offset=106), "units", ("msc-1.csv", "record 2", "source_offset")),
    "usage_source_length": Tampering(edit("usage", U3, source_length=5), "units", ("msc-1.csv", "record 2", "source_length")),
    "usage_key_scope": Tampering(edit("usage", U3, key_scope="x"), "event_ids", ("usage", "u3"), quick=True),
    "usage_canonical_version": Tampering(edit("usage", U3, canonical_version=7), "event_ids", ("usage", "u3", "7"), quick=True),
    # Data files.
    "usage_byte_flipped": Tampering(flip_byte("usage"), "", ("usage",)),
    "usage_footer_damaged": Tampering(flip_byte("usage", at=1.1), "files", ("usage", ".parquet"), quick=True),
    "usage_file_removed": Tampering(remove_file("usage"), "files", ("usage", ".parquet"), quick=True),
    "finding_file_removed": Tampering(remove_file("finding"), "files", ("finding", ".parquet"), quick=True),
    "control_file_removed": Tampering(remove_file("control"), "files", ("control", ".parquet"), quick=True),
    # Events that are added, removed or moved.
    "event_deleted": Tampering(delete("usage", U3), "counts", ("msc@", "3 events"), quick=True),
    "event_duplicated": Tampering(add("usage", U3), "duplicates", ("usage", "u3")),
    "event_moved_to_another_unit": Tampering(
        edit("usage", U3, source_id="msc@08a07268832665f0f2f53e560b86a17c"), "counts", ("msc@08a0",), quick=True
    ),
    "event_added_without_control": Tampering(
        lambda folder: rewrite(
            folder,
            "usage",
            lambda rows: rows + [with_id("usage", {**r, "record_key": "u9", "source_id": "msc@0"}) for r in rows if U3(r)],
        ),
        "counts",
        ("msc@0", "without a control row"),
        quick=True,
    ),
    "event_added_to_a_unit": Tampering(
        lambda folder: rewrite(
            folder,
            "usage",
            lambda rows: rows + [with_id("usage", {**r, "record_key": "u9", "source_row": 99}) for r in rows if U3(r)],
        ),
        "counts",
        ("msc@910c", "5 events"),
        quick=True,
    ),
    "event_deleted_and_called_duplicate": Tampering(
        both(delete("usage", U3), edit_and_rehash(by("path", "landing/msc-1.csv"), accepted=3, duplicate=1)),
        "units",
        ("msc-1.csv", "record 2"),
    ),
    "event_deleted_and_called_filtered": Tampering(
        both(delete("usage", U3), edit_and_rehash(by("path", "landing/msc-1.csv"), accepted=3, filtered=1)),
        "units",
        ("msc-1.csv", "record 2"),
    ),
    # Control rows.
    "control_row_altered": Tampering(
        edit("control", by("path", "landing/msc-1.csv"), duplicate=1, records=6), "chains", ("msc", "control row 0"), quick=True
    ),
    "control_row_altered_chain_rehashed": Tampering(
        edit_and_rehash(by("path", "landing/msc-1.csv"), duplicate=1, records=6), "units", ("msc-1.csv", "records")
    ),
    "control_digits_altered_chain_rehashed": Tampering(
        edit_and_rehash(by("path", "landing/msc-1.csv"), lost_digits=2), "units", ("msc-1.csv", "lost_digits")
    ),
    "control_row_removed": Tampering(
        delete("control", by("path", "landing/msc-1.csv")), "chains", ("msc", "control row 0"), quick=True
    ),
    "control_row_removed_at_the_end": Tampering(
        delete("control", by("path", "landing/billing-2.csv")), "counts", ("billing@cd18", "without a control row"), quick=True
    ),
    "control_row_duplicated": Tampering(add("control", by("path", "landing/hlr.ndjson")), "chains", ("hlr",), quick=True),
    "control_path_altered_chain_rehashed": Tampering(
        edit_and_rehash(by("path", "landing/msc-1.csv"), path="landing/msc-0.csv"), needs_anchor=True
    ),
    # Positions, consumers, settings, declarations.
    "position_removed": Tampering(delete("position", by("position", 4)), "positions", ("position 4",), quick=True),
    "position_kind_altered": Tampering(edit("position", by("position", 4), kind="close"), "positions", ("position 4",), quick=True),
    "position_time_altered": Tampering(
        edit("position", by("position", 4), committed_at=later("committed_at", days=-3)), "positions", ("position 4",), quick=True
    ),
    "position_time_removed": Tampering(
        edit("position", by("position", 10), committed_at=None), "positions", ("position 10", "time"), quick=True
    ),
    "position_number_altered": Tampering(edit("position", by("position", 4), position=44), "positions", ("44",), quick=True),
    "catalog_says_another_commit": Tampering(move_file("charge", 9), "positions", ("billing@cd18", "snapshot 9"), quick=True),
    "consumer_advanced": Tampering(
        edit("consumer", lambda row: row["consumer"] == "reconcile" and row["position"] == 10, position=11),
        "positions",
        ("consumer reconcile",),
        quick=True,
    ),
    "consumer_set_back": Tampering(
        edit("consumer", lambda row: row["consumer"] == "reconcile" and row["position"] == 10, position=7),
        "positions",
        ("consumer reconcile",),
        quick=True,
    ),
    "setting_altered": Tampering(change_buckets, "event_ids", ("bucket",), quick=True),
    "policy_altered": Tampering(
        edit("declaration", by("kind", "policy"), content=reprice_policy), "declarations", ("policy",), quick=True
    ),
    "tick_altered": Tampering(
        edit("declaration", by("kind", "tick"), through=later("through", days=1)), "declarations", ("tick",), quick=True
    ),
    "close_altered": Tampering(edit("declaration", by("source", "msc"), source="billing"), "declarations", ("close",), quick=True),
    "close_removed": Tampering(delete("declaration", by("source", "msc")), "positions", ("position 7",), quick=True),
    "mapping_altered": Tampering(
        edit(
            "configuration",
            lambda row: '"name":"msc"' in row["content"],
            content=lambda row: row["content"].replace("voice", "sms"),
        ),
        "declarations",
        ("configuration", "mapping"),
        quick=True,
    ),
    # Rejected records.
    "quarantine_bytes_altered": Tampering(
        edit("quarantine", by("source_row", 3), raw=b"u4,A2,B2,2024-03-01,5,12"), "units", ("msc-1.csv", "record 3", "raw")
    ),
    "quarantine_reason_altered": Tampering(
        edit("quarantine", by("source_row", 3), reason="unparsable"), "units", ("msc-1.csv", "record 3", "reason")
    ),
    "quarantine_source_altered": Tampering(
        edit("quarantine", by("source_row", 3), source="billing"),
        "event_ids",
        ("msc@910c", "record 3", "billing, usage"),
        quick=True,
    ),
    "quarantine_stream_removed": Tampering(
        edit("quarantine", by("source_row", 3), stream=None), "event_ids", ("msc@910c", "record 3", "msc, None"), quick=True
    ),
    "quarantine_row_moved": Tampering(
        edit("quarantine", by("source_row", 3), source_row=1), "event_ids", ("quarantine", "record 1"), quick=True
    ),
    "quarantine_row_removed": Tampering(
        delete("quarantine", by("source_row", 3)), "counts", ("msc@910c", "quarantine"), quick=True
    ),
    # Raw files.
    "raw_file_changed": Tampering(raw("msc-1.csv", lambda b: b.replace(b"5.5", b"15.5")), "units", ("landing/msc-1.csv",)),
    "raw_file_replaced_by_the_same_size": Tampering(
        raw("msc-1.csv", lambda b: b.replace(b"5.5", b"6.5")), "units", ("landing/msc-1.csv",)
    ),
    "raw_file_truncated": Tampering(raw("msc-1.csv", lambda b: b[:100]), "units", ("landing/msc-1.csv",)),
    "raw_file_missing": Tampering(raw("msc-1.csv", lambda b: None), "units", ("landing/msc-1.csv",), kind="unavailable"),
    # Derived results.
    "finding_money_altered": Tampering(
        edit("finding", by("kind", "underbilled"), billed_micros=Decimal(50_000_000)), "findings", ("underbilled", "billed_micros")
    ),
    "finding_booking_money_altered": Tampering(
        edit("finding", by("kind", "underbilled"), whole_billed_micros=Decimal(50_000_000)),
        "findings",
        ("underbilled", "whole_billed_micros"),
    ),
    "finding_subscriber_altered": Tampering(
        edit("finding", by("kind", "underbilled"), subscriber="A9"), "findings", ("underbilled", "subscriber")
    ),
    "finding_members_altered": Tampering(
        edit("finding", by("kind", "underbilled"), charge_event_ids=[]), "findings", ("underbilled", "charge_event_ids")
    ),
    "finding_removed": Tampering(delete("finding", by("kind", "underbilled")), "findings", ("underbilled", "lacks")),
    "finding_added": Tampering(
        add("finding", by("kind", "underbilled"), finding_id=b"\1" * 16), "findings", ("0101", "underbilled")
    ),
    "finding_history_row_removed": Tampering(delete("finding", by("action", "resolved")), "findings", ("resolved", "lacks")),
    "ledger_altered": Tampering(
        edit("ledger", by("service", "voice"), expected_micros=lambda row: row["expected_micros"] + 1), "findings", ("ledger",)
    ),
    "placement_altered": Tampering(edit("placement", by("stream", "usage"), placed_records=5), "findings", ("placement",)),
    "score_rows_deleted": Tampering(delete("score", by("subscriber", "A1")), "scores", ("watched", "missing")),
    "score_altered": Tampering(edit("score", by("subscriber", "A1"), reasons='{"sentences":["none"]}'), "scores", ("reasons",)),
    "score_party_altered": Tampering(edit("score", by("subscriber", "A1"), party="A9"), "scores", ("party",)),
    "scoring_altered": Tampering(
        edit("scoring", lambda row: row["name"] == "watched" and row["day"] == date(2024, 3, 1), suspicious=0),
        "scores",
        ("scoring", "2024-03-01"),
    ),
    "decision_altered": Tampering(
        edit("decision", by("decision", "confirmed"), decision="dismissed"), "decisions", ("dismissed",), quick=True
    ),
    "decision_note_altered": Tampering(
        edit("decision", by("decision", "confirmed"), note="other"), "decisions", ("confirmed",), quick=True
    ),
    "decision_on_nothing": Tampering(alter_decision(finding_id=b"\2" * 16), "decisions", ("0202",), quick=True),
    "decision_altered_with_its_id": Tampering(alter_decision(decision="dismissed"), needs_anchor=True),
    "decision_removed": Tampering(delete("decision", by("decision", "confirmed")), needs_anchor=True),
    "lake_rebuilt_from_altered_files": Tampering(rebuild_lake, needs_anchor=True),
}
