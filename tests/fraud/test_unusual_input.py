"""Unusual input of fraud scoring: tiny operators, features that begin to vary, decisions without a case, a foreign model."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
import pytest
from card_dataset_fixture import DECLARED, SETTINGS, table
from small_operator import TOML, model_of, put_in_force, query_rows, records, write_project

from trueup.cli import main
from trueup.cli.commands.fraud import monitor_scores
from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.scoring import starter
from trueup.fraud.scoring.model import ModelError
from trueup.fraud.scoring.model_registry import promote
from trueup.fraud.scoring.model_score import score_features, with_reasons
from trueup.fraud.scoring.score_run import score
from trueup.fraud.training.folds import Table
from trueup.fraud.training.train import train_model
from trueup.fraud.training.train_run import train
from trueup.log.lake import Lake
from trueup.warehouse.decide import decide

TEN_DAYS = 10


def confirmed(project: Project, party: str, day: str) -> str:
    return hashlib.sha256(f"case;{party};{day}".encode()).hexdigest()[:32]


@pytest.fixture
def ten_subscribers(tmp_path) -> Project:
    """Return an operator of ten subscribers in ten days, with detectors that alert and no label."""
    project = write_project(tmp_path / "ten", [(r[0], r) for r in records(TEN_DAYS) if not r[3].endswith(("10", "11"))])
    path = project.directory / "trueup.toml"
    path.write_text(TOML.split("[[fraud.rule]]")[0].replace("trials = 1", 'trials = 1\ndetectors = "alert"'), "utf-8")
    project = Project.load(project.directory)
    assert not ingest(project).errors
    return project


def test_an_operator_of_ten_subscribers_is_scored_by_detectors_and_starter_without_any_label(ten_subscribers: Project) -> None:
    with Lake.open(ten_subscribers) as lake:
        promote(lake, telecom_features(), starter.install(ten_subscribers))
    summary = score(ten_subscribers)
    assert summary.transactions == len([r for r in records(TEN_DAYS) if not r[3].endswith(("10", "11"))])
    # On every other day one of the ten is hacked. No other subscriber is accused, only called numbers.
    hacked = {(r[3], r[5].date()) for r in records(TEN_DAYS) if r[7]}
    found = query_rows(ten_subscribers, "SELECT party, day, typology, rules IS NOT NULL FROM cases WHERE type = 'fraud'")
    subscribers = {r[3] for r in records(TEN_DAYS)}
    cases = [case for case in found if case[0] in subscribers]
    assert {(party, day) for party, day, *_ in cases} == hacked
    # On the second day, the four calls of the first day are too few evidence that a line is used in office hours.
    expected = {(day, "revenue_share" if day.day == 2 else "pbx_hacking", True) for _, day in hacked}
    assert {tuple(rest) for _, *rest in cases} == expected
    # Days of so few transactions give no verdict on drift. Frauds on every other day are a finding all the same.
    monitor_scores(ten_subscribers)
    kinds = "SELECT DISTINCT kind FROM findings WHERE kind IN ('model_drift', 'alert_rate')"
    assert query_rows(ten_subscribers, kinds) == [("alert_rate",)]


def test_ten_subscribers_with_three_decisions_train_a_model_and_without_any_the_message_says_so(ten_subscribers: Project) -> None:
    score(ten_subscribers)
    cases = query_rows(ten_subscribers, "SELECT case_id, transactions FROM cases WHERE type = 'fraud' ORDER BY day LIMIT 3")
    with pytest.raises(ModelError, match="all labels say honest"):
        train(ten_subscribers)
    for case, _ in cases:
        decide(ten_subscribers, case, "confirmed", decided_by="a")
    model = train(ten_subscribers).model
    assert model.card["frauds"] == sum(count for _, count in cases)
    assert 0 < model.threshold <= 2


def test_a_feature_constant_in_training_changes_no_score_when_it_varies_and_drift_sees_it() -> None:
    world, constant = table(), DECLARED.names.index("cents")
    values = world.values.copy()
    values[:, constant] = 7
    model = train_model(DECLARED, Table(values, world.rows), SETTINGS)
    features = pl.DataFrame(values, schema=list(DECLARED.names)).with_columns(event_id=world.rows["event_id"])
    later = features.with_columns(cents=pl.lit(9_999.0, pl.Float32))
    assert score_features(model, later)["margin"].equals(score_features(model, features)["margin"])
    reasons = with_reasons(model, later.head(5))["reasons"].to_list()
    assert not any('"cents":' in text for text in reasons)
    edges = model.card["reference"]["cents"]["edges"]
    assert len(np.histogram([9_999.0], bins=[-np.inf, *edges, np.inf])[0]) == len(edges) + 1


def test_a_decision_on_a_party_without_transactions_is_refused_and_changes_no_label(operator: Project) -> None:
    put_in_force(operator)
    score(operator)
    for party, day in (("+4400000000", "2024-03-02"), ("+99970000000", "2031-01-01")):
        with pytest.raises(TrueupError, match="there is no finding"):
            decide(operator, confirmed(operator, party, day), "confirmed", decided_by="a")
    assert query_rows(operator, "SELECT count(*) FROM lake.events.decision") == [(0,)]
    with pytest.raises(ModelError, match="all labels say honest"):
        train(operator)


def test_a_model_in_force_is_refused_once_the_project_has_other_home_prefixes(
    operator: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    put_in_force(operator)
    path = operator.directory / "trueup.toml"
    path.write_text(path.read_text("utf-8").replace('home_prefixes = ["+999"]', 'home_prefixes = ["+49"]'), "utf-8")
    with pytest.raises(TrueupError, match=r"trained with home_prefixes \['\+999'\], and the project has \['\+49'\]"):
        score(Project.load(operator.directory))
    assert main(["score", "--project", str(operator.directory)]) == 2
    error = capsys.readouterr().err
    assert model_of(operator) in error
    assert error.count("\n") == 1
    assert query_rows(operator, "SELECT count(*) FROM lake.events.score") == [(0,)]


def test_labels_that_contradict_each_other_train_and_a_last_word_for_honest_leaves_nothing_to_learn(operator: Project) -> None:
    put_in_force(operator)
    score(operator)
    cases = query_rows(operator, "SELECT case_id FROM cases WHERE type = 'fraud' AND probability > 0.5 ORDER BY day")
    assert cases
    for (case,) in cases:
        decide(operator, case, "confirmed", decided_by="a")
        decide(operator, case, "dismissed", note="it was a test", decided_by="b")
    with pytest.raises(ModelError, match="all labels say honest"):
        train(operator)
    for (case,) in cases:
        decide(operator, case, "confirmed", decided_by="c")
    card = train(operator).model.card
    assert card["contradictions"] > 0
    assert card["frauds"] > 0
