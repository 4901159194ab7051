"""Days of a feed share one definition of the library. Each day is validated on its own records, then released from memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from switch_feed import SWITCH

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.log.lake import Lake

pytest.importorskip("great_expectations", reason="trueup[quality] is not installed")

from trueup.quality.policy import policy_of
from trueup.quality.validation.validate import Validation
from trueup.quality.validation.validate_result import Check, Validated
from trueup.quality.validation.validation_schedule import DayOf

pytestmark = pytest.mark.filterwarnings("ignore")
TOML = (
    SWITCH
    + """[[expectation]]
name = "an MSC"
stream = "usage"
source = "msc"
type = "expect_column_values_to_match_regex"
notes = "Only our own switches."
arguments = { column = "node", regex = "^MSC" }
"""
)
ROWS = """id,caller,at,seconds,node
1,491,2024-03-01T00:00:00,5,MSC01
2,492,2024-03-01T00:00:01,5,XYZ
3,493,2024-03-02T00:00:00,5,MSC01
4,494,2024-03-02T00:00:01,5,ABC
5,495,2024-03-02T23:59:59,5,DEF
6,496,2024-03-03T00:00:00,5,MSC01
"""
FIRST, SECOND, THIRD = (date(2024, 3, day) for day in (1, 2, 3))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("days")
    (folder / "landing").mkdir()
    (folder / "landing/a.csv").write_text(ROWS, "utf-8")
    (folder / "trueup.toml").write_text(TOML, "utf-8")
    made = Project.load(folder)
    ingest(made, clock=lambda: datetime(2024, 3, 4, tzinfo=UTC))
    return made


@pytest.fixture
def validation(project: Project) -> Iterator[Validation]:
    opened = Validation(project)
    yield opened
    opened.close()


def validate(validation: Validation, *days: date) -> list[Validated]:
    """Validate days of the feed together."""
    begins = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    of_days = [
        DayOf("usage", "msc", begin.date(), *(int(at.timestamp()) * 1_000_000 for at in (begin, begin + timedelta(days=1))))
        for begin in begins
    ]
    with Lake.open(validation.project, read_only=True) as lake:
        position = lake.last_position()
        snapshot_id = lake.snapshot_of(position)
    expectations = policy_of(validation.project).expected_of("usage", "msc")
    return list(validation.validate(of_days, position, snapshot_id, expectations))


def not_an_msc(validated: Validated) -> Check:
    (check,) = [check for check in validated.checks if check.name == "an MSC"]
    return check


def record_keys(project: Project, check: Check) -> list[str]:
    with Lake.open(project, read_only=True) as lake:
        rows = lake.read("usage", columns=["record_key", "event_id"])
    return sorted(key for key, event_id in rows.select("record_key", "event_id").iter_rows() if event_id.hex() in check.event_ids)


@pytest.mark.parametrize("together", [True, False])
def test_days_that_share_a_definition_are_each_validated_on_their_own_records(
    project: Project, validation: Validation, together: bool
) -> None:
    groups = [(FIRST, SECOND, THIRD), (FIRST,)] if together else [(FIRST,), (SECOND,), (THIRD,), (FIRST,)]
    checks = [not_an_msc(validated) for days in groups for validated in validate(validation, *days)]
    assert [(check.passed, check.looked_at, check.unexpected) for check in checks] == [
        (False, 2, 1), (False, 3, 2), (True, 1, 0), (False, 2, 1),
    ]  # fmt: skip
    assert [record_keys(project, check) for check in checks] == [["2"], ["4", "5"], [], ["2"]]
    assert [definition.name for definition in validation.context.validation_definitions.all()] == ["usage.msc"]


def test_copies_of_earlier_days_do_not_stay_in_memory(validation: Validation) -> None:
    copied = []
    for days in ((FIRST,), (SECOND,), (THIRD,)):
        validate(validation, *days)
        copied.append(rows_of_temporary_tables(validation))
    assert copied == [[2], [3], [1]]


def rows_of_temporary_tables(validation: Validation) -> list[int]:
    engine = validation.context.data_sources.get("lake").get_execution_engine()
    with engine.get_connection() as connection:
        query = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'temp'"
        names = connection.exec_driver_sql(query).fetchall()
        return [connection.exec_driver_sql(f'SELECT count(*) FROM temp."{name}"').fetchone()[0] for (name,) in names]
