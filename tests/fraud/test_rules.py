from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from trueup.config import FraudConfig, FraudLoss, HotRule
from trueup.config.fraud_vocabulary import NUMBERS, TIMES
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.telecom import telecom_features, transactions, with_labels
from trueup.fraud.scoring.detectors import DETECTORS, detector_rules
from trueup.fraud.scoring.rules import back_test, rule_matches, rules_of, with_cell_areas, with_rule_features

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


def matches(rule: HotRule, *calls: dict) -> pl.DataFrame:
    events = with_cell_areas(transactions(pl.DataFrame(list(calls), schema_overrides=SCHEMA), CONFIG), [rule])
    declared = with_rule_features(telecom_features(), [rule])
    return rule_matches([rule], events, history(declared, events), declared.owners)


def matched(rule: HotRule, *calls: dict) -> list[int]:
    return matches(rule, *calls)["event_id"].unique().sort().to_list()


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "velocity", "feature": "sub_premum_1h"}, "did you mean sub_premium_1h"),
        ({"kind": "velocity", "feature": "speed"}, "there is no number 'speed'"),
        ({"kind": "all", "when": ["speed > 1"]}, "there is no number 'speed'"),
        ({"kind": "all", "when": ["sub_premium_1h above 3"]}, "invalid condition"),
        ({"kind": "all", "when": ["sub_age_30d < 3"]}, "give its limit a unit"),
        ({"kind": "all", "when": ["sub_premium_1h > 3h"]}, "its limit has no unit"),
        ({"kind": "all"}, "needs `when`"),
        ({"kind": "travel", "within": "30m", "area": "^[A-Z]"}, "needs a group"),
    ],
)
def test_a_rule_is_checked_when_it_is_loaded(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rule(**settings)


def test_the_numbers_that_rules_compare_are_the_fraud_features() -> None:
    declared = telecom_features()
    assert set(declared.names) == NUMBERS
    assert {f.name for f in declared.features if f.aggregate.startswith("since")} == TIMES


def test_a_rule_of_conditions_matches_where_all_hold_and_names_them_in_its_reasons() -> None:
    burst = rule("all", when=["sub_premium_1h >= 2", "to_premium = 1", "sub_age_30d < 1d"], action="Bar premium numbers.")
    found = matches(burst, call(1, 0, "+1", "+99990011"), call(2, 1, "+1", "+99990012"), call(3, 2, "+1", "+98"))
    assert found["event_id"].to_list() == [2]
    reasons = json.loads(found["reasons"][0])
    assert reasons["sentences"] == [
        "r: 2 calls and messages to premium numbers by this subscriber in 1 hour; own usual: none yet, it is new; limit: 2 or more",
        "r: it goes to a premium number",
        "r: the first record by this subscriber was 1 minute ago; limit: below 1.0 days",
    ]
    assert reasons["action"] == "Bar premium numbers."


def test_a_rule_accuses_the_party_whose_behaviour_it_describes() -> None:
    rung = [call(n, n, f"+9997000{n}", "+33999", service="incoming", seconds=1) for n in range(1, 4)]
    assert matches(rule("velocity", feature="peer_rung_24h", above=2), *rung)["side"].to_list() == ["peer"]
    assert matches(rule("velocity", feature="sub_received_24h", above=0), *rung)["side"].unique().to_list() == ["subscriber"]
    blamed = rule("velocity", feature="peer_rung_24h", above=2, party="subscriber")
    assert matches(blamed, *rung)["side"].to_list() == ["subscriber"]
    hot = matches(rule("hot_list", numbers=["+33999", "+99970001"]), *rung)
    assert list(hot.select("event_id", "side").iter_rows()) == [(1, "peer"), (1, "subscriber"), (2, "peer"), (3, "peer")]


def test_detectors_are_applied_in_shadow_or_alert_and_an_own_rule_of_the_same_name_replaces_one() -> None:
    assert rules_of(CONFIG) == ()
    in_shadow = FraudConfig(detectors="shadow", rule=(rule("overlap").model_copy(update={"name": "sim-box"}),))
    assert [r.name for r in rules_of(in_shadow)][:1] == ["sim-box"]
    assert sorted(r.name for r in rules_of(in_shadow)) == sorted(DETECTORS)
    assert {r.shadow for r in detector_rules("alert")} == {False}


def detected(*calls: dict) -> list[tuple[str, str]]:
    """Return the detectors that match some calls, and the party that each accuses."""
    events = transactions(pl.DataFrame(list(calls), schema_overrides=SCHEMA), CONFIG)
    declared = telecom_features()
    found = rule_matches(detector_rules("alert"), events, history(declared, events), declared.owners)
    parties = found.join(events.select("event_id", "subscriber", "peer"), on="event_id")
    party = pl.when(pl.col("side") == "peer").then("peer").otherwise("subscriber")
    return sorted(set(parties.select("rule", party).rows()))


def test_detectors_see_a_wangiri_number_and_accuse_it_and_not_the_subscribers_it_rings() -> None:
    rings = [call(n, n, f"+9997000{n:04d}", "+21670123456", service="incoming", seconds=1) for n in range(1, 13)]
    back = call(20, 30, "+99970000003", "+21670123456")
    assert detected(*rings, back) == [
        ("wangiri-call-back", "+21670123456"), ("wangiri-range", "+21670123456"), ("wangiri-ring", "+21670123456"),
    ]  # fmt: skip


def test_detectors_see_a_sim_box_and_not_a_call_centre_whose_calls_often_fail() -> None:
    box = [call(n, n * 5, "+99970000001", f"+999700{n:05d}", seconds=120) for n in range(60)]
    assert detected(*box) == [("sim-box", "+99970000001")]
    centre = [call(n, n * 5, "+99970000001", f"+999700{n:05d}", seconds=0 if n % 3 == 0 else 120) for n in range(60)]
    assert detected(*centre) == []


def test_detectors_see_calls_to_premium_numbers_and_messages_to_consecutive_ones() -> None:
    hacked = [call(n, n * 5, "+99970000001", f"+99990012345{n % 4}", seconds=600) for n in range(12)]
    assert ("premium-burst", "+99970000001") in detected(*hacked)
    bulk = [call(n, n, "+99970000001", f"+4479460{n:05d}", seconds=1, service="sms") for n in range(10)]
    assert detected(*bulk) == [("message-sequence", "+99970000001")]


def named(*calls: dict) -> set[str]:
    """Return the kinds of fraud that the detectors name in some calls."""
    events = transactions(pl.DataFrame(list(calls), schema_overrides=SCHEMA), CONFIG)
    declared = telecom_features()
    found = rule_matches(detector_rules("alert"), events, history(declared, events), declared.owners)
    return {json.loads(text)["typology"] for text in found.filter(pl.col("rule") == "premium-off-hours")["reasons"]}


def test_a_detector_names_premium_calls_by_night_pbx_hacking_only_of_a_line_used_in_office_hours() -> None:
    day, midnight = 24 * 60, -12 * 60
    night = midnight + 6 * day + 60
    burst = [call(100 + n, night + n * 2, "+99970000001", f"+99990012345{n % 4}", seconds=600) for n in range(30)]
    office = [call(n, midnight + n * day + 10 * 60, "+99970000001", "+99970000002") for n in range(6)]
    home = [call(50 + n, midnight + n * day + 20 * 60, "+99970000001", "+99970000002") for n in range(6)]
    assert named(*office, *burst) == {"pbx_hacking"}
    assert named(*office, *home, *burst) == {"revenue_share"}
    assert named(*burst) == {"revenue_share"}


def test_detectors_see_gigabytes_in_a_free_class() -> None:
    free = [call(n, n * 60, "+99970000001", None, seconds=900_000, service="zero_rated", cell=f"A-{n}") for n in range(5)]
    assert detected(*free) == [("free-volume", "+99970000001")]


def test_a_back_test_is_over_all_of_the_log_with_labelled_and_unlabelled_apart() -> None:
    found = pl.DataFrame({"event_id": [1, 2, 5], "rule": ["r"] * 3, "side": ["subscriber"] * 3})
    rows = pl.DataFrame({
        "event_id": [1, 2, 3, 4, 5], "fraud": [True, False, True, True, None], "day": [NOON.date()] * 4 + [NOON.date() + timedelta(1)],
        "subscriber": ["a", "a", "b", "c", "a"], "peer": [None] * 5, "loss_micros": [2_000_000, 500_000, 0, 0, 1_000_000],
    }, schema_overrides={"peer": pl.String})  # fmt: skip
    (row,) = back_test([rule("overlap")], found, rows).to_dicts()
    assert (row["transactions"], row["frauds"], row["honest"], row["unlabelled"], row["cases"]) == (3, 1, 1, 1, 2)
    assert (row["precision"], row["recall"], row["loss_micros"]) == (0.5, 1 / 3, 3_500_000)
    days = back_test([rule("overlap")], found, rows, by_day=True).to_dicts()
    assert [(d["day"].day, d["transactions"], d["precision"], d["loss_micros"]) for d in days] == [
        (1, 2, 0.5, 2_500_000),
        (2, 1, None, 1_000_000),
    ]


def test_the_loss_of_a_transaction_is_the_price_of_its_service_and_destination() -> None:
    losses = (FraudLoss(service="voice", price="0.06", price_per=60, premium_price="1.5", abroad_price="0.3", currency="EUR"),)
    priced = FraudConfig(home_prefixes=("+999",), premium_prefixes=("+999900",), loss=losses)
    calls = [call(1, 0, "+1", "+9997", seconds=90), call(2, 1, "+1", "+99990012"), call(3, 2, "+1", "+442079460123")]
    calls.append(call(4, 3, "+1", "+9997", service="sms"))
    events = transactions(pl.DataFrame(calls, schema_overrides=SCHEMA), priced)
    assert events["loss_micros"].to_list() == [90_000, 1_500_000, 300_000, None]
    assert events["currency"].to_list() == ["EUR", "EUR", "EUR", None]


def test_a_number_is_classified_by_its_prefix_and_home_by_the_settings() -> None:
    called = ("+99970000002", "+999900123456", "+442079460123", "+449098790000")
    calls = pl.DataFrame([call(1, 0, "+99970000001", number) for number in called], schema_overrides=SCHEMA)
    events = transactions(calls, CONFIG)
    assert events["to_abroad"].to_list() == [False, False, True, True]
    assert events["to_premium"].to_list() == [False, True, False, True]


def test_numbers_of_fiction_and_short_codes_are_domestic_unless_their_country_is_another() -> None:
    # A number without a country, a short code, one of fiction in the United States, and a country code that is not assigned.
    called = ("555", "20202", "+12025550123", "+99870001234")
    calls = pl.DataFrame([call(1, 0, "+99970000001", number) for number in called], schema_overrides=SCHEMA)
    events = transactions(calls, CONFIG)
    assert events["to_abroad"].to_list() == [False, False, True, events["country"][3] is not None]
    assert events["to_premium"].to_list() == [False] * 4
    assert events["range"].to_list() == ["", "2", "+1202555", "+9987000"]
    costly = transactions(calls, CONFIG.model_copy(update={"premium_prefixes": ("20202",)}))
    assert costly["to_premium"].to_list() == [False, True, False, False]


def test_a_label_of_a_transaction_that_is_not_in_the_log_is_left_out() -> None:
    calls = pl.DataFrame([call(1, 0, "+99970000001", "+99970000002")], schema_overrides=SCHEMA)
    events = transactions(calls, CONFIG).with_columns(event_id=pl.lit(b"in the log"))
    label = {"event_id": [b"elsewhere"], "known_us": [1], "fraud": [1], "side": [None]}
    assert with_labels(events, pl.DataFrame(label, schema_overrides={"side": pl.String})).equals(events)
