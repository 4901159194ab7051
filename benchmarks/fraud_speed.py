"""Measure features and scores per second against XGBoost alone, and check that all ways of computing them agree.

    python benchmarks/fraud_speed.py [TRANSACTIONS]

Synthetic usage records of a large operator. The model is trained on the first tenth with invented labels; only its size matters.
`inplace_predict` alone gets the finished matrix, without the cost of features. The printed digests are of features over history,
of features computed in partitions, and of features computed in batches with carried state.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import polars as pl
import xgboost as xgb

from trueup.config import FraudConfig
from trueup.fraud.features.feature_engine import history, in_partitions
from trueup.fraud.features.telecom import telecom_features, transactions
from trueup.fraud.features.window_state import State, advance
from trueup.fraud.scoring.digest import features_digest
from trueup.fraud.scoring.model import THREADS, matrix
from trueup.fraud.scoring.model_score import margins_of

T = TypeVar("T")
BATCHES = 10
DAY_US = 86_400_000_000
CONFIG = FraudConfig(home_prefixes=("+999",), premium_prefixes=("+999900",))


def usage(count: int) -> pl.DataFrame:
    """Return a week of an operator: calls, messages, data and incoming calls, unevenly spread over the numbers."""
    rng = np.random.default_rng(7)
    people = max(100, count // 40)
    who = (rng.random(count) ** 2 * people).astype(np.int64)
    peer = (rng.random(count) ** 2 * people * 3).astype(np.int64)
    service = rng.choice(4, count, p=[0.3, 0.2, 0.35, 0.15])
    at = np.sort(rng.integers(0, 7 * DAY_US, count)) + 19_800 * DAY_US
    frame = pl.DataFrame({"event": np.arange(count), "who": who, "peer": peer, "at": at, "service": service,
                          "quantity": rng.integers(0, 900, count) * 1_000_000, "cell": rng.integers(0, 500, count)})  # fmt: skip
    return frame.select(
        event_id=pl.col("event"),
        bucket=pl.lit(0, pl.Int16),
        subscriber=pl.lit("+99970") + pl.col("who").cast(pl.String).str.zfill(7),
        peer=pl.when(pl.col("service") != 2).then(pl.lit("+99960") + pl.col("peer").cast(pl.String).str.zfill(7)),
        service=pl.col("service").replace_strict([0, 1, 2, 3], ["voice", "sms", "data", "incoming"], return_dtype=pl.String),
        direction=pl.lit(None, pl.String),
        node=pl.lit("N"),
        cell=pl.lit("C") + pl.col("cell").cast(pl.String),
        started_at=pl.col("at").cast(pl.Datetime("us", "UTC")),
        quantity_micros=pl.col("quantity"),
        attributes=pl.lit(None, pl.String),
        position=pl.col("event") * BATCHES // count + 1,
        day=pl.col("at").cast(pl.Datetime("us", "UTC")).dt.date(),
    )


def timed(run: Callable[[], T]) -> tuple[T, np.ndarray]:
    """Return a result with its elapsed and CPU seconds; CPU seconds are more stable on a shared machine."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, np.array([time.perf_counter() - wall, time.process_time() - cpu])


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    declared, records = telecom_features(), usage(count)
    events, facts_s = timed(lambda: transactions(records, CONFIG))
    features, features_s = timed(lambda: history(declared, events))
    values = matrix(features, declared.names)
    training_values = values[: count // 10]
    label = np.nan_to_num(training_values[:, declared.names.index("sub_called_24h")]) > 6
    settings = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 5, "nthread": THREADS, "seed": 0}
    booster = xgb.train(settings, xgb.DMatrix(training_values, label), 100)
    alone, alone_s = timed(lambda: booster.inplace_predict(values, predict_type="margin"))
    margins, scored_s = timed(lambda: margins_of(booster, features, declared.names))
    assert np.array_equal(margins, alone.astype(np.float64)), "the score of a row depends on another row"
    total_s = facts_s + features_s + scored_s
    print(f"{count} transactions, {len(declared.names)} features, 100 trees of depth 5, {THREADS} threads")
    parts_s = {
        "facts": facts_s, "windows": features_s, "matrix and score": scored_s, "XGBoost inplace_predict alone": alone_s,
        "features + score": total_s,
    }  # fmt: skip
    for step, (wall, cpu) in parts_s.items():
        print(f"{step:<32} {wall:8.2f} s ({cpu:.2f} s of CPU)  {count / wall:>12,.0f} transactions/s")
    print(
        f"features + score reach {alone_s[0] / total_s[0]:.2f} of inplace_predict alone ({alone_s[1] / total_s[1]:.2f} by CPU time)"
    )

    digest = features_digest(features)
    print(f"history      {digest}")
    parts = features_digest(in_partitions(declared, events, 4))
    print(f"partitions   {parts}")
    state, parts_found = State.of(declared, events.clear()), []
    for position in range(1, BATCHES + 1):
        part, state = advance(declared, state, events.filter(pl.col("position") == position), lateness_us=DAY_US)
        parts_found.append(part)
    steps = features_digest(pl.concat(parts_found))
    print(f"step by step {steps}")
    # The continuous job has a state for each kind of entity, with the columns that its windows need.
    state_bytes = sum(len(State.of(of_entity, events).pack()) for of_entity in declared.per_entity)
    print(f"the state of the continuous job has {state_bytes / count:.0f} bytes for each transaction in reach of its windows")
    if len({digest, parts, steps}) > 1:
        sys.exit("the digests differ")


if __name__ == "__main__":
    main()
