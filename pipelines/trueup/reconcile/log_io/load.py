"""Load the kernel's inputs from the log: frontiers, terms and records, as of a position."""

from __future__ import annotations

import json
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import polars as pl

from trueup.errors import LogError
from trueup.events.identity import bucket_key
from trueup.events.schema import CORRECTED, own_time
from trueup.localtime import DAY_US
from trueup.log.catalog.table_files import table_files
from trueup.log.lake import BucketRange, Lake, TablePart
from trueup.log.place import data_path
from trueup.policies.declared import read_policies
from trueup.policies.policy import NEVER_POSITION, Policies, Policy
from trueup.rating.book import HOLIDAY, Book
from trueup.rating.charged_items.items import items_of
from trueup.rating.shared_terms import sharing
from trueup.reconcile.domain.frontier import Frontier, RunningMax, Ticks
from trueup.reconcile.domain.tariff_terms import FLAT, SUBSCRIBER_CHANGE, TARIFF_CHANGE, Edition, Terms, changes_of, states_of
from trueup.reconcile.sessions.admission import EVENTS

_SHARED = (
    "event_id", "source_id", "bucket", "key_scope", "record_key", "session_key", "account", "service", "subscriber", "peer",
    "node", "started_at", "quantity_micros", "partial_no", "record_version", "direction",
)  # fmt: skip
COLUMNS = {"usage": _SHARED, "charge": (*_SHARED, "amount_micros", "currency", "billed_at", *CORRECTED)}
"""The columns of each stream that the kernel reads."""

LINE = ("cell", "tariff_code")
"""Further core columns of a charge, which the kernel reads only where sums are compared, to find equal lines."""

OF_USAGE_SQL = {"usage": "true", "charge": "e.item IS NULL"}
"""The condition for the rows `e` of each stream that the kernel reads; it leaves out charges of items, which have no usage."""
NOTED = ("zone", "trunk")
"""Attributes on which a price may depend, under the names that the configuration gives them."""


_WITHOUT_SUMS: WeakKeyDictionary[Lake, int] = WeakKeyDictionary()
"""Each lake to the position up to which no policy compares sums; −1 if one does."""


def columns_of(lake: Lake, stream: str, upto: int) -> tuple[str, ...]:
    """Return the columns of a stream that the kernel reads, including those of lines if some policy compares sums."""
    return (*COLUMNS[stream], *LINE) if stream == "charge" and compares_sums(lake, upto) else COLUMNS[stream]


def compares_sums(lake: Lake, upto: int) -> bool:
    """Return whether the configuration or a policy declared up to a position compares sums; no position is read twice."""
    if Policy.of(lake.project.config).has_sums:
        return True
    after = _WITHOUT_SUMS.get(lake, 0)
    if after < 0 or upto <= after:
        return after < 0
    declared = lake.read("declaration", columns=["kind", "content"], after=after, upto=upto).filter(pl.col("kind") == "policy")
    found = any(Policy.from_content(0, json.loads(content)).has_sums for content in declared["content"])
    _WITHOUT_SUMS[lake] = -1 if found else upto
    return found


def line_hash() -> pl.Expr:
    """Return a hash of the core columns of a charge that `EVENTS` lacks, but for invoice and billing time."""
    return pl.col("account").hash(91) ^ pl.col("cell").hash(92) ^ pl.col("tariff_code").hash(93)


def noted_sql(lake: Lake) -> list[str]:
    """Return DuckDB expressions, over a stream's table `e`, for the attributes that prices depend on."""
    names = {n: getattr(lake.project.config.rating, n) for n in NOTED}
    return [
        f"e.attributes ->> '$.\"{attribute}\"' AS {n}" if attribute else f"NULL::VARCHAR AS {n}" for n, attribute in names.items()
    ]


