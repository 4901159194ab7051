"""Reading no more of the log than positions can touch.

A run that goes on from a position need not see the whole log: only components that can change. `touched` reads what came, what
may still change by itself, and whatever could be in one component with either, until nothing is added. It may read more than
that, never less; the kernel does not mind.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl

from trueup.events.identity import bucket_key_sql
from trueup.events.schema import OWN_TIME_SQL
from trueup.frames import query_frames
from trueup.localtime import period_index
from trueup.log.lake import BucketRange, Lake
from trueup.rating.allowances import period_number
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.policies import DEFAULT_RULE, NEVER_POSITION, UNKNOWN_TIME_US
from trueup.reconcile.domain.tariff_terms import FLAT, LONGEST_US, Terms
from trueup.reconcile.log_io.load import COLUMNS, as_events, noted_sql
from trueup.reconcile.pricing.allowance_pools import shared_terms
from trueup.reconcile.sessions.admission import EVENTS, with_due_date

_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_OFFSET_US = (datetime(1970, 1, 1, tzinfo=UTC) - _EARLIEST) // timedelta(microseconds=1)
_UNTIMED = NEVER_POSITION
"""The block of `_blocks` of what has no time."""
_DAY = timedelta(days=1)
_DAY_US = 86_400_000_000
_MONTH_US = 32 * _DAY_US
"""More than any billing period lasts."""
ROW = ["charge", "event_id", "position", "source"]
"""What tells one row of the log from another."""
_KEY = ["bucket", "scope", "session_key"]
_NOTHING = pl.DataFrame(schema={**EVENTS, "own": pl.Boolean})
Days = tuple[date | None, date | None]


def affected_records(
    lake: Lake, frontier: Frontier, buckets: BucketRange, terms: Terms = FLAT, *, after: int, upto: int, days: Days = (None, None)
) -> pl.DataFrame:
    """Every record (rows of `EVENTS`) that positions in (after, upto] could touch, and all those its component could hold.

    `days` (of the project's time zone, both included) narrow the run to components with a record on one of them.
    """
    reader = _Reader(lake, frontier, buckets, terms, upto)
    known = reader.seed_records(after, days)
    if after == 0 and days == (None, None):
        return known
    return reader.transitive_closure(known, known)


def affected_closure(
    lake: Lake, frontier: Frontier, buckets: BucketRange, terms: Terms, step: pl.DataFrame, known: pl.DataFrame, *, upto: int
) -> pl.DataFrame:
    """`known`, rows of `EVENTS`, with whatever could be in one component with one of its rows `step`, as of a position."""
    return _Reader(lake, frontier, buckets, terms, upto).transitive_closure(step, known)


def affected_by_terms(lake: Lake, frontier: Frontier, buckets: BucketRange, terms: Terms, *, after: int, upto: int) -> pl.DataFrame:
    """The records of which new prices or a new state of their subscription, in (after, upto], may tell something else."""
    return _Reader(lake, frontier, buckets, terms, upto).affected_by_terms(after)


def open_from_us(frontier: Frontier, terms: Terms, position: int) -> int:
    """The least time (µs) of a record that can still change by itself after a position."""
    return (_open_from(frontier, terms, position, position) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def widest_us(frontier: Frontier) -> int:
    """How far apart in time two records can be that have no key in common and still touch one another."""
    return max(_near_us(frontier), _summed_us(frontier))


def _near_us(frontier: Frontier) -> int:
    """How far apart two records that are near can be; 0 where none is."""
    found = frontier.policies.frame.filter("by_nearest")["start_tolerance_us"].max()
    return 0 if found is None else int(found)  # type: ignore[arg-type]


def _summed_us(frontier: Frontier) -> int:
    """How far apart two records of one period can be, as time zones go; 0 where nothing is summed."""
    found = frontier.policies.frame.filter("by_aggregate")["period_us"].max()
    return 0 if found is None else int(found) + _DAY_US  # type: ignore[arg-type]


def records_with_closure(lake: Lake, frontier: Frontier, terms: Terms, event_ids: list[bytes], *, upto: int) -> pl.DataFrame:
    """Some records (rows of `EVENTS`) by their ids, and all those their component could hold."""
    reader = _Reader(lake, frontier, BucketRange(0, lake.project.config.lake.buckets - 1), terms, upto)
    known = reader.by_id(event_ids)
    return reader.transitive_closure(known, known)


@dataclass(frozen=True)
class _Services:
    """Services by their names; with `others`, all but those, and none at all."""

    names: list[str]
    others: bool

    def has(self, service: pl.Expr) -> pl.Expr:
        """Whether a service is one of these."""
        return service.is_in(self.names).fill_null(False) != self.others


@dataclass(frozen=True)
class _Reader:
    lake: Lake
    frontier: Frontier
    buckets: BucketRange
    terms: Terms
    upto: int

    def transitive_closure(self, step: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """`known`, and all that `step`, some of it, leads to."""
        while not step.is_empty():
            found = self.neighbours(step, known)
            step = found.join(known, on=ROW, how="anti")
            known = pl.concat([known, step])
        return known

    def affected_by_terms(self, after: int) -> pl.DataFrame:
        """Only what new terms touch: no record is new, and none waits for anything."""
        nothing = pl.DataFrame(schema={"source": pl.String, "settled": pl.Int64})
        values = {
            "after_snapshot": NEVER_POSITION, "open_from": _NEVER, "open_day": _NEVER.date(), "from_day": date.min,
            "to_day": date.max,
            "prices_from": _prices_from(self.terms, after), "longest_us": LONGEST_US,
            "lasting_from": _lasting_from(self.terms, after),
        }  # fmt: skip
        rows = self._read("seeds", values, untimed=nothing, changed_subscribers=_changed_subscribers(self.terms, after))
        # Without any time nothing was looked at again before it was due either: those are kept.
        return rows.filter(pl.col("time_us").is_not_null())

    def seed_records(self, after: int, days: Days) -> pl.DataFrame:
        open_from = _open_from(self.frontier, self.terms, after, self.upto)
        untimed = pl.DataFrame(
            [(name, self.lake.snapshot_of(at)) for name, at in _untimed_settled(self.frontier, after, open_from).items()],
            schema={"source": pl.String, "settled": pl.Int64}, orient="row",
        )  # fmt: skip
        first, last = days
        values = {
            "after_snapshot": self.lake.snapshot_of(after), "open_from": open_from, "open_day": open_from.date(),
            "prices_from": _prices_from(self.terms, after), "longest_us": LONGEST_US,
            "lasting_from": _lasting_from(self.terms, after),
            # A day of another time zone lies within a day of the UTC days beside it.
            "from_day": None if days == (None, None) else (first - _DAY if first else date.min),
            "to_day": None if days == (None, None) else (last + _DAY if last else date.max),
        }  # fmt: skip
        return self._read("seeds", values, untimed=untimed, changed_subscribers=_changed_subscribers(self.terms, after))

    def by_id(self, event_ids: list[bytes]) -> pl.DataFrame:
        """Records by their ids."""
        return self._read("same_event", {}, reached=pl.DataFrame({"event_id": event_ids}, schema={"event_id": pl.Binary}))

    def neighbours(self, step: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """Whatever could touch a record of `step` directly; `known` is all that has been reached, `step` included."""
        stands, service = self._candidate_instants(step, known), pl.col("service")
        near_stands = stands.filter(self._by_nearest.has(service)).drop_nulls("time_us")
        sum_stands = stands.filter(self._by_aggregate.has(service)).drop_nulls("aggregation_time_us")
        keyed, near, summed = self._read_neighbours(step, near_stands, sum_stands)
        own = self._by_nearest.has(service)
        period = self._same_period(summed, sum_stands)
        of_sum = pl.col("own")
        found = [keyed, near.filter(own), period.filter(of_sum).drop("own"), self._same_pool(step)]
        others = pl.concat([near.filter(~own), period.filter(~of_sum).drop("own")])
        found.append(self._ambiguous_sessions(others.join(known, on=ROW, how="anti"), stands))
        return pl.concat(found).unique(ROW, keep="first", maintain_order=True)

    def _read_neighbours(self, step: pl.DataFrame, near_stands: pl.DataFrame, sum_stands: pl.DataFrame) -> list[pl.DataFrame]:
        """What may touch a step's records: by a key, by being near where one stands, by being near enough to one of a sum."""
        near_us, summed_us = _near_us(self.frontier), _summed_us(self.frontier)
        values = {
            "nearest_names": self._by_nearest.names, "nearest_others": self._by_nearest.others, "nearest_us": _width_us(near_us),
            "aggregate_names": self._by_aggregate.names, "aggregate_others": self._by_aggregate.others,
            "aggregate_us": _width_us(summed_us),
            "offset_us": _OFFSET_US, "untimed": _UNTIMED,
        }  # fmt: skip
        # Whatever has no time may come to have one of a sum.
        untimed = sum_stands.select("bucket", "scope", pl.lit(_UNTIMED).alias("block"), upto_us=None, from_us=None).unique()
        sums = _time_blocks(sum_stands.with_columns(time_us="aggregation_time_us"), summed_us)
        tables = {
            "reached": step.select(*_KEY, "key_scope", "record_key", "charge"),
            "nearest_blocks": _time_blocks(near_stands, near_us),
            "aggregate_blocks": pl.concat([sums, untimed], how="vertical_relaxed"),
        }
        frames = {stream: self._query("neighbours", stream, values, tables) for stream in COLUMNS}
        rows = as_events(frames, self.lake)
        return [
            rows.filter(pl.concat([frame[way] for frame in frames.values()])) for way in ("by_key", "by_nearest", "by_aggregate")
        ]

    def _candidate_instants(self, step: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """Where the units of a step's records could stand: (bucket, scope, service, `time_us`, `aggregation_time_us`).

        A unit takes its service from its first record and its start from another, which matters where they are of two.
        """
        side = [*_KEY, "charge"]
        touched_keys = known.join(step.select(_KEY).drop_nulls("session_key").unique(), on=_KEY, how="semi")
        mixed = _timed(touched_keys.filter(pl.col("service").n_unique().over(side) > 1), self.frontier)
        times = mixed.select(*side, "time_us", "aggregation_time_us").unique()
        crossed = mixed.select(*side, "service").unique().join(times, on=side)
        place = ["bucket", "scope", "service", "time_us", "aggregation_time_us"]
        return pl.concat([_timed(step, self.frontier).select(place), crossed.select(place)]).unique()

    @cached_property
    def _by_nearest(self) -> _Services:
        return self._services("by_nearest")

    @cached_property
    def _by_aggregate(self) -> _Services:
        return self._services("by_aggregate")

    def _services(self, how: str) -> _Services:
        """The services that some policy matches in a way."""
        rules = set(self.frontier.policies.frame.filter(how)["rule"].to_list())
        others = DEFAULT_RULE in rules
        return _Services([n for rule, n in enumerate(self.frontier.policies.services) if (rule in rules) != others], others)

    def _same_period(self, close: pl.DataFrame, mine: pl.DataFrame) -> pl.DataFrame:
        """Of records close in time those of a period that something stands in (`mine`), and `own`: whether by its own service."""
        rules = self.frontier.policies.frame.filter("by_aggregate")
        timed, kept = _timed(close, self.frontier), [_NOTHING]
        for (period, zone), _ in rules.group_by("period_us", "timezone", maintain_order=True):
            assert isinstance(period, int) and isinstance(zone, str)
            index = period_index(pl.col("aggregation_time_us"), period, zone).alias("index")
            cells, rows = mine.select("scope", "service", index).unique(), timed.with_columns(index)
            same = rows.join(cells, on=["scope", "service", "index"], how="semi", nulls_equal=True).with_columns(own=pl.lit(True))
            keyed = rows.filter(pl.col("session_key").is_not_null()).with_columns(own=pl.lit(False))
            kept += [told.select(_NOTHING.columns) for told in (same, keyed.join(cells, on=["scope", "index"], how="semi"))]
        return pl.concat(kept)

    @cached_property
    def _shared(self) -> pl.DataFrame:
        """`SHARING` of the whole tariff book, a row for each service."""
        return shared_terms(self.terms).unique("service", keep="first", maintain_order=True)

    def _same_pool(self, step: pl.DataFrame) -> pl.DataFrame:
        """Usage that shares free units or tiers with usage of a step, within a billing period where all have the same."""
        columns = ["bucket", "scope", "service", "time_us"]
        mine = step.filter(~pl.col("charge")).select(columns).drop_nulls("time_us").join(self._shared, on="service")
        if mine.is_empty():
            return _NOTHING.drop("own")
        apart_us = pl.when(pl.col("spans") == 1).then(_MONTH_US).otherwise(UNKNOWN_TIME_US)
        block = pl.when(pl.col("spans") == 1).then(pl.col("time_us") // _MONTH_US)
        reached = mine.group_by("bucket", "scope", block=block).agg(
            low_us=(pl.col("time_us") - apart_us).min(), high_us=(pl.col("time_us") + apart_us).max()
        )  # fmt: skip
        low, high = reached.select(pl.col("low_us").min(), pl.col("high_us").max()).row(0)
        days = (_EARLIEST, _NEVER) if (mine["spans"] > 1).any() else (_moment(low), _moment(high))
        values = {"from_day": days[0].date(), "to_day": days[1].date()}
        tables = {"reached": reached, "services": self._shared.select("service")}
        rows = as_events({"usage": self._query("same_pool", "usage", values, tables)}, self.lake)
        kept = []
        place = ["bucket", "scope", "group", "index"]
        for (zone, period, spans), group in self._shared.group_by("timezone", "period", "spans", maintain_order=True):
            # Services of one group have one period.
            index = pl.lit(None, pl.Int64) if spans != 1 else period_number(pl.lit(period), str(zone), pl.col("time_us"))
            of_group = group.select("service", "group")
            own = mine.drop("group").join(of_group, on="service").select("bucket", "scope", "group", index=index).unique()
            theirs = rows.join(of_group, on="service").with_columns(index=index)
            kept.append(theirs.join(own, on=place, how="semi", nulls_equal=True).select(rows.columns))
        return pl.concat(kept)

    def _ambiguous_sessions(self, others: pl.DataFrame, stands: pl.DataFrame) -> pl.DataFrame:
        """Of records close in time but of another service, those whose session has a record of a service that stands there."""
        if others.is_empty():
            return others
        wanted = stands.select("bucket", "scope", "service").unique()
        sessions = self._read("same_key", {}, reached=others.select(_KEY).unique())
        of_service = sessions.join(wanted, on=["bucket", "scope", "service"], how="semi", nulls_equal=True)
        return others.join(of_service, on=_KEY, how="semi")

    def _read(self, name: str, values: dict[str, Any], **tables: pl.DataFrame) -> pl.DataFrame:
        return as_events({stream: self._query(name, stream, values, tables) for stream in COLUMNS}, self.lake)

    def _query(self, name: str, stream: str, values: dict[str, Any], tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
        text = _sql(name).replace("{records}", _sql("records"))
        scope = bucket_key_sql(self.lake.project.config.lake.bucket_by, of="e")
        for hole, filling in (
            ("stream", stream), ("time", OWN_TIME_SQL[stream]), ("scope", scope),
            ("columns", ", ".join([*(f"e.{c}" for c in COLUMNS[stream]), *noted_sql(self.lake)])),
        ):  # fmt: skip
            text = text.replace("{" + hole + "}", filling)
        shared = {
            "upto_snapshot": self.lake.snapshot_of(self.upto), "first_bucket": self.buckets.first,
            "last_bucket": self.buckets.last, "charge": stream == "charge",
        }  # fmt: skip
        given = {k: v for k, v in {**shared, **values}.items() if f"${k}" in text}
        return self.lake.with_positions(query_frames(self.lake.connection, text, given, **tables), upto=self.upto)


def _prices_from(terms: Terms, after: int) -> datetime:
    """The least instant whose prices changed after a position."""
    new = terms.changes.filter(pl.col("subscriber").is_null() & (pl.col("position") > after))["from_us"]
    return _moment(int(new.min())) if len(new) else _NEVER  # type: ignore[arg-type]


def _lasting_from(terms: Terms, after: int) -> date:
    """The first day a session that lasts into changed prices can have begun on."""
    prices_from = _prices_from(terms, after)
    return _NEVER.date() if prices_from == _NEVER else max(date(1900, 1, 1), (prices_from - 367 * _DAY).date())


def _changed_subscribers(terms: Terms, after: int) -> pl.DataFrame:
    """(`subscriber`, `from_us`) of subscriptions of which something new became known after a position."""
    new = terms.changes.filter(pl.col("subscriber").is_not_null() & (pl.col("position") > after))
    return new.group_by("subscriber").agg(pl.col("from_us").min())


def _time_blocks(stands: pl.DataFrame, apart_us: int) -> pl.DataFrame:
    """Of each bucket key all instants within a distance of where something stands, by blocks of time: those of a `block` up to
    `upto_us` and from `from_us` on, all as distances from the earliest instant there is."""
    place, width_us = ["bucket", "scope"], _width_us(apart_us)
    ordered = stands.select(*place, pl.col("time_us") + _OFFSET_US).sort(*place, "time_us")
    first = (pl.col("time_us").diff() > 2 * apart_us).over(place).fill_null(True)
    whole = ordered.with_columns(interval=first.cum_sum()).group_by(*place, "interval")
    intervals = whole.agg(low_us=pl.col("time_us").min() - apart_us, high_us=pl.col("time_us").max() + apart_us)
    blocks = pl.int_ranges(pl.col("low_us") // width_us, pl.col("high_us") // width_us + 1)
    within = intervals.with_columns(block=blocks).explode("block")
    # None is so short that it begins and ends within one block.
    begins = pl.col("low_us") > pl.col("block") * width_us
    return within.group_by(*place, "block").agg(
        upto_us=pl.when(~begins).then("high_us").max().fill_null(-1),
        from_us=pl.when(begins).then("low_us").min().fill_null(NEVER_POSITION),
    )


def _width_us(apart_us: int) -> int:
    """How long the blocks of `_blocks` are: no longer than what is within a distance of an instant."""
    return max(1, 2 * apart_us)


def _timed(rows: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Adds `aggregation_time_us`, the instant a record counts as in sums: its own time, else what it is due with."""
    due = pl.when(pl.col("assigned_at") != NEVER_POSITION).then("assigned_time_us")
    return (
        with_due_date(rows, frontier)
        .with_columns(aggregation_time_us=pl.coalesce("time_us", due))
        .drop("assigned_time_us", "assigned_at")
    )


def _sql(name: str) -> str:
    return files(__package__).joinpath(f"affected_{name}.sql").read_text("utf-8")


def _moment(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def _open_from(frontier: Frontier, terms: Terms, after: int, upto: int) -> datetime:
    """The least time of a record that streams had not passed by every wait at `after`: older ones change no more by themselves."""
    starts = frontier.policies.starts
    if after == 0 or ((starts > after) & (starts <= upto)).any():
        return _EARLIEST
    number = int(frontier.policies.number_at(np.array([after]))[0])
    rules = frontier.policies.frame.filter(pl.col("policy") == number)
    # An amount may be judged with others when their billing period is over.
    pooled = 0 if shared_terms(terms).is_empty() else _MONTH_US
    period = pl.max_horizontal(pl.when("by_aggregate").then(pl.col("period_us") + _DAY_US).otherwise(0), pl.lit(pooled, pl.Int64))
    wait = rules.select((pl.col("grace_us") + period).max()).item()
    short = rules.select((pl.col("closed_wait_us") + period).max()).item()
    instant = frontier.passed_until_us(after, number, wait_us=int(wait), closed_wait_us=int(short))
    return _EARLIEST if instant is None else _moment(instant)


def _untimed_settled(frontier: Frontier, after: int, open_from: datetime) -> dict[str, int]:
    """By source, the newest position up to which its records without any time wait for nothing any more."""
    limit = int((open_from - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    settled = {}
    for name, marks in frontier.closed.items():
        done = marks.positions[(marks.positions <= after) & (marks.values <= limit)]
        settled[name] = int(done[-1]) if len(done) else 0
    return settled
