"""Score incrementally: read the events of an epoch and compute their features from the retained windows of each part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.partitioned import GROUPING, Part, declared_for, grouped
from trueup.fraud.features.telecom import DAY_US, transactions
from trueup.fraud.features.window_state import SerializedState, State, StateError, advance
from trueup.fraud.load import decisions_of, label_events, usage_of
from trueup.fraud.scoring.model_registry import ModelInterval, active_models
from trueup.fraud.scoring.rules import rules_of, with_cell_areas
from trueup.fraud.scoring.score_run import CONSUMER
from trueup.log.lake import Lake
from trueup.warehouse.statements import statement

LATENESS_US = DAY_US
"""Retained windows cover records at most this much older than the newest one; for older records they are rebuilt from the log."""


def is_behind(lake: Lake) -> bool:
    """Return whether the log has unscored positions, and a model or rule to score them."""
    after, upto = lake.consumer_position(CONSUMER), lake.last_position()
    return after < upto and active_models(lake, after=after, upto=upto) is not None


class Arrivals:
    """Reads the events of epochs: their transactions, and the labels that no earlier epoch delivered."""

    def __init__(self, lake: Lake) -> None:
        self._lake, self._project = lake, lake.project
        self._longest_us = declared_for(lake.project.config.fraud).longest_window_us
        self._delivered: set[bytes] = set()
        self._decisions, self._since_us, self._has_all_labels = 0, 2**62, True

    def of(self, after: int, upto: int) -> pl.DataFrame:
        """Return the events of the epoch (after, upto]."""
        config = self._project.config.fraud
        fresh = transactions(usage_of(self._lake, after=after, upto=upto), config)
        least = fresh["at_us"].min()
        labels = self._read_labels(upto, least - self._longest_us) if isinstance(least, int) else None
        return with_cell_areas(fresh if labels is None else pl.concat([fresh, labels]), rules_of(config))

    def _read_labels(self, upto: int, since_us: int) -> pl.DataFrame | None:
        """Return labels not delivered before; None without new ones. The first decision on a transaction is final as a label.

        An epoch that is processed again may precede decided transactions, whose labels a later epoch delivers.
        """
        count = self._lake.connection.execute(statement("queries/fraud/decision_count").text).fetchone()
        is_unchanged = count and count[0] == self._decisions and since_us >= self._since_us
        if not count or (is_unchanged and self._has_all_labels):
            return None
        self._decisions, self._since_us = int(count[0]), min(since_us, self._since_us)
        decisions = decisions_of(self._lake, self._project)
        # Only scored transactions are decided.
        self._has_all_labels = self._lake.consumer_position(CONSUMER) <= upto
        labels = label_events(self._lake, self._project, decisions, upto=upto, since_us=self._since_us)
        labels = labels.filter(~pl.col("event_id").is_in(list(self._delivered)))
        self._delivered |= set(labels["event_id"].to_list())
        return labels


class FeatureWindows:
    """Computes the features of a part's events in an epoch, from the part's state or, if that does not cover them, from the log."""

    def __init__(self, lake: Lake, groups: int) -> None:
        self._lake, self._groups = lake, groups
        self._declared = declared_for(lake.project.config.fraud)
        self._entity_features = self._declared.per_entity
        self._read: tuple[int, int, pl.DataFrame] | None = None

    def restore(self, part: Part, head: bytes, runs: Mapping[int, bytes]) -> State | None:
        """Return a deserialized state; None for one that must be rebuilt from the log.

        A state must be rebuilt if it has other features, an older version or another grouping. Raises `TrueupError` for a newer
        version.
        """
        grouping, _, content = head.partition(b"\n")
        try:
            return State.unpack(content, self._entity_features[part.entity], runs) if grouping == self._encode_grouping() else None
        except StateError:
            return None

    def serialize(self, state: State, before: State | None) -> SerializedState:
        """Return a serialized state, which `restore` reads."""
        packed = state.pack_changes(before)
        return SerializedState(self._encode_grouping() + b"\n" + packed.head, packed.runs, packed.count)

    def _encode_grouping(self) -> bytes:
        return f"{GROUPING} / {self._groups}".encode()

    def compute(
        self, part: Part, state: State | None, rows: pl.DataFrame, *, after: int, least_us: int
    ) -> tuple[pl.DataFrame, State | None]:
        """Return the features of the transactions among an epoch's rows, and the state after it.

        `least_us` is the earliest time of all transactions of the epoch, in all parts.
        """
        features = self._entity_features[part.entity]
        if state is None:
            if rows["is_label"].all():
                # A rebuild reads these labels from the log together with their transactions.
                return history(features, rows), None
            state = self._rebuild(part, after, least_us)
        try:
            return advance(features, state, rows, lateness_us=LATENESS_US)
        except StateError:
            # A new edition marks all runs as changed, even if their lengths are those stored before.
            again = replace(self._rebuild(part, after, least_us), edition=state.edition + 1)
            return advance(features, again, rows, lateness_us=LATENESS_US)

    def _rebuild(self, part: Part, after: int, least_us: int) -> State:
        """Rebuild the state of a part at a position from the log."""
        features = self._entity_features[part.entity]
        events = self._read_events(after, least_us)
        of_part = events.filter(grouped(events, features.entities[0], self._groups) == part.group)
        if after == 0:
            return State.of(features, of_part)
        return State.of(features, of_part, forgotten_us=self._since_us(least_us))

    def _since_us(self, least_us: int) -> int:
        """Return the last instant before the first day that is read."""
        return (least_us - self._declared.longest_window_us - LATENESS_US) // DAY_US * DAY_US - 1

    def _read_events(self, after: int, least_us: int) -> pl.DataFrame:
        if self._read is None or self._read[:2] != (after, least_us):
            since_us, config = self._since_us(least_us), self._lake.project.config.fraud
            first_day = pl.select(pl.lit(since_us + 1).cast(pl.Datetime("us")).cast(pl.Date)).item()
            usage = usage_of(self._lake, upto=after, first_day=first_day)
            decisions = decisions_of(self._lake, self._lake.project)
            labels = label_events(self._lake, self._lake.project, decisions, upto=after, since_us=since_us)
            self._read = after, least_us, with_cell_areas(pl.concat([transactions(usage, config), labels]), rules_of(config))
        return self._read[2]

    def release(self, after: int) -> None:
        """Release the events read for epochs that began before a position."""
        if self._read is not None and self._read[0] < after:
            self._read = None


def encode_intervals(parts: list[ModelInterval]) -> list[list[object]]:
    """Return model intervals as plain values, which all workers of an epoch share."""
    return [[s.model_id, s.role, s.after, s.upto, s.threshold] for s in parts]


def decode_intervals(notes: list[list[object]]) -> list[ModelInterval]:
    """Return the model intervals that `encode_intervals` wrote."""
    return [
        ModelInterval(str(m), str(r), int(str(a)), int(str(u)), None if t is None else float(str(t))) for m, r, a, u, t in notes
    ]
