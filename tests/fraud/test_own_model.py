"""If `own_model` is set, a model of own labels is trained and put in force, with each step in the log."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from small_operator import BEGIN, DAYS, put_in_force, query_rows, records

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.errors import ConfigError
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.monitoring.own_model import advance_own_model
from trueup.fraud.scoring.model import load_model
from trueup.fraud.scoring.model_registry import promote
from trueup.fraud.scoring.score_run import score
from trueup.fraud.scoring.starter import starter_model
from trueup.fraud.training.train_run import train
from trueup.log.lake import Lake
from trueup.proof.verify import verify
from trueup.warehouse.decide import decide


def set_fraud(project: Project, lines: str, *, after: int = 9) -> Project:
    path = project.directory / "trueup.toml"
    text = path.read_text("utf-8")
    path.write_text(
        text.replace("trials = 1\n", f"trials = 1\n{lines}\n").replace("own_model_after = 9", f"own_model_after = {after}"), "utf-8"
    )
    return Project.load(project.directory)


def advance(project: Project) -> list[str]:
    with Lake.open(project) as lake:
        return advance_own_model(lake)


def declarations(project: Project) -> list[dict]:
    rows = query_rows(project, "SELECT content FROM lake.events.declaration WHERE kind = 'model'")
    return [json.loads(content) for (content,) in rows]


def confirm(project: Project, count: int, *, since_day: int = 0) -> None:
    """Confirm cases of the subscriber who is hacked on each other day and calls premium numbers by night."""
    first = (BEGIN + timedelta(days=since_day)).date()
    cases = query_rows(
        project,
        f"SELECT case_id FROM cases WHERE type = 'fraud' AND hour(first_at) < 4 AND day >= '{first}' ORDER BY day LIMIT {count}",
    )
    assert len(cases) == count
    for (case,) in cases:
        decide(project, case, "confirmed", decided_by="a")


def add_days(project: Project, first: int, last: int) -> None:
    lines = [f"{i},{s},{a},{b},C{d % 3}-1,{t:%Y-%m-%d %H:%M:%S},{q}" for d, i, s, a, b, t, q, _ in records(last) if d >= first]
    text = "id,service,caller,called,cell,start,seconds\n" + "\n".join(lines) + "\n"
    (project.directory / f"landing/{last}.csv").write_text(text, "utf-8")
    assert not ingest(project).errors


def test_an_own_challenger_is_trained_after_enough_confirmed_cases_and_the_log_has_the_reason(operator: Project) -> None:
    put_in_force(operator)
    score(operator)
    confirm(operator, 8)
    # The setting is not declared, so no model is trained.
    assert advance(operator) == []
    assert advance(set_fraud(operator, 'own_model = "challenger"\nown_model_after = 9')) == []
    operator = set_fraud(operator, "", after=8)
    (done,) = advance(operator)
    assert "is challenger" in done
    declared = declarations(operator)[-1]
    assert declared["role"] == "challenger"
    assert declared["model_id"] != model_of_champion(operator)
    assert declared["own_model"]["confirmed_cases"] >= 8
    # There is no new decision, so no new model is trained.
    assert advance(operator) == []
    add_days(operator, DAYS, DAYS + 2)
    assert set(score(operator).models.values()) == {"champion", "challenger"}
    with Lake.open(operator, read_only=True) as lake:
        assert verify(lake, only=("scores",)).faults == ()


def test_a_champion_of_the_same_decisions_does_not_become_a_challenger_too(operator: Project) -> None:
    put_in_force(operator)
    score(operator)
    confirm(operator, 8)
    operator = set_fraud(operator, 'own_model = "challenger"\nown_model_after = 8')
    with Lake.open(operator) as lake:
        promote(lake, telecom_features(), train(operator).model.model_id)
    before = declarations(operator)
    assert advance(operator) == []
    assert declarations(operator) == before


def model_of_champion(project: Project) -> str:
    return next(d["model_id"] for d in declarations(project) if d["role"] == "champion")


@pytest.mark.parametrize("with_champion", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_challenger_is_judged_on_later_days_and_promoted_or_retired_with_its_figures(
    operator: Project, with_champion: bool
) -> None:
    operator = set_fraud(operator, 'own_model = "champion"\nown_model_after = 3')
    put_in_force(operator)
    score(operator)
    confirm(operator, 8)
    (done,) = advance(operator)
    assert "is challenger" in done
    assert advance(operator) == []
    add_days(operator, DAYS, DAYS + 8)
    score(operator)
    confirm(operator, 3, since_day=DAYS)
    if not with_champion:
        put_in_force_again(operator, "retired")
    (done,) = advance(operator)
    last = declarations(operator)[-1]
    figures = last["own_model"]
    # The newest days were not part of its training: the labels of their transactions without a decision were not known yet.
    assert figures["days_after"] == str((BEGIN + timedelta(days=DAYS - 3)).date())
    if with_champion:
        # The champion ranks these days as well as the challenger, which therefore does not replace it.
        assert (last["role"] == "champion") == (figures["average_precision"] > figures["champion_average_precision"])
    else:
        assert last["role"] == "champion"
        assert "champion" not in figures
    assert last["role"] in done


def put_in_force_again(project: Project, role: str, *, threshold: float | None = None) -> None:
    with Lake.open(project) as lake:
        promote(lake, telecom_features(), model_of_champion(project), role=role, threshold=threshold)


def test_a_champion_over_its_budget_gets_a_higher_threshold_once_and_the_log_has_the_reason(operator: Project) -> None:
    operator = set_fraud(operator, 'own_model = "champion"')
    model_id = put_in_force(operator)
    score(operator)
    assert advance(operator) == []
    put_in_force_again(operator, "champion", threshold=1e-9)
    add_days(operator, DAYS, DAYS + 6)
    score(operator)
    # Each of the twelve subscribers is a case on each day, one of them of a rule, against a budget of two cases.
    (done,) = advance(operator)
    assert f"the threshold of {model_id} is " in done
    assert "as the budget is 2 and there were " in done and done.endswith("of them of rules")
    declared = declarations(operator)[-1]
    figures = declared["own_model"]
    assert (declared["role"], figures["budget"], figures["left_for_the_model"]) == ("champion", 2, figures["days"])
    assert figures["cases_of_rules"] == figures["days"] < figures["cases_of_model"]
    assert declared["threshold"] > 1e-9
    assert advance(operator) == []
    add_days(operator, DAYS + 6, DAYS + 8)
    score(operator)
    later = (BEGIN + timedelta(days=DAYS + 6)).date()
    (cases,) = query_rows(operator, f"SELECT count(*) FROM cases WHERE type = 'fraud' AND day >= '{later}'")[0]
    assert cases <= 4


def test_training_may_add_trees_to_those_of_the_starter(operator: Project) -> None:
    warm = set_fraud(operator, "warm_start = true")
    model = train(warm, truth=operator.directory / "truth.parquet").model
    starter = starter_model()
    assert model.booster().num_boosted_rounds() > starter.booster().num_boosted_rounds()
    assert load_model(Path(warm.directory) / "models" / model.model_id, telecom_features()).trees == model.trees


def test_a_number_of_cases_without_an_own_model_is_refused(operator: Project) -> None:
    with pytest.raises(ConfigError, match="has no effect"):
        set_fraud(operator, "own_model_after = 5")


def test_a_review_cost_without_money_is_refused(operator: Project) -> None:
    with pytest.raises(ConfigError, match=r"needs \[\[fraud\.loss"):
        set_fraud(operator, 'review_cost = "5"')
