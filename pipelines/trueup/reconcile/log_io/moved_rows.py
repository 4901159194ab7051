"""Read moved contents: copies, under a bucket key, of contents that its records have under other bucket keys."""

from __future__ import annotations

import polars as pl

from trueup.events.schema import MOVED, own_time
from trueup.log.lake import ALL_DAYS, BucketRange, Days, Lake, TablePart
from trueup.reconcile.log_io.load import is_empty, source_names
from trueup.reconcile.sessions.admission import EVENTS, RECORD


def moved_rows(lake: Lake, buckets: BucketRange, *, after: int = 0, upto: int) -> pl.DataFrame:
    """Return the moved rows (`EVENTS`) of positions in (after, upto] in a range of buckets, without charges of items."""
    return as_moved_events(read_moved(lake, buckets, after=after, upto=upto).filter(pl.col("item").is_null()))


def read_moved(lake: Lake, buckets: BucketRange, *, after: int = 0, upto: int) -> pl.DataFrame:
    """Return the rows of `events.moved` (`MOVED` and `position`) of positions in (after, upto] in a range of buckets."""
    if is_empty(lake, "moved", upto):
        return pl.DataFrame(schema={**MOVED, "position": pl.Int64()})
    return lake.read("moved", columns=list(MOVED), after=after, upto=upto, part=TablePart(buckets))


def as_moved_events(moved: pl.DataFrame) -> pl.DataFrame:
    """Return rows of `events.moved` (with `position`) as rows of `EVENTS`."""
    is_charge = pl.col("stream") == "charge"
    columns: dict[str, pl.Expr | pl.Series] = {
        "charge": is_charge, "source": source_names(moved["source_id"]), "scope": pl.col("bucket_key"),
        "delivered_scope": pl.col("delivered_key"), "delivered_at": pl.coalesce("delivered_at", "position"),
        "time_us": pl.when(is_charge).then(own_time("charge")).otherwise(own_time("usage")).cast(pl.Int64),
        "started": pl.col("started_at").is_not_null(), "amount_micros": pl.col("amount_micros").fill_null(0),
    }  # fmt: skip
    absent = {name: pl.lit(None, dtype) for name, dtype in EVENTS.items() if name not in columns and name not in moved.columns}
    rows = moved.with_columns(**columns).with_columns(**absent)
    return rows.select(pl.col(name).cast(dtype) for name, dtype in EVENTS.items())


def moved_of_records(moved: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """Return the moved rows (`EVENTS`) of the same records as some rows of `EVENTS`."""
    return moved if moved.is_empty() else moved.join(records.select(RECORD).unique(), on=RECORD, how="semi")


def moved_of_days(moved: pl.DataFrame, days: Days) -> pl.DataFrame:
    """Return the moved rows (`EVENTS`) whose content is of a range of UTC days, or has no time."""
    if days == ALL_DAYS or moved.is_empty():
        return moved
    first, last = days
    day = pl.from_epoch("time_us", time_unit="us").dt.date()
    within = (pl.lit(True) if first is None else day >= first) & (pl.lit(True) if last is None else day <= last)
    return moved.filter(within | pl.col("time_us").is_null())
