"""Findings as rows of the log: numbers of the kernel turned back into ids, and their canonical order."""

from __future__ import annotations

from functools import cache

import duckdb
import polars as pl

from trueup.events.identity import digest16_sql, netstring_sql
from trueup.events.schema import UTC_TIME
from trueup.frames import query_frames
from trueup.localtime import local_day
from trueup.reconcile.domain.bookings import PERIOD, SESSION
from trueup.reconcile.domain.policies import NEVER_POSITION, Policies
from trueup.reconcile.kernel.evaluate import Evaluated
from trueup.reconcile.kernel.lifecycle import WHOLE

MONEY = pl.Decimal(38, 0)
BOOKING_MONEY: dict[str, pl.DataType] = {"booking_id": pl.Binary(), **dict.fromkeys(WHOLE, MONEY)}
"""The booking that a finding is part of, and the money of all its parts; NULL for findings without a booking."""
HISTORY: dict[str, pl.DataType] = {
    "finding_id": pl.Binary(),
    "position": pl.Int64(),
    "action": pl.String(),
    "cause": pl.String(),
    "kind": pl.String(),
    "bucket": pl.Int16(),
    "service": pl.String(),
    "subscriber": pl.String(),
    "peer": pl.String(),
    "node": pl.String(),
    "day": pl.Date(),
    "started_at": UTC_TIME,
    "expected_micros": MONEY,
    "billed_micros": MONEY,
    "currency": pl.String(),
    "usage_event_ids": pl.List(pl.Binary()),
    "charge_event_ids": pl.List(pl.Binary()),
    "content_event_ids": pl.List(pl.Binary()),
    "reason": pl.String(),
    "ended_at": UTC_TIME,
    **BOOKING_MONEY,
}
"""The columns of `events.finding`: one row for each change of a finding."""
ORDER = ["position", "finding_id", "action"]


def finding_changes(evaluated: Evaluated, policies: Policies, *, after: int) -> pl.DataFrame:
    """All changes after a position as rows of `HISTORY`, in canonical order."""
    bookings = with_booking_ids(_of_places(evaluated))
    changes = pl.concat([bookings, _of_conflicts(evaluated, policies, after)], how="diagonal")
    named = with_finding_ids(changes).with_columns(ended_at=pl.lit(None, UTC_TIME))
    return named.select(pl.col(n).cast(t) for n, t in HISTORY.items()).sort(ORDER)


