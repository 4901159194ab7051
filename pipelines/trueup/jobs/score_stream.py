"""The scoring of the continuous job: ticker → poll → read → features → score → commit, next to the reconciliation.

Poll, read and commit each run in one worker. Feature windows are keyed by part (a group of an entity's values), scores by owner
range (a group of buckets). Everything that decides a score is in `trueup.fraud`; this file only places the steps. Flink stores the
position of the poller and the windows of each part. Both may be lost: the lake has the committed position, and the windows are
rebuilt from the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from pyflink.common import Types
from pyflink.datastream import DataStream, KeyedProcessFunction, OutputTag, ProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor

from trueup.config import Project
from trueup.frames import from_ipc, to_ipc
from trueup.fraud.features.incremental import Arrivals, FeatureWindows, decode_intervals, encode_intervals
from trueup.fraud.features.partitioned import (
    HOME,
    Part,
    declared_for,
    merge_scores,
    partition_by_entity,
    route_features,
    score_owner_range,
    transactions_by_owner,
)
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.scoring.model_registry import active_models, models_of
from trueup.fraud.scoring.score_run import CONSUMER, ScoreBatch, commit_judged
from trueup.jobs.flink_operators import BYTES, NUMBER, POSITION, TEXT, LakeOperator, StoredPosition, single_key
from trueup.jobs.options import StreamOptions
from trueup.reconcile.incremental.poller import Poller, resume_position

_TRANSACTIONS = -1
_TO_OWNER = Types.TUPLE([NUMBER, NUMBER, POSITION, POSITION, TEXT, BYTES])
TRANSACTIONS = OutputTag("transactions", _TO_OWNER)
"""Side output to the owner ranges: transactions, with the notes on the epoch that scoring needs."""


class Poll(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """Turns a tick into the next epoch to score, if there is one and a model or rule is in force."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the lake for reading."""
        self._position = StoredPosition(runtime_context)
        self._lake = self.open_lake()
        self._poller = Poller(self._lake, self._options.bounds, committed=self._lake.consumer_position(CONSUMER))
        self._resumed, self._without_model_upto = False, -1

    def process_element(self, value: Any, ctx: Any) -> Iterator[tuple[int, int]]:
        """Yield at most one epoch, so that a checkpoint fits between two."""
        self._lake.reconnect_when_due()
        position = self._position.value()
        if position is None or not self._resumed:
            position = resume_position(self._lake, position, CONSUMER, state_time_us=self._position.time_us())
            self._position.update(self._lake, position)
            self._resumed = True
        newest = self._lake.last_position_since(position)
        if newest == position or newest == self._without_model_upto:
            return
        if active_models(self._lake, after=position, upto=newest) is None:
            # Only a declaration changes that, and a declaration has a position.
            self._without_model_upto = newest
            return
        span = self._poller.next_epoch(position)
        if span is not None:
            self._position.update(self._lake, span[1])
            yield span


class Read(LakeOperator, ProcessFunction):  # type: ignore[misc]
    """Reads an epoch; yields its events by window part and, as a side output, its transactions by owner range."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the lake for reading."""
        self._ranges, self._lake = self._options.ranges(), self.open_lake()
        self._declared = declared_for(self._lake.project.config.fraud)
        self._arrivals = Arrivals(self._lake)

    def process_element(self, value: tuple[int, int], ctx: Any) -> Iterator[Any]:
        """Yield the batches of one epoch; each owner range learns how many feature batches follow.

        An epoch without transactions goes to one owner range, so that it is committed.
        """
        after, upto = value
        self._lake.reconnect_when_due()
        events = self._arrivals.of(after, upto)
        least_us = events.filter(~pl.col("is_label"))["at_us"].min() or 0
        batches_of_owner: dict[int, int] = {}
        for part, rows in partition_by_entity(self._declared, events, self._ranges, self._options.groups):
            for owner in rows.filter(~pl.col("is_label"))[HOME].unique().to_list():
                batches_of_owner[owner] = batches_of_owner.get(owner, 0) + 1
            yield part.entity, part.group, after, upto, least_us, to_ipc(rows)
        parts = encode_intervals(active_models(self._lake, after=after, upto=upto) or [])
        transactions = dict(transactions_by_owner(self._declared, events, self._ranges)) or {0: events.clear()}
        for owner, rows in transactions.items():
            notes = {"feature_batches": batches_of_owner.get(owner, 0), "owners": len(transactions), "parts": parts}
            yield TRANSACTIONS, (owner, _TRANSACTIONS, after, upto, json.dumps(notes), to_ipc(rows))


