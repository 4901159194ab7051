import polars as pl

from trueup.simulate.leaks.ambiguity import undecidable_sessions
from trueup.simulate.market.services import DATA, VOICE


def units(*rows: tuple[int, int, int], service: int = VOICE, peer: int = 9) -> pl.DataFrame:
    """Return one record per (session, subscriber, second)."""
    return pl.DataFrame(
        [(session, service, subscriber, peer, second * 1_000_000) for session, subscriber, second in rows],
        schema={"session": pl.Int64, "service": pl.Int32, "subscriber": pl.Int32, "peer": pl.Int32, "time_us": pl.Int64},
        orient="row",
    )


def test_a_session_and_its_own_charge_are_decidable() -> None:
    assert undecidable_sessions(units((1, 5, 100)), units((1, 5, 102))).to_list() == []


def test_two_sessions_of_one_party_within_tolerance_are_not_decidable() -> None:
    assert undecidable_sessions(units((1, 5, 100), (2, 5, 102)), units((1, 5, 100))).to_list() == [1, 2]


def test_a_chain_includes_every_record_within_tolerance_of_the_previous_one() -> None:
    assert undecidable_sessions(units((1, 5, 100), (2, 5, 102), (3, 5, 104)), units()).to_list() == [1, 2, 3]


def test_two_charges_for_one_session_are_not_decidable() -> None:
    assert undecidable_sessions(units((1, 5, 100)), units((1, 5, 100), (1, 5, 100))).to_list() == [1]


def test_a_session_near_the_charge_of_another_is_not_decidable() -> None:
    assert undecidable_sessions(units((1, 5, 100)), units((2, 5, 101))).to_list() == [1, 2]


def test_other_parties_distant_times_and_services_matched_by_key_are_decidable() -> None:
    assert undecidable_sessions(units((1, 5, 100), (2, 6, 100), (3, 5, 110)), units((1, 5, 100))).to_list() == []
    assert undecidable_sessions(units((1, 5, 100), (2, 5, 100), service=DATA), units()).to_list() == []
