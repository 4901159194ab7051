"""Card transactions as input: customers at terminals, with an amount in cents and a fraud label known after a delay.

The engine knows entities and windows and no trade; this is what it takes to hand it another one than telephony.
"""

from __future__ import annotations

import polars as pl

from trueup.fraud.declare import Feature, FeatureSet, ratio

DAY_US = 86_400_000_000
CUSTOMER, TERMINAL, PAIR = ("customer",), ("terminal",), ("customer", "terminal")
HANDBOOK_DAYS = (1, 7, 30)


def card_events(transactions: pl.DataFrame, *, label_delay_us: int = 7 * DAY_US) -> pl.DataFrame:
    """Events of the Fraud Detection Handbook's transactions: each once as it happens, and once as its label becomes known."""
    when = pl.col("TX_DATETIME")
    events = transactions.select(
        event_id=pl.col("TRANSACTION_ID").cast(pl.Int64),
        at_us=when.cast(pl.Datetime("us")).cast(pl.Int64),
        position=pl.lit(1, pl.Int64),
        is_label=pl.lit(value=False),
        customer=pl.col("CUSTOMER_ID").cast(pl.Int64),
        terminal=pl.col("TERMINAL_ID").cast(pl.Int64),
        cents=(pl.col("TX_AMOUNT") * 100).round().cast(pl.Int64),
        hour=when.dt.hour().cast(pl.Int64),
        second_of_day=(when.dt.hour().cast(pl.Int64) * 3_600 + when.dt.minute().cast(pl.Int64) * 60 + when.dt.second()),
        weekend=(when.dt.weekday() >= 6).cast(pl.Int64),
        night=(when.dt.hour() <= 6).cast(pl.Int64),
        fraud=pl.col("TX_FRAUD").cast(pl.Int64),
    )
    labels = events.with_columns(at_us=pl.col("at_us") + label_delay_us, position=pl.lit(0, pl.Int64), is_label=pl.lit(value=True))
    # What is known of a transaction when it happens is not whether it is a fraud.
    return pl.concat([events.with_columns(fraud=pl.lit(None, pl.Int64)), labels])


def handbook_features() -> FeatureSet:
    """The handbook's own features: amount, weekend, night, and twelve windows."""
    features, ratios, sums = [], [], []
    for days in HANDBOOK_DAYS:
        window = days * DAY_US
        features += [
            Feature(f"customer_count_{days}d", CUSTOMER, window, "count"),
            Feature(f"customer_cents_{days}d", CUSTOMER, window, "sum", "cents"),
            Feature(f"terminal_count_{days}d", TERMINAL, window, "count", track="label"),
            Feature(f"terminal_frauds_{days}d", TERMINAL, window, "sum", "fraud", track="label"),
        ]
        ratios += [
            ratio(f"customer_mean_{days}d", f"customer_cents_{days}d", {f"customer_count_{days}d": 100}),
            ratio(f"terminal_risk_{days}d", f"terminal_frauds_{days}d", f"terminal_count_{days}d"),
        ]
        sums += [f"customer_cents_{days}d", f"terminal_frauds_{days}d"]
    return FeatureSet(("cents", "weekend", "night"), tuple(features), tuple(ratios), hidden=frozenset(sums))
