"""Read charges of recurring and one-off items; the usage kernel reads all other charges."""

from __future__ import annotations

from importlib.resources import files
from weakref import WeakKeyDictionary

import polars as pl

from trueup.events.identity import bucket_key_sql, canonical_sql, digest16_sql
from trueup.events.schema import OWN_TIME_SQL
from trueup.frames import query_frames
from trueup.log.lake import BucketRange, Lake
from trueup.reconcile.domain.frontier import RunningMax
from trueup.reconcile.log_io.load import COLUMNS, as_events, noted_sql
from trueup.reconcile.log_io.moved_rows import as_moved_events, read_moved
from trueup.reconcile.sessions.admission import EVENTS, RECORD

ITEM_CHARGE: dict[str, pl.DataType] = {
    **EVENTS,
    "item": pl.String(),
    "period_from_us": pl.Int64(),
    "period_to_us": pl.Int64(),
    "content": pl.Binary(),  # a hash of all core columns but record key, invoice and billing time
}
_WITHOUT_ITEMS: WeakKeyDictionary[Lake, dict[BucketRange, int]] = WeakKeyDictionary()
"""By lake and range of buckets, the position up to which no charge names an item."""
_NOT_COMPARED = frozenset({"record_key", "invoice_id", "billed_at"})
_PERIOD_SQL = ("e.item", "epoch_us(e.period_from) AS period_from_us", "epoch_us(e.period_to) AS period_to_us")


def item_charges(lake: Lake, buckets: BucketRange, upto: int, subscribers: pl.Series | None = None) -> pl.DataFrame:
    """Return the charges of items (`ITEM_CHARGE`) up to a position, of all or of some subscribers, with their moved rows."""
    content = f"{digest16_sql(canonical_sql('charge', without=_NOT_COMPARED))} AS content"
    columns = [*(f"e.{name}" for name in COLUMNS["charge"]), *noted_sql(lake), *_PERIOD_SQL, content]
    rows = _read_charges(lake, buckets, upto, columns, subscribers)
    added = [n for n in ITEM_CHARGE if n not in EVENTS]
    charges = as_events({"charge": rows}, lake).hstack(rows.select(pl.col(n).cast(ITEM_CHARGE[n]) for n in added))
    moved = _read_moved_charges(lake, buckets, upto)
    return charges if moved.is_empty() else pl.concat([charges, _join_to_subscribers(moved, charges)])


def _read_moved_charges(lake: Lake, buckets: BucketRange, upto: int) -> pl.DataFrame:
    return read_moved(lake, buckets, upto=upto).filter(pl.col("item").is_not_null())


def _join_to_subscribers(moved: pl.DataFrame, charges: pl.DataFrame) -> pl.DataFrame:
    """Return rows of `events.moved` as `ITEM_CHARGE`, once for each subscriber of whom `charges` (`RECORD`) have the record."""
    periods = {f"{name}_us": pl.col(name).cast(pl.Int64) for name in ("period_from", "period_to")}
    further = moved.select("item", **periods, content=pl.lit(None, pl.Binary))
    own = charges.select(*RECORD, "subscriber").unique()
    return as_moved_events(moved).hstack(further).drop("subscriber").join(own, on=RECORD).select(*ITEM_CHARGE)


def item_charge_times(lake: Lake, buckets: BucketRange, upto: int) -> pl.DataFrame:
    """Return `subscriber`, `position`, `own_us`, `period_from_us` and `period_to_us` of all charges of items up to a position."""
    own = f"epoch_us({OWN_TIME_SQL['charge']}) AS own_us"
    moved, columns = _read_moved_charges(lake, buckets, upto), ["e.subscriber", own, *_PERIOD_SQL[1:]]
    if moved.is_empty():
        return _read_charges(lake, buckets, upto, columns, None)
    times = _read_charges(lake, buckets, upto, [*columns, *_list_record_sql(lake)], None)
    # A content under another bucket key affects a subscriber at the position at which it moves a charge.
    of_subscribers = _join_to_subscribers(moved, times).rename({"time_us": "own_us"})
    shared = ["subscriber", "own_us", "period_from_us", "period_to_us", "position"]
    return pl.concat([times.select(shared), of_subscribers.select(shared)])


def shared_item_records(lake: Lake, buckets: BucketRange, upto: int) -> pl.DataFrame:
    """Return `subscriber` and `RECORD` of all charges of items up to a position; none where subscriptions share no bucket key."""
    if lake.project.config.lake.bucket_by == "subscriber":
        return pl.DataFrame(schema={"subscriber": pl.String, **{n: EVENTS[n] for n in RECORD}})
    return _read_charges(lake, buckets, upto, ["e.subscriber", *_list_record_sql(lake)], None)


def _list_record_sql(lake: Lake) -> list[str]:
    """Return DuckDB expressions for `RECORD`, over charges `e`."""
    scope = f"{bucket_key_sql(lake.project.config.lake.bucket_by, of='e')} AS scope"
    return ["true AS charge", scope, "e.key_scope", "e.record_key"]


def has_item_charges(lake: Lake, buckets: BucketRange, upto: int) -> bool:
    """Return whether any charge up to a position names an item. Positions already found to have none are not read again."""
    known = _WITHOUT_ITEMS.setdefault(lake, {})
    after = known.get(buckets, 0) if known.get(buckets, 0) <= upto else 0
    low, high = lake.snapshot_of(after), lake.snapshot_of(upto)
    relation, values = lake.relation("charge", low, high)
    query = _load_sql("item_charge_exists").replace("{charges}", relation)
    found = lake.connection.execute(query, [*values, low, high, buckets.first, buckets.last]).fetchone() is not None
    if not found:
        known[buckets] = upto
    return found


def _read_charges(lake: Lake, buckets: BucketRange, upto: int, columns: list[str], subscribers: pl.Series | None) -> pl.DataFrame:
    text = _load_sql("item_charges").replace("{columns}", ", ".join(columns))
    names = pl.DataFrame(schema={"subscriber": pl.String}) if subscribers is None else pl.DataFrame({"subscriber": subscribers})
    values = {
        "everyone": subscribers is None, "upto_snapshot": lake.snapshot_of(upto), "first_bucket": buckets.first,
        "last_bucket": buckets.last,
    }  # fmt: skip
    return lake.with_positions(query_frames(lake.connection, text, values, subscribers=names), upto=upto)


def first_charge_times(lake: Lake, upto: int) -> RunningMax:
    """Return along the log the negative of the charge stream's earliest time in µs, which shows how far back the stream reaches.

    The time of a charge is its own; for a charge of an item without a time it is the beginning of its period.
    """
    control = lake.read("control", columns=["stream", "first_time"], upto=upto).filter(pl.col("stream") == "charge")
    own = control.select("position", value=-pl.col("first_time").cast(pl.Int64))
    found = query_frames(lake.connection, _load_sql("item_charge_starts"), {"upto_snapshot": lake.snapshot_of(upto)})
    periods = lake.with_positions(found, upto=upto).select("position", "value")
    return RunningMax.of(pl.concat([own, periods], how="vertical_relaxed").sort("position"))


def _load_sql(name: str) -> str:
    return files(__package__).joinpath(f"{name}.sql").read_text("utf-8")
