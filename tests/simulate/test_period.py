from datetime import date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from trueup.simulate.market.period import HOUR_US, Period
from trueup.simulate.market.random_streams import Stage, stream
from trueup.simulate.traffic.load import BUSINESS, CONSUMER, SEGMENTS, day_factor, hour_of_week, starts_us

BERLIN = ZoneInfo("Europe/Berlin")


def test_the_day_when_clocks_go_forward_has_23_hours_and_none_from_two_to_three() -> None:
    day = Period(date(2025, 3, 30), 1, 0, BERLIN).day(0)
    assert day.end_us - day.start_us == 23 * HOUR_US
    assert 2 not in day.local_hours
    assert day.repeated_us == (0, 0)


def test_the_day_when_clocks_go_back_has_25_hours_and_no_traffic_in_the_repeated_one() -> None:
    day = Period(date(2025, 10, 26), 1, 0, BERLIN).day(0)
    assert day.end_us - day.start_us == 25 * HOUR_US
    starts = starts_us(stream(1, Stage.TRAFFIC), CONSUMER, day, 20_000)
    second, after = day.repeated_us
    assert after - second == HOUR_US
    assert not np.any((starts >= second) & (starts < after))


def test_the_days_of_a_year_have_no_gap_between_them() -> None:
    period = Period(date(2025, 3, 27), 366, 0, BERLIN)
    days = [period.day(n) for n in range(366)]
    assert all(a.end_us == b.start_us and a.date + timedelta(days=1) == b.date for a, b in pairwise(days))


@pytest.mark.parametrize("segment", range(len(SEGMENTS)))
def test_weekly_profiles_have_mean_one(segment: int) -> None:
    period = Period(date(2025, 3, 31), 7, 0, BERLIN)
    assert hour_of_week(segment).mean() == pytest.approx(1)
    assert np.mean([day_factor(segment, period.day(n)) for n in range(7)]) == pytest.approx(1)


def test_session_starts_follow_the_profile() -> None:
    day = Period(date(2025, 4, 1), 1, 0, BERLIN).day(0)
    hours = (starts_us(stream(2, Stage.TRAFFIC), BUSINESS, day, 200_000) - day.start_us) // HOUR_US
    expected = hour_of_week(BUSINESS)[24:48] / hour_of_week(BUSINESS)[24:48].sum()
    assert np.abs(np.bincount(hours, minlength=24) / 200_000 - expected).max() < 0.004
