"""A small set of card payments with a fraud on every third day, computed by arithmetic alone."""

from __future__ import annotations

import polars as pl

from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.feature_spec import Feature, FeatureSet, ratio
from trueup.fraud.training.folds import Table, table_of
from trueup.fraud.training.train import DAY_US, Settings

DECLARED = FeatureSet(
    ("cents",),
    (
        Feature("sub_outgoing_24h", ("customer",), DAY_US, "count"),
        Feature("spent", ("customer",), 7 * DAY_US, "sum", "cents"),
    ),
    (ratio("mean", "spent", "sub_outgoing_24h"),),
)
SETTINGS = Settings(alerts_per_day=2, label_delay_us=DAY_US, trials=2)


def payments(days: int = 40) -> pl.DataFrame:
    """Return payments of ten customers, three a day each; on every third day one has five large fraudulent ones."""
    rows = []
    for day in range(days):
        for customer in range(10):
            for n in range(3):
                number = (day * 10 + customer) * 3 + n
                rows.append((day * DAY_US + n * 3_600_000_000 + customer, customer, 1_000 + number * 7919 % 4_000, False))
        if day % 3 == 2:
            rows += [(day * DAY_US + 40_000_000_000 + n, day * 7 % 10, 20_000 + n * 1_000, True) for n in range(5)]
    frame = pl.DataFrame(
        rows, schema={"at_us": pl.Int64, "customer": pl.Int64, "cents": pl.Int64, "fraud": pl.Boolean}, orient="row"
    )
    return frame.sort("at_us").with_row_index("event_id").with_columns(
        pl.col("event_id").cast(pl.Int64), position=pl.lit(1, pl.Int64), is_label=pl.lit(value=False)
    )  # fmt: skip


def rows_of(events: pl.DataFrame) -> pl.DataFrame:
    return events.select(
        "event_id",
        "at_us",
        "fraud",
        decided_us=pl.when("fraud").then(pl.col("at_us") + DAY_US),
        honest_us=pl.col("at_us") + DAY_US,
        day=pl.from_epoch("at_us", "us").dt.date(),
        party="customer",
    )


def table(days: int = 40) -> Table:
    events = payments(days)
    return table_of(DECLARED, history(DECLARED, events), rows_of(events))
