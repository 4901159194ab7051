"""The worked examples in the docstrings of the quality modules give the results that they show."""

from __future__ import annotations

import doctest

from trueup.quality.completeness import exposure


def test_the_example_of_bounds_for_missing_records_gives_the_results_it_shows() -> None:
    result = doctest.testmod(exposure)
    assert result.attempted > 0
    assert result.failed == 0
