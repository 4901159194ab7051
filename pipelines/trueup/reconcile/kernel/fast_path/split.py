"""Fast path: take out pairs matched in time and records without a partner, and decide them in one pass.

Most traffic is one usage record and one charge of one session key that agree. Such a pair without neighbours is pending from its
first record on. When the second record arrives, the pair is tolerated or raises one finding, unless the first record was already
final. A record without any partner or neighbour is pending from its arrival until it is final, and then raises its one finding. The
general steps give the same result; tests compare the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.fast_path.candidates import Candidates
from trueup.reconcile.kernel.fast_path.findings import RAISED, raised_by_pairs, raised_by_unmatched
from trueup.reconcile.kernel.fast_path.pairs import judge_pairs, pairs_in_time
from trueup.reconcile.kernel.fast_path.prices import price_usage
from trueup.reconcile.kernel.fast_path.sums import BOOKED, MONEY, Codes, booked_records, pair_deltas, unmatched_deltas
from trueup.reconcile.kernel.ledger import LEDGER
from trueup.reconcile.pricing.price_table import PriceTable


@dataclass(frozen=True)
class FastPath:
    """The result of the fast path.

    `remaining` are the events that go through all steps. The other fields are about all other events. `ledger_deltas` are their
    ledger rows (position, service, day, currency and sums), and `raised` their findings (`RAISED`). `booked_records` counts their
    records (`BOOKED`). `unmatched` has the row numbers of those without a partner.
    """

    remaining: pl.DataFrame
    ledger_deltas: pl.DataFrame
    raised: pl.DataFrame
    booked_records: pl.DataFrame
    unmatched: pl.Series


def split_fast_path(
    events: pl.DataFrame, frontier: Frontier, prices: PriceTable, *, after: int, upto: int, fast_path: bool = True
) -> FastPath:
    """Split events into those that the fast path books and those that remain; return the findings raised in (after, upto].

    `events` are rows of `EVENTS` with `rule`, `currency` (of the money) and `charge_currency`. The fast path takes only records
    that arrived under the latest policy and after the last change of their terms. A change must be evaluated at all positions.
    Among sessions that share free units or tiers, it takes those whose price never changes.
    """
    if not fast_path or events.is_empty():
        ledger_deltas, raised, booked = (pl.DataFrame(schema=schema) for schema in (LEDGER, RAISED, BOOKED))
        return FastPath(events, ledger_deltas, raised, booked, pl.Series(dtype=pl.Int64))
    candidates = Candidates.of(events, frontier)
    in_time, single = pairs_in_time(candidates, prices.terms), _select_unmatched(candidates, prices.terms)
    unmatched_usage = single.filter(pl.Series(~candidates.is_charge[single["row"].to_numpy()], dtype=pl.Boolean))
    usage = np.concatenate([in_time["row"].to_numpy(), unmatched_usage["row"].to_numpy()])
    expected = price_usage(usage, candidates, prices)
    pairs = judge_pairs(in_time.hstack(expected.head(in_time.height).drop("row")), candidates, prices, after=after)
    unmatched = _with_money(single, expected.slice(in_time.height), candidates)
    remaining = np.ones(events.height, dtype=np.bool_)
    for rows in (*(frame[n] for frame in (pairs.tolerated, pairs.found) for n in ("row", "row_charge")), unmatched["row"]):
        remaining[rows.to_numpy()] = False
    codes = Codes(candidates)
    deltas = [
        pair_deltas(pairs.tolerated, candidates, codes, into="tolerated_micros"),
        pair_deltas(pairs.found, candidates, codes, into="impact_micros"),
        unmatched_deltas(unmatched, candidates, codes, upto=upto),
    ]
    final = unmatched.filter(pl.col("final_at").is_between(after + 1, upto))
    findings = [
        raised_by_pairs(pairs.found.filter(pl.col("at") > after), candidates),
        raised_by_unmatched(final, candidates, prices.terms),
    ]
    return FastPath(
        events.filter(pl.Series(remaining)), pl.concat(deltas), pl.concat(findings),
        booked_records(np.flatnonzero(~remaining), candidates, codes), unmatched["row"],
    )  # fmt: skip


def _select_unmatched(candidates: Candidates, terms: Terms) -> pl.DataFrame:
    """Return the records (`row`) that are the only one of their session, and the position `final_at` from which each is final.

    A record is final on arrival if the other stream had already passed it.
    """
    single = candidates.single
    fits = candidates.under_last[single] & ~candidates.has_neighbour[single] & ~candidates.rule("by_aggregate", single)
    fits &= candidates.column("time_us").is_not_null().to_numpy()[single]
    rows = single[fits]
    rows = rows[~candidates.beyond_horizon(rows)]
    rows = rows[candidates.unchanged(rows, rows, terms)]
    final_at = np.maximum(candidates.other_passed_at(rows), candidates.position[rows])
    return pl.DataFrame({"row": rows, "final_at": final_at}, schema={"row": pl.Int64, "final_at": pl.Int64})


def _with_money(unmatched: pl.DataFrame, expected: pl.DataFrame, candidates: Candidates) -> pl.DataFrame:
    """Return unmatched records (`row`, `final_at`) with the `MONEY` of both sides; usage without a price is left out."""
    charges = unmatched.join(expected, on="row", how="anti", maintain_order="left")
    zero, billed = pl.lit(0, pl.Int128), candidates.columns_of(charges["row"].to_numpy(), ["amount_micros"])["amount_micros"]
    priced = [
        unmatched.join(expected.drop_nulls("expected_micros"), on="row", maintain_order="left").with_columns(billed_micros=zero),
        charges.with_columns(expected_micros=zero, billed_micros=billed.cast(pl.Int128)),
    ]
    return pl.concat([frame.select("row", "final_at", *MONEY) for frame in priced])
