"""Fast path: takes out matched pairs that agree and unmatched records still within grace.

Most traffic is one usage record and one charge of one session key that agree. Such a pair without neighbours is pending when
its first record arrives and tolerated when its second does, unless the first had become final before. A record without any
partner or neighbour is pending from its arrival until it is final. All steps together give the same result, and tests compare the
two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.fast_path.candidates import Candidates
from trueup.reconcile.kernel.fast_path.pairs import agreeing_pairs, pairs_in_time
from trueup.reconcile.kernel.fast_path.prices import price_usage
from trueup.reconcile.kernel.fast_path.sums import BOOKED, MONEY, Codes, booked_records, pair_deltas, unmatched_deltas
from trueup.reconcile.kernel.ledger import LEDGER
from trueup.reconcile.pricing.price_table import PriceTable


@dataclass(frozen=True)
class FastPath:
    """The result of the fast path.

    `remaining` are the events that go through all steps. `ledger_deltas` are the ledger rows (position, service, day,
    currency and sums) of all others. `booked_records` are their records, added up as `BOOKED`. `unmatched` are the row numbers
    of the unmatched among them.
    """

    remaining: pl.DataFrame
    ledger_deltas: pl.DataFrame
    booked_records: pl.DataFrame
    unmatched: pl.Series


def split_fast_path(events: pl.DataFrame, frontier: Frontier, prices: PriceTable, *, upto: int, fast_path: bool = True) -> FastPath:
    """Split events into those that the fast path books and those that remain.

    `events` are rows of `EVENTS` with `rule`, `currency` (of the money) and `charge_currency`. The fast path takes only records
    that arrived under the policy in force last, after the last change of their terms. A change needs all positions evaluated.
    Of sessions that share free units or tiers it takes those whose price never changes.
    """
    if not fast_path or events.is_empty():
        return FastPath(events, pl.DataFrame(schema=LEDGER), pl.DataFrame(schema=BOOKED), pl.Series(dtype=pl.Int64))
    candidates = Candidates.of(events, frontier)
    in_time, in_grace = pairs_in_time(candidates, prices.terms), _unmatched_in_grace(candidates, prices.terms, upto)
    unmatched_usage = in_grace.filter(pl.Series(~candidates.is_charge[in_grace["row"].to_numpy()], dtype=pl.Boolean))
    usage = np.concatenate([in_time["row"].to_numpy(), unmatched_usage["row"].to_numpy()])
    expected = price_usage(usage, candidates, prices)
    pairs = agreeing_pairs(in_time.hstack(expected.head(in_time.height).drop("row")), candidates, prices)
    unmatched = _with_money(in_grace, expected.slice(in_time.height), candidates)
    remaining = np.ones(events.height, dtype=np.bool_)
    for rows in (pairs["row"], pairs["row_charge"], unmatched["row"]):
        remaining[rows.to_numpy()] = False
    codes = Codes(candidates)
    deltas = [pair_deltas(pairs, candidates, codes), unmatched_deltas(unmatched, candidates, codes)]
    return FastPath(
        events.filter(pl.Series(remaining)), pl.concat(deltas), booked_records(np.flatnonzero(~remaining), candidates, codes),
        unmatched["row"],
    )  # fmt: skip


def _unmatched_in_grace(candidates: Candidates, terms: Terms, upto: int) -> pl.DataFrame:
    """Return the records (`row`) that are the only one of their session and that the other stream has not passed yet."""
    single = candidates.single
    fits = candidates.under_last[single] & ~candidates.has_neighbour[single] & ~candidates.rule("by_aggregate", single)
    fits &= candidates.column("time_us").is_not_null().to_numpy()[single]
    rows = single[fits]
    rows = rows[(candidates.other_passed_at(rows) > upto) & ~candidates.beyond_horizon(rows)]
    return pl.DataFrame({"row": rows[candidates.unchanged(rows, rows, terms)]}).cast(pl.Int64)


def _with_money(unmatched: pl.DataFrame, expected: pl.DataFrame, candidates: Candidates) -> pl.DataFrame:
    """Return unmatched records (`row`) with the `MONEY` of both sides while pending; usage without a price is left out."""
    charges = unmatched.join(expected, on="row", how="anti", maintain_order="left")
    zero, billed = pl.lit(0, pl.Int128), candidates.columns_of(charges["row"].to_numpy(), ["amount_micros"])["amount_micros"]
    priced = [
        expected.drop_nulls("expected_micros").with_columns(billed_micros=zero),
        charges.with_columns(expected_micros=zero, billed_micros=billed.cast(pl.Int128)),
    ]
    return pl.concat([frame.select("row", *MONEY) for frame in priced])
