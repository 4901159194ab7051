"""Convert findings to rows of the log: replace the kernel's numbers by ids, and put the rows in canonical order."""

from __future__ import annotations

from functools import cache

import duckdb
import polars as pl

from trueup.events.identity import digest16_sql, netstring_sql
from trueup.events.schema import UTC_TIME
from trueup.frames import query_streams
from trueup.localtime import local_day
from trueup.policies.policy import NEVER_POSITION, Policies
from trueup.reconcile.blocking.components import group_name
from trueup.reconcile.domain.bookings import PERIOD, SESSION
from trueup.reconcile.kernel.evaluate import Evaluated
from trueup.reconcile.kernel.lifecycle import WHOLE
from trueup.reconcile.sessions.admission import ResolvedRecords
from trueup.units import CALENDAR_PERIODS

MONEY = pl.Decimal(38, 0)
BOOKING_MONEY: dict[str, pl.DataType] = {"booking_id": pl.Binary(), **dict.fromkeys(WHOLE, MONEY)}
"""The booking that a finding is part of, and the money of all its parts; NULL for findings without a booking."""
CHARGED_ITEM: dict[str, pl.DataType] = {"item": pl.String(), "period_from": UTC_TIME, "period_to": UTC_TIME}
"""The recurring or one-off item that a finding concerns, with its period; NULL for all other findings."""
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
    **CHARGED_ITEM,
}
"""The columns of `events.finding`: one row for each change of a finding."""
ORDER = ["position", "finding_id", "action"]


def finding_changes(evaluated: Evaluated, policies: Policies, *, after: int) -> pl.DataFrame:
    """Return all changes after a position as rows of `HISTORY`, in canonical order."""
    bookings = with_booking_ids(pl.concat([_list_booking_changes(evaluated), _list_fast_path_changes(evaluated.raised)]))
    conflicts = conflict_changes(evaluated.resolved, evaluated.versions, policies, after)
    changes = pl.concat([bookings, conflicts], how="diagonal")
    return as_history(changes)


def as_history(changes: pl.DataFrame) -> pl.DataFrame:
    """Return changes of findings without an end as rows of `HISTORY`, in canonical order."""
    none = {name: pl.lit(None, dtype) for name, dtype in CHARGED_ITEM.items() if name not in changes.columns}
    named = with_finding_ids(changes).with_columns(ended_at=pl.lit(None, UTC_TIME), **none)
    return named.select(pl.col(n).cast(t) for n, t in HISTORY.items()).sort(ORDER)


def _format_period() -> pl.Expr:
    """Return the period of cells in the form of finding ids: a calendar period by its name, others by their microseconds."""
    names = {str(code): name for name, code in CALENDAR_PERIODS.items()}
    return pl.col("sum_period").cast(pl.String).replace(names)


def _list_booking_changes(evaluated: Evaluated) -> pl.DataFrame:
    """Return the changes of findings of bookings, with the event ids that counted at each position."""
    rows = evaluated.changes.with_row_index("change").with_columns(
        owner_kind=pl.col("owner_no") % 3, number=pl.col("owner_no") // 3
    )
    groups = evaluated.groups.select(
        number="group_no", group_scope="scope", group_currency="currency", name="name",
        name_scope=_format_name_scope(pl.col("own"), pl.col("name_scope")),
    )  # fmt: skip
    cells = evaluated.cells.select(
        number="cell", cell_scope="scope", cell_currency="currency", cell_service="service", cell_subscriber="subscriber",
        period=pl.concat_str(_format_period(), "timezone", "index", separator="/"),
    )  # fmt: skip
    of_groups = rows.filter(pl.col("owner_kind") != PERIOD).join(groups, on="number", how="left").with_columns(
        about=pl.when(pl.col("owner_kind") == SESSION).then(pl.lit("session")).otherwise(pl.lit("bill")),
        id_scope="group_scope", id_currency="group_currency", id_service=pl.lit(None, pl.String),
        id_subscriber=pl.lit(None, pl.String), period=pl.lit(None, pl.String),
    )  # fmt: skip
    of_cells = rows.filter(pl.col("owner_kind") == PERIOD).join(cells, on="number", how="left").with_columns(
        about=pl.lit("period"), id_scope="cell_scope", id_currency="cell_currency", id_service="cell_service",
        id_subscriber="cell_subscriber", name=pl.lit(None, pl.String), name_scope=pl.lit(None, pl.String),
    )  # fmt: skip
    named = pl.concat([of_groups, of_cells], how="diagonal")
    for column, name in (("usage", "usage_event_ids"), ("charges", "charge_event_ids")):
        named = named.join(event_ids(named, evaluated.versions, column, name), on="change", how="left")
    return _select_changes(named.with_columns(pl.col("usage_event_ids", "charge_event_ids").fill_null([])))


