"""One epoch: combine the state of a range of buckets, the records of the epoch, and records that are read again from the log.

An epoch is a range of positions. An epoch nearly always affects only its own records and the pending records of the state.
Otherwise the other affected records are read from the log, as of the epoch's end. That happens when a settled key arrives again, a
record is late, a price or a state is back-dated, or the policy changes. Reading too much costs time only. A missed dependency would
go unnoticed, so every possibly affected record is read again. A lost state is rebuilt from the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.log.lake import BucketRange, Lake
from trueup.policies.policy import UNKNOWN_TIME_US
from trueup.reconcile.blocking.keys import COMPONENT_KEY, blocking_keys, candidate_keys, identity_keys, session_hashes_or_record
from trueup.reconcile.blocking.lookback import open_from_us, widest_us
from trueup.reconcile.blocking.neighbourhood import units_of_several_parties
from trueup.reconcile.domain.bookings import TOLERATED
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.record_hashes import NAMES, NO_HASHES, Hashes, name_hashes, record_hashes, session_hashes
from trueup.reconcile.domain.tariff_terms import LONGEST_US, Terms
from trueup.reconcile.incremental.epoch_ranges import Bounds, split_ranges
from trueup.reconcile.incremental.folded_sums import PERIOD, FoldedSums, keys_by_unit, period_keys
from trueup.reconcile.incremental.hash_runs import HashRunStore
from trueup.reconcile.incremental.pending_records import PendingRecords
from trueup.reconcile.incremental.retention import NO_TIME_US, newly_passed_intervals, split_retained, with_row_number
from trueup.reconcile.incremental.segments import Segment
from trueup.reconcile.incremental.settled_keys import SettledKeyIndex
from trueup.reconcile.kernel.evaluate import Evaluated, evaluate, evaluate_with_totals
from trueup.reconcile.kernel.ledger import ledger_rows
from trueup.reconcile.kernel.period_totals import deltas_of_tolerated
from trueup.reconcile.log_io.affected import ROW, AffectedReader
from trueup.reconcile.log_io.column_scan import arrivals
from trueup.reconcile.recurring.item_partition import with_items
from trueup.reconcile.results.outcome import Outcome, outcome_of
from trueup.reconcile.sessions.admission import EVENTS, with_due_date


@dataclass(frozen=True)
class ReconcilerState:
    """The state of a range of buckets after a position.

    `pending` are the records that can still change, or that a record in time can affect. `folded` are pending periods by their
    sums. `settled_keys` are the keys of all other records, and of judged periods. `has_corrections` is true if any charge up to the
    position corrects a record. `passed_us` is the latest time of settled records that only their age keeps from matching later
    ones. `latest_us` is the latest time of all records that are not pending as rows.
    """

    position: int = 0
    pending: PendingRecords = field(default_factory=PendingRecords)
    settled_keys: SettledKeyIndex = field(default_factory=SettledKeyIndex)
    passed_us: int = NO_TIME_US
    latest_us: int = NO_TIME_US
    has_corrections: bool = False
    folded: FoldedSums = field(default_factory=FoldedSums)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments: segments of pending records, then segments of folded periods."""
        return (*self.pending.segments, *self.folded.segments)

    @property
    def undecided_records(self) -> int:
        """The number of pending records, including those in folded periods."""
        return self.pending.height + self.folded.records


@dataclass(frozen=True)
class EpochResult:
    """The outcome of an epoch for a range of buckets, the state after it, and the number of records that were read again."""

    outcome: Outcome
    state: ReconcilerState | None
    read_again: int


@dataclass(frozen=True)
class Epoch:
    """Positions in (after, upto], with the frontiers and terms known at their end."""

    after: int
    upto: int
    frontier: Frontier
    terms: Terms


