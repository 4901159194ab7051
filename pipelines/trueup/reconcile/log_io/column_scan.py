"""Column scan: reads the records of a range of positions straight from the Parquet files of the lake.

DuckDB would take several times as long, because it passes each column through Arrow and needs a join for positions. Polars reads
the columns directly from the file, and takes the position from the file's commit. Where files cannot be read this way, DuckDB reads
the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import polars as pl

from trueup.events.identity import bucket_key
from trueup.events.schema import CORRECTED, EVENT, own_time
from trueup.frames import query_frames
from trueup.log.catalog.table_files import SNAPSHOT, DataFile, table_files
from trueup.log.lake import BucketRange, Lake, TablePart
from trueup.log.place import data_path
from trueup.reconcile.log_io.load import (
    COLUMNS,
    LINE,
    NOTED,
    OF_USAGE_SQL,
    as_events,
    columns_of,
    compares_sums,
    line_hash,
    no_correction,
    not_moved,
    noted_sql,
    source_names,
)
from trueup.reconcile.log_io.moved_rows import moved_rows
from trueup.reconcile.sessions.admission import EVENTS

FEWEST_RECORDS_PER_FILE = 5_000
"""The mean size of files below which DuckDB is quicker."""
_FILES_AT_ONCE = 64
_FILE_SCHEMA = {
    stream: {n: (EVENT[stream] | CORRECTED)[n] for n in names} | {"attributes": pl.Binary(), "item": pl.String()}
    for stream, names in (("usage", COLUMNS["usage"]), ("charge", (*COLUMNS["charge"], *LINE)))
}
"""The columns that are read from a file; files of older lakes lack some of them."""
_PER_FILE = ("source", "scope", "position", *NOTED)
"""The columns of `EVENTS` that are added to the rows of a file, as one value or derived from other columns."""


def arrivals(lake: Lake, buckets: BucketRange, *, after: int, upto: int) -> pl.DataFrame:
    """Return the records (rows of `EVENTS`) of positions in (after, upto] in a range of buckets, without charges of items.

    Moved rows of these positions follow.
    """
    records, moved = _read_records(lake, buckets, after=after, upto=upto), moved_rows(lake, buckets, after=after, upto=upto)
    return records if moved.is_empty() else pl.concat([records, moved])


def _read_records(lake: Lake, buckets: BucketRange, *, after: int, upto: int) -> pl.DataFrame:
    scanned = scan_columns(lake, buckets, after=after, upto=upto)
    if scanned is not None:
        return scanned
    noted = noted_sql(lake)
    frames = {
        stream: lake.read(
            stream, columns=columns_of(lake, stream, upto), noted=[*noted, f"{OF_USAGE_SQL[stream]} AS of_usage"], after=after,
            upto=upto, part=TablePart(buckets),
        ).filter("of_usage")
        for stream in COLUMNS
    }  # fmt: skip
    return as_events(frames, lake)


def scan_columns(
    lake: Lake, buckets: BucketRange, *, after: int, upto: int, fewest_records: int = FEWEST_RECORDS_PER_FILE
) -> pl.DataFrame | None:
    """Return the records (rows of `EVENTS`) of positions in (after, upto] in a range of buckets, read from their files.

    Return None where DuckDB must read them, or is quicker. The cases are those of `table_files`, and files with fewer than
    `fewest_records` each. Another case is a file that is damaged or was removed since it was listed. DuckDB then reads the current
    files, or reports the damage.
    """
    low, high = lake.snapshot_of(after), lake.snapshot_of(upto)
    listed = {stream: table_files(lake.connection, data_path(lake.project), stream, low=low, high=high) for stream in COLUMNS}
    files = [(stream, file) for stream, of_stream in listed.items() for file in of_stream or ()]
    if None in listed.values() or sum(file.records for _, file in files) < fewest_records * len(files):
        return None
    snapshots = pl.DataFrame({"snapshot": sorted({file.first_snapshot for _, file in files})}, schema={"snapshot": pl.Int64})
    known = lake.with_positions(snapshots.with_columns(at_snapshot="snapshot"), after=after, upto=upto)
    try:
        return _Scan(lake, buckets, after, upto, dict(known.select("snapshot", "position").rows())).read(files)
    except (pl.exceptions.PolarsError, OSError):
        return None


@dataclass(frozen=True)
class _Scan:
    """Reads data files as rows of `EVENTS`, in a range of buckets and at positions in (after, upto].

    `positions` has the position of each snapshot that a file begins with; a snapshot without one is no input commit.
    """

    lake: Lake
    buckets: BucketRange
    after: int
    upto: int
    positions: dict[int, int]

    def read(self, files: Sequence[tuple[str, DataFile]]) -> pl.DataFrame:
        """Return the rows of files, each of a stream."""
        frames = [pl.DataFrame(schema=EVENTS)]
        readable = [(stream, file) for stream, file in files if file.is_merged or file.first_snapshot in self.positions]
        for begin in range(0, len(readable), _FILES_AT_ONCE):
            some = readable[begin : begin + _FILES_AT_ONCE]
            rows = pl.collect_all([self._scan_file(stream, file) for stream, file in some])
            frames += [self._build_events(of_file, file) for of_file, (_, file) in zip(rows, some, strict=True)]
        return pl.concat(frames, rechunk=False)

    def _scan_file(self, stream: str, file: DataFile) -> pl.LazyFrame:
        """Return the columns of `EVENTS` that a file has, with those from which `_build_events` makes the others."""
        schema = _FILE_SCHEMA[stream] | ({SNAPSHOT: pl.Int64()} if file.is_merged else {})
        rows = pl.scan_parquet(file.path, schema=schema, hive_partitioning=False, missing_columns="insert", extra_columns="ignore")
        if self.buckets != BucketRange(0, self.lake.project.config.lake.buckets - 1):
            rows = rows.filter(pl.col("bucket").is_between(self.buckets.first, self.buckets.last))
        is_charge = stream == "charge"
        made = {
            "charge": pl.lit(is_charge), "scope": bucket_key(self.lake.project.config.lake.bucket_by),
            "time_us": own_time(stream).cast(pl.Int64), "started": pl.col("started_at").is_not_null(),
            "amount_micros": pl.col("amount_micros") if is_charge else pl.lit(0, pl.Int64),
            "currency": pl.col("currency") if is_charge else pl.lit(None, pl.String),
            "line": line_hash() if is_charge and self._compares_sums else pl.lit(None, pl.UInt64),
            **({} if is_charge else no_correction()), **not_moved(),
        }  # fmt: skip
        made |= {"item": pl.col("item") if is_charge else pl.lit(None, pl.String)}
        made |= {} if file.is_merged else {"position": pl.lit(self.positions[file.first_snapshot], pl.Int64)}
        made |= {} if self._noted else dict.fromkeys(NOTED, pl.lit(None, pl.String))
        further = ["source_id", "account", *([SNAPSHOT] if file.is_merged else []), *(["attributes"] if self._noted else [])]
        as_read = [n for n in EVENTS if n not in made and n not in _PER_FILE]
        return rows.select(*as_read, *further, **made)

    def _build_events(self, rows: pl.DataFrame, file: DataFile) -> pl.DataFrame:
        """Return rows of `_scan_file` as rows of `EVENTS`, without charges of items."""
        if rows["item"].null_count() < rows.height:
            rows = rows.filter(pl.col("item").is_null())
        if file.is_merged:
            rows = self.lake.with_positions(rows.rename({SNAPSHOT: "at_snapshot"}), after=self.after, upto=self.upto)
        if self._noted and rows["attributes"].null_count() < rows.height:
            attributes = rows.select(pl.col("attributes").cast(pl.String)).with_row_index("row")
            query = f"SELECT {', '.join(noted_sql(self.lake))} FROM read_rows e ORDER BY row"
            rows = rows.hstack(query_frames(self.lake.connection, query, read_rows=attributes))
        elif self._noted:
            rows = rows.with_columns(pl.lit(None, pl.String).alias(n) for n in NOTED)
        made = {"source": source_names(rows["source_id"]), "scope": self._find_bucket_keys(rows)}
        columns = {n: (made[n] if n in made else rows[n]).cast(t) for n, t in EVENTS.items()}
        return pl.DataFrame({n: _rechunk_like(columns["event_id"], column) for n, column in columns.items()})

    def _find_bucket_keys(self, rows: pl.DataFrame) -> pl.Series:
        """Return the bucket key of each row."""
        by = self.lake.project.config.lake.bucket_by
        # If each row has a value, the bucket key is the column itself, which needs no copy.
        return rows[by] if rows[by].null_count() == 0 else rows.select(bucket_key(by)).to_series()

    @cached_property
    def _compares_sums(self) -> bool:
        """Whether equal lines of sums are looked for."""
        return compares_sums(self.lake, self.upto)

    @cached_property
    def _noted(self) -> bool:
        """Whether prices depend on attributes."""
        return any(getattr(self.lake.project.config.rating, name) for name in NOTED)


def _rechunk_like(layout: pl.Series, values: pl.Series) -> pl.Series:
    """Return values in chunks as long as those of another column.

    Polars copies a whole frame, including all text, when it computes with columns of different chunks.
    """
    lengths = layout.chunk_lengths()
    if values.chunk_lengths() == lengths:
        return values
    begins = accumulate(lengths, initial=0)
    return pl.concat([values.slice(begin, length) for begin, length in zip(begins, lengths, strict=False)], rechunk=False)
