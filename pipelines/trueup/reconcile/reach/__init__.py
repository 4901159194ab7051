"""Reading no more of the log than positions can touch.

A run that goes on from a position need not see the whole log: only components that can change. `touched` reads what came, what
may still change by itself, and whatever could be in one component with either, until nothing is added. It may read more than
that, never less; the kernel does not mind.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl

from trueup.events.identity import bucket_key_sql
from trueup.frames import queried
from trueup.log.lake import Buckets, Lake
from trueup.reconcile.frontier import Frontier
from trueup.reconcile.load import COLUMNS, as_events
from trueup.reconcile.localtime import period_index
from trueup.reconcile.records import EVENTS

_OWN_TIME = {"usage": "e.started_at", "charge": "coalesce(e.started_at, e.billed_at)"}
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_DAY_US = 86_400_000_000
Days = tuple[date | None, date | None]


def touched(lake: Lake, frontier: Frontier, buckets: Buckets, *, after: int, upto: int, days: Days = (None, None)) -> pl.DataFrame:
    """Every record (rows of `EVENTS`) that positions in (after, upto] could touch, and all those its component could hold.

    `days` (of the project's time zone, both included) narrow the run to components with a record on one of them.
    """
    reader = _Reader(lake, frontier, buckets, upto)
    known = reader.seeds(after, days)
    if after == 0 and days == (None, None):
        return known
    step = known
    while not step.is_empty():
        found = reader.around(step)
        step = found.join(known, on=["charge", "event_id"], how="anti")
        known = pl.concat([known, step])
    return known


@dataclass(frozen=True)
class _Reader:
    lake: Lake
    frontier: Frontier
    buckets: Buckets
    upto: int

    def seeds(self, after: int, days: Days) -> pl.DataFrame:
        open_from = _open_from(self.frontier, after, self.upto)
        untimed = pl.DataFrame(
            [(name, self.lake.snapshot_of(at)) for name, at in _untimed_settled(self.frontier, after, open_from).items()],
            schema={"source": pl.String, "settled": pl.Int64}, orient="row",
        )  # fmt: skip
        first, last = days
        values = {
            "after_snapshot": self.lake.snapshot_of(after), "open_from": open_from, "open_day": open_from.date(),
            # A day of another time zone lies within a day of the UTC days beside it.
            "from_day": None if days == (None, None) else (first - _DAY if first else date.min),
            "to_day": None if days == (None, None) else (last + _DAY if last else date.max),
        }  # fmt: skip
        return self._read("seeds", values, untimed=untimed)

    def around(self, step: pl.DataFrame) -> pl.DataFrame:
        reached = step.select("bucket", "scope", "session_key", "key_scope", "record_key", "charge", "time_us")
        found = [self._read("same_key", {}, reached=reached.drop_nulls("session_key").unique(["bucket", "scope", "session_key"]))]
        found.append(self._read("same_record", {}, reached=reached))
        rules = self.frontier.policies.frame
        near = self._services(rules.filter("near"))
        if near is not None:
            apart = rules.filter("near").select(pl.col("start_tolerance_us").max()).item()
            found.append(self._nearby(reached, near, apart))
        summed = self._services(rules.filter("summed"))
        if summed is not None:
            found.append(self._same_period(step, reached, summed, rules.filter("summed")))
        return pl.concat(found).unique(["charge", "event_id"], keep="first", maintain_order=True)

    def _services(self, rules: pl.DataFrame) -> pl.DataFrame | None:
        """The names of services that rules are for; all names for those that have no rules of their own."""
        if rules.is_empty():
            return None
        named = self.frontier.policies.services
        if (rules["rule"] < 0).any():
            query = "SELECT DISTINCT service FROM lake.events.usage UNION SELECT DISTINCT service FROM lake.events.charge"
            return self.lake.connection.execute(query).pl()
        return pl.DataFrame({"service": [named[r] for r in rules["rule"].unique()]})

    def _nearby(self, reached: pl.DataFrame, services: pl.DataFrame, apart_us: int) -> pl.DataFrame:
        timed = reached.drop_nulls("time_us")
        if timed.is_empty():
            return pl.DataFrame(schema=EVENTS)
        moments = timed.select(low=pl.col("time_us").min() - apart_us, high=pl.col("time_us").max() + apart_us)
        low, high = (_moment(v) for v in moments.row(0))
        values = {"apart_us": apart_us, "from_day": low.date(), "to_day": high.date()}
        return self._read("nearby", values, reached=timed.unique(["bucket", "scope", "time_us"]), services=services)

    def _same_period(self, step: pl.DataFrame, reached: pl.DataFrame, services: pl.DataFrame, rules: pl.DataFrame) -> pl.DataFrame:
        """Records of a period that one reached lies in: read by distance first, then by the period itself."""
        widest = rules.select(pl.col("period_us").max()).item()
        mine = step.filter(pl.col("service").is_in(services["service"].implode()))
        close = self._nearby(mine.select(reached.columns), services, widest + _DAY_US)
        kept = [close.clear()]
        for (period, zone), _ in rules.group_by("period_us", "timezone", maintain_order=True):
            assert isinstance(period, int) and isinstance(zone, str)
            index = period_index(pl.col("time_us"), period, zone).alias("index")
            cells = mine.select("scope", "service", index).unique()
            kept.append(close.with_columns(index).join(cells, on=["scope", "service", "index"], how="semi").drop("index"))
        return pl.concat(kept)

    def _read(self, name: str, values: dict[str, Any], **tables: pl.DataFrame) -> pl.DataFrame:
        return as_events({stream: self._query(name, stream, values, tables) for stream in COLUMNS}, self.lake)

    def _query(self, name: str, stream: str, values: dict[str, Any], tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
        text = _sql(name).replace("{records}", _sql("records"))
        scope = bucket_key_sql(self.lake.project.config.lake.bucket_by, of="e")
        for hole, filling in (
            ("stream", stream), ("time", _OWN_TIME[stream]), ("scope", scope),
            ("columns", ", ".join(f"e.{c}" for c in COLUMNS[stream])),
        ):  # fmt: skip
            text = text.replace("{" + hole + "}", filling)
        shared = {
            "upto_snapshot": self.lake.snapshot_of(self.upto), "first_bucket": self.buckets.first,
            "last_bucket": self.buckets.last, "charge": stream == "charge",
        }  # fmt: skip
        given = {k: v for k, v in {**shared, **values}.items() if f"${k}" in text}
        return queried(self.lake.connection, text, given, **tables)


def _sql(name: str) -> str:
    return files(__package__).joinpath(f"{name}.sql").read_text("utf-8")


def _moment(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def _open_from(frontier: Frontier, after: int, upto: int) -> datetime:
    """The least time of a record that streams had not passed by every wait at `after`: older ones change no more by themselves."""
    starts = frontier.policies.starts
    if after == 0 or ((starts > after) & (starts <= upto)).any():
        return _EARLIEST
    number = int(frontier.policies.number_at(np.array([after]))[0])
    rules = frontier.policies.frame.filter(pl.col("policy") == number)
    wait = rules.select((pl.col("grace_us") + pl.when("summed").then(pl.col("period_us") + _DAY_US).otherwise(0)).max()).item()
    short = rules.select(
        (pl.col("closed_wait_us") + pl.when("summed").then(pl.col("period_us") + _DAY_US).otherwise(0)).max()
    ).item()
    instant = frontier.passed_before(after, number, wait_us=int(wait), closed_wait_us=int(short))
    return _EARLIEST if instant is None else _moment(instant)


def _untimed_settled(frontier: Frontier, after: int, open_from: datetime) -> dict[str, int]:
    """By source, the newest position up to which its records without any time wait for nothing any more."""
    limit = int((open_from - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    settled = {}
    for name, marks in frontier.closed.items():
        done = marks.positions[(marks.positions <= after) & (marks.values <= limit)]
        settled[name] = int(done[-1]) if len(done) else 0
    return settled
