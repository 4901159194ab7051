"""A model in force judges what came before it was: new scores beside those there are, which stay as they were.

Windows tell of a transaction what they told when it came. So the scores are those the model would have given, had it been in force
then; they are said from the newest position on, and what is asked as of an earlier one does not show them.
"""

from __future__ import annotations

from collections.abc import Callable
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
from trueup.fraud.scoring.model_registry import NO_MODEL, ModelInterval, model_intervals, models_of
from trueup.fraud.scoring.score_run import CONSUMER, ScoreBatch, score_transactions
from trueup.localtime import utc_us
from trueup.log.lake import Lake, Transaction
from trueup.warehouse.statements import statement

DAYS_AT_ONCE = 7
Say = Callable[[str], None]


@dataclass(frozen=True)
class RescoreSummary:
    """What a model judged again: how many transactions of which times, and how many of them it holds for suspicious."""

    model_id: str
    from_time: datetime
    transactions: int
    suspicious: int


def rescore(project: Project, since: date, *, clock: Clock = system_clock, say: Say | None = None) -> RescoreSummary:
    """Has the champion judge the records from a day (of the project's time zone) on that it has not judged since it is in force.

    Running it again adds nothing; an earlier day adds the days before. Rules are not asked again: `trueup try-rules` shows what
    they would have caught. Raises `TrueupError` without a champion, or while records wait to be scored for the first time.
    """
    with Lake.open(project, clock=clock) as lake:
        upto = lake.last_position()
        if lake.consumer_position(CONSUMER) != upto:
            raise TrueupError("not all records have been scored yet", where=str(project.directory), todo="run `trueup score` first")
        champions = [s for s in model_intervals(lake, after=max(0, upto - 1), upto=upto + 1) if s.role == "champion"]
        if not champions:
            raise TrueupError(NO_MODEL, where=str(project.directory))
        model_id = champions[-1].model_id
        first_us, last_us = day_start_us(since, project), _judged_from(lake, model_id)
        part = ModelInterval(model_id, "champion", 0, unjudged_upto(lake, model_id))
        found = []
        if last_us is None or first_us < last_us:
            found = judged_again(lake, project, part, (first_us, last_us), decisions_of(lake, project), upto=upto, say=say)
        judged = merge_scores(found)
        _commit(lake, judged, model_id, first_us, upto)
    looked = judged.scoring["transactions"].sum() if judged.scoring.width else 0
    return RescoreSummary(model_id, _moment(first_us), int(looked), judged.score.height)


def day_start_us(day: date, project: Project) -> int:
    """The instant a day of the project's time zone begins."""
    wall_us = pl.lit((day - date(1970, 1, 1)).days * DAY_US)
    return int(pl.select(utc_us(wall_us, project.config.project.timezone)).item())


def unjudged_upto(lake: Lake, model_id: str) -> int:
    """The position up to which records came before a model judged any as champion."""
    rows = lake.connection.execute(statement("queries/fraud/champion_declarations").text, {"model_id": model_id}).fetchall()
    return min(max(int(position if since is None else since), int(scored)) for position, since, scored in rows)


def _judged_from(lake: Lake, model_id: str) -> int | None:
    found = lake.connection.execute(statement("queries/fraud/rescored_since").text, {"model_id": model_id}).fetchone()
    return None if found is None or found[0] is None else int(found[0])


def judged_again(
    lake: Lake, project: Project, part: ModelInterval, times_us: tuple[int, int | None], decisions: pl.DataFrame, *, upto: int,
    say: Say | None = None,
) -> list[ScoreBatch]:  # fmt: skip
    """Judgements of records in [first, last) of `times_us`, some days at a time, each looking back as far as its windows do."""
    first_us, last_us = times_us
    declared, config = telecom_features(), project.config.fraud.model_copy(update={"rule": ()})
    models = models_of(project, declared, [part])
    labels = label_events(lake, project, decisions, upto=upto)
    begins_us, ends_us = _extent_us(lake, part.upto)
    first_us, end_us = max(first_us, begins_us), min(ends_us, ends_us if last_us is None else last_us)
    found = []
    for begin_us in range(first_us, end_us, DAYS_AT_ONCE * DAY_US):
        stop_us = min(begin_us + DAYS_AT_ONCE * DAY_US, end_us)
        looked_at = _day(begin_us - declared.longest_window_us), _day(stop_us)
        usage = usage_of(lake, upto=part.upto, first_day=looked_at[0], last_day=looked_at[1])
        events = pl.concat([transactions(usage, config), labels])
        wanted = ~events["is_label"] & (events["at_us"] >= begin_us) & (events["at_us"] < stop_us)
        if say:
            say(f"judging again from {_day(begin_us)}: {int(wanted.sum())} records")
        if wanted.any():
            judged = score_transactions(events, history(declared, events, wanted=wanted), [part], models, config, upto=upto)
            found.append(ScoreBatch(judged.score.with_columns(position=pl.lit(upto, pl.Int64)), judged.scoring, judged.drift))
    return found


def _extent_us(lake: Lake, upto: int) -> tuple[int, int]:
    """The beginning of the first day that has records, and the end of the last."""
    days = lake.read("usage", columns=["day"], upto=upto)["day"].drop_nulls()
    first, last = days.min(), days.max()
    if not isinstance(first, date) or not isinstance(last, date):
        return 0, 0
    return (first - date(1970, 1, 1)).days * DAY_US, ((last - date(1970, 1, 1)).days + 1) * DAY_US


def _day(at_us: int) -> date:
    return _moment(at_us).date()


def _moment(at_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)


def _commit(lake: Lake, judged: ScoreBatch, model_id: str, first_us: int, upto: int) -> None:
    def write(transaction: Transaction) -> None:
        standing = _judged_from(lake, model_id)
        if standing is not None and standing <= first_us:
            return
        for table, rows in (("score", judged.score), ("scoring", judged.scoring), ("drift", judged.drift)):
            transaction.append(table, rows)
        recorded = transaction.record(scoring_record(lake.project.config.fraud))
        transaction.set_consumer_position(f"rescore {model_id} {first_us}", upto, configuration=recorded)

    lake.commit(write)
