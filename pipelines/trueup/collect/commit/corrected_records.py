"""Corrected records: look up the record that a charge corrects, by the finding or record key that the charge names."""

from __future__ import annotations

import duckdb
import polars as pl

from trueup.collect.statements import statement
from trueup.config import BucketBy
from trueup.events.identity import bucket_key, bucket_key_sql
from trueup.frames import query_frames


def with_corrected_records(connection: duckdb.DuckDBPyConnection, rows: pl.DataFrame, bucket_by: BucketBy) -> pl.DataFrame:
    """Add `corrected_key` and `corrected_charge` to charges (`EVENT`) that correct a record; return other rows unchanged.

    If a charge names a finding of the log, it corrects the first record of the finding that has the charge's bucket key. Any other
    text is a record key, and `corrected_charge` is NULL: that record may arrive later.
    """
    if "corrects" not in rows.columns or rows["corrects"].null_count() == rows.height:
        return rows
    named = rows.filter(pl.col("corrects").is_not_null()).select("source_row", "corrects", scope=bucket_key(bucket_by))
    query = statement("corrected_records", scope=bucket_key_sql(bucket_by, of="e"))
    found = query_frames(connection, query, named=named)
    resolved = rows.join(found, on="source_row", how="left", maintain_order="left")
    return resolved.with_columns(corrected_key=pl.coalesce("corrected_key", "corrects"))