class ComputeFeatures(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """Computes the features of a window part's transactions, yields them by owner range and stores the part's windows."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the lake, from which lost windows are rebuilt."""
        self._head = runtime_context.get_state(ValueStateDescriptor("windows", BYTES))
        self._runs = runtime_context.get_map_state(MapStateDescriptor("runs", NUMBER, BYTES))
        self._lake = self.open_lake()
        self._windows = FeatureWindows(self._lake, self._options.groups)
        self._states: dict[Part, Any] = {}

    def process_element(self, value: tuple[int, int, int, int, int, bytes], ctx: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the features of one batch of events, by owner range."""
        entity, group, after, upto, least_us, data = value
        self._lake.reconnect_when_due()
        part, (rows,) = Part(entity, group), from_ipc(data)
        self._windows.release(after)
        before = self._states[part] if part in self._states else self._restore_windows(part)
        features, state = self._windows.compute(part, before, rows, after=after, least_us=least_us)
        self._store_windows(part, before, state)
        for owner, own in route_features(features, rows.filter(~pl.col("is_label")).select("event_id", HOME)):
            yield owner, entity, after, upto, "", to_ipc(own)

    def _restore_windows(self, part: Part) -> Any:
        head = self._head.value()
        return None if head is None else self._windows.restore(part, head, dict(self._runs.items()))

    def _store_windows(self, part: Part, before: Any, after: Any) -> None:
        """Store a part's windows; only new runs are written."""
        self._states[part] = after
        if after is None:
            return
        encoded = self._windows.serialize(after, before)
        for number, run in encoded.runs.items():
            self._runs.put(number, run)
        for number in [n for n in self._runs.keys() if n >= encoded.count]:  # noqa: SIM118 - a Flink state is not a mapping
            self._runs.remove(number)
        self._head.update(encoded.head)


@dataclass
class _OwnedTransactions:
    """Batches of one epoch that have reached an owner range."""

    notes: dict[str, Any] | None = None
    transactions: pl.DataFrame | None = None
    features: dict[int, list[pl.DataFrame]] = field(default_factory=dict)
    count: int = 0


class ScoreTransactions(KeyedProcessFunction):  # type: ignore[misc]
    """Scores an owner range's transactions by the models and rules once all their features have arrived."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options

    def open(self, runtime_context: RuntimeContext) -> None:
        """Start without stored state: a checkpoint is taken before or after all batches of an epoch."""
        self._project = Project.load(self._options.project)
        self._waiting: dict[tuple[int, int], _OwnedTransactions] = {}
        self._models: dict[str, Any] = {}

    def process_element(self, value: tuple[int, int, int, int, str, bytes], ctx: Any) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield the scores of one owner range once all feature batches of the epoch have arrived."""
        owner, entity, after, upto, notes, data = value
        received = self._waiting.setdefault((owner, upto), _OwnedTransactions())
        (frame,) = from_ipc(data)
        if entity == _TRANSACTIONS:
            received.notes, received.transactions = json.loads(notes), frame
        else:
            received.features.setdefault(entity, []).append(frame)
            received.count += 1
        if received.notes is None or received.transactions is None or received.count < received.notes["feature_batches"]:
            return
        del self._waiting[owner, upto]
        parts = decode_intervals(received.notes["parts"])
        new = [s for s in parts if s.model_id not in self._models]
        self._models |= models_of(self._project, telecom_features(), new)
        scores = ScoreBatch(pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
        if received.transactions.height:
            config = self._project.config.fraud
            scores = score_owner_range(config, received.transactions, received.features, parts, self._models, upto=upto)
        yield after, upto, received.notes["owners"], to_ipc(scores.score, scores.scoring, scores.drift)


class Commit(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """Merges the scores of all owner ranges and commits each epoch once; an epoch that is committed already is skipped."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the lake for writing."""
        self._lake = self.open_lake(read_only=False)
        self._waiting: dict[int, list[ScoreBatch]] = {}

    def process_element(self, value: tuple[int, int, int, bytes], ctx: Any) -> Iterator[int]:
        """Yield the end position of an epoch once it is committed."""
        after, upto, owners, data = value
        self._lake.reconnect_when_due()
        waiting = self._waiting.setdefault(upto, [])
        waiting.append(ScoreBatch(*from_ipc(data)))
        if len(waiting) == owners:
            commit_judged(self._lake, merge_scores(self._waiting.pop(upto)), after=after, upto=upto)
            yield upto


def score_positions(ticks: DataStream, options: StreamOptions) -> DataStream:
    """Return the stream of positions up to which scores are committed, driven by ticks."""
    spans = (
        ticks.key_by(single_key, NUMBER)
        .process(Poll(options), Types.TUPLE([POSITION, POSITION]))
        .name("score-poll")
        .uid("score-poll")
    )
    batch = Types.TUPLE([NUMBER, NUMBER, POSITION, POSITION, POSITION, BYTES])
    read = spans.process(Read(options), batch).name("score-read").uid("score-read")
    features = read.key_by(lambda b: b[0] * options.groups + b[1], NUMBER).process(ComputeFeatures(options), _TO_OWNER)
    features = features.name("score-windows").uid("score-windows").set_parallelism(options.parallelism)
    # PyFlink computes keys after each stream of a union: both need the parallelism of the operator that follows.
    transactions = read.get_side_output(TRANSACTIONS).set_parallelism(options.parallelism)
    by_owner = features.union(transactions).key_by(_route_to_owner, NUMBER)
    scores = by_owner.process(ScoreTransactions(options), Types.TUPLE([POSITION, POSITION, NUMBER, BYTES]))
    scores = scores.name("score-judge").uid("score-judge").set_parallelism(options.parallelism)
    return scores.key_by(single_key, NUMBER).process(Commit(options), POSITION).name("score-commit").uid("score-commit")


def _route_to_owner(batch: tuple[int, int, int, int, str, bytes]) -> int:
    return batch[0]
