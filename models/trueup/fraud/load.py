"""Read usage records as events, and decisions as labels, both as of a position of the log."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.features.feature_spec import FeatureSet
from trueup.fraud.features.telecom import USAGE, transactions, with_labels
from trueup.fraud.training.labels import labels_of_decisions, labels_of_truth
from trueup.log.lake import BucketRange, Lake, TablePart
from trueup.warehouse import install_views
from trueup.warehouse.query import Warehouse


def usage_of(
    lake: Lake,
    *,
    upto: int,
    after: int = 0,
    first_day: date | None = None,
    last_day: date | None = None,
    buckets: BucketRange | None = None,
) -> pl.DataFrame:
    """Return usage records of positions in (after, upto] and of the given UTC days, each with its position."""
    columns = (*USAGE, "day", "record_key")
    part = TablePart(buckets, (first_day, last_day))
    return lake.read("usage", columns=columns, after=after, upto=upto, part=part)


def first_day_needed(lake: Lake, declared: FeatureSet, *, after: int, upto: int) -> date | None:
    """Return the first day that windows of records in (after, upto] cover; None without records."""
    first = lake.read("usage", columns=["day"], after=after, upto=upto)["day"].min()
    if not isinstance(first, date):
        return None
    return (datetime.combine(first, datetime.min.time(), UTC) - timedelta(microseconds=declared.longest_window_us)).date()


def label_events(
    lake: Lake,
    project: Project,
    decisions: pl.DataFrame,
    *,
    upto: int,
    since_us: int | None = None,
    buckets: BucketRange | None = None,
) -> pl.DataFrame:
    """Return one label event per decided transaction, with the facts of that transaction.

    `since_us` limits them to labels known after that instant. The transactions can be older than any window, so they are read by
    their own days.
    """
    labels = labels_of_decisions(decisions)
    labels = labels if since_us is None else labels.filter(pl.col("known_us") > since_us)
    days = decisions.join(labels, on="event_id", how="semi")["day"].drop_nulls().unique().sort().to_list()
    usage_by_day = [usage_of(lake, upto=0)]
    for day in days:
        of_day = usage_of(lake, upto=upto, first_day=day, last_day=day, buckets=buckets)
        usage_by_day.append(of_day.join(labels, on="event_id", how="semi"))
    return with_labels(transactions(pl.concat(usage_by_day), project.config.fraud), labels).filter("is_label")


def decisions_of(lake: Lake, project: Project) -> pl.DataFrame:
    """Return one row per decision on a suspicious transaction: `event_id`, accused `side`, `day`, `decision`, `decided_at`."""
    install_views.set_variables(lake.connection, project)
    decisions = pl.DataFrame(Warehouse(lake, None).table("queries/fraud/fraud_decisions"))
    return decisions.cast(
        {"event_id": pl.Binary, "side": pl.String, "day": pl.Date, "decision": pl.String, "decided_at": pl.Datetime("us", "UTC")}
    )


def labels_of(lake: Lake, project: Project, usage: pl.DataFrame, truth: pl.DataFrame | None) -> pl.DataFrame:
    """Return labels of usage records: from a simulated truth where one is given, else from decisions."""
    if truth is None:
        return labels_of_decisions(decisions_of(lake, project))
    missing = {"category", "knowable_at", "usage_record_keys"} - set(truth.columns)
    if missing:
        raise TrueupError(f"the truth lacks {', '.join(sorted(missing))}", todo="give the truth.parquet that `simulate` wrote")
    return labels_of_truth(truth, usage.select("record_key", "event_id"))


def events_of(usage: pl.DataFrame, labels: pl.DataFrame, project: Project) -> pl.DataFrame:
    """Return the events of usage records with their facts, and a label event from the time each label became known."""
    return with_labels(transactions(usage, project.config.fraud), labels)
