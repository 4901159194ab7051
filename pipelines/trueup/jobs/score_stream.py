"""The scoring of the continuous job: ticker → poll → read → windows → judge → commit, beside the reconciliation.

Poll, read and commit are one each; windows are keyed by part (a group of an entity's values), judgements by home (a group of
buckets). Everything that decides a score is in `trueup.fraud`; this file only says what runs where, and what Flink keeps: the
position the poller has come to, and the state of each part's windows. Both can be lost without loss: the lake knows what is
committed, the rest is made of the log.
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
from trueup.fraud.features.incremental import Arrivals, FeatureWindows, notes_of, stretches_of
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
from trueup.jobs.flink_operators import BYTES, NUMBER, POSITION, TEXT, LakeOperator, single_key
from trueup.jobs.options import StreamOptions
from trueup.reconcile.incremental.poller import Poller, resume_position

_FACTS = -1
_HOMEWARD = Types.TUPLE([NUMBER, NUMBER, POSITION, POSITION, TEXT, BYTES])
FACTS = OutputTag("facts", _HOMEWARD)
"""What goes home straight away: transactions, with what all who judge an epoch have to know of it."""


class Poll(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """A tick in; the next epoch to score out, where there is one and a model or a rule to score it by."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Opens the lake for reading."""
        self._position = runtime_context.get_state(ValueStateDescriptor("position", POSITION))
        self._lake = self.opened()
        self._poller = Poller(self._lake, self._options.bounds, committed=self._lake.consumer_position(CONSUMER))
        self._went_on, self._looked = False, -1

    def process_element(self, value: Any, ctx: Any) -> Iterator[tuple[int, int]]:
        """One epoch at most, so that a checkpoint can come between two."""
        self._lake.reconnect_when_due()
        position = self._position.value()
        if not self._went_on:
            position = resume_position(self._lake, position, CONSUMER)
            self._position.update(position)
            self._went_on = True
        newest = self._lake.last_position_since(position)
        if newest == position or newest == self._looked:
            return
        if active_models(self._lake, after=position, upto=newest) is None:
            # Only a declaration can change that, and a declaration has a position.
            self._looked = newest
            return
        span = self._poller.next_epoch(position)
        if span is not None:
            self._position.update(span[1])
            yield span


class Read(LakeOperator, ProcessFunction):  # type: ignore[misc]
    """An epoch in; a batch for each part of the windows it touches out, and on the side its transactions for each home."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Opens the lake for reading."""
        self._ranges, self._lake = self._options.ranges(), self.opened()
        self._declared = declared_for(self._lake.project.config.fraud)
        self._arrivals = Arrivals(self._lake)

    def process_element(self, value: tuple[int, int], ctx: Any) -> Iterator[Any]:
        """Homes are told how many batches of features to wait for; an epoch without transactions is one home's."""
        after, upto = value
        self._lake.reconnect_when_due()
        events = self._arrivals.of(after, upto)
        least_us = events.filter(~pl.col("is_label"))["at_us"].min() or 0
        awaited: dict[int, int] = {}
        for part, rows in partition_by_entity(self._declared, events, self._ranges, self._options.groups):
            for home in rows.filter(~pl.col("is_label"))[HOME].unique().to_list():
                awaited[home] = awaited.get(home, 0) + 1
            yield part.entity, part.group, after, upto, least_us, to_ipc(rows)
        parts = notes_of(active_models(self._lake, after=after, upto=upto) or [])
        facts = dict(transactions_by_owner(self._declared, events, self._ranges)) or {0: events.clear()}
        for home, rows in facts.items():
            notes = {"awaited": awaited.get(home, 0), "homes": len(facts), "parts": parts}
            yield FACTS, (home, _FACTS, after, upto, json.dumps(notes), to_ipc(rows))


