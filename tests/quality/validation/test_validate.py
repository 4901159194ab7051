"""Great Expectations over the lake: the library's listing, its results, and its Data Docs in a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from switch_feed import SWITCH

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.raw.records import verify_record

pytest.importorskip("great_expectations", reason="trueup[quality] is not installed")

from great_expectations.core.batch import Batch
from great_expectations.execution_engine import SqlAlchemyExecutionEngine
from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
from great_expectations.validator.validator import Validator

from trueup.quality.expectation import Expectation
from trueup.quality.policy import policy_of
from trueup.quality.validation import due_records, engine
from trueup.quality.validation.feed_validator import RESULT_FORMAT, FeedValidator
from trueup.quality.validation.validate import Validation
from trueup.quality.validation.validate_result import Validated
from trueup.quality.validation.validation_schedule import DayOf

pytestmark = pytest.mark.filterwarnings("ignore")
TOML = (
    SWITCH.replace("[source.columns]", 'range = { quantity = ["-100", "100"] }\n[source.columns]')
    + """[[expectation]]
name = "no test number"
stream = "usage"
type = "expect_column_values_to_not_be_in_set"
severity = "quarantine"
notes = "Test calls are billed to no customer."
arguments = { column = "subscriber", value_set = ["000"] }
[[expectation]]
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
2,492,2024-03-01T00:00:01,-5,XYZ
3,000,2024-03-01T00:00:02,5,MSC02
4,,2024-03-01T00:00:03,5,MSC02
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("validated")
    (folder / "landing").mkdir()
    (folder / "landing/a.csv").write_text(ROWS)
    (folder / "trueup.toml").write_text(TOML)
    made = Project.load(folder)
    ingest(made, clock=lambda: datetime(2024, 3, 2, tzinfo=UTC))
    return made


@pytest.fixture(scope="module")
def validation(project: Project) -> Iterator[Validation]:
    opened = Validation(project)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def results(project: Project, validation: Validation) -> Validated:
    first = datetime(2024, 3, 1, tzinfo=UTC)
    from_us = int(first.timestamp()) * 1_000_000
    with Lake.open(project, read_only=True) as lake:
        position = lake.last_position()
        snapshot_id = lake.snapshot_of(position)
    expectations = policy_of(project).expected_of("usage", "msc")
    day = DayOf("usage", "msc", first.date(), from_us, from_us + 86_400_000_000)
    (found,) = validation.validate([day], position, snapshot_id, expectations)
    return found


def test_suites_are_listed_by_the_library_itself(validation: Validation, results: Validated) -> None:
    assert validation.suites == ["usage.msc"]
    notes = [e.notes for suite in validation.context.suites.all() for e in suite.expectations]
    assert all(notes)


def test_a_day_is_validated_and_its_unexpected_rows_lead_to_events(project: Project, results: Validated) -> None:
    assert {c.name for c in results.failed} == {"usage is not negative", "somebody used it", "an MSC"}
    negative = next(c for c in results.failed if c.name == "usage is not negative")
    assert (negative.unexpected, negative.looked_at, len(negative.event_ids), negative.records) == (1, 3, 1, (1, 1))
    noted = next(c for c in results.failed if c.name == "somebody used it")
    assert noted.records is None, "nothing is at stake of what is only noted"
    with Lake.open(project, read_only=True) as lake:
        shown = verify_record(lake, bytes.fromhex(negative.event_ids[0]))
    assert (shown.verdict, shown.row) == ("proven", 1)
    # Quarantined records are not in the day, so no record breaks a quarantine rule.
    assert next(c for c in results.checks if c.name == "no test number").passed is True


def test_an_expectation_that_needs_history_is_not_checked_on_the_first_day(results: Validated) -> None:
    unjudged = {c.name for c in results.checks if c.passed is None}
    assert unjudged == {
        "the node is known", "subscribers are filled in as before", "other parties are filled in as before",
        "quantities are as large as before",
    }  # fmt: skip


