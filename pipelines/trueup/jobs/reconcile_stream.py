"""The continuous reconciliation as a Flink job: ticker → poll → read and reconcile → commit.

An element is a range of positions or a batch of Arrow, never a record; the keys are groups of buckets. Whoever reconciles a
group reads what came for it: the lake is columns sorted by bucket, so that each part of a file is read by one worker, and no
record goes from worker to worker. Everything that decides a finding is in `trueup.reconcile`; this file only says what runs
where, and what Flink keeps: the position the poller has come to, and what each group of buckets remembers (of keys that are kept
no longer, the names of files that hold them as hashes). All of it can be lost without loss: the lake knows what is committed,
the rest is made of the log.
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
    groups_of_subtask,
    keys_per_group,
    single_key,
)
from trueup.jobs.options import StreamOptions
from trueup.log.lake import BucketRange
from trueup.reconcile.incremental.epoch import process_epoch
from trueup.reconcile.incremental.epoch_ranges import Span
from trueup.reconcile.incremental.poller import EpochLoader, Poller, resume_position
from trueup.reconcile.incremental.state_codec import decode_state, encode_state
from trueup.reconcile.log_io.commit import CONSUMER, commit_outcome
from trueup.reconcile.log_io.declared_policies import ensure_policy
from trueup.reconcile.results.outcome_codec import decode as outcome_unpacked
from trueup.reconcile.results.outcome_codec import encode as outcome_packed
from trueup.reconcile.run_partition import Outcome, merge_outcomes

MAX_EPOCHS_IN_FLIGHT = 2
"""How many epochs are worked on at once: the next is there when a worker has done with one, and few stand before a checkpoint."""
LOCK_WAIT_S = 60.0
"""How long a restarted poller waits for the lake: the worker it replaces may still be ending."""


class Poll(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """A tick in; the next epoch out for each group, where there is one. Holds the lake as the one reconciler."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Takes the lake."""
        self._position = runtime_context.get_state(ValueStateDescriptor("position", Types.LONG()))
        options, only_read = self._options, self._options.until is not None
        lake = self.opened(read_only=only_read)
        if not only_read:
            self._open.enter_context(lake.reconciler_lock(LOCK_WAIT_S))
            ensure_policy(lake)
            options.without_other_shelves()
        self._lake, self._went_on = lake, False
        committed = 0 if only_read else lake.consumer_position(CONSUMER)
        self._poller = Poller(lake, options.bounds, tick_every=options.tick_every, until=options.until, committed=committed)
        self._going_on: deque[int] = deque()
        self._groups = len(options.ranges())

    def process_element(self, value: Any, ctx: Any) -> Iterator[tuple[int, int, int]]:
        """One epoch at most, so that a checkpoint can come between two; none while enough are being worked on."""
        self._lake.reconnect_when_due()
        position = self._position.value()
        if not self._went_on and self._options.until is None:
            position = resume_position(self._lake, position)
            self._went_on = True
        if len(self._going_on) >= MAX_EPOCHS_IN_FLIGHT and not self._ended():
            return
        span = self._poller.next_epoch(position or 0)
        if span is not None:
            self._position.update(span[1])
            self._going_on.append(span[1])
            for group in range(self._groups):
                yield group, *span

    def _ended(self) -> bool:
        """Whether an epoch that was going on has come to its end: what waits in between would hold up a checkpoint."""
        keep = self._options.keep
        done = self._lake.consumer_position(CONSUMER) if keep is None else max(_finished_positions(keep), default=0)
        while self._going_on and self._going_on[0] <= done:
            self._going_on.popleft()
        return len(self._going_on) < MAX_EPOCHS_IN_FLIGHT


