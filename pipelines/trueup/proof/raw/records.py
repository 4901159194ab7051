"""Verification of one record: compares its stored columns with those of its raw bytes, by its own and the present mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from trueup.collect.commit.commit_part import quarantined_bytes
from trueup.collect.commit.cross_row_checks import CHECKS
from trueup.collect.decode.decoded import REJECTED
from trueup.collect.discover.raw_files import Archive, MissingRawFile, RecordedUnit
from trueup.collect.discover.units import Unit
from trueup.errors import ConfigError, SourceError
from trueup.events.schema import CORE, EVENT, QUARANTINE
from trueup.log.lake import Lake
from trueup.proof.evidence import Evidence
from trueup.proof.raw.mappings import UnitMapping, UnitMappings
from trueup.proof.raw.remap import RemappedRecords, remap_record
from trueup.proof.raw.units import read_units

Verdict = Literal["proven", "found", "differs", "missing", "unknown"]
SOUND: tuple[Verdict, ...] = ("proven", "found")


@dataclass(frozen=True)
class Difference:
    """A column whose stored value differs from the value of the raw bytes."""

    column: str
    stored: Any
    raw: Any


@dataclass(frozen=True)
class VerifyResult:
    """Result of rereading one record.

    `verdict` is one of these:

    * *proven*: every stored column equals the column of the raw bytes. For a rejected record, quarantine has the file's bytes and
      the same reason.
    * *found*: the record's own mapping yields every stored column, but the present configuration yields others, listed in
      `differences`.
    * *differs*: the raw bytes yield other columns by the record's own mapping.
    * *missing*: the bytes are not found, or their mapping is unknown.
    * *unknown*: the log has no such record.
    """

    event_id: bytes
    stream: str
    source_id: str
    path: str
    row: int
    offset: int
    length: int | None
    raw: bytes | None
    verdict: Verdict
    detail: str
    mapping: str = ""
    differences: tuple[Difference, ...] = ()


def verify_record(lake: Lake, event_id: bytes, *, archives: tuple[Path, ...] = ()) -> VerifyResult:
    """Reread one record's bytes and compare every column. Faults of the record are part of the verdict and are not raised."""
    evidence = Evidence(lake, archives)
    for table in (*CORE, "quarantine"):
        columns = EVENT[table] if table in CORE else QUARANTINE
        names = ", ".join(f"e.{name}" for name in columns if name not in ("source", "stream"))
        rows = evidence.rows("raw/record", {"event_id": event_id}, table=table, columns=names)
        if rows:
            return _verify_stored(evidence, table, rows[0])
    return VerifyResult(event_id, "", "", "", 0, 0, None, None, "unknown", "the log has no record of this id")


def _verify_stored(evidence: Evidence, table: str, stored: Mapping[str, Any]) -> VerifyResult:
    provenance = (stored["source_row"], stored["source_offset"], stored["source_length"])
    recorded = RecordedUnit(stored["source_id"], stored["path"], stored["sha256"], stored["bytes"])
    raw, path, mapping, differences = None, str(stored["path"]), "", tuple[Difference, ...]()
    try:
        mappings = UnitMappings(evidence)
        mapping_used = mappings.of(stored["source"], stored["mapping"])
        mapping = str(mapping_used)
        known = frozenset(unit.recorded.sha256 for unit in read_units(evidence))
        with Archive(evidence.lake.project, evidence.archives, known).unit(recorded, mapping_used.mapping.source) as unit:
            path = unit.shown
            # A rejected record is stored without bytes once other rejected records of its unit have used up the quarantine's
            # budget.
            is_emptied = table == "quarantine" and not stored["raw"]
            used = quarantined_bytes(evidence.lake, recorded.source_id) if is_emptied else 0
            raw, remapped = remap_record(unit, mapping_used.mapping, provenance, stored["taken_at_us"], used_bytes=used)
            verdict, detail, differences = _reach_verdict(table, stored, raw, remapped, mapping_used)
            if verdict == "proven" and not mapping_used.is_current:
                present = mappings.current(stored["source"])
                verdict, detail, differences = _compare_with_present(present, table, stored, unit, detail)
    except MissingRawFile as error:
        verdict, detail = "differs" if error.changed else "missing", str(error)
    except ConfigError as error:
        verdict, detail = "missing", str(error)
    except SourceError as error:
        verdict, detail = "differs", str(error)
    return VerifyResult(
        bytes(stored["event_id"]), table, recorded.source_id, path, *provenance, raw, verdict, detail, mapping, differences
    )  # fmt: skip


