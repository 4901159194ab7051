"""The engine reproduces the window features that the Fraud Detection Handbook publishes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from trueup.fraud.features.card_dataset import HANDBOOK_DAYS, card_events, handbook_features
from trueup.fraud.features.feature_engine import history

PUBLISHED = {"customer_count": "CUSTOMER_ID_NB_TX", "customer_mean": "CUSTOMER_ID_AVG_AMOUNT", "terminal_count": "TERMINAL_ID_NB_TX",
          "terminal_risk": "TERMINAL_ID_RISK"}  # fmt: skip
WINDOWS = [(f"{name}_{days}d", f"{published}_{days}DAY_WINDOW") for name, published in PUBLISHED.items() for days in HANDBOOK_DAYS]
SWAPPED = {1_240_489, 1_240_490}
"""Two transactions of one customer in one second: the published table orders them by descending id, the engine by ascending id."""


@pytest.fixture(scope="module")
def compared(fdh: Path) -> pl.DataFrame:
    transactions = pl.read_parquet(fdh / "transactions.parquet")
    computed = history(handbook_features(), card_events(transactions))
    published = pl.read_parquet(fdh / "window_features.parquet").with_columns(pl.col("TRANSACTION_ID").cast(pl.Int64))
    joined = published.join(computed, left_on="TRANSACTION_ID", right_on="event_id", how="left")
    return joined.join(transactions.with_columns(pl.col("TRANSACTION_ID").cast(pl.Int64)), on="TRANSACTION_ID")


@pytest.mark.parametrize(("computed", "published"), WINDOWS)
def test_each_window_equals_the_published_one_except_for_one_pair_within_a_second(compared, computed: str, published: str) -> None:
    # Without transactions in the window, the published risk is 0 and the engine's is missing.
    other = compared.filter((pl.col(computed).fill_null(0) - pl.col(published)).abs() > 1e-9 * pl.col(published).abs().clip(1))
    assert set(other["TRANSACTION_ID"].to_list()) == (SWAPPED if computed.startswith("customer") else set())


def test_the_pair_that_differs_is_one_customer_in_one_second_counted_in_the_other_order(compared: pl.DataFrame) -> None:
    pair = compared.filter(pl.col("TRANSACTION_ID").is_in(SWAPPED)).sort("TRANSACTION_ID")
    assert pair.select("CUSTOMER_ID", "TX_DATETIME").unique().height == 1
    for days in HANDBOOK_DAYS:
        assert (
            pair[f"customer_count_{days}d"].to_list() == pair[f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"].cast(pl.Int64).to_list()[::-1]
        )


def test_weekend_and_night_equal_the_published_ones(compared: pl.DataFrame) -> None:
    assert (compared["weekend"] == compared["TX_DURING_WEEKEND"]).all()
    assert (compared["night"] == compared["TX_DURING_NIGHT"]).all()