def terms_of(lake: Lake, buckets: BucketRange, upto: int) -> Terms:
    """Return the tariff book and the subscriptions of a range of buckets, as known at every position up to `upto`."""
    if is_empty(lake, "tariff", upto) and is_empty(lake, "subscriber", upto):
        return FLAT
    tariffs = lake.read("tariff", upto=upto)
    known = lake.read("subscriber", upto=upto, part=TablePart(buckets))
    editions = []
    for position in tariffs["position"].unique().sort().to_list():
        so_far = tariffs.filter(pl.col("position") <= position).sort("position", "source_row")
        editions.append(Edition(position, _check_sharing(Book.of(so_far), lake)))
    since = dict(lake.connection.execute(
        "SELECT s.system, min(p.position) FROM lake.events.subscriber s "
        "JOIN lake.events.position p ON p.snapshot_id = s.snapshot_id WHERE p.position <= ? GROUP BY s.system", [upto],
    ).fetchall())  # fmt: skip
    states = states_of(known)
    billing, network = (since.get(system, NEVER_POSITION) for system in ("billing", "network"))
    changes = changes_of(_find_first_instants(tariffs, editions), states, billing)
    causes = dict.fromkeys(known["position"].to_list(), SUBSCRIBER_CHANGE)
    causes |= {billing: SUBSCRIBER_CHANGE} if billing != NEVER_POSITION else {}
    causes |= {e.position: TARIFF_CHANGE for e in editions}
    return Terms(tuple(editions), states, changes, causes, billing, network, items_of(tariffs))


def is_empty(lake: Lake, table: str, upto: int) -> bool:
    """Return whether the list of a table's files shows that it has no rows up to a position."""
    return table_files(lake.connection, data_path(lake.project), table, low=0, high=lake.snapshot_of(upto)) == []


def book_at(lake: Lake, upto: int) -> Book:
    """Return the tariff book as known at a position; raise `LogError` where there is none yet."""
    rows = lake.read("tariff", upto=upto)
    if rows.is_empty():
        raise LogError(
            f"no tariff book is known at position {upto}", where=str(lake.project.directory),
            todo="ingest one from a source of the stream tariff, or name one with --book or --cgrates",
        )  # fmt: skip
    return Book.of(rows.sort("position", "source_row"))


def with_plans(lake: Lake, calls: pl.DataFrame, upto: int) -> pl.DataFrame:
    """Add the cycle day of their subscription to records to be priced (`CALL`), and its plan to those without one.

    The subscriptions are those known at a position.
    """
    if calls["subscriber"].is_null().all():
        return calls
    states = Terms(states=states_of(lake.read("subscriber", upto=upto)))
    moments = calls.select("subscriber", time_us="start_us", at=pl.lit(upto, pl.Int64))
    return calls.with_columns(pl.coalesce("plan", states.states_at(moments)["plan"]), states.cycle_days_at(moments))


def _check_sharing(book: Book, lake: Lake) -> Book:
    """Return the book if its shared allowances stay within one bucket key; raise `LogError` otherwise.

    Records of one account lie in several buckets unless the account decides the bucket, and no bucket has them all.
    """
    by = lake.project.config.lake.bucket_by
    table = sharing([book])
    if by == "session_key" and not table.is_empty():
        raise LogError(
            'the tariff book has free units or tiers, whose records bucket_by = "session_key" separates',
            where=str(lake.project.directory), todo='create a lake with bucket_by = "subscriber" or "account"',
        )  # fmt: skip
    if by != "subscriber" and (table["period"] == "cycle").any():
        raise LogError(
            f"the tariff book has free units or tiers of billing cycles, which are those of subscribers; bucket_by = {by!r} keeps "
            "records of several subscribers together",
            where=str(lake.project.directory), todo='create a lake with bucket_by = "subscriber"',
        )  # fmt: skip
    if by != "account" and table["by_account"].any():
        raise LogError(
            f"the tariff book has free units or tiers shared by the account, whose records bucket_by = {by!r} separates",
            where=str(lake.project.directory), todo='create a lake with bucket_by = "account"',
        )  # fmt: skip
    return book


def _find_first_instants(tariffs: pl.DataFrame, editions: list[Edition]) -> list[tuple[int, int]]:
    """Return the first instant whose prices each edition may change."""
    return [(e.position, touched_from(tariffs.filter(pl.col("position") == e.position))) for e in editions]


