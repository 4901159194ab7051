"""The commands `train`, `promote`, `try-rules` and `score`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import output
from trueup.cli.options import HERE, AcceptClock, Json, ProjectDir, Quiet, day, load, only_options

if TYPE_CHECKING:
    from trueup.config import Project
    from trueup.fraud.scoring.rescore import RescoreSummary
    from trueup.fraud.scoring.score_run import ScoreSummary
    from trueup.fraud.training.train_run import Compared

_COMPARED = ("model_id", "role", "average_precision", "auc", "precision_at_budget", "value_detected_ratio", "cases", "had_seen")
_FIRST_CASES, _SHORT_ID = 3, 12
_Truth = Annotated[
    Path | None,
    typer.Option("--truth", metavar="FILE", help="Take labels from a simulated truth.parquet; by default from decisions."),
]


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(train)
    app.command()(promote)
    app.command("try-rules")(try_rules)
    app.command()(score)


def train(
    truth: _Truth = None,
    against: Annotated[
        bool, typer.Option("--compare", help="Compare a new model with the champion on the same later days; write nothing.")
    ] = False,
    project: ProjectDir = HERE,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a fraud model on the labelled records of the log, and write its folder and model card."""
    from trueup.fraud.training import train_run

    opened = load(project)
    if against:
        _show_compared(train_run.compare(opened, truth=truth), json=json)
        return
    done = train_run.train(opened, truth=truth)
    metrics = done.model.card["metrics"]
    if json:
        output.json_value({"model_id": done.model.model_id, "folder": str(done.folder), "position": done.position, **metrics})
        return
    shown = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in metrics.items())
    output.line(f"trained {done.model.model_id} at position {done.position}: on later days {shown}")
    output.line(f"its model card is {done.folder / 'card.md'}; next: trueup promote {done.model.model_id} --project {project}")


def _show_compared(compared: list[Compared], *, json: bool) -> None:
    if json:
        output.json_value(compared)
        return
    output.table([name.replace("_", " ") for name in _COMPARED], ([getattr(c, name) for name in _COMPARED] for c in compared))
    if len(compared) == 1:
        output.line("there is no champion to compare it with")


