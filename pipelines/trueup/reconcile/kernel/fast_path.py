"""Fast path: takes out matched pairs that agree and unmatched records still within grace.

Most traffic is one usage record and one charge of one session key that agree. Such a pair without neighbours is pending when
its first record arrives and tolerated when its second does, unless the first had become final before. A record without any
partner or neighbour is pending from its arrival until it is final. All steps together give the same result, and tests compare the
two.

The decision uses hashes that are checked against the true keys. A collision sends records through all steps, never past them.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.localtime import local_day
from trueup.policies.policy import UNKNOWN_TIME_US, Policies
from trueup.reconcile.blocking.neighbourhood import party_time_pairs
from trueup.reconcile.domain.bookings import TOLERATED
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.record_hashes import Hashes, is_duplicated, record_hashes, session_hashes
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.classification import classify, with_charged_price
from trueup.reconcile.pricing.allowance_pools import Pools
from trueup.reconcile.pricing.session_price import price_sessions
from trueup.reconcile.sessions.grouping import PARTY, RATED_BY

_RULE_COLUMNS = [
    "currency",
    "charge_currency",
    "source",
    "position",
    "time_us",
    "service",
    "rule",
    "quantity_micros",
    "amount_micros",
]
_NEEDED = [*_RULE_COLUMNS, "scope", "subscriber", "peer", *RATED_BY, "event_id"]
"""Columns of a usage record priced by the tariff book; others need `_RULE_COLUMNS` only. Those of a charge end in `_charge`."""
_KEY = ["scope", "session_key", "currency"]
_BOOKING_COLUMNS = [
    pl.col("source", "quantity_micros", "amount_micros", "position", "charge"),
    pl.col("charge_currency").alias("currency"),
]
_AGREED = ["row", "row_charge", *_RULE_COLUMNS, *(f"{n}_charge" for n in _RULE_COLUMNS), "expected_micros", "billed_micros"]
_HALF_BITS = 32
"""Bits of half a hash."""
_SUMS = ("expected_micros", "billed_micros", "tolerated_micros", "pending_micros")


@dataclass(frozen=True)
class FastPath:
    """The result of the fast path.

    `remaining` are the events that go through all steps. `ledger_deltas` are the ledger rows (position, service, day,
    currency and sums) of all others. `booked_records` are their records as `booking_counts` counts them. `unmatched` are the
    row numbers of the unmatched among them.
    """

    remaining: pl.DataFrame
    ledger_deltas: pl.DataFrame
    booked_records: pl.DataFrame
    unmatched: pl.Series


@dataclass(frozen=True)
class _Candidates:
    """All rows, with what one pass over all of them decides.

    `rule_index` is each row's row in the frame of policies. `has_neighbour` marks rows with a neighbour. `single` are the
    numbers of the rows that are the only one of their session. `usage` and `charge` are the row numbers of sessions with one
    record on each side.
    """

    rows: pl.DataFrame
    frontier: Frontier
    rule_index: NDArray[np.int64]
    has_neighbour: NDArray[np.bool_]
    single: NDArray[np.int64]
    usage: NDArray[np.int64]
    charge: NDArray[np.int64]

    @classmethod
    def of(cls, events: pl.DataFrame, frontier: Frontier) -> _Candidates:
        rows = events.with_row_index("row")
        keyed, is_charge = rows["session_key"].is_not_null().to_numpy(), rows["charge"].to_numpy()
        record = record_hashes(rows)
        # A record without a session key is a session of its own.
        session = np.where(keyed, session_hashes(rows), record)
        last_policy = len(frontier.policies.all) - 1
        rule_index = frontier.policies.rule_index(last_policy, rows["rule"].to_numpy())
        is_complete = _is_complete(rows, frontier.policies, rule_index) & ~is_duplicated(record)
        order = np.argsort(session)
        begin, count, charge_counts = _runs(session[order], is_charge[order])
        single = order[begin[count == 1]]
        two = begin[(count == 2) & (charge_counts == 1)]
        first, second = order[two], order[two + 1]
        usage, charges_of = np.where(is_charge[first], second, first), np.where(is_charge[first], first, second)
        both_complete = is_complete[usage] & is_complete[charges_of] & keyed[usage] & keyed[charges_of]
        several_records = np.zeros(len(order), dtype=np.bool_)
        several_records[order] = np.repeat((charge_counts > 1) | (count - charge_counts > 1), count)
        has_neighbour = _has_neighbour(rows, frontier, rule_index, session, several_records)
        return cls(
            rows, frontier, rule_index, has_neighbour, single[is_complete[single]], usage[both_complete], charges_of[both_complete]
        )

    def rule(self, name: str) -> NDArray[Any]:
        """Return a column of each row's rule under the policy in force last."""
        return self.frontier.policies.frame[name].to_numpy()[self.rule_index]

    @cached_property
    def under_last(self) -> NDArray[np.bool_]:
        """Which rows arrived under the policy in force last."""
        policies = self.frontier.policies
        under: NDArray[np.bool_] = policies.number_at(self.rows["position"].to_numpy()) == len(policies.all) - 1
        return under

    @cached_property
    def last_policy(self) -> NDArray[np.int64]:
        """The number of the policy in force last, for each row."""
        return np.full(self.rows.height, len(self.frontier.policies.all) - 1)

    @cached_property
    def beyond_horizon(self) -> NDArray[np.bool_]:
        """Which rows were beyond the horizon when they arrived."""
        horizon = np.full(self.rows.height, self.frontier.policies.all[-1].horizon_us)
        passed = self.frontier.passed_at(self.rows["charge"].to_numpy(), self.time_us, horizon, horizon, self.last_policy)
        return passed < self.rows["position"].to_numpy()

    @cached_property
    def time_us(self) -> NDArray[np.int64]:
        """The time of each row; `UNKNOWN_TIME_US` without one."""
        return self.rows["time_us"].fill_null(UNKNOWN_TIME_US).to_numpy()

    @cached_property
    def other_passed_at(self) -> NDArray[np.int64]:
        """The position at which the other stream has passed each row by grace."""
        charge, grace, closed = self.rows["charge"].to_numpy(), self.rule("grace_us"), self.rule("closed_wait_us")
        return self.frontier.passed_at(~charge, self.time_us, grace, closed, self.last_policy)

    def columns_of(self, rows: pl.Series, names: list[str]) -> pl.DataFrame:
        """Return columns of the rows with these numbers."""
        return self.rows.select(names)[rows.to_numpy()]


