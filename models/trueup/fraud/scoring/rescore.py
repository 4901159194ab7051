"""Rescore earlier records by the model in force; existing scores do not change.

The features are those at the transaction's own position, so the scores are those that the model would have given then. The new
scores have the newest position of the log, so queries as of earlier positions do not show them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.partitioned import merge_scores
from trueup.fraud.features.telecom import DAY_US, telecom_features, transactions
from trueup.fraud.load import decisions_of, label_events, usage_of
from trueup.fraud.record import scoring_record
from trueup.fraud.scoring.model_registry import ModelInterval, model_intervals, models_of, no_model
from trueup.fraud.scoring.score_run import CONSUMER, ScoreBatch, score_transactions
from trueup.localtime import utc_us
from trueup.log.lake import Lake, Transaction
from trueup.progress import LogFn
from trueup.warehouse.statements import statement

DAYS_AT_ONCE = 7


@dataclass(frozen=True)
class RescoreSummary:
    """The result of a rescoring: the first time, the number of transactions, and how many of them are suspicious.

    `in_sample` counts transactions of days that the model's training covered.
    """

    model_id: str
    from_time: datetime
    transactions: int
    suspicious: int
    in_sample: int = 0


@dataclass(frozen=True)
class RescoreRequest:
    """The model that rescores records up to a position, and their times: [first, last), without an end where that is None."""

    part: ModelInterval
    first_us: int
    last_us: int | None


def rescore(project: Project, since: date, *, clock: Clock = system_clock, log: LogFn | None = None) -> RescoreSummary:
    """Let the champion score the records from a day on that arrived before it was in force.

    `since` is a day of the project's time zone. A second run adds nothing, unless it begins on an earlier day. Rules are not
    applied: `trueup try-rules` shows their matches. Raises `TrueupError` without a champion, or while records are not yet scored.
    """
    with Lake.open(project, clock=clock) as lake:
        upto = lake.last_position()
        champions = [s for s in model_intervals(lake, after=max(0, upto - 1), upto=upto + 1) if s.role == "champion"]
        if not champions:
            raise TrueupError(no_model(project), where=str(project.directory))
        if lake.consumer_position(CONSUMER) != upto:
            raise TrueupError("not all records have been scored yet", where=str(project.directory), todo="run `trueup score` first")
        model_id = champions[-1].model_id
        first_us, last_us = day_start_us(since, project), _read_rescored_from(lake, model_id)
        part = ModelInterval(model_id, "champion", 0, unscored_upto(lake, model_id), champions[-1].threshold)
        request = RescoreRequest(part, first_us, last_us)
        batches = []
        if last_us is None or first_us < last_us:
            batches = rescore_records(lake, project, request, decisions_of(lake, project), upto=upto, log=log)
        judged = merge_scores(batches)
        _commit(lake, judged, model_id, first_us, upto)
    transactions_scored = judged.scoring["transactions"].sum() if judged.scoring.width else 0
    seen = judged.scoring["in_sample"].sum() if judged.scoring.width else 0
    suspicious = judged.score["event_id"].n_unique() if judged.score.width else 0
    return RescoreSummary(model_id, _to_moment(first_us), int(transactions_scored), suspicious, int(seen))


def day_start_us(day: date, project: Project) -> int:
    """Return the instant at which a day of the project's time zone begins, in microseconds since 1970; year 1 at the earliest."""
    days = (day - date(1970, 1, 1)).days
    begin_us = int(pl.select(utc_us(pl.lit(days * DAY_US), project.config.project.timezone)).item())
    return max(begin_us, (date.min - date(1970, 1, 1)).days * DAY_US)


def unscored_upto(lake: Lake, model_id: str) -> int:
    """Return the position up to which a model has scored no record as champion."""
    rows = lake.connection.execute(statement("queries/fraud/champion_declarations").text, {"model_id": model_id}).fetchall()
    return min(max(int(position if since is None else since), int(scored)) for position, since, scored in rows)


def _read_rescored_from(lake: Lake, model_id: str) -> int | None:
    row = lake.connection.execute(statement("queries/fraud/rescored_since").text, {"model_id": model_id}).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def rescore_records(
    lake: Lake, project: Project, request: RescoreRequest, decisions: pl.DataFrame, *, upto: int, log: LogFn | None = None
) -> list[ScoreBatch]:
    """Score the records of a request, some days per batch, reading back as far as their windows."""
    part = request.part
    declared, config = telecom_features(), project.config.fraud.model_copy(update={"rule": (), "detectors": "off"})
    models = models_of(project, declared, [part])
    labels = label_events(lake, project, decisions, upto=upto)
    begins_us, ends_us = _read_extent_us(lake, part.upto)
    first_us = max(request.first_us, begins_us)
    end_us = ends_us if request.last_us is None else min(ends_us, request.last_us)
    batches = []
    for begin_us in range(first_us, end_us, DAYS_AT_ONCE * DAY_US):
        stop_us = min(begin_us + DAYS_AT_ONCE * DAY_US, end_us)
        days = _find_day(begin_us - declared.longest_window_us), _find_day(stop_us)
        usage = usage_of(lake, upto=part.upto, first_day=days[0], last_day=days[1])
        events = pl.concat([transactions(usage, config), labels])
        requested = ~events["is_label"] & (events["at_us"] >= begin_us) & (events["at_us"] < stop_us)
        if log:
            log(f"rescoring from {_find_day(begin_us)}: {int(requested.sum())} records")
        if requested.any():
            judged = score_transactions(events, history(declared, events, requested=requested), [part], models, config, upto=upto)
            batches.append(ScoreBatch(judged.score.with_columns(position=pl.lit(upto, pl.Int64)), judged.scoring, judged.drift))
    return batches


def _read_extent_us(lake: Lake, upto: int) -> tuple[int, int]:
    """Return the beginning of the first day with records, and the end of the last."""
    days = lake.read("usage", columns=["day"], upto=upto)["day"].drop_nulls()
    first, last = days.min(), days.max()
    if not isinstance(first, date) or not isinstance(last, date):
        return 0, 0
    return (first - date(1970, 1, 1)).days * DAY_US, ((last - date(1970, 1, 1)).days + 1) * DAY_US


def _find_day(at_us: int) -> date:
    return _to_moment(at_us).date()


def _to_moment(at_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)


def _commit(lake: Lake, judged: ScoreBatch, model_id: str, first_us: int, upto: int) -> None:
    def write(transaction: Transaction) -> None:
        rescored_from = _read_rescored_from(lake, model_id)
        if rescored_from is not None and rescored_from <= first_us:
            return
        for table, rows in (("score", judged.score), ("scoring", judged.scoring), ("drift", judged.drift)):
            transaction.append(table, rows)
        recorded = transaction.record(scoring_record(lake.project.config.fraud))
        transaction.set_consumer_position(f"rescore {model_id} {first_us}", upto, configuration=recorded)

    lake.commit(write)