def process_epoch(
    lake: Lake,
    buckets: BucketRange,
    epoch: Epoch,
    state: ReconcilerState | None,
    arrived: pl.DataFrame,
    store: HashRunStore | None = None,
) -> EpochResult:
    """Process an epoch of a range of buckets; `arrived` are the rows (`EVENTS`) of its positions.

    Without a state, or with a state of another position, every record that the epoch can affect is read from the log. The state
    is then rebuilt, with hash runs in `store` if there is one.
    """
    frontier, terms, after, upto = epoch.frontier, epoch.terms, epoch.after, epoch.upto
    reader = AffectedReader(lake, frontier, buckets, terms, upto)
    if any(edition.book.has_shared_terms for edition in terms.editions):
        # A price that depends on a whole period can affect records that the state does not hold.
        events = reader.affected_records(after)
        evaluated = evaluate(events, frontier, terms, after=after, upto=upto)
        outcome = outcome_of(evaluated, frontier, terms, after=after, upto=upto, records=events.height)
        return EpochResult(with_items(outcome, reader, after=after), None, events.height)
    if state is None and after == 0:
        state = ReconcilerState(settled_keys=SettledKeyIndex(store=store))
    rebuild = state is None or state.position != after
    before = ReconcilerState(after) if state is None or rebuild else state
    if rebuild or _has_policy_change(frontier, after, upto):
        events = reader.affected_records(after) if after else arrived
        selected = _Selected(events, 0, PendingRecords(), FoldedSums(), before.folded.rows.clear())
    else:
        selected = _select_affected(reader, epoch, before, arrived)
    rows = with_row_number(selected.events)
    evaluated = evaluate_with_totals(rows, frontier, terms, after=after, upto=upto)
    if rebuild:
        before = _rebuild_settled_keys(lake, epoch, buckets, rows, SettledKeyIndex(store=store))
    new_state = _derive_state(epoch, before, selected, rows, evaluated)
    if not selected.tolerated.is_empty():
        evaluated = _with_tolerated(evaluated, selected.tolerated, after)
    outcome = outcome_of(evaluated, frontier, terms, after=after, upto=upto, records=rows.height)
    return EpochResult(with_items(outcome, reader, after=after), new_state, selected.read_again)


@dataclass(frozen=True)
class _Selected:
    """The records that an epoch evaluates, and the part of the former state that it leaves unchanged.

    `events` are the records to evaluate, of which `read_again` were read from the log. `pending` and `folded` remain unchanged.
    `tolerated` are folded periods that both streams have passed and whose sums are within tolerance.
    """

    events: pl.DataFrame
    read_again: int
    pending: PendingRecords
    folded: FoldedSums
    tolerated: pl.DataFrame


def _select_affected(reader: AffectedReader, epoch: Epoch, before: ReconcilerState, arrived: pl.DataFrame) -> _Selected:
    """Select the records that an epoch under one policy affects."""
    frontier, terms = epoch.frontier, epoch.terms
    passed = before.folded.passed(newly_passed_intervals(frontier, terms, epoch.after, epoch.upto), frontier, epoch.upto)
    affected = _find_affected_components(before, epoch, arrived, passed)
    known = pl.concat([before.pending.rows_of(affected), arrived])
    events = _with_affected_history(reader, epoch, before, known, _reopen_periods(passed, known, epoch))
    read_again, folded = events.height - known.height, before.folded
    if read_again:
        # Some of the records read may be pending too. Remove them and their components from the pending records.
        related = before.pending.keys_sharing(record_hashes(events))
        further = before.pending.rows_of(related).join(events, on=ROW, how="anti")
        events, affected = pl.concat([events, further]), np.union1d(affected, related)
        # If one record of a period was read, all of the period's records were read.
        folded = folded.without(folded.of_records(events), frontier, terms)
    tolerated = passed.join(events, on=ROW, how="anti")
    folded = folded if tolerated.is_empty() else folded.without(tolerated, frontier, terms)
    return _Selected(events, read_again, before.pending.excluding(affected), folded, tolerated)


def _reopen_periods(passed: pl.DataFrame, known: pl.DataFrame, epoch: Epoch) -> pl.DataFrame:
    """Return the representatives (`EVENTS`) of passed periods that their sums do not judge.

    The sums of such a period exceed the tolerance, or the period has known records besides its sums.
    """
    if passed.is_empty():
        return passed.select(*EVENTS)
    keys = keys_by_unit(passed, epoch.frontier, epoch.terms)
    shared = keys.filter(pl.Series(np.isin(keys["blocking_key"].to_numpy(), period_keys(known, epoch.frontier, epoch.terms))))
    is_shared = np.isin(session_hashes_or_record(passed), shared[COMPONENT_KEY].to_numpy())
    return passed.filter((pl.col("kind") != TOLERATED) | pl.Series(is_shared)).select(*EVENTS)


def _with_tolerated(evaluated: Evaluated, tolerated: pl.DataFrame, after: int) -> Evaluated:
    """Return an evaluation with the changes of sums where folded periods cease to be pending."""
    of_sums = tolerated.with_columns(currency="sum_currency", service="sum_service")
    return replace(evaluated, ledger=ledger_rows(pl.concat([evaluated.ledger, deltas_of_tolerated(of_sums)]), after))


