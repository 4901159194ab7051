"""Train the operator's own model once there are enough labels, judge it on later days, and put it in force if it is better.

Nothing happens unless `[fraud] own_model` is declared. Each step is a declaration in the log, with its reason and figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from trueup.config import Project
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.monitoring.fit_budget import realised_cases
from trueup.fraud.scoring.model import Model, ModelError, load_model
from trueup.fraud.scoring.model_registry import SCORER, ModelInterval, Role, declare_role, folder_of, model_intervals
from trueup.fraud.training.train_run import learnable, measure, settings_of, train
from trueup.log.lake import Lake
from trueup.warehouse import install_views
from trueup.warehouse.statements import statement

BY = "own_model"
"""The member of a declaration that marks a role as declared by this module and not by a person; its value is the reason."""
_NEVER = date(1, 1, 1)


@dataclass(frozen=True)
class OwnModel:
    """The last model that this module trained: whether it is a challenger now, and the confirmed cases at its training."""

    model_id: str
    is_challenger: bool
    confirmed: int


def advance_own_model(lake: Lake) -> list[str]:
    """Take the steps that the settings allow, once enough cases are confirmed; return a line for each declaration.

    A challenger is judged once, after as many confirmed cases on later days as its training needed. The threshold of a champion is
    raised if it added more cases in its last two weeks than rules left of the budget.
    """
    config = lake.project.config.fraud
    if config.own_model == "off" or not lake.consumer_position(SCORER):
        return []
    raised = _keep_budget(lake) if config.own_model == "champion" else []
    return [*raised, *_advance(lake)]


def _keep_budget(lake: Lake) -> list[str]:
    """Declare a higher threshold for the champion if it added significantly more cases than rules left of the budget."""
    champions = _find_champions(lake)
    if not champions:
        return []
    model_id = champions[-1].model_id
    realised = realised_cases(lake, model_id)
    if not realised.is_exceeded:
        return []
    threshold = realised.fitted
    figures = {
        "budget": realised.budget, "days": realised.days, "cases_of_rules": realised.by_rules,
        "cases_of_model": len(realised.probabilities), "left_for_the_model": realised.left,
    }  # fmt: skip
    position = declare_role(lake, model_id, "champion", {"threshold": threshold, BY: figures})
    over = f"the budget is {realised.budget} and there were {realised.shown}"
    return [f"the threshold of {model_id} is {threshold:.4f}, declared at position {position}, as {over}"]


def _advance(lake: Lake) -> list[str]:
    project, config = lake.project, lake.project.config.fraud
    own = _last_own(lake)
    if own is not None and own.is_challenger and config.own_model == "champion":
        trained_day = _last_day(project, own)
        _, later = _count_confirmed(lake, trained_day)
        return _judge(lake, own, trained_day, later) if later >= config.own_model_after else []
    confirmed, _ = _count_confirmed(lake, _NEVER)
    if confirmed < (own.confirmed if own else 0) + config.own_model_after:
        return []
    return _train(lake, own, confirmed)


def _train(lake: Lake, own: OwnModel | None, confirmed: int) -> list[str]:
    """Train a challenger, and retire the previous one."""
    try:
        model_id = train(lake.project).model.model_id
    except ModelError as error:
        return [f"no own model was trained with {confirmed} confirmed cases: {error}"]
    if own is not None and own.model_id == model_id:
        return []
    if model_id in [champion.model_id for champion in _find_champions(lake)]:
        return []  # A person trained and promoted it from the same records and decisions.
    done = []
    if own is not None and own.is_challenger:
        done.append(_declare(lake, own.model_id, "retired", {"replaced_by": model_id}))
    return [*done, _declare(lake, model_id, "challenger", {"confirmed_cases": confirmed})]


def _judge(lake: Lake, own: OwnModel, trained_day: date, later: int) -> list[str]:
    """Put a challenger in force if it ranks transactions of later days better than the champion; otherwise retire it."""
    project, declared = lake.project, telecom_features()
    known, settings = learnable(project, None), settings_of(project.config.fraud)
    at = np.flatnonzero((known.table.rows["day"] > trained_day).to_numpy())
    if not known.table.fraud[at].any():
        return []
    champions = [champion.model_id for champion in _find_champions(lake)]

    def precision(model: Model, role: str) -> float:
        return measure(model, role, known.table, at, had_seen=False, settings=settings).average_precision

    figures: dict[str, object] = {"confirmed_cases": later, "days_after": str(trained_day)}
    figures["average_precision"] = reached = precision(load_model(folder_of(project, own.model_id), declared), "challenger")
    needed = 0.0
    if champions:
        figures["champion"] = champions[-1]
        figures["champion_average_precision"] = needed = precision(
            load_model(folder_of(project, champions[-1]), declared), "champion"
        )
    role: Role = "champion" if reached > needed else "retired"
    return [_declare(lake, own.model_id, role, figures)]


def _find_champions(lake: Lake) -> list[ModelInterval]:
    """Return the champion of the next positions, or none."""
    upto = lake.last_position()
    return [s for s in model_intervals(lake, after=upto, upto=upto + 1) if s.role == "champion"]


def _declare(lake: Lake, model_id: str, role: Role, figures: Mapping[str, object]) -> str:
    position = declare_role(lake, model_id, role, {BY: figures})
    shown = ", ".join(
        f"{name.replace('_', ' ')} {value:.3f}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in figures.items()
    )
    return f"own model {model_id} is {role}, declared at position {position} ({shown})"


def _last_own(lake: Lake) -> OwnModel | None:
    own: OwnModel | None = None
    for _, content, _ in lake.connection.execute(statement("queries/fraud/model_declarations").text).fetchall():
        declaration = json.loads(content)
        figures = declaration.get(BY)
        if figures is not None and declaration["role"] == "challenger":
            own = OwnModel(declaration["model_id"], is_challenger=True, confirmed=int(figures["confirmed_cases"]))
        elif own is not None and declaration["model_id"] == own.model_id:
            # A person may also promote or retire the challenger.
            own = OwnModel(own.model_id, declaration["role"] == "challenger", own.confirmed)
    return own


def _last_day(project: Project, own: OwnModel) -> date:
    card = load_model(folder_of(project, own.model_id), telecom_features()).card
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(card["trained_on"]["last_us"]))).date()


def _count_confirmed(lake: Lake, after: date) -> tuple[int, int]:
    install_views.set_variables(lake.connection, lake.project)
    row = lake.connection.execute(statement("queries/fraud/confirmed_cases").text, {"after": after}).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
