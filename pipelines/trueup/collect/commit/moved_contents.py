"""Moved contents: copies of a record's contents under each of its bucket keys, for records whose bucket key changes.

Records are reconciled by bucket key, often in different processes, but all contents of a record decide which of them counts. So
each commit copies a new content to the record's other bucket keys, and earlier contents to the new key. Only sources whose key
scope has record versions need this.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import polars as pl

from trueup.collect.statements import statement
from trueup.config import BucketBy, SourceConfig
from trueup.events.identity import bucket_key, bucket_key_sql
from trueup.events.schema import MOVED, MOVED_CONTENT
from trueup.events.streams import MOVEMENTS
from trueup.frames import query_frames

_RECORD = ["record_key", "is_item"]
"""The columns that identify a record within its key scope; item charges are reconciled separately from usage charges."""


def may_have_moved(connection: duckdb.DuckDBPyConnection, source: SourceConfig, configured: Sequence[SourceConfig]) -> bool:
    """Return whether records of a source may have contents under several bucket keys.

    The answer is yes if some source of the same key scope has record versions, now or earlier.
    """
    if source.stream not in MOVEMENTS:
        return False
    sharing = [s for s in (source, *configured) if (s.stream, s.scope) == (source.stream, source.scope)]
    if any("record_version" in s.columns for s in sharing):
        return True
    values = {"stream": source.stream, "key_scope": source.scope}
    ((has_moved,),) = connection.execute(statement("has_moved"), values).fetchall()
    return bool(has_moved)


def moved_contents(connection: duckdb.DuckDBPyConnection, new: pl.DataFrame, stream: str, bucket_by: BucketBy) -> pl.DataFrame:
    """Return rows of `MOVED` that the commit of new events (`EVENT` and `CORRECTED`, of one key scope) adds.

    Contents of one record key may lie under several bucket keys without copies. These contents were ingested before their source
    had record versions, so each counts as a separate record.
    """
    if new.is_empty():
        return pl.DataFrame(schema=MOVED)
    columns = MOVED_CONTENT[stream]
    is_item = pl.col("item").is_not_null() if "item" in columns else pl.lit(False)
    of_part = new.select(
        "event_id", "bucket", *(pl.col(n) if n in new.columns else pl.lit(None, MOVED[n]).alias(n) for n in columns),
        scope=bucket_key(bucket_by), is_item=is_item, delivered_at=pl.lit(None, pl.Int64),
    )  # fmt: skip
    key_scope = new["key_scope"][0]
    query = statement(
        "delivered_contents", stream=stream, columns=", ".join(f"e.{name}" for name in columns),
        scope=bucket_key_sql(bucket_by, of="e"), item="e.item IS NOT NULL" if "item" in columns else "false",
    )  # fmt: skip
    known = query_frames(connection, query, {"key_scope": key_scope}, part=new.select("record_key").unique())
    unseen = of_part.join(known, on="event_id", how="anti").unique("event_id")
    contents = pl.concat([known.select(pl.col(n).cast(t) for n, t in of_part.schema.items()), unseen])
    several = contents.filter(pl.col("scope").n_unique().over(_RECORD) > 1)
    keys = several.filter(pl.col("delivered_at").is_not_null()).group_by(_RECORD).agg(pl.col("scope").n_unique())
    apart = keys.filter(pl.col("scope") > 1)
    if not apart.is_empty():
        linked = query_frames(connection, statement("moved_keys"), {"stream": stream, "key_scope": key_scope})
        several = several.join(apart.join(linked, on=_RECORD, how="anti"), on=_RECORD, how="anti")
    rows = _copy_to_other_keys(several).with_columns(stream=pl.lit(stream))
    absent = {name: pl.lit(None, dtype) for name, dtype in MOVED.items() if name not in rows.columns}
    return rows.with_columns(**absent).select(pl.col(name).cast(dtype) for name, dtype in MOVED.items())


def _copy_to_other_keys(contents: pl.DataFrame) -> pl.DataFrame:
    """Return each content once for each other bucket key of its record, unless both are in the log already."""
    is_known = pl.col("delivered_at").is_not_null()
    keys = contents.group_by(*_RECORD, bucket_key="scope").agg(pl.col("bucket").first(), has_key=is_known.any())
    pairs = contents.rename({"scope": "delivered_key"}).drop("bucket").join(keys, on=_RECORD)
    return pairs.filter((pl.col("bucket_key") != pl.col("delivered_key")) & ~(is_known & pl.col("has_key")))