def _list_fast_path_changes(raised: pl.DataFrame) -> pl.DataFrame:
    """Return the findings that the fast path raised (`RAISED`), in the same form as `_list_booking_changes`."""
    own = pl.col("session_key").is_null()
    # The fast path takes no records beyond the horizon.
    group = group_name(own, pl.lit(False))
    whole = {"whole_expected_micros": "expected_micros", "whole_billed_micros": "billed_micros"}
    ids = {
        f"{side}_event_ids": pl.when(pl.col(f"{side}_event_id").is_null()).then([]).otherwise(pl.concat_list(f"{side}_event_id"))
        for side in ("usage", "charge")
    }
    named = raised.with_columns(
        action=pl.lit("raised"), about=pl.when("charge").then(pl.lit("bill")).otherwise(pl.lit("session")), id_scope="scope",
        id_currency="currency", name=group["name"], name_scope=_format_name_scope(own, group["name_scope"]), **whole, **ids,
        **dict.fromkeys(("id_service", "id_subscriber", "period"), pl.lit(None, pl.String)),
        whole_tolerated_micros=pl.lit(0, pl.Int128),
    )  # fmt: skip
    return _select_changes(named)


def _format_name_scope(own: pl.Expr, name_scope: pl.Expr) -> pl.Expr:
    """Return the scope of a group's name in the form of ids."""
    return pl.when(own).then(pl.concat_str(pl.lit("record:"), name_scope)).otherwise(pl.lit("key"))


