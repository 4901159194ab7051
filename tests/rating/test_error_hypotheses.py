"""The billing error behind an amount: the first hypothesis that gives exactly the billed amount."""

from __future__ import annotations

import polars as pl
import pytest
from pricing import MICRO, book_of, call, calls_of, micros, rated_at

from trueup.rating import error_hypotheses
from trueup.rating.error_hypotheses import explain_billed_amount

BOOK = book_of([rated_at("1.006"), rated_at("1.01", service="data", per=1, unit="B", tax_micros=190_000)])


def explain(*billed: tuple[str, str]) -> list[tuple[str | None, str | None]]:
    """Return cause and sentence for calls of a minute, and for one byte of data, with these services and billed amounts."""
    quantity = {"voice": 60 * MICRO, "data": MICRO}
    calls = calls_of([call(0, service=s) | {"call": n, "quantity_micros": quantity[s]} for n, (s, _) in enumerate(billed)])
    amounts = pl.DataFrame({"call": range(len(billed)), "billed_micros": [micros(amount) for _, amount in billed]})
    return explain_billed_amount(calls, amounts, BOOK).select("cause", "sentence").rows()


@pytest.mark.parametrize(
    ("service", "billed", "cause", "sentence"),
    [
        ("voice", "0", "zero_rated", "billed as if it were free"),
        # 1.006 rounded up, half up and half to even are all 1.01: the first of the three counts.
        ("voice", "1.01", "wrong_rounding", "billed rounded up to 2 decimals"),
        ("voice", "1.00", "wrong_rounding", "billed rounded down to 2 decimals"),
        ("voice", "2", "wrong_rounding", "billed rounded up to 0 decimals"),
        ("voice", "1.1", "wrong_rounding", "billed rounded up to 1 decimals"),
        ("voice", "5", None, None),
        ("data", "1.01", "tax_missing", "billed without tax"),
        ("data", "1.430261", "tax_twice", "billed with tax on tax"),
    ],
)
def test_the_first_hypothesis_that_gives_the_amount_is_the_error(
    service: str, billed: str, cause: str | None, sentence: str | None
) -> None:
    assert explain((service, billed)) == [(cause, sentence)]


def test_calls_that_are_explained_together_have_the_errors_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    several = [("voice", "1.01"), ("voice", "5"), ("data", "1.430261"), ("voice", "1.00"), ("voice", "0"), ("data", "1.2")]
    alone = [explain(one)[0] for one in several]
    assert explain(*several) == alone
    # The number of amounts that are computed at once changes no result.
    monkeypatch.setattr(error_hypotheses, "_MOST_AMOUNTS", 1)
    assert explain(*several) == alone
