"""The engine against windows that somebody else computed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from trueup.fraud.features.card_dataset import HANDBOOK_DAYS, card_events, handbook_features
from trueup.fraud.features.feature_engine import history

THEIRS = {"customer_count": "CUSTOMER_ID_NB_TX", "customer_mean": "CUSTOMER_ID_AVG_AMOUNT", "terminal_count": "TERMINAL_ID_NB_TX",
          "terminal_risk": "TERMINAL_ID_RISK"}  # fmt: skip
WINDOWS = [(f"{name}_{days}d", f"{theirs}_{days}DAY_WINDOW") for name, theirs in THEIRS.items() for days in HANDBOOK_DAYS]
SWAPPED = {1_240_489, 1_240_490}
"""Two transactions of one customer in one second. The published table numbers them against their ids, ours by id."""


@pytest.fixture(scope="module")
def both(fdh: Path) -> pl.DataFrame:
    transactions = pl.read_parquet(fdh / "transactions.parquet")
    ours = history(handbook_features(), card_events(transactions))
    theirs = pl.read_parquet(fdh / "window_features.parquet").with_columns(pl.col("TRANSACTION_ID").cast(pl.Int64))
    joined = theirs.join(ours, left_on="TRANSACTION_ID", right_on="event_id", how="left")
    return joined.join(transactions.with_columns(pl.col("TRANSACTION_ID").cast(pl.Int64)), on="TRANSACTION_ID")


@pytest.mark.parametrize(("ours", "theirs"), WINDOWS)
def test_each_published_window_comes_out_the_same_but_for_one_pair_within_a_second(both, ours: str, theirs: str) -> None:
    # No transactions in the window: they say a risk of 0, we say that there is none to tell.
    other = both.filter((pl.col(ours).fill_null(0) - pl.col(theirs)).abs() > 1e-9 * pl.col(theirs).abs().clip(1))
    assert set(other["TRANSACTION_ID"].to_list()) == (SWAPPED if ours.startswith("customer") else set())


def test_the_pair_that_differs_is_one_customer_in_one_second_counted_in_the_other_order(both: pl.DataFrame) -> None:
    pair = both.filter(pl.col("TRANSACTION_ID").is_in(SWAPPED)).sort("TRANSACTION_ID")
    assert pair.select("CUSTOMER_ID", "TX_DATETIME").unique().height == 1
    for days in HANDBOOK_DAYS:
        assert (
            pair[f"customer_count_{days}d"].to_list() == pair[f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"].cast(pl.Int64).to_list()[::-1]
        )


def test_weekend_and_night_are_those_published(both: pl.DataFrame) -> None:
    assert (both["weekend"] == both["TX_DURING_WEEKEND"]).all()
    assert (both["night"] == both["TX_DURING_NIGHT"]).all()
