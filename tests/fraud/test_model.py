from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xgboost as xgb
from card_dataset_fixture import DECLARED, SETTINGS, payments, table

from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.feature_spec import Feature, FeatureSet
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.scoring.model import Model, ModelError, load_model
from trueup.fraud.scoring.model_score import contributions, score_features, with_reasons
from trueup.fraud.scoring.reason_text import sentence
from trueup.fraud.scoring.reasons import reasons_of
from trueup.fraud.scoring.typology import typology_of, typology_of_rule
from trueup.fraud.training.budget import NEVER, Room, cases_of, room_for_model, threshold_for
from trueup.fraud.training.calibrate import Calibration
from trueup.fraud.training.card import recall_by_type
from trueup.fraud.training.cost import CostThreshold, ReviewCost, cost_threshold
from trueup.fraud.training.cross_fit import cross_fitted
from trueup.fraud.training.folds import Known, Table, folds, known_at
from trueup.fraud.training.metrics import auc_roc, average_precision, party_precision
from trueup.fraud.training.train import train_model


@pytest.fixture(scope="module")
def model() -> Model:
    return train_model(DECLARED, table(), SETTINGS)


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    return history(DECLARED, payments())


# --- training ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_and_data_give_the_same_bytes_and_the_same_card(model: Model, tmp_path: Path) -> None:
    again = train_model(DECLARED, table(), SETTINGS)
    assert again.trees == model.trees
    first, second = model.save(tmp_path / "a"), again.save(tmp_path / "b")
    assert [f.read_bytes() for f in sorted(first.iterdir())] == [f.read_bytes() for f in sorted(second.iterdir())]


def test_a_fold_trains_only_on_labels_known_before_its_first_test_day() -> None:
    world = table()
    for fold in folds(world, 3):
        begin = world.rows["at_us"].to_numpy()[fold.test].min()
        known = world.rows.select(pl.min_horizontal("decided_us", "honest_us")).to_series().to_numpy()
        assert fold.cut_us <= begin
        assert known[fold.train.at].max() <= fold.cut_us


def test_a_model_trained_on_earlier_days_ranks_the_frauds_of_later_days_first(model: Model) -> None:
    assert model.card["metrics"]["average_precision"] > 0.9
    assert model.card["frauds"] == 65
    low, high = model.card["intervals"]["average_precision"]
    assert low <= model.card["metrics"]["average_precision"] <= high


def test_what_is_known_at_a_cut_does_not_depend_on_anything_after_it() -> None:
    world = table()
    fold = folds(world, 3)[1]
    after = (world.rows["at_us"] >= fold.cut_us).to_numpy()
    later = (pl.col("decided_us") > fold.cut_us).fill_null(value=True)
    shuffled = np.random.default_rng(1).permutation(np.flatnonzero(after))
    order = np.arange(len(after))
    order[np.flatnonzero(after)] = shuffled
    other = world.rows.with_columns(
        fraud=pl.when(pl.Series(after) | later).then(~pl.col("fraud")).otherwise("fraud"), decided_us=pl.when(~later).then("decided_us")
    )  # fmt: skip
    known, changed = known_at(world, fold.cut_us), known_at(Table(world.values[order], other), fold.cut_us)
    assert known.at.tolist() == changed.at.tolist()
    assert known.fraud.tolist() == changed.fraud.tolist()
    assert known.weight.tolist() == changed.weight.tolist()


def test_transactions_of_a_wrong_clock_do_not_move_the_folds() -> None:
    world = table()
    jumped = world.rows.with_columns(
        pl.when(pl.int_range(pl.len()) == n).then(pl.col(c) + shift).otherwise(c).alias(c)
        for n, shift in ((world.rows.height - 1, 3_650 * DAY),)
        for c in ("at_us", "honest_us")
    )
    expected, found = folds(world, 3), folds(Table(world.values, jumped), 3, now_us=int(world.rows["honest_us"].max()))
    for one, other in zip(expected, found, strict=True):
        assert abs(one.cut_us - other.cut_us) < DAY


