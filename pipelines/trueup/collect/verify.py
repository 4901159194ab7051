"""Proof: the raw bytes of a record read again, the accounts of all units, the hash chain of all sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from trueup.collect.chain import CONTROL, hash_of
from trueup.collect.mapping import Mapping as Columns
from trueup.collect.part import events_of
from trueup.collect.presets import expanded
from trueup.collect.raws import agrees, raws
from trueup.collect.readers import reader_of
from trueup.collect.statements import statement
from trueup.collect.units import Unit, find, opened
from trueup.config import SourceConfig
from trueup.errors import ConfigError, SourceError
from trueup.events.schema import CORE
from trueup.log.lake import Lake
from trueup.quality.rules import row_rules

Verdict = Literal["proven", "found", "differs", "missing", "unknown"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class VerifyResult:
    """What reading one record again has shown.

    `verdict`: *proven*, its bytes are in the file, and make the same event again (a rejected record: are the bytes that were
    kept); *found*, the bytes are there, but today's configuration makes another event of them; *differs*, other bytes are
    there; *missing*, the file is not there any more, or holds something else; *unknown*, the log has no such record.
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


@dataclass(frozen=True)
class ChainResult:
    """A source's chain of control rows: whole, or broken at a sequence number."""

    source: str
    rows: int
    ok: bool
    broken_at: int | None


@dataclass(frozen=True)
class AccountResult:
    """A unit's account: records in = accepted + duplicate + quarantined, and as many rows in the log as it says."""

    source_id: str
    records: int
    accepted: int
    duplicate: int
    quarantined: int
    ok: bool
    detail: str


# --- one record -------------------------------------------------------------------------------------------------------


def verify_record(lake: Lake, event_id: bytes) -> VerifyResult:
    """Reads one record's bytes again, and makes its event again. Raises nothing: what is wrong is the verdict."""
    for table in (*CORE, "quarantine"):
        found = lake.connection.execute(statement("record", table=table), {"event_id": event_id})
        row = found.fetchone()
        if row is not None:
            names = [column[0] for column in found.description]
            return _verified(lake, event_id, table, dict(zip(names, row, strict=True)))
    return VerifyResult(event_id, "", "", "", 0, 0, None, None, "unknown", "the log has no record of this id")


def _verified(lake: Lake, event_id: bytes, table: str, told: Mapping[str, Any]) -> VerifyResult:
    place = (told["source_row"], told["source_offset"], told["source_length"])
    raw: bytes | None = None
    path = str(told["path"])
    try:
        source = _source(lake, str(told["source"]))
        with opened(lake.project, source, _located(lake, source, told)) as unit:
            path = unit.shown
            raw, made = _again(lake, unit, told)
        kept = _kept(lake, event_id) if table == "quarantine" else None
        verdict, detail = _judged(event_id, raw, made, kept)
    except (SourceError, ConfigError) as error:
        verdict, detail = "missing", str(error)
    return VerifyResult(event_id, table, str(told["source_id"]), path, *place, raw, verdict, detail)


def _judged(event_id: bytes, raw: bytes, made: bytes | None, kept: bytes | None) -> tuple[Verdict, str]:
    if kept is not None:
        if not agrees(kept, raw):
            return "differs", "the file holds other bytes"
        return "proven", "the file holds the bytes that were rejected"
    if made == event_id:
        return "proven", "the file's bytes make this event"
    return "found", "the bytes are there; the source's configuration makes another event of them today"


def _kept(lake: Lake, event_id: bytes) -> bytes:
    (raw,) = lake.connection.execute("SELECT raw FROM lake.events.quarantine WHERE event_id = ?", [event_id]).fetchall()[0]
    return bytes(raw)


def _again(lake: Lake, unit: Unit, told: Mapping[str, Any]) -> tuple[bytes, bytes | None]:
    """The bytes of a record as the unit has them, and the id of the event they make (None where they are rejected)."""
    reader = reader_of(unit)
    # The clock of then: a record must not fall out of reach by growing old.
    then = _EPOCH + timedelta(microseconds=told["taken_at_us"])
    columns = Columns(unit.source, lake.project.config.project, then, row_rules(lake.project, unit.source))
    wanted = columns.wanted if unit.source.format == "ndjson" else columns.wanted_among(reader.columns())
    batch = reader.read(reader.at(told["source_row"], told["source_offset"], told["source_length"]), wanted, attributes=False)
    if batch.rejected.height:
        return bytes(batch.rejected["raw"][0]), None
    mapped = columns.apply(batch, source_id=unit.source_id, sha256=unit.sha256)
    made = events_of(mapped, unit.source, lake.project.config.lake).rows
    return batch.raw([0])[0], bytes(made["event_id"][0]) if made.height else None


