"""A feed whose quantities change their unit, from any unit to any other, fails the expectation on its mean."""

from __future__ import annotations

import polars as pl
import pytest

from trueup.quality.history_facts import _compute_day_facts
from trueup.quality.suites.usage import USAGE

DAILY_MEANS = [61_000_000.0, 58_000_000.0, 64_500_000.0, 60_200_000.0, 55_900_000.0, 66_000_000.0, 59_800_000.0]


def is_expected(mean: float) -> bool:
    """Return whether a day's mean quantity meets the expectation, given the days before."""
    (expectation,) = [one for one in USAGE if one.name == "quantities are as large as before"]
    facts = _compute_day_facts(pl.DataFrame({"mean_quantity": DAILY_MEANS}))
    least, greatest = (facts[expectation.arguments[name].name] for name in ("min_value", "max_value"))
    return bool(least <= mean <= greatest)


@pytest.mark.parametrize("factor", [8, 60, 1_000, 1_024, 3_600])
def test_a_mean_in_another_unit_is_not_expected(factor: int) -> None:
    assert not is_expected(60_000_000.0 * factor)
    assert not is_expected(60_000_000.0 / factor)


@pytest.mark.parametrize("share", [0.85, 1.0, 1.15])
def test_a_mean_that_varies_as_before_is_expected(share: float) -> None:
    assert is_expected(60_000_000.0 * share)
