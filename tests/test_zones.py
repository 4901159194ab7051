"""Time zones: every accepted name can be computed with, and so can names that earlier versions recorded."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest

from trueup.config import zone_of
from trueup.errors import ConfigError, TrueupError
from trueup.localtime import local_day, utc_us
from trueup.warehouse.install_views import create_macros
from trueup.zones import computed_zone, zone_names

LATE = datetime(2024, 7, 1, 23, 30, tzinfo=UTC)
OF_A_MACHINE = ["localtime", "Factory", "posixrules", "posix/Europe/Berlin", "right/Europe/Berlin", "right/UTC"]


def test_python_polars_and_duckdb_agree_on_the_wall_clock_of_every_accepted_zone() -> None:
    names = sorted(zone_names())
    by_polars = pl.select(pl.lit(LATE).dt.convert_time_zone(name).dt.replace_time_zone(None).alias(name) for name in names)
    by_duckdb = duckdb.execute("SELECT timezone(unnest($1), $2::TIMESTAMPTZ)", [names, LATE]).fetchall()
    assert by_polars.row(0) == tuple(LATE.astimezone(ZoneInfo(name)).replace(tzinfo=None) for name in names)
    assert by_polars.row(0) == tuple(row[0] for row in by_duckdb)
    assert {"UTC", "Europe/Berlin", "US/Pacific", "Asia/Calcutta"} <= zone_names()


@pytest.mark.parametrize("name", [*OF_A_MACHINE, "europe/berlin", "Europe", "Mars/Phobos", "/etc/localtime", "", "\0"])
def test_a_name_that_is_not_of_the_tz_database_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown time zone .*; use a name of the tz database.* \(--timezone\)"):
        zone_of(name, "--timezone")


@pytest.mark.parametrize("name", [*OF_A_MACHINE, "Europe/Berlin"])
def test_a_recorded_name_counts_as_the_same_zone_in_kernel_and_views(name: str) -> None:
    expected = "Europe/Berlin" if "Berlin" in name else "UTC"
    with duckdb.connect() as connection:
        create_macros(connection)
        assert connection.execute("SELECT steps.known_zone($1), steps.known_zone(NULL)", [name]).fetchall() == [(expected, None)]
    assert computed_zone(name) == expected
    late = pl.lit(int(LATE.timestamp()) * 1_000_000)
    assert pl.select(local_day(late, name)).item() == date(2024, 7, 2 if expected == "Europe/Berlin" else 1)
    assert pl.select(utc_us(late, name).eq(utc_us(late, expected))).item()


def test_a_recorded_name_that_nothing_knows_is_an_error_with_a_remedy() -> None:
    with pytest.raises(TrueupError, match=r"the log has the time zone .Mars/Phobos..*update tzdata"):
        local_day(pl.lit(0), "Mars/Phobos")
