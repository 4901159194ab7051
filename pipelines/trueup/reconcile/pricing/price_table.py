"""Price table: the only place where the kernel requests prices.

Usage is priced before it is matched, and later steps read the price. The fast path reads it by the `row` of a record
(`price_records`, `price_records_flat`). All other steps read it by session and position (`with_prices`).

Two prices depend on a match or on a charge. `with_charged_price` requests the price of the quantity that a pair's charge declares.
`price_charges` requests the price of the quantity of a charge of a period. All requests have the columns that `price_sessions`
takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

from trueup.rating.flat import flat_prices
from trueup.reconcile.domain.tariff_terms import FLAT, Terms, shared_terms
from trueup.reconcile.pricing.allowance_pools import NO_POOLS, Pools
from trueup.reconcile.pricing.session_price import price_sessions
from trueup.reconcile.sessions.grouping import RATED_BY

RECORD_COLUMNS = [
    "position", "time_us", "currency", "service", "quantity_micros", "scope", "subscriber", "peer", *RATED_BY, "event_id"
]  # fmt: skip
"""The columns of a usage record on which its price by the tariff book depends."""
FLAT_COLUMNS = ["position", "currency", "service", "quantity_micros"]
"""The columns of a usage record on which its flat price, and the kind of its difference, depend."""
RULE_COLUMNS = ["price_micros", "price_per", "price_currency"]
"""The columns of a rule on which a price depends."""


@dataclass(frozen=True)
class PriceTable:
    """Prices by the tariff book as known along the log (`terms`), with the allowance pools of all usage (`pools`)."""

    terms: Terms = field(default_factory=lambda: FLAT)
    pools: Pools = field(default_factory=lambda: NO_POOLS)

    def for_groups(self, groups: pl.DataFrame) -> PriceTable:
        """Return the same prices, with pools numbered for the groups (with their names) of another frame."""
        return replace(self, pools=self.pools.for_groups(groups))

    def price_records(self, records: pl.DataFrame) -> pl.Series:
        """Return `expected_micros` of usage records, each a session by itself, from their position on; NULL without a single price.

        A record has its `row`, `RECORD_COLUMNS` and `RULE_COLUMNS`. A record whose price in its pool changes at any position gets
        NULL.
        """
        requests = self.as_requests(records.with_columns(at="position"))
        prices = price_sessions(requests, self.terms, self.pools)["expected_micros"]
        return prices if self.pools.is_empty else prices.set(~self.pools.has_stable_price(requests), None)

    def as_requests(self, records: pl.DataFrame) -> pl.DataFrame:
        """Return usage records (as in `price_records`) with the further columns of a session as of a position `at`."""
        requests = self._build_requests(records, start="time_us")
        if self.pools.is_empty:
            return requests
        return requests.join(self.pools.records.cast({"row": pl.Int64}), on="row", how="left", maintain_order="left")

    @staticmethod
    def price_records_flat(quantities_micros: pl.Series, price_micros: int, price_per: int) -> pl.Series:
        """Return `expected_micros` of usage records at the flat price of their rule, in their currency; NULL without a quantity."""
        return flat_prices(quantities_micros, price_micros, price_per)

    def with_prices(self, sessions: pl.DataFrame) -> pl.DataFrame:
        """Add `pool_session_id`, `expected_micros` and `reason` to sessions, each as of a position `at` with its rule and plan."""
        numbered = sessions.hstack([self.pools.pool_session_of(sessions)])
        return numbered.hstack(price_sessions(numbered, self.terms, self.pools))

    def with_charged_price(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Add `charged_micros`, the price of the charged quantity, to pairs; NULL where there is none.

        `pairs` are priced sessions with `usage_quantity` and `charge_quantity`. Only pairs whose quantities differ are priced
        again.
        """
        same = (pl.col("charge_quantity") == pl.col("usage_quantity")).fill_null(False)
        pairs = pairs.with_columns(same=same)
        if pairs["same"].all():
            return pairs.with_columns(charged_micros="expected_micros").drop("same")
        other = pairs.filter(~pl.col("same"))
        charged = price_sessions(other, self.terms, self.pools, quantity="charge_quantity")["expected_micros"]
        other = other.with_columns(charged_micros=charged)
        return pl.concat([pairs.filter("same").with_columns(charged_micros="expected_micros"), other]).drop("same")

    def price_charges(self, charges: pl.DataFrame) -> pl.Series:
        """Return the price of the quantity of each charge where a tariff prices its service by itself; NULL otherwise.

        A charge has `at`, `aggregation_time_us`, the columns of a record and `RULE_COLUMNS`. The price of a charge in an allowance
        pool depends on the charges before it, so it has none here.
        """
        if charges["price_micros"].null_count() == 0:
            return pl.repeat(None, charges.height, dtype=pl.Int128, eager=True)
        requests = self._build_requests(charges, start="aggregation_time_us")
        prices = price_sessions(requests, self.terms)["expected_micros"]
        is_shared = requests["service"].is_in(shared_terms(self.terms)["service"].implode()).fill_null(False)
        return prices.set(is_shared, None)

    def _build_requests(self, rows: pl.DataFrame, *, start: str) -> pl.DataFrame:
        """Return records or charges as `price_sessions` takes them, with the plan of their subscription as of `at`."""
        requests = rows.with_columns(start_us=start, order="event_id")
        return requests.hstack(self.terms.states_at(requests.select("subscriber", "at", time_us="start_us")))
