"""Which days are validated at a tick, on tiny logs."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from trueup.quality.completeness.evaluate_tick import Tick
from trueup.quality.completeness.inputs import HOUR, STATE, CompletenessInputs, Feed, Rules
from trueup.quality.validation.validation_schedule import DayOf, due

HOUR_US = 3_600_000_000


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def inputs_of(*hours: tuple[str, int], states: int | None = None) -> CompletenessInputs:
    rows = [{"stream": "usage", "source": "msc", "hour_us": us(text), "position": position} for text, position in hours]
    state = [] if states is None else [{"stream": "tariff", "source": "book", "position": states}]
    return CompletenessInputs.of(hours=pl.DataFrame(rows, HOUR), states=pl.DataFrame(state, STATE))


def rules(timezone: str = "UTC", *, lateness_h: int = 0) -> Rules:
    return Rules({"msc": Feed("msc", "usage", lateness_h * HOUR_US)}, timezone)


def days(found: list[DayOf]) -> list[tuple[str, date | None]]:
    return [(d.source, d.day) for d in found]


def test_a_day_is_due_once_when_it_is_over_and_not_again_by_the_clock() -> None:
    known = inputs_of(("2024-03-01 10:00", 1))
    noon, midnight, later = (Tick(2, us("2024-03-01 12:00")), Tick(3, us("2024-03-02 00:00")), Tick(4, us("2024-03-03 00:00")))
    assert due(known, rules(), noon, None) == []
    assert days(due(known, rules(), midnight, noon)) == [("msc", date(2024, 3, 1))]
    assert due(known, rules(), later, midnight) == []


def test_a_day_is_due_after_the_lateness_of_its_feed() -> None:
    known, tick = inputs_of(("2024-03-01 10:00", 1)), Tick(2, us("2024-03-02 05:00"))
    assert due(known, rules(lateness_h=6), tick, None) == []
    assert len(due(known, rules(lateness_h=5), tick, None)) == 1


def test_only_the_day_of_new_records_is_due_again() -> None:
    known = inputs_of(("2024-03-01 10:00", 1), ("2024-03-02 10:00", 1), ("2024-03-01 11:00", 3))
    before, tick = Tick(2, us("2024-03-05 00:00")), Tick(4, us("2024-03-05 01:00"))
    assert days(due(known, rules(), tick, before)) == [("msc", date(2024, 3, 1))]
    # Records after a tick are not known at the tick.
    assert due(known, rules(), Tick(2, us("2024-03-05 02:00")), before) == []


def test_states_are_due_after_each_arrival() -> None:
    known = inputs_of(states=3)
    assert days(due(known, rules(), Tick(4, us("2024-03-01 00:00")), Tick(2, us("2024-03-01 00:00")))) == [("book", None)]
    assert due(known, rules(), Tick(6, us("2024-03-01 00:00")), Tick(4, us("2024-03-01 00:00"))) == []


@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        ("Asia/Kolkata", "2024-03-09 18:30", "2024-03-10 18:30"),
        ("America/New_York", "2024-03-10 05:00", "2024-03-11 04:00"),
    ],
)
def test_days_are_of_the_projects_zone_however_long_they_are(zone: str, first: str, last: str) -> None:
    found = due(inputs_of(("2024-03-10 12:00", 1)), rules(zone), Tick(2, us("2024-03-20 00:00")), None)
    assert [(d.day, d.from_us, d.to_us) for d in found] == [(date(2024, 3, 10), us(first), us(last))]


def test_an_hour_that_midnight_divides_touches_both_days() -> None:
    found = due(inputs_of(("2024-03-10 18:00", 1)), rules("Asia/Kolkata"), Tick(2, us("2024-03-20 00:00")), None)
    assert [d.day for d in found] == [date(2024, 3, 10), date(2024, 3, 11)]