def test_a_setting_is_not_judged_by_the_fold_that_chose_it(model: Model) -> None:
    world = table()
    parts = folds(world, SETTINGS.folds)
    # The first fold only chooses the settings, and the later folds judge them.
    first_judged = world.rows["day"].to_numpy()[parts[1].test].min()
    assert model.card["evaluated"]["from"] == str(first_judged)


def test_recall_by_kind_is_within_the_budget_of_each_day_and_the_worst_comes_first() -> None:
    rows = pl.DataFrame({
        "day": [1, 1, 1, 2, 2], "party": ["a", "b", "c", "a", "b"], "score": [0.9, 0.8, 0.1, 0.7, 0.6],
        "fraud": [True, False, True, False, True], "type": ["loud", None, "quiet", None, "quiet"],
    })  # fmt: skip
    assert recall_by_type(rows, 1) == [
        {"type": "quiet", "transactions": 2, "alerted": 0}, {"type": "loud", "transactions": 1, "alerted": 1},
    ]  # fmt: skip
    assert recall_by_type(rows, 2)[0] == {"type": "quiet", "transactions": 2, "alerted": 1}


def test_the_card_names_the_kinds_that_are_missed_and_features_that_never_varied() -> None:
    world = table()
    values = world.values.copy()
    values[:, DECLARED.names.index("mean")] = 7
    rows = world.rows.with_columns(type=pl.when("fraud").then(pl.lit("card_theft")))
    card = train_model(DECLARED, Table(values, rows), SETTINGS).card
    missed = [spot for spot in card["blind_spots"] if spot.startswith("card_theft: ")]
    (of_type,) = card["by_type"]
    assert bool(missed) == (2 * of_type["alerted"] < of_type["transactions"])
    assert any("one value in training" in spot and "mean" in spot for spot in card["blind_spots"])


def test_the_threshold_alerts_no_more_parties_a_day_than_the_budget() -> None:
    days = [1, 1, 1, 2, 2, 2]
    rows = pl.DataFrame({"day": days, "party": [1, 1, 2, 1, 2, 3], "score": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]})
    assert threshold_for(rows, 1) == 0.7
    assert threshold_for(rows, 2) == 0.5
    assert threshold_for(rows, 100) == 0.4


def test_cases_of_rules_use_their_part_of_the_budget_and_are_not_counted_again_for_the_model() -> None:
    rows = pl.DataFrame({"day": [1, 1, 1, 1], "party": ["a", "b", "c", "d"], "score": [0.9, 0.8, 0.7, 0.6]})
    of_rules = pl.DataFrame({"day": [1, 1, 1, 9], "party": ["a", "a", "x", "b"], "rule": ["hot", "far", "hot", "hot"]})
    # Of a budget of four, the rules have two on this day; of three they leave one.
    assert threshold_for(rows, 4, of_rules) == 0.7
    assert threshold_for(rows, 3, of_rules) == 0.8
    assert threshold_for(rows, 3) == 0.7
    assert room_for_model(rows, 3, of_rules) == Room(1, 2, 1, {"hot": 2, "far": 1})


def test_rules_that_use_the_whole_budget_leave_the_model_only_scores_above_all_others() -> None:
    rows = pl.DataFrame({"day": [1, 1, 1], "party": ["a", "b", "c"], "score": [0.9, 0.8, 0.7]})
    of_rules = pl.DataFrame({"day": [1, 1, 1], "party": ["a", "x", "y"], "rule": ["hot"] * 3})
    threshold = threshold_for(rows, 2, of_rules)
    # The highest score of no rule is that of b: with it, the day would have four cases.
    assert 0.8 < threshold < 0.800001


