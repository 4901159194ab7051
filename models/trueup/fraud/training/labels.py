"""Derive labels: whether a transaction was fraud, and since when that is known.

A transaction without a decision by the label delay counts as honest.
"""

from __future__ import annotations

import polars as pl

from trueup.reconcile.domain.decision_kinds import FRAUD_LABELS

LABELS = {"event_id": pl.Binary(), "known_us": pl.Int64(), "fraud": pl.Int64()}


def labels_of_decisions(decisions: pl.DataFrame) -> pl.DataFrame:
    """Return a label per decided transaction: its first decision on fraud (`event_id`, `decision`, `decided_at`), and the time.

    Features use the first decision from its time on, even where a later one revokes it; training uses `latest_decision`.
    """
    return _labels(decisions).unique("event_id", keep="first", maintain_order=True).sort("event_id")


def latest_decision(decisions: pl.DataFrame, *, upto_us: int) -> pl.DataFrame:
    """Return the last label of each transaction as of an instant."""
    labels = _labels(decisions).filter(pl.col("known_us") <= upto_us)
    return labels.unique("event_id", keep="last", maintain_order=True).sort("event_id")


def _labels(decisions: pl.DataFrame) -> pl.DataFrame:
    fraud = pl.col("decision").replace_strict(FRAUD_LABELS, default=None, return_dtype=pl.Int64)
    labels = decisions.select("event_id", known_us=pl.col("decided_at").cast(pl.Int64), fraud=fraud)
    return labels.drop_nulls("fraud").sort("known_us", "event_id", "fraud").cast(LABELS)  # type: ignore[arg-type]


def labels_of_truth(truth: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Return labels from a simulated truth: every record of every fraud case, from when the case can be known.

    `truth` has the columns of `truth.parquet`; `keys` are `record_key` and `event_id` of usage records.
    """
    frauds = truth.filter(pl.col("category") == "fraud").select("knowable_at", record_key="usage_record_keys")
    records = frauds.explode("record_key", empty_as_null=False, keep_nulls=False).join(keys, on="record_key", how="inner")
    labels = records.select("event_id", known_us=pl.col("knowable_at").cast(pl.Int64), fraud=pl.lit(1, pl.Int64))
    return labels.sort("known_us", "event_id").unique("event_id", keep="first", maintain_order=True).cast(LABELS)  # type: ignore[arg-type]


def training_targets(events: pl.DataFrame, labels: pl.DataFrame, *, label_delay_us: int, upto_us: int) -> pl.DataFrame:
    """Return `event_id`, `at_us`, `fraud`, `known_us` of the transactions whose label is known at an instant.

    A label of a decision counts from when it became known. All other transactions are honest once the label delay has passed.
    """
    rows = events.filter(~pl.col("is_label")).select("event_id", "at_us")
    rows = rows.join(labels, on="event_id", how="left", maintain_order="left")
    known = pl.coalesce("known_us", pl.col("at_us") + label_delay_us)
    rows = rows.with_columns(known_us=known, fraud=pl.col("fraud").fill_null(0) == 1)
    return rows.filter(pl.col("known_us") <= upto_us).select("event_id", "at_us", "fraud", "known_us")
