"""Pairs that cannot raise anything, and records that wait for their other half, told apart before the general rounds.

Most traffic is one usage record and one charge of one session key that agree. Such a pair, alone in its component, is pending
when its first record comes and tolerated when its second does, unless the first had become final by itself before. A record
alone in its component is pending from its coming on until it is final. That is what the rounds would find too; tests hold the two
to the same result. What is told apart here is decided on hashes that are checked against the true keys: a collision sends records
to the rounds, never past them.
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
from trueup.reconcile.domain.bookings import TOLERATED
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.policies import UNKNOWN_TIME_US
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.incremental.hash_runs import Hashes
from trueup.reconcile.incremental.settled_keys import is_duplicated, record_hashes, session_hashes
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
"""What is needed of a pair's usage record that a tariff book prices; of any other it is `_TOLD`; of its charge too, under names
that end in `_charge`."""
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
    """`rest` is what the rounds must look at; `movements` are the rows of the ledger (position, service, day, currency and sums)
    of all others, `placed` their records as `placements` counts them, `waiting` which of the rows wait alone."""

    remaining: pl.DataFrame
    ledger_deltas: pl.DataFrame
    booked_records: pl.DataFrame
    unmatched: pl.Series


@dataclass(frozen=True)
class _Candidates:
    """Rows with what is known of each at once: its `place` in the frame of policies, and whether it has a neighbour; and
    which of them, by number, are `alone` in their session or one usage record (`mine`) and one charge (`theirs`) of it."""

    rows: pl.DataFrame
    frontier: Frontier
    place: NDArray[np.int64]
    near: NDArray[np.bool_]
    alone: NDArray[np.int64]
    mine: NDArray[np.int64]
    theirs: NDArray[np.int64]

    @classmethod
    def of(cls, events: pl.DataFrame, frontier: Frontier) -> _Candidates:
        rows = events.with_row_index("row")
        keyed, charge = rows["session_key"].is_not_null().to_numpy(), rows["charge"].to_numpy()
        record = record_hashes(rows)
        # Without a key a record is a session of its own.
        session = np.where(keyed, session_hashes(rows), record)
        whole = rows["partial_no"].is_null().to_numpy() & ~is_duplicated(record)
        order = np.argsort(session)
        begin, count, charges = _runs(session[order], charge[order])
        alone = order[begin[count == 1]]
        two = begin[(count == 2) & (charges == 1)]
        first, second = order[two], order[two + 1]
        mine, theirs = np.where(charge[first], second, first), np.where(charge[first], first, second)
        together = whole[mine] & whole[theirs] & keyed[mine] & keyed[theirs]
        several = np.zeros(len(order), dtype=np.bool_)
        several[order] = np.repeat((charges > 1) | (count - charges > 1), count)
        place = frontier.policies.rule_index(len(frontier.policies.all) - 1, rows["rule"].to_numpy())
        near = _has_neighbour(rows, frontier, place, session, several)
        return cls(rows, frontier, place, near, alone[whole[alone]], mine[together], theirs[together])

    def rule(self, name: str) -> NDArray[Any]:
        """What the rule of each row says under the policy in force last."""
        return self.frontier.policies.frame[name].to_numpy()[self.place]

    @cached_property
    def under_last(self) -> NDArray[np.bool_]:
        """Which rows came under the policy in force last."""
        policies = self.frontier.policies
        under: NDArray[np.bool_] = policies.number_at(self.rows["position"].to_numpy()) == len(policies.all) - 1
        return under

    @cached_property
    def last(self) -> NDArray[np.int64]:
        """The number of that policy, for each row."""
        return np.full(self.rows.height, len(self.frontier.policies.all) - 1)

    @cached_property
    def behind(self) -> NDArray[np.bool_]:
        """Which rows were behind the horizon when they came."""
        horizon = np.full(self.rows.height, self.frontier.policies.all[-1].horizon_us)
        passed = self.frontier.passed_at(self.rows["charge"].to_numpy(), self.time_us, horizon, horizon, self.last)
        return passed < self.rows["position"].to_numpy()

    @cached_property
    def time_us(self) -> NDArray[np.int64]:
        """When each row stands; of one that does not say, no time that ever passes."""
        return self.rows["time_us"].fill_null(UNKNOWN_TIME_US).to_numpy()

    @cached_property
    def waited_for(self) -> NDArray[np.int64]:
        """The position at which the other stream has passed each row by grace."""
        charge, grace, closed = self.rows["charge"].to_numpy(), self.rule("grace_us"), self.rule("closed_wait_us")
        return self.frontier.passed_at(~charge, self.time_us, grace, closed, self.last)

    def told(self, rows: pl.Series, names: list[str]) -> pl.DataFrame:
        """Columns of some rows."""
        return self.rows.select(names)[rows.to_numpy()]


def split_fast_path(
    events: pl.DataFrame, frontier: Frontier, terms: Terms, pools: Pools, *, upto: int, fast_path: bool = True
) -> FastPath:
    """Tells clean pairs and what waits alone apart. `events` are rows of `EVENTS` with `rule`, `currency` (of the money) and
    `charge_currency`.

    Only records that came under the policy in force last, and after whatever changed their terms last: a change looks at
    everything again. Of sessions that share free units or tiers, only those whose price never changes.
    """
    if not fast_path or events.is_empty():
        nothing = _nothing(events)
        return FastPath(events, _ledger_deltas(nothing), _bookings(nothing), pl.Series(dtype=pl.UInt32))
    seen = _Candidates.of(events, frontier)
    pairs = _agreeing_pairs(_with_rule_columns(_in_time(_shared(_pairs(seen), pools), seen, terms), seen), frontier, terms, pools)
    waiting = _priced(_shared(_unmatched_in_grace(seen, terms, upto), pools), seen, terms, pools)
    taken = np.ones(events.height, dtype=np.bool_)
    for rows in (pairs["row"], pairs["row_charge"], waiting["row"]):
        taken[rows.to_numpy()] = False
    return FastPath(
        events.filter(pl.Series(taken)),
        pl.concat([_ledger_deltas(pairs), _pending(waiting)]),
        pl.concat([_bookings(pairs), waiting.select(_BOOKING_COLUMNS)]),
        waiting["row"],
    )


def _hash(*names: str) -> pl.Expr:
    """A hash over columns: equal rows are equal, unequal ones hardly ever."""
    return reduce(operator.xor, (pl.col(name).hash(seed) for seed, name in enumerate(names, start=1)))


def _runs(ascending: Hashes, charge: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where rows of one hash begin, how many they are, and how many of them are charges."""
    begin = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
    return begin, np.diff(begin, append=len(ascending)), np.add.reduceat(charge, begin, dtype=np.int64)