def test_the_card_names_the_rules_that_leave_nothing_of_the_budget(model: Model, tmp_path: Path) -> None:
    world, budget = table(), SETTINGS.alerts_per_day
    assert "budget" not in model.card
    days = world.rows.select("day").unique()
    of_rules = pl.DataFrame({"rule": ["hot"] * budget, "party": range(-budget, 0)}).select(
        "rule", pl.col("party").cast(world.rows.schema["party"])
    )
    crowded = train_model(DECLARED, world, replace(SETTINGS, taken=days.join(of_rules, how="cross")))
    of = crowded.card["budget"]
    assert (of["left_for_the_model"], of["cases_of_rules"]) == (0, budget * of["days"])
    text = (crowded.save(tmp_path) / "card.md").read_text("utf-8")
    assert f"on {of['days']} ordinary days rules had {budget * of['days']}, and left 0 to the model" in text
    assert f"raises a case of its own (hot {budget:.1f} a day)" in text
    assert crowded.threshold > model.threshold


def test_a_day_of_many_cases_of_rules_takes_nothing_from_the_other_days() -> None:
    days, parties = range(4), "abc"
    rows = pl.DataFrame(
        [(day, party, 0.9 - 0.1 * n) for day in days for n, party in enumerate(parties)],
        schema=["day", "party", "score"],
        orient="row",
    )
    of_rules = pl.DataFrame([(0, f"x{n}", "hot") for n in range(40)], schema=["day", "party", "rule"], orient="row")
    # Three days have room for one case each. On the fourth, what is over the budget waits behind it.
    assert room_for_model(rows, 1, of_rules).left == 3
    assert threshold_for(rows, 1, of_rules) > 0.9
    assert threshold_for(rows, 2, of_rules) == 0.9


def test_the_second_accused_party_of_a_transaction_is_a_case_of_the_budget_too() -> None:
    rows = pl.DataFrame({
        "day": [1, 1, 1], "party": ["a", "b", "c"], "second_party": ["x", None, None], "score": [0.9, 0.8, 0.7],
    })  # fmt: skip
    assert sorted(cases_of(rows)["party"]) == ["a", "b", "c", "x"]
    # Both ends of the first transaction are a case, so there is room for one case more.
    assert threshold_for(rows, 3) == 0.8
    assert threshold_for(rows.drop("second_party"), 3) == 0.7


def test_a_threshold_is_set_on_scores_by_trees_as_many_as_the_final_ones() -> None:
    world = table()
    seen: list[set] = []

    def train(known: Known) -> xgb.Booster:
        seen.append(set(world.rows["party"][known.at]))
        data = xgb.DMatrix(world.values[known.at], known.fraud, weight=known.weight)
        return xgb.train({"objective": "binary:logistic", "nthread": 1}, data, 2)

    owners = [DECLARED.owners[name] for name in DECLARED.names]
    scored = cross_fitted(world.take(np.arange(200)), world.take(np.arange(200, 300)), train, owners, budget=2)
    assert scored is not None
    assert scored["event_id"].to_list() == world.rows["event_id"][:300].to_list()
    assert scored["is_known"].sum() == 200
    # Each transaction was scored by trees that had not seen its party.
    parties = set(world.rows["party"][:200])
    assert all(parties - of for of in seen)
    assert set().union(*(parties - of for of in seen)) == parties
    alone = world.rows.head(200).with_columns(fraud=pl.col("party") == world.rows["party"][0])
    assert cross_fitted(Table(world.values[:200], alone), None, train, owners, budget=2) is None


def test_quiet_days_do_not_raise_the_number_of_cases_on_ordinary_ones() -> None:
    # Ten parties on each of three ordinary days, then thirty days of test calls of one party.
    ordinary = [(day, party, 1 - party / 100) for day in range(3) for party in range(10)]
    tests = [(day, 99, 0.01) for day in range(3, 33) for _ in range(2)]
    rows = pl.DataFrame([*ordinary * 3, *tests], schema=["day", "party", "score"], orient="row")
    threshold = threshold_for(rows.filter(pl.col("day") < 3), 4)
    assert rows.filter((pl.col("day") == 0) & (pl.col("score") >= threshold))["party"].n_unique() == 4
    alike = pl.concat([rows, rows.filter(pl.col("day") < 3).with_columns(pl.col("day") + 100)] + [
        rows.filter(pl.col("day") < 3).with_columns(pl.col("day") + n) for n in range(200, 240, 3)
    ])  # fmt: skip
    assert threshold_for(alike, 4) == threshold