def _reach_verdict(
    table: str, stored: Mapping[str, Any], raw: bytes, remapped: RemappedRecords, mapping_used: UnitMapping
) -> tuple[Verdict, str, tuple[Difference, ...]]:
    """Return the verdict by the record's own mapping, or by the present mapping where the log recorded none."""
    if table == "quarantine":
        differences = _compare_reject(stored, raw, remapped)
        if differences:
            return "differs", f"the quarantine differs from the file: {_list_columns(differences)}", differences
        return "proven", "the file has the bytes that were rejected", ()
    if remapped.rows.is_empty():
        return "differs", f"the bytes: their mapping {_describe_treatment(remapped)}, but the log has an event of them", ()
    differences = _find_differences(stored, remapped.rows.row(0, named=True))
    if not differences:
        return "proven", "every stored column equals that of the raw bytes", ()
    if mapping_used.id is None and bytes(stored["event_id"]) != remapped.rows["event_id"][0]:
        return (
            "differs",
            f"the present mapping yields another event for the bytes, and the log recorded none: {_list_columns(differences)}",
            differences,
        )
    return "differs", f"stored columns differ from those of the raw bytes: {_list_columns(differences)}", differences


def _compare_with_present(
    present: UnitMapping | None, table: str, stored: Mapping[str, Any], unit: Unit, detail: str
) -> tuple[Verdict, str, tuple[Difference, ...]]:
    """Compare a proven record of an earlier mapping with the result of the present configuration."""
    if table == "quarantine" or present is None:
        return "proven", f"{detail}, by its own mapping", ()
    provenance = (stored["source_row"], stored["source_offset"], stored["source_length"])
    _, remapped = remap_record(unit, present.mapping, provenance, stored["taken_at_us"])
    if remapped.rows.is_empty():
        return "found", f"{detail}, by its own mapping; the present one {_describe_treatment(remapped)}", ()
    differences = _find_differences(stored, remapped.rows.row(0, named=True))
    if not differences:
        return "proven", f"{detail}, by its own mapping and by the present one", ()
    return "found", f"{detail}, by its own mapping; the present one yields another {_list_columns(differences)}", differences


def _describe_treatment(remapped: RemappedRecords) -> str:
    """Return the sentence on how a mapping treats the bytes of a record that yields no event."""
    return (
        f"rejects them ({remapped.rejected['reason'][0]})"
        if remapped.rejected.height
        else "leaves them out (`where`, `record_type`)"
    )


def _find_differences(stored: Mapping[str, Any], remapped: Mapping[str, Any]) -> tuple[Difference, ...]:
    return tuple(Difference(name, stored[name], value) for name, value in remapped.items() if stored[name] != value)


def _compare_reject(stored: Mapping[str, Any], raw: bytes, remapped: RemappedRecords) -> tuple[Difference, ...]:
    if remapped.rejected.is_empty() or int(stored["source_row"]) in remapped.clock_dependent:
        # Other rows of the stream, or the clock, were the reason to refuse the record: the file proves only its bytes.
        differences = [] if bytes(stored["raw"]) == raw else [Difference("raw", bytes(stored["raw"]), raw)]
        if remapped.rejected.is_empty() and (stored["stream"] not in CHECKS or len(remapped.filtered)):
            differences.append(Difference("reason", stored["reason"], None))
        return tuple(differences)
    reject = remapped.rejected.select(pl.col(name) for name in REJECTED).row(0, named=True)
    return tuple(Difference(name, stored[name], value) for name, value in reject.items() if stored[name] != value)


def _list_columns(differences: tuple[Difference, ...]) -> str:
    return ", ".join(difference.column for difference in differences)
