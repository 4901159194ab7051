"""One record: its stored columns beside those that its raw bytes make, by the mapping that made it and by today's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from trueup.collect.commit.commit_part import quarantined_bytes
from trueup.collect.commit.cross_row_checks import CHECKS
from trueup.collect.decode.decoded import REJECTED
from trueup.collect.discover.units import Unit
from trueup.errors import ConfigError, SourceError
from trueup.events.schema import CORE, EVENT, QUARANTINE
from trueup.log.lake import Lake
from trueup.proof.archive import Archive, Missing, Wanted
from trueup.proof.evidence import Evidence
from trueup.proof.mappings import MadeBy, Mappings
from trueup.proof.remap import Remapped, remapped_record
from trueup.proof.units import units_of

Verdict = Literal["proven", "found", "differs", "missing", "unknown"]
SOUND: tuple[Verdict, ...] = ("proven", "found")


@dataclass(frozen=True)
class Difference:
    """A column whose stored value is not the one that the raw bytes make."""

    column: str
    stored: Any
    raw: Any


@dataclass(frozen=True)
class VerifyResult:
    """What reading one record again has shown.

    `verdict`: *proven*, every stored column is what the bytes make (of a rejected record: the quarantine holds the file's bytes,
    and they are rejected for the same reason); *found*, the mapping that made the record makes every stored column, but today's
    configuration makes others, listed in `differences`; *differs*, the bytes make other columns by the mapping that made the
    record; *missing*, the bytes are nowhere, or their mapping is not known; *unknown*, the log has no such record.
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
    """Reads one record's bytes again and compares every column. Raises nothing about the record: what is wrong is the verdict."""
    evidence = Evidence(lake, archives)
    for table in (*CORE, "quarantine"):
        columns = EVENT[table] if table in CORE else QUARANTINE
        names = ", ".join(f"e.{name}" for name in columns if name not in ("source", "stream"))
        found = evidence.rows("record", {"event_id": event_id}, table=table, columns=names)
        if found:
            return _verified(evidence, table, found[0])
    return VerifyResult(event_id, "", "", "", 0, 0, None, None, "unknown", "the log has no record of this id")


def _verified(evidence: Evidence, table: str, stored: Mapping[str, Any]) -> VerifyResult:
    place = (stored["source_row"], stored["source_offset"], stored["source_length"])
    wanted = Wanted(stored["source_id"], stored["path"], stored["sha256"], stored["bytes"])
    raw, path, mapping, differences = None, str(stored["path"]), "", tuple[Difference, ...]()
    try:
        mappings = Mappings(evidence)
        made_by = mappings.of(stored["source"], stored["mapping"])
        mapping = str(made_by)
        known = frozenset(unit.wanted.sha256 for unit in units_of(evidence))
        with Archive(evidence.lake.project, evidence.archives, known).unit(wanted, made_by.mapping.source) as unit:
            path = unit.shown
            # A reject without bytes is as it was kept where the others of its unit take the room that the quarantine has.
            emptied = table == "quarantine" and not stored["raw"]
            used = quarantined_bytes(evidence.lake, wanted.source_id) if emptied else 0
            raw, made = remapped_record(unit, made_by.mapping, place, stored["taken_at_us"], kept_bytes=used)
            verdict, detail, differences = _judged(table, stored, raw, made, made_by)
            if verdict == "proven" and not made_by.is_todays:
                verdict, detail, differences = _by_today(mappings.of_today(stored["source"]), table, stored, unit, detail)
    except Missing as error:
        verdict, detail = "differs" if error.changed else "missing", str(error)
    except ConfigError as error:
        verdict, detail = "missing", str(error)
    except SourceError as error:
        verdict, detail = "differs", str(error)
    return VerifyResult(
        bytes(stored["event_id"]), table, wanted.source_id, path, *place, raw, verdict, detail, mapping, differences
    )  # fmt: skip


def _judged(
    table: str, stored: Mapping[str, Any], raw: bytes, made: Remapped, made_by: MadeBy
) -> tuple[Verdict, str, tuple[Difference, ...]]:
    """The verdict by the mapping that made the record; where the log recorded none, by today's."""
    if table == "quarantine":
        differences = _of_reject(stored, raw, made)
        if differences:
            return "differs", f"the quarantine does not hold what the file holds: {_named(differences)}", differences
        return "proven", "the file holds the bytes that were rejected", ()
    if made.rows.is_empty():
        detail = f"the bytes are rejected ({made.rejected['reason'][0]}), but the log holds an event of them"
        return "differs", detail, ()
    differences = _differences(stored, made.rows.row(0, named=True))
    if not differences:
        return "proven", "every stored column is what the file's bytes make", ()
    if made_by.id is None and bytes(stored["event_id"]) != made.rows["event_id"][0]:
        return (
            "differs",
            f"today's mapping makes another event of the bytes, and the log recorded none: {_named(differences)}",
            differences,
        )
    return "differs", f"stored columns are not what the file's bytes make: {_named(differences)}", differences


def _by_today(
    today: MadeBy | None, table: str, stored: Mapping[str, Any], unit: Unit, detail: str
) -> tuple[Verdict, str, tuple[Difference, ...]]:
    """What today's configuration makes of a record that another mapping made, and proved."""
    if table == "quarantine" or today is None:
        return "proven", f"{detail}, by the mapping that made it", ()
    place = (stored["source_row"], stored["source_offset"], stored["source_length"])
    _, made = remapped_record(unit, today.mapping, place, stored["taken_at_us"])
    if made.rows.is_empty():
        return "found", f"{detail}, by the mapping that made it; today's rejects them ({made.rejected['reason'][0]})", ()
    differences = _differences(stored, made.rows.row(0, named=True))
    if not differences:
        return "proven", f"{detail}, by the mapping that made it and by today's", ()
    return "found", f"{detail}, by the mapping that made it; today's makes another {_named(differences)}", differences


def _differences(stored: Mapping[str, Any], made: Mapping[str, Any]) -> tuple[Difference, ...]:
    return tuple(Difference(name, stored[name], value) for name, value in made.items() if stored[name] != value)


def _of_reject(stored: Mapping[str, Any], raw: bytes, made: Remapped) -> tuple[Difference, ...]:
    if made.rejected.is_empty() or int(stored["source_row"]) in made.doubtful:
        # Refused by other rows of its stream, or by the clock: what the file proves is its bytes.
        differences = [] if bytes(stored["raw"]) == raw else [Difference("raw", bytes(stored["raw"]), raw)]
        if made.rejected.is_empty() and stored["stream"] not in CHECKS:
            differences.append(Difference("reason", stored["reason"], None))
        return tuple(differences)
    again = made.rejected.select(pl.col(name) for name in REJECTED).row(0, named=True)
    return tuple(Difference(name, stored[name], value) for name, value in again.items() if stored[name] != value)


def _named(differences: tuple[Difference, ...]) -> str:
    return ", ".join(difference.column for difference in differences)
