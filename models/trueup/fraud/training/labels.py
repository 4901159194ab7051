"""Labels: which transactions were fraud, and from when that was known. What nobody has said by the label delay is honest."""

from __future__ import annotations

import polars as pl

LABELS = {"event_id": pl.Binary(), "known_us": pl.Int64(), "fraud": pl.Int64()}
_SAID = {"confirmed": 1, "recovered": 1, "dismissed": 0}


def labels_of_decisions(decisions: pl.DataFrame) -> pl.DataFrame:
    """Labels from decisions (`event_id`, `decision`, `decided_at`): the first that says fraud or not, and when it was taken.

    A first decision stays what a feature knew from then on, even where a later one takes it back; training asks for the last
    one with `last_said`.
    """
    return _said(decisions).unique("event_id", keep="first", maintain_order=True).sort("event_id")


def latest_decision(decisions: pl.DataFrame, *, upto_us: int) -> pl.DataFrame:
    """What had been said last of each transaction by an instant."""
    said = _said(decisions).filter(pl.col("known_us") <= upto_us)
    return said.unique("event_id", keep="last", maintain_order=True).sort("event_id")


def _said(decisions: pl.DataFrame) -> pl.DataFrame:
    fraud = pl.col("decision").replace_strict(_SAID, default=None, return_dtype=pl.Int64)
    said = decisions.select("event_id", known_us=pl.col("decided_at").cast(pl.Int64), fraud=fraud)
    return said.drop_nulls("fraud").sort("known_us", "event_id", "fraud").cast(LABELS)  # type: ignore[arg-type]


def labels_of_truth(truth: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Labels from a simulated truth: every record of every fraud case, from when the case can be known.

    `truth` has the columns of `truth.parquet`; `keys` are `record_key` and `event_id` of usage records.
    """
    frauds = truth.filter(pl.col("category") == "fraud").select("knowable_at", record_key="usage_record_keys")
    told = frauds.explode("record_key", empty_as_null=False, keep_nulls=False).join(keys, on="record_key", how="inner")
    labels = told.select("event_id", known_us=pl.col("knowable_at").cast(pl.Int64), fraud=pl.lit(1, pl.Int64))
    return labels.sort("known_us", "event_id").unique("event_id", keep="first", maintain_order=True).cast(LABELS)  # type: ignore[arg-type]


def training_targets(events: pl.DataFrame, said: pl.DataFrame, *, label_delay_us: int, upto_us: int) -> pl.DataFrame:
    """What may be learnt at an instant: `event_id`, `at_us`, `fraud`, `known_us` of the transactions whose label is known by then.

    Said labels count from when they became known. All other transactions are honest once the label delay has passed.
    """
    rows = events.filter(~pl.col("is_label")).select("event_id", "at_us")
    rows = rows.join(said, on="event_id", how="left", maintain_order="left")
    known = pl.coalesce("known_us", pl.col("at_us") + label_delay_us)
    rows = rows.with_columns(known_us=known, fraud=pl.col("fraud").fill_null(0) == 1)
    return rows.filter(pl.col("known_us") <= upto_us).select("event_id", "at_us", "fraud", "known_us")