def test_the_threshold_by_cost_is_where_the_money_stopped_exceeds_the_reviews_most() -> None:
    hour, money = 3_600_000_000, 1_000_000
    rows = pl.DataFrame({
        "day": [1] * 5, "party": ["a", "a", "b", "c", "c"], "at_us": [0, 2 * hour, 0, 0, 2 * hour],
        "fraud": [True, True, False, True, True], "loss_micros": [10 * money, 50 * money, 0, 5 * money, 4 * money],
        "score": [0.9, 0.9, 0.8, 0.3, 0.3],
    })  # fmt: skip
    # The fraud of a is stopped before its second call: 50. Each lower threshold adds a review of 10, and the last threshold a call
    # of 4.
    assert cost_threshold(rows, ReviewCost(10 * money)) == CostThreshold(0.9, 1, 40 * money)
    assert cost_threshold(rows, ReviewCost(money)) == CostThreshold(0.3, 3, 51 * money)
    assert cost_threshold(rows, ReviewCost(50 * money)) is None
    assert cost_threshold(rows.head(0), ReviewCost(money)) is None


def test_equal_scores_do_not_exceed_the_budget() -> None:
    rows = pl.DataFrame({"day": [1] * 5, "party": [1, 2, 3, 4, 5], "score": [0.9, 0.8, 0.8, 0.8, 0.1]})
    assert threshold_for(rows, 2) == 0.9
    assert threshold_for(rows.with_columns(score=pl.lit(0.8)), 2) == NEVER


@pytest.mark.parametrize(("fraud", "message"), [(False, "all labels say honest"), (True, "all labels say fraud")])
def test_training_on_labels_of_one_class_is_refused(fraud: bool, message: str) -> None:
    world = table()
    with pytest.raises(ModelError, match=message):
        train_model(DECLARED, Table(world.values, world.rows.with_columns(fraud=pl.lit(fraud))), SETTINGS)


def test_training_without_labels_is_refused() -> None:
    world = table()
    with pytest.raises(ModelError, match="no transaction has a known label"):
        train_model(DECLARED, Table(world.values[:0], world.rows.head(0)), SETTINGS)


def test_training_with_all_labels_after_the_last_day_is_refused() -> None:
    world = table()
    late = world.rows.with_columns(decided_us=pl.when("fraud").then(10**15))
    with pytest.raises(ModelError, match="earlier labels could predict"):
        train_model(DECLARED, Table(world.values, late), SETTINGS)


def test_a_constant_feature_contributes_nothing() -> None:
    world = table()
    values = world.values.copy()
    values[:, DECLARED.names.index("spent")] = 7
    flat = train_model(DECLARED, Table(values, world.rows), SETTINGS)
    assert "spent" not in {DECLARED.names[int(f[1:])] for f in flat.booster().get_score()}


# --- the folder -------------------------------------------------------------------------------------------------------


def test_a_model_loaded_from_its_folder_gives_equal_scores(model: Model, tmp_path: Path, features: pl.DataFrame) -> None:
    back = load_model(model.save(tmp_path), DECLARED)
    assert back.model_id == model.model_id
    assert score_features(back, features).equals(score_features(model, features))
    card_text = (tmp_path / model.model_id / "card.md").read_text("utf-8")
    assert "What it cannot see" in card_text
    assert "Calibration" in card_text and "calibration.svg" not in card_text
    model.save(tmp_path, picture="<svg/>")
    assert "](calibration.svg)" in (tmp_path / model.model_id / "card.md").read_text("utf-8")
    assert (tmp_path / model.model_id / "calibration.svg").read_text("utf-8") == "<svg/>"


