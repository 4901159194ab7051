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

from trueup.localtime import local_day
from trueup.reconcile.frontier import Frontier
from trueup.reconcile.judge import parted, with_charged
from trueup.reconcile.places import TOLERATED
from trueup.reconcile.pools import Pools
from trueup.reconcile.price import priced
from trueup.reconcile.terms import Terms
from trueup.reconcile.units import PARTY, RATED_BY

_NEEDED = [
    "scope", "session_key", "currency", "told_currency", "source", "position", "time_us", "service", "rule",
    "quantity_micros", "amount_micros", "subscriber", "peer", *RATED_BY, "event_id",
]  # fmt: skip
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
    pairs = _tolerated(_shared(_pairs(rows, frontier), pools), frontier, terms, pools)
    taken = np.ones(events.height, dtype=np.bool_)
    taken[pairs["row"].to_numpy()] = False
    taken[pairs["row_charge"].to_numpy()] = False
    return Separated(events.filter(pl.Series(taken)), _movements(pairs), _placed(pairs))


def _hash(*names: str) -> pl.Expr:
    """A hash over columns: equal rows are equal, unequal ones hardly ever."""
    return reduce(operator.xor, (pl.col(name).hash(seed) for seed, name in enumerate(names, start=1)))


def _pairs(rows: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """One usage record and one charge of one key, neither with a further part, content, name or neighbour."""
    last = len(frontier.policies.all) - 1
    rules = frontier.policies.frame.filter(pl.col("policy") == last).drop("policy", "timezone")
    hashed = rows.select(
        "row", "charge", "partial_no", keyed=pl.col("session_key").is_not_null(), session=_hash("scope", "session_key"),
        once=_hash("charge", "key_scope", "scope", "record_key").is_unique(),
    )  # fmt: skip
    usage, charge = _single(hashed.filter(~pl.col("charge"))), _single(hashed.filter("charge"))
    met = usage.select("session", "row").join(charge.select("session", row_charge="row"), on="session")
    mine = rows.select(_NEEDED)[met["row"].to_numpy()]
    theirs = rows.select(_NEEDED)[met["row_charge"].to_numpy()]
    pairs = pl.concat([met, mine, theirs.rename({n: f"{n}_charge" for n in _NEEDED})], how="horizontal")
    same = [pl.col(n) == pl.col(f"{n}_charge") for n in ("scope", "session_key", "currency")]
    summed = rules.select(rule_charge="rule", summed_charge="summed", grace_us_charge="grace_us", closed_charge="closed_wait_us")
    first = pairs.select(pl.min_horizontal("position", "position_charge")).to_series()
    under_last = pl.Series(frontier.policies.number_at(first.to_numpy()) == last)
    paired = pairs.filter(pl.all_horizontal(same) & under_last).join(rules, on="rule", maintain_order="left")
    paired = paired.join(summed, on="rule_charge", maintain_order="left").filter(pl.col("exact") & ~pl.col("summed_charge"))
    alone = pl.concat([usage["row"], charge["row"]])
    return paired.join(_neighbours(rows, rules, hashed, alone), on="session", how="anti", maintain_order="left")


def _shared(pairs: pl.DataFrame, pools: Pools) -> pl.DataFrame:
    """Pairs with the `sharer` that their session is in the pools, but those of which something before it ever changes."""
    told = pairs.join(pools.records, on="row", how="left", maintain_order="left")
    return told.filter(pools.steady(told))


def _single(side: pl.DataFrame) -> pl.DataFrame:
    """Of one stream's keyed records, those that are all there is of their session on that side, and whole by themselves."""
    keyed = side.filter("keyed")
    return keyed.filter(pl.col("session").is_unique() & pl.col("once") & pl.col("partial_no").is_null())


def _neighbours(rows: pl.DataFrame, rules: pl.DataFrame, hashed: pl.DataFrame, alone: pl.Series) -> pl.DataFrame:
    """The sessions (by hash) that stand within the start tolerance of another of the same party, where nearest matches.

    `alone` are the rows that are all there is of their session on their side.
    """
    tolerance = rules.filter("near").select("rule", "start_tolerance_us")
    if tolerance.is_empty():
        return hashed.select("session").clear()
    entries = rows.select("charge", "time_us", "rule", *PARTY).with_columns(hashed["session"])
    several = hashed["keyed"].to_numpy().copy()
    several[alone.to_numpy()] = False
    entries = pl.concat([entries, _crossed(entries.filter(pl.Series(several)))])
    told = entries.join(tolerance, on="rule").filter(pl.col("time_us").is_not_null())
    party = told.select(_hash(*PARTY).alias("party"), "time_us", "session", "start_tolerance_us")
    # Records without a key share one hash: they only matter as neighbours of those that have one.
    line = party.sort("party", "time_us")
    before = pl.col("party").eq(pl.col("party").shift(1)) & (
        pl.col("time_us") - pl.col("time_us").shift(1) <= pl.col("start_tolerance_us")
    )
    touches = before & (pl.col("session") != pl.col("session").shift(1))
    touched = line.select("session", touches=touches.fill_null(False))
    either = touched["touches"] | touched["touches"].shift(-1, fill_value=False)
    return touched.filter(either).select("session").unique()


def _crossed(several: pl.DataFrame) -> pl.DataFrame:
    """Where sessions and bills of several parties could stand: a unit takes its party from one record, its start from another."""
    side, party = ["session", "charge"], ["rule", *PARTY]
    mixed = several.filter(pl.struct(party).n_unique().over(side) > 1)
    times = mixed.select(*side, "time_us").unique()
    return mixed.drop("time_us").unique().join(times, on=side).select(several.columns)


def _tolerated(pairs: pl.DataFrame, frontier: Frontier, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Of the pairs those that agree, and of which the first had not become final before the second came."""
    a, b = pairs["position"].to_numpy(), pairs["position_charge"].to_numpy()
    last = np.full(len(a), len(frontier.policies.all) - 1)
    timed = pairs.with_columns(pl.col("time_us_charge").fill_null(0))
    grace, closed = pairs["grace_us"].to_numpy(), pairs["closed_wait_us"].to_numpy()
    side = np.ones(len(a), dtype=np.bool_)
    usage_final = frontier.passed_at(side, pairs["time_us"].to_numpy(), grace, closed, last)
    grace, closed = pairs["grace_us_charge"].to_numpy(), pairs["closed_charge"].to_numpy()
    charge_final = frontier.passed_at(~side, timed["time_us_charge"].to_numpy(), grace, closed, last)
    horizon = np.full(len(a), frontier.policies.all[-1].horizon_us)
    behind = frontier.passed_at(~side, pairs["time_us"].to_numpy(), horizon, horizon, last) < a
    behind |= frontier.passed_at(side, timed["time_us_charge"].to_numpy(), horizon, horizon, last) < b
    alone = np.where(a < b, usage_final < b, (b < a) & (charge_final < a))
    untimed = pairs["time_us_charge"].is_null().to_numpy() & (b < a)
    changed = terms.changed_since(pairs).to_numpy() > np.minimum(a, b)
    waited = pairs.filter(pl.Series(~(alone | behind | untimed | changed)))
    equal = pl.col("expected_micros") == pl.col("billed_micros")
    # A difference told in two parts is none that is tolerated.
    judged = _judged(waited, terms, pools).filter(pl.col("row").is_unique() & ((pl.col("kind") == TOLERATED) | equal))
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
    empty = events.select(_NEEDED).clear()
    nothing, no_day = pl.lit(None, pl.Int128), pl.lit(None, pl.Date)
    both = pl.concat([empty, empty.rename({n: f"{n}_charge" for n in _NEEDED})], how="horizontal")
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
