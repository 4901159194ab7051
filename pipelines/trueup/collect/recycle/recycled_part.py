"""One commit of records mapped again: its events, its quarantine, its control row, and the outcome of each record."""

from __future__ import annotations

import polars as pl

from trueup.collect.commit.commit_part import Part
from trueup.collect.statements import statement
from trueup.frames import query_frames
from trueup.log.lake import Transaction

RECYCLING: dict[str, pl.DataType] = {
    "event_id": pl.Binary(), "source_id": pl.String(), "part_no": pl.Int64(), "outcome": pl.String(),
}  # fmt: skip
"""Columns of `events.recycling`: the rejected record, the unit and part that mapped it again, and what became of it."""


class RecycledPart(Part):
    """A part of records that were rejected before: `claim` them, `add` what they map to now, then `commit`."""

    def claim(self, claims: pl.DataFrame) -> None:
        """Set the records to map again (`event_id`, `source_id`, `source_row`)."""
        self._claims = claims.select("event_id", "source_row")
        self._left_out = [pl.Series("source_row", [], dtype=pl.Int64)]
        self.recycles = str(claims["source_id"][0])

    def leave_out(self, numbers: pl.Series) -> None:
        """Add the numbers of records that the source's `where` leaves out."""
        self._left_out.append(numbers)

    def _accept_outcome(self, transaction: Transaction, rows: pl.DataFrame, new: pl.DataFrame, rejected: pl.DataFrame) -> bool:
        """Append the outcome of each record; return False where another process has mapped one again, or none is left."""
        outcomes = pl.concat([
            new.select("source_row", outcome=pl.lit("accepted")),
            rows.join(new, on="source_row", how="anti").select("source_row", outcome=pl.lit("duplicate")),
            pl.concat(self._left_out).to_frame("source_row").with_columns(outcome=pl.lit("filtered")),
            rejected.select("source_row", outcome=pl.lit("quarantined")),
        ])  # fmt: skip
        done = self._claims.join(outcomes, on="source_row")
        ((known,),) = query_frames(transaction.connection, statement("known_recyclings"), claims=done.select("event_id")).rows()
        if known or done.is_empty():
            return False
        unit = {"source_id": pl.lit(self._unit.source_id), "part_no": pl.lit(self.number)}
        transaction.append("recycling", done.with_columns(**unit).select(pl.col(name).cast(t) for name, t in RECYCLING.items()))
        return True
