"""Schedule: the positions at which each component is evaluated.

A component is evaluated at the first position of each of its spans, see `spans_of`. Within a span it is evaluated at its *check
positions*. From such a position on, one of its bookings may have another kind, because a stream passed an instant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from trueup.policies.policy import NEVER_POSITION
from trueup.reconcile.kernel.matching import SPAN, Matched

MOST_MEMBERS = 1 << 18
"""Members of bookings that are evaluated at once."""
_CHECK = dict.fromkeys((*SPAN, "position"), pl.Int64)
NO_CHECKS = pl.DataFrame(schema=_CHECK)
"""No check positions."""


def in_batches(positions: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Divide positions of components into frames in their order, so that memory holds the `records` of each."""
    if positions.is_empty():
        return
    if positions["records"].sum() <= MOST_MEMBERS:
        yield positions
    else:
        batch = pl.col("records").cum_sum() // MOST_MEMBERS
        yield from positions.with_columns(batch=batch).partition_by("batch", maintain_order=True, include_key=False)


def evaluations_of(spans: pl.DataFrame, matched: Matched, checks: Sequence[pl.DataFrame], upto: int) -> pl.DataFrame:
    """Return the evaluations (`component`, `at`, `position`, `records`) of spans up to a position.

    An evaluation is at a `position` of the span from `at` on; they ascend by component and position. `checks` are check positions
    of sums and pools (`component`, `at`, `position`).
    """
    starts = spans.select(*SPAN, "records", position="at")
    all_checks = pl.concat([*_schedule_unit_checks(matched.sessions), *_schedule_unit_checks(matched.charge_groups), *checks,
                            matched.blocked.select(*SPAN, position="until")])  # fmt: skip
    within = all_checks.filter((pl.col("position") > pl.col("at")) & (pl.col("position") <= upto))
    if within.is_empty():
        return starts
    of_spans = within.unique().join(spans, on=SPAN).filter(pl.col("position") < pl.col("next_at"))
    return pl.concat([starts, of_spans.select(starts.columns)]).sort("component", "position")


def _schedule_unit_checks(units: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the positions from which units are complete, and from which the other stream has passed units without a match."""
    is_matched = (pl.col("same_key") & (pl.col("partner_settled_at") == NEVER_POSITION)) | (
        pl.col("settled_at") <= pl.col("other_watermark_position")
    )
    passed = pl.when(~is_matched & ~pl.col("by_aggregate")).then("other_watermark_position").otherwise(NEVER_POSITION)
    return units.select(*SPAN, position="complete_at"), units.select(*SPAN, position=passed)
