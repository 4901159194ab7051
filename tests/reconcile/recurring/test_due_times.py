"""Due times: the days that begin before an instant, where midnights occur twice or not at all."""

from __future__ import annotations

import polars as pl
import pytest
from item_logs import us

from trueup.reconcile.recurring.due_times import day_begin_us, last_day_begun

ONE_US = 1


@pytest.mark.parametrize(
    ("zone", "begin"),
    [("Europe/Berlin", "2026-03-29T00:00"), ("America/Havana", "2027-11-07T00:00"), ("America/Havana", "2028-03-12T01:00")],
    ids=["on a day of 23 hours", "with two midnights, at the later one", "without midnight, at one"],
)
def test_a_day_has_begun_after_its_first_instant(zone: str, begin: str) -> None:
    later = us(begin, zone) + (3_600_000_000 if begin.startswith("2027-11") else 0)
    instants = pl.DataFrame({"at": [later, later + ONE_US]})
    before, after = instants.select(last_day_begun(pl.col("at"), zone)).to_series()
    assert after == before + 1
    assert instants.select(day_begin_us(pl.lit(after), pl.lit(zone), [zone])).to_series().unique().to_list() == [later]
