"""Failed expectations over a real lake, by the library itself: the life of their findings in any division into runs."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.errors import ConfigError
from trueup.jobs.reconcile_batch import reconcile
from trueup.log.lake import Lake
from trueup.quality.run import QualitySummary, quality
from trueup.warehouse.audit import audit
from trueup.warehouse.decide import decide
from trueup.warehouse.query import with_retries

pytest.importorskip("great_expectations", reason="trueup[quality] is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")
TOML = """
[lake]
buckets = 2
bucket_by = "session_key"
[[source]]
name = "msc"
stream = "usage"
path = "landing/msc/*.csv"
range = { quantity = ["-100", "100"] }
[source.columns]
record_key = "id"
session_key = "id"
subscriber = "caller"
started_at = "at"
quantity = "seconds"
[source.constants]
service = "voice"
[[source]]
name = "billing"
stream = "charge"
path = "landing/billing/*.csv"
[source.columns]
record_key = "id"
session_key = "id"
started_at = "at"
amount = "amount"
[source.constants]
service = "voice"
currency = "EUR"
[[source]]
name = "book"
stream = "tariff"
path = "landing/book/*.csv"
[source.columns]
record_key = "id"
service = "service"
price = "price"
price_per = "per"
currency = "currency"
valid_from = "since"
[source.constants]
item = "rate"
[[expectation]]
name = "most calls name their caller"
stream = "usage"
source = "msc"
type = "expect_column_values_to_not_be_null"
arguments = { column = "subscriber", mostly = 0.9 }
severity = "%s"
notes = "A call without a customer is billed to no customer."
[[expectation]]
name = "a rate has a code"
stream = "tariff"
type = "expect_column_values_to_not_be_null"
arguments = { column = "tariff_code" }
severity = "note"
notes = "The code names the rate on the bill."
"""
START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, PER_DAY = 3, 60
NOW = START + timedelta(days=DAYS, hours=1)
ANONYMOUS = "most calls name their caller"


def calls(day: int, numbers: range, *, named: bool = True) -> str:
    rows = ["id,caller,at,seconds"]
    rows += [
        f"{day}-{n},{'49' + str(n) if named else ''},{START + timedelta(days=day, minutes=n):%Y-%m-%dT%H:%M:%S},2" for n in numbers
    ]
    return "\n".join(rows) + "\n"


def charges(day: int) -> str:
    rows = [f"{day}-{n},{START + timedelta(days=day, minutes=n):%Y-%m-%dT%H:%M:%S},2" for n in range(PER_DAY)]
    return "\n".join(["id,at,amount", *rows]) + "\n"


def project(folder: Path, severity: str = "mark") -> Project:
    """Write three days of calls; half of the last day's have no subscriber."""
    for name in ("msc", "billing", "book"):
        (folder / "landing" / name).mkdir(parents=True)
    (folder / "trueup.toml").write_text(TOML % severity)
    half = PER_DAY // 2
    for day in range(DAYS):
        last = day == DAYS - 1
        (folder / f"landing/msc/{day}a.csv").write_text(calls(day, range(half)))
        (folder / f"landing/msc/{day}b.csv").write_text(calls(day, range(half, PER_DAY), named=not last))
        (folder / f"landing/billing/{day}.csv").write_text(charges(day))
    (folder / "landing/book/book.csv").write_text("id,service,price,per,currency,since\n1,voice,1,1,EUR,2024-01-01T00:00:00\n")
    return Project.load(folder)


def judged(made: Project, now: datetime = NOW, *, validate: bool = True) -> QualitySummary:
    ingest(made, clock=lambda: now)
    return quality(made, clock=lambda: now, validate=validate)


def rows(made: Project, query: str) -> list[dict[str, Any]]:
    return with_retries(made, lambda warehouse: warehouse.connection.execute(query).to_arrow_table().to_pylist())


def failure_history(made: Project) -> pl.DataFrame:
    with Lake.open(made, read_only=True) as lake:
        query = "SELECT * FROM lake.events.finding WHERE kind = 'failed_expectation' ORDER BY position, finding_id"
        return lake.connection.execute(query).pl()


EARLY = NOW - timedelta(hours=2)
"""A moment at which the last day is not over."""


def ingested(folder: Path, now: datetime) -> Path:
    ingest(project(folder), clock=lambda: now)
    return folder


@pytest.fixture(scope="module")
def ingested_late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project whose files are ingested and not validated; tests copy it."""
    return ingested(tmp_path_factory.mktemp("late") / "project", NOW)


@pytest.fixture(scope="module")
def ingested_early(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the same project, ingested before its last day was over; tests copy it."""
    return ingested(tmp_path_factory.mktemp("early") / "project", EARLY)