def _derive_state(
    epoch: Epoch, before: ReconcilerState, selected: _Selected, rows: pl.DataFrame, evaluated: Evaluated
) -> ReconcilerState:
    """Return the state after an epoch that evaluated `rows`."""
    frontier, terms, upto = epoch.frontier, epoch.terms, epoch.upto
    retention = split_retained(rows, evaluated, frontier, upto=upto, open_from_us=open_from_us(frontier, terms, upto))
    settled = retention.closed | retention.passed | retention.folded
    settled_keys = before.settled_keys.add(identity_keys(rows.select(NAMES).filter(pl.Series(settled))))
    judged = pl.concat([retention.periods.filter("judged").select(*PERIOD), selected.tolerated.select(*PERIOD)])
    settled_keys = settled_keys.add(period_keys(judged, frontier, terms))
    passed_us = max(before.passed_us, _find_latest_us(retention.time_us[retention.passed]))
    latest_us = max(before.latest_us, passed_us, _find_latest_us(retention.time_us[retention.closed | retention.folded]))
    has_corrections = before.has_corrections or _has_corrections(rows)
    pending = selected.pending.add(retention.rows, frontier, terms)
    folded = selected.folded.add(retention.periods.filter(~pl.col("judged")).select(*PERIOD), frontier, terms)
    return ReconcilerState(upto, pending, settled_keys, passed_us, latest_us, has_corrections, folded)


def _find_affected_components(before: ReconcilerState, epoch: Epoch, arrived: pl.DataFrame, passed: pl.DataFrame) -> Hashes:
    """Return the keys of pending components that an epoch affects: by arrivals, passed instants, closings or terms.

    `passed` are the folded periods that it passes: their records may be pending as well.
    """
    pending = before.pending
    frontier, terms, after, upto = epoch.frontier, epoch.terms, epoch.after, epoch.upto
    if not pending.height:
        return NO_HASHES
    affected = [pending.keys_passed(newly_passed_intervals(frontier, terms, after, upto))]
    new_terms = terms.changes.filter((pl.col("position") > after) & (pl.col("position") <= upto))
    if new_terms["subscriber"].null_count():
        affected.append(pending.keys_matching(pl.lit(True)))
    elif not new_terms.is_empty():
        affected.append(pending.keys_matching(pl.col("subscriber").is_in(new_terms["subscriber"].implode())))
    # A closing assigns a time to records without any, which makes them neighbours of others.
    regrouped = [pending.keys_sharing(identity_keys(arrived))]
    if before.has_corrections:
        regrouped.append(pending.keys_sharing(name_hashes(arrived)))
    if any(((marks.positions > after) & (marks.positions <= upto)).any() for marks in frontier.closed.values()):
        regrouped.append(pending.keys_matching(pl.col("time_us").is_null()))
    # A unit may be matched with the party of one record at the time of another, see `neighbourhood`: new or pending ones.
    relocated = pl.concat([arrived, pending.rows_of(np.concatenate(regrouped))])
    candidates = candidate_keys(relocated, np.zeros(relocated.height, dtype=np.uint64), frontier, terms)
    near = blocking_keys(candidates, frontier, around=False)["blocking_key"].to_numpy()
    neighbours = pending.keys_sharing(np.concatenate([near, period_keys(passed, frontier, terms)]))
    all_affected: Hashes = np.unique(np.concatenate([*affected, *regrouped, neighbours]))
    return all_affected


def _has_corrections(events: pl.DataFrame) -> bool:
    return events["corrected_key"].null_count() < events.height


def _has_policy_change(frontier: Frontier, after: int, upto: int) -> bool:
    starts = frontier.policies.starts
    return bool(((starts > after) & (starts <= upto)).any())


def _with_affected_history(
    reader: AffectedReader, epoch: Epoch, before: ReconcilerState, known: pl.DataFrame, reopened: pl.DataFrame
) -> pl.DataFrame:
    """Return the known records, all records of the log that they may affect, and those in the periods of `reopened` records."""
    # Usage that began before a price change may last until it.
    latest_end_us = before.latest_us + pl.when(pl.col("subscriber").is_null()).then(LONGEST_US).otherwise(0)
    changes = epoch.terms.changes.filter((pl.col("position") > epoch.after) & (pl.col("from_us") <= latest_end_us))
    needs_reread = _needs_reread(epoch, before, known) | _is_in_judged_period(epoch, before, known)
    uncertain = pl.concat([known.filter(pl.Series(needs_reread, dtype=pl.Boolean)), reopened])
    known = pl.concat([known, reopened])
    if not changes.is_empty():
        of_terms = reader.affected_by_terms(epoch.after)
        new = of_terms.join(known, on=ROW, how="anti")
        known, uncertain = pl.concat([known, new]), pl.concat([uncertain, new])
    if uncertain.is_empty():
        return known
    return reader.transitive_closure(uncertain, known)