def promote(
    model_id: Annotated[str, typer.Argument(metavar="MODEL", help="The model id; `starter` comes with the program.")],
    role: Annotated[
        str, typer.Option("--as", metavar="ROLE", help="champion (alerts), challenger (counts, never alerts) or retired.")
    ] = "champion",
    since: Annotated[
        int | None,
        typer.Option(
            metavar="POSITION",
            min=0,
            help="Apply to records after this position; by default from now on, and from the beginning if nothing is scored.",
        ),
    ] = None,
    fit_budget: Annotated[
        bool,
        typer.Option(
            "--fit-budget", help="Raise the threshold to that at which the last ordinary days have no more cases than the budget."
        ),
    ] = False,
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Declare the role of a model: champion, challenger or retired."""
    from trueup.fraud.features.telecom import telecom_features
    from trueup.fraud.monitoring.fit_budget import fitted_threshold
    from trueup.fraud.scoring import starter
    from trueup.fraud.scoring.model_registry import check_promotion, first_day_before
    from trueup.fraud.scoring.model_registry import promote as promoted
    from trueup.log.lake import Lake

    opened = load(project, accept_clock=accept_clock)
    model_id = starter.install(opened) if model_id == starter.NAME else model_id
    with Lake.open(opened) as lake:
        check_promotion(lake, model_id, role, since, has_threshold=fit_budget)
        threshold = fitted_threshold(lake, model_id) if fit_budget else None
        promotion = promoted(lake, telecom_features(), model_id, role=role, since=since, threshold=threshold)
        after = first_day_before(lake, promotion.since)
    if json:
        declared = {"model_id": model_id, "role": role, "since": promotion.since, "position": promotion.position}
        output.json_value(declared | ({} if threshold is None else {"threshold": threshold}))
        return
    applies = "all records" if promotion.since == 0 else f"records after position {promotion.since}"
    limit = "" if threshold is None else f" with the threshold {threshold:.4f}"
    output.line(f"{model_id} is {role}{limit}, declared at position {promotion.position}; it applies to {applies}")
    if role == "champion":
        earlier = f"; for earlier ones: trueup score --since {after} --project {project}" if after else ""
        output.line(f"next: trueup score --project {project}{earlier}")


def try_rules(
    truth: _Truth = None,
    by_day: Annotated[bool, typer.Option("--by-day", help="One row per rule and UTC day.")] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Show what the rules, including shadow rules, match in the whole log, labelled or not; write nothing."""
    from trueup.fraud.training.train_run import try_rules as back_test_rules

    found = back_test_rules(load(project), truth=truth, by_day=by_day)
    if json:
        output.json_value(found.to_dicts())
    else:
        output.table([name.replace("_", " ") for name in found.columns], found.iter_rows())


def score(
    runner_options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- RUNNER OPTIONS]", help="Beam options, such as -- --direct_num_workers=2.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Also score, by the champion, records of before its promotion, from this day on."),
    ] = None,
    project: ProjectDir = HERE,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Score the usage records ingested since the last run; suspicious ones are stored, all are counted."""
    from trueup.jobs.score_batch import score as scored

    opened, first = load(project), day(since, "--since")
    summary = scored(opened, runner_options=only_options(runner_options), log=output.note)
    rescored = _rescore(opened, first) if first is not None else None
    monitor_scores(opened)
    found = summary.suspicious or (rescored is not None and rescored.suspicious)
    first_cases = first_cases_of(opened, summary, again=rescored is not None) if found else []
    over = over_budget_of(opened, summary, again=rescored is not None) if found else None
    if json:
        value = {**asdict(summary), "first_cases": first_cases, "over_budget": over}
        output.json_value(value if rescored is None else {"score": value, "again": rescored})
        return
    output.line(summary_line(summary))
    _show_money(summary)
    for case in first_cases:
        output.line(f"{case['case_id'][:_SHORT_ID]}: {case['summary']}")
    if over is not None and over["cases"]:
        output.line(over_budget_line(over, opened.config.fraud.alerts_per_day))
    if rescored is not None:
        counted = output.counted(rescored.transactions, "transaction")
        output.line(f"rescored by {rescored.model_id} from {first} on: {counted}, {rescored.suspicious} suspicious")
        if rescored.in_sample:
            seen = output.counted(rescored.in_sample, "transaction")
            output.line(f"{seen} of days that it was trained on prove nothing: in_sample in the view cases")
    if found:
        cases = "SELECT * FROM cases WHERE type = 'fraud' AND status = 'open' ORDER BY day DESC, rank_of_day"
        output.line(f'next: trueup sql --project {project} "{cases}"')


def first_cases_of(project: Project, summary: ScoreSummary, *, again: bool) -> list[dict[str, Any]]:
    """Return the open cases of a run with the greatest expected loss; `again`: the run also scored earlier records."""
    from trueup.warehouse.query import with_retries

    values = {"after": -1 if again else summary.from_position, "most": _FIRST_CASES}
    return with_retries(project, lambda warehouse: warehouse.rows("queries/fraud_cases/first_cases", values), None)


def over_budget_of(project: Project, summary: ScoreSummary, *, again: bool) -> dict[str, Any]:
    """Return how many cases of the days of a run are over the budget, on how many days, and their rules; see `first_cases_of`."""
    from trueup.warehouse.query import with_retries

    values = {"after": -1 if again else summary.from_position}
    return with_retries(project, lambda warehouse: warehouse.rows("queries/fraud_cases/over_budget", values)[0], None)


def over_budget_line(over: dict[str, Any], budget: int) -> str:
    """Return in one line how many cases are over the budget, with the rules that match in them."""
    of_rules = f"; with matches of rules: {over['rules']}" if over["rules"] else ""
    counted = f"{output.counted(over['cases'], 'case')} on {output.counted(over['days'], 'day')}"
    return f"over the budget of {output.counted(budget, 'case')} a day: {counted}, ranked last (over_budget in cases){of_rules}"


def _show_money(summary: ScoreSummary) -> None:
    if summary.exposure is not None:
        output.line(f"money of the suspicious transactions: {summary.exposure:,.2f} {summary.currency}")
    if summary.value_detected_ratio is not None:
        detected = f"{100 * summary.value_detected_ratio:.0f} %"
        output.line(f"on the card of the champion, cases within the budget had {detected} of the money of all fraud (later days)")


def _rescore(project: Project, since: date) -> RescoreSummary:
    from trueup.fraud.scoring.rescore import rescore

    return rescore(project, since, log=output.note)


def monitor_scores(project: Project) -> None:
    """Evaluate the scored days for drift and alert rates, and advance the own model; print what changed."""
    from trueup.fraud.monitoring.watch import watch
    from trueup.log.lake import Lake

    with Lake.open(project) as lake:
        changed = watch(lake)
        if project.config.fraud.own_model != "off":
            # Training imports XGBoost, which a run without an own model need not do.
            from trueup.fraud.monitoring.own_model import advance_own_model

            for step in advance_own_model(lake):
                output.note(step)
    if changed:
        output.note(f"{output.counted(changed, 'change')} of findings about drift and alert rates; see the view findings")


def summary_line(summary: ScoreSummary) -> str:
    """Return the result of a scoring run in one line."""
    if summary.skipped:
        return f"skipped: {summary.skipped}"
    if summary.from_position == summary.to_position:
        return f"already scored up to position {summary.to_position}; nothing changed"
    by = ", ".join(f"{role} {model_id}" for model_id, role in summary.models.items()) or "rules alone"
    return (
        f"scored positions {summary.from_position + 1} to {summary.to_position} by {by}: "
        f"{output.counted(summary.transactions, 'transaction')}, {summary.suspicious} suspicious"
    )