def _pairs(seen: _Candidates) -> pl.DataFrame:
    """One usage record and one charge of one key (`row`, `row_charge`), neither with a further part, content, name or neighbour."""
    a, b = seen.mine, seen.theirs
    exact, summed, under_last = seen.rule("by_key"), seen.rule("by_aggregate"), seen.under_last
    told = under_last[a] & under_last[b] & exact[a] & ~summed[b] & ~seen.near[a] & ~seen.near[b]
    pairs = pl.DataFrame({"row": a[told], "row_charge": b[told]}, schema={"row": pl.UInt32, "row_charge": pl.UInt32})
    mine, theirs = seen.told(pairs["row"], _KEY), seen.told(pairs["row_charge"], _KEY)
    same = [(mine[n] == theirs[n]).fill_null(False) for n in _KEY]
    return pairs.filter(reduce(operator.and_, same))


def _unmatched_in_grace(seen: _Candidates, terms: Terms, upto: int) -> pl.DataFrame:
    """Records (`row`) that are all there is of their session, and that the other stream has not passed yet."""
    alone = np.zeros(seen.rows.height, dtype=np.bool_)
    alone[seen.alone] = True
    alone &= seen.under_last & ~seen.near & ~seen.rule("by_aggregate") & ~seen.behind
    alone &= (seen.waited_for > upto) & seen.rows["time_us"].is_not_null().to_numpy()
    rows = seen.rows.select("row").filter(pl.Series(alone))
    return rows.filter(pl.Series(_unchanged(rows["row"], rows["row"], seen, terms)))


