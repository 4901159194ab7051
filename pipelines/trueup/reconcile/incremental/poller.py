"""Poll the log for the next epoch, its records, and the frontiers and terms known at its end.

Frontiers and terms are kept from epoch to epoch, so that each epoch reads only new rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

import polars as pl

from trueup.errors import ClockError, LogError
from trueup.log.lake import CLOCK, BucketRange, Lake
from trueup.policies.declared import read_policies
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.incremental.epoch import Epoch
from trueup.reconcile.incremental.epoch_ranges import Bounds, Span, epoch_end
from trueup.reconcile.log_io.column_scan import arrivals
from trueup.reconcile.log_io.commit import CONSUMER
from trueup.reconcile.log_io.load import DECLARED, OBSERVED, frontier_from, terms_of

_STATES = ("subscriber", "tariff")
_OF_POLICIES = ("policy", CLOCK)
"""Kinds of declarations that bring another policy into force."""


class Poller:
    """Selects the next positions, and declares the time."""

    def __init__(
        self, lake: Lake, bounds: Bounds, *, tick_every: timedelta | None = None, until: int | None = None, committed: int = 0
    ) -> None:
        self._lake, self._bounds, self._tick_every, self._until, self._committed = lake, bounds, tick_every, until, committed
        self._ticked_at: datetime | None = None

    def next_epoch(self, position: int) -> Span | None:
        """Return the epoch after a position, None while there is none.

        Positions committed before this poller began are never in one epoch with later ones. An epoch that is processed again
        therefore ends where it ended the first time, or before.
        """
        newest = self._lake.last_position_since(position)
        if self._until is not None:
            newest = min(newest, self._until)
        if newest <= position:
            self._declare_tick()
            return None
        if position < self._committed < newest:
            newest = self._committed
        end = min(newest, position + self._bounds.commits)
        arrived = self._lake.read("control", columns=["accepted"], after=position, upto=end)
        return position, epoch_end(arrived, position, end, self._bounds)

    def _declare_tick(self) -> None:
        """Declare the time once all arrived records are processed; even if many arrive, one of several feeds may be silent."""
        if self._tick_every is None or self._until is not None:
            return
        now = self._lake.clock()
        if self._ticked_at is None:
            self._ticked_at = now
        elif abs(now - self._ticked_at) >= self._tick_every:
            self._ticked_at = now
            # With a wrong clock the job continues without a tick; the next tick is tried at its own time.
            with suppress(ClockError):
                self._lake.commit(lambda transaction: transaction.declare("tick", through=now))


def resume_position(lake: Lake, state_position: int | None, consumer: str = CONSUMER, *, state_time_us: int | None = None) -> int:
    """Return the position at which a consumer resumes: the end of its retained state, else the end of its committed results.

    `state_time_us` is when the lake of the state committed that position (see `commit_time_us`); None where the state does not have
    it. Raises `LogError` for a state of another lake: it is ahead of the results, or the lake committed its position at another
    time.
    """
    committed = lake.consumer_position(consumer)
    if state_position is None:
        return committed
    if state_position > committed:
        raise _build_restored_error(
            lake, f"the job's state is at position {state_position}, but {consumer} has committed only up to {committed}"
        )
    if state_time_us is not None and lake.commit_time_us(state_position) != state_time_us:
        raise _build_restored_error(lake, f"the lake committed position {state_position} of the job's state at another time")
    return state_position


def _build_restored_error(lake: Lake, message: str) -> LogError:
    return LogError(
        message, where=str(lake.project.directory),
        todo="the lake was restored to an earlier time: run `trueup stream --fresh`, which rebuilds the state from the log",
    )  # fmt: skip


class EpochLoader:
    """Reads epochs for ranges of buckets."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._upto = 0
        self._frontier: Frontier | None = None
        self._terms: dict[BucketRange, tuple[int, Terms]] = {}
        self._states_at: list[int] = []

    def epoch(self, span: Span, buckets: BucketRange) -> Epoch:
        """Return an epoch with the frontiers and terms known at its end for a range of buckets."""
        after, upto = span
        self._advance(upto)
        assert self._frontier is not None
        return Epoch(after, upto, self._frontier, self._read_terms(buckets, upto))

    def arrivals(self, span: Span, ranges: list[BucketRange]) -> Iterator[tuple[BucketRange, pl.DataFrame]]:
        """Yield the records of an epoch, each once, by ranges of buckets in their order."""
        after, upto = span
        records = arrivals(self._lake, BucketRange(ranges[0].first, ranges[-1].last), after=after, upto=upto)
        for buckets in ranges:
            yield buckets, records.filter(pl.col("bucket").is_between(buckets.first, buckets.last)) if len(ranges) > 1 else records

    def _advance(self, upto: int) -> None:
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

    def _read_terms(self, buckets: BucketRange, upto: int) -> Terms:
        """Return the terms of a range; they are read again only where states or tariffs have arrived since."""
        known = self._terms.get(buckets)
        if known is None or known[0] > upto or any(known[0] < at <= upto for at in self._states_at):
            known = (upto, terms_of(self._lake, buckets, upto))
        self._terms[buckets] = (upto, known[1])
        return known[1]
