"""Validation of whole days by Great Expectations, inside DuckDB; what it found, and its Data Docs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from trueup.config import Project
from trueup.events.schema import STATES
from trueup.quality.engine import gx, impl, lake_connection
from trueup.quality.expectation import Expectation, Fact
from trueup.quality.facts import facts_of
from trueup.quality.rules import expectations
from trueup.quality.statements import statement
from trueup.quality.validate_result import Check, Validated

FOLDER = "quality"
SHOWN_ROWS = 20
_LAKE = "lake"


class Validation:
    """Great Expectations at work on a project: its suites and results are kept in `quality/gx` under the project's folder."""

    def __init__(self, project: Project) -> None:
        self.project = project
        folder = project.directory / FOLDER
        folder.mkdir(exist_ok=True)
        with warnings.catch_warnings():
            # Its configuration and its own libraries are older than the Python they run on.
            warnings.simplefilter("ignore")
            self.context = gx.get_context(mode="file", project_root_dir=str(folder))
            self.context.variables.progress_bars = {"globally": False}
            self._source = self.context.data_sources.add_or_update_trueup_lake(name=_LAKE, project_directory=str(project.directory))
        self._lake = lake_connection(project)

    @property
    def suites(self) -> list[str]:
        """The names of the suites, as the library lists them."""
        return sorted(suite.name for suite in self.context.suites.all())

    def validate(self, stream: str, day: date | None) -> list[Validated]:
        """Validates a day of a stream: what is expected of all of it, then what is expected of single sources."""
        told = expectations(self.project, stream)
        facts = {} if day is None else facts_of(self._lake, stream, day)
        sources = [None, *sorted({e.source for e in told if e.source is not None})]
        return [self._validated(stream, day, [e for e in told if e.source == source], facts, source) for source in sources]

    def _validated(
        self, stream: str, day: date | None, told: Sequence[Expectation], facts: dict[str, Any], source: str | None
    ) -> Validated:
        known = [e for e in told if all(v.name in facts for v in e.arguments.values() if isinstance(v, Fact))]
        unknown = [Check(e.name, e.severity, None, 0, 0, (), "nothing to compare with yet") for e in told if e not in known]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = self._run(f"{stream}.{source}" if source else stream, self._query(stream, day, source), known, facts)
        by_name = {r.expectation_config.meta["name"]: r for r in result.results}
        return Validated(stream, day, (*(_check(e, by_name[e.name]) for e in known), *unknown))

    def _run(self, name: str, query: str, told: Sequence[Expectation], facts: dict[str, Any]) -> Any:
        suite = gx.ExpectationSuite(name=name, expectations=[impl(e, facts) for e in told])
        suite = self.context.suites.add_or_update(suite)
        if name in {asset.name for asset in self._source.assets}:
            self._source.delete_asset(name)
        batch = self._source.add_query_asset(name=name, query=query).add_batch_definition_whole_table("whole")
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        definition = self.context.validation_definitions.add_or_update(definition)
        return definition.run(
            result_format={
                "result_format": "SUMMARY", "unexpected_index_column_names": ["event_id"], "partial_unexpected_count": SHOWN_ROWS,
            }
        )  # fmt: skip

    def _query(self, stream: str, day: date | None, source: str | None) -> str:
        conditions = ["true"] if day is None or stream in STATES else [f"e.day = DATE '{day.isoformat()}'"]
        if source is not None:
            # Names of sources hold letters, digits, dots, dashes and underscores only.
            conditions.append(f"starts_with(e.source_id, '{source}@')")
        text = statement("batch", stream=stream, condition=" AND ".join(conditions))
        # The library wants a query to begin with SELECT.
        return text[text.index("SELECT") :]

    def docs(self) -> Path:
        """Builds the Data Docs, a static site, and returns its first page."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            built = self.context.build_data_docs()
        return Path(next(iter(built.values())).removeprefix("file://"))

    def close(self) -> None:
        """Lets go of the lake."""
        self._lake.close()
        self._source.get_execution_engine().close()


def _check(expectation: Expectation, result: Any) -> Check:
    found = result.result or {}
    raised = _raised(result.exception_info)
    rows = found.get("partial_unexpected_index_list") or []
    ids = tuple(dict.fromkeys(str(row["event_id"]) for row in rows))[:SHOWN_ROWS]
    if raised:
        return Check(expectation.name, expectation.severity, None, 0, 0, (), f"not computed: {raised}")
    observed = found.get("observed_value")
    detail = "" if observed is None else f"observed {observed}"
    count = int(found.get("unexpected_count") or 0)
    return Check(
        expectation.name, expectation.severity, bool(result.success), int(found.get("element_count") or 0), count, ids, detail
    )


def _raised(told: Any) -> str:
    """What the library says went wrong, empty when nothing did; it tells one exception, or one for each metric."""
    if not told:
        return ""
    each = [told] if "raised_exception" in told else list(told.values())
    return next((str(e.get("exception_message", "")).splitlines()[0] for e in each if e.get("raised_exception")), "")


def days_of(connection: duckdb.DuckDBPyConnection, stream: str, after: int) -> list[date]:
    """The days that positions after one brought records of a stream to."""
    rows = connection.execute(statement("touched_days", stream=stream), {"after": after}).fetchall()
    return [row[0] for row in rows]
