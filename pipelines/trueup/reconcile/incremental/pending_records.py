"""Pending records: records that can still change, stored so that an epoch reads only those that it affects."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from trueup.reconcile.blocking.keys import COMPONENT_KEY, blocking_keys, candidate_keys, deadline_instants, identity_keys
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.record_hashes import Hashes, record_hashes
from trueup.reconcile.domain.tariff_terms import FLAT, Terms
from trueup.reconcile.incremental.segments import Segment, SegmentSet
from trueup.reconcile.sessions.admission import EVENTS


class PendingRecords(SegmentSet):
    """Records (`EVENTS`) that can still change, in segments."""

    schema: ClassVar[dict[str, pl.DataType]] = {**EVENTS, COMPONENT_KEY: pl.UInt64()}

    def rows_of(self, component_keys: Hashes) -> pl.DataFrame:
        """Return the rows (`EVENTS`) of the component keys."""
        return self.rows_with_keys(component_keys).drop(COMPONENT_KEY)

    def add(self, rows: pl.DataFrame, frontier: Frontier, terms: Terms = FLAT) -> PendingRecords:
        """Return the records with more rows (`EVENTS` and `component`, a number), as known along a frontier.

        A new state of a subscriber may change the blocking keys of its records, so an epoch removes and adds all its records.
        """
        return self if rows.is_empty() else self.with_segment(_build_segment(rows, frontier, terms))


def _build_segment(rows: pl.DataFrame, frontier: Frontier, terms: Terms) -> Segment:
    """Build a segment of rows (`EVENTS` and `component`); a component's key is the least hash of its records' names."""
    with_keys = rows.with_columns(component_key=pl.Series(record_hashes(rows))).with_columns(
        pl.col(COMPONENT_KEY).min().over("component")
    )
    component_keys = with_keys[COMPONENT_KEY].to_numpy()
    candidates = candidate_keys(rows, component_keys, frontier, terms)
    by_time, deadlines = (
        blocking_keys(candidates, frontier, around=True),
        deadline_instants(rows, candidates, component_keys, frontier),
    )
    keyed = rows["session_key"].is_not_null().to_numpy()
    correcting = rows["corrected_key"].is_not_null().to_numpy()
    by_name = pl.DataFrame(
        {
            COMPONENT_KEY: np.concatenate([component_keys[keyed], component_keys, component_keys[correcting]]),
            "blocking_key": identity_keys(rows),
        }
    )
    return Segment.of(with_keys.select(*PendingRecords.schema), pl.concat([by_name, by_time]), deadlines)
