"""Commit records that were mapped again: their events, quarantine, control row, and the outcome of each record."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from trueup.collect.commit.commit_part import Part, QuarantineBudget, events_of
from trueup.collect.commit.source_mapping import SourceMapping
from trueup.collect.discover.units import Unit
from trueup.collect.map.mapping import Mapped
from trueup.collect.statements import statement
from trueup.frames import query_frames
from trueup.log.lake import Transaction

RECYCLING: dict[str, pl.DataType] = {
    "event_id": pl.Binary(), "source_id": pl.String(), "part_no": pl.Int64(), "outcome": pl.String(),
}  # fmt: skip
"""Columns of `events.recycling`: the rejected record, the unit and part that mapped it again, and the outcome."""


@dataclass(frozen=True)
class Claims:
    """Rejected records of one unit that one pass maps again (`event_id`, `source_row` and provenance).

    `recycles` is the unit that delivered them. Where `is_present` is true, the present mapping rejected them before.
    """

    recycles: str
    records: pl.DataFrame
    is_present: bool


class RecycledPart(Part):
    """A part of records that were rejected before: `add_mapped` their new events, then `commit`."""

    def __init__(self, of_today: SourceMapping, unit: Unit, number: int, budget: QuarantineBudget, claims: Claims) -> None:
        super().__init__(of_today, unit, number, budget)
        self.recycles, self._claims = claims.recycles, claims
        self._left_out = [pl.Series("source_row", [], dtype=pl.Int64)]

    def add_mapped(self, mapped: Mapped) -> None:
        """Add records as mapped by the present mapping.

        Records that the present mapping has already rejected are left out, because quarantine has that rejection.
        """
        rejected = mapped.rejected.clear() if self._claims.is_present else mapped.rejected
        self.add(events_of(replace(mapped, rejected=rejected), self._unit.source, self._lake.project.config.lake))
        self._left_out.append(mapped.filtered)

    def _accept_outcome(self, transaction: Transaction, rows: pl.DataFrame, new: pl.DataFrame, rejected: pl.DataFrame) -> bool:
        """Append the outcome of each record; return False where another process has mapped a record already, or none is left."""
        outcomes = pl.concat([
            new.select("source_row", outcome=pl.lit("accepted")),
            rows.join(new, on="source_row", how="anti").select("source_row", outcome=pl.lit("duplicate")),
            pl.concat(self._left_out).to_frame("source_row").with_columns(outcome=pl.lit("filtered")),
            rejected.select("source_row", outcome=pl.lit("quarantined")),
        ])  # fmt: skip
        done = self._claims.records.join(outcomes, on="source_row")
        ((known,),) = query_frames(transaction.connection, statement("known_recyclings"), claims=done.select("event_id")).rows()
        if known or done.is_empty():
            return False
        unit = {"source_id": pl.lit(self._unit.source_id), "part_no": pl.lit(self.number)}
        transaction.append("recycling", done.with_columns(**unit).select(pl.col(name).cast(t) for name, t in RECYCLING.items()))
        return True
