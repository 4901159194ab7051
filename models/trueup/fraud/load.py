"""From the log to the features: usage records as events, decisions as labels, both as of a position."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.declare import FeatureSet
from trueup.fraud.labels import labels_of_decisions, labels_of_truth
from trueup.fraud.telecom import USAGE, labelled, transactions
from trueup.log.lake import Lake
from trueup.warehouse import views
from trueup.warehouse.query import Warehouse


def usage_of(lake: Lake, *, upto: int, first_day: date | None = None) -> pl.DataFrame:
    """Usage records as known at a position, from a UTC day on, with the position each came with."""
    return lake.read("usage", columns=(*USAGE, "day", "record_key"), upto=upto, days=(first_day, None))


def first_day_needed(lake: Lake, declared: FeatureSet, decisions: pl.DataFrame, *, after: int, upto: int) -> date | None:
    """The earliest day that records of positions in (after, upto] look back at; None where there is none.

    They look back at the transactions in their windows, and at those whose labels became known in them, which are older.
    """
    query, values = lake.selection("usage", columns=["day"], after=after, upto=upto)
    found = lake.connection.execute(f"SELECT min(day) FROM ({query})", values).fetchone()
    if not found or found[0] is None:
        return None
    back = timedelta(microseconds=declared.longest_window_us)
    begin = datetime.combine(found[0], datetime.min.time(), UTC) - back
    of_labels = decisions.filter(pl.col("decided_at") > begin)["day"].min()
    return min(begin.date(), of_labels) if isinstance(of_labels, date) else begin.date()


def decisions_of(lake: Lake, project: Project) -> pl.DataFrame:
    """Every decision on a suspicious transaction: `event_id`, its `day`, `decision`, `decided_at`."""
    views.install(lake.connection, project)
    found = pl.DataFrame(Warehouse(lake, None).ask("queries/fraud_decisions"))
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
