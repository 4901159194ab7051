"""Scoring as the log grows: what an epoch brought, what each part of the windows tells of it, and one commit for each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.partitioned import GROUPING, Part, declared_for, grouped
from trueup.fraud.features.telecom import DAY_US, transactions
from trueup.fraud.features.window_state import Parted, State, StateError, advance
from trueup.fraud.load import decisions_of, label_events, usage_of
from trueup.fraud.scoring.model_registry import ModelInterval, active_models
from trueup.fraud.scoring.rules import with_cell_areas
from trueup.fraud.scoring.score_run import CONSUMER
from trueup.log.lake import Lake
from trueup.warehouse.statements import statement

LATENESS_US = DAY_US
"""A record so much later than the newest is still told out of the windows kept; for a later one they are made of the log again."""


def is_behind(lake: Lake) -> bool:
    """Whether there is something to score that has not been scored."""
    after, upto = lake.consumer_position(CONSUMER), lake.last_position()
    return after < upto and active_models(lake, after=after, upto=upto) is not None


class Arrivals:
    """Reads what epochs bring: their transactions, and the labels that were not told of before."""

    def __init__(self, lake: Lake) -> None:
        self._lake, self._project = lake, lake.project
        self._longest_us = declared_for(lake.project.config.fraud).longest_window_us
        self._told: set[bytes] = set()
        self._decisions, self._since_us = 0, 2**62

    def of(self, after: int, upto: int) -> pl.DataFrame:
        """The events of an epoch."""
        config = self._project.config.fraud
        fresh = transactions(usage_of(self._lake, after=after, upto=upto), config)
        least = fresh["at_us"].min()
        labels = self._labels(upto, least - self._longest_us) if isinstance(least, int) else None
        return with_cell_areas(fresh if labels is None else pl.concat([fresh, labels]), config.rule)

    def _labels(self, upto: int, since_us: int) -> pl.DataFrame | None:
        """Labels that nobody was told of; None where there are none. What a decision says is settled when it is made."""
        found = self._lake.connection.execute(statement("queries/fraud/decision_count").text).fetchone()
        if not found or (found[0] == self._decisions and since_us >= self._since_us):
            return None
        self._decisions, self._since_us = int(found[0]), min(since_us, self._since_us)
        decisions = decisions_of(self._lake, self._project)
        labels = label_events(self._lake, self._project, decisions, upto=upto, since_us=self._since_us)
        labels = labels.filter(~pl.col("event_id").is_in(list(self._told)))
        self._told |= set(labels["event_id"].to_list())
        return labels


class FeatureWindows:
    """Tells features of what an epoch brought to a part, out of its state or, where that does not reach, of the log."""

    def __init__(self, lake: Lake, groups: int) -> None:
        self._lake, self._groups = lake, groups
        self._declared = declared_for(lake.project.config.fraud)
        self._apart = self._declared.apart
        self._read: tuple[int, int, pl.DataFrame] | None = None

    def restored(self, part: Part, head: bytes, runs: Mapping[int, bytes]) -> State | None:
        """A state out of its bytes; None for one that has to be made of the log again.

        That is one of other features, an older version or another grouping. Raises `TrueupError` for one of a later version.
        """
        mine, told = self._grouping(), head.split(b"\n", 1)
        try:
            return State.unpacked(told[1], self._apart[part.entity], runs) if told[0] == mine else None
        except StateError:
            return None

    def kept(self, state: State, before: State | None) -> Parted:
        """A state as bytes, as `restored` takes them."""
        parted = state.parted(before)
        return Parted(self._grouping() + b"\n" + parted.head, parted.runs, parted.count)

    def _grouping(self) -> bytes:
        return f"{GROUPING} / {self._groups}".encode()

    def told(
        self, part: Part, state: State | None, rows: pl.DataFrame, *, after: int, least_us: int
    ) -> tuple[pl.DataFrame, State | None]:
        """Features of the transactions among an epoch's rows, and the state after it.

        `least_us` is the earliest time of any transaction of the epoch, whatever its part.
        """
        alone = self._apart[part.entity]
        if state is None:
            if rows["is_label"].all():
                # Labels are read of the log again with whatever they could count for.
                return history(alone, rows), None
            state = self._remade(part, after, least_us)
        try:
            return advance(alone, state, rows, lateness_us=LATENESS_US)
        except StateError:
            # None of its runs is one that was kept before, however alike their lengths.
            again = replace(self._remade(part, after, least_us), edition=state.edition + 1)
            return advance(alone, again, rows, lateness_us=LATENESS_US)

    def _remade(self, part: Part, after: int, least_us: int) -> State:
        """The state of a part at a position, made of the log."""
        alone = self._apart[part.entity]
        events = self._events(after, least_us)
        mine = events.filter(grouped(events, alone.entities[0], self._groups) == part.group)
        if after == 0:
            return State.of(alone, mine)
        return State.of(alone, mine, forgotten_us=self._since_us(least_us))

    def _since_us(self, least_us: int) -> int:
        """The end of the day before the first that is read."""
        return (least_us - self._declared.longest_window_us - LATENESS_US) // DAY_US * DAY_US - 1

    def _events(self, after: int, least_us: int) -> pl.DataFrame:
        if self._read is None or self._read[:2] != (after, least_us):
            since_us, config = self._since_us(least_us), self._lake.project.config.fraud
            first_day = pl.select(pl.lit(since_us + 1).cast(pl.Datetime("us")).cast(pl.Date)).item()
            usage = usage_of(self._lake, upto=after, first_day=first_day)
            decisions = decisions_of(self._lake, self._lake.project)
            labels = label_events(self._lake, self._lake.project, decisions, upto=after, since_us=since_us)
            self._read = after, least_us, with_cell_areas(pl.concat([transactions(usage, config), labels]), config.rule)
        return self._read[2]

    def forget(self, after: int) -> None:
        """Lets go of what was read for epochs that began before a position."""
        if self._read is not None and self._read[0] < after:
            self._read = None


def notes_of(parts: list[ModelInterval]) -> list[list[object]]:
    """Stretches as plain values, for all who judge an epoch to agree on."""
    return [[s.model_id, s.role, s.after, s.upto] for s in parts]


def stretches_of(notes: list[list[object]]) -> list[ModelInterval]:
    """The stretches that `notes_of` noted."""
    return [ModelInterval(str(m), str(r), int(str(a)), int(str(u))) for m, r, a, u in notes]