def _unchanged(rows: pl.Series, since: pl.Series, seen: _Candidates, terms: Terms) -> NDArray[np.bool_]:
    """Whether what each row is worth has not changed since another came."""
    if terms.changes.is_empty():
        return np.ones(len(rows), dtype=np.bool_)
    changed = terms.last_change_position(seen.told(rows, ["subscriber", "time_us", "quantity_micros"])).to_numpy()
    unchanged: NDArray[np.bool_] = changed <= seen.rows["position"].to_numpy()[since.to_numpy()]
    return unchanged


def _shared(pairs: pl.DataFrame, pools: Pools) -> pl.DataFrame:
    """Rows with the `pool_session_id` that their session is in the pools, but those of which something before it ever changes."""
    if pools.is_empty:
        return pairs.with_columns(pool_session_id=pl.lit(None, pl.Int64))
    told = pairs.join(pools.records, on="row", how="left", maintain_order="left")
    return told.filter(pools.has_stable_price(told))


def _has_neighbour(
    rows: pl.DataFrame, frontier: Frontier, place: NDArray[np.int64], session: Hashes, several: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which rows stand within the start tolerance of another session's of the same party, where nearest matches."""
    found = np.zeros(rows.height, dtype=np.bool_)
    near, tolerance_us = (frontier.policies.frame[n].to_numpy() for n in ("by_nearest", "start_tolerance_us"))
    if not near[place].any():
        return found
    entries = rows.select("row", "charge", "time_us", *PARTY, "rule").with_columns(
        session=pl.Series(session), by_nearest=pl.Series(near[place]), tolerance_us=pl.Series(tolerance_us[place])
    )  # fmt: skip
    crossed = _party_time_pairs(entries.filter(pl.Series(several)))
    stands = pl.concat([frame.filter(pl.col("by_nearest") & pl.col("time_us").is_not_null()).select(
        "row", "time_us", "session", "tolerance_us", party=_hash(*PARTY)
    ) for frame in (entries, crossed)])  # fmt: skip
    near_rows = stands["row"].filter(pl.Series(_neighbour_mask(stands))).drop_nulls()
    found[near_rows.to_numpy()] = True
    return found


def _neighbour_mask(stands: pl.DataFrame) -> NDArray[np.bool_]:
    """Which rows (`party`, `time_us`, `session`, `tolerance_us`) stand within the tolerance of another session's of their party.

    Rows are put in the order of one number, half of it the party's hash and half the time, which is many times as quick as
    sorting by both. Where two parties share a half they count as near: that costs them the rounds, and nothing else.
    """
    party, time_us, session, tolerance_us = (stands[n].to_numpy() for n in ("party", "time_us", "session", "tolerance_us"))
    if not len(party):
        return np.zeros(0, dtype=np.bool_)
    since_us = (time_us - time_us.min()).astype(np.uint64)
    unit_us = int(since_us.max() >> np.uint64(_HALF_BITS)) + 1
    order = np.argsort((party >> np.uint64(_HALF_BITS) << np.uint64(_HALF_BITS)) | (since_us // np.uint64(unit_us)))
    party, time_us, session, tolerance_us = (column[order] for column in (party, time_us, session, tolerance_us))
    # Within a unit they stand in no order.
    close = np.abs(np.diff(time_us)) <= tolerance_us[1:] + unit_us - 1
    together = (close & (session[1:] != session[:-1])) | (party[1:] != party[:-1])
    together &= party[1:] >> np.uint64(_HALF_BITS) == party[:-1] >> np.uint64(_HALF_BITS)
    touching = np.zeros(len(party), dtype=np.bool_)
    touching[order] = np.append(together, False) | np.append(False, together)
    return touching


def _party_time_pairs(several: pl.DataFrame) -> pl.DataFrame:
    """Where sessions and bills of several parties could stand: a unit takes its party from one record, its start from another."""
    side, party = ["session", "charge"], ["rule", *PARTY]
    mixed = several.filter(pl.struct(party).n_unique().over(side) > 1)
    times = mixed.select(*side, "time_us").unique()
    nobody = pl.lit(None, several.schema["row"])
    return mixed.drop("row", "time_us").unique().join(times, on=side).with_columns(row=nobody).select(several.columns)


def _in_time(pairs: pl.DataFrame, seen: _Candidates, terms: Terms) -> pl.DataFrame:
    """Of the pairs those of which the first had not become final before the second came, nor either was behind the horizon."""
    mine, theirs = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    position, waited_for, behind = seen.rows["position"].to_numpy(), seen.waited_for, seen.behind
    a, b = position[mine], position[theirs]
    alone = np.where(a < b, waited_for[mine] < b, (b < a) & (waited_for[theirs] < a))
    untold = seen.rows["time_us"].is_null().to_numpy()
    untimed = untold[mine] | (untold[theirs] & (b < a))
    first = pairs.select(pl.when(pl.Series(a <= b)).then("row").otherwise("row_charge")).to_series()
    unchanged = _unchanged(pairs["row"], first, seen, terms)
    return pairs.filter(pl.Series(~(alone | behind[mine] | behind[theirs] | untimed) & unchanged))


def _with_rule_columns(pairs: pl.DataFrame, seen: _Candidates) -> pl.DataFrame:
    """Pairs with what is needed of both records and of their rules."""
    rule = seen.rows["rule"].to_numpy()[pairs["row"].to_numpy()]
    rules = seen.frontier.policies.rules(len(seen.frontier.policies.all) - 1, rule)
    # Only a tariff book asks for more than the quantity.
    needed = _NEEDED if rules["price_micros"].null_count() else _RULE_COLUMNS
    mine, theirs = seen.told(pairs["row"], needed), seen.told(pairs["row_charge"], _RULE_COLUMNS)
    return pl.concat([pairs, mine, theirs.rename({n: f"{n}_charge" for n in _RULE_COLUMNS}), rules], how="horizontal")


def _priced(waiting: pl.DataFrame, seen: _Candidates, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Records that wait, with what is expected and billed of them meanwhile; without those that have no price."""
    told = pl.concat([waiting, seen.told(waiting["row"], ["charge", *_NEEDED])], how="horizontal")
    usage, charges = told.filter(~pl.col("charge")), told.filter("charge")
    rules = seen.frontier.policies.rules(len(seen.frontier.policies.all) - 1, usage["rule"].to_numpy())
    asked = _pricing_request(pl.concat([usage, rules], how="horizontal"), terms, pl.col("position"))
    expected = price_sessions(asked, terms, pools)["expected_micros"]
    none = pl.lit(0, pl.Int128)
    both = [
        usage.with_columns(expected_micros=expected, billed_micros=none).drop_nulls("expected_micros"),
        charges.with_columns(expected_micros=none, billed_micros=pl.col("amount_micros").cast(pl.Int128)),
    ]
    return pl.concat(both).with_columns(day=local_day(pl.col("time_us"), seen.frontier.policies.all[-1].timezone))


def _pricing_request(rows: pl.DataFrame, terms: Terms, at: pl.Expr) -> pl.DataFrame:
    """Usage records as they ask for their price at a position."""
    asked = rows.with_columns(at=at)
    if not rows["price_micros"].null_count():
        return asked
    asked = asked.with_columns(start_us="time_us", order="event_id")
    return asked.hstack(terms.states_at(asked.select("subscriber", "at", "time_us")))


def _agreeing_pairs(pairs: pl.DataFrame, frontier: Frontier, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Of the pairs those that agree, with their price and what was billed."""
    asked = _pricing_request(pairs, terms, pl.max_horizontal("position", "position_charge")).with_columns(
        billed_micros=pl.col("amount_micros_charge").cast(pl.Int128),
        # The difference of two 64-bit numbers need not fit one.
        usage_quantity=pl.col("quantity_micros").cast(pl.Int128), charge_quantity="quantity_micros_charge",
        open=pl.lit(False),
    )  # fmt: skip
    prices = price_sessions(asked, terms, pools)
    equal = prices["expected_micros"] == asked["billed_micros"]
    quantity = pl.coalesce("charge_quantity", "usage_quantity") == pl.col("usage_quantity")
    # Where both are equal nothing is left to be judged.
    same = (equal & asked.select(quantity).to_series()).fill_null(False)
    rated = asked.hstack(prices)
    told = rated.filter(~same & prices["expected_micros"].is_not_null())
    agreeing = pl.concat([rated.filter(same).select(_AGREED), _judged(told, terms, pools).select(_AGREED)])
    zone = frontier.policies.all[-1].timezone
    return agreeing.with_columns(day=local_day(pl.col("time_us"), zone), day_charge=local_day(pl.col("time_us_charge"), zone))


def _judged(pairs: pl.DataFrame, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Of pairs that differ those whose difference is none, or is tolerated."""
    told = pairs.with_columns(unrated=pl.lit(False), part=pl.lit(0), unrated_records=pl.lit(0), verdict=pl.lit(None, pl.String))
    equal = pl.col("expected_micros") == pl.col("billed_micros")
    # A difference told in two parts is none that is tolerated.
    return classify(with_charged_price(told, terms, pools)).filter(
        pl.col("row").is_unique() & ((pl.col("kind") == TOLERATED) | equal)
    )


def _nothing(events: pl.DataFrame) -> pl.DataFrame:
    empty = theirs = events.select(_RULE_COLUMNS).clear()
    nothing, no_day = pl.lit(None, pl.Int128), pl.lit(None, pl.Date)
    both = pl.concat([empty, theirs.rename({n: f"{n}_charge" for n in _RULE_COLUMNS})], how="horizontal")
    return both.with_columns(expected_micros=nothing, billed_micros=nothing, day=no_day, day_charge=no_day)


def _ledger_deltas_of(rows: pl.DataFrame, at: pl.Expr, cell: dict[str, pl.Expr], *sums: pl.Expr) -> pl.DataFrame:
    """What rows move sums by, in the order of `_SUMS`."""
    named = rows.select(position=at, **cell, **dict(zip(_SUMS, sums, strict=True)))
    return named.group_by("position", "service", "day", "currency").agg(pl.col(_SUMS).sum())


def _pending(waiting: pl.DataFrame) -> pl.DataFrame:
    """What the sums move by when records come that wait."""
    expected, billed = pl.col("expected_micros"), pl.col("billed_micros")
    cell = {"service": pl.col("service").fill_null(""), "day": pl.col("day"), "currency": pl.col("currency")}
    none = pl.lit(0, pl.Int128)
    moved = _ledger_deltas_of(waiting, pl.col("position"), cell, expected, billed, none, expected - billed)
    return moved.with_columns(impact_micros=none, unrated_records=pl.lit(0, pl.Int64))


def _ledger_deltas(pairs: pl.DataFrame) -> pl.DataFrame:
    """What the sums move by: when the first record of a pair comes, and when the second does."""
    usage_first, charge_first = pl.col("position") < pl.col("position_charge"), pl.col("position_charge") < pl.col("position")
    expected, billed, none = pl.col("expected_micros"), pl.col("billed_micros"), pl.lit(0, pl.Int128)
    both = pl.max_horizontal("position", "position_charge")
    own = {"service": pl.col("service").fill_null(""), "day": pl.col("day"), "currency": pl.col("currency")}
    theirs = {**own, "service": pl.col("service_charge").fill_null(""), "day": pl.col("day_charge")}

    waiting, early = pairs.filter(usage_first), pairs.filter(charge_first)
    return pl.concat(
        [
            _ledger_deltas_of(waiting, pl.col("position"), own, expected, none, none, expected),
            _ledger_deltas_of(waiting, both, own, expected * -1, none, none, expected * -1),
            _ledger_deltas_of(early, pl.col("position_charge"), theirs, none, billed, none, billed * -1),
            _ledger_deltas_of(early, both, theirs, none, billed * -1, none, billed),
            _ledger_deltas_of(pairs, both, own, expected, billed, expected - billed, none),
        ]
    ).with_columns(impact_micros=none, unrated_records=pl.lit(0, pl.Int64))


def _bookings(pairs: pl.DataFrame) -> pl.DataFrame:
    charges = pairs.select(pl.col(f"{n}_charge").alias(n) for n in _RULE_COLUMNS).with_columns(charge=pl.lit(True))
    return pl.concat([frame.select(_BOOKING_COLUMNS) for frame in (pairs.with_columns(charge=pl.lit(False)), charges)])
