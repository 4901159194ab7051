from datetime import UTC, datetime, timedelta
from fractions import Fraction

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from trueup.simulate.leaks import leak_mechanisms

START = datetime(2025, 3, 27, 12, tzinfo=UTC)


def charges(*amounts: int, quantity: int = 60_000_000) -> pl.DataFrame:
    count = len(amounts)
    return pl.DataFrame(
        {
            "record_key": [f"L{n}" for n in range(count)],
            "session_key": ["K1", *[None] * (count - 1)],
            "started_at": [START] * count,
            "quantity_micros": [quantity] * count,
            "amount_micros": list(amounts),
            "currency": ["EUR"] * count,
            "billed_at": [START + timedelta(hours=4)] * count,
            "anything": ["unchanged"] * count,
        },
        schema_overrides={"session_key": pl.String, "started_at": pl.Datetime("us", "UTC"), "billed_at": pl.Datetime("us", "UTC")},
    )


def test_half_even_rounds_ties_to_the_even_neighbour() -> None:
    rounded = pl.select(leak_mechanisms.half_even(pl.Series([5, 15, 25, 24, 26]).cast(pl.Int64), pl.lit(10))).to_series()
    assert rounded.to_list() == [0, 2, 2, 2, 3]


@given(st.integers(0, 10**13), st.integers(0, 10**12), st.integers(1, 10**6))
def test_the_flat_price_is_the_exact_one_rounded_once(quantity: int, price: int, per: int) -> None:
    exact = Fraction(quantity * price, 10**6 * per)
    if exact < 2**62:
        frame = pl.DataFrame({"q": [quantity], "p": [price], "n": [per]})
        assert frame.select(leak_mechanisms.flat_price(pl.col("q"), pl.col("p"), pl.col("n"))).item() == round(exact)


def test_scaling_gives_whole_units_and_the_amount_in_proportion() -> None:
    less = leak_mechanisms.scale_quantities(charges(6_000), pl.Series([505]))
    assert less["quantity_micros"].to_list() == [30_000_000]
    assert less["amount_micros"].to_list() == [3_000]


def test_another_version_of_the_tariff_prices_the_charged_quantity() -> None:
    assert leak_mechanisms.reprice(charges(79_000), pl.lit(99_000), pl.lit(60))["amount_micros"].to_list() == [99_000]


def test_amounts_are_rounded_up_to_the_step_and_multiples_do_not_change() -> None:
    assert leak_mechanisms.round_up_amounts(charges(10_001, 20_000, 1), 10_000)["amount_micros"].to_list() == [
        20_000,
        20_000,
        10_000,
    ]


def test_started_increments_are_charged_in_full_and_the_quantity_does_not_change() -> None:
    made = leak_mechanisms.bill_in_increments(charges(0, quantity=61_000_000), 60, pl.lit(60_000), pl.lit(60))
    assert made.select("quantity_micros", "amount_micros").row(0) == (61_000_000, 120_000)


def test_a_charge_zero_rated_by_mistake_has_amount_zero() -> None:
    assert leak_mechanisms.zero_amounts(charges(5, 6))["amount_micros"].to_list() == [0, 0]


def test_a_conversion_changes_the_amount_only_and_a_relabelling_the_currency_only() -> None:
    converted, relabelled = (
        leak_mechanisms.convert_amounts(charges(1_000_000), 1_080_000),
        leak_mechanisms.relabel_currency(charges(1_000_000), "USD"),
    )
    assert converted.select("amount_micros", "currency").row(0) == (1_080_000, "EUR")
    assert relabelled.select("amount_micros", "currency").row(0) == (1_000_000, "USD")


def test_a_duplicate_differs_in_its_billing_time_and_a_reversal_has_the_negative_amount() -> None:
    after = pl.Series([3_600_000_000])
    second, back = leak_mechanisms.duplicate_charges(charges(700), after), leak_mechanisms.reverse_charges(charges(700), after)
    assert second.drop("billed_at").equals(charges(700).drop("billed_at"))
    assert second["billed_at"].item() == START + timedelta(hours=5)
    assert back["amount_micros"].to_list() == [-700]


def test_a_phantom_charge_is_moved_in_time_and_has_its_own_key() -> None:
    made = leak_mechanisms.make_phantoms(charges(700, 800), pl.Series([60_000_000, -60_000_000]), pl.Series(["X", None]))
    assert made["started_at"].to_list() == [START + timedelta(minutes=1), START - timedelta(minutes=1)]
    assert made["session_key"].to_list() == ["X", None]


def test_a_conflicting_resend_holds_less_than_the_first_so_that_the_first_counts() -> None:
    assert leak_mechanisms.resend_with_less(charges(1_001), 900)["amount_micros"].to_list() == [900]
    usage = charges(0).drop("amount_micros").with_columns(quantity_micros=pl.lit(11_000_000))
    assert leak_mechanisms.resend_with_less(usage, 800)["quantity_micros"].to_list() == [8_000_000]


def test_a_mechanism_leaves_other_columns_unchanged() -> None:
    one = charges(1)
    for made in (
        leak_mechanisms.zero_amounts(one),
        leak_mechanisms.scale_quantities(one, pl.Series([2_000])),
        leak_mechanisms.resend_with_less(one, 900),
    ):
        assert made["anything"].to_list() == ["unchanged"]


def test_mechanisms_accept_frames_without_rows() -> None:
    none = charges(1).clear()
    assert leak_mechanisms.scale_quantities(none, pl.Series([], dtype=pl.Int64)).is_empty()
    assert leak_mechanisms.duplicate_charges(none, pl.Series([], dtype=pl.Int64)).is_empty()