class ComputeFeatures(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """What an epoch brought to a part in; the features of its transactions out, for each home. Keeps the part's windows."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Opens the lake for what has to be read again."""
        self._head = runtime_context.get_state(ValueStateDescriptor("windows", BYTES))
        self._runs = runtime_context.get_map_state(MapStateDescriptor("runs", NUMBER, BYTES))
        self._lake = self.opened()
        self._windows = FeatureWindows(self._lake, self._options.groups)
        self._states: dict[Part, Any] = {}

    def process_element(self, value: tuple[int, int, int, int, int, bytes], ctx: Any) -> Iterator[tuple[Any, ...]]:
        """One batch in, a batch for each home of its transactions out."""
        entity, group, after, upto, least_us, data = value
        self._lake.reconnect_when_due()
        part, (rows,) = Part(entity, group), from_ipc(data)
        self._windows.forget(after)
        before = self._states[part] if part in self._states else self._restored(part)
        features, state = self._windows.told(part, before, rows, after=after, least_us=least_us)
        self._keep(part, before, state)
        for home, mine in route_features(features, rows.filter(~pl.col("is_label")).select("event_id", HOME)):
            yield home, entity, after, upto, "", to_ipc(mine)

    def _restored(self, part: Part) -> Any:
        head = self._head.value()
        return None if head is None else self._windows.restored(part, head, dict(self._runs.items()))

    def _keep(self, part: Part, before: Any, after: Any) -> None:
        """Keeps a state, of its runs only those that are new."""
        self._states[part] = after
        if after is None:
            return
        told = self._windows.kept(after, before)
        for number, run in told.runs.items():
            self._runs.put(number, run)
        for number in [n for n in self._runs.keys() if n >= told.count]:  # noqa: SIM118 - a state is no mapping
            self._runs.remove(number)
        self._head.update(told.head)


@dataclass
class _OwnedTransactions:
    """What has come home of an epoch."""

    notes: dict[str, Any] | None = None
    facts: pl.DataFrame | None = None
    features: dict[int, list[pl.DataFrame]] = field(default_factory=dict)
    count: int = 0


class Judge(KeyedProcessFunction):  # type: ignore[misc]
    """A home's transactions and their features in; what models and rules say of them out, once all have come."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options

    def open(self, runtime_context: RuntimeContext) -> None:
        """Nothing is kept: a checkpoint comes after all batches of an epoch or before any."""
        self._project = Project.load(self._options.project)
        self._waiting: dict[tuple[int, int], _OwnedTransactions] = {}
        self._models: dict[str, Any] = {}

    def process_element(self, value: tuple[int, int, int, int, str, bytes], ctx: Any) -> Iterator[tuple[int, int, int, bytes]]:
        """One home's judgement of an epoch."""
        home, entity, after, upto, notes, data = value
        here = self._waiting.setdefault((home, upto), _OwnedTransactions())
        (frame,) = from_ipc(data)
        if entity == _FACTS:
            here.notes, here.facts = json.loads(notes), frame
        else:
            here.features.setdefault(entity, []).append(frame)
            here.count += 1
        if here.notes is None or here.facts is None or here.count < here.notes["awaited"]:
            return
        del self._waiting[home, upto]
        parts = stretches_of(here.notes["parts"])
        new = [s for s in parts if s.model_id not in self._models]
        self._models |= models_of(self._project, telecom_features(), new)
        judged = ScoreBatch(pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
        if here.facts.height:
            judged = score_owner_range(self._project.config.fraud, here.facts, here.features, parts, self._models, upto=upto)
        yield after, upto, here.notes["homes"], to_ipc(judged.score, judged.scoring, judged.drift)


class Commit(LakeOperator, KeyedProcessFunction):  # type: ignore[misc]
    """Judgements of all homes in; one commit for each epoch, which is skipped where it is there already."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Opens the lake for writing."""
        self._lake = self.opened(read_only=False)
        self._waiting: dict[int, list[ScoreBatch]] = {}

    def process_element(self, value: tuple[int, int, int, bytes], ctx: Any) -> Iterator[int]:
        """The position an epoch ended at, once it is committed."""
        after, upto, homes, data = value
        self._lake.reconnect_when_due()
        waiting = self._waiting.setdefault(upto, [])
        waiting.append(ScoreBatch(*from_ipc(data)))
        if len(waiting) == homes:
            commit_judged(self._lake, merge_scores(self._waiting.pop(upto)), after=after, upto=upto)
            yield upto


def scored(ticks: DataStream, options: StreamOptions) -> DataStream:
    """The positions up to which scores are committed, out of ticks."""
    spans = (
        ticks.key_by(single_key, NUMBER)
        .process(Poll(options), Types.TUPLE([POSITION, POSITION]))
        .name("score-poll")
        .uid("score-poll")
    )
    batch = Types.TUPLE([NUMBER, NUMBER, POSITION, POSITION, POSITION, BYTES])
    read = spans.process(Read(options), batch).name("score-read").uid("score-read")
    told = read.key_by(lambda b: b[0] * options.groups + b[1], NUMBER).process(ComputeFeatures(options), _HOMEWARD)
    told = told.name("score-windows").uid("score-windows").set_parallelism(options.parallelism)
    # PyFlink puts the making of keys behind each stream of a union: both must be as wide as what follows.
    facts = read.get_side_output(FACTS).set_parallelism(options.parallelism)
    at_home = told.union(facts).key_by(_route_to_owner, NUMBER)
    judged = at_home.process(Judge(options), Types.TUPLE([POSITION, POSITION, NUMBER, BYTES]))
    judged = judged.name("score-judge").uid("score-judge").set_parallelism(options.parallelism)
    return judged.key_by(single_key, NUMBER).process(Commit(options), POSITION).name("score-commit").uid("score-commit")


def _route_to_owner(batch: tuple[int, int, int, int, str, bytes]) -> int:
    return batch[0]
