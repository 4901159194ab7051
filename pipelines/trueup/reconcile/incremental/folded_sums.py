"""Folded sums: periods of an aggregate match, pending or judged, that the state holds without their records.

A period whose records are only summed is *folded*: the state holds the totals of its records, and one of the records as its
*representative*. While a period is pending, a further record changes the conservation sums only by its own money. So an epoch
evaluates new records without the earlier ones, and adds their totals. Once both streams have passed the period, its totals decide
whether the difference is tolerated. If it is not, or if records must be evaluated again, all records of the period are read from
the log. The records are found by the representative. After that, the state keeps only the keys of the judged period and of its
records.

A period is folded only if its records depend on each other in no way except their sum (see `fold_periods`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from trueup.frames import compact_strings
from trueup.policies.policy import NEVER_POSITION
from trueup.reconcile.blocking.keys import ANY_RULE, COMPONENT_KEY, blocking_keys, candidate_keys, session_hashes_or_record
from trueup.reconcile.domain.bookings import TOLERATED
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.record_hashes import NO_HASHES, Hashes, record_hashes
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.incremental.segments import PassedInterval, Segment, SegmentSet
from trueup.reconcile.kernel.period_totals import SUMS, TOTALS, added_up, judged_totals
from trueup.reconcile.log_io.affected import ROW
from trueup.reconcile.sessions.admission import EVENTS

_OF_SUM = {"currency": "sum_currency", "service": "sum_service"}
"""The columns with one meaning in a period and another in its representative, which has a currency and service of its own."""
_OF_PERIOD: dict[str, pl.DataType] = {
    **dict.fromkeys(("sum_currency", "sum_service", "timezone"), pl.String()), **dict.fromkeys(("sum_period", "index"), pl.Int64()),
}  # fmt: skip
PERIOD: dict[str, pl.DataType] = {
    **EVENTS, **_OF_PERIOD, "rule": pl.Int32(), "end_us": pl.Int64(), "records": pl.Int64(), **SUMS,
}  # fmt: skip
"""A folded period: its representative, the columns that identify it, its rule, its last instant and its sums."""
_NAMED_BY = ["scope", "subscriber", *_OF_PERIOD]


class FoldedSums(SegmentSet):
    """Pending periods (`PERIOD`), in segments; the key of a period is the hash of its representative's name."""

    schema: ClassVar[dict[str, pl.DataType]] = {**PERIOD, COMPONENT_KEY: pl.UInt64()}

    @property
    def records(self) -> int:
        """The number of records of all periods."""
        return sum(int(s.rows.filter(pl.Series(~np.isin(s.component_keys, s.tombstones)))["records"].sum()) for s in self.segments)

    def passed(self, intervals: Sequence[PassedInterval], frontier: Frontier, upto: int) -> pl.DataFrame:
        """Return the periods that both streams passed within some intervals, with the position `passed_at`, `kind` and `day`."""
        periods = self.rows_with_keys(self.keys_passed(intervals))
        if periods.is_empty():
            return periods.with_columns(passed_at=pl.lit(0, pl.Int64), kind=pl.lit(TOLERATED), day=pl.lit(None, pl.Date))
        judged = judged_totals(as_totals(periods), frontier, upto).select("component", "passed_at", "kind", "day")
        numbered = periods.with_row_index("component").with_columns(pl.col("component").cast(pl.Int64))
        passed = numbered.join(judged, on="component").drop("component")
        return passed.filter(pl.col("passed_at") <= upto)

    def of_records(self, records: pl.DataFrame) -> pl.DataFrame:
        """Return the periods whose representative is one of `records` (`EVENTS`)."""
        return self.rows_with_keys(self.keys_sharing(record_hashes(records))).join(records.select(ROW), on=ROW, how="semi")

    def without(self, periods: pl.DataFrame, frontier: Frontier, terms: Terms) -> FoldedSums:
        """Return all periods except `periods`."""
        keys = np.unique(periods[COMPONENT_KEY].to_numpy())
        # Keys are hashes, so another period may have the same key.
        others = self.rows_with_keys(keys).join(periods.select(ROW), on=ROW, how="anti")
        return self.excluding(keys)._with_periods(others, frontier, terms)

    def add(self, periods: pl.DataFrame, frontier: Frontier, terms: Terms) -> FoldedSums:
        """Return the periods with the sums of more records added; `periods` are rows of `PERIOD`, each period once."""
        if periods.is_empty():
            return self
        near = self.keys_sharing(period_keys(periods, frontier, terms))
        known = self.rows_with_keys(near).select(*PERIOD)
        if known.is_empty():
            return self._with_periods(periods, frontier, terms)
        first = [n for n in PERIOD if n not in (*_NAMED_BY, "records", *SUMS)]
        added = pl.concat([known, periods]).group_by(_NAMED_BY, maintain_order=True)
        whole = added.agg(pl.col(first).first(), pl.col("records").sum(), *added_up()).select(*PERIOD)
        return self.excluding(near)._with_periods(whole, frontier, terms)

    def _with_periods(self, periods: pl.DataFrame, frontier: Frontier, terms: Terms) -> FoldedSums:
        return self if periods.is_empty() else self.with_segment(_build_segment(periods.select(*PERIOD), frontier, terms))


