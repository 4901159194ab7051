"""From the log to the features: usage records as events, decisions as labels, both as of a position."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.features.feature_spec import FeatureSet
from trueup.fraud.features.telecom import USAGE, labelled, transactions
from trueup.fraud.training.labels import labels_of_decisions, labels_of_truth
from trueup.log.lake import BucketRange, Lake
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
    """Usage records of positions in (after, upto] and of UTC days, with the position each came with."""
    columns = (*USAGE, "day", "record_key")
    return lake.read("usage", columns=columns, after=after, upto=upto, days=(first_day, last_day), buckets=buckets)


def first_day_needed(lake: Lake, declared: FeatureSet, *, after: int, upto: int) -> date | None:
    """The earliest day that windows of records of positions in (after, upto] reach back to; None where there are none."""
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
    """Labels of decisions, those that became known after an instant, as events with the facts of the transactions they are of.

    Those are older than the windows that their labels count in, and are read by the day each is of.
    """
    labels = labels_of_decisions(decisions)
    labels = labels if since_us is None else labels.filter(pl.col("known_us") > since_us)
    days = decisions.join(labels, on="event_id", how="semi")["day"].drop_nulls().unique().sort().to_list()
    found = [usage_of(lake, upto=0)]
    for day in days:
        of_day = usage_of(lake, upto=upto, first_day=day, last_day=day, buckets=buckets)
        found.append(of_day.join(labels, on="event_id", how="semi"))
    return labelled(transactions(pl.concat(found), project.config.fraud), labels).filter("is_label")


def decisions_of(lake: Lake, project: Project) -> pl.DataFrame:
    """Every decision on a suspicious transaction: `event_id`, its `day`, `decision`, `decided_at`."""
    install_views.set_variables(lake.connection, project)
    found = pl.DataFrame(Warehouse(lake, None).table("queries/fraud/fraud_decisions"))
    return found.cast({"event_id": pl.Binary, "day": pl.Date, "decision": pl.String, "decided_at": pl.Datetime("us", "UTC")})


def labels_of(lake: Lake, project: Project, usage: pl.DataFrame, truth: pl.DataFrame | None) -> pl.DataFrame:
    """Labels of usage records: from a simulated truth where it is given, else from decisions."""
    if truth is None:
        return labels_of_decisions(decisions_of(lake, project))
    needed = {"category", "knowable_at", "usage_record_keys"} - set(truth.columns)
    if needed:
        raise TrueupError(f"the truth lacks {', '.join(sorted(needed))}", todo="give the truth.parquet that `simulate` wrote")
    return labels_of_truth(truth, usage.select("record_key", "event_id"))


def events_of(usage: pl.DataFrame, labels: pl.DataFrame, project: Project) -> pl.DataFrame:
    """Usage records with their facts, and labels from when they became known."""
    return labelled(transactions(usage, project.config.fraud), labels)


def party() -> pl.Expr:
    """Who is suspected of a transaction: the caller of what was received, else the subscriber."""
    return pl.when("is_received").then(pl.coalesce("peer", "subscriber")).otherwise("subscriber")
