"""Affected records: read only those records from the log that positions can affect.

A run that resumes from a position need not read the whole log, but only components that can change. The reader starts from three
sets: records that arrived, records that may change without an arrival, and records with changed prices or states. It then adds
every record that could be in one component with them, until none is added. The reader may read too many records, but never too few.
Too many records do not change the result of the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from importlib.resources import files
from typing import Any

import polars as pl

from trueup.events.identity import bucket_key_sql
from trueup.events.schema import OWN_TIME_SQL
from trueup.frames import query_frames
from trueup.log.lake import ALL_DAYS, BucketRange, Days, Lake
from trueup.policies.policy import DEFAULT_RULE, NEVER_POSITION, UNKNOWN_TIME_US
from trueup.rating.allowances import period_number
from trueup.reconcile.blocking.lookback import EARLIEST, EPOCH, MONTH_US, aggregate_us, instant_of, nearest_us, open_from
from trueup.reconcile.blocking.neighbourhood import party_time_pairs
from trueup.reconcile.blocking.sums import period_kinds, summed_as, with_calendars
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import FLAT, LONGEST_US, Terms, shared_terms
from trueup.reconcile.log_io.column_scan import arrivals
from trueup.reconcile.log_io.load import COLUMNS, OF_USAGE_SQL, as_events, columns_of, noted_sql
from trueup.reconcile.log_io.moved_rows import moved_of_days, moved_of_records, moved_rows
from trueup.reconcile.sessions.admission import EVENTS, with_due_date

_LATEST = datetime(9999, 1, 1, tzinfo=UTC)
_OFFSET_US = (EPOCH - EARLIEST) // timedelta(microseconds=1)
_UNTIMED = NEVER_POSITION
"""The block of `_time_blocks` of records without a time."""
_DAY = timedelta(days=1)
ROW = ["charge", "event_id", "position", "source", "scope"]
"""The columns that identify a row of `EVENTS`; a moved row and its content differ in the scope alone."""
_KEY = ["bucket", "scope", "session_key"]
_EMPTY = pl.DataFrame(schema={**EVENTS, "own": pl.Boolean})


def _widen(days: Days) -> Days:
    """Return days with one more on either side; an end of the calendar is no limit."""
    first, last = days
    return (
        None if first is None or first == date.min else first - _DAY,
        None if last is None or last == date.max else last + _DAY,
    )


def affected_records(
    lake: Lake, frontier: Frontier, buckets: BucketRange, terms: Terms = FLAT, *, after: int, upto: int
) -> pl.DataFrame:
    """Return every record (rows of `EVENTS`) that positions in (after, upto] can affect, with all of its component."""
    return AffectedReader(lake, frontier, buckets, terms, upto).affected_records(after)


def records_with_closure(lake: Lake, frontier: Frontier, terms: Terms, event_ids: list[bytes], *, upto: int) -> pl.DataFrame:
    """Return records (rows of `EVENTS`) by their ids, with all records that could be in their components."""
    reader = AffectedReader(lake, frontier, BucketRange(0, lake.project.config.lake.buckets - 1), terms, upto)
    known = reader.by_id(event_ids)
    return reader.transitive_closure(known, known)


@dataclass(frozen=True)
class _Services:
    """A set of services: the named ones or, with `others`, all except the named ones, and records without a service."""

    names: list[str]
    others: bool

    def has(self, service: pl.Expr) -> pl.Expr:
        """Return whether a service is in the set."""
        return service.is_in(self.names).fill_null(False) != self.others


@dataclass(frozen=True)
class AffectedReader:
    """Reads the records of a range of buckets, up to a position, that something can affect."""

    lake: Lake
    frontier: Frontier
    buckets: BucketRange
    terms: Terms
    upto: int

    def affected_records(self, after: int, days: Days = ALL_DAYS) -> pl.DataFrame:
        """Return every record (rows of `EVENTS`) that positions after `after` can affect, with all of its component.

        `days` (of the project's time zone, both included) restrict this to components with a record on one of them.
        """
        if after == 0 and days == ALL_DAYS:
            return arrivals(self.lake, self.buckets, after=0, upto=self.upto)
        moved = moved_of_days(self._moved.filter(pl.col("position") > after), _widen(days))
        known = pl.concat([self.seed_records(after, days), moved])
        return self.transitive_closure(known, known)

    @cached_property
    def _moved(self) -> pl.DataFrame:
        """All moved rows."""
        return moved_rows(self.lake, self.buckets, upto=self.upto)

    def transitive_closure(self, step: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """Return `known` (rows of `EVENTS`) and every record that could be in one component with a row of `step`.

        The moved rows of all these records are returned as well; they connect no others.
        """
        while not step.is_empty():
            neighbours = self.neighbours(step, known)
            step = neighbours.join(known, on=ROW, how="anti")
            known = pl.concat([known, step])
        moved = moved_of_records(self._moved, known).join(known, on=ROW, how="anti")
        return known if moved.is_empty() else pl.concat([known, moved])

    def affected_by_terms(self, after: int) -> pl.DataFrame:
        """Return the records that new prices, or a new state of their subscription, after a position can affect."""
        nothing = pl.DataFrame(schema={"source": pl.String, "settled": pl.Int64})
        values = {
            "after_snapshot": NEVER_POSITION, "open_from": _LATEST, "open_day": _LATEST.date(), "from_day": date.min,
            "to_day": date.max,
            "prices_from": _find_prices_from(self.terms, after), "longest_us": LONGEST_US,
            "lasting_from": _find_lasting_from(self.terms, after),
        }  # fmt: skip
        rows = self._read("seeds", values, untimed=nothing, changed_subscribers=_list_changed_subscribers(self.terms, after))
        # Records without any time were not evaluated before they were due, so they are still pending.
        return rows.filter(pl.col("time_us").is_not_null())

    def seed_records(self, after: int, days: Days) -> pl.DataFrame:
        """Return the records that positions after `after` can affect directly."""
        open_since = open_from(self.frontier, self.terms, after, self.upto)
        untimed = pl.DataFrame(
            [(name, self.lake.snapshot_of(at)) for name, at in _find_untimed_settled(self.frontier, after, open_since).items()],
            schema={"source": pl.String, "settled": pl.Int64}, orient="row",
        )  # fmt: skip
        first, last = _widen(days)
        values = {
            "after_snapshot": self.lake.snapshot_of(after), "open_from": open_since, "open_day": open_since.date(),
            "prices_from": _find_prices_from(self.terms, after), "longest_us": LONGEST_US,
            "lasting_from": _find_lasting_from(self.terms, after),
            # A day of another time zone lies within the UTC day and the days next to it.
            "from_day": None if days == ALL_DAYS else (first or date.min),
            "to_day": None if days == ALL_DAYS else (last or date.max),
        }  # fmt: skip
        return self._read("seeds", values, untimed=untimed, changed_subscribers=_list_changed_subscribers(self.terms, after))

    def by_id(self, event_ids: list[bytes]) -> pl.DataFrame:
        """Return records by their ids."""
        return self._read("same_event", {}, reached=pl.DataFrame({"event_id": event_ids}, schema={"event_id": pl.Binary}))

    def neighbours(self, step: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """Return every record that a record of `step` can affect directly; `known` are all records read, `step` included."""
        instants, service = self._list_candidate_instants(step, known), pl.col("service")
        nearest_instants = instants.filter(self._by_nearest.has(service)).drop_nulls("time_us")
        period_instants = instants.filter(self._by_aggregate.has(service)).drop_nulls("aggregation_time_us")
        by_key, by_nearest, by_aggregate = self._read_neighbours(step, nearest_instants, period_instants)
        own = self._by_nearest.has(service)
        period = self._find_same_period(by_aggregate, period_instants)
        own_period = pl.col("own")
        neighbours = [by_key, by_nearest.filter(own), period.filter(own_period).drop("own"), self._find_same_pool(step)]
        others = pl.concat([by_nearest.filter(~own), period.filter(~own_period).drop("own")])
        neighbours.append(self._find_ambiguous_sessions(others.join(known, on=ROW, how="anti"), instants))
        return pl.concat(neighbours).unique(ROW, keep="first", maintain_order=True)

    def _read_neighbours(
        self, step: pl.DataFrame, nearest_instants: pl.DataFrame, period_instants: pl.DataFrame
    ) -> list[pl.DataFrame]:
        """Read records that share a key with the step, that are near its instants, or near enough for one of its periods."""
        near_us, period_us = nearest_us(self.frontier), aggregate_us(self.frontier)
        values = {
            "nearest_names": self._by_nearest.names, "nearest_others": self._by_nearest.others,
            "nearest_us": _choose_width_us(near_us),
            "aggregate_names": self._by_aggregate.names, "aggregate_others": self._by_aggregate.others,
            "aggregate_us": _choose_width_us(period_us),
            "offset_us": _OFFSET_US, "untimed": _UNTIMED,
        }  # fmt: skip
        # A closing may assign any record without a time to one of the periods.
        untimed = period_instants.select("bucket", "scope", pl.lit(_UNTIMED).alias("block"), upto_us=None, from_us=None).unique()
        periods = _time_blocks(period_instants.with_columns(time_us="aggregation_time_us"), period_us)
        tables = {
            "reached": step.select(*_KEY, "key_scope", "record_key", "charge", "corrected_key"),
            "nearest_blocks": _time_blocks(nearest_instants, near_us),
            "aggregate_blocks": pl.concat([periods, untimed], how="vertical_relaxed"),
        }
        frames = {stream: self._query("neighbours", stream, values, tables) for stream in COLUMNS}
        rows = as_events(frames, self.lake)
        ways = ("by_key", "by_nearest", "by_aggregate")
        return [rows.filter(pl.concat([frame[way] for frame in frames.values()])) for way in ways]

    def _list_candidate_instants(self, step: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """Return the parties and times at which the units of a step's records could be matched (see `neighbourhood`).

        Rows are (`bucket`, `scope`, `service`, `time_us`, `aggregation_time_us`).
        """
        side = [*_KEY, "charge"]
        columns = ["bucket", "scope", "service", "time_us", "aggregation_time_us"]
        # Only records of one subscriber share a scope where periods depend on subscriptions.
        columns += ["subscriber", "position"] if self._has_own_calendars else []
        of_units = known.join(step.select(_KEY).drop_nulls("session_key").unique(), on=_KEY, how="semi")
        timed = _add_aggregation_time(of_units, self.frontier).select(*side, *columns[2:])
        pairs = party_time_pairs(timed, unit=side, party=["service"], times=["time_us", "aggregation_time_us"])
        return pl.concat([_add_aggregation_time(step, self.frontier).select(columns), pairs.select(columns)]).unique()

    @cached_property
    def _by_nearest(self) -> _Services:
        return self._list_services("by_nearest")

    @cached_property
    def _by_aggregate(self) -> _Services:
        return self._list_services("by_aggregate")

    def _list_services(self, how: str) -> _Services:
        """Return the services that any policy matches in a given way."""
        rules = set(self.frontier.policies.frame.filter(how)["rule"].to_list())
        others = DEFAULT_RULE in rules
        return _Services([n for rule, n in enumerate(self.frontier.policies.services) if (rule in rules) != others], others)

    @property
    def _has_own_calendars(self) -> bool:
        return self.frontier.policies.has_own_calendars

    def _with_calendars(self, rows: pl.DataFrame, has_own_calendars: bool) -> pl.DataFrame:
        """Return rows once for each calendar that they have at some position since they are known."""
        known = pl.col("position") if has_own_calendars else pl.lit(0)
        return with_calendars(rows.with_columns(known=known), self.terms, has_own_calendars=has_own_calendars).drop("known")

    def _expand_summed_as(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows with a `service` once for each service whose sums can contain them (see `summed_as`)."""
        policies = self.frontier.policies
        return summed_as(rows.with_columns(rule=policies.rule_of(pl.col("service"))), policies)

    def _find_same_period(self, close: pl.DataFrame, instants: pl.DataFrame) -> pl.DataFrame:
        """Return the records, among those close in time, in a period of `instants`, and `own`: whether by their own service."""
        timed, instants = (
            self._with_calendars(rows, self._has_own_calendars) for rows in (_add_aggregation_time(close, self.frontier), instants)
        )
        same_period = [_EMPTY]
        for kind in period_kinds(self.frontier.policies, timed, instants):
            index = kind.index("aggregation_time_us").alias("index")
            cells = self._expand_summed_as(instants.with_columns(index)).select("scope", "service", "index").unique()
            rows = timed.with_columns(index)
            in_cells = self._expand_summed_as(rows).join(cells, on=["scope", "service", "index"], how="semi", nulls_equal=True)
            same = timed.join(in_cells.select(ROW), on=ROW, how="semi").with_columns(own=pl.lit(True))
            keyed = rows.filter(pl.col("session_key").is_not_null()).with_columns(own=pl.lit(False))
            of_others = keyed.join(cells, on=["scope", "index"], how="semi")
            same_period += [frame.select(_EMPTY.columns) for frame in (same, of_others)]
        return pl.concat(same_period)

    @cached_property
    def _shared(self) -> pl.DataFrame:
        """`SHARING` of the whole tariff book, one row per service."""
        return shared_terms(self.terms).unique("service", keep="first", maintain_order=True)

    def _find_same_pool(self, step: pl.DataFrame) -> pl.DataFrame:
        """Return usage that shares free units or tiers with usage of a step, within one billing period if all have one."""
        columns = ["bucket", "scope", "service", "time_us", "subscriber", "position"]
        usage = step.filter(~pl.col("charge")).select(columns).drop_nulls("time_us").join(self._shared, on="service")
        if usage.is_empty():
            return _EMPTY.drop("own")
        apart_us = pl.when(pl.col("spans") == 1).then(MONTH_US).otherwise(UNKNOWN_TIME_US)
        block = pl.when(pl.col("spans") == 1).then(pl.col("time_us") // MONTH_US)
        reached = usage.group_by("bucket", "scope", block=block).agg(
            low_us=(pl.col("time_us") - apart_us).min(), high_us=(pl.col("time_us") + apart_us).max()
        )  # fmt: skip
        low, high = reached.select(pl.col("low_us").min(), pl.col("high_us").max()).row(0)
        days = (EARLIEST, _LATEST) if (usage["spans"] > 1).any() else (instant_of(low), instant_of(high))
        values = {"from_day": days[0].date(), "to_day": days[1].date()}
        tables = {"reached": reached, "services": self._shared.select("service")}
        rows = as_events({"usage": self._query("same_pool", "usage", values, tables)}, self.lake)
        same_pool = []
        pool = ["bucket", "scope", "group", "index"]
        for (zone, period, spans), group in self._shared.group_by("timezone", "period", "spans", maintain_order=True):
            # Services of one group have one period.
            number = period_number(pl.lit(period), str(zone), pl.col("time_us"), pl.col("cycle_day"))
            index = pl.lit(None, pl.Int64) if spans != 1 else number
            of_group, by_cycle = group.select("service", "group"), period == "cycle" and spans == 1
            own, candidates = (
                self._with_calendars(frame.join(of_group, on="service").with_columns(aggregation_time_us="time_us"), by_cycle)
                for frame in (usage.drop("group"), rows)
            )
            drawing = own.select("bucket", "scope", "group", index=index).unique()
            found = candidates.with_columns(index=index).join(drawing, on=pool, how="semi", nulls_equal=True)
            same_pool.append(found.select(rows.columns).unique(ROW, keep="first", maintain_order=True))
        return pl.concat(same_pool)

    def _find_ambiguous_sessions(self, others: pl.DataFrame, instants: pl.DataFrame) -> pl.DataFrame:
        """Return records of other services, among those close in time, whose session has a record of a service at `instants`."""
        if others.is_empty():
            return others
        services = instants.select("bucket", "scope", "service").unique()
        sessions = self._read("same_key", {}, reached=others.select(_KEY).unique())
        of_service = sessions.join(services, on=["bucket", "scope", "service"], how="semi", nulls_equal=True)
        # A session is in the sums of a service that covers one of its own.
        sums, in_sums = (self._expand_summed_as(frame) for frame in (services, sessions))
        of_sums = in_sums.join(sums, on=["bucket", "scope", "service"], how="semi", nulls_equal=True)
        of_service = pl.concat([of_service.select(_KEY), of_sums.select(_KEY)])
        return others.join(of_service, on=_KEY, how="semi")

    def _read(self, name: str, values: dict[str, Any], **tables: pl.DataFrame) -> pl.DataFrame:
        return as_events({stream: self._query(name, stream, values, tables) for stream in COLUMNS}, self.lake)

    def _query(self, name: str, stream: str, values: dict[str, Any], tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
        text = _read_sql(name).replace("{records}", _read_sql("records"))
        scope = bucket_key_sql(self.lake.project.config.lake.bucket_by, of="e")
        for placeholder, value in (
            ("stream", stream), ("of_usage", OF_USAGE_SQL[stream]), ("time", OWN_TIME_SQL[stream]), ("scope", scope),
            ("corrected_key", "r.corrected_key" if stream == "charge" else "NULL"),
            ("columns", ", ".join([*(f"e.{c}" for c in columns_of(self.lake, stream, self.upto)), *noted_sql(self.lake)])),
        ):  # fmt: skip
            text = text.replace("{" + placeholder + "}", value)
        shared = {
            "upto_snapshot": self.lake.snapshot_of(self.upto), "first_bucket": self.buckets.first,
            "last_bucket": self.buckets.last, "charge": stream == "charge",
        }  # fmt: skip
        given = {k: v for k, v in {**shared, **values}.items() if f"${k}" in text}
        return self.lake.with_positions(query_frames(self.lake.connection, text, given, **tables), upto=self.upto)


def _find_prices_from(terms: Terms, after: int) -> datetime:
    """Return the earliest instant whose prices changed after a position."""
    new = terms.changes.filter(pl.col("subscriber").is_null() & (pl.col("position") > after))["from_us"]
    return instant_of(int(new.min())) if len(new) else _LATEST  # type: ignore[arg-type]


def _find_lasting_from(terms: Terms, after: int) -> date:
    """Return the first day on which a session that lasts until changed prices may have begun."""
    prices_from = _find_prices_from(terms, after)
    return _LATEST.date() if prices_from == _LATEST else max(date(1900, 1, 1), (prices_from - 367 * _DAY).date())


def _list_changed_subscribers(terms: Terms, after: int) -> pl.DataFrame:
    """Return (`subscriber`, `from_us`) of subscriptions whose states changed after a position."""
    new = terms.changes.filter(pl.col("subscriber").is_not_null() & (pl.col("position") > after))
    return new.group_by("subscriber").agg(pl.col("from_us").min())


def _time_blocks(instants: pl.DataFrame, apart_us: int) -> pl.DataFrame:
    """Return all instants within a distance of `instants`, by bucket key and block of time.

    Each `block` has the instants up to `upto_us` and from `from_us` on, as distances from `EARLIEST`.
    """
    bucket_key, width_us = ["bucket", "scope"], _choose_width_us(apart_us)
    ordered = instants.select(*bucket_key, pl.col("time_us") + _OFFSET_US).sort(*bucket_key, "time_us")
    first = (pl.col("time_us").diff() > 2 * apart_us).over(bucket_key).fill_null(True)
    by_interval = ordered.with_columns(interval=first.cum_sum()).group_by(*bucket_key, "interval")
    intervals = by_interval.agg(low_us=pl.col("time_us").min() - apart_us, high_us=pl.col("time_us").max() + apart_us)
    blocks = pl.int_ranges(pl.col("low_us") // width_us, pl.col("high_us") // width_us + 1)
    within = intervals.with_columns(block=blocks).explode("block")
    # No interval is so short that it begins and ends within one block.
    begins = pl.col("low_us") > pl.col("block") * width_us
    return within.group_by(*bucket_key, "block").agg(
        upto_us=pl.when(~begins).then("high_us").max().fill_null(-1),
        from_us=pl.when(begins).then("low_us").min().fill_null(NEVER_POSITION),
    )


def _choose_width_us(apart_us: int) -> int:
    """Return the length of the blocks of `_time_blocks`: no longer than the interval around one instant."""
    return max(1, 2 * apart_us)


def _add_aggregation_time(rows: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add `aggregation_time_us`, the instant at which a record counts in sums: its own time, else its assigned one."""
    due = pl.when(pl.col("assigned_at") != NEVER_POSITION).then("assigned_time_us")
    return (
        with_due_date(rows, frontier)
        .with_columns(aggregation_time_us=pl.coalesce("time_us", due))
        .drop("assigned_time_us", "assigned_at")
    )


def _read_sql(name: str) -> str:
    return files(__package__).joinpath(f"affected_{name}.sql").read_text("utf-8")


def _find_untimed_settled(frontier: Frontier, after: int, open_since: datetime) -> dict[str, int]:
    """Return, by source, the newest position up to which its records without any time are settled."""
    limit = int((open_since - EPOCH) / timedelta(microseconds=1))
    settled = {}
    for name, closed in frontier.closed.items():
        done = closed.positions[(closed.positions <= after) & (closed.values <= limit)]
        settled[name] = int(done[-1]) if len(done) else 0
    return settled
