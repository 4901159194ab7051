"""`[limits]` and `[source.limits]`: bounds of one delivered file."""

from __future__ import annotations

from typing import Annotated

from pydantic import ByteSize, Field

from trueup.config.values import FileSize, Table, Whole


class LimitsConfig(Table):
    """`[limits]`, and below a source `[source.limits]`: bounds of one delivered file. Sizes: a number of bytes, or `64MiB`.

    A record beyond `record_bytes`, `columns` members or `depth` goes to quarantine. A file whose header, schema, pages, footer or
    manifest is beyond its limit is refused. So is a file that unpacks to more than `expansion` times its size. Quarantine stores
    at most `kept_bytes` of each rejected record, and at most `quarantine_bytes` of a file. A pattern may match `files` files.
    """

    record_bytes: Annotated[FileSize, Field(le=256 << 20)] = ByteSize(1 << 20)
    """The size of a line, or of a row."""
    kept_bytes: Annotated[FileSize, Field(le=16 << 20)] = ByteSize(1 << 16)
    """The bytes that quarantine stores of a rejected record."""
    quarantine_bytes: FileSize = ByteSize(256 << 20)
    """The bytes that quarantine stores of a file."""
    columns: Annotated[Whole, Field(ge=1, le=100_000)] = 4_096
    """The columns of a CSV or Parquet file, or the members of a JSON record."""
    depth: Annotated[Whole, Field(ge=1, le=1_000)] = 100
    """The depth of nesting in JSON and Parquet."""
    expansion: Annotated[Whole, Field(ge=1)] = 200
    """How many times its size a file may unpack to."""
    page_bytes: Annotated[FileSize, Field(le=1 << 31)] = ByteSize(128 << 20)
    """The size of a Parquet row group that must be in memory at once."""
    footer_bytes: Annotated[FileSize, Field(le=1 << 31)] = ByteSize(16 << 20)
    """The size of a Parquet footer."""
    manifest_bytes: Annotated[FileSize, Field(le=1 << 31)] = ByteSize(16 << 20)
    """The size of a manifest."""
    files: Annotated[Whole, Field(ge=1)] = 1_000_000
    """The number of files that one pattern may match."""
