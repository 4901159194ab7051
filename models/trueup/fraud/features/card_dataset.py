"""Read card transactions: customers at terminals, amounts in cents, and a fraud label known after a delay.

The feature engine depends only on entities and windows. This module shows what a domain other than telephony must supply.
"""

from __future__ import annotations

import polars as pl

from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.feature_spec import Feature, FeatureSet, ratio

DAY_US = 86_400_000_000
CUSTOMER, TERMINAL, PAIR = ("customer",), ("terminal",), ("customer", "terminal")
HANDBOOK_DAYS = (1, 7, 30)


def card_events(transactions: pl.DataFrame, *, label_delay_us: int = 7 * DAY_US) -> pl.DataFrame:
    """Return two events per transaction of the Fraud Detection Handbook: the transaction, and its label when it becomes known."""
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
    # The label is unknown at the time of the transaction.
    return pl.concat([events.with_columns(fraud=pl.lit(None, pl.Int64)), labels])


def handbook_features() -> FeatureSet:
    """Return the handbook's own features: amount, weekend, night, and twelve windows."""
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


def card_facts(events: pl.DataFrame, *, label_delay_us: int = 7 * DAY_US) -> pl.DataFrame:
    """Add two facts: whether an amount is unusual for the customer, and whether it explains a known fraud.

    An amount is `unusual` when it is far above the mean of the customer's earlier amounts. A known fraud is `odd` when neither a
    high amount nor unusual amounts of the customer explain it. The likely cause is then the terminal.
    """
    mean = FeatureSet(
        (),
        (
            Feature("count", CUSTOMER, 120 * DAY_US, "count"),
            Feature("cents", CUSTOMER, 120 * DAY_US, "sum", "plain_cents"),
            Feature("plain", CUSTOMER, 120 * DAY_US, "count", where="plain"),
        ),
    )
    plain = events.with_columns(plain_cents=pl.col("cents"), plain=pl.lit(value=True))
    # Leave out the unusual amounts of the first pass, because they would raise the mean with which they are compared.
    for _ in range(2):
        usual = history(mean, plain)
        compared = events.filter(~pl.col("is_label")).select("event_id", own="cents").join(usual, on="event_id")
        own_plain = plain.filter(~pl.col("is_label")).select("event_id", own_plain="plain")
        compared = compared.join(own_plain, on="event_id").with_columns(
            before=pl.col("plain") - pl.col("own_plain").cast(pl.Int64),
            sum_before=pl.col("cents") - pl.when("own_plain").then("own").otherwise(0),
        )
        times_1000 = pl.when(pl.col("sum_before") > 0).then(1_000 * pl.col("own") * pl.col("before") // pl.col("sum_before"))
        compared = compared.select("event_id", times_1000=times_1000, unusual=(times_1000 > 2_600).fill_null(value=False))
        plain = events.join(compared, on="event_id", how="left", maintain_order="left")
        plain = plain.with_columns(plain=~pl.col("unusual"), plain_cents=pl.when(~pl.col("unusual")).then("cents"))
    return plain.join(_count_suspicions(plain, label_delay_us), on="event_id", how="left", maintain_order="left").with_columns(
        honest=pl.col("fraud") == 0,
        odd=(pl.col("fraud") == 1) & (pl.col("cents") <= 22_000) & (pl.col("suspected") == 0),
        usual_cents=pl.when(~pl.col("unusual")).then("cents"),
    )


def _count_suspicions(events: pl.DataFrame, label_delay_us: int) -> pl.DataFrame:
    """Count, per transaction, the customer's unusual amounts from 14 days before it until its label was known."""
    seen = events.filter(~pl.col("is_label"))
    probes = seen.with_columns(
        event_id=-1 - pl.col("event_id"), at_us=pl.col("at_us") + label_delay_us, unusual=pl.lit(None, pl.Boolean)
    )
    count = Feature("suspected", CUSTOMER, 14 * DAY_US + label_delay_us, "count", where="unusual")
    counts = history(FeatureSet((), (count,)), pl.concat([seen, probes]))
    return counts.filter(pl.col("event_id") < 0).with_columns(event_id=-1 - pl.col("event_id"))


def own_features() -> FeatureSet:
    """Return the features over the facts of `card_facts`, which go beyond the handbook's features."""
    features: list[Feature] = []
    for days in (1, 7, 14, 30, 90):
        window = days * DAY_US
        features += [
            Feature(f"customer_count_{days}d", CUSTOMER, window, "count"),
            Feature(f"customer_unusual_{days}d", CUSTOMER, window, "count", where="unusual"),
        ]
    features += [
        Feature("customer_cents_90d", CUSTOMER, 90 * DAY_US, "sum", "usual_cents"),
        Feature("customer_usual_90d", CUSTOMER, 90 * DAY_US, "count", where="plain"),
        Feature("customer_cents_3d", CUSTOMER, 3 * DAY_US, "sum", "cents"),
        Feature("customer_count_3d", CUSTOMER, 3 * DAY_US, "count"),
        Feature("customer_most_usual_90d", CUSTOMER, 90 * DAY_US, "max", "usual_cents"),
        Feature("customer_most_times_7d", CUSTOMER, 7 * DAY_US, "max", "times_1000"),
        Feature("customer_since_unusual", CUSTOMER, 30 * DAY_US, "since_last", where="unusual"),
        Feature("customer_since_first_unusual", CUSTOMER, 20 * DAY_US, "since_first", where="unusual"),
        Feature("customer_known_frauds_14d", CUSTOMER, 14 * DAY_US, "sum", "fraud", track="label"),
        Feature("customer_known_frauds_60d", CUSTOMER, 60 * DAY_US, "sum", "fraud", track="label"),
        Feature("customer_terminals_30d", CUSTOMER, 30 * DAY_US, "distinct", "terminal"),
        Feature("pair_count_90d", PAIR, 90 * DAY_US, "count"),
    ]
    for days in (1, 3, 7, 14, 21, 28):
        window = days * DAY_US
        features += [
            Feature(f"terminal_odd_{days}d", TERMINAL, window, "count", where="odd", track="label"),
            Feature(f"terminal_honest_{days}d", TERMINAL, window, "count", where="honest", track="label"),
        ]
    features += [
        Feature("terminal_since_odd", TERMINAL, 60 * DAY_US, "since_last", where="odd", track="label"),
        Feature("terminal_since_first_odd", TERMINAL, 28 * DAY_US, "since_first", where="odd", track="label"),
        Feature("terminal_since_honest", TERMINAL, 60 * DAY_US, "since_last", where="honest", track="label"),
        Feature("terminal_unusual_7d", TERMINAL, 7 * DAY_US, "count", where="unusual"),
        Feature("terminal_count_7d", TERMINAL, 7 * DAY_US, "count"),
    ]
    ratios = [
        ratio("times_usual", {"cents": 1}, {"customer_cents_90d": 1}),
        ratio("usual_mean", {"customer_cents_90d": 1}, {"customer_usual_90d": 100}),
        ratio("mean_3d", {"customer_cents_3d": 1}, {"customer_count_3d": 100}),
        ratio("over_most_usual", "cents", "customer_most_usual_90d"),
        ratio("honest_since_odd", {"terminal_since_odd": 1, "terminal_since_honest": -1}),
        *(ratio(f"odd_share_{d}d", (odd := f"terminal_odd_{d}d"), {odd: 1, f"terminal_honest_{d}d": 1}) for d in (3, 14, 28)),
    ]
    hidden = frozenset({"customer_cents_90d", "customer_usual_90d", "customer_cents_3d"})
    own = ("cents", "times_1000", "second_of_day", "weekend")
    return FeatureSet(own, tuple(features), tuple(ratios), hidden=hidden)