def split_fast_path(
    events: pl.DataFrame, frontier: Frontier, terms: Terms, pools: Pools, *, upto: int, fast_path: bool = True
) -> FastPath:
    """Split events into those that the fast path books and those that remain.

    `events` are rows of `EVENTS` with `rule`, `currency` (of the money) and `charge_currency`. The fast path takes only records
    that arrived under the policy in force last, after the last change of their terms: a change needs all positions evaluated.
    Of sessions that share free units or tiers it takes those whose price never changes.
    """
    if not fast_path or events.is_empty():
        no_pairs = _no_pairs(events)
        return FastPath(events, _pair_deltas(no_pairs), _bookings(no_pairs), pl.Series(dtype=pl.UInt32))
    candidates = _Candidates.of(events, frontier)
    in_time = _in_time(_with_pool_sessions(_pairs(candidates), pools), candidates, terms)
    pairs = _no_pairs(events)
    if not in_time.is_empty():
        pairs = _agreeing_pairs(_with_rule_columns(in_time, candidates), frontier, terms, pools)
    unmatched = _priced(_with_pool_sessions(_unmatched_in_grace(candidates, terms, upto), pools), candidates, terms, pools)
    remaining = np.ones(events.height, dtype=np.bool_)
    for rows in (pairs["row"], pairs["row_charge"], unmatched["row"]):
        remaining[rows.to_numpy()] = False
    return FastPath(
        events.filter(pl.Series(remaining)),
        pl.concat([_pair_deltas(pairs), _pending_deltas(unmatched)]),
        pl.concat([_bookings(pairs), unmatched.select(_BOOKING_COLUMNS)]),
        unmatched["row"],
    )


def _hash(*names: str) -> pl.Expr:
    """Return a hash over columns: equal rows have equal hashes, unequal ones hardly ever."""
    return reduce(operator.xor, (pl.col(name).hash(seed) for seed, name in enumerate(names, start=1)))