def test_a_model_of_other_features_is_refused(model: Model, tmp_path: Path) -> None:
    other = replace_window(DECLARED)
    with pytest.raises(ModelError, match="other features"):
        load_model(model.save(tmp_path), other)


def replace_window(declared: FeatureSet) -> FeatureSet:
    first = declared.features[0]
    longer = Feature(first.name, first.entity, first.window_us + 1, first.aggregate)
    return replace(declared, features=(longer, *declared.features[1:]))


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b.replace(b"cents", b"cants", 1) + b" ", lambda _: b""])
def test_a_damaged_model_file_is_refused(model: Model, tmp_path: Path, spoil) -> None:
    folder = model.save(tmp_path)
    (folder / "model.ubj").write_bytes(spoil((folder / "model.ubj").read_bytes()))
    with pytest.raises(ModelError, match="damaged"):
        load_model(folder, DECLARED)


def test_an_edited_card_a_missing_model_and_an_invalid_card_are_refused(model: Model, tmp_path: Path) -> None:
    folder = model.save(tmp_path)
    card = json.loads((folder / "card.json").read_text("utf-8"))
    (folder / "card.json").write_text(json.dumps({**card, "threshold": 0.0}), "utf-8")
    with pytest.raises(ModelError, match="damaged"):
        load_model(folder, DECLARED)
    (folder / "card.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match="the card lacks"):
        load_model(folder, DECLARED)
    (folder / "card.json").write_text("no json", "utf-8")
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(folder, DECLARED)
    with pytest.raises(ModelError, match=r"has no card\.json"):
        load_model(tmp_path / "nowhere", DECLARED)


# --- scoring ----------------------------------------------------------------------------------------------------------


def test_the_score_of_a_row_is_independent_of_other_rows(model: Model, features: pl.DataFrame) -> None:
    together = score_features(model, features)
    shuffled = score_features(model, features.sample(fraction=1.0, shuffle=True, seed=3)).sort("event_id")
    assert shuffled.equals(together.sort("event_id"))
    for row in (0, 77, features.height - 1):
        assert score_features(model, features[row : row + 1]).equals(together[row : row + 1])


def test_reasons_sum_to_the_margin_of_every_row(model: Model, features: pl.DataFrame) -> None:
    added = contributions(model, features)
    assert np.abs(added.sum(axis=1) - score_features(model, features)["margin"].to_numpy()).max() < 1e-4


def test_reasons_are_sentences_of_the_greatest_contributions_and_sum_to_the_margin(model: Model, features: pl.DataFrame) -> None:
    scores = score_features(model, features)
    suspicious = features.filter(scores["suspicious"])
    for row in with_reasons(model, suspicious).join(scores, on="event_id").head(20).iter_rows(named=True):
        reasons = json.loads(row["reasons"])
        assert reasons["base"] + sum(reasons["adds"].values()) == pytest.approx(row["margin"], abs=1e-4)
        assert 1 <= len(reasons["sentences"]) <= 3


def test_a_missing_feature_is_an_error(model: Model, features: pl.DataFrame) -> None:
    with pytest.raises(ModelError, match="'spent' is missing"):
        score_features(model, features.drop("spent"))


def test_an_infinite_value_is_an_error(model: Model, features: pl.DataFrame) -> None:
    with pytest.raises(ModelError, match="'mean' has infinite"):
        score_features(model, features.with_columns(mean=pl.lit(float("inf"))))


def test_a_missing_value_is_scored(model: Model, features: pl.DataFrame) -> None:
    blank = features.with_columns(mean=pl.lit(None, pl.Float64))
    assert score_features(model, blank)["margin"].is_finite().all()


def test_scoring_no_rows_returns_no_rows(model: Model, features: pl.DataFrame) -> None:
    assert score_features(model, features.head(0)).height == 0
    assert with_reasons(model, features.head(0)).height == 0


# --- words and measures -----------------------------------------------------------------------------------------------


DAY = 86_400_000_000


@pytest.mark.parametrize(
    ("name", "row", "usual", "text"),
    [
        ("sub_premium_1h", {"sub_premium_1h": 23}, (0, 3),
         "23 calls and messages to premium numbers by this subscriber in 1 hour; others: 0, one in 100 above 3"),
        ("sub_seconds_24h", {"sub_seconds_24h": 9_000, "sub_seconds_7d": 12_600, "sub_age_30d": 9 * DAY}, (60, 1_800),
         "2.5 hours of calls by this subscriber in 24 hours; own usual: 10 minutes of calls; others: 60 seconds, one in 100 above 30 minutes"),
        ("sub_kilobytes_24h", {"sub_kilobytes_24h": 3_400_000}, None, "3.4 GB of data by this subscriber in 24 hours"),
        ("pair_count_30d", {"pair_count_30d": 1}, (3, 20), "the first contact between these two in 30 days"),
        ("sub_age_30d", {"sub_age_30d": 7_200_000_000}, None, "the first record by this subscriber was 2.0 hours ago"),
        ("sub_premium_share_24h", {"sub_premium_share_24h": 0.875}, (0, 0.1),
         "88 % of this subscriber's calls and messages in 24 hours go to premium numbers; others: 0 %, one in 100 above 10 %"),
        ("to_premium", {"to_premium": True}, None, "it goes to a premium number"),
        ("to_premium", {"to_premium": False}, None, None),
        ("seconds", {"seconds": 1_700}, None, "the call lasts 28 minutes"),
        ("peer_rung_1h", {"peer_rung_1h": None}, None, None),
        ("peer_rung_1h", {"peer_rung_1h": 41}, (1, 2), "41 different subscribers rung from this number in 1 hour; others: 1, one in 100 above 2"),
        ("pair_rung_ago_24h", {"pair_rung_ago_24h": 120_000_000}, None, "the subscriber calls a number that rang 2 minutes before"),
        ("range_ringing_24h", {"range_ringing_24h": 4}, None, "4 different numbers calling from this range of numbers in 24 hours"),
        ("range_known_frauds_30d", {"range_known_frauds_30d": 1}, None, "1 record known as fraud to this range of numbers in 30 days"),
        ("sub_abroad_1h", {"sub_abroad_1h": 2, "sub_abroad_24h": 2, "sub_abroad_7d": 4, "sub_age_30d": 9 * DAY}, (0, 2),
         "2 calls and messages abroad by this subscriber in 1 hour; own usual: less than 1; others: 0, one in 100 above 2"),
        ("sub_today_share", {"sub_today_share": 0.57}, (0.2, 1),
         "57 % of this subscriber's calls and messages in 7 days are of the last 24 hours; others: 20 %, one in 100 has 100 %"),
        ("sub_mean_seconds_24h", {"sub_mean_seconds_24h": 180}, None, "3 minutes per call on average by this subscriber in 24 hours"),
        ("anything_else", {"anything_else": 2}, None, "anything else is 2"),
    ],
)  # fmt: skip
def test_a_feature_is_written_as_a_sentence(name: str, row: dict, usual: tuple | None, text: str | None) -> None:
    assert sentence(name, row, usual) == text


def test_every_feature_of_telephony_has_a_sentence_of_its_own() -> None:
    row = dict.fromkeys(telecom_features().names, 3)
    texts = {name: sentence(name, row) for name in row}
    assert not [name for name, text in texts.items() if text is not None and f"{name.replace('_', ' ')} is" in text]


def test_reasons_are_at_most_three_and_name_no_feature_that_is_usual_or_lowers_the_score() -> None:
    names = ("sub_premium_1h", "sub_abroad_1h", "sub_night_24h", "sub_short_1h", "peer_rung_1h", "to_abroad")
    owners = ("subscriber",) * 4 + ("peer", "actor")
    row = dict(zip(names, (9, 9, 1, 9, 50, False), strict=True)) | {"is_received": False}
    usual = {"other": {"sub_night_24h": (2.0, 5.0)}}
    added = np.array([2.0, 1.5, 1.4, -3.0, 0.1, 1.0, -4.0])
    (found,) = reasons_of(names, owners, added, row, usual, has_peer=True)
    content = json.loads(found.text)
    assert [s.split(" by ")[0] for s in content["sentences"]] == [
        "9 calls and messages to premium numbers",
        "9 calls and messages abroad",
    ]
    assert content["typology"] == "revenue_share"
    assert "Bar premium" in content["action"]


def sentences_of(names: tuple[str, ...], row: dict, added: list[float], owner: str = "subscriber") -> list[str]:
    (found,) = reasons_of(names, (owner,) * len(names), np.array([*added, -3.0]), row, {}, has_peer=False)
    return json.loads(found.text)["sentences"]


def test_behaviour_is_named_before_features_of_one_transaction() -> None:
    names = ("to_abroad", "pair_count_30d", "sub_abroad_1h")
    row = {"to_abroad": True, "pair_count_30d": 1, "sub_abroad_1h": 9, "is_received": False}
    assert sentences_of(names, row, [3.0, 2.0, 1.0]) == [
        "9 calls and messages abroad by this subscriber in 1 hour", "it goes abroad", "the first contact between these two in 30 days",
    ]  # fmt: skip


def test_a_reason_does_not_repeat_the_amount_of_another() -> None:
    names = ("sub_free_kilobytes_24h", "sub_kilobytes_24h", "sub_cells_24h")
    row = {"sub_free_kilobytes_24h": 12_800_000, "sub_kilobytes_24h": 12_800_000, "sub_cells_24h": 1, "is_received": False}
    assert [s.partition(" by ")[0] for s in sentences_of(names, row, [3.0, 2.0, 1.0])] == ["12.8 GB of free data", "1 cell"]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"to_premium": True, "to_abroad": True, "sub_age_30d": DAY}, "revenue_share"),
        ({"to_abroad": True, "sub_age_30d": DAY}, "subscription"),
        ({"to_abroad": True, "sub_age_30d": 20 * DAY}, "revenue_share"),
        ({"to_abroad": False, "sub_age_30d": DAY}, "sim_box"),
        ({"to_premium": True, "to_abroad": True, "range_rung_7d": 40, "range_short_ring_share_7d": 1.0}, "wangiri"),
        ({"is_message": True, "sub_sims_7d": 2}, "account_takeover"),
        ({"is_message": True, "sub_sims_7d": 1}, "inflated_messages"),
    ],
)
def test_the_facts_of_a_transaction_name_its_kind_of_fraud(row: dict, kind: str) -> None:
    assert typology_of(["sub_called_24h", "pair_count_30d"], row, "subscriber").name == kind


