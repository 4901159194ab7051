"""A table of a user's own: rows of entities with a time, a label and features, trained on and scored like calls."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from shops import BEGIN, shops

from trueup.cli import main
from trueup.fraud.scoring.model import CARD_TEXT, Model, ModelError
from trueup.fraud.tables.declaration import OTHER, TableColumns, TableError
from trueup.fraud.tables.encode import encoded, features_of
from trueup.fraud.tables.read_table import facts_of, read_table
from trueup.fraud.tables.table_run import load_table_model, score_table, train_table
from trueup.fraud.training.cost import ReviewCost
from trueup.fraud.training.train import DAY_US, Settings

SETTINGS = Settings(alerts_per_day=3, label_delay_us=DAY_US, trials=1, folds=2)
COLUMNS = TableColumns("shop", "at", "fraud", money="amount", category=("channel",))
DECLARED = ["--id", "shop", "--time", "at", "--label", "fraud", "--money", "amount", "--category", "channel"]


def written(rows: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        rows.write_csv(path)
    else:
        rows.write_parquet(path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    path = written(shops(), folder / "shops.parquet")
    return train_table(path, COLUMNS, SETTINGS, models=folder / "models").folder


def model_of(folder: Path) -> Model:
    return load_table_model(folder)[0]


# --- training and scoring ---------------------------------------------------------------------------------------------


def test_a_model_of_a_table_ranks_the_frauds_of_later_days_first_and_its_card_has_their_money(trained: Path) -> None:
    card = model_of(trained).card
    assert card["metrics"]["average_precision"] > 0.9
    assert card["metrics"]["value_detected_ratio"] > 0.9
    assert card["trained_on"]["last_us"] > card["trained_on"]["first_us"]
    assert any("one value in training" in spot and "tills" in spot for spot in card["blind_spots"])
    assert "value detected ratio" in (trained / CARD_TEXT).read_text("utf-8")


def test_the_same_rows_in_another_order_and_format_give_the_same_model(trained: Path, tmp_path: Path) -> None:
    shuffled = shops().sample(fraction=1.0, shuffle=True, seed=4)
    again = train_table(written(shuffled, tmp_path / "shops.csv"), COLUMNS, SETTINGS, models=tmp_path)
    assert again.folder.name == trained.name


def test_later_rows_are_scored_with_reasons_and_measured_without_hindsight(trained: Path, tmp_path: Path) -> None:
    scored = score_table(written(shops(6, 45), tmp_path / "later.parquet"), trained)
    found = scored.rows.filter("suspicious")
    assert found["shop"].to_list() == shops(6, 45).filter(pl.col("fraud") == 1)["shop"].to_list()
    assert scored.metrics["average_precision"] == 1.0
    assert scored.metrics["value_detected_ratio"] == 1.0
    assert not scored.rows["in_sample"].any()
    sentences = json.loads(found["sentences"][0])
    assert any(text.startswith(("refunds is 3", "refunds is 4", "amount is")) and "honest rows:" in text for text in sentences)


def test_rows_that_the_model_was_trained_on_are_marked_and_not_measured(trained: Path, tmp_path: Path) -> None:
    scored = score_table(written(shops(), tmp_path / "again.parquet"), trained)
    assert scored.rows["in_sample"].all()
    assert scored.metrics == {}


def test_a_table_without_labels_is_scored(trained: Path, tmp_path: Path) -> None:
    plain = shops(6, 45).drop("fraud")
    scored = score_table(written(plain, tmp_path / "new.csv"), trained)
    assert scored.suspicious == 8
    assert scored.metrics == {}


def test_a_feature_that_never_varied_in_training_and_varies_later_is_reported(trained: Path, tmp_path: Path) -> None:
    later = shops(60, 45).with_columns(tills=pl.int_range(pl.len()) % 5)
    scored = score_table(written(later, tmp_path / "later.parquet"), trained)
    assert "tills" in scored.drifted
    same = score_table(written(shops(60, 45), tmp_path / "same.parquet"), trained)
    assert same.drifted == ()


def test_a_feature_equal_to_the_label_is_named_by_the_card_and_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = shops().with_columns(charged_back=pl.col("fraud"), closed=pl.when(pl.col("fraud") == 1).then(1))
    path = written(rows, tmp_path / "shops.parquet")
    assert main(["train-table", str(path), *DECLARED, "--label-delay", "1d", "--trials", "1", "--models", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "charged_back equals the label: if it is known only afterwards, train again with --ignore" in shown.err
    assert "closed is missing for one class" in shown.err
    assert "refunds" in shown.err  # The generated frauds have more refunds than any honest row.
    card = next(tmp_path.glob("*/card.md")).read_text("utf-8")
    assert "- charged_back equals the label" in card


def test_rows_without_a_label_count_as_honest_after_the_delay_with_less_weight(tmp_path: Path) -> None:
    rows = shops().with_columns(fraud=pl.when(pl.col("fraud") == 1).then(1))
    model = train_table(written(rows, tmp_path / "s.csv"), COLUMNS, SETTINGS, models=tmp_path).model
    assert model.card["decided"] == rows["fraud"].sum()
    assert model.card["transactions"] < rows.height
    assert model.card["metrics"]["average_precision"] > 0.9


def test_the_threshold_by_cost_leaves_out_rows_that_are_not_worth_their_review(tmp_path: Path) -> None:
    path = written(shops(), tmp_path / "shops.parquet")
    cheap, dear, ruinous = (
        train_table(path, COLUMNS, Settings(3, DAY_US, 2, 1, review_cost=ReviewCost(micros, 0)), models=tmp_path).model
        for micros in (1_000_000, 100_000_000, 10_000_000_000)
    )
    assert cheap.card["thresholds"]["cost"] <= dear.card["thresholds"]["cost"]
    assert dear.threshold == max(dear.card["thresholds"].values())
    assert dear.card["by_cost"]["net_micros"] > 0
    assert "cost" not in ruinous.card["thresholds"]
    assert "the budget alone sets it" in (tmp_path / ruinous.model_id / CARD_TEXT).read_text("utf-8")


# --- columns ----------------------------------------------------------------------------------------------------------


def test_a_value_that_training_had_not_is_another_value_and_a_missing_one_is_missing() -> None:
    features = features_of(shops(2), COLUMNS)
    rows = shops(1).head(3).with_columns(channel=pl.Series(["web", "phone", None]))
    values = encoded(rows, features)
    assert values["channel is web"].to_list() == [1.0, 0.0, None]
    assert values[f"channel is {OTHER}"].to_list() == [0.0, 1.0, None]


def test_ids_of_a_csv_file_keep_their_zeros_and_times_their_zone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("shop,at,fraud,amount,channel\n007,2024-03-01T02:00:00+02:00,1,0.10,web\n008,2024-03-01,,,\n", "utf-8")
    facts = facts_of(read_table(path, COLUMNS), COLUMNS, label_delay_us=DAY_US)
    assert facts["party"].to_list() == ["007", "008"]
    assert facts["at_us"].n_unique() == 1
    assert facts["loss_micros"].to_list() == [100_000, None]
    assert facts["decided_us"].is_null().to_list() == [False, True]


def changed(**columns: pl.Expr | pl.Series) -> pl.DataFrame:
    return shops(12).with_columns(**columns)


NO_TIMES = pl.lit(None, pl.Datetime)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (shops(12).drop("fraud"), COLUMNS, "there is no column 'fraud'.*--label.*its columns are shop, at"),
        (shops(12), TableColumns("nowhere", "at", "fraud"), "there is no column 'nowhere'"),
        (shops(12).head(0), COLUMNS, "the table has no rows"),
        (changed(fraud=pl.lit(0)), COLUMNS, "no row is labelled as fraud"),
        (changed(fraud=pl.lit(1)), COLUMNS, "all rows are labelled as fraud"),
        (changed(fraud=pl.lit(None, pl.Int64)), COLUMNS, "no row has a label"),
        (changed(fraud=pl.int_range(pl.len()) % 3), COLUMNS, "80 labels are neither 0 nor 1; row 3 has 2"),
        (changed(fraud=pl.lit(0.5)), COLUMNS, "row 1 has 0.5"),
        (changed(fraud=pl.lit("yes")), COLUMNS, "row 1 has 'yes'"),
        (changed(at=NO_TIMES), COLUMNS, "rows have no 'at', the first is row 1"),
        (changed(at=pl.lit("soon")), COLUMNS, "row 1 has 'soon' as 'at', which is not a time"),
        (changed(at=pl.lit(3)), COLUMNS, "holds Int32 and no times"),
        (changed(at=pl.lit(BEGIN)), COLUMNS, "rows share their id and time"),
        (changed(shop=pl.col("amount")), COLUMNS, "write it as text or as whole numbers"),
        (changed(), TableColumns("shop", "at", "fraud"), "'channel' is text.*--category channel.*--ignore channel"),
        (changed(opened=pl.col("at")), COLUMNS, "'opened' holds Datetime"),
        (changed(), TableColumns("shop", "at", "fraud", category=("amount", "channel")), "the category 'amount' holds Float64"),
        (changed(amount=-pl.col("amount")), COLUMNS, "are not amounts of money; row 1"),
        (changed(amount=pl.lit("1e29")), COLUMNS, r"not amounts of money; row 1 has '1e29' .*from 0 to 9223372036854\.775807"),
        (changed(amount=pl.lit("9223372036854.775808")), COLUMNS, "are not amounts of money"),
        (changed(amount=pl.lit("1" + "0" * 29)), COLUMNS, "are not amounts of money; row 1 has '10"),
        (changed(at=pl.lit("0001-01-01T00:00:00+14:00")), COLUMNS, "which is not a time"),
        (changed(refunds=pl.lit(float("inf"))), COLUMNS, "'refunds' has infinite values"),
        (changed(event_id=pl.lit(1)), COLUMNS, "cannot be named 'event_id'"),
        (changed(shop=pl.int_range(pl.len()), at=pl.lit(BEGIN)), COLUMNS, "no later days have frauds.*give more rows"),
        (shops(12).select("shop", "at", "fraud"), TableColumns("shop", "at", "fraud"), "the table has no features"),
        (changed(seen=pl.col("at") - timedelta(1)), TableColumns("shop", "at", "fraud", known="seen", ignore=("channel",)),
         "labels are known before the time of their row"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(
    rows: pl.DataFrame, columns: TableColumns, message: str, tmp_path: Path
) -> None:
    with pytest.raises((TableError, ModelError), match=message):
        train_table(written(rows, tmp_path / "t.parquet"), columns, SETTINGS, models=tmp_path)


def test_a_column_declared_twice_is_refused() -> None:
    with pytest.raises(TableError, match="'at' is declared twice"):
        TableColumns("at", "at", "fraud")
    with pytest.raises(TableError, match="the party cannot be the column 'fraud'"):
        TableColumns("shop", "at", "fraud", party="fraud")
    with pytest.raises(TableError, match="the money cannot be the column 'at'"):
        TableColumns("shop", "at", "fraud", money="at")


def test_features_of_the_names_of_own_columns_are_kept(tmp_path: Path) -> None:
    # `type`, `day` and `is_call` are names of columns that the program uses itself.
    rows = shops().rename({"refunds": "type", "tills": "day"}).with_columns(is_call=pl.col("type") % 2)
    model = train_table(written(rows, tmp_path / "t.parquet"), COLUMNS, SETTINGS, models=tmp_path).model
    assert model.card["metrics"]["average_precision"] > 0.9
    assert model.card["reference"]["type"]["shares"][-1] == 0.0  # No value of it is missing.


def test_a_table_without_a_feature_and_a_model_of_something_else_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="lacks features of the model: refunds"):
        score_table(written(shops(2).drop("refunds"), tmp_path / "t.parquet"), trained)
    with pytest.raises(TableError, match="row 1 has 'many' as 'refunds'"):
        score_table(written(shops(2).with_columns(refunds=pl.lit("many")), tmp_path / "u.parquet"), trained)
    with pytest.raises(ModelError, match="there is no model"):
        score_table(tmp_path / "t.parquet", tmp_path / "nowhere")
    (tmp_path / "card.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match="not trained on a table"):
        score_table(tmp_path / "t.parquet", tmp_path)


# --- commands ---------------------------------------------------------------------------------------------------------


def test_the_commands_train_score_and_write_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, later = written(shops(), tmp_path / "shops.csv"), written(shops(6, 45), tmp_path / "later.csv")
    options = ["--label-delay", "1d", "--alerts-per-day", "3", "--trials", "1", "--review-cost", "2.50", "--seed", "3"]
    assert main(["train-table", str(table), *DECLARED, *options, "--models", str(tmp_path / "models")]) == 0
    said = capsys.readouterr().out
    assert "value detected ratio" in said
    folder = next((tmp_path / "models").iterdir())
    assert f"next: trueup score-table FILE --model {folder}" in said
    assert main(["score-table", str(later), "--model", str(folder), "--to", str(tmp_path / "out.csv")]) == 0
    said = capsys.readouterr().out
    assert "120 rows scored, 8 suspicious" in said
    assert "on the labelled rows after training: average precision 1.000" in said
    assert pl.read_csv(tmp_path / "out.csv").height == 120
    assert main(["score-table", str(later), "--model", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["suspicious"] == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label-delay", "soon"], "invalid duration 'soon'"), (["--review-cost", "-1"], "is negative"),
        (["--review-cost", "a"], "invalid decimal number"),
    ],
)  # fmt: skip
def test_an_invalid_option_is_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train-table", str(tmp_path / "t.csv"), *DECLARED, *options]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


def test_a_cost_without_money_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train-table", str(tmp_path / "t.csv"), *DECLARED[:6], "--review-cost", "1"]) == 2
    assert "name its column with --money" in capsys.readouterr().err


# --- a published table ------------------------------------------------------------------------------------------------


def test_card_payments_of_the_handbook_are_trained_on_as_a_table(fdh: Path, tmp_path: Path) -> None:
    """The published window features are a table of a user's own; a week of it trains, the next ones test."""
    features = pl.read_parquet(fdh / "window_features.parquet")
    payments = pl.read_parquet(fdh / "transactions.parquet").drop("TX_FRAUD_SCENARIO", "TERMINAL_ID")
    rows = payments.join(features, on="TRANSACTION_ID").filter(
        (pl.col("TX_FRAUD") == 1) | (pl.col("TRANSACTION_ID") % 10 == 0)
    )  # fmt: skip
    last = rows["TX_DATETIME"].max() - timedelta(days=7)
    early = written(rows.filter(pl.col("TX_DATETIME") < last), tmp_path / "early.parquet")
    late = written(rows.filter(pl.col("TX_DATETIME") >= last), tmp_path / "late.parquet")
    columns = TableColumns("TRANSACTION_ID", "TX_DATETIME", "TX_FRAUD", party="CUSTOMER_ID", money="TX_AMOUNT")
    folder = train_table(early, columns, Settings(trials=1, folds=2), models=tmp_path).folder
    metrics = score_table(late, folder).metrics
    assert metrics["auc"] > 0.8
    assert metrics["average_precision"] > 0.55
    assert metrics["value_detected_ratio"] > 0.5
