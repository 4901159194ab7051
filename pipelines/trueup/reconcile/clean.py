"""Pairs that cannot raise anything, told apart before the general rounds.

Most traffic is one usage record and one charge of one session key that agree. Such a pair, alone in its component, is pending
when its first record comes and tolerated when its second does, unless the first had become final by itself before. That is
what the rounds would find too; a test holds the two to the same result. What is told apart here is decided on hashes that
are checked against the true keys: a collision sends a pair to the rounds, never past them.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.localtime import local_day
from trueup.reconcile.frontier import Frontier
from trueup.reconcile.judge import parted, with_charged
from trueup.reconcile.places import TOLERATED
from trueup.reconcile.pools import Pools
from trueup.reconcile.price import priced
from trueup.reconcile.terms import Terms
from trueup.reconcile.units import PARTY, RATED_BY

_TOLD = ["currency", "told_currency", "source", "position", "time_us", "service", "rule", "quantity_micros", "amount_micros"]
_NEEDED = [*_TOLD, "scope", "subscriber", "peer", *RATED_BY, "event_id"]
"""What is needed of a pair's usage record; of its charge it is `_TOLD`, under names that end in `_charge`."""
_KEY = ["scope", "session_key", "currency"]
_SUMS = ("expected_micros", "billed_micros", "tolerated_micros", "pending_micros")


@dataclass(frozen=True)
class Separated:
    """`rest` is what the rounds must look at; `movements` are the clean pairs' rows of the ledger (position, service, day,
    currency and sums), `placed` their records as `placements` counts them."""

    rest: pl.DataFrame
    movements: pl.DataFrame
    placed: pl.DataFrame


def separate(events: pl.DataFrame, frontier: Frontier, terms: Terms, pools: Pools, *, tell_apart: bool = True) -> Separated:
    """Tells clean pairs apart. `events` are rows of `EVENTS` with `rule`, `currency` (of the money) and `told_currency`.

    Only pairs of which both records came under the policy in force last, and after whatever changed their terms last: a change
    looks at everything again. Of sessions that share free units or tiers, only those whose price never changes.
    """
    if not tell_apart or events.is_empty():
        return Separated(events, _movements(_nothing(events)), _placed(_nothing(events)))
    rows = events.with_row_index("row")
    pairs = _told(_timely(_shared(_pairs(rows, frontier), pools), rows, frontier, terms), rows, frontier)
    pairs = _tolerated(pairs, frontier, terms, pools)
    taken = np.ones(events.height, dtype=np.bool_)
    taken[pairs["row"].to_numpy()] = False
    taken[pairs["row_charge"].to_numpy()] = False
    return Separated(events.filter(pl.Series(taken)), _movements(pairs), _placed(pairs))


def _hash(*names: str) -> pl.Expr:
    """A hash over columns: equal rows are equal, unequal ones hardly ever."""
    return reduce(operator.xor, (pl.col(name).hash(seed) for seed, name in enumerate(names, start=1)))