NIGHT = {"to_premium": True, "to_abroad": True, "sub_off_hours_24h": 20, "sub_outgoing_24h": 24, "sub_premium_7d": 20}
OFFICE = {"sub_outgoing_7d": 60, "sub_off_hours_7d": 24}
"""Of the other forty calls, four are outside office hours."""
HOME = {"sub_outgoing_7d": 60, "sub_off_hours_7d": 40}
"""Of the other forty calls, twenty are outside office hours."""


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (NIGHT | OFFICE, "pbx_hacking"),
        (NIGHT | OFFICE | {"to_premium": False}, "pbx_hacking"),
        (NIGHT | HOME, "revenue_share"),
        (NIGHT | OFFICE | {"sub_outgoing_7d": 26}, "revenue_share"),
        (NIGHT | OFFICE | {"sub_off_hours_24h": 7}, "revenue_share"),
        (NIGHT | OFFICE | {"sub_outgoing_24h": 50}, "revenue_share"),
        (NIGHT | OFFICE | {"is_roaming": True}, "roaming"),
        (NIGHT | OFFICE | {"sub_sims_7d": 2}, "account_takeover"),
        (NIGHT | OFFICE | {"range_rung_7d": 40, "range_short_ring_share_7d": 1.0}, "wangiri"),
    ],
)
def test_a_burst_outside_the_office_hours_of_a_business_line_is_pbx_hacking_and_no_other_is(row: dict, kind: str) -> None:
    assert typology_of(["sub_premium_1h", "sub_abroad_1h"], row, "subscriber").name == kind
    # The rules that name either kind agree, whichever rule matches.
    assert {typology_of_rule(named, row, "subscriber").name for named in ("revenue_share", "pbx_hacking")} == {kind}
    assert typology_of_rule("sim_box", row, "subscriber").name == "sim_box"


