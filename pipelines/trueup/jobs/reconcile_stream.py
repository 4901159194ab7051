"""The continuous reconciliation as a Flink job: ticker → poll → read and reconcile → commit.

Elements are position ranges or Arrow batches, never records; keys are groups of buckets. The worker of a group reads the
group's records from the lake itself. The lake is sorted by bucket, so each part of a file is read by one worker, and no record
travels between workers. Everything that decides a finding is in `trueup.reconcile`; this file only places the steps.

Flink stores the position of the poller and the reconciler state of each bucket group. Hash runs of settled keys may be files that
the state names. All of this may be lost: the lake has the committed position, and the state is rebuilt from the log.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from pyflink.common import Configuration, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors.base import Sink
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment

from trueup.jobs.flink_operators import (
    BYTES,
    MOST_WORKERS,
    NUMBER,
    POSITION,
    LakeOperator,
    StoredPosition,
    groups_of_subtask,
    keys_per_group,
    single_key,
)
from trueup.jobs.options import StreamOptions
from trueup.log.lake import BucketRange
from trueup.policies.declared import ensure_policy
from trueup.reconcile.incremental.epoch import process_epoch
from trueup.reconcile.incremental.epoch_ranges import Span
from trueup.reconcile.incremental.poller import EpochLoader, Poller, resume_position
from trueup.reconcile.incremental.state_codec import decode_state, encode_state
from trueup.reconcile.log_io.commit import CONSUMER, commit_outcome
from trueup.reconcile.results.outcome import Outcome, merge_outcomes
from trueup.reconcile.results.outcome_codec import decode as decode_outcome
from trueup.reconcile.results.outcome_codec import encode as encode_outcome

MAX_EPOCHS_IN_FLIGHT = 2
"""Number of epochs in flight: workers always have a next epoch, and few epochs delay a checkpoint."""
LOCK_WAIT_S = 60.0
"""How long a restarted poller waits for the reconciler lock: the worker that it replaces may still be ending."""


class Poll(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """Turns a tick into the next epoch of each group, if there is one, and holds the lock of the single reconciler."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the lake and, unless the job only recomputes, take the reconciler lock."""
        self._position = StoredPosition(runtime_context)
        options, read_only = self._options, self._options.until is not None
        lake = self.open_lake(read_only=read_only)
        if not read_only:
            self._open.enter_context(lake.reconciler_lock(LOCK_WAIT_S))
            ensure_policy(lake)
            options.remove_stale_stores()
        self._lake, self._resumed = lake, False
        committed = 0 if read_only else lake.consumer_position(CONSUMER)
        self._poller = Poller(lake, options.bounds, tick_every=options.tick_every, until=options.until, committed=committed)
        self._in_flight: deque[int] = deque()
        self._groups = len(options.ranges())

    def process_element(self, value: Any, ctx: Any) -> Iterator[tuple[int, int, int]]:
        """Yield at most one epoch, so that a checkpoint fits between two; yield none while enough are in flight."""
        self._lake.reconnect_when_due()
        position = self._position.value()
        if not self._resumed and self._options.until is None:
            position = resume_position(self._lake, position, state_time_us=self._position.time_us())
            # Without an epoch in this call, the next call must not begin at position 0.
            self._position.update(self._lake, position)
            self._resumed = True
        if len(self._in_flight) >= MAX_EPOCHS_IN_FLIGHT and not self._has_capacity():
            return
        span = self._poller.next_epoch(position or 0)
        if span is not None:
            self._position.update(self._lake, span[1])
            self._in_flight.append(span[1])
            for group in range(self._groups):
                yield group, *span

    def _has_capacity(self) -> bool:
        """Return whether another epoch may start: queued epochs would delay a checkpoint."""
        folder = self._options.outcome_folder
        done = self._lake.consumer_position(CONSUMER) if folder is None else max(_list_finished_positions(folder), default=0)
        while self._in_flight and self._in_flight[0] <= done:
            self._in_flight.popleft()
        return len(self._in_flight) < MAX_EPOCHS_IN_FLIGHT