def as_totals(periods: pl.DataFrame) -> pl.DataFrame:
    """Return periods (`PERIOD`) as totals of components, numbered in their order."""
    of_sum = periods.with_columns(pl.col(name).alias(column) for column, name in _OF_SUM.items()).with_row_index("component")
    return of_sum.select(pl.col(n).cast(t) for n, t in TOTALS.items() if n not in ("passed_at", "end_us"))


def period_keys(rows: pl.DataFrame, frontier: Frontier, terms: Terms) -> Hashes:
    """Return the blocking keys of the periods to which rows of `EVENTS` may belong."""
    return NO_HASHES if rows.is_empty() else keys_by_unit(rows, frontier, terms)["blocking_key"].unique().to_numpy()


def keys_by_unit(rows: pl.DataFrame, frontier: Frontier, terms: Terms) -> pl.DataFrame:
    """Return the blocking keys (`component_key`, `blocking_key`) of the periods to which sessions and charge groups may belong.

    The component key is the key of the session or charge group (see `session_hashes_or_record`).
    """
    candidates = candidate_keys(rows.select(*EVENTS), session_hashes_or_record(rows), frontier, terms)
    return blocking_keys(candidates.with_columns(by_nearest=pl.lit(False)), frontier, around=False)


def fold_periods(versions: pl.DataFrame, superseded: pl.DataFrame, totals: pl.DataFrame, upto: int) -> pl.DataFrame:
    """Return the components of `totals` that can be folded, with their `records` and whether they are `judged` at a position.

    `versions` are record versions with their component, and the rules (`by_key`, `by_nearest`, `by_aggregate`) of each. Each record
    of such a component has a time, a single content, and its own session or charge group. All records of the component are compared
    only by sums and lie in one period. `superseded` are the components with contents that do not count.
    """
    is_plain = (
        (pl.col("until") == NEVER_POSITION) & (pl.col("since") == pl.col("position")) & pl.col("time_us").is_not_null()
        & pl.col("partial_no").is_null() & pl.col("corrected_key").is_null() & ~pl.col("beyond_horizon")
        & pl.col("by_aggregate") & ~pl.col("by_key") & ~pl.col("by_nearest")
    )  # fmt: skip
    of_sums = totals.group_by("component").agg(periods=pl.len(), passed_at=pl.col("passed_at").max())
    components = (
        versions.join(of_sums.filter(pl.col("periods") == 1), on="component")
        .group_by("component").agg(
            records=pl.len().cast(pl.Int64), plain=is_plain.all(), judged=pl.col("passed_at").first() <= upto,
            units=pl.struct("group_no", "charge").n_unique(),
        )
    )  # fmt: skip
    single = components.filter(pl.col("plain") & (pl.col("units") == pl.col("records")))
    return single.join(superseded, on="component", how="anti").select("component", "records", "judged")


def periods_of(representatives: pl.DataFrame, totals: pl.DataFrame) -> pl.DataFrame:
    """Return the periods (`PERIOD`, `judged`) of representatives (`EVENTS`, `component`, `records`, `judged`), by their totals."""
    sums = totals.rename(_OF_SUM).drop("scope", "subscriber", "passed_at")
    periods = representatives.join(sums, on="component").select(*(pl.col(n).cast(t) for n, t in PERIOD.items()), "judged")
    return periods if periods.is_empty() else compact_strings(periods)


def _build_segment(periods: pl.DataFrame, frontier: Frontier, terms: Terms) -> Segment:
    """Build a segment of periods; its keys are the keys of the periods and the names of their representatives."""
    names = record_hashes(periods)
    candidates = candidate_keys(periods.select(*EVENTS), names, frontier, terms)
    by_period = blocking_keys(candidates.with_columns(by_nearest=pl.lit(False)), frontier, around=False).unique()
    by_name = pl.DataFrame({COMPONENT_KEY: names, "blocking_key": names})
    keyed = periods.with_columns(component_key=pl.Series(names, dtype=pl.UInt64))
    # Examine a period when a stream passes its end by the wait of any rule, because that costs little.
    deadlines = keyed.select(
        COMPONENT_KEY, at_us="end_us", unkeyed=pl.lit(False), rule=pl.lit(ANY_RULE, pl.Int32),
    )  # fmt: skip
    return Segment.of(keyed.select(*FoldedSums.schema), pl.concat([by_name, by_period]), deadlines)