class Reconcile(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """An epoch of a group of buckets in; what it tells of them out. Keeps what the group remembers."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Opens the lake for reading."""
        self._head = runtime_context.get_state(ValueStateDescriptor("memory", BYTES))
        self._runs = runtime_context.get_map_state(MapStateDescriptor("gone", Types.INT(), BYTES))
        self._segments = runtime_context.get_map_state(MapStateDescriptor("unsettled", Types.INT(), BYTES))
        self._ranges, self._lake = self._options.ranges(), self.opened()
        self._follower = EpochLoader(self._lake)
        self._memories: dict[int, Any] = {}
        self._mine, self._came = groups_of_subtask(runtime_context, len(self._ranges)), _EpochInput((0, 0), {})
        group = runtime_context.get_metrics_group()
        self._records, self._again = group.counter("records"), group.counter("read_again")

    def process_element(self, value: tuple[int, int, int], ctx: Any) -> Iterator[tuple[int, int, bytes, int, int]]:
        """One epoch in, one outcome out, with how many records are kept and how many were read again."""
        group, after, upto = value
        self._lake.reconnect_when_due()
        buckets = self._ranges[group]
        before = self._memories[group] if group in self._memories else self._restored(buckets)
        epoch, shelf = self._follower.epoch((after, upto), buckets), self._options.shelf(buckets)
        told = process_epoch(self._lake, buckets, epoch, before, self._arrivals((after, upto), group), shelf)
        self._remember(group, buckets, before, told.state)
        self._records.inc(told.outcome.records)
        self._again.inc(told.read_again)
        kept = told.state.pending.height if told.state is not None else 0
        yield after, upto, outcome_packed(told.outcome), kept, told.read_again

    def _arrivals(self, span: Span, group: int) -> pl.DataFrame:
        """What an epoch brought to a group; read for all groups of this worker at once, as soon as the first of them asks."""
        if self._came.span != span:
            ranges = [self._ranges[mine] for mine in self._mine]
            parts = (rows for _, rows in self._follower.arrivals(span, ranges))
            self._came = _EpochInput(span, dict(zip(self._mine, parts, strict=True)))
        return self._came.parts.pop(group)

    def _restored(self, buckets: BucketRange) -> Any:
        head = self._head.value()
        if head is None:
            return None
        return decode_state(head, dict(self._runs.items()), dict(self._segments.items()), buckets, self._options.shelf(buckets))

    def _remember(self, group: int, buckets: BucketRange, before: Any, after: Any) -> None:
        """Keeps a memory, of its runs of hashes and segments of rows only those that are new."""
        self._memories[group] = after
        if before is None or after is None:
            # Whatever is there is of no use any more, as what an older version left.
            for state in (self._head, self._runs, self._segments):
                state.clear()
        if after is None:
            return
        told = encode_state(after, buckets, before)
        _write_parts(self._runs, told.runs, len(before.settled_keys.runs) if before is not None else 0)
        _write_parts(self._segments, told.segments, len(before.pending.segments) if before is not None else 0)
        self._head.update(told.head)


@dataclass(frozen=True)
class _EpochInput:
    """What an epoch brought to groups, those of which have not asked for it yet."""

    span: Span
    parts: dict[int, pl.DataFrame]


def _write_parts(state: Any, parts: tuple[bytes, ...], known: int) -> None:
    """Puts the parts that are told into a state of numbered ones, and removes those that are no more."""
    for number, part in enumerate(parts):
        if part:
            state.put(number, part)
    for number in range(len(parts), known):
        state.remove(number)


class Commit(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """Outcomes of all groups in; one commit for each epoch, or a file of it where it is only to be kept."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Opens the lake for writing."""
        options = self._options
        self._lake = self.opened(read_only=options.keep is not None)
        # A checkpoint comes after all groups of an epoch or before any: what waits here need not be in it.
        self._waiting: dict[int, list[Outcome]] = {}
        self._kept: dict[int, int] = {}
        self._again = 0
        self._groups = len(options.ranges())

    def process_element(self, value: tuple[int, int, bytes, int, int], ctx: Any) -> Iterator[int]:
        """The position an epoch ended at, once it is committed."""
        after, upto, data, kept, again = value
        self._lake.reconnect_when_due()
        self._kept[upto] = self._kept.get(upto, 0) + kept
        self._again += again
        waiting = self._waiting.setdefault(upto, [])
        waiting.append(outcome_unpacked(data))
        if len(waiting) == self._groups:
            outcome = merge_outcomes(self._waiting.pop(upto))
            if self._options.keep is None:
                commit_outcome(self._lake, outcome, after=after, upto=upto)
            else:
                _written(Path(self._options.keep, f"{upto:020d}"), outcome_packed(outcome))
            told = {"position": upto, "kept": self._kept.pop(upto), "read_again": self._again}
            if self._options.progress is not None:
                _written(Path(self._options.progress), json.dumps(told).encode())
            yield upto


def _written(path: Path, data: bytes) -> None:
    """Writes a file that is whole as soon as it is there: somebody waits for it."""
    path.with_suffix(".part").write_bytes(data)
    path.with_suffix(".part").rename(path)


def _finished_positions(folder: str) -> Iterator[int]:
    """The positions up to which there are files."""
    return (int(path.name) for path in Path(folder).glob("*[0-9]"))


def configuration(options: StreamOptions, told: dict[str, str]) -> Configuration:
    """Flink's settings: those of the job, and those told beside, which go before."""
    settings = {
        "parallelism.default": "1",
        "pipeline.max-parallelism": str(MOST_WORKERS),
        # Elements are batches: each is a bundle of its own, so that none waits for others.
        "python.fn-execution.bundle.size": "1",
        "python.fn-execution.bundle.time": "20",
        # Operators keep what they remember and write all of it: a copy of the bytes written would serve nobody.
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
        **told,
    }
    made = Configuration()
    for name, value in settings.items():
        made.set_string(name, value)
    return made


def build(options: StreamOptions, told: dict[str, str]) -> StreamExecutionEnvironment:
    """The job, ready to be executed."""
    environment = StreamExecutionEnvironment.get_execution_environment(configuration(options, told))
    tables = StreamTableEnvironment.create(environment)
    # No connector can follow the lake; ticks make the poller look.
    tables.execute_sql(
        "CREATE TEMPORARY TABLE ticker (tick INT) "
        f"WITH ('connector' = 'datagen', 'rows-per-second' = '{int(options.polls_per_second)}')"
    )
    ticks = tables.to_data_stream(tables.from_path("ticker"))
    epoch, keys = Types.TUPLE([NUMBER, POSITION, POSITION]), keys_per_group(len(options.ranges()))
    epochs = ticks.key_by(single_key, NUMBER).process(Poll(options), epoch).name("poll").uid("poll")
    outcome = Types.TUPLE([POSITION, POSITION, BYTES, NUMBER, NUMBER])
    by_group = epochs.key_by(lambda epoch: keys[epoch[0]], NUMBER)
    told_of = by_group.process(Reconcile(options), outcome).name("reconcile").uid("reconcile")
    told_of.set_parallelism(options.parallelism)
    committed = told_of.key_by(single_key, NUMBER).process(Commit(options), POSITION).name("commit").uid("commit")
    nowhere = get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink
    committed.sink_to(Sink(nowhere())).uid("end")
    if options.score:
        from trueup.jobs.score_stream import scored

        scored(ticks, options).sink_to(Sink(nowhere())).uid("score-end")
    return environment
