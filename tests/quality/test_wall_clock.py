"""Controls compare an hour with the same hour of the wall clock, also after a change of summer time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from trueup.quality.completeness.inputs import HOUR, CompletenessInputs, Rules
from trueup.quality.completeness.share_shift import find_shifted_shares

FIRST = datetime(2024, 3, 4, tzinfo=UTC)
"""Four weeks before the clock of Berlin goes forward, on 31 March."""
BACKUP_HOUR = 3
"""At three o'clock local time, machines report without a subscriber."""


def hours(zone: str) -> pl.DataFrame:
    """Return five weeks of hours of a node, in UTC. The hour of the machines is in local time of a zone."""
    times = pl.datetime_range(FIRST, FIRST + timedelta(days=35), "1h", time_zone="UTC", closed="left", eager=True).alias("at")
    is_backup = pl.col("at").dt.convert_time_zone(zone).dt.hour() == BACKUP_HOUR
    rows = times.to_frame().select(
        stream=pl.lit("usage"), source=pl.lit("msc"), node=pl.lit("MSC01"), service=pl.lit("voice"), hour_us=pl.col("at").cast(pl.Int64),
        records=pl.lit(200), no_subscriber=pl.when(is_backup).then(150).otherwise(2), zeros=pl.lit(0), no_peer=pl.lit(0),
        numbered=pl.lit(0), position=pl.lit(1),
    )  # fmt: skip
    return rows.select(pl.col(n).cast(t) if n in rows.columns else pl.lit(None, t).alias(n) for n, t in HOUR.items())


def shifted_hours(zone: str, by: str) -> int:
    known = CompletenessInputs.of(hours=hours(zone))
    passed = pl.DataFrame({"source": ["msc"], "passed_us": [int((FIRST + timedelta(days=40)).timestamp()) * 1_000_000]})
    return find_shifted_shares(known, passed, Rules({}, timezone=by)).height


def test_a_nightly_share_moves_with_the_clock_and_does_not_shift() -> None:
    assert shifted_hours("Europe/Berlin", by="Europe/Berlin") == 0


def test_a_share_that_stays_at_its_hour_of_utc_shifts_against_the_wall_clock() -> None:
    assert shifted_hours("UTC", by="Europe/Berlin") > 0
    assert shifted_hours("UTC", by="UTC") == 0