def _runs(ascending: Hashes, charge: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return where runs of one hash begin, how many rows each has, and how many of them are charges."""
    begin = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
    return begin, np.diff(begin, append=len(ascending)), np.add.reduceat(charge, begin, dtype=np.int64)


def _pairs(candidates: _Candidates) -> pl.DataFrame:
    """Return (`row`, `row_charge`) of sessions with one usage record and one charge, without partials, conflicts or neighbours."""
    usage, charge = candidates.usage, candidates.charge
    by_key, by_aggregate, under_last = candidates.rule("by_key"), candidates.rule("by_aggregate"), candidates.under_last
    agree_so_far = (
        under_last[usage]
        & under_last[charge]
        & by_key[usage]
        & ~by_aggregate[charge]
        & ~candidates.has_neighbour[usage]
        & ~candidates.has_neighbour[charge]
    )
    pairs = pl.DataFrame(
        {"row": usage[agree_so_far], "row_charge": charge[agree_so_far]}, schema={"row": pl.UInt32, "row_charge": pl.UInt32}
    )
    if pairs.is_empty():
        return pairs
    usage_keys, charge_keys = candidates.columns_of(pairs["row"], _KEY), candidates.columns_of(pairs["row_charge"], _KEY)
    same_key = [(usage_keys[n] == charge_keys[n]).fill_null(False) for n in _KEY]
    return pairs.filter(reduce(operator.and_, same_key))


def _unmatched_in_grace(candidates: _Candidates, terms: Terms, upto: int) -> pl.DataFrame:
    """Return the records (`row`) that are the only one of their session and that the other stream has not passed yet."""
    unmatched = np.zeros(candidates.rows.height, dtype=np.bool_)
    unmatched[candidates.single] = True
    unmatched &= candidates.under_last & ~candidates.has_neighbour & ~candidates.rule("by_aggregate") & ~candidates.beyond_horizon
    unmatched &= (candidates.other_passed_at > upto) & candidates.rows["time_us"].is_not_null().to_numpy()
    rows = candidates.rows.select("row").filter(pl.Series(unmatched))
    return rows.filter(pl.Series(_unchanged(rows["row"], rows["row"], candidates, terms)))


def _unchanged(rows: pl.Series, since: pl.Series, candidates: _Candidates, terms: Terms) -> NDArray[np.bool_]:
    """Return whether the price of each row is unchanged since another row arrived."""
    if terms.changes.is_empty():
        return np.ones(len(rows), dtype=np.bool_)
    changed = terms.last_change_position(candidates.columns_of(rows, ["subscriber", "time_us", "quantity_micros"])).to_numpy()
    unchanged: NDArray[np.bool_] = changed <= candidates.rows["position"].to_numpy()[since.to_numpy()]
    return unchanged


def _with_pool_sessions(rows: pl.DataFrame, pools: Pools) -> pl.DataFrame:
    """Add `pool_session_id` to rows; rows whose price in the pool ever changes are left out."""
    if pools.is_empty:
        return rows.with_columns(pool_session_id=pl.lit(None, pl.Int64))
    numbered = rows.join(pools.records, on="row", how="left", maintain_order="left")
    return numbered.filter(pools.has_stable_price(numbered))


def _is_complete(rows: pl.DataFrame, policies: Policies, rule_index: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows are complete at once under the policy in force last: no further part, line or counter may come.

    Records that a charge may correct are not: all of its scope go through all steps.
    """
    is_line = pl.col("charge") & policies.in_bill_lines(pl.lit(len(policies.all) - 1))
    in_part: NDArray[np.bool_] = rows.select(is_line | pl.col("partial_no").is_not_null()).to_series().to_numpy()
    is_counter: NDArray[np.bool_] = (policies.frame["parts"] != "sum").to_numpy()[rule_index] & ~rows["charge"].to_numpy()
    complete: NDArray[np.bool_] = ~in_part & ~is_counter
    if rows["corrected_key"].null_count() < rows.height:
        scopes = rows.filter(pl.col("corrected_key").is_not_null())["scope"].unique()
        complete &= ~rows["scope"].is_in(scopes.implode()).to_numpy()
    return complete


def _has_neighbour(
    rows: pl.DataFrame, frontier: Frontier, rule_index: NDArray[np.int64], session: Hashes, several_records: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which rows are within the start tolerance of another session of their party, where nearest matches are made."""
    neighbours = np.zeros(rows.height, dtype=np.bool_)
    by_nearest, tolerance_us = (frontier.policies.frame[n].to_numpy() for n in ("by_nearest", "start_tolerance_us"))
    if not by_nearest[rule_index].any():
        return neighbours
    entries = rows.select("row", "charge", "time_us", *PARTY, "rule").with_columns(
        session=pl.Series(session), by_nearest=pl.Series(by_nearest[rule_index]), tolerance_us=pl.Series(tolerance_us[rule_index])
    )  # fmt: skip
    further = _party_time_pairs(entries.filter(pl.Series(several_records)))
    places = pl.concat([frame.filter(pl.col("by_nearest") & pl.col("time_us").is_not_null()).select(
        "row", "time_us", "session", "tolerance_us", party=_hash(*PARTY)
    ) for frame in (entries, further)])  # fmt: skip
    neighbour_rows = places["row"].filter(pl.Series(_neighbour_mask(places))).drop_nulls()
    neighbours[neighbour_rows.to_numpy()] = True
    return neighbours


def _neighbour_mask(places: pl.DataFrame) -> NDArray[np.bool_]:
    """Return which rows (`party`, `time_us`, `session`, `tolerance_us`) are within the tolerance of another session of their party.

    Rows are sorted by one number: half of it is the party's hash and half the time, which is much quicker than sorting by both.
    Two parties that share a half count as neighbours. That sends them through all steps, and has no other effect.
    """
    party, time_us, session, tolerance_us = (places[n].to_numpy() for n in ("party", "time_us", "session", "tolerance_us"))
    if not len(party):
        return np.zeros(0, dtype=np.bool_)
    since_us = (time_us - time_us.min()).astype(np.uint64)
    unit_us = int(since_us.max() >> np.uint64(_HALF_BITS)) + 1
    order = np.argsort((party >> np.uint64(_HALF_BITS) << np.uint64(_HALF_BITS)) | (since_us // np.uint64(unit_us)))
    party, time_us, session, tolerance_us = (column[order] for column in (party, time_us, session, tolerance_us))
    # Rows of one time unit are in no order.
    within_tolerance = np.abs(np.diff(time_us)) <= tolerance_us[1:] + unit_us - 1
    adjacent = (within_tolerance & (session[1:] != session[:-1])) | (party[1:] != party[:-1])
    adjacent &= party[1:] >> np.uint64(_HALF_BITS) == party[:-1] >> np.uint64(_HALF_BITS)
    neighbours = np.zeros(len(party), dtype=np.bool_)
    neighbours[order] = np.append(adjacent, False) | np.append(False, adjacent)
    return neighbours


def _party_time_pairs(entries: pl.DataFrame) -> pl.DataFrame:
    """Return the further entries of sessions and charge groups of several parties, see `neighbourhood`; they have no row."""
    pairs = party_time_pairs(entries.drop("row"), unit=["session", "charge"], party=["rule", *PARTY], times=["time_us"])
    return pairs.with_columns(row=pl.lit(None, entries.schema["row"])).select(entries.columns)


def _in_time(pairs: pl.DataFrame, candidates: _Candidates, terms: Terms) -> pl.DataFrame:
    """Return the pairs whose first record was not final before the second arrived, with neither beyond the horizon."""
    if pairs.is_empty():
        return pairs
    usage, charge = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    position, other_passed_at, beyond = (
        candidates.rows["position"].to_numpy(),
        candidates.other_passed_at,
        candidates.beyond_horizon,
    )
    usage_position, charge_position = position[usage], position[charge]
    final_before = np.where(
        usage_position < charge_position,
        other_passed_at[usage] < charge_position,
        (charge_position < usage_position) & (other_passed_at[charge] < usage_position),
    )
    undated = candidates.rows["time_us"].is_null().to_numpy()
    untimed = undated[usage] | (undated[charge] & (charge_position < usage_position))
    first = pairs.select(pl.when(pl.Series(usage_position <= charge_position)).then("row").otherwise("row_charge")).to_series()
    unchanged = _unchanged(pairs["row"], first, candidates, terms)
    return pairs.filter(pl.Series(~(final_before | beyond[usage] | beyond[charge] | untimed) & unchanged))


def _with_rule_columns(pairs: pl.DataFrame, candidates: _Candidates) -> pl.DataFrame:
    """Add the columns needed of both records of each pair, and of their rules."""
    rule = candidates.rows["rule"].to_numpy()[pairs["row"].to_numpy()]
    rules = candidates.frontier.policies.rules(len(candidates.frontier.policies.all) - 1, rule)
    # Only a tariff book needs more than the quantity.
    columns = _NEEDED if rules["price_micros"].null_count() else _RULE_COLUMNS
    usage, charges = candidates.columns_of(pairs["row"], columns), candidates.columns_of(pairs["row_charge"], _RULE_COLUMNS)
    return pl.concat([pairs, usage, charges.rename({n: f"{n}_charge" for n in _RULE_COLUMNS}), rules], how="horizontal")


def _priced(unmatched: pl.DataFrame, candidates: _Candidates, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Return unmatched records with their expected and billed amounts while pending; those without a price are left out."""
    if unmatched.is_empty():
        return pl.DataFrame(schema={**candidates.rows.schema, **dict.fromkeys(_SUMS[:2], pl.Int128()), "day": pl.Date()})
    rows = pl.concat([unmatched, candidates.columns_of(unmatched["row"], ["charge", *_NEEDED])], how="horizontal")
    usage, charges = rows.filter(~pl.col("charge")), rows.filter("charge")
    rules = candidates.frontier.policies.rules(len(candidates.frontier.policies.all) - 1, usage["rule"].to_numpy())
    requests = _pricing_request(pl.concat([usage, rules], how="horizontal"), terms, pl.col("position"))
    expected = price_sessions(requests, terms, pools)["expected_micros"]
    zero = pl.lit(0, pl.Int128)
    priced = [
        usage.with_columns(expected_micros=expected, billed_micros=zero).drop_nulls("expected_micros"),
        charges.with_columns(expected_micros=zero, billed_micros=pl.col("amount_micros").cast(pl.Int128)),
    ]
    return pl.concat(priced).with_columns(day=local_day(pl.col("time_us"), candidates.frontier.policies.all[-1].timezone))


def _pricing_request(rows: pl.DataFrame, terms: Terms, at: pl.Expr) -> pl.DataFrame:
    """Return usage records with the columns that `price_sessions` needs, for a price at a position."""
    requests = rows.with_columns(at=at)
    if not rows["price_micros"].null_count():
        return requests
    requests = requests.with_columns(start_us="time_us", order="event_id")
    return requests.hstack(terms.states_at(requests.select("subscriber", "at", "time_us")))


def _agreeing_pairs(pairs: pl.DataFrame, frontier: Frontier, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Return the pairs that agree, with their price and their billed amount."""
    requests = _pricing_request(pairs, terms, pl.max_horizontal("position", "position_charge")).with_columns(
        billed_micros=pl.col("amount_micros_charge").cast(pl.Int128),
        # The difference of two 64-bit numbers need not fit one.
        usage_quantity=pl.col("quantity_micros").cast(pl.Int128), charge_quantity="quantity_micros_charge",
        open=pl.lit(False),
    )  # fmt: skip
    prices = price_sessions(requests, terms, pools)
    equal_amount = prices["expected_micros"] == requests["billed_micros"]
    quantity = pl.coalesce("charge_quantity", "usage_quantity") == pl.col("usage_quantity")
    # Equal amount and equal quantity: no difference to classify.
    no_difference = (equal_amount & requests.select(quantity).to_series()).fill_null(False)
    priced = requests.hstack(prices)
    differing = priced.filter(~no_difference & prices["expected_micros"].is_not_null())
    agreeing = priced.filter(no_difference).select(_AGREED)
    if not differing.is_empty():
        agreeing = pl.concat([agreeing, _tolerated_pairs(differing, terms, pools).select(_AGREED)])
    zone = frontier.policies.all[-1].timezone
    return agreeing.with_columns(day=local_day(pl.col("time_us"), zone), day_charge=local_day(pl.col("time_us_charge"), zone))


def _tolerated_pairs(pairs: pl.DataFrame, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Return, of pairs with a difference, those whose difference is tolerated or nets to zero."""
    prepared = pairs.with_columns(
        unrated=pl.lit(False),
        part=pl.lit(0),
        unrated_records=pl.lit(0),
        verdict=pl.lit(None, pl.String),
        is_corrected=pl.lit(False),
    )
    no_impact = pl.col("expected_micros") == pl.col("billed_micros")
    # A pair that became two rows differs by quantity and by amount, so it is not tolerated.
    return classify(with_charged_price(prepared, terms, pools)).filter(
        pl.col("row").is_unique() & ((pl.col("kind") == TOLERATED) | no_impact)
    )


def _no_pairs(events: pl.DataFrame) -> pl.DataFrame:
    of_records = {n: events.schema[n] for n in _RULE_COLUMNS} | {"row": pl.UInt32()}
    schema = of_records | {f"{n}_charge": t for n, t in of_records.items()}
    return pl.DataFrame(schema=schema | dict.fromkeys(_SUMS[:2], pl.Int128()) | dict.fromkeys(("day", "day_charge"), pl.Date()))


def _deltas(rows: pl.DataFrame, at: pl.Expr, cell: dict[str, pl.Expr], *sums: pl.Expr) -> pl.DataFrame:
    """Return the changes of sums by rows; `sums` are in the order of `_SUMS`."""
    named = rows.select(position=at, **cell, **dict(zip(_SUMS, sums, strict=True)))
    if named.is_empty():
        return named
    return named.group_by("position", "service", "day", "currency").agg(pl.col(_SUMS).sum())


def _pending_deltas(unmatched: pl.DataFrame) -> pl.DataFrame:
    """Return the changes of sums when unmatched records arrive."""
    expected, billed = pl.col("expected_micros"), pl.col("billed_micros")
    cell = {"service": pl.col("service").fill_null(""), "day": pl.col("day"), "currency": pl.col("currency")}
    zero = pl.lit(0, pl.Int128)
    deltas = _deltas(unmatched, pl.col("position"), cell, expected, billed, zero, expected - billed)
    return deltas.with_columns(impact_micros=zero, unrated_records=pl.lit(0, pl.Int64))


def _pair_deltas(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the changes of sums when the first and when the second record of each pair arrives."""
    usage_first, charge_first = pl.col("position") < pl.col("position_charge"), pl.col("position_charge") < pl.col("position")
    expected, billed, zero = pl.col("expected_micros"), pl.col("billed_micros"), pl.lit(0, pl.Int128)
    matched_at = pl.max_horizontal("position", "position_charge")
    usage_cell = {"service": pl.col("service").fill_null(""), "day": pl.col("day"), "currency": pl.col("currency")}
    charge_cell = {**usage_cell, "service": pl.col("service_charge").fill_null(""), "day": pl.col("day_charge")}

    usage_pending, charge_pending = pairs.filter(usage_first), pairs.filter(charge_first)
    return pl.concat(
        [
            _deltas(usage_pending, pl.col("position"), usage_cell, expected, zero, zero, expected),
            _deltas(usage_pending, matched_at, usage_cell, expected * -1, zero, zero, expected * -1),
            _deltas(charge_pending, pl.col("position_charge"), charge_cell, zero, billed, zero, billed * -1),
            _deltas(charge_pending, matched_at, charge_cell, zero, billed * -1, zero, billed),
            _deltas(pairs, matched_at, usage_cell, expected, billed, expected - billed, zero),
        ]
    ).with_columns(impact_micros=zero, unrated_records=pl.lit(0, pl.Int64))


def _bookings(pairs: pl.DataFrame) -> pl.DataFrame:
    charges = pairs.select(pl.col(f"{n}_charge").alias(n) for n in _RULE_COLUMNS).with_columns(charge=pl.lit(True))
    return pl.concat([frame.select(_BOOKING_COLUMNS) for frame in (pairs.with_columns(charge=pl.lit(False)), charges)])
