"""Following the log from position to position: which epoch is next, what it brought, and what was known at its end.

What stays the same from epoch to epoch is kept, so that each reads only what came since.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

import polars as pl

from trueup.errors import ClockError, LogError
from trueup.log.lake import CLOCK, BucketRange, Lake
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.incremental.epoch import Epoch
from trueup.reconcile.incremental.epoch_ranges import Bounds, Span, epoch_end
from trueup.reconcile.log_io.commit import CONSUMER
from trueup.reconcile.log_io.declared_policies import read_policies
from trueup.reconcile.log_io.load import DECLARED, OBSERVED, arrivals, frontier_from, terms_of

_STATES = ("subscriber", "tariff")
_OF_POLICIES = ("policy", CLOCK)
"""Kinds of declarations that another policy comes into force by."""


class Poller:
    """Says which positions come next, and declares the time."""

    def __init__(
        self, lake: Lake, bounds: Bounds, *, tick_every: timedelta | None = None, until: int | None = None, committed: int = 0
    ) -> None:
        self._lake, self._bounds, self._tick_every, self._until, self._committed = lake, bounds, tick_every, until, committed
        self._ticked_at: datetime | None = None

    def next_epoch(self, position: int) -> Span | None:
        """The epoch after a position, None while there is none.

        What had been committed when this began is never in one epoch with what had not: an epoch that is told again ends
        where it ended the first time, or before.
        """
        newest = self._lake.last_position_since(position)
        if self._until is not None:
            newest = min(newest, self._until)
        if newest <= position:
            self._tick()
            return None
        if position < self._committed < newest:
            newest = self._committed
        end = min(newest, position + self._bounds.commits)
        brought = self._lake.read("control", columns=["accepted"], after=position, upto=end)
        return position, epoch_end(brought, position, end, self._bounds)

    def _tick(self) -> None:
        """Declares the time once all that came has been taken on, however much comes: a feed may be silent among others."""
        if self._tick_every is None or self._until is not None:
            return
        now = self._lake.clock()
        if self._ticked_at is None:
            self._ticked_at = now
        elif abs(now - self._ticked_at) >= self._tick_every:
            self._ticked_at = now
            # With a wrong clock the job goes on and declares no time: who started it is told, and the next tick comes by itself.
            with suppress(ClockError):
                self._lake.commit(lambda transaction: transaction.declare("tick", through=now))


def resume_position(lake: Lake, kept: int | None, consumer: str = CONSUMER) -> int:
    """Where a consumer goes on: where its kept state ends, else where its committed results end.

    Raises `LogError` where the state is of positions that the results do not hold: it belongs to another lake.
    """
    committed = lake.consumer_position(consumer)
    if kept is None:
        return committed
    if kept > committed:
        raise LogError(
            f"the job's state is of position {kept}, what {consumer} has committed of {committed}",
            where=str(lake.project.directory),
            todo="the lake was put back to an earlier time: run `trueup stream --fresh`, which makes the state of the log again",
        )  # fmt: skip
    return kept


class EpochLoader:
    """Reads epochs for ranges of buckets."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._upto = 0
        self._frontier: Frontier | None = None
        self._terms: dict[BucketRange, tuple[int, Terms]] = {}
        self._states_at: list[int] = []

    def epoch(self, span: Span, buckets: BucketRange) -> Epoch:
        """An epoch with what was known at its end to a range of buckets."""
        after, upto = span
        self._go_on(upto)
        assert self._frontier is not None
        return Epoch(after, upto, self._frontier, self._terms_of(buckets, upto))

    def arrivals(self, span: Span, ranges: list[BucketRange]) -> Iterator[tuple[BucketRange, pl.DataFrame]]:
        """What an epoch brought, each record once, divided by ranges of buckets in their order."""
        after, upto = span
        whole = arrivals(self._lake, BucketRange(ranges[0].first, ranges[-1].last), after=after, upto=upto)
        for one in ranges:
            yield one, whole.filter(pl.col("bucket").is_between(one.first, one.last)) if len(ranges) > 1 else whole

    def _go_on(self, upto: int) -> None:
        if self._frontier is not None and upto == self._upto:
            return
        if upto < self._upto:
            self._upto, self._frontier, self._terms, self._states_at = 0, None, {}, []
        control = self._lake.read("control", columns=[*OBSERVED, "stream"], after=self._upto, upto=upto)
        declared = self._lake.read("declaration", columns=DECLARED, after=self._upto, upto=upto)
        self._states_at += control.filter(pl.col("stream").is_in(_STATES))["position"].to_list()
        if self._frontier is None or declared["kind"].is_in(_OF_POLICIES).any():
            policies = read_policies(self._lake, upto)
        else:
            policies = self._frontier.policies
        later = frontier_from(control, declared, policies)
        self._frontier = later if self._frontier is None else self._frontier.merge(later)
        self._upto = upto

    def _terms_of(self, buckets: BucketRange, upto: int) -> Terms:
        """The terms of a range, read again only where states or tariffs have come since."""
        known = self._terms.get(buckets)
        if known is None or known[0] > upto or any(known[0] < at <= upto for at in self._states_at):
            known = (upto, terms_of(self._lake, buckets, upto))
        self._terms[buckets] = (upto, known[1])
        return known[1]
