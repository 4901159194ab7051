"""The traffic has the configured distributions."""

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest

from trueup.simulate.files.billing import charge_lag_us
from trueup.simulate.market.period import HOUR_US
from trueup.simulate.market.profile import MVNO
from trueup.simulate.market.random_streams import Stage, stream
from trueup.simulate.market.services import DATA, SMS, VOICE
from trueup.simulate.traffic.load import CONSUMER, hour_of_week
from trueup.simulate.traffic.ordinary import call_seconds


def feed(week: Path, name: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(p) for p in sorted((week / "landing" / name).iterdir())]).unique(maintain_order=True)


@pytest.fixture(scope="module")
def ordinary(week: Path) -> pl.Series:
    """Return the numbers of consumers without a part in an incident."""
    truth = pl.read_parquet(week / "truth.parquet").filter(pl.col("decided_by") == "fraud")
    actors = truth["details"].str.json_path_match("$.subscribers").str.extract_all(r"\+\d+").explode()
    states = pl.read_parquet(week / "landing" / "subscribers" / "network.parquet")
    return states.filter((pl.col("segment") == "consumer") & ~pl.col("msisdn").is_in(actors.implode()))["msisdn"].unique()


def test_consumers_call_by_the_hours_of_their_week(week: Path, ordinary: pl.Series) -> None:
    # Calls on the day when the clocks change are left out, since the weekly profile has no such day.
    calls = feed(week, "msc").filter((pl.col("record_type") == "MOC") & pl.col("served_number").is_in(ordinary.implode()))
    calls = calls.filter(pl.col("partial").fill_null(1) == 1, pl.col("start_time").dt.date() != pl.date(2025, 3, 30))
    calls = calls.filter(pl.col("start_time").dt.date() <= pl.date(2025, 4, 2))
    slot = calls.select((pl.col("start_time").dt.weekday() - 1) * 8 + pl.col("start_time").dt.hour() // 3).to_series()
    seen = np.bincount(slot.to_numpy(), minlength=56).astype(float)
    expected = hour_of_week(CONSUMER).reshape(56, 3).sum(axis=1)
    expected[48:] = 0
    expected *= seen.sum() / expected.sum()
    assert len(calls) > 15_000
    # Activity differs between subscribers, so counts scatter somewhat more than Poisson counts.
    deviation = (seen - expected)[:48] / np.sqrt(expected[:48])
    assert np.abs(deviation).max() < 5
    assert np.sqrt(np.mean(deviation**2)) < 1.6


def test_durations_have_the_tail_index_configured() -> None:
    seconds = call_seconds(stream(1, Stage.TRAFFIC), MVNO, 2_000_000).astype(float)
    low, high = 3_600.0, 21_600.0
    tail = seconds[(seconds >= low) & (seconds < high)]
    # Hill's estimator for a tail cut off at `high`: the mean logarithm of a truncated Pareto, solved for its index.
    mean = np.log(tail / low).mean()
    span = math.log(high / low)
    index = np.linspace(1.0, 3.0, 2_001)
    modelled = 1 / index - span / np.expm1(index * span)
    assert index[np.argmin(np.abs(modelled - mean))] == pytest.approx(MVNO.voice_tail_index, abs=0.15)
    assert np.median(seconds) == pytest.approx(MVNO.voice_median_s, rel=0.05)


def test_data_sessions_longer_than_one_part_are_split(week: Path, ordinary: pl.Series) -> None:
    rows = feed(week, "pgw").filter(pl.col("msisdn").is_in(ordinary.implode()))
    sessions = rows.group_by("charging_id").agg(split=pl.col("partial").is_not_null().any())
    longer = 1 - NormalDist(math.log(MVNO.data_median_s), MVNO.data_sigma).cdf(math.log(3_600))
    assert sessions["split"].mean() == pytest.approx(longer, abs=0.015)


def test_partial_records_are_numbered_from_one_without_a_gap(week: Path) -> None:
    parts = feed(week, "pgw").filter(pl.col("partial").is_not_null())
    sessions = parts.group_by("charging_id").agg(pl.col("partial").unique().sort(), most=pl.col("partial").max())
    assert len(sessions) > 1_000
    assert (sessions["partial"].list.len() == sessions["most"]).all()


def test_billing_lags_by_hours_with_a_slow_share(week: Path) -> None:
    texts = feed(week, "billing").filter(service="sms")
    lag_h = (texts["billed_utc"] - texts["started_utc"]).dt.total_seconds() / 3_600
    assert lag_h.median() == pytest.approx(MVNO.lag_median_h, rel=0.05)
    assert (lag_h > 12).mean() == pytest.approx(MVNO.slow_share, abs=0.015)


@pytest.mark.parametrize("service", [VOICE, SMS, DATA])
def test_lags_are_lognormal_below_the_lateness_and_within_grace_above(service: int) -> None:
    lag = charge_lag_us(stream(3, Stage.BILLING), np.full(200_000, service), MVNO) / HOUR_US
    usual = lag[lag < 11]
    assert np.median(usual) == pytest.approx(MVNO.lag_median_h, rel=0.03)
    assert np.log(usual).std() == pytest.approx(MVNO.lag_sigma, rel=0.1)
    assert lag.max() < 12 + 36


def test_a_share_of_calls_has_a_session_key_sms_none_and_data_always(week: Path, ordinary: pl.Series) -> None:
    calls = feed(week, "msc").filter((pl.col("record_type") == "MOC") & pl.col("served_number").is_in(ordinary.implode()))
    assert calls["call_ref"].is_not_null().mean() == pytest.approx(0.6, abs=0.02)
    assert feed(week, "msc").filter(record_type="SMO")["call_ref"].is_null().all()
    assert feed(week, "pgw")["charging_id"].is_not_null().all()


def test_most_calls_go_to_a_few_contacts(week: Path, ordinary: pl.Series) -> None:
    calls = feed(week, "msc").filter((pl.col("record_type") == "MOC") & pl.col("served_number").is_in(ordinary.implode()))
    busy = calls.group_by("served_number").agg(calls=pl.len(), peers=pl.col("other_number").n_unique())
    busy = busy.filter(pl.col("calls") >= 20)
    assert len(busy) > 100
    assert (busy["peers"] / busy["calls"]).mean() < 0.6