def test_a_session_is_suspected_with_its_usual_volume_and_not_with_its_size_alone() -> None:
    names = ("kilobytes", "sub_kilobytes_24h")
    row = {"kilobytes": 900_000, "sub_kilobytes_24h": 9_000_000, "sub_kilobytes_7d": 9_120_000, "is_received": False}
    row |= {"sub_age_30d": 20 * DAY}
    assert sentences_of(names, row, [3.0, 0.1]) == [
        "9.0 GB of data by this subscriber in 24 hours; own usual: 20 MB of data",
        "the session carries 900 MB; own usual of a day: 20 MB of data",
    ]


def test_a_received_call_accuses_its_caller_only_where_the_callers_behaviour_explains_the_score() -> None:
    names, owners = ("sub_called_24h", "peer_rung_24h"), ("subscriber", "peer")
    row = {"sub_called_24h": 90, "peer_rung_24h": 60, "is_received": True}

    def accused(of_subscriber: float, of_peer: float, *, has_peer: bool = True) -> list[str]:
        found = reasons_of(names, owners, np.array([of_subscriber, of_peer, -3.0]), row, {}, has_peer=has_peer)
        return [r.accusation.side for r in found]

    assert accused(3.0, 0.2) == ["subscriber"]
    assert accused(0.2, 3.0) == ["peer"]
    assert accused(2.0, 3.0) == ["peer", "subscriber"]
    assert accused(0.2, 3.0, has_peer=False) == ["subscriber"]