def test_days_that_are_copied_together_have_the_results_of_days_copied_alone(
    project: Project, validation: Validation, results: Validated, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, day_us = datetime(2024, 2, 29, tzinfo=UTC), 86_400_000_000
    first_us = int(before.timestamp()) * 1_000_000
    days = [
        DayOf("usage", "msc", before.date(), first_us, first_us + day_us),
        DayOf("usage", "msc", results.day, first_us + day_us, first_us + 2 * day_us),
    ]
    with Lake.open(project, read_only=True) as lake:
        snapshot_id = lake.snapshot_of(results.position)
    expectations = policy_of(project).expected_of("usage", "msc")
    together = list(validation.validate(days, results.position, snapshot_id, expectations))
    monkeypatch.setattr(due_records, "TOGETHER", 0)
    alone = list(validation.validate(days, results.position, snapshot_id, expectations))
    assert together == alone
    assert together[0].checks == (), "no record is of the day before"
    assert together[1] == results


@pytest.mark.parametrize("values", ["('MSC01', 1, 'a'), ('MSC02', 2, 'b')", "('MSC01', -1, 'a'), (NULL, 2, 'a'), ('X', NULL, 'b')"])
def test_kept_metrics_give_the_results_of_the_library_as_it_comes(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [
        ("a node", "expect_column_values_to_not_be_null", {"column": "node"}),
        ("an MSC", "expect_column_values_to_match_regex", {"column": "node", "regex": "^MSC"}),
        ("most are positive", "expect_column_values_to_be_between", {"column": "seconds", "min_value": 0, "mostly": 0.4}),
        ("once", "expect_column_values_to_be_unique", {"column": "event_id"}),
        ("a mean", "expect_column_mean_to_be_between", {"column": "seconds", "min_value": 1, "max_value": 1.5}),
    ]
    configurations = [
        engine.impl(Expectation(name, "usage", kind, given, "mark", "why")).configuration for name, kind, given in rules
    ]
    with duckdb.connect() as connection:
        own = engine.DuckdbExecutionEngine(engine=engine.sqlalchemy_engine(connection), create_temp_table=False)
        # Results kept from the day before, on which every rule was broken, must not show in this day's results.
        connection.execute(f"CREATE TABLE {engine.BATCH} AS SELECT 'X' AS node, -1 AS seconds, 'a' AS event_id FROM range(2)")
        batch = Batch(data=SqlAlchemyBatchData(execution_engine=own, table_name=engine.BATCH, create_temp_table=False))
        kept, plain = (kind(execution_engine=own, batches=[batch]) for kind in (FeedValidator, Validator))
        shown = {"result_format": dict(RESULT_FORMAT)}
        expected_of = Validator.graph_validate
        monkeypatch.delattr(Validator, "graph_validate")
        kept.graph_validate(configurations, shown)
        connection.execute(f"CREATE OR REPLACE TABLE {engine.BATCH} AS FROM (VALUES {values}) AS v(node, seconds, event_id)")
        found = [json.loads(json.dumps(r.to_json_dict())) for r in kept.graph_validate(configurations, shown)]
        expected = [json.loads(json.dumps(r.to_json_dict())) for r in expected_of(plain, configurations, shown)]
    for of_kept, of_plain in zip(found, expected, strict=True):
        if not of_plain["result"].get("unexpected_count"):
            of_plain["result"].pop("unexpected_index_query", None)
        assert of_kept == of_plain


def test_data_docs_open_in_a_browser(validation: Validation, results: Validated, tmp_path: Path) -> None:
    page = validation.docs()
    assert page.is_relative_to(validation.project.directory)
    browser = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("there is no browser here: apt-get install chromium")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=180)
    assert "usage.msc" in shown.stdout
    assert "Failed" in shown.stdout or "failed" in shown.stdout


def test_the_engine_of_the_library_still_closes_its_connection(tmp_path: Path) -> None:
    """If this fails after an upgrade, the library leaves its connection open, and `DuckdbExecutionEngine` can be removed."""
    expectations = engine.impl(Expectation("e", "usage", "expect_column_values_to_not_be_null", {"column": "node"}, "mark", "why"))
    path = tmp_path / "one.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS node")
        (own_result,) = engine.validated(connection, "t", [expectations])
        assert own_result.success
    own = SqlAlchemyExecutionEngine(connection_string=f"duckdb:///{path}")
    with pytest.raises(IndexError):
        batch = Batch(data=SqlAlchemyBatchData(execution_engine=own, table_name="t", create_temp_table=False))
        (library_result,) = Validator(execution_engine=own, batches=[batch]).graph_validate(
            configurations=[expectations.configuration]
        )
        raise IndexError if "list index out of range" in str(library_result.exception_info) else AssertionError(library_result)
