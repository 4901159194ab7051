from itertools import pairwise

import phonenumbers

from trueup.simulate.market.numbering import HOME_CODE, destinations, dialable, imsi_texts, numbers_of


def test_dialable_accepts_a_real_number_and_rejects_a_simulated_one() -> None:
    real = phonenumbers.format_number(phonenumbers.example_number("FR"), phonenumbers.PhoneNumberFormat.E164)
    assert dialable(real)
    assert not dialable("+999700000000")


def test_no_number_in_the_files_can_be_dialled(world) -> None:
    numbers = {n for r in (*world.usage, *world.charges) for n in (r.subscriber, r.peer) if n}
    assert len(numbers) > 500
    assert [n for n in numbers if dialable(n)] == []


def test_numbers_of_a_large_operator_are_unique_and_cannot_be_dialled() -> None:
    text = numbers_of(30_000).text
    assert text.n_unique() == len(text)
    assert [n for n in text.gather_every(17) if dialable(n)] == []


def test_foreign_prefixes_are_real_and_include_premium_and_shared_cost_ranges() -> None:
    abroad = [d for d in destinations() if d.region != "home"]
    codes = {str(phonenumbers.country_code_for_region(d.region)) for d in abroad}
    assert all(any(d.prefix.startswith(code) for code in codes) for d in abroad)
    assert {d.kind for d in abroad} == {"mobile", "fixed", "premium", "shared_cost"}


def test_no_prefix_is_the_beginning_of_another() -> None:
    prefixes = sorted([HOME_CODE + "70", *(d.prefix for d in destinations())])
    assert not any(b.startswith(a) for a, b in pairwise(prefixes))


def test_sims_belong_to_the_test_network() -> None:
    assert all(imsi.startswith("00101") and len(imsi) == 15 for imsi in imsi_texts(1_000))
