"""The controls over a real lake: a file is missing and arrives later, in any division into runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.jobs.reconcile_batch import reconcile
from trueup.log.lake import Lake
from trueup.quality.completeness.controls import control, derived
from trueup.warehouse.audit import audit
from trueup.warehouse.query import with_retries

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TOML = """
[lake]
buckets = 2
[project]
max_clock_jump = "3d"
[[source]]
name = "msc"
stream = "usage"
path = "landing/msc/*.csv"
[source.columns]
record_key = "id"
session_key = "id"
subscriber = "caller"
started_at = "at"
quantity = "seconds"
node = "node"
[source.constants]
service = "voice"
[source.feed]
file = '(?P<node>M\\d+)-(?P<sequence>\\d+)\\.csv'
record = '-(?P<sequence>\\d+)$'
every = "1d"
late_after = "12h"
[[source]]
name = "billing"
stream = "charge"
path = "landing/billing/*.csv"
[source.columns]
record_key = "line"
session_key = "id"
subscriber = "caller"
started_at = "at"
quantity = "seconds"
amount = "amount"
[source.constants]
service = "voice"
[source.feed]
file = '(?P<sequence>\\d+)\\.csv'
[reconcile.voice]
match = ["session_key"]
price = "1"
grace = "1h"
"""
DAYS, PER_DAY = 4, 40
START = datetime(2024, 3, 1, tzinfo=UTC)


def usage_file(day: int) -> str:
    rows = ["id,caller,at,seconds,node"]
    for number in range(PER_DAY):
        at = START + timedelta(days=day, minutes=36 * number)
        rows.append(f"M1-{day * PER_DAY + number},49{number},{at:%Y-%m-%dT%H:%M:%S},2,M1")
    return "\n".join(rows) + "\n"


def charge_file(day: int) -> str:
    rows = ["line,id,caller,at,seconds,amount"]
    for number in range(PER_DAY):
        at = START + timedelta(days=day, minutes=36 * number)
        key = day * PER_DAY + number
        rows.append(f"L{key},M1-{key},49{number},{at:%Y-%m-%dT%H:%M:%S},2,2")
    return "\n".join(rows) + "\n"


def project(folder: Path) -> Project:
    for name in ("msc", "billing"):
        (folder / "landing" / name).mkdir(parents=True)
    (folder / "trueup.toml").write_text(TOML)
    for day in range(DAYS):
        if day != 2:
            (folder / f"landing/msc/M1-00{day}.csv").write_text(usage_file(day))
        (folder / f"landing/billing/00{day}.csv").write_text(charge_file(day))
    return Project.load(folder)


NOW = START + timedelta(days=DAYS)


def controlled(made: Project, now: datetime = NOW) -> pl.DataFrame:
    ingest(made, clock=lambda: now)
    with Lake.open(made, clock=lambda: now) as lake:
        control(lake)
        return lake.connection.execute("SELECT * FROM lake.events.finding WHERE control IS NOT NULL ORDER BY position, kind").pl()


def rows(made: Project, query: str) -> list[dict[str, object]]:
    return with_retries(made, lambda warehouse: warehouse.connection.execute(query).to_arrow_table().to_pylist())


def test_a_missing_file_is_bounded_and_resolves_on_arrival_with_its_money_within_the_bounds(tmp_path: Path) -> None:
    made = project(tmp_path)
    changes = controlled(made)
    assert changes.select("action", "cause", "kind", "node", "control", "records_low", "records_high").rows() == [
        ("raised", "arrival", "missing_records", "M1", "files", 40, 40)
    ]
    (found,) = rows(made, "SELECT day, reason, impact, impact_low, impact_high FROM findings WHERE kind = 'missing_records'")
    assert str(found["day"]) == "2024-03-02"
    assert found["reason"] == "file 2 did not come"
    assert float(found["impact_low"]) <= 80 <= float(found["impact_high"])  # type: ignore[arg-type]
    assert found["impact"] == 0
    reconcile(made, clock=lambda: NOW)
    # Charges of the day have no usage and raise no overbilling, because the usage may be among the missing records.
    without = "SELECT count(*) AS n, sum(impact) AS impact, bool_and(provisional) AS provisional FROM findings WHERE kind = 'charge_without_usage'"
    assert rows(made, without) == [{"n": 40, "impact": -80, "provisional": True}]
    assert rows(made, "SELECT * FROM leakage_by_day") == []
    # The file arrives.
    (tmp_path / "landing/msc/M1-002.csv").write_text(usage_file(2))
    later = NOW + timedelta(hours=1)
    last = controlled(made, later).row(-1, named=True)
    assert (last["action"], last["cause"], last["kind"]) == ("resolved", "late_usage", "missing_records")
    reconcile(made, clock=lambda: later)
    assert rows(made, "SELECT kind FROM findings WHERE status = 'open'") == []
    assert rows(made, "SELECT * FROM exposure_by_day") == []
    assert all(result.passed for result in with_retries(made, audit))


def test_a_missing_charge_file_raises_no_leakage_for_its_usage(tmp_path: Path) -> None:
    made = project(tmp_path)
    (tmp_path / "landing/msc/M1-002.csv").write_text(usage_file(2))
    (tmp_path / "landing/billing/002.csv").unlink()
    controlled(made)
    reconcile(made, clock=lambda: NOW)
    unbilled = "SELECT count(*) AS n, bool_and(provisional) AS provisional FROM findings WHERE kind = 'unbilled'"
    assert rows(made, unbilled) == [{"n": 40, "provisional": True}]
    assert rows(made, "SELECT * FROM leakage_by_day") == []
    assert all(result.passed for result in with_retries(made, audit))
    (tmp_path / "landing/billing/002.csv").write_text(charge_file(2))
    later = NOW + timedelta(hours=1)
    controlled(made, later)
    reconcile(made, clock=lambda: later)
    assert rows(made, unbilled.replace("WHERE", "WHERE status = 'open' AND")) == [{"n": 0, "provisional": None}]
    assert rows(made, "SELECT status FROM findings WHERE kind = 'missing_records'") == [{"status": "resolved"}]


def test_a_feed_that_stops_is_stale_by_the_clock_until_it_continues(tmp_path: Path) -> None:
    made = project(tmp_path)
    (tmp_path / "landing/msc/M1-002.csv").write_text(usage_file(2))
    assert controlled(made).is_empty()
    changes = controlled(made, NOW + timedelta(hours=40))
    assert changes.select("kind", "action", "cause", "reason").rows() == [
        ("stale_feed", "raised", "frontier", "nothing new for 40 h")
    ]
    (tmp_path / "landing/msc/M1-004.csv").write_text(usage_file(4))
    assert controlled(made, NOW + timedelta(hours=41)).select("action", "cause").rows()[-1] == ("resolved", "late_usage")


def test_every_division_into_runs_gives_the_same_history(tmp_path: Path) -> None:
    made = project(tmp_path)
    controlled(made)
    controlled(made, NOW + timedelta(hours=40))
    (tmp_path / "landing/msc/M1-002.csv").write_text(usage_file(2))
    changes = controlled(made, NOW + timedelta(hours=41))
    with Lake.open(made, read_only=True) as lake:
        anew = derived(lake, upto=lake.last_position())
        assert controlled(made, NOW + timedelta(hours=41)).equals(changes), "a run at the same moment adds nothing"
    shared = [
        "position",
        "finding_id",
        "action",
        "cause",
        "reason",
        "records_low",
        "records_high",
        "impact_low_micros",
        "impact_high_micros",
    ]
    assert anew.height >= 3
    assert anew.select(shared).sort("position", "finding_id").rows() == changes.select(shared).sort("position", "finding_id").rows()