def _select_changes(named: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of changes of findings of bookings."""
    return named.select(
        "action", "cause", "kind", "reason", "bucket", "service", "subscriber", "peer", "node", "day", "expected_micros",
        "billed_micros", "currency", *ID_PARTS, *WHOLE, "usage_event_ids", "charge_event_ids",
        position="at", started_at=pl.col("started_us").cast(UTC_TIME), content_event_ids=pl.lit([], pl.List(pl.Binary)),
    )  # fmt: skip


ID_PARTS = ["about", "id_scope", "id_currency", "id_service", "id_subscriber", "name", "name_scope", "period"]
"""The subject of a finding, from which its id derives."""


def event_ids(rows: pl.DataFrame, versions: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    """Return the event ids of the records in a list column, as of each row's position (before it for retracted findings)."""
    listed = rows.select("change", "at", "action", record_no=column).explode("record_no").drop_nulls("record_no")
    retracted = pl.col("action").is_in(["retracted", "resolved"])
    at_moment = listed.with_columns(moment=pl.col("at") - retracted.cast(pl.Int64))
    in_force = at_moment.join(versions.select("record_no", "event_id", "since", "until"), on="record_no")
    in_force = in_force.filter((pl.col("since") <= pl.col("moment")) & (pl.col("moment") < pl.col("until")))
    # One sort of all rows is quicker than one of each list.
    return in_force.sort("event_id").group_by("change", maintain_order=True).agg(pl.col("event_id").alias(name))


def conflict_changes(resolved: ResolvedRecords, versions: pl.DataFrame, policies: Policies, after: int) -> pl.DataFrame:
    """Return the changes of findings on records with several contents, at positions after `after`."""
    conflicts = resolved.conflicts.filter(pl.col("position") > after)
    counted = versions.rename({"event_id": "counted"})
    policy = pl.Series(policies.number_at(conflicts["position"].to_numpy()), dtype=pl.Int64)
    rows = conflicts.with_columns(policy=policy).join(counted.drop("position"), on=["record_no", "counted"])
    day = local_day(pl.col("time_us"), policies.all[0].timezone)
    for number, later in enumerate(policies.all[1:], start=1):
        day = pl.when(pl.col("policy") >= number).then(local_day(pl.col("time_us"), later.timezone)).otherwise(day)
    no_ids, counted_id = pl.lit([], pl.List(pl.Binary)), pl.concat_list("counted")
    zero = pl.lit(0, pl.Int128)
    return rows.select(
        "bucket", "subscriber", "peer", "node", "currency", "position", reason=pl.lit(None, pl.String),
        service=pl.col("service").fill_null(""), day=day,
        action=pl.when("first").then(pl.lit("raised")).otherwise(pl.lit("revised")), cause=pl.lit("conflict"),
        kind=pl.when("charge").then(pl.lit("conflicting_charge")).otherwise(pl.lit("conflicting_usage")),
        expected_micros=zero, billed_micros=zero, started_at=pl.col("time_us").cast(UTC_TIME),
        usage_event_ids=pl.when("charge").then(no_ids).otherwise(counted_id),
        charge_event_ids=pl.when("charge").then(counted_id).otherwise(no_ids), content_event_ids="contents",
        about=pl.lit("record"), id_scope="scope", id_currency=pl.lit(None, pl.String), id_service=pl.lit(None, pl.String),
        id_subscriber=pl.lit(None, pl.String), name="record_key", name_scope="key_scope", period=pl.lit(None, pl.String),
    ).select(
        "action", "cause", "kind", "reason", "bucket", "service", "subscriber", "peer", "node", "day", "expected_micros",
        "billed_micros", "currency", *ID_PARTS, "usage_event_ids", "charge_event_ids", "position", "started_at",
        "content_event_ids",
    )  # fmt: skip


def with_finding_ids(changes: pl.DataFrame) -> pl.DataFrame:
    """Add `finding_id`: 16 bytes of SHA-256 over kind and subject, never over a time, a position or an amount."""
    return _with_digest(changes, "finding_id", "'1;finding;'", ["kind", *ID_PARTS])


def with_booking_ids(changes: pl.DataFrame) -> pl.DataFrame:
    """Add `booking_id`: 16 bytes of SHA-256 over the subject alone, which all findings of one booking share."""
    return _with_digest(changes, "booking_id", "'1;booking;'", ID_PARTS)


def _with_digest(changes: pl.DataFrame, name: str, prefix: str, columns: list[str]) -> pl.DataFrame:
    if changes.is_empty():
        return changes.with_columns(pl.lit(None, pl.Binary).alias(name))
    form = " || ".join((prefix, *map(netstring_sql, columns)))
    with _open_hash_database().cursor() as connection:
        ids = query_streams(connection, f"SELECT {digest16_sql(form)} AS id FROM subjects", subjects=changes.select(columns))
    return changes.with_columns(ids["id"].alias(name))


@cache
def _open_hash_database() -> duckdb.DuckDBPyConnection:
    """Return a database without tables, for hashes that only DuckDB has; each caller takes a cursor of its own."""
    return duckdb.connect()


def booking_counts(evaluated: Evaluated, *, after: int, position: int) -> pl.DataFrame:
    """Return, for the audit of records, how many records were booked or superseded after a position, and their sums.

    A record that was booked before, and is superseded since, moves from one count to the other.
    """
    return count_records(
        evaluated.versions, evaluated.resolved.superseded, evaluated.members, evaluated.fast_path_records, after=after,
        position=position,
    )  # fmt: skip


def count_records(
    all_versions: pl.DataFrame, superseded: pl.DataFrame, members: pl.DataFrame, others: pl.DataFrame, *, after: int, position: int
) -> pl.DataFrame:
    """Return the counts of `booking_counts`; `members` are booked records, `others` sums of those without a version."""
    columns = (pl.col("charge", "source", "currency", "position"), pl.col("quantity_micros", "amount_micros").cast(pl.Int128))
    versions = all_versions.with_columns(currency="charge_currency")
    counted = versions.filter(pl.col("until") == NEVER_POSITION).join(members.select("record_no"), on="record_no")
    # A moved content is counted in the scope in which it was delivered.
    not_counted = superseded.filter(pl.col("delivered_scope").is_null()).with_columns(currency="charge_currency")
    none, one = pl.lit(0, pl.Int64), pl.lit(1, pl.Int64)
    records = [
        counted.select(*columns, booked=one, superseded=none),
        not_counted.select(*columns, booked=none, superseded=one),
        others.select(*columns, booked=pl.col("records"), superseded=none),
    ]  # fmt: skip
    replaced = versions.filter((pl.col("position") <= after) & (pl.col("until") > after) & (pl.col("until") != NEVER_POSITION))
    transfers = replaced.select(*columns, booked=-one, superseded=one).with_columns(pl.col("quantity_micros", "amount_micros") * 0)
    rows = pl.concat([pl.concat(records).filter(pl.col("position") > after), transfers])
    return _sum_placements(rows, position)


def _sum_placements(rows: pl.DataFrame, position: int) -> pl.DataFrame:
    """Return rows (charge, source, currency, quantity, amount, booked, superseded) added up as rows of `events.placement`."""
    summed = rows.group_by("charge", "source", pl.when("charge").then(pl.col("currency").fill_null(""))).agg(
        placed_records=pl.col("booked").sum().cast(pl.Int64),
        outdone_records=pl.col("superseded").sum().cast(pl.Int64),
        quantity_micros=pl.col("quantity_micros").sum(),
        amount_micros=pl.col("amount_micros").sum(),
    )
    return summed.select(
        pl.lit(position, pl.Int64).alias("position"),
        pl.when("charge").then(pl.lit("charge")).otherwise(pl.lit("usage")).alias("stream"),
        "source", pl.col("currency").fill_null(""), pl.exclude("charge", "source", "currency"),
    ).sort("stream", "source", "currency")  # fmt: skip
