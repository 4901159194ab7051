from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from trueup.config import FraudConfig, HotRule
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.feature_spec import FeatureError
from trueup.fraud.features.telecom import telecom_features, transactions
from trueup.fraud.scoring.rules import back_test, rule_matches, with_cell_areas, with_rule_features

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
CONFIG = FraudConfig(home_prefixes=("+999",), premium_prefixes=("+999900",))


def call(
    number: int, minute: float, caller: str, called: str | None, *, seconds: int = 60, cell: str = "A-1", service: str = "voice"
) -> dict:
    return {
        "event_id": number, "bucket": 0, "subscriber": caller, "peer": called, "service": service, "direction": None, "node": "N",
        "cell": cell, "started_at": NOON + timedelta(minutes=minute), "quantity_micros": seconds * 1_000_000, "attributes": None,
        "position": 1, "day": NOON.date(),
    }  # fmt: skip


SCHEMA = {"peer": pl.String, "direction": pl.String, "attributes": pl.String}


def matched(rule: HotRule, *calls: dict) -> list[int]:
    events = with_cell_areas(transactions(pl.DataFrame(list(calls), schema_overrides=SCHEMA), CONFIG), [rule])
    return rule_matches([rule], events, history(with_rule_features(telecom_features(), [rule]), events))["event_id"].to_list()


def rule(kind: str, **settings: object) -> HotRule:
    return HotRule(name="r", kind=kind, **settings)  # type: ignore[arg-type]


def test_a_hot_list_matches_the_caller_and_the_called_number() -> None:
    hot = rule("hot_list", numbers=["+1", "+2"])
    assert matched(hot, call(1, 0, "+1", "+9"), call(2, 1, "+8", "+2"), call(3, 2, "+8", "+9"), call(4, 3, "+8", None)) == [1, 2]


def test_a_range_matches_the_called_number_and_not_the_caller() -> None:
    watch = rule("range", prefixes=["+22", "+33"])
    calls = (call(1, 0, "+1", "+2211"), call(2, 1, "+1", "+4411"), call(3, 2, "+1", "+3311", service="incoming"))
    assert matched(watch, *calls) == [1]


def test_numbers_of_rules_and_records_are_compared_in_one_form() -> None:
    hot, watch = rule("hot_list", numbers=["00 1 (234)"]), rule("range", prefixes=["0022"])
    calls = (call(1, 0, "tel:+1234", "+9"), call(2, 1, "+8", "+2211"), call(3, 2, "+8", "22-11"))
    assert (matched(hot, *calls), matched(watch, *calls)) == ([1], [2, 3])


def test_velocity_matches_from_the_first_transaction_over_the_limit() -> None:
    fast = rule("velocity", feature="sub_outgoing_1h", above=2)
    assert matched(fast, *(call(n, n, "+1", f"+9{n}") for n in range(5)), call(9, 70, "+1", "+2")) == [2, 3, 4]


def test_overlap_counts_calls_in_progress() -> None:
    assert matched(rule("overlap"), call(1, 0, "+1", "+2", seconds=600), call(2, 5, "+1", "+3"), call(3, 20, "+1", "+4")) == [2]


def test_travel_matches_two_distant_areas_within_minutes() -> None:
    travel = rule("travel", within="30m")
    calls = (call(1, 0, "+1", "+2", cell="A-1"), call(2, 10, "+1", "+2", cell="A-7"), call(3, 20, "+1", "+2", cell="B-1"))
    assert matched(travel, *calls, call(4, 90, "+1", "+2", cell="A-1")) == [3]


def test_a_rule_on_an_unknown_feature_is_an_error() -> None:
    with pytest.raises(FeatureError, match="'speed', an unknown feature"):
        matched(rule("velocity", feature="speed"), call(1, 0, "+1", "+2"))


def test_a_back_test_counts_only_transactions_with_a_known_label() -> None:
    matches = pl.DataFrame({"event_id": [1, 2, 9], "rule": ["r"] * 3, "shadow": [False] * 3, "reason": [""] * 3})
    known = pl.DataFrame({"event_id": [1, 2, 3, 4], "fraud": [True, False, True, True]})
    (row,) = back_test(matches, known).to_dicts()
    assert (row["transactions"], row["frauds"], row["precision"], row["recall"]) == (2, 1, 0.5, 1 / 3)


def test_a_number_is_classified_by_its_prefix_and_home_by_the_settings() -> None:
    called = ("+99970000002", "+999900123456", "+442079460123", "+449098790000")
    calls = pl.DataFrame([call(1, 0, "+99970000001", number) for number in called], schema_overrides=SCHEMA)
    events = transactions(calls, CONFIG)
    assert events["to_abroad"].to_list() == [False, False, True, True]
    assert events["to_premium"].to_list() == [False, True, False, True]