def _located(lake: Lake, source: SourceConfig, told: Mapping[str, Any]) -> Path:
    """Where a unit lies: where it was read, or under another name among its source's files."""
    first = lake.project.directory / str(told["path"])
    others = (path for path in find(lake.project, source).paths if path != first)
    for path in (first, *others):
        if path.is_file() and path.stat().st_size == told["bytes"]:
            with opened(lake.project, source, path) as unit:
                if unit.sha256 == told["sha256"]:
                    return path
    todo = "bring it back from the archive"
    raise SourceError("the file is not there any more, or holds something else", where=str(told["path"]), todo=todo)


def _source(lake: Lake, name: str) -> SourceConfig:
    for source in lake.project.config.source:
        if source.name == name:
            return expanded(source)
    raise ConfigError(f"the source {name!r} is no longer configured", where="trueup.toml", todo="bring its [[source]] back")


# --- all rejected records ---------------------------------------------------------------------------------------------


def verify_quarantined(lake: Lake) -> list[VerifyResult]:
    """Reads the bytes of every rejected record again; one result each. Raises nothing: what is wrong is the verdict."""
    query = lake.connection.execute(statement("quarantined_units"))
    names = [column[0] for column in query.description]
    units = [dict(zip(names, row, strict=True)) for row in query.fetchall()]
    return [result for told in units for result in _verified_unit(lake, told)]


def _verified_unit(lake: Lake, told: Mapping[str, Any]) -> list[VerifyResult]:
    rows = lake.connection.execute(statement("quarantined_of"), {"source_id": told["source_id"]}).fetchall()
    source_id, path = str(told["source_id"]), str(told["path"])
    results = []
    try:
        source = _source(lake, str(told["source"]))
        with opened(lake.project, source, _located(lake, source, told)) as unit:
            for (event_id, row, offset, length, kept), raw in zip(rows, raws(unit, [row[1:4] for row in rows]), strict=True):
                verdict, detail = _judged(event_id, raw, None, bytes(kept))
                results.append(
                    VerifyResult(event_id, "quarantine", source_id, unit.shown, row, offset, length, raw, verdict, detail)
                )
    except (SourceError, ConfigError) as error:
        for event_id, row, offset, length, _ in rows[len(results) :]:
            results.append(VerifyResult(event_id, "quarantine", source_id, path, row, offset, length, None, "missing", str(error)))
    return results


# --- accounts and chains ----------------------------------------------------------------------------------------------


def verify_chains(lake: Lake) -> list[ChainResult]:
    """Computes every control row's hash again, along each source's chain."""
    query = lake.connection.execute(statement("chain"))
    names = [column[0] for column in query.description]
    assert set(CONTROL) <= set(names), "the chain is over all columns of a control row"
    rows = [dict(zip(names, row, strict=True)) for row in query.fetchall()]
    return [_walked(source, list(chain)) for source, chain in groupby(rows, lambda row: str(row["source"]))]


def _walked(source: str, chain: list[dict[str, Any]]) -> ChainResult:
    previous = ""
    for number, row in enumerate(chain):
        if row["sequence_no"] != number or row["previous_hash"] != previous or row["hash"] != hash_of(row):
            return ChainResult(source, len(chain), False, number)
        previous = row["hash"]
    return ChainResult(source, len(chain), True, None)


def verify_accounts(lake: Lake) -> list[AccountResult]:
    """Compares what every unit's control rows say with each other and with the rows in the log."""
    return [_account(row) for row in lake.connection.execute(statement("accounts")).pl().iter_rows(named=True)]


def _account(row: Mapping[str, Any]) -> AccountResult:
    wrong = []
    if row["records"] is None:
        wrong.append("rows without a control row")
    else:
        if row["records"] != row["accepted"] + row["duplicate"] + row["quarantined"]:
            wrong.append("records are not accepted + duplicate + quarantined")
        if row["accepted"] != row["event_rows"]:
            wrong.append(f"{row['accepted']} accepted, but {row['event_rows']} events")
        if row["quarantined"] != row["quarantine_rows"]:
            wrong.append(f"{row['quarantined']} quarantined, but {row['quarantine_rows']} in quarantine")
        if row["parts"] != row["distinct_parts"] or row["parts"] != row["last_part_no"] + 1:
            wrong.append("a part is missing or there twice")
        if row["is_whole"] and row["declared_records"] not in (None, row["records"]):
            wrong.append(f"{row['declared_records']} declared, but {row['records']} counted")
    records, accepted, duplicate, quarantined = (
        int(row[name] or 0) for name in ("records", "accepted", "duplicate", "quarantined")
    )
    detail = "; ".join(wrong) or "the account is sound"
    return AccountResult(str(row["source_id"]), records, accepted, duplicate, quarantined, not wrong, detail)
