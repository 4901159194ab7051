"""Going on epoch by epoch: what is kept of a range of buckets, what came, and what is read again of the log.

An epoch is a range of positions. What was kept up to its beginning and what came in it is nearly always all that it can touch.
Where it is not (a key comes again that is kept no longer, a record is late, a price or a state is back-dated, the policy
changes) the rest is read from the log as of the epoch's end. Reading more than needed costs time only; what would be
missed is told by no one, hence everything doubtful is read. Losing what is kept loses nothing: it is made of the log again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.log.lake import BucketRange, Lake
from trueup.reconcile.blocking.keys import blocking_keys, candidate_keys, identity_keys
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.policies import UNKNOWN_TIME_US
from trueup.reconcile.domain.tariff_terms import LONGEST_US, Terms
from trueup.reconcile.incremental.epoch_ranges import Bounds, split_ranges
from trueup.reconcile.incremental.hash_runs import Hashes, HashRunStore
from trueup.reconcile.incremental.pending_records import PendingRecords
from trueup.reconcile.incremental.retention import NO_TIME_US, newly_passed_intervals, split_retained, with_row_number
from trueup.reconcile.incremental.settled_keys import NAMES, NO_HASHES, SettledKeyIndex, record_hashes, session_hashes
from trueup.reconcile.kernel.evaluate import evaluate
from trueup.reconcile.log_io.affected import ROW, affected_by_terms, affected_closure, affected_records, open_from_us, widest_us
from trueup.reconcile.log_io.load import arrivals
from trueup.reconcile.run_partition import Outcome, outcome_of
from trueup.reconcile.sessions.admission import with_due_date


@dataclass(frozen=True)
class ReconcilerState:
    """What is kept of a range of buckets after a position.

    What is `unsettled` can still change or be reached by what comes in time; the keys of all other records are in `gone`. Of
    those that only time keeps apart from what comes, the latest stood at `passed_us`; of all of them, at `latest_us`.
    """

    position: int = 0
    pending: PendingRecords = field(default_factory=PendingRecords)
    settled_keys: SettledKeyIndex = field(default_factory=SettledKeyIndex)
    passed_us: int = NO_TIME_US
    latest_us: int = NO_TIME_US


@dataclass(frozen=True)
class EpochResult:
    """What an epoch tells of a range of buckets, what is kept after it, and how many records had to be read again."""

    outcome: Outcome
    state: ReconcilerState | None
    read_again: int


@dataclass(frozen=True)
class Epoch:
    """Positions in (after, upto], with the frontiers and terms that were known at their end."""

    after: int
    upto: int
    frontier: Frontier
    terms: Terms


def process_epoch(
    lake: Lake,
    buckets: BucketRange,
    epoch: Epoch,
    memory: ReconcilerState | None,
    came: pl.DataFrame,
    shelf: HashRunStore | None = None,
) -> EpochResult:
    """What an epoch does to a range of buckets; `came` are the rows (`EVENTS`) that its positions brought.

    Without a memory, or with one of another position, everything the epoch can touch is read from the log, and a memory is made
    of it that has a shelf or has none.
    """
    frontier, terms, after, upto = epoch.frontier, epoch.terms, epoch.after, epoch.upto
    if any(edition.book.gathers for edition in terms.editions):
        # A price that depends on all of a period reaches further than anything here can tell.
        events = affected_records(lake, frontier, buckets, terms, after=after, upto=upto)
        evaluated = evaluate(events, frontier, terms, after=after, upto=upto)
        return EpochResult(
            outcome_of(evaluated, frontier, terms, after=after, upto=upto, records=events.height), None, events.height
        )
    if memory is None and after == 0:
        memory = ReconcilerState(settled_keys=SettledKeyIndex(store=shelf))
    lost = memory is None or memory.position != after
    before = ReconcilerState(after) if memory is None or lost else memory
    if lost or _policy_changes(frontier, after, upto):
        known = events = affected_records(lake, frontier, buckets, terms, after=after, upto=upto) if after else came
        left = PendingRecords()
    else:
        labels = _components_affected(before.pending, epoch, came)
        known = pl.concat([before.pending.rows_of(labels), came])
        events = _with_affected_history(lake, buckets, epoch, before, known)
        if events.height > known.height:
            # What was read may be kept as well; it is kept no longer as it was, nor what belongs to it.
            more = before.pending.keys_sharing(record_hashes(events))
            beside = before.pending.rows_of(more).join(events, on=ROW, how="anti")
            events, labels = pl.concat([events, beside]), np.union1d(labels, more)
        left = before.pending.excluding(labels)
    rows = with_row_number(events)
    evaluated = evaluate(rows, frontier, terms, after=after, upto=upto)
    divided = split_retained(rows, evaluated, frontier, upto=upto, open_from_us=open_from_us(frontier, terms, upto))
    if lost:
        before = _rebuild_settled_keys(lake, epoch, buckets, events, SettledKeyIndex(store=shelf))
    gone = before.settled_keys.add(identity_keys(rows.select(NAMES).filter(pl.Series(divided.closed | divided.passed))))
    passed_us = max(before.passed_us, _latest(divided.stand_us[divided.passed]))
    latest_us = max(before.latest_us, passed_us, _latest(divided.stand_us[divided.closed]))
    later = ReconcilerState(upto, left.add(divided.rows, frontier), gone, passed_us, latest_us)
    outcome = outcome_of(evaluated, frontier, terms, after=after, upto=upto, records=events.height)
    return EpochResult(outcome, later, events.height - known.height)


def _components_affected(unsettled: PendingRecords, epoch: Epoch, came: pl.DataFrame) -> Hashes:
    """The labels of what is kept that an epoch can touch: by what came, by what streams passed, by what was declared or priced."""
    frontier, terms, after, upto = epoch.frontier, epoch.terms, epoch.after, epoch.upto
    if not unsettled.height:
        return NO_HASHES
    found = [unsettled.keys_passed(newly_passed_intervals(frontier, terms, after, upto))]
    new = terms.changes.filter((pl.col("position") > after) & (pl.col("position") <= upto))
    if new["subscriber"].null_count():
        found.append(unsettled.keys_matching(pl.lit(True)))
    elif not new.is_empty():
        found.append(unsettled.keys_matching(pl.col("subscriber").is_in(new["subscriber"].implode())))
    # A closing tells those without any time theirs, hence where they stand.
    moved = [unsettled.keys_sharing(identity_keys(came))]
    if any(((marks.positions > after) & (marks.positions <= upto)).any() for marks in frontier.closed.values()):
        moved.append(unsettled.keys_matching(pl.col("time_us").is_null()))
    # A unit may stand with the party of one record at the time of another: new ones with those that are kept of their session.
    moving = pl.concat([came, unsettled.rows_of(np.concatenate(moved))])
    stood = candidate_keys(moving, np.zeros(moving.height, dtype=np.uint64), frontier)
    near = unsettled.keys_sharing(blocking_keys(stood, frontier, around=False)["blocking_key"].to_numpy())
    every: Hashes = np.unique(np.concatenate([*found, *moved, near]))
    return every


def _policy_changes(frontier: Frontier, after: int, upto: int) -> bool:
    starts = frontier.policies.starts
    return bool(((starts > after) & (starts <= upto)).any())


def _with_affected_history(
    lake: Lake, buckets: BucketRange, epoch: Epoch, before: ReconcilerState, known: pl.DataFrame
) -> pl.DataFrame:
    """What is known, with whatever of the log it may touch beside."""
    # What began before prices change may last until they do.
    reaches_us = before.latest_us + pl.when(pl.col("subscriber").is_null()).then(LONGEST_US).otherwise(0)
    changes = epoch.terms.changes.filter((pl.col("position") > epoch.after) & (pl.col("from_us") <= reaches_us))
    doubtful = known.filter(pl.Series(_needs_reread(epoch, before, known), dtype=pl.Boolean))
    if not changes.is_empty():
        told = affected_by_terms(lake, epoch.frontier, buckets, epoch.terms, after=epoch.after, upto=epoch.upto)
        fresh = told.join(known, on=ROW, how="anti")
        known, doubtful = pl.concat([known, fresh]), pl.concat([doubtful, fresh])
    if doubtful.is_empty():
        return known
    return affected_closure(lake, epoch.frontier, buckets, epoch.terms, doubtful, known, upto=epoch.upto)


def _needs_reread(epoch: Epoch, before: ReconcilerState, known: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of the rows known may touch something that is kept no longer."""
    came = known["position"].to_numpy() > epoch.after
    again = np.zeros(len(came), dtype=np.bool_)
    if not came.any():
        return again | _within_settled_window(epoch, before, known, again)
    sessions, records = session_hashes(known), record_hashes(known)
    keyed = known["session_key"].is_not_null().to_numpy()
    again[came] = (before.settled_keys.contains(sessions[came]) & keyed[came]) | before.settled_keys.contains(records[came])
    # A unit takes its service from one of its records and its time from another.
    if known["service"].n_unique() == 1:
        return again | _within_settled_window(epoch, before, known, came)
    sides = known.select("charge", service=pl.col("service").hash(), session=pl.Series(sessions)).filter(pl.Series(keyed))
    told = sides.group_by("session", "charge").agg(least=pl.col("service").min(), most=pl.col("service").max())
    mixed = told.filter(pl.col("least") != pl.col("most"))["session"].to_numpy()
    crossed = np.zeros(len(came), dtype=np.bool_)
    if len(mixed):
        crossed = keyed & np.isin(sessions, mixed) & np.isin(sessions, sessions[came & keyed])
    return again | _within_settled_window(epoch, before, known, came | crossed)


