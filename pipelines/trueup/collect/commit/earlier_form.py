"""Records that a source delivered under an earlier mapping version and delivers again: they must not become new events."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import polars as pl

from trueup.collect.decode.thread_connection import own_connection
from trueup.collect.map.mapping import in_present_form
from trueup.collect.map.mapping_record import RecordedMapping
from trueup.collect.statements import statement
from trueup.events.identity import with_content_keys, with_event_ids
from trueup.events.schema import COLLECTED


@dataclass(frozen=True)
class EarlierForm:
    """The units that a source delivered under an earlier mapping version, and its present mapping."""

    units: tuple[str, ...]
    mapping: RecordedMapping

    def new_rows(self, connection: duckdb.DuckDBPyConnection, rows: pl.DataFrame, days: str) -> pl.DataFrame:
        """Return the rows whose events the source has not delivered in an earlier form; `days` limits the events that are read."""
        source, lake = self.mapping.source, self.mapping.lake
        columns = ", ".join(f"e.{name}" for name in COLLECTED[source.stream])
        query = statement("earlier_events", stream=source.stream, columns=columns, days=days)
        earlier = connection.execute(query, {"units": list(self.units)}).pl()
        if earlier.is_empty():
            return rows
        present = in_present_form(earlier, source, self.mapping.version).select(
            pl.col(n).cast(t) for n, t in COLLECTED[source.stream].items()
        )
        if source.identity == "content":
            present = with_content_keys(present, source.stream)
        ids = with_event_ids(own_connection(), present, source.stream, bucket_by=lake.bucket_by, buckets=lake.buckets)
        return rows.join(ids.select("event_id"), on="event_id", how="anti", maintain_order="left")


def earlier_form(connection: duckdb.DuckDBPyConnection, mapping: RecordedMapping) -> EarlierForm | None:
    """Return the units that a source delivered under an earlier mapping version, with the present mapping; None without any."""
    values = {"source": mapping.source.name, "version": mapping.version}
    units = tuple(unit for (unit,) in connection.execute(statement("earlier_units"), values).fetchall())
    return EarlierForm(units, mapping) if units else None