def _needs_reread(epoch: Epoch, before: ReconcilerState, known: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which of the known rows may affect a settled record."""
    arrived = known["position"].to_numpy() > epoch.after
    reread = np.zeros(len(arrived), dtype=np.bool_)
    if not arrived.any():
        return reread | _is_in_settled_window(epoch, before, known, reread)
    sessions, records = session_hashes(known), record_hashes(known)
    keyed = known["session_key"].is_not_null().to_numpy()
    # The record that a new charge corrects may be settled, or pending under another name than the charge gives.
    reread |= arrived & known["corrected_key"].is_not_null().to_numpy()
    if before.has_corrections:
        reread[arrived] |= before.settled_keys.contains(name_hashes(known)[arrived])
    reread[arrived] |= (before.settled_keys.contains(sessions[arrived]) & keyed[arrived]) | before.settled_keys.contains(
        records[arrived]
    )
    # A unit takes its service from one record and its time from another, see `neighbourhood`.
    if known["service"].n_unique() == 1:
        return reread | _is_in_settled_window(epoch, before, known, arrived)
    sides = known.select("charge", service=pl.col("service").hash(), session=pl.Series(sessions)).filter(pl.Series(keyed))
    mixed_units = units_of_several_parties(sides, unit=["session", "charge"], party=["service"])
    mixed_sessions = mixed_units["session"].to_numpy()
    of_mixed = np.zeros(len(arrived), dtype=np.bool_)
    if len(mixed_sessions):
        of_mixed = keyed & np.isin(sessions, mixed_sessions) & np.isin(sessions, sessions[arrived & keyed])
    return reread | _is_in_settled_window(epoch, before, known, arrived | of_mixed)


def _is_in_judged_period(epoch: Epoch, before: ReconcilerState, known: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which of the known rows may be in a period that was judged and of which only the key remains."""
    if not epoch.frontier.policies.frame["by_aggregate"].any():
        return np.zeros(known.height, dtype=np.bool_)
    keys = keys_by_unit(known, epoch.frontier, epoch.terms)
    units = keys[COMPONENT_KEY].to_numpy()[before.settled_keys.contains(keys["blocking_key"].to_numpy())]
    in_judged: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.isin(session_hashes_or_record(known), units)
    return in_judged


def _is_in_settled_window(
    epoch: Epoch, before: ReconcilerState, known: pl.DataFrame, candidates: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which candidates, and which rows with a newly assigned time, are near enough to passed records to affect them."""
    untimed = known["time_us"].is_null().to_numpy()
    times_us = known["time_us"].fill_null(UNKNOWN_TIME_US).to_numpy()
    if untimed.any():
        due = with_due_date(known.filter(pl.Series(untimed)), epoch.frontier)
        is_assigned = due["assigned_at"].to_numpy() <= epoch.upto
        times_us = times_us.copy()
        times_us[untimed] = np.where(is_assigned, due["assigned_time_us"].to_numpy(), UNKNOWN_TIME_US)
        candidates = candidates.copy()
        candidates[untimed] |= is_assigned
    within_window: np.ndarray[tuple[int], np.dtype[np.bool_]] = candidates & (
        times_us - widest_us(epoch.frontier) <= before.passed_us
    )
    return within_window


def _rebuild_settled_keys(
    lake: Lake, epoch: Epoch, buckets: BucketRange, events: pl.DataFrame, settled_keys: SettledKeyIndex
) -> ReconcilerState:
    """Return a state whose settled keys are those of all logged records but `events`; memory is bounded."""
    passed_us, after, has_corrections = NO_TIME_US, epoch.after, False
    opens_us = open_from_us(epoch.frontier, epoch.terms, after)
    for low, high in split_ranges(lake, 0, after, Bounds()):
        arrived = arrivals(lake, buckets, after=low, upto=high)
        settled = arrived.join(events, on=ROW, how="anti")
        settled_keys = settled_keys.add(identity_keys(settled))
        has_corrections |= _has_corrections(arrived)
        # Other records without a time were assigned one by a closing before the open time, otherwise `events` would contain them.
        latest = settled["time_us"].fill_null(opens_us).max()
        passed_us = max(passed_us, NO_TIME_US if latest is None else int(latest))  # type: ignore[arg-type]
    return ReconcilerState(
        after, settled_keys=settled_keys, passed_us=passed_us, latest_us=passed_us, has_corrections=has_corrections
    )


def _find_latest_us(times_us: NDArray[np.int64]) -> int:
    return int(times_us.max(initial=NO_TIME_US))
