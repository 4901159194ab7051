"""Validate whole days by Great Expectations, inside DuckDB, and build its Data Docs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trueup.config import Project
from trueup.errors import ConfigError
from trueup.log.catalog.instances import release
from trueup.quality.docs import PAGES_VERSION, with_safe_pages
from trueup.quality.expectation import Expectation, Fact
from trueup.quality.history_facts import History
from trueup.quality.validation.due_records import DueRecords, query_of
from trueup.quality.validation.engine import check_meant, gx, impl, lake_connection
from trueup.quality.validation.feed_validator import SHOWN_ROWS, FeedValidation
from trueup.quality.validation.validate_result import NOT_COMPUTED, Check, Validated
from trueup.quality.validation.validation_schedule import DayOf

FOLDER = "quality"
_LAKE = "lake"
_SHARE = "expect_column_proportion_of_non_null_values_to_be_between"


class Validation:
    """Great Expectations at work on a project: its suites and results are in `quality/gx` under the project's folder."""

    def __init__(self, project: Project) -> None:
        self.project = project
        folder = project.directory / FOLDER
        folder.mkdir(exist_ok=True)
        with warnings.catch_warnings():
            # The library's configuration and dependencies are older than the Python version, and cause warnings.
            warnings.simplefilter("ignore")
            self.context = gx.get_context(mode="file", project_root_dir=str(folder))
            self.context.variables.progress_bars = {"globally": False}
            for name, site in with_safe_pages(self.context.list_data_docs_sites()).items():
                self.context.update_data_docs_site(name, site)
            self._source = self.context.data_sources.add_or_update_trueup_lake(name=_LAKE, project_directory=str(project.directory))
        # The mark is missing while a run validates, so that after a killed run all pages are built again.
        self._mark = folder / "gx" / "pages_version"
        complete = self._mark.exists() and self._mark.read_text("utf-8") == PAGES_VERSION
        self._with_pages = set(self.context.validation_results_store.list_keys()) if complete else None
        self._mark.unlink(missing_ok=True)
        self._lake = lake_connection(project)
        self._engine = self._source.get_execution_engine()
        self._feeds: dict[str, tuple[tuple[Expectation, ...], FeedValidation]] = {}

    @property
    def suites(self) -> list[str]:
        """The names of the suites, as the library lists them."""
        return sorted(suite.name for suite in self.context.suites.all())

    def validate(
        self, days: Sequence[DayOf], position: int, snapshot_id: int, expectations: Sequence[Expectation]
    ) -> Iterator[Validated]:
        """Validate the expectations of days of one feed, in their order, as each day was known at a position."""
        history = History(self._lake, days[0], days[-1], snapshot_id)
        # A policy may have been declared under another version of the library, with other expectations.
        unmeant = {e.name: said for e in expectations if (said := _explain_meaningless(e)) is not None}
        meant = [e for e in expectations if e.name not in unmeant]
        for of, records in DueRecords(self._engine, snapshot_id).batches(days):
            if records == 0:
                yield Validated(of.stream, of.source, of.day, position, ())
                continue
            facts = history.facts_of(of)
            unknown = {e.name: "nothing to compare with yet" for e in meant if not _list_used_facts(e) <= facts.keys()} | unmeant
            known = [e for e in meant if e.name not in unknown]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                feed = self._find_feed(suite_name(of.stream, of.source), query_of(of, snapshot_id), meant)
                result = feed.validate({e.name: {name: facts[name] for name in _list_used_facts(e)} for e in known})
            by_name = {r.expectation_config.meta["name"]: r for r in result.results}
            checks = [_build_check(e, by_name[e.name], records, facts) for e in known]
            checks += [Check(e.name, e.severity, None, 0, 0, (), unknown[e.name]) for e in expectations if e.name in unknown]
            yield Validated(of.stream, of.source, of.day, position, tuple(checks))

    def _find_feed(self, name: str, query: str, expectations: Sequence[Expectation]) -> FeedValidation:
        """Return the validation of a feed, by the suite and the definition that the library keeps; `query` selects the day.

        The days of a feed share them, because the library writes its files again with each day. The files change only with the
        expectations, and the query of a day is in memory only.
        """
        defined, feed = self._feeds.get(name, (None, None))
        if defined != tuple(expectations) or feed is None:
            feed = FeedValidation(self._define(name, query, expectations), self.context, self._engine)
            self._feeds[name] = tuple(expectations), feed
        feed.definition.batch_definition.data_asset.query = query
        return feed

    def _define(self, name: str, query: str, expectations: Sequence[Expectation]) -> Any:
        suite = gx.ExpectationSuite(name=name, expectations=[impl(e) for e in expectations])
        suite = self.context.suites.add_or_update(suite)
        if name in {asset.name for asset in self._source.assets}:
            self._source.delete_asset(name)
        batch = self._source.add_query_asset(name=name, query=query).add_batch_definition_whole_table("whole")
        return self.context.validation_definitions.add_or_update(gx.ValidationDefinition(name=name, data=batch, suite=suite))

    def docs(self) -> Path:
        """Build the Data Docs, a static site, and return its first page.

        Only pages of new results are built: there is one result per feed and day, and an old one never changes.
        """
        results = self.context.validation_results_store.list_keys()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self._with_pages is None:
                built = self.context.build_data_docs()
            elif new := [key for key in results if key not in self._with_pages]:
                suites = [gx.data_context.types.resource_identifiers.ExpectationSuiteIdentifier(name=n) for n in self._feeds]
                built = self.context.build_data_docs(resource_identifiers=[*new, *suites])
            else:
                built = self.context.build_data_docs(dry_run=True)
        self._with_pages = set(results)
        self._mark.write_text(PAGES_VERSION, "utf-8")
        return Path(next(iter(built.values())).removeprefix("file://"))

    def close(self) -> None:
        """Close the connections to the lake."""
        release(self._lake)
        self._engine.close()


