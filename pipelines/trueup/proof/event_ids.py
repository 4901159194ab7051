"""Check of event ids: DuckDB recomputes `event_id`, bucket and day of every stored event from its stored columns."""

from __future__ import annotations

from trueup.events.identity import bucket_sql, canonical_sql, canonical_version_sql, digest16_sql, is_bucketed
from trueup.events.schema import CORE, OWN_TIME_SQL
from trueup.events.streams import DATED
from trueup.proof.evidence import Check, Evidence, FaultCollector
from trueup.proof.statements import statement

CHECK, DUPLICATES = "event_ids", "duplicates"
NEWEST_ROWS = 1_000_000
"""Minimum number of newest events per stream that quick verification checks, where there are as many."""
_ROWS_A_PASS = 4_000_000


def check_event_ids(evidence: Evidence, *, newest_only: bool = False) -> Check:
    """Recompute the id, bucket and day of every event, and the id, source and stream of every rejected record.

    DuckDB streams the rows, so memory does not grow with them. With `newest_only`, at least the newest million events of each
    stream are checked, and all rejected records.
    """
    faults, compared = FaultCollector(CHECK), 0
    for stream in CORE:
        since = _find_since(evidence, stream) if newest_only else 0
        compared += evidence.lake.count(stream) if not since else NEWEST_ROWS
        _check_table(evidence, stream, _build_query(evidence, stream), since, faults)
    _check_table(evidence, "quarantine", statement("event_ids/quarantine_ids", rows="{rows}", event_id=_quarantine_id()), 0, faults)
    compared += evidence.lake.count("quarantine")
    return Check(CHECK, compared, "event", faults.all())


def _build_query(evidence: Evidence, stream: str) -> str:
    lake = evidence.lake.project.config.lake
    has_day = stream in DATED
    return statement(
        "event_ids/event_ids", rows="{rows}", since="{since}", event_id=digest16_sql(canonical_sql(stream)),
        version=canonical_version_sql(stream),
        bucket=bucket_sql(lake.bucket_by, lake.buckets) if is_bucketed(stream, lake.bucket_by) else "0::SMALLINT",
        day="e.day" if has_day else "NULL::DATE",
        day_made=f"(({OWN_TIME_SQL[stream]}) AT TIME ZONE 'UTC')::DATE" if has_day else "NULL::DATE",
    )  # fmt: skip


def _quarantine_id() -> str:
    return digest16_sql("concat_ws(';', '1;quarantine', e.source_id, e.source_row)")


def _find_since(evidence: Evidence, stream: str) -> int:
    """Return a snapshot after which at least the newest million events of a stream were committed; 0 for a smaller stream."""
    after = 0
    counted = 0
    for row in evidence.rows("event_ids/newest_units", {"stream": stream}):
        counted += int(row["accepted"])
        if counted >= NEWEST_ROWS:
            after = int(row["snapshot_id"]) - 1
            break
    return after


def _check_table(evidence: Evidence, table: str, query: str, since: int, faults: FaultCollector) -> None:
    condition = f"e.snapshot_id > {since}" if since else "true"
    _add_faults(evidence, table, query.format(rows=f"lake.events.{table}", since=condition), faults)


def _add_faults(evidence: Evidence, table: str, query: str, faults: FaultCollector) -> None:
    for row in evidence.stream(query):
        where = f"{table} event {bytes(row['event_id'] or b'').hex()} (record {row['source_row']} of {row['source_id']})"
        for detail in _describe_faults(table, row):
            faults.tampered(where, detail, kind_of=table)


def _describe_faults(table: str, row: dict[str, object]) -> list[str]:
    if table == "quarantine":
        if row["bad_id"]:
            return ["the id is not that of its unit and record number"]
        stored = f"{row['stored_source']}, {row['stored_stream']}"
        return [f"its source and stream are {stored}, those of its unit {row['source']}, {row['stream']}"]
    details = []
    if row["bad_version"]:
        details.append(f"{row['record_key']}: canonical_version is {row['canonical_version']}, which no version has written")
    elif row["bad_id"]:
        details.append(f"{row['record_key']}: the id is not that of the stored columns: a column or the id was changed")
    if row["bucket"] != row["bucket_made"]:
        details.append(f"{row['record_key']}: bucket is {row['bucket']}, that of its key is {row['bucket_made']}")
    if row["day"] != row["day_made"]:
        details.append(f"{row['record_key']}: day is {row['day']}, that of its time is {row['day_made']}")
    return details


def check_duplicates(evidence: Evidence) -> Check:
    """Find ids that a stream or the quarantine has more than once; memory holds some millions of ids at a time."""
    faults, compared = FaultCollector(DUPLICATES), 0
    for table in (*CORE, "quarantine"):
        rows = evidence.lake.count(table)
        compared += rows
        passes = min(256, -(-rows // _ROWS_A_PASS))
        edges = [bytes([256 * number // passes]) for number in range(passes)]
        key = "any_value(e.record_key)" if table in CORE else "any_value(e.source_row)::VARCHAR"
        for low, high in zip(edges, [*edges[1:], None], strict=False):
            for row in evidence.rows("event_ids/repeated_ids", {"low": low, "high": high}, table=table, record_key=key):
                where = f"{table} event {row['event_id'].hex()}"
                detail = f"record {row['record_key']} of {row['source_id']}: the log has {row['rows']} rows with this id"
                faults.tampered(where, detail, kind_of=table)
    return Check(DUPLICATES, compared, "event id", faults.all())
