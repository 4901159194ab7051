"""Scoring of a tiny operator of twelve subscribers, one of them hacked every other day, from its files to the cases."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from small_operator import BEGIN, DAYS, model_of, put_in_force, query_rows, records

from trueup.cli import main
from trueup.collect.ingest import ingest
from trueup.config import Project, parse
from trueup.errors import ConfigError, TrueupError
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.feature_spec import Feature, FeatureSet
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.features.window_state import State, advance
from trueup.fraud.load import decisions_of, events_of, first_day_needed, label_events, labels_of, usage_of
from trueup.fraud.scoring.digest import score_digest
from trueup.fraud.scoring.model import ModelError
from trueup.fraud.scoring.model_registry import model_intervals, promote
from trueup.fraud.scoring.rules import with_cell_areas, with_rule_features
from trueup.fraud.scoring.score_run import score, score_transactions
from trueup.fraud.training.train_run import compare, train
from trueup.log.lake import Lake
from trueup.proof.verify import verify
from trueup.warehouse.decide import decide
from trueup.warehouse.query import with_retries


@pytest.fixture(scope="session")
def _scored(_operator: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project.load(shutil.copytree(_operator, tmp_path_factory.mktemp("seen") / "operator"))
    put_in_force(project)
    score(project)
    return project.directory


@pytest.fixture
def scored(_scored: Path, tmp_path: Path) -> Project:
    """Return the operator with its model in force and all records scored."""
    return Project.load(shutil.copytree(_scored, tmp_path / "operator"))


def without_rules(project: Project) -> Project:
    path = project.directory / "trueup.toml"
    path.write_text(path.read_text("utf-8").split("[[fraud.rule]]")[0], "utf-8")
    return Project.load(project.directory)


def test_scoring_without_a_model_or_a_rule_reports_that_it_skips(operator: Project) -> None:
    assert "no model is in force" in score(without_rules(operator)).skipped
    assert query_rows(operator, "SELECT count(*) FROM suspicious_transactions") == [(0,)]


def test_all_transactions_are_counted_suspicious_ones_are_stored_and_a_second_run_adds_nothing(operator: Project) -> None:
    model_id = put_in_force(operator)
    first = score(operator)
    assert first.transactions == len(records())
    counted = query_rows(
        operator, f"SELECT sum(transactions)::INT, sum(suspicious)::INT FROM fraud_daily WHERE name = '{model_id}'"
    )
    suspicious = query_rows(operator, f"SELECT count(*) FROM suspicious_transactions WHERE model_id = '{model_id}'")
    assert counted == [(len(records()), suspicious[0][0])]
    before = query_rows(operator, "SELECT count(*) FROM lake.events.score")
    again = score(operator)
    assert (again.transactions, again.from_position) == (0, again.to_position)
    assert query_rows(operator, "SELECT count(*) FROM lake.events.score") == before


def test_the_hacked_subscribers_are_the_first_cases_of_their_day(scored: Project) -> None:
    top = query_rows(scored, "SELECT day, party FROM cases WHERE rank_of_day = 1 AND probability > 0.5 ORDER BY day")
    hacked = {((BEGIN + timedelta(days=d)).date(), f"+9997000{d // 2 % 12:04d}") for d in range(1, DAYS, 2)}
    assert len(top) >= 8
    assert set(top) <= hacked


def test_reasons_of_every_stored_score_sum_to_its_margin_and_are_sentences(scored: Project) -> None:
    rows = query_rows(scored, "SELECT margin, reasons FROM suspicious_transactions WHERE model_id IS NOT NULL")
    for margin, text in rows:
        reasons = json.loads(text)
        assert abs(reasons["base"] + sum(reasons["adds"].values()) - margin) < 1e-4
        assert reasons["sentences"]
    assert len(rows) > 100


def test_a_challenger_is_counted_and_never_alerted(operator: Project) -> None:
    put_in_force(without_rules(operator), "challenger")
    operator = Project.load(operator.directory)
    score(operator)
    assert query_rows(operator, "SELECT count(*) FROM suspicious_transactions") == [(0,)]
    assert query_rows(operator, "SELECT DISTINCT role FROM fraud_daily ORDER BY 1") == [("challenger",), ("none",)]


def test_a_rule_alerts_with_its_reason_and_a_rule_in_shadow_only_counts(operator: Project) -> None:
    score(operator)
    assert query_rows(operator, "SELECT DISTINCT rules FROM suspicious_transactions") == [("watched",)]
    assert query_rows(operator, "SELECT DISTINCT sentences FROM suspicious_transactions") == [
        ('["watched: a number on the hot list"]',)
    ]
    shadow = query_rows(operator, "SELECT sum(suspicious)::INT FROM fraud_daily WHERE name = 'premium-range'")
    assert shadow == [(sum(r[7] for r in records()),)]


def test_a_decision_on_a_case_is_a_label_of_its_transactions_from_then_on(scored: Project) -> None:
    case = query_rows(scored, "SELECT case_id FROM cases WHERE rank_of_day = 1 AND probability > 0.5 ORDER BY day LIMIT 1")[0][0]
    at = datetime(2024, 3, 20, tzinfo=UTC)
    decide(scored, case[:12], "confirmed", decided_by="a", clock=lambda: at)
    assert query_rows(scored, f"SELECT status FROM cases WHERE case_id = '{case}'") == [("confirmed",)]
    with Lake.open(scored, read_only=True) as lake:
        usage = usage_of(lake, upto=lake.last_position())
        labels = labels_of(lake, scored, usage, None)
    assert labels["fraud"].unique().to_list() == [1]
    assert labels["known_us"].unique().to_list() == [int(at.timestamp() * 1_000_000)]
    features = history(telecom_features(), events_of(usage, labels, scored)).join(usage, on="event_id")
    with_known_frauds = features.filter(pl.col("sub_known_frauds_30d") > 0)
    assert with_known_frauds["started_at"].min() > at
    assert set(with_known_frauds["subscriber"]) == set(query_rows(scored, f"SELECT party FROM cases WHERE case_id = '{case}'")[0])


def test_labels_of_transactions_older_than_any_window_are_read_by_their_day(scored: Project) -> None:
    case = query_rows(scored, "SELECT case_id FROM cases WHERE day = '2024-03-02' AND probability > 0.5")[0][0]
    decide(scored, case, "confirmed", decided_by="a", clock=lambda: datetime(2024, 4, 20, tzinfo=UTC))
    with Lake.open(scored, read_only=True) as lake:
        upto = lake.last_position()
        window = FeatureSet((), (Feature("f", ("subscriber",), 2 * 86_400_000_000, "count"),))
        assert first_day_needed(lake, window, after=upto - 2, upto=upto) == date(2024, 3, 22)
        labels = label_events(lake, scored, decisions_of(lake, scored), upto=upto)
        assert labels["day"].unique().to_list() == [date(2024, 3, 2)]
        assert set(labels["subscriber"]) == {"+99970000000"}
        assert label_events(lake, scored, decisions_of(lake, scored), upto=upto, since_us=labels["at_us"][0]).is_empty()


def test_a_transaction_after_the_decision_on_its_case_is_open(scored: Project) -> None:
    case = query_rows(scored, "SELECT case_id FROM cases WHERE day = '2024-03-02' AND probability > 0.5")[0][0]
    decide(scored, case, "dismissed", note="known", decided_by="a", clock=lambda: datetime(2024, 3, 2, 2, 30, tzinfo=UTC))
    by = query_rows(
        scored, f"SELECT status, max(started_at) FROM suspicious_transactions WHERE case_id = '{case}' GROUP BY status ORDER BY 1"
    )
    assert [status for status, _ in by] == ["dismissed", "open"]
    assert by[0][1] <= datetime(2024, 3, 2, 2, 30, tzinfo=UTC)


def test_a_single_transaction_can_be_decided_on_and_outranks_its_case(scored: Project) -> None:
    event, case = query_rows(
        scored, "SELECT event_id, case_id FROM suspicious_transactions ORDER BY probability DESC NULLS LAST LIMIT 1"
    )[0]
    decide(scored, case, "confirmed", decided_by="a")
    decide(scored, event, "dismissed", note="known", decided_by="a")
    assert query_rows(scored, f"SELECT status FROM suspicious_transactions WHERE event_id = '{event}'") == [("dismissed",)]
    with pytest.raises(TrueupError, match="there is no finding"):
        decide(scored, "0" * 32, "confirmed", decided_by="a")


def test_training_without_decisions_reports_that_all_labels_are_honest(operator: Project) -> None:
    with pytest.raises(ModelError, match="all labels say honest"):
        train(operator)


def test_a_missing_model_or_an_invalid_role_cannot_be_promoted(operator: Project) -> None:
    with Lake.open(operator) as lake:
        with pytest.raises(ModelError, match=r"has no card\.json"):
            promote(lake, telecom_features(), "nothing")
        with pytest.raises(TrueupError, match="invalid role"):
            promote(lake, telecom_features(), model_of(operator), role="king")


def test_a_model_damaged_after_its_promotion_stops_scoring_with_an_error(operator: Project) -> None:
    model_id = put_in_force(operator)
    path = operator.directory / "models" / model_id / "model.ubj"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError, match="damaged"):
        score(operator)
    assert query_rows(operator, "SELECT count(*) FROM lake.events.score") == [(0,)]


def test_the_model_in_force_is_the_last_one_declared_for_a_position(operator: Project) -> None:
    model_id = put_in_force(operator, since=5)
    with Lake.open(operator) as lake:
        assert [(s.after, s.upto, s.role) for s in model_intervals(lake, after=0, upto=20)] == [(5, 20, "champion")]
        promote(lake, telecom_features(), model_id, role="retired", since=12)
        assert [(s.after, s.upto) for s in model_intervals(lake, after=0, upto=20)] == [(5, 12)]
    score(operator)
    roles = dict(query_rows(operator, "SELECT role, sum(transactions)::INT FROM fraud_daily WHERE source <> 'rule' GROUP BY role"))
    assert roles["champion"] + roles["none"] == len(records())


def test_champion_and_challenger_are_compared_on_the_same_later_days(operator: Project) -> None:
    put_in_force(operator)
    found = compare(operator, truth=operator.directory / "truth.parquet")
    assert [(c.role, c.had_seen) for c in found] == [("challenger", False), ("champion", True)]
    assert found[0].average_precision > 0.5


def test_drift_is_measured_for_every_feature_and_for_the_margin(scored: Project) -> None:
    rows = query_rows(scored, "SELECT feature, transactions, psi, verdict FROM fraud_drift WHERE day = '2024-03-20'")
    assert {r[0] for r in rows} == {*telecom_features().names, "(margin)"}
    assert all(r[1] == 48 + 30 * (19 % 2) and r[2] >= 0 for r in rows)


def test_scoring_batch_by_batch_with_a_state_gives_the_scores_of_one_run(operator: Project) -> None:
    model_id = put_in_force(operator)
    declared, config = telecom_features(), operator.config.fraud
    with Lake.open(operator, read_only=True) as lake:
        upto = lake.last_position()
        parts = model_intervals(lake, after=0, upto=upto)
        usage = usage_of(lake, upto=upto)
        events = events_of(usage, labels_of(lake, operator, usage, None), operator)
    from trueup.fraud.scoring.model_registry import models_of

    models = models_of(operator, declared, parts)
    events = with_cell_areas(events, config.rule)
    declared = with_rule_features(declared, config.rule)
    one_run = score_transactions(events, history(declared, events), parts, models, config, upto=upto)
    state, found = State.of(declared, events.clear()), []
    # Positions 7 and 8 arrive twice, as after a restart.
    for position in [*range(1, 9), 7, 8, *range(9, upto + 1)]:
        arrived = events.filter(pl.col("position") == position)
        features, state = advance(declared, State.unpack(state.pack(), declared), arrived, lateness_us=86_400_000_000)
        if features.height:
            found.append(score_transactions(arrived, features, parts, models, config, upto=position).score)
    stepwise = pl.concat(found)
    assert model_id in set(stepwise["name"])
    assert score_digest(stepwise) == score_digest(one_run.score)
    score(operator)
    stored = with_retries(
        operator,
        lambda w: w.connection.execute("SELECT event_id, source, name, margin, party_rank, party FROM lake.events.score").pl(),
    )
    assert score_digest(stored) == score_digest(one_run.score)


def test_every_fraud_command_works_and_reports_its_result(operator: Project, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--project", str(operator.directory)]
    assert main(["train", "--truth", str(operator.directory / "truth.parquet"), *where]) == 0
    for card in (operator.directory / "models").glob("*/card.md"):
        assert ("](calibration.svg)" in card.read_text("utf-8")) == card.with_name("calibration.svg").exists()
    assert main(["promote", model_of(operator), "--since", "0", *where]) == 0
    assert main(["score", *where]) == 0
    assert f"{len(records())} transactions" in capsys.readouterr().out
    assert main(["train", "--compare", "--truth", str(operator.directory / "truth.parquet"), "--json", *where]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert main(["try-rules", "--truth", str(operator.directory / "truth.parquet"), "--json", *where]) == 0
    tried = {r["rule"]: r for r in json.loads(capsys.readouterr().out)}
    assert (tried["premium-range"]["precision"], tried["watched"]["frauds"]) == (1, 30)
    assert main(["digest", *where]) == 0
    assert "scores" in capsys.readouterr().out
    assert main(["train", "--truth", "nowhere.parquet", *where]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[fraud.rule]]\nname = "r"\nkind = "hot_list"', "needs `numbers`"),
        ('[[fraud.rule]]\nname = "r"\nkind = "range"', "needs `prefixes`"),
        ('[[fraud.rule]]\nname = "r"\nkind = "velocity"', "needs `feature`"),
        ('[[fraud.rule]]\nname = "r"\nkind = "travel"', "needs `within`"),
        ('[[fraud.rule]]\nname = "r"\nkind = "overlap"\n[[fraud.rule]]\nname = "r"\nkind = "overlap"', "two rules"),
        ("[fraud]\nalerts_per_day = 0", "alerts_per_day"),
    ],
)
def test_invalid_fraud_settings_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_scores_are_verified_by_the_decisions_and_settings_of_their_time(scored: Project) -> None:
    case = query_rows(scored, "SELECT case_id FROM cases WHERE day = '2024-03-02' AND probability > 0.5")[0][0]
    decide(scored, case, "confirmed", decided_by="a", clock=lambda: datetime(2024, 3, 3, tzinfo=UTC))
    line = "c99,voice,+99970000000,+99990010000,C1-1,2024-03-25 10:00:00,60\n"
    (scored.directory / "landing/99.csv").write_text(f"id,service,caller,called,cell,start,seconds\n{line}", "utf-8")
    ingest(scored)
    assert score(scored).transactions == 1
    with Lake.open(without_rules(scored), read_only=True) as lake:
        result = verify(lake, only=("scores", "decisions"))
        assert (result.faults, result.checks[0].notes) == ((), ())
    with Lake.open(scored) as lake:
        lake.connection.execute("UPDATE lake.events.consumer SET configuration = NULL WHERE consumer = 'score'")
    with Lake.open(without_rules(scored), read_only=True) as lake:
        result = verify(lake, only=("scores",))
        assert "did not record their settings" in result.checks[0].notes[0]