def _pairs(rows: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """One usage record and one charge of one key (`row`, `row_charge`), neither with a further part, content, name or neighbour."""
    last = len(frontier.policies.all) - 1
    hashed = rows.select(
        "row", "charge", "partial_no", keyed=pl.col("session_key").is_not_null(), session=_hash("scope", "session_key"),
        once=_hash("charge", "key_scope", "scope", "record_key").is_unique(),
    )  # fmt: skip
    usage, charge = _single(hashed.filter(~pl.col("charge"))), _single(hashed.filter("charge"))
    met = usage.select("session", "row").join(charge.select("session", row_charge="row"), on="session").drop("session")
    a, b = met["row"].to_numpy(), met["row_charge"].to_numpy()
    position, place = rows["position"].to_numpy(), frontier.policies.places(last, rows["rule"].to_numpy())
    exact, summed = (frontier.policies.frame[n].to_numpy()[place] for n in ("exact", "summed"))
    near = _near(rows, frontier, place, hashed, pl.concat([usage["row"], charge["row"]]))
    under_last = frontier.policies.number_at(np.minimum(position[a], position[b])) == last
    told = met.filter(pl.Series(under_last & exact[a] & ~summed[b] & ~near[a] & ~near[b]))
    mine, theirs = rows.select(_KEY)[told["row"].to_numpy()], rows.select(_KEY)[told["row_charge"].to_numpy()]
    same = [(mine[n] == theirs[n]).fill_null(False) for n in _KEY]
    return told.filter(reduce(operator.and_, same))


def _shared(pairs: pl.DataFrame, pools: Pools) -> pl.DataFrame:
    """Pairs with the `sharer` that their session is in the pools, but those of which something before it ever changes."""
    if pools.nobody:
        return pairs.with_columns(sharer=pl.lit(None, pl.Int64))
    told = pairs.join(pools.records, on="row", how="left", maintain_order="left")
    return told.filter(pools.steady(told))


def _single(side: pl.DataFrame) -> pl.DataFrame:
    """Of one stream's keyed records, those that are all there is of their session on that side, and whole by themselves."""
    keyed = side.filter("keyed")
    return keyed.filter(pl.col("session").is_unique() & pl.col("once") & pl.col("partial_no").is_null())


def _near(
    rows: pl.DataFrame, frontier: Frontier, place: NDArray[np.int64], hashed: pl.DataFrame, alone: pl.Series
) -> NDArray[np.bool_]:
    """Which rows stand within the start tolerance of another session's of the same party, where nearest matches.

    `place` is each row's place in the frame of policies, `alone` are the rows that are all there is of their session on their
    side.
    """
    found = np.zeros(rows.height, dtype=np.bool_)
    near, tolerance_us = (frontier.policies.frame[n].to_numpy() for n in ("near", "start_tolerance_us"))
    if not near[place].any():
        return found
    entries = rows.select("row", "charge", "time_us", *PARTY, "rule").with_columns(
        hashed["session"], near=pl.Series(near[place]), tolerance_us=pl.Series(tolerance_us[place])
    )  # fmt: skip
    several = hashed["keyed"].to_numpy().copy()
    several[alone.to_numpy()] = False
    crossed = _crossed(entries.filter(pl.Series(several)))
    # Records without a key share one hash: they only matter as neighbours of those that have one.
    stands = pl.concat([frame.filter(pl.col("near") & pl.col("time_us").is_not_null()).select(
        "row", "time_us", "session", "tolerance_us", party=_hash(*PARTY)
    ) for frame in (entries, crossed)])  # fmt: skip
    line = stands.sort("party", "time_us")
    before = pl.col("party").eq(pl.col("party").shift(1)) & (
        pl.col("time_us") - pl.col("time_us").shift(1) <= pl.col("tolerance_us")
    )
    touches = line.select((before & (pl.col("session") != pl.col("session").shift(1))).fill_null(False)).to_series()
    found[line["row"].filter(touches | touches.shift(-1, fill_value=False)).drop_nulls().to_numpy()] = True
    return found


def _crossed(several: pl.DataFrame) -> pl.DataFrame:
    """Where sessions and bills of several parties could stand: a unit takes its party from one record, its start from another."""
    side, party = ["session", "charge"], ["rule", *PARTY]
    mixed = several.filter(pl.struct(party).n_unique().over(side) > 1)
    times = mixed.select(*side, "time_us").unique()
    nobody = pl.lit(None, several.schema["row"])
    return mixed.drop("row", "time_us").unique().join(times, on=side).with_columns(row=nobody).select(several.columns)


def _timely(pairs: pl.DataFrame, rows: pl.DataFrame, frontier: Frontier, terms: Terms) -> pl.DataFrame:
    """Of the pairs those of which the first had not become final before the second came, nor either was behind the horizon."""
    mine, theirs = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    position, time_us = rows["position"].to_numpy(), rows["time_us"].fill_null(0).to_numpy()
    last = np.full(len(mine), len(frontier.policies.all) - 1)
    place = frontier.policies.places(last[0] if len(last) else 0, rows["rule"].to_numpy())
    grace, closed = (frontier.policies.frame[n].to_numpy()[place] for n in ("grace_us", "closed_wait_us"))
    a, b, side = position[mine], position[theirs], np.ones(len(mine), dtype=np.bool_)
    usage_final = frontier.passed_at(side, time_us[mine], grace[mine], closed[mine], last)
    charge_final = frontier.passed_at(~side, time_us[theirs], grace[theirs], closed[theirs], last)
    horizon = np.full(len(a), frontier.policies.all[-1].horizon_us)
    behind = frontier.passed_at(~side, time_us[mine], horizon, horizon, last) < a
    behind |= frontier.passed_at(side, time_us[theirs], horizon, horizon, last) < b
    alone = np.where(a < b, usage_final < b, (b < a) & (charge_final < a))
    untold = rows["time_us"].is_null().to_numpy()
    untimed = untold[mine] | (untold[theirs] & (b < a))
    fine = ~(alone | behind | untimed)
    if not terms.changes.is_empty():
        asked = rows.select("subscriber", "time_us", "quantity_micros")[mine]
        fine &= terms.changed_since(asked).to_numpy() <= np.minimum(a, b)
    return pairs.filter(pl.Series(fine))


def _told(pairs: pl.DataFrame, rows: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Pairs with what is needed of both records and of their rules."""
    mine = rows.select(_NEEDED)[pairs["row"].to_numpy()]
    theirs = rows.select(_TOLD)[pairs["row_charge"].to_numpy()].rename({n: f"{n}_charge" for n in _TOLD})
    rules = frontier.policies.rules(len(frontier.policies.all) - 1, mine["rule"].to_numpy())
    return pl.concat([pairs, mine, theirs, rules], how="horizontal")


def _tolerated(pairs: pl.DataFrame, frontier: Frontier, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Of the pairs those that agree."""
    equal = pl.col("expected_micros") == pl.col("billed_micros")
    # A difference told in two parts is none that is tolerated.
    judged = _judged(pairs, terms, pools).filter(pl.col("row").is_unique() & ((pl.col("kind") == TOLERATED) | equal))
    zone = frontier.policies.all[-1].timezone
    return judged.with_columns(day=local_day(pl.col("time_us"), zone), day_charge=local_day(pl.col("time_us_charge"), zone))


def _judged(pairs: pl.DataFrame, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Pairs with their price, what was billed and the kind of the difference."""
    asked = pairs.with_columns(
        at=pl.max_horizontal("position", "position_charge"), start_us="time_us", order="event_id",
        billed_micros=pl.col("amount_micros_charge").cast(pl.Int128),
        # The difference of two 64-bit numbers need not fit one.
        usage_quantity=pl.col("quantity_micros").cast(pl.Int128), charge_quantity="quantity_micros_charge",
        open=pl.lit(False),
    )  # fmt: skip
    asked = asked.hstack(terms.states_at(asked.select("subscriber", "at", "time_us")))
    rated = pl.concat([asked, priced(asked, terms, pools)], how="horizontal").filter(pl.col("expected_micros").is_not_null())
    told = rated.with_columns(unrated=pl.lit(False), part=pl.lit(0), unrated_records=pl.lit(0), verdict=pl.lit(None, pl.String))
    return parted(with_charged(told, terms, pools))


def _nothing(events: pl.DataFrame) -> pl.DataFrame:
    empty, theirs = events.select(_NEEDED).clear(), events.select(_TOLD).clear()
    nothing, no_day = pl.lit(None, pl.Int128), pl.lit(None, pl.Date)
    both = pl.concat([empty, theirs.rename({n: f"{n}_charge" for n in _TOLD})], how="horizontal")
    return both.with_columns(expected_micros=nothing, billed_micros=nothing, day=no_day, day_charge=no_day)


def _movements(pairs: pl.DataFrame) -> pl.DataFrame:
    """What the sums move by: when the first record of a pair comes, and when the second does."""
    usage_first, charge_first = pl.col("position") < pl.col("position_charge"), pl.col("position_charge") < pl.col("position")
    expected, billed, none = pl.col("expected_micros"), pl.col("billed_micros"), pl.lit(0, pl.Int128)
    both = pl.max_horizontal("position", "position_charge")
    own = {"service": pl.col("service").fill_null(""), "day": pl.col("day"), "currency": pl.col("currency")}
    theirs = {**own, "service": pl.col("service_charge").fill_null(""), "day": pl.col("day_charge")}

    def moved(rows: pl.DataFrame, at: pl.Expr, cell: dict[str, pl.Expr], *sums: pl.Expr) -> pl.DataFrame:
        values = dict(zip(_SUMS, sums, strict=True))
        named = rows.select(position=at, **cell, **values)
        return named.group_by("position", "service", "day", "currency").agg(pl.col(_SUMS).sum())

    waiting, early = pairs.filter(usage_first), pairs.filter(charge_first)
    return pl.concat(
        [
            moved(waiting, pl.col("position"), own, expected, none, none, expected),
            moved(waiting, both, own, expected * -1, none, none, expected * -1),
            moved(early, pl.col("position_charge"), theirs, none, billed, none, billed * -1),
            moved(early, both, theirs, none, billed * -1, none, billed),
            moved(pairs, both, own, expected, billed, expected - billed, none),
        ]
    ).with_columns(impact_micros=none, unrated_records=pl.lit(0, pl.Int64))


def _placed(pairs: pl.DataFrame) -> pl.DataFrame:
    columns = ["source", "quantity_micros", "amount_micros", "position"]
    usage = pairs.select(*columns, charge=pl.lit(False), currency="told_currency")
    theirs = (pl.col(f"{n}_charge").alias(n) for n in columns)
    charges = pairs.select(*theirs, charge=pl.lit(True), currency="told_currency_charge")
    return pl.concat([usage, charges])