class Reconcile(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """Reconciles an epoch of a bucket group, yields its outcome and stores the group's reconciler state."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the lake for reading."""
        # These names stay, so that `_store_state` finds and clears the state that an older version wrote.
        self._head = runtime_context.get_state(ValueStateDescriptor("memory", BYTES))
        self._runs = runtime_context.get_map_state(MapStateDescriptor("gone", Types.INT(), BYTES))
        self._segments = runtime_context.get_map_state(MapStateDescriptor("unsettled", Types.INT(), BYTES))
        self._ranges, self._lake = self._options.ranges(), self.open_lake()
        self._loader = EpochLoader(self._lake)
        self._states: dict[int, Any] = {}
        self._own_groups, self._input = groups_of_subtask(runtime_context, len(self._ranges)), _EpochInput((0, 0), {})
        group = runtime_context.get_metrics_group()
        self._records, self._again = group.counter("records"), group.counter("read_again")

    def process_element(self, value: tuple[int, int, int], ctx: Any) -> Iterator[tuple[int, int, bytes, int, int]]:
        """Yield the outcome of one epoch, the number of pending records and the number of records read again."""
        group, after, upto = value
        self._lake.reconnect_when_due()
        buckets = self._ranges[group]
        before = self._states[group] if group in self._states else self._restore_state(buckets)
        epoch, store = self._loader.epoch((after, upto), buckets), self._options.hash_run_store(buckets)
        result = process_epoch(self._lake, buckets, epoch, before, self._read_arrivals((after, upto), group), store)
        self._store_state(group, buckets, before, result.state)
        self._records.inc(result.outcome.records)
        self._again.inc(result.read_again)
        pending = result.state.undecided_records if result.state is not None else 0
        yield after, upto, encode_outcome(result.outcome), pending, result.read_again

    def _read_arrivals(self, span: Span, group: int) -> pl.DataFrame:
        """Return the records of an epoch for a group; one query reads the records of all groups of this worker."""
        if self._input.span != span:
            ranges = [self._ranges[own] for own in self._own_groups]
            parts = (rows for _, rows in self._loader.arrivals(span, ranges))
            self._input = _EpochInput(span, dict(zip(self._own_groups, parts, strict=True)))
        return self._input.parts.pop(group)

    def _restore_state(self, buckets: BucketRange) -> Any:
        head, store = self._head.value(), self._options.hash_run_store(buckets)
        if head is None:
            return None
        return decode_state(head, dict(self._runs.items()), dict(self._segments.items()), buckets, store)

    def _store_state(self, group: int, buckets: BucketRange, before: Any, after: Any) -> None:
        """Store a group's reconciler state; only new hash runs and row segments are written."""
        self._states[group] = after
        if before is None or after is None:
            # Without a decoded state the stored one is unusable, for instance because an older version wrote it.
            for state in (self._head, self._runs, self._segments):
                state.clear()
        if after is None:
            return
        encoded = encode_state(after, buckets, before)
        _write_parts(self._runs, encoded.runs, len(before.settled_keys.runs) if before is not None else 0)
        _write_parts(self._segments, encoded.segments, len(before.segments) if before is not None else 0)
        self._head.update(encoded.head)


@dataclass(frozen=True)
class _EpochInput:
    """The records of an epoch for the groups of one worker that have not processed them yet."""

    span: Span
    parts: dict[int, pl.DataFrame]


def _write_parts(state: Any, parts: tuple[bytes, ...], count_before: int) -> None:
    """Write the changed parts to a state of numbered parts, and remove the surplus numbers."""
    for number, part in enumerate(parts):
        if part:
            state.put(number, part)
    for number in range(len(parts), count_before):
        state.remove(number)


class Commit(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """Merges the outcomes of all groups; commits each epoch once, or writes it to a file in a recomputation."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the lake, for writing unless the job only recomputes."""
        options = self._options
        self._lake = self.open_lake(read_only=options.outcome_folder is not None)
        # A checkpoint is taken before or after all groups of an epoch, so it need not include these.
        self._waiting: dict[int, list[Outcome]] = {}
        self._pending: dict[int, int] = {}
        self._again = 0
        self._groups = len(options.ranges())

    def process_element(self, value: tuple[int, int, bytes, int, int], ctx: Any) -> Iterator[int]:
        """Yield the end position of an epoch once it is committed."""
        after, upto, data, pending, again = value
        self._lake.reconnect_when_due()
        self._pending[upto] = self._pending.get(upto, 0) + pending
        self._again += again
        waiting = self._waiting.setdefault(upto, [])
        waiting.append(decode_outcome(data))
        if len(waiting) == self._groups:
            outcome = merge_outcomes(self._waiting.pop(upto))
            if self._options.outcome_folder is None:
                commit_outcome(self._lake, outcome, after=after, upto=upto)
            else:
                _write_file(Path(self._options.outcome_folder, f"{upto:020d}"), encode_outcome(outcome))
            progress = {"position": upto, "kept": self._pending.pop(upto), "read_again": self._again}
            if self._options.progress is not None:
                _write_file(Path(self._options.progress), json.dumps(progress).encode())
            yield upto


def _write_file(path: Path, data: bytes) -> None:
    """Write a file that is complete as soon as it exists, since another process waits for it."""
    path.with_suffix(".part").write_bytes(data)
    path.with_suffix(".part").rename(path)


def _list_finished_positions(folder: str) -> Iterator[int]:
    """Return the end positions of the epochs whose outcomes are in a folder."""
    return (int(path.name) for path in Path(folder).glob("*[0-9]"))


def configuration(options: StreamOptions, overrides: dict[str, str]) -> Configuration:
    """Return the Flink settings of the job; `overrides` take precedence."""
    settings = {
        "parallelism.default": "1",
        "pipeline.max-parallelism": str(MOST_WORKERS),
        # Elements are batches: each is a bundle of its own, so that no batch waits for another.
        "python.fn-execution.bundle.size": "1",
        "python.fn-execution.bundle.time": "20",
        # Operators hold their decoded state and read the stored bytes only at a start: a cache of them has no use.
        "python.state.cache-size": "0",
        "execution.checkpointing.interval": f"{int(options.checkpoint_every.total_seconds() * 1000)} ms",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.timeout": "30 min",
        "execution.checkpointing.num-retained": "2",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.state-recovery.claim-mode": "CLAIM",
        "restart-strategy.type": "failure-rate",
        "restart-strategy.failure-rate.max-failures-per-interval": "5",
        "restart-strategy.failure-rate.failure-rate-interval": "5 min",
        "restart-strategy.failure-rate.delay": "1 s",
        "table.exec.uid.generation": "ALWAYS",
        **overrides,
    }
    flink_configuration = Configuration()
    for name, value in settings.items():
        flink_configuration.set_string(name, value)
    return flink_configuration


def build(options: StreamOptions, overrides: dict[str, str]) -> StreamExecutionEnvironment:
    """Return the execution environment of the job, ready to be executed."""
    environment = StreamExecutionEnvironment.get_execution_environment(configuration(options, overrides))
    tables = StreamTableEnvironment.create(environment)
    # No Flink connector reads the lake; generated ticks make the poller check for new positions.
    tables.execute_sql(
        "CREATE TEMPORARY TABLE ticker (tick INT) "
        f"WITH ('connector' = 'datagen', 'rows-per-second' = '{int(options.polls_per_second)}')"
    )
    ticks = tables.to_data_stream(tables.from_path("ticker"))
    epoch, keys = Types.TUPLE([NUMBER, POSITION, POSITION]), keys_per_group(len(options.ranges()))
    epochs = ticks.key_by(single_key, NUMBER).process(Poll(options), epoch).name("poll").uid("poll")
    outcome = Types.TUPLE([POSITION, POSITION, BYTES, NUMBER, NUMBER])
    by_group = epochs.key_by(lambda epoch: keys[epoch[0]], NUMBER)
    outcomes = by_group.process(Reconcile(options), outcome).name("reconcile").uid("reconcile")
    outcomes.set_parallelism(options.parallelism)
    committed = outcomes.key_by(single_key, NUMBER).process(Commit(options), POSITION).name("commit").uid("commit")
    discarding_sink = get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink
    committed.sink_to(Sink(discarding_sink())).uid("end")
    if options.score:
        from trueup.jobs.score_stream import score_positions

        score_positions(ticks, options).sink_to(Sink(discarding_sink())).uid("score-end")
    return environment