def touched_from(rows: pl.DataFrame) -> int:
    """Return the first instant whose prices rows of a tariff book may change; a holiday may begin a day before its date."""
    begins = pl.col("valid_from").cast(pl.Int64) - pl.when(pl.col("item") == HOLIDAY).then(DAY_US).otherwise(0)
    return int(rows.select(begins.min()).item())


def frontier_of(lake: Lake, upto: int) -> Frontier:
    """Return the frontiers of all sources at every position up to `upto`, from control rows and declarations alone."""
    control = lake.read("control", columns=OBSERVED, upto=upto)
    declared = lake.read("declaration", columns=DECLARED, upto=upto)
    return frontier_from(control, declared, read_policies(lake, upto))


OBSERVED, DECLARED = ("source", "last_started_at"), ("kind", "source", "through")
"""The columns of `events.control` and of `events.declaration` from which frontiers follow."""


def frontier_from(control: pl.DataFrame, declared: pl.DataFrame, policies: Policies) -> Frontier:
    """Return the frontiers that control rows and declarations (with `position`) give, under policies."""
    observed = control.select("position", "source", value=pl.col("last_started_at").cast(pl.Int64))
    timed = declared.select("position", "kind", "source", value=pl.col("through").cast(pl.Int64))
    ticks = Ticks.of(timed.filter(pl.col("kind") == "tick").select("position", "value"))
    return Frontier(
        policies, _build_running_maxima(observed), _build_running_maxima(timed.filter(pl.col("kind") == "close")), ticks
    )


def _build_running_maxima(rows: pl.DataFrame) -> dict[str, RunningMax]:
    return {str(name): RunningMax.of(group.select("position", "value")) for (name,), group in rows.group_by("source")}


def as_events(frames: dict[str, pl.DataFrame], lake: Lake) -> pl.DataFrame:
    """Return rows of `events.usage` and `events.charge` (with `position`) as rows of `EVENTS`."""
    return pl.concat(_convert_to_events(lake, frames))


def _convert_to_events(lake: Lake, frames: dict[str, pl.DataFrame]) -> Iterable[pl.DataFrame]:
    for stream, frame in frames.items():
        amount = pl.lit(0, pl.Int64) if stream == "usage" else pl.col("amount_micros")
        currency = pl.lit(None, pl.String) if stream == "usage" else pl.col("currency")
        yield frame.with_columns(
            charge=pl.lit(stream == "charge"),
            source=source_names(frame["source_id"]),
            scope=bucket_key(lake.project.config.lake.bucket_by),
            time_us=own_time(stream).cast(pl.Int64),
            started=pl.col("started_at").is_not_null(),
            amount_micros=amount,
            currency=currency,
            line=line_hash() if "tariff_code" in frame.columns else pl.lit(None, pl.UInt64),
            **({} if stream == "charge" else no_correction()),
            **not_moved(),
        ).select(pl.col(n).cast(t) for n, t in EVENTS.items())


def not_moved() -> dict[str, pl.Expr]:
    """Return NULLs for the columns that only moved rows have."""
    return {name: pl.lit(None, EVENTS[name]) for name in ("delivered_scope", "delivered_at")}


def no_correction() -> dict[str, pl.Expr]:
    """Return NULLs for the columns of corrections, which usage records do not have."""
    return {name: pl.lit(None, dtype) for name, dtype in CORRECTED.items()}


def source_names(source_ids: pl.Series) -> pl.Series:
    """Return the name of the source of each source unit."""
    first = source_ids.first()
    if first is not None and source_ids.eq_missing(pl.Series([first])).all():
        # Usually there is one unit, and a comparison with it is quicker than a lookup for each row.
        return pl.Series("source", [str(first).rpartition("@")[0]]).new_from_index(0, len(source_ids))
    units = source_ids.drop_nulls().unique().to_list()
    names = [unit.rpartition("@")[0] for unit in units]
    return source_ids.replace_strict(units, names, default=None, return_dtype=pl.String).alias("source")
