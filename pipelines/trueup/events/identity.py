"""Identity of events: the id, the bucket, and the canonical form that both derive from.

The canonical form of an event is the concatenation, in the order of `CORE`, of

* a head: ``1;STREAM;`` and the key scope as a text,
* each core column that is not in `LATER`.

A text is ``LENGTH:TEXT`` (length in UTF-8 bytes), and an integer is its decimal digits and ``;``. A time is integer microseconds
since 1970-01-01 UTC and ``;``. A boolean is ``true;`` or ``false;``. A missing value of any type is ``~``.

That is form 1. An event with a column of `LATER` has form 2. Its head begins with ``2;``. Each column of `LATER` that is not
missing follows at the end: its name as a text, then its value. So a new column never changes the id of an event without it.

`event_id` is the first 16 bytes of its SHA-256 (FIPS 180-4). Provenance, bucket and attributes are not part of it, so a
record has the same id from every file of its key scope.

The bucket of a record is MD5 (RFC 1321) of its bucket key's UTF-8 bytes, read as a little-endian number, modulo `buckets`. A
missing key counts as the empty text. A stream that lacks the columns of the bucket key is all in bucket 0. Tariffs apply to every
bucket, and so do subscriptions if the bucket key is the session key.
"""

from __future__ import annotations

from collections.abc import Collection

import duckdb
import polars as pl

from trueup.config import BucketBy
from trueup.events.canonical_rows import canonical_forms, sha256_start
from trueup.events.schema import CORE, EVENT, LATER, own_time
from trueup.events.streams import DATED
from trueup.frames import query_streams


def netstring_sql(name: str) -> str:
    """Return a DuckDB expression for a text column as `LENGTH:TEXT`, and `~` for NULL; the form is unambiguous."""
    return f"coalesce(strlen({name}) || ':' || {name}, '~')"


def _encode_field(name: str, dtype: pl.DataType, *, is_missing: bool) -> str:
    if is_missing:
        return "'~'"
    return netstring_sql(name) if dtype == pl.String else f"coalesce({_number_sql(name, dtype)} || ';', '~')"


def _number_sql(name: str, dtype: pl.DataType) -> str:
    return f"epoch_us({name})" if isinstance(dtype, pl.Datetime) else name


def canonical_sql(stream: str, *, without: frozenset[str] = frozenset(), missing: Collection[str] = ()) -> str:
    """Return a DuckDB expression for the canonical form of a row of `stream`, over its column names.

    `missing` names columns that are NULL in every row, for which the expression is cheaper. `canonical_rows` forms collected rows.
    """
    later = LATER.get(stream, {})
    first = {name: dtype for name, dtype in CORE[stream].items() if name not in without and name not in later}
    columns = {"key_scope": pl.String(), **first}
    fields = [_encode_field(name, dtype, is_missing=name in missing) for name, dtype in columns.items()]
    further = {name: dtype for name, dtype in later.items() if name not in missing}
    fields += [_encode_later_field(name, dtype) for name, dtype in further.items()]
    head = f"{canonical_version_sql(stream, missing=missing)}, ';{stream};'" if further else f"'1;{stream};'"
    return f"concat({head}, {', '.join(fields)})"


def _encode_later_field(name: str, dtype: pl.DataType) -> str:
    value = f"strlen({name}), ':', {name}" if dtype == pl.String else f"{_number_sql(name, dtype)}, ';'"
    return f"CASE WHEN {name} IS NULL THEN '' ELSE concat('{len(name)}:{name}', {value}) END"


def canonical_version_sql(stream: str, *, missing: Collection[str] = ()) -> str:
    """Return a DuckDB expression for the canonical form of a row of `stream`: 1, or 2 for a row with a column of `LATER`."""
    later = [name for name in LATER.get(stream, {}) if name not in missing]
    return f"CASE WHEN coalesce({', '.join(f'{name}::VARCHAR' for name in later)}) IS NULL THEN 1 ELSE 2 END" if later else "1"


def digest16_sql(expression: str) -> str:
    """Return a DuckDB expression for the first 16 bytes of the SHA-256 of a text expression."""
    return f"unhex(left(sha256({expression}), 32))"


def is_bucketed(stream: str, bucket_by: BucketBy) -> bool:
    """Return whether the rows of a stream are divided into buckets; otherwise all rows are in bucket 0."""
    return bucket_by in CORE[stream]


def bucket_key_names(bucket_by: BucketBy) -> tuple[str, ...]:
    """Return the columns from which the bucket key is taken: the first one that has a value."""
    return ("session_key", "record_key") if bucket_by == "session_key" else (bucket_by,)


def bucket_key_sql(bucket_by: BucketBy, *, of: str = "") -> str:
    """Return a DuckDB expression for the bucket key of a row of the table `of`; it is never NULL."""
    return f"coalesce({', '.join(f'{of}.{n}' if of else n for n in bucket_key_names(bucket_by))}, '')"


def bucket_key(bucket_by: BucketBy) -> pl.Expr:
    """Return `bucket_key_sql` as a Polars expression; no match crosses two bucket keys."""
    return pl.coalesce(*bucket_key_names(bucket_by), pl.lit(""))


def bucket_sql(bucket_by: BucketBy, buckets: int) -> str:
    """Return a DuckDB expression for the bucket of a row.

    The remainder of the 128-bit number is computed from its halves: DuckDB's own operator takes twenty times as long.
    """
    number = f"md5_number({bucket_key_sql(bucket_by)})"
    low, carried = f"({number} & {2**64 - 1})::UBIGINT % {buckets}", 2**64 % buckets
    if carried:
        low = f"({low} + ({number} >> 64)::UBIGINT % {buckets} * {carried}) % {buckets}"
    return f"({low})::SMALLINT"


def with_content_keys(frame: pl.DataFrame, stream: str) -> pl.DataFrame:
    """Set each row's record key to a hash of its content (`identity = "content"`): 32 hex digits of SHA-256."""
    hashes = sha256_start(canonical_forms(frame, stream, without=frozenset({"record_key"})))
    return frame.with_columns(record_key=hashes.bin.encode("hex"))


def with_event_ids(
    connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame, stream: str, *, bucket_by: BucketBy, buckets: int
) -> pl.DataFrame:
    """Add id, canonical version, bucket and (to dated streams) day to collected rows.

    Expects the columns of `COLLECTED[stream]`; returns those of `EVENT[stream]` in order, one row per input row.
    """
    later = [name for name in LATER.get(stream, ()) if frame[name].null_count() < frame.height]
    is_later = pl.any_horizontal(pl.col(name).is_not_null() for name in later) if later else pl.lit(False)
    added = {"canonical_version": pl.when(is_later).then(2).otherwise(1)}
    if stream in DATED:
        added["day"] = own_time(stream).dt.date()
    bucket = _choose_buckets(connection, frame, bucket_by, buckets) if is_bucketed(stream, bucket_by) else pl.lit(0)
    ids = sha256_start(canonical_forms(frame, stream))
    return frame.with_columns(event_id=ids, bucket=bucket, **added).select(
        pl.col(name).cast(dtype) for name, dtype in EVENT[stream].items()
    )


def _choose_buckets(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame, bucket_by: BucketBy, buckets: int) -> pl.Series:
    """Return the bucket of each row."""
    # DuckDB keeps the order of rows where a query neither sorts nor groups them.
    query = f"SELECT {bucket_sql(bucket_by, buckets)} AS bucket FROM rows"
    return query_streams(connection, query, rows=frame.select(bucket_key_names(bucket_by)))["bucket"]