def _within_settled_window(
    epoch: Epoch, before: ReconcilerState, known: pl.DataFrame, asked: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Of the rows asked for, and of those whose time a closing has told now, which stand near enough to what has been passed."""
    untimed = known["time_us"].is_null().to_numpy()
    stands = known["time_us"].fill_null(UNKNOWN_TIME_US).to_numpy()
    if untimed.any():
        due = with_due_date(known.filter(pl.Series(untimed)), epoch.frontier)
        told = due["assigned_at"].to_numpy() <= epoch.upto
        stands = stands.copy()
        stands[untimed] = np.where(told, due["assigned_time_us"].to_numpy(), UNKNOWN_TIME_US)
        asked = asked.copy()
        asked[untimed] |= told
    near: np.ndarray[tuple[int], np.dtype[np.bool_]] = asked & (stands - widest_us(epoch.frontier) <= before.passed_us)
    return near


def _rebuild_settled_keys(
    lake: Lake, epoch: Epoch, buckets: BucketRange, events: pl.DataFrame, gone: SettledKeyIndex
) -> ReconcilerState:
    """What there is in the log up to a position beside `events`, remembered as gone; little of it is in memory at a time."""
    passed_us, after = NO_TIME_US, epoch.after
    opens_us = open_from_us(epoch.frontier, epoch.terms, after)
    for low, high in split_ranges(lake, 0, after, Bounds()):
        came = arrivals(lake, buckets, after=low, upto=high)
        held = came.join(events, on=ROW, how="anti")
        gone = gone.add(identity_keys(held))
        # Without any time they stand with a closing: before what is open, else they would be among `events`.
        latest = held["time_us"].fill_null(opens_us).max()
        passed_us = max(passed_us, NO_TIME_US if latest is None else int(latest))  # type: ignore[arg-type]
    return ReconcilerState(after, settled_keys=gone, passed_us=passed_us, latest_us=passed_us)


def _latest(stand_us: NDArray[np.int64]) -> int:
    return int(stand_us.max(initial=NO_TIME_US))
