"""The compiled row rules against Great Expectations itself."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest

from trueup.errors import ConfigError
from trueup.quality.expectation import Expectation
from trueup.quality.row_rules import FORMS, RowRule, row_rule

pytest.importorskip("great_expectations", reason="trueup[quality] is not installed")
import random_frames

BATCH = 110


def differences(cases: list[tuple[pl.DataFrame, Expectation]], compiled: object = row_rule) -> list[Expectation]:
    both = zip(cases, random_frames.by_library(cases), random_frames.by_compiled(cases, compiled), strict=True)
    return [expectation for (_, expectation), library, own_result in both if library != own_result]


def test_random_frames_get_the_same_rows_and_verdict_from_both() -> None:
    cases = random_frames.drawn(BATCH, seed=1)
    assert {e.type for _, e in cases} == set(FORMS)
    assert differences(cases) == []


@pytest.mark.slow
def test_eleven_hundred_random_frames_get_the_same_rows_and_verdict_from_both() -> None:
    for seed in range(2, 12):
        assert differences(random_frames.drawn(BATCH, seed)) == []


def test_each_deliberately_wrong_rule_is_detected() -> None:
    cases = random_frames.drawn(BATCH, seed=20)

    def inverted(expectation: Expectation) -> RowRule:
        rule = row_rule(expectation)
        return dataclasses.replace(rule, broken=~rule.broken)

    def forgets_what_is_missing(expectation: Expectation) -> RowRule:
        rule = row_rule(expectation)
        return dataclasses.replace(rule, broken=rule.broken | pl.col(expectation.column or "peer").is_null())

    assert {e.type for e in differences(cases, inverted)} == set(FORMS)
    assert len({e.type for e in differences(cases, forgets_what_is_missing)}) >= len(FORMS) - 3


def expectation(kind: str, **arguments: object) -> Expectation:
    return Expectation("e", "charge", kind, arguments, "quarantine", "why")


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        (expectation("expect_column_mean_to_be_between", column="amount_micros"), "is not a row rule"),
        (expectation("expect_column_values_to_not_be_null", column="peer", mostly=0.9), "mostly is not supported"),
        (expectation("expect_column_values_to_not_be_null", column="pear"), "no column 'pear'"),
        (expectation("expect_column_values_to_match_regex", column="amount_micros", regex="^1$"), "cannot be about"),
        (expectation("expect_column_values_to_match_regex", column="peer", regex="(?i)^a$"), "uses (?"),
        (expectation("expect_column_values_to_match_regex", column="peer", regex=r"a\b"), "different things"),
        (expectation("expect_column_values_to_match_regex", column="peer", regex="(a"), "invalid pattern"),
        (expectation("expect_column_values_to_be_in_set", column="peer", value_set=["a", None]), "no missing one"),
        (expectation("expect_column_values_to_be_in_set", column="peer", value_set="voice"), "is not a list"),
        (expectation("expect_column_values_to_be_in_set", column="peer", value_set=[1]), "cannot be compared with peer"),
        (
            expectation("expect_column_values_to_not_be_in_set", column="partial_no", value_set=["1"]),
            "cannot be compared with partial_no",
        ),
        (
            expectation("expect_column_values_to_be_between", column="amount_micros", min_value="0"),
            "cannot be compared with amount_micros",
        ),
        (
            expectation("expect_column_values_to_be_between", column="started_at", min_value="2024-01-01"),
            "cannot be compared with started_at",
        ),
        (expectation("expect_column_value_lengths_to_be_between", column="peer", max_value="9"), "cannot be compared with peer"),
        (expectation("expect_column_value_lengths_to_equal", column="peer", value="3"), "cannot be compared with peer"),
        (
            expectation(
                "expect_column_pair_values_to_be_equal", column_A="peer", column_B="node", ignore_row_if="both_values_are_missing"
            ),
            "ignore_row_if",
        ),
    ],
)
def test_an_expectation_that_does_not_compile_is_refused_by_name(expectation: Expectation, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        row_rule(expectation)
    assert message in str(caught.value)
