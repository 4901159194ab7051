from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.collect.map.times import Ambiguous, utc_times
from trueup.errors import ConfigError


def read(text: str | None, time_format: str = "iso", zone: str = "UTC", ambiguous: Ambiguous = "quarantine") -> datetime | None:
    moment: datetime | None = utc_times(
        pl.Series([text], dtype=pl.String), time_format=time_format, zone=zone, ambiguous=ambiguous
    ).to_list()[0]
    return moment


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-05-01 10:00:00", utc(2024, 5, 1, 3)),
        ("2024-05-01T10:00:00", utc(2024, 5, 1, 3)),
        ("2024-05-01T10:00", utc(2024, 5, 1, 3)),
        ("2024-05-01", utc(2024, 4, 30, 17)),
        ("2024-05-01T10:00:00Z", utc(2024, 5, 1, 10)),
        ("2024-05-01T10:00:00+07:00", utc(2024, 5, 1, 3)),
        ("2024-05-01 10:00:00.5 -0330", utc(2024, 5, 1, 13, 30, 0, 500_000)),
        ("2024-05-01T10:00:00.123456789Z", utc(2024, 5, 1, 10, 0, 0, 123_456)),
        ("2024-02-30 10:00:00", None),
        ("2024-05-01 24:00:00", None),
        ("2024-05-01 10:00:60", None),
        ("+024-05-01 10:00:00", None),
        ("2024-05-01T10:00:00+25:00", None),
        ("20240501", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_iso_times_are_read_with_their_offset_or_in_the_zone(text: str | None, wanted: datetime | None) -> None:
    assert read(text, zone="Asia/Jakarta") == wanted


@pytest.mark.parametrize(
    ("time_format", "text", "wanted"),
    [
        ("%d/%m/%Y %H:%M:%S", "1/9/2017 6:33:01", utc(2017, 9, 1, 6, 33, 1)),
        ("%d/%m/%Y %H:%M:%S", "01/12/2017 16:33:01", utc(2017, 12, 1, 16, 33, 1)),
        ("%d/%m/%Y %H:%M:%S", "31/2/2017 6:33:01", None),
        ("%d/%m/%Y %H:%M:%S", "1/9/2017 6:33:60", None),
        ("%d/%m/%Y %H:%M:%S", "1/9/17 6:33:01", None),
        ("%Y%m%d%H%M%S", "20240501100000", utc(2024, 5, 1, 10)),
        ("%Y%m%d%H%M%S.%f", "20240501100000.25", utc(2024, 5, 1, 10, 0, 0, 250_000)),
        ("%Y%m%d%H%M%S%z", "20240501100000+0700", utc(2024, 5, 1, 3)),
        ("%Y%m%d%H%M%S%z", "20240501100000Z", utc(2024, 5, 1, 10)),
        ("%Y%m%d", "20240501", utc(2024, 5, 1)),
        ("%d/%b/%y %I:%M %p", "1/Sep/17 4:33 PM", utc(2017, 9, 1, 16, 33)),
        ("epoch_s", "1714557600.5", utc(2024, 5, 1, 10, 0, 0, 500_000)),
        ("epoch_ms", "1714557600123", utc(2024, 5, 1, 10, 0, 0, 123_000)),
        ("epoch_us", "1714557600123456", utc(2024, 5, 1, 10, 0, 0, 123_456)),
        ("epoch_s", "99999999999999999999", None),
        ("epoch_s", "noon", None),
    ],
)
def test_formats_and_epochs_are_read(time_format: str, text: str, wanted: datetime | None) -> None:
    assert read(text, time_format) == wanted


def test_an_hour_that_daylight_saving_skips_is_invalid() -> None:
    for choice in ("earliest", "latest", "quarantine"):
        assert read("2024-03-31 02:30:00", zone="Europe/Berlin", ambiguous=choice) is None


def test_a_source_decides_an_hour_that_daylight_saving_repeats() -> None:
    text = "2024-10-27 02:30:00"
    assert read(text, zone="Europe/Berlin") is None
    assert read(text, zone="Europe/Berlin", ambiguous="earliest") == utc(2024, 10, 27, 0, 30)
    assert read(text, zone="Europe/Berlin", ambiguous="latest") == utc(2024, 10, 27, 1, 30)
    assert read(f"{text}+01:00", zone="Europe/Berlin") == utc(2024, 10, 27, 1, 30)


def test_an_unknown_directive_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="directive %Q"):
        read("1", "%Q")
    with pytest.raises(ConfigError, match="yields no time"):
        read("7", "%H")


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2035, 1, 1)), st.sampled_from(["Europe/Berlin", "America/St_Johns", "Asia/Jakarta"])
)
def test_an_unambiguous_local_time_equals_that_of_python(local: datetime, zone: str) -> None:
    places = {local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)}
    there = {place for place in places if place.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local}
    wanted = there.pop() if len(there) == 1 else None
    assert read(local.isoformat(sep=" "), zone=zone) == wanted
    if local.microsecond == 0:
        assert read(f"{local.day}/{local.month}/{local.year} {local:%H:%M:%S}", "%d/%m/%Y %H:%M:%S", zone) == wanted
