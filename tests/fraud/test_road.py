"""The fraud commands in their documented order: each works and names the next one."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime

import pytest
from small_operator import model_of, put_in_force, query_rows, records

from trueup.cli import main
from trueup.config import Project
from trueup.errors import ConfigError, TrueupError
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.monitoring.fit_budget import fitted_threshold
from trueup.fraud.scoring import starter
from trueup.fraud.scoring.model_registry import model_intervals, promote
from trueup.fraud.scoring.score_run import score
from trueup.fraud.training.train_run import train
from trueup.log.lake import Lake
from trueup.proof.verify import verify
from trueup.warehouse.decide import decide

RULES = "[[fraud.rule]]"


def changed(project: Project, old: str, new: str) -> Project:
    path = project.directory / "trueup.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    return Project.load(project.directory)


def without_rules(project: Project) -> Project:
    path = project.directory / "trueup.toml"
    path.write_text(path.read_text("utf-8").split(RULES)[0], "utf-8")
    return Project.load(project.directory)


def test_train_promote_and_score_work_in_this_order_and_each_names_the_next(
    operator: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--project", str(without_rules(operator).directory)]
    model_id = model_of(operator)
    assert main(["score", *where]) == 0
    assert f"next: trueup promote {model_id}" in capsys.readouterr().out
    assert main(["score", "--since", "2024-03-01", *where]) == 2
    assert f"next: trueup promote {model_id}" in capsys.readouterr().err
    assert main(["promote", model_id, *where]) == 0
    said = capsys.readouterr().out
    assert "it applies to all records" in said
    assert "next: trueup score" in said
    assert main(["score", *where]) == 0
    said = capsys.readouterr().out
    assert f"{len(records())} transactions" in said
    assert "next: trueup sql" in said


def test_a_model_promoted_after_rules_have_scored_names_the_command_for_earlier_records(
    operator: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    score(operator)
    where = ["--project", str(operator.directory)]
    assert main(["promote", model_of(operator), *where]) == 0
    assert "for earlier ones: trueup score --since 2024-03-01" in capsys.readouterr().out
    assert main(["score", "--since", "2024-03-01", *where]) == 0
    said = capsys.readouterr().out
    assert "suspicious" in said
    assert "prove nothing: in_sample" in said


def test_the_champion_is_no_challenger_of_the_same_records(operator: Project, capsys: pytest.CaptureFixture[str]) -> None:
    model_id, where = put_in_force(operator, since=5), ["--project", str(operator.directory)]
    for since in ((), ("--since", "3"), ("--since", "5"), ("--since", "12")):
        assert main(["promote", model_id, "--as", "challenger", *since, *where]) == 2
        said = capsys.readouterr().err
        assert "is the champion of records after position" in said and "`--as retired`" in said
    assert main(["promote", model_id, "--as", "retired", "--since", "8", *where]) == 0
    assert main(["promote", model_id, "--as", "challenger", "--since", "7", *where]) == 2
    assert main(["promote", model_id, "--as", "challenger", "--since", "8", "--fit-budget", *where]) == 2
    assert "a challenger raises no alerts, so it has no threshold" in capsys.readouterr().err
    assert main(["promote", model_id, "--as", "challenger", "--since", "8", *where]) == 0
    with Lake.open(operator) as lake:
        roles = [(s.role, s.after, s.upto) for s in model_intervals(lake, after=0, upto=20)]
    assert roles == [("champion", 5, 8), ("challenger", 8, 20)]


def test_without_a_model_the_message_names_the_commands_that_make_one(operator: Project) -> None:
    shutil.rmtree(operator.directory / "models")
    assert "`trueup train` trains one" in score(without_rules(operator)).skipped


def test_views_and_counts_mark_scores_of_days_that_trained_the_model(operator: Project) -> None:
    put_in_force(operator)
    score(operator)
    trained = json.loads((operator.directory / "models" / model_of(operator) / "card.json").read_text("utf-8"))["trained_on"]
    last = datetime.fromtimestamp(trained["last_us"] / 1e6, UTC)
    rows = query_rows(operator, "SELECT started_at <= $$" + last.isoformat() + "$$::TIMESTAMPTZ, in_sample FROM suspicious_transactions "
                      "WHERE model_id IS NOT NULL")  # fmt: skip
    assert rows and all(before == seen for before, seen in rows)
    assert query_rows(operator, "SELECT count(*) > 5 FROM cases WHERE in_sample") == [(True,)]
    counted = query_rows(operator, "SELECT sum(in_sample) FROM fraud_daily WHERE role = 'champion'")[0][0]
    assert 0 < counted <= len(records())


def test_decisions_train_a_model_however_late_they_are(operator: Project) -> None:
    put_in_force(operator)
    score(operator)
    for case, probability in query_rows(operator, "SELECT case_id, probability FROM cases WHERE probability IS NOT NULL"):
        # Years after the records, as on the first walk over a backlog.
        decide(operator, case, "confirmed" if probability > 0.5 else "dismissed", note="checked", decided_by="a")
    trained = train(operator)
    assert trained.model.card["decided"] > 100
    assert trained.model.card["frauds"] > 100
    assert trained.model.card["metrics"]["average_precision"] > 0.5


def test_a_party_both_confirmed_and_dismissed_is_counted_as_a_contradiction(operator: Project) -> None:
    put_in_force(operator)
    score(operator)
    cases = query_rows(operator, "SELECT case_id FROM cases WHERE probability > 0.5")
    for (case,) in cases:
        decide(operator, case, "confirmed", decided_by="a")
    decide(operator, cases[0][0], "dismissed", note="it was a test", decided_by="b")
    assert train(operator).model.card["contradictions"] > 0


def test_the_threshold_is_fitted_to_the_budget_and_the_declared_one_is_proven(operator: Project) -> None:
    operator = without_rules(operator)
    put_in_force(operator)
    score(operator)
    with Lake.open(operator) as lake:
        with pytest.raises(TrueupError, match=r"not trained on|budget of 2 is kept"):
            fitted_threshold(lake, model_of(operator))
        promote(lake, telecom_features(), model_of(operator), since=None, threshold=0.999)
    line = "\n".join(f"c{n},voice,+99970000003,+9999001{n % 6:04d},C1-1,2024-03-26 02:{n:02d}:00,900" for n in range(40))
    (operator.directory / "landing/99.csv").write_text(f"id,service,caller,called,cell,start,seconds\n{line}\n", "utf-8")
    assert main(["ingest", "--project", str(operator.directory)]) == 0
    assert score(operator).suspicious == 0
    with Lake.open(operator, read_only=True) as lake:
        assert verify(lake, only=("scores",)).faults == ()


def test_a_model_of_other_home_prefixes_is_refused(operator: Project) -> None:
    abroad = changed(operator, 'home_prefixes = ["+999"]', 'home_prefixes = ["+49"]')
    with Lake.open(abroad) as lake, pytest.raises(TrueupError, match="trained with home_prefixes"):
        promote(lake, telecom_features(), model_of(abroad))


def test_a_mistyped_feature_of_a_rule_is_reported_by_every_command_in_one_line(
    operator: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="did you mean sub_premium_1h"):
        changed(
            operator,
            'name = "watched"',
            'name = "typo"\nkind = "velocity"\nfeature = "sub_premum_1h"\n[[fraud.rule]]\nname = "watched"',
        )
    assert main(["score", "--project", str(operator.directory)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_money_ranks_cases_and_is_counted_once(operator: Project) -> None:
    loss = '[[fraud.loss]]\nservice = "voice"\nprice = "0.06"\nprice_per = 60\npremium_price = "1.2"\ncurrency = "EUR"\n'
    operator = changed(operator, '[[fraud.rule]]\nname = "watched"', loss + '[[fraud.rule]]\nname = "watched"')
    put_in_force(operator)
    score(operator)
    rows = query_rows(operator, "SELECT sum(exposure), count(*) FILTER (is_first) FROM suspicious_transactions")
    money = query_rows(
        operator, "SELECT sum(e) FROM (SELECT any_value(loss_micros) * 0.000001 AS e FROM lake.events.score GROUP BY event_id)"
    )
    assert rows[0][0] == money[0][0]
    (top,) = query_rows(operator, "SELECT exposure, exposure_per_hour, exposure_currency, action FROM cases "
                        "WHERE type = 'fraud' AND rank_of_day = 1 AND day = '2024-03-02'")  # fmt: skip
    # Thirty calls of fifteen minutes to premium numbers within an hour.
    assert top[:3] == (540, 540, "EUR")
    assert "Bar premium" in top[3]


def test_the_card_has_the_share_of_money_detected_and_a_threshold_by_the_cost_of_reviews(operator: Project) -> None:
    loss = '[[fraud.loss]]\nservice = "voice"\nprice = "0.06"\nprice_per = 60\npremium_price = "1.2"\ncurrency = "EUR"\n'
    operator = changed(operator, '[[fraud.rule]]\nname = "watched"', loss + '[[fraud.rule]]\nname = "watched"')
    operator = changed(operator, "trials = 1", 'trials = 1\nreview_cost = "5"')
    trained = train(operator, truth=operator.directory / "truth.parquet").model
    assert 0.9 < trained.card["metrics"]["value_detected_ratio"] <= 1
    assert trained.threshold == max(trained.card["thresholds"].values())
    assert trained.card["review_cost_micros"] == 5_000_000
    with Lake.open(operator) as lake:
        promote(lake, telecom_features(), trained.model_id)
    summary = score(operator)
    assert summary.exposure is not None and summary.exposure > 540
    assert (summary.currency, summary.value_detected_ratio) == ("EUR", trained.card["metrics"]["value_detected_ratio"])
    daily = query_rows(operator, "SELECT sum(exposure) > 540, sum(confirmed_exposure) FROM fraud_daily WHERE role = 'champion'")
    assert daily == [(True, None)]


def test_the_starter_is_installed_once_and_scores_without_any_label(operator: Project) -> None:
    model_id = starter.install(operator)
    assert starter.install(operator) == model_id
    put_in_force_starter(operator, model_id)
    assert score(operator).transactions == len(records())
    assert query_rows(operator, f"SELECT count(*) FROM suspicious_transactions WHERE model_id = '{model_id}' AND in_sample") == [
        (0,)
    ]


def put_in_force_starter(project: Project, model_id: str) -> None:
    with Lake.open(project) as lake:
        promote(lake, telecom_features(), model_id)