def copied(folder: Path, target: Path, severity: str = "mark") -> Project:
    shutil.copytree(folder, target)
    (target / "trueup.toml").write_text(TOML % severity)
    return Project.load(target)


@pytest.fixture(scope="module")
def ran(ingested_late: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("failures") / "project"
    judged(copied(ingested_late, folder))
    return folder


@pytest.fixture(scope="module")
def early(ingested_early: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, QualitySummary]:
    """Return the folder and summary of a project as validated before its last day was over."""
    folder = tmp_path_factory.mktemp("validated early") / "project"
    return folder, judged(copied(ingested_early, folder), EARLY)


def test_a_failed_expectation_is_a_finding_of_its_feed_and_day_with_bounds(ran: Path) -> None:
    made = Project.load(ran)
    found = rows(
        made,
        "SELECT source, control, status, CAST(day AS VARCHAR) AS day, reason, impact, records_low, records_high, impact_low, impact_high "
        "FROM findings WHERE kind = 'failed_expectation' AND source = 'msc' AND reason LIKE 'most%'",
    )
    (row,) = found
    assert (row["source"], row["control"], row["status"], row["day"]) == ("msc", "expectations", "open", "2024-03-03")
    assert row["reason"] == f"{ANONYMOUS}: not so for 30 of 60 records"
    assert (row["impact"], row["records_low"], row["records_high"]) == (0, 30, 30)
    assert float(row["impact_low"]) <= 60 <= float(row["impact_high"])
    hours = rows(made, f"SELECT count(*) AS n FROM feed_quality WHERE source = 'msc' AND reason LIKE '{ANONYMOUS}%'")
    assert hours == [{"n": 24}]
    assert all(result.passed for result in with_retries(made, audit))


def test_a_noted_failure_has_no_money_at_stake_and_states_have_no_day(ran: Path) -> None:
    query = "SELECT day, reason, records_high, impact_high FROM findings WHERE kind = 'failed_expectation' AND source = 'book'"
    assert rows(Project.load(ran), query) == [
        {
            "day": None, "reason": "a rate has a code: not so for 1 of 1 records", "records_high": None,
            "impact_high": None,
        }
    ]  # fmt: skip


def test_a_second_run_at_the_same_position_adds_nothing_and_gives_the_same_summary(ran: Path) -> None:
    made = Project.load(ran)
    before = failure_history(made)
    first = judged(made, NOW + timedelta(hours=1))
    with Lake.open(made, read_only=True) as lake:
        position = lake.last_position()
    again = judged(made, NOW + timedelta(hours=2))
    with Lake.open(made, read_only=True) as lake:
        assert lake.last_position() == position, "the clock alone has changed nothing"
    assert failure_history(made).equals(before)
    assert first.days == again.days
    assert [(d.day.isoformat(), d.verdict) for d in again.days] == [("2024-03-03", "mark")]
    assert again.validated == []
    (msc,) = (f for f in again.feeds if f.feed == "msc")
    assert msc.worst_rule == f"{ANONYMOUS}: not so for 30 of 60 records"
    assert (msc.missing_low, msc.missing_high) == (0, 0), "what is there and wrong is not missing"


def test_a_failure_resolves_when_corrected_records_arrive(ran: Path, tmp_path: Path) -> None:
    made = Project.load(shutil.copytree(ran, tmp_path / "copied"))
    (made.directory / "landing/msc/more.csv").write_text(calls(DAYS - 1, range(100, 1_000)))
    summary = judged(made, NOW + timedelta(hours=1))
    of_source = failure_history(made).filter(pl.col("subject").str.starts_with(ANONYMOUS))
    assert of_source.select("action", "cause").rows() == [("raised", "frontier"), ("resolved", "late_usage")]
    assert [d.verdict for d in summary.days] == ["note"], "some calls still name no customer"


def test_a_day_that_is_not_over_is_not_validated_yet(early: tuple[Path, QualitySummary], tmp_path: Path) -> None:
    folder, summary = early
    assert {v.day for v in summary.validated if v.source == "msc"} == {START.date(), (START + timedelta(days=1)).date()}
    later = judged(Project.load(shutil.copytree(folder, tmp_path / "copied")), NOW)
    assert {(v.source, v.day) for v in later.validated} == {
        ("msc", (START + timedelta(days=2)).date()), ("billing", (START + timedelta(days=2)).date()),
    }  # fmt: skip


def test_a_blocked_day_stays_blocked_in_every_later_run_until_its_finding_is_dismissed(ingested_late: Path, tmp_path: Path) -> None:
    made = copied(ingested_late, tmp_path / "p", severity="block")
    assert [d.verdict for d in judged(made).days] == ["block"]
    assert [d.verdict for d in judged(made, validate=False).days] == ["block"]
    (found,) = rows(made, "SELECT finding_id FROM findings WHERE kind = 'failed_expectation' AND reason LIKE 'most%'")
    decide(made, str(found["finding_id"]), "dismissed", note="emergency calls", clock=lambda: NOW)
    assert [d.verdict for d in judged(made).days] == ["note"]
    decide(made, str(found["finding_id"]), "reopened", clock=lambda: NOW)
    assert [d.verdict for d in judged(made).days] == ["block"]


def test_on_a_day_of_doubtful_usage_a_charge_without_any_is_provisional(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    (made.directory / "landing/book/book.csv").unlink()
    for day in (1, 2):
        with (made.directory / f"landing/billing/{day}.csv").open("a") as file:
            file.write(f"X{day},{START + timedelta(days=day, minutes=10):%Y-%m-%dT%H:%M:%S},5\n")
    with (made.directory / "trueup.toml").open("a") as file:
        file.write('[reconcile.voice]\nmatch = ["session_key"]\nprice = "1"\n')
    made = Project.load(made.directory)
    judged(made)
    reconcile(made, clock=lambda: NOW)
    query = "SELECT CAST(day AS VARCHAR) AS day, provisional FROM findings WHERE kind = 'charge_without_usage' ORDER BY day"
    assert rows(made, query) == [{"day": "2024-03-02", "provisional": False}, {"day": "2024-03-03", "provisional": True}]
    (total,) = rows(made, "SELECT sum(impact) AS impact FROM leakage_by_day")
    assert total["impact"] == -5
    assert all(result.passed for result in with_retries(made, audit))


def test_the_history_does_not_depend_on_when_days_are_validated(
    early: tuple[Path, QualitySummary], ingested_early: Path, tmp_path: Path
) -> None:
    each, last = copied(early[0], tmp_path / "each"), copied(ingested_early, tmp_path / "last")
    judged(last, EARLY, validate=False)
    histories = []
    for made in (each, last):
        judged(made, NOW, validate=made is each)
        (made.directory / "landing/msc/more.csv").write_text(calls(DAYS - 1, range(100, 1_000)))
        judged(made, NOW + timedelta(hours=1))
        histories.append(failure_history(made))
    assert histories[0].filter(pl.col("source") == "msc").height >= 2
    assert histories[0].equals(histories[1])


MISTAKE = """
[[expectation]]
name = "own rule"
stream = "usage"
type = "expect_column_{kind}"
arguments = {arguments}
severity = "mark"
notes = "It says something."
"""


def _add_rule(folder: Path, kind: str, arguments: str) -> Project:
    path = folder / "trueup.toml"
    path.write_text(path.read_text() + MISTAKE.format(kind=kind, arguments=arguments))
    return Project.load(folder)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("values_to_bee_null", '{ column = "node" }', "Great Expectations has no expect_column_values_to_bee_null"),
        ("values_to_not_be_null", '{ column = "noode" }', "usage has no column 'noode'"),
        ("values_to_not_be_null", '{ colum = "node" }', "has unusable arguments: column: field required"),
    ],
)
def test_an_invalid_expectation_is_refused_before_it_is_in_force(
    ran: Path, tmp_path: Path, kind: str, arguments: str, message: str
) -> None:
    made = _add_rule(Path(shutil.copytree(ran, tmp_path / "copied")), kind, arguments)
    with pytest.raises(ConfigError, match=message):
        quality(made, clock=lambda: NOW)
    with Lake.open(made, read_only=True) as lake:
        assert lake.read("declaration").filter(pl.col("kind") == "quality_policy").height == 1


def test_an_expectation_that_the_library_cannot_compute_is_logged_and_raises_no_finding(
    ingested_late: Path, tmp_path: Path
) -> None:
    copied(ingested_late, tmp_path / "p")
    made = _add_rule(tmp_path / "p", "mean_to_be_between", '{ column = "subscriber", max_value = 3 }')
    ingest(made, clock=lambda: NOW)
    message = list[str]()
    quality(made, clock=lambda: NOW, log=message.append)
    assert any(line.startswith("msc: own rule: not computed: ") for line in message)
    assert failure_history(made).filter(pl.col("subject").str.starts_with("own rule")).is_empty()