def test_ranking_measures_equal_those_computed_by_hand() -> None:
    fraud = np.array([True, False, True, False])
    assert auc_roc(fraud, np.array([0.9, 0.8, 0.7, 0.1])) == 0.75
    assert auc_roc(fraud, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert average_precision(fraud, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(fraud, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert np.isnan(auc_roc(np.array([True]), np.array([1.0])))


def test_a_party_caught_on_one_day_is_left_out_of_the_next() -> None:
    rows = pl.DataFrame({
        "day": [1, 1, 2, 2], "party": ["a", "b", "a", "b"], "score": [0.9, 0.1, 0.8, 0.7], "fraud": [True, False, True, False],
    })  # fmt: skip
    assert party_precision(rows, budget=1) == 0.5
    assert party_precision(rows, budget=1, forget_caught=False) == 1.0


def test_calibration_preserves_the_ranking_and_the_number_of_frauds() -> None:
    margin = np.repeat(np.array([-3.0, 0.0, 3.0]), 1_000)
    fraud = np.concatenate([np.arange(1_000) < n for n in (20, 100, 400)])
    probability = Calibration.fitted(margin, fraud).probability(margin)
    assert probability[0] < probability[1_500] < probability[-1]
    assert probability.sum() == pytest.approx(fraud.sum(), rel=0.02)


def test_calibration_on_one_class_has_slope_1_and_shift_0() -> None:
    assert Calibration.fitted(np.array([1.0, 2.0]), np.array([False, False])) == Calibration()
