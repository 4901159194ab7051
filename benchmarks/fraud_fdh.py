"""Compare card fraud detection with a published table on the Fraud Detection Handbook's simulated transactions.

    FDH_DATA=FOLDER python benchmarks/fraud_fdh.py

Protocol. Test days are 2018-08-08 to 08-14. As published, a test day excludes customers with a fraud from 07-25 up to eight days
before it. Features and training use a label from seven days after its transaction, never sooner. AUC and AP are over the test
transactions. CP@100 is the mean over days of the precision among the 100 top-ranked customers; caught customers leave later days.

(a) The twelve published window features, computed by the engine. (b) The published features and settings: seven days of training,
the exact tree method, base score 0.5. (c) Own features, and every label known by the first test day. Settings are tuned on
07-25 to 07-31, with training up to 07-17; the test days are scored once, in the last lines.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import xgboost as xgb

from trueup.fraud.features.card_dataset import HANDBOOK_DAYS, card_events, card_facts, handbook_features, own_features
from trueup.fraud.features.feature_engine import history
from trueup.fraud.training.metrics import auc_roc, average_precision, party_precision

TEST, TUNING, WEEK = date(2018, 8, 8), date(2018, 7, 25), timedelta(days=7)
TRAIN_FROM = date(2018, 5, 10)
"""The first training day; windows of earlier days are not yet full."""
PUBLISHED = {"objective": "binary:logistic", "tree_method": "exact", "base_score": 0.5, "seed": 0, "nthread": 2}
OWN = {
    "objective": "binary:logistic", "tree_method": "hist", "max_depth": 5, "eta": 0.06, "subsample": 0.8, "colsample_bytree": 0.5,
    "min_child_weight": 5, "reg_lambda": 5, "seed": 0, "nthread": 2,
}  # fmt: skip
OWN_ROUNDS = 250
ONE_IN = 4
"""Training takes one honest transaction in so many, with that number as its weight, and every fraud."""


@dataclass
class CardData:
    """Transactions in one order: customer and day, whether a fraud, and the features by name."""

    rows: pl.DataFrame
    fraud: np.ndarray
    values: dict[str, np.ndarray]

    def days(self, first: date, last: date) -> np.ndarray:
        return self.rows["day"].is_between(first, last).to_numpy()

    def matrix(self, names: list[str], at: np.ndarray) -> np.ndarray:
        return np.column_stack([self.values[n][at] for n in names])


def test_rows(data: CardData, first: date) -> np.ndarray:
    """Return the rows of seven test days without customers whose fraud is already known, as the handbook does."""
    train = first - 2 * WEEK
    frauds = data.rows.filter("fraud")
    known = set(frauds.filter(pl.col("day").is_between(train, train + timedelta(days=6)))["customer"])
    rows = []
    for n in range(7):
        day = first + timedelta(days=n)
        known |= set(frauds.filter(pl.col("day") == day - timedelta(days=8))["customer"])
        of_day = data.rows.filter((pl.col("day") == day) & ~pl.col("customer").is_in(list(known)))
        rows.append(of_day["row"].to_numpy())
    return np.concatenate(rows)


def train(data: CardData, names: list[str], days: tuple[date, date], settings: dict, rounds: int, one_in: int = 1) -> xgb.Booster:
    ids = data.rows["event_id"].to_numpy()
    at = np.flatnonzero(data.days(*days) & (data.fraud | (ids % one_in == 0)))
    weight = np.where(data.fraud[at], 1.0, one_in)
    return xgb.train(settings, xgb.DMatrix(data.matrix(names, at), data.fraud[at], weight=weight), rounds)


def evaluate(data: CardData, model: xgb.Booster, names: list[str], at: np.ndarray) -> tuple[float, float, float]:
    score = model.predict(xgb.DMatrix(data.matrix(names, at))).astype(np.float64)
    scored = data.rows[at].select("day", party="customer", fraud="fraud").with_columns(score=pl.Series(score))
    return auc_roc(data.fraud[at], score), average_precision(data.fraud[at], score), party_precision(scored, budget=100)


def print_metrics(label: str, metrics: tuple[float, float, float], seconds: float) -> None:
    print(f"{label:<64} AUC {metrics[0]:.3f}  AP {metrics[1]:.3f}  CP@100 {metrics[2]:.3f}   ({seconds:.0f} s)", flush=True)


def windows(folder: Path, handbook: pl.DataFrame) -> None:
    """Print step (a): how many rows differ from each published window feature."""
    published_rows = pl.read_parquet(folder / "window_features.parquet").with_columns(pl.col("TRANSACTION_ID").cast(pl.Int64))
    joined = published_rows.join(handbook, left_on="TRANSACTION_ID", right_on="event_id")
    names = {
        "customer_count": "CUSTOMER_ID_NB_TX", "customer_mean": "CUSTOMER_ID_AVG_AMOUNT", "terminal_count": "TERMINAL_ID_NB_TX",
        "terminal_risk": "TERMINAL_ID_RISK",
    }  # fmt: skip
    print(f"(a) {joined.height} rows; rows that differ, by published feature:")
    for own_name, published in names.items():
        for days in HANDBOOK_DAYS:
            own, other = pl.col(f"{own_name}_{days}d").fill_null(0), pl.col(f"{published}_{days}DAY_WINDOW")
            rows = joined.filter((own - other).abs() > 1e-9 * other.abs().clip(1))["TRANSACTION_ID"].to_list()
            note = "  one customer twice in one second; the published order differs from that of the ids" if rows else ""
            print(f"    {published}_{days}DAY_WINDOW: {len(rows)} {rows or ''}{note}")


def card_data(transactions: pl.DataFrame, handbook: pl.DataFrame, own: pl.DataFrame) -> CardData:
    rows = transactions.select(
        event_id=pl.col("TRANSACTION_ID").cast(pl.Int64), customer="CUSTOMER_ID", day=pl.col("TX_DATETIME").dt.date(),
        fraud=pl.col("TX_FRAUD") == 1,
    ).with_row_index("row")  # fmt: skip
    assert rows["event_id"].equals(handbook["event_id"]) and rows["event_id"].equals(own["event_id"])
    values = {n: handbook[n].cast(pl.Float32).to_numpy() for n in handbook.columns[1:]}
    values |= {f"own {n}": own[n].cast(pl.Float32).to_numpy() for n in own.columns[1:]}
    return CardData(rows, rows["fraud"].to_numpy(), values)


def main() -> None:
    if "FDH_DATA" not in os.environ:
        sys.exit("set FDH_DATA to the folder of the handbook's transactions.parquet and window_features.parquet")
    folder = Path(os.environ["FDH_DATA"])
    transactions = pl.read_parquet(folder / "transactions.parquet")
    begun = time.perf_counter()
    events = card_events(transactions)
    handbook = history(handbook_features(), events)
    windows(folder, handbook)
    own = history(own_features(), card_facts(events))
    print(f"    features of {transactions.height} transactions: {time.perf_counter() - begun:.0f} s")
    data = card_data(transactions, handbook, own)

    published = list(handbook.columns[1:])
    # The published table counts a risk over no transaction as 0.
    plain = CardData(data.rows, data.fraud, {n: np.nan_to_num(data.values[n], nan=0.0) for n in published})
    begun = time.perf_counter()
    model = train(plain, published, (TEST - 2 * WEEK, TEST - WEEK - timedelta(days=1)), PUBLISHED, 100)
    print_metrics(
        "(b) published settings; published: AUC .862, AP .639, CP@100 .273",
        evaluate(plain, model, published, test_rows(data, TEST)),
         time.perf_counter() - begun)  # fmt: skip

    own_names = [n for n in data.values if n.startswith("own ")]
    terminal = [*published, *(n for n in own_names if n.startswith(("own terminal_", "own odd_", "own honest_")))]
    print("(c) on the days tuned on, 07-25 to 07-31:")
    known = TUNING - WEEK - timedelta(days=1)
    steps = (
        ("published features, seven days of training", published, TUNING - 2 * WEEK, PUBLISHED | {"tree_method": "hist"}, 100, 1),
        ("+ all labels known, other settings", published, TRAIN_FROM, OWN, OWN_ROUNDS, ONE_IN),
        ("+ terminals: known frauds not explained by the amount, honest ones since", terminal, TRAIN_FROM, OWN, OWN_ROUNDS, ONE_IN),
        ("+ customers: amounts relative to their usual ones; all own", own_names, TRAIN_FROM, OWN, OWN_ROUNDS, ONE_IN),
    )
    at = test_rows(data, TUNING)
    for label, names, first, settings, rounds, one_in in steps:
        begun = time.perf_counter()
        model = train(data, names, (first, known), settings, rounds, one_in)
        print_metrics(f"    {label}", evaluate(data, model, names, at), time.perf_counter() - begun)
    begun = time.perf_counter()
    model = train(data, own_names, (TRAIN_FROM, TEST - WEEK - timedelta(days=1)), OWN, OWN_ROUNDS, ONE_IN)
    metrics = evaluate(data, model, own_names, test_rows(data, TEST))
    print_metrics("(c) the test days, once", metrics, time.perf_counter() - begun)
    perfect = data.rows[test_rows(data, TEST)].select(
        "day", party="customer", fraud="fraud", score=pl.col("fraud").cast(pl.Float64)
    )
    print(f"    a perfect ranker has CP@100 {party_precision(perfect, budget=100):.3f}")


if __name__ == "__main__":
    main()
