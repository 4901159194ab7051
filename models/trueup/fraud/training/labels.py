"""Derive labels: whether a transaction was fraud, and when that became known.

A transaction without a decision by the label delay counts as honest. Its weight is less than that of a dismissed transaction.
"""

from __future__ import annotations

import polars as pl

from trueup.reconcile.domain.decision_kinds import FRAUD_LABELS, WITHDRAWING

LABELS = {"event_id": pl.Binary(), "known_us": pl.Int64(), "fraud": pl.Int64(), "side": pl.String()}
TARGETS = ("event_id", "at_us", "fraud", "decided_us", "honest_us")
"""`decided_us`: when a person decided, missing without a decision; `honest_us`: when it counts as honest without one."""
_RUNG = ("wangiri",)
"""Kinds of simulated fraud whose fraudster is the other end of the call; the subscribers of the records are the victims."""


def labels_of_decisions(decisions: pl.DataFrame) -> pl.DataFrame:
    """Return a label per decided transaction and accused side: its first decision on fraud, and the time.

    `decisions`: `event_id`, `decision`, `decided_at`, `side`. Features use the first decision from its time on, even where a later
    decision contradicts or withdraws it; training uses `latest_decision`.
    """
    key = ["event_id", "side"]
    labels = _with_labels(decisions).select(list(LABELS)).drop_nulls("fraud").sort("known_us", "event_id", "side", "fraud")
    return labels.unique(key, keep="first", maintain_order=True).sort("event_id", "side", nulls_last=True)


def latest_decision(decisions: pl.DataFrame, *, upto_us: int | None = None) -> pl.DataFrame:
    """Return the label of each transaction by its last decisions as of an instant: fraud if either end was confirmed.

    `decisions` also has `decided_snapshot`, the commit of the decision, which orders decisions. The time is the time of the first
    such decision that no reopening withdrew. A transaction whose decisions are all withdrawn has no label.
    """
    labels = _select_in_force(decisions, upto_us)
    last = labels.unique(["event_id", "side"], keep="last", maintain_order=True)
    verdict = last.group_by("event_id").agg(fraud=pl.col("fraud").max())
    agreeing = labels.join(verdict, on=["event_id", "fraud"], how="inner")
    return (
        agreeing.group_by("event_id", "fraud")
        .agg(known_us=pl.col("known_us").min())
        .select("event_id", "known_us", "fraud")
        .sort("event_id")
    )


def contradictions(decisions: pl.DataFrame) -> int:
    """Count the transactions of which one end was both confirmed and dismissed, without decisions that a reopening withdrew."""
    both = _select_in_force(decisions).group_by("event_id", "side").agg(pl.col("fraud").n_unique())
    return both.filter(pl.col("fraud") > 1)["event_id"].n_unique()


def _select_in_force(decisions: pl.DataFrame, upto_us: int | None = None) -> pl.DataFrame:
    """Return the labels of decisions that no later reopening of the same transaction and side withdrew, in the order of commit."""
    rows = _with_labels(decisions)
    rows = rows if upto_us is None else rows.filter(pl.col("known_us") <= upto_us)
    is_withdrawing = pl.col("decision").is_in(WITHDRAWING)
    reopened = pl.col("decided_snapshot").filter(is_withdrawing).max().over("event_id", "side")
    in_force = rows.filter((pl.col("decided_snapshot") > reopened).fill_null(value=True))
    return in_force.drop_nulls("fraud").sort("decided_snapshot", "known_us", "event_id", "side", "fraud").select(list(LABELS))


def _with_labels(decisions: pl.DataFrame) -> pl.DataFrame:
    """Return decisions with the columns of `LABELS`; `fraud` is missing where a decision gives no label."""
    fraud = pl.col("decision").replace_strict(FRAUD_LABELS, default=None, return_dtype=pl.Int64)
    return decisions.with_columns(known_us=pl.col("decided_at").cast(pl.Int64), fraud=fraud).cast(LABELS)  # type: ignore[arg-type]


def labels_of_truth(truth: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Return labels from a simulated truth: each record of a fraud case is a fraud, known when the case can be known.

    `truth` has the columns of `truth.parquet`; `keys` are `record_key` and `event_id` of usage records.
    """
    side = pl.when(pl.col("kind").is_in(_RUNG)).then(pl.lit("peer")).otherwise(pl.lit("subscriber"))
    frauds = truth.filter(pl.col("category") == "fraud").select("knowable_at", side=side, record_key="usage_record_keys")
    records = frauds.explode("record_key", empty_as_null=False, keep_nulls=False).join(keys, on="record_key", how="inner")
    labels = records.select("event_id", known_us=pl.col("knowable_at").cast(pl.Int64), fraud=pl.lit(1, pl.Int64), side="side")
    return labels.sort("known_us", "event_id").unique("event_id", keep="first", maintain_order=True).cast(LABELS)  # type: ignore[arg-type]


def targets(events: pl.DataFrame, labels: pl.DataFrame, *, label_delay_us: int) -> pl.DataFrame:
    """Return a row of `TARGETS` per transaction; `labels` has `event_id`, `known_us` and `fraud` of decided transactions."""
    rows = events.filter(~pl.col("is_label")).select("event_id", "at_us")
    rows = rows.join(labels.select("event_id", "fraud", decided_us="known_us"), on="event_id", how="left", maintain_order="left")
    return rows.select(
        "event_id", "at_us", "decided_us", fraud=pl.col("fraud").fill_null(0) == 1, honest_us=pl.col("at_us") + label_delay_us
    ).select(TARGETS)