def _of_places(evaluated: Evaluated) -> pl.DataFrame:
    """Changes of findings that stand on places, with the event ids that counted at that position."""
    rows = evaluated.changes.with_row_index("change").with_columns(sort=pl.col("owner_no") % 3, number=pl.col("owner_no") // 3)
    groups = evaluated.groups.select(
        number="group_no", group_scope="scope", group_currency="currency", name="name",
        name_scope=pl.when("own").then(pl.concat_str(pl.lit("record:"), "name_scope")).otherwise(pl.lit("key")),
    )  # fmt: skip
    cells = evaluated.cells.select(
        number="cell", cell_scope="scope", cell_currency="currency", cell_service="service", cell_subscriber="subscriber",
        period=pl.concat_str("period_us", "timezone", "index", separator="/"),
    )  # fmt: skip
    of_groups = rows.filter(pl.col("sort") != PERIOD).join(groups, on="number", how="left").with_columns(
        about=pl.when(pl.col("sort") == SESSION).then(pl.lit("session")).otherwise(pl.lit("bill")),
        id_scope="group_scope", id_currency="group_currency", id_service=pl.lit(None, pl.String),
        id_subscriber=pl.lit(None, pl.String), period=pl.lit(None, pl.String),
    )  # fmt: skip
    of_cells = rows.filter(pl.col("sort") == PERIOD).join(cells, on="number", how="left").with_columns(
        about=pl.lit("period"), id_scope="cell_scope", id_currency="cell_currency", id_service="cell_service",
        id_subscriber="cell_subscriber", name=pl.lit(None, pl.String), name_scope=pl.lit(None, pl.String),
    )  # fmt: skip
    named = pl.concat([of_groups, of_cells], how="diagonal")
    for column, name in (("usage", "usage_event_ids"), ("charges", "charge_event_ids")):
        named = named.join(_event_ids(named, evaluated.versions, column, name), on="change", how="left")
    return named.select(
        "action", "cause", "kind", "reason", "bucket", "service", "subscriber", "peer", "node", "day", "expected_micros",
        "billed_micros", "currency", *_ID_PARTS, *WHOLE,
        pl.col("usage_event_ids", "charge_event_ids").fill_null([]),
        position="at", started_at=pl.col("started_us").cast(UTC_TIME), content_event_ids=pl.lit([], pl.List(pl.Binary)),
    )  # fmt: skip


_ID_PARTS = ["about", "id_scope", "id_currency", "id_service", "id_subscriber", "name", "name_scope", "period"]


def _event_ids(rows: pl.DataFrame, versions: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    """The event ids of the records in a list column, as of each row's position (a retracted finding's: before it)."""
    listed = rows.select("change", "at", "action", record_no=column).explode("record_no").drop_nulls("record_no")
    gone = pl.col("action").is_in(["retracted", "resolved"])
    asked = listed.with_columns(moment=pl.col("at") - gone.cast(pl.Int64))
    held = asked.join(versions.select("record_no", "event_id", "since", "until"), on="record_no")
    held = held.filter((pl.col("since") <= pl.col("moment")) & (pl.col("moment") < pl.col("until")))
    return held.group_by("change").agg(pl.col("event_id").sort().alias(name))


def _of_conflicts(evaluated: Evaluated, policies: Policies, after: int) -> pl.DataFrame:
    conflicts = evaluated.resolved.conflicts.filter(pl.col("position") > after)
    counted = evaluated.versions.rename({"event_id": "counted"})
    policy = pl.Series(policies.number_at(conflicts["position"].to_numpy()), dtype=pl.Int64)
    rows = conflicts.with_columns(policy=policy).join(counted.drop("position"), on=["record_no", "counted"])
    day = local_day(pl.col("time_us"), policies.all[0].timezone)
    for number, later in enumerate(policies.all[1:], start=1):
        day = pl.when(pl.col("policy") >= number).then(local_day(pl.col("time_us"), later.timezone)).otherwise(day)
    none, mine = pl.lit([], pl.List(pl.Binary)), pl.concat_list("counted")
    nothing = pl.lit(0, pl.Int128)
    return rows.select(
        "bucket", "subscriber", "peer", "node", "currency", "position", reason=pl.lit(None, pl.String),
        service=pl.col("service").fill_null(""), day=day,
        action=pl.when("first").then(pl.lit("raised")).otherwise(pl.lit("revised")), cause=pl.lit("conflict"),
        kind=pl.when("charge").then(pl.lit("conflicting_charge")).otherwise(pl.lit("conflicting_usage")),
        expected_micros=nothing, billed_micros=nothing, started_at=pl.col("time_us").cast(UTC_TIME),
        usage_event_ids=pl.when("charge").then(none).otherwise(mine),
        charge_event_ids=pl.when("charge").then(mine).otherwise(none), content_event_ids="contents",
        about=pl.lit("record"), id_scope="scope", id_currency=pl.lit(None, pl.String), id_service=pl.lit(None, pl.String),
        id_subscriber=pl.lit(None, pl.String), name="record_key", name_scope="key_scope", period=pl.lit(None, pl.String),
    ).select(
        "action", "cause", "kind", "reason", "bucket", "service", "subscriber", "peer", "node", "day", "expected_micros",
        "billed_micros", "currency", *_ID_PARTS, "usage_event_ids", "charge_event_ids", "position", "started_at",
        "content_event_ids",
    )  # fmt: skip


def with_finding_ids(changes: pl.DataFrame) -> pl.DataFrame:
    """Adds `finding_id`: 16 bytes of SHA-256 over kind and subject, never over a time, a position or an amount."""
    return _with_digest(changes, "finding_id", "'1;finding;'", ["kind", *_ID_PARTS])


def with_booking_ids(changes: pl.DataFrame) -> pl.DataFrame:
    """Adds `booking_id`: 16 bytes of SHA-256 over the subject alone, which all findings of one booking share."""
    return _with_digest(changes, "booking_id", "'1;booking;'", _ID_PARTS)


def _with_digest(changes: pl.DataFrame, name: str, prefix: str, columns: list[str]) -> pl.DataFrame:
    if changes.is_empty():
        return changes.with_columns(pl.lit(None, pl.Binary).alias(name))
    form = " || ".join((prefix, *map(netstring_sql, columns)))
    with _hashing().cursor() as connection:
        ids = query_frames(connection, f"SELECT {digest16_sql(form)} AS id FROM subjects", subjects=changes.select(columns))
    return changes.with_columns(ids["id"].alias(name))


@cache
def _hashing() -> duckdb.DuckDBPyConnection:
    """A database that holds nothing, for what only DuckDB hashes; each caller takes a cursor of its own."""
    return duckdb.connect()


def booking_counts(evaluated: Evaluated, *, after: int, position: int) -> pl.DataFrame:
    """How many records were placed or outdone after a position, and their sums: for the second audit.

    A record that was placed before and has been outdone since moves from one count to the other.
    """
    told = ["charge", "source", "currency", "quantity_micros", "amount_micros", "position"]
    versions = evaluated.versions.with_columns(currency="charge_currency")
    counted = versions.filter(pl.col("until") == NEVER_POSITION).join(evaluated.members.select("record_no"), on="record_no")
    outdone = evaluated.resolved.superseded.with_columns(currency="charge_currency")
    come = [
        counted.select(*told, placed=pl.lit(1), outdone=pl.lit(0)), outdone.select(*told, placed=pl.lit(0), outdone=pl.lit(1)),
        evaluated.fast_path_records.select(*told, placed=pl.lit(1), outdone=pl.lit(0)),
    ]  # fmt: skip
    fell = versions.filter((pl.col("position") <= after) & (pl.col("until") > after) & (pl.col("until") != NEVER_POSITION))
    moved = fell.select(*told, placed=pl.lit(-1), outdone=pl.lit(1)).with_columns(pl.col("quantity_micros", "amount_micros") * 0)
    rows = pl.concat([pl.concat(come).filter(pl.col("position") > after), moved])
    return _summed(rows, position)


def _summed(rows: pl.DataFrame, position: int) -> pl.DataFrame:
    """Rows (charge, source, currency, quantity_micros, amount_micros, placed, outdone) as rows of `events.placement`."""
    summed = rows.group_by("charge", "source", pl.when("charge").then(pl.col("currency").fill_null(""))).agg(
        placed_records=pl.col("placed").sum().cast(pl.Int64),
        outdone_records=pl.col("outdone").sum().cast(pl.Int64),
        quantity_micros=pl.col("quantity_micros").cast(pl.Int128).sum(),
        amount_micros=pl.col("amount_micros").cast(pl.Int128).sum(),
    )
    return summed.select(
        pl.lit(position, pl.Int64).alias("position"),
        pl.when("charge").then(pl.lit("charge")).otherwise(pl.lit("usage")).alias("stream"),
        "source", pl.col("currency").fill_null(""), pl.exclude("charge", "source", "currency"),
    ).sort("stream", "source", "currency")  # fmt: skip
