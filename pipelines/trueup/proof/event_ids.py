"""Ids from content: `event_id`, bucket and day of every stored event, computed again from its stored columns by DuckDB."""

from __future__ import annotations

from trueup.events.identity import CANONICAL_VERSION, bucket_sql, canonical_sql, digest16_sql, is_bucketed
from trueup.events.schema import CORE, MOVEMENTS, OWN_TIME_SQL
from trueup.proof.evidence import Check, Evidence, Found
from trueup.proof.statements import statement

CHECK, DUPLICATES = "event_ids", "duplicates"
NEWEST_ROWS = 1_000_000
"""How many of the newest events of a stream the quick half of verification looks at, at least, where there are as many."""
_ROWS_A_PASS = 4_000_000


def check_event_ids(evidence: Evidence, *, newest_only: bool = False) -> Check:
    """Computes the id, bucket and day of every event again, and the id of every rejected record.

    DuckDB streams the rows, so that memory does not grow with them. With `newest_only`, at least the newest million events of
    each stream are checked, and all rejected records.
    """
    found, compared = Found(CHECK), 0
    for stream in CORE:
        since = _since(evidence, stream) if newest_only else 0
        compared += evidence.lake.count(stream) if not since else NEWEST_ROWS
        _each(evidence, stream, _query(evidence, stream), since, found)
    _each(evidence, "quarantine", statement("quarantine_ids", rows="{rows}", event_id=_quarantine_id()), 0, found)
    compared += evidence.lake.count("quarantine")
    return Check(CHECK, compared, "event", found.all())


def _query(evidence: Evidence, stream: str) -> str:
    lake = evidence.lake.project.config.lake
    has_day = stream in MOVEMENTS
    return statement(
        "event_ids", rows="{rows}", since="{since}", event_id=digest16_sql(canonical_sql(stream)), version=str(CANONICAL_VERSION),
        bucket=bucket_sql(lake.bucket_by, lake.buckets) if is_bucketed(stream, lake.bucket_by) else "0::SMALLINT",
        day="e.day" if has_day else "NULL::DATE",
        day_made=f"(({OWN_TIME_SQL[stream]}) AT TIME ZONE 'UTC')::DATE" if has_day else "NULL::DATE",
    )  # fmt: skip


def _quarantine_id() -> str:
    return digest16_sql("concat_ws(';', '1;quarantine', e.source_id, e.source_row)")


def _since(evidence: Evidence, stream: str) -> int:
    """A snapshot behind which at least the newest million events of a stream came; 0 where there are not as many."""
    after = 0
    counted = 0
    for row in evidence.rows("newest_units", {"stream": stream}):
        counted += int(row["accepted"])
        if counted >= NEWEST_ROWS:
            after = int(row["snapshot_id"]) - 1
            break
    return after


def _each(evidence: Evidence, table: str, query: str, since: int, found: Found) -> None:
    condition = f"e.snapshot_id > {since}" if since else "true"
    _gather(evidence, table, query.format(rows=f"lake.events.{table}", since=condition), found)


def _gather(evidence: Evidence, table: str, query: str, found: Found) -> None:
    for row in evidence.stream(query):
        where = f"{table} event {bytes(row['event_id'] or b'').hex()} (record {row['source_row']} of {row['source_id']})"
        for detail in _details(table, row):
            found.tampered(where, detail, kind_of=table)


def _details(table: str, row: dict[str, object]) -> list[str]:
    if table == "quarantine":
        return ["the id is not the one that unit and record number make"]
    details = []
    if row["bad_version"]:
        details.append(f"{row['record_key']}: canonical_version is {row['canonical_version']}, which nothing has ever written")
    elif row["bad_id"]:
        details.append(f"{row['record_key']}: the id is not the one that the stored columns make: a column or the id was changed")
    if row["bucket"] != row["bucket_made"]:
        details.append(f"{row['record_key']}: bucket is {row['bucket']}, its key makes {row['bucket_made']}")
    if row["day"] != row["day_made"]:
        details.append(f"{row['record_key']}: day is {row['day']}, its time makes {row['day_made']}")
    return details


def check_duplicates(evidence: Evidence) -> Check:
    """Looks for ids that a stream or the quarantine holds more than once; some millions of ids are in memory at a time."""
    found, compared = Found(DUPLICATES), 0
    for table in (*CORE, "quarantine"):
        rows = evidence.lake.count(table)
        compared += rows
        passes = min(256, -(-rows // _ROWS_A_PASS))
        edges = [bytes([256 * number // passes]) for number in range(passes)]
        key = "any_value(e.record_key)" if table in CORE else "any_value(e.source_row)::VARCHAR"
        for low, high in zip(edges, [*edges[1:], None], strict=False):
            for row in evidence.rows("repeated_ids", {"low": low, "high": high}, table=table, record_key=key):
                where = f"{table} event {row['event_id'].hex()}"
                detail = f"record {row['record_key']} of {row['source_id']}: the log holds {row['rows']} rows of this id"
                found.tampered(where, detail, kind_of=table)
    return Check(DUPLICATES, compared, "event id", found.all())