def suite_name(stream: str, source: str) -> str:
    """Return the name of a feed's suite: dots in a source become `~`, since the library would create folders."""
    return f"{stream}.{source.replace('.', '~')}"


def _list_used_facts(expectation: Expectation) -> set[str]:
    """Return the names of the facts that an expectation compares with."""
    return {value.name for value in expectation.arguments.values() if isinstance(value, Fact)}


def _explain_meaningless(expectation: Expectation) -> str | None:
    try:
        check_meant(expectation)
    except ConfigError as error:
        return f"{NOT_COMPUTED}: {error.what}"
    return None


def _build_check(expectation: Expectation, result: Any, records: int, facts: dict[str, Any]) -> Check:
    found = result.result or {}
    raised = _find_raised_error(result.exception_info)
    rows = found.get("partial_unexpected_index_list") or []
    ids = tuple(dict.fromkeys(str(row["event_id"]) for row in rows))[:SHOWN_ROWS]
    if raised:
        return Check(expectation.name, expectation.severity, None, 0, 0, (), f"{NOT_COMPUTED}: {raised}")
    count = int(found.get("unexpected_count") or 0)
    concerned = None if result.success else _count_concerned(expectation, found, records, facts)
    detail = _describe_observation(found, result.expectation_config.kwargs, records)
    share_of = expectation.column if expectation.type == _SHARE else None
    return Check(expectation.name, expectation.severity, bool(result.success), records, count, ids, detail, concerned, share_of)


def _describe_observation(found: dict[str, Any], expected: dict[str, Any], records: int) -> str:
    """Describe the observation; the same facts give the same text."""
    observed = found.get("observed_value")
    if "unexpected_count" in found:
        return f"not so for {found['unexpected_count']} of {records} records"
    ends = [_format_short(expected.get(name)) for name in ("min_value", "max_value")]
    expected_range = f", expected {ends[0] or 'anything'} to {ends[1] or 'anything'}" if any(ends) else ""
    return f"observed {_format_short(observed)}{expected_range}"


def _format_short(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _count_concerned(
    expectation: Expectation, found: dict[str, Any], records: int, facts: dict[str, Any]
) -> tuple[int, int] | None:
    """Return the minimum and maximum number of records that a failure concerns; None where it is only noted."""
    if expectation.severity == "note":
        return None
    if "unexpected_count" in found:
        return int(found["unexpected_count"]), int(found["unexpected_count"])
    least, observed = expectation.arguments.get("min_value"), found.get("observed_value")
    least = facts[least.name] if isinstance(least, Fact) else least
    if expectation.type == _SHARE and least is not None and observed is not None and observed < least:
        # At least the records missing to the minimum share, at most all empty records.
        return math.floor((least - observed) * records), math.ceil((1 - observed) * records)
    return 0, records


def _find_raised_error(exception_info: Any) -> str:
    """Return the first error of the library, empty without one; it reports one exception, or one for each metric."""
    if not exception_info:
        return ""
    each = [exception_info] if "raised_exception" in exception_info else list(exception_info.values())
    return next((str(e.get("exception_message", "")).splitlines()[0] for e in each if e.get("raised_exception")), "")
