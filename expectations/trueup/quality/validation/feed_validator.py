"""Validate the days of a feed by Great Expectations, and do the work that does not depend on the day only once.

Without this module the library builds the graph of metrics and each expectation's configuration anew for every day. The library
also queries the rows that break an expectation even if there are none. This module keeps the graph, and queries rows only if their
count is not zero. Where this module cannot compute a validation, the unchanged library does, and reports the reason.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import great_expectations
from great_expectations.compatibility.pydantic import PrivateAttr
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier, ValidationResultIdentifier
from great_expectations.util import convert_to_json_serializable
from great_expectations.validator.validation_graph import ValidationGraph
from great_expectations.validator.validator import Validator, calc_validation_statistics

SHOWN_ROWS = 20
RESULT_FORMAT: dict[str, Any] = {
    "result_format": "SUMMARY", "unexpected_index_column_names": ["event_id"], "partial_unexpected_count": SHOWN_ROWS,
}  # fmt: skip
_COUNT = "unexpected_count"
_LISTED: dict[str, Any] = {"unexpected_values": [], "unexpected_index_list": [], "unexpected_index_query": None}
"""The metrics that list rows which break an expectation, and their values if no row does."""


@dataclass(frozen=True)
class _Prepared:
    """An expectation and the edges of its metrics; `listed` has each metric that lists rows, and that which counts them."""

    expectation: Any
    edges: list[Any]
    listed: dict[Any, Any]


class FeedValidator(Validator):  # type: ignore[misc]
    """The library's validator of one feed, whose batch holds one day after another under the same name."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._kept: dict[str, _Prepared] = {}

    def graph_validate(self, configurations: Sequence[Any], runtime_configuration: dict[str, Any] | None = None) -> list[Any]:
        """Return the library's result of each configuration on the day that is now the batch."""
        try:
            prepared = [self._find_prepared(one, runtime_configuration) for one in configurations]
            metrics = self._compute_metrics(prepared, runtime_configuration)
            return [
                one.expectation.metrics_validate(
                    metrics=metrics, execution_engine=self.execution_engine,
                    runtime_configuration=copy.deepcopy(runtime_configuration),
                )
                for one in prepared
            ]  # fmt: skip
        except Exception:  # noqa: BLE001 - whatever it is, the library computes the others and reports it
            return list(super().graph_validate(list(configurations), runtime_configuration))

    def _compute_metrics(self, prepared: Sequence[_Prepared], runtime_configuration: dict[str, Any] | None) -> dict[Any, Any]:
        """Return the values of all metrics by id: counts first, and rows only of expectations that some row breaks."""
        metrics = self._resolve_metrics(
            [edge for one in prepared for edge in one.edges if edge.left.id not in one.listed], runtime_configuration
        )
        broken = [one for one in prepared if any(metrics[count] for count in one.listed.values())]
        if broken:
            metrics |= self._resolve_metrics([edge for one in broken for edge in one.edges], runtime_configuration)
        empty = {metric: _LISTED[metric.metric_name.rpartition(".")[2]] for one in prepared for metric in one.listed}
        return empty | metrics

    def _resolve_metrics(self, edges: list[Any], runtime_configuration: dict[str, Any] | None) -> dict[Any, Any]:
        graph = ValidationGraph(execution_engine=self.execution_engine, edges=edges)
        metrics, _ = self.metrics_calculator.resolve_validation_graph(graph=graph, runtime_configuration=runtime_configuration)
        return dict(metrics)

    def _find_prepared(self, configuration: Any, runtime_configuration: dict[str, Any] | None) -> _Prepared:
        key = repr((configuration.type, configuration.kwargs, configuration.meta, configuration.id, runtime_configuration))
        if key not in self._kept:
            self._kept[key] = self._prepare(configuration, runtime_configuration)
        return self._kept[key]

    def _prepare(self, configuration: Any, runtime_configuration: dict[str, Any] | None) -> _Prepared:
        own = copy.deepcopy(configuration)
        if self.active_batch_id:
            own.kwargs.update({"batch_id": self.active_batch_id})
        expectation = steady(own.to_domain_obj())
        needed = expectation.get_validation_dependencies(
            execution_engine=self.execution_engine, runtime_configuration=runtime_configuration
        )
        graph = self.metrics_calculator.build_metric_dependency_graph(
            metric_configurations=needed.get_metric_configurations(), runtime_configuration=runtime_configuration
        )
        ids = {name: metric.id for name, metric in needed.metric_configurations.items()}
        return _Prepared(expectation, graph.edges, dict(_list_row_metrics(ids)))


class FeedValidation:
    """The validation of one feed by a definition of the library: it stores a result for each day, as `run` of a definition does."""

    def __init__(self, definition: Any, context: Any, engine: Any) -> None:
        self.definition = definition
        self._store = context.validation_results_store
        self._validator = FeedValidator(execution_engine=engine, batches=[definition.data.get_batch()], data_context=context)

    def validate(self, facts: Mapping[str, dict[str, Any]]) -> Any:
        """Validate the day that the batch holds now by the expectations named, each with its facts; return the stored result."""
        validator, suite = self._validator, self.definition.suite
        validator.load_batch_list([self.definition.data.get_batch()])
        parameters = {name: value for of_one in facts.values() for name, value in of_one.items()}
        named = [one for one in suite.expectation_configurations if one.meta["name"] in facts]
        configurations = validator.process_expectations_for_validation(named, parameters)
        results = validator.graph_validate(configurations, {"result_format": dict(RESULT_FORMAT)})
        run_id = RunIdentifier(run_time=datetime.now(UTC))
        statistics = calc_validation_statistics(results)._asdict()
        validated = ExpectationSuiteValidationResult(
            results=results, success=statistics.pop("success"), suite_name=suite.name, statistics=statistics,
            batch_id=validator.active_batch_id, meta=self._build_meta(run_id),
        )  # fmt: skip
        suite_id = ExpectationSuiteIdentifier(name=suite.name)
        self._store.store_validation_results(
            validated,
            ValidationResultIdentifier(suite_id, run_id, validator.active_batch_id),
            expectation_suite_identifier=suite_id,
        )
        return validated

    def _build_meta(self, run_id: RunIdentifier) -> dict[str, Any]:
        validator = self._validator
        return {
            "great_expectations_version": great_expectations.__version__,
            "batch_spec": convert_to_json_serializable(validator.active_batch_spec),
            "batch_markers": validator.active_batch_markers,
            "active_batch_definition": convert_to_json_serializable(validator.active_batch_definition),
            "validation_id": self.definition.id, "checkpoint_id": None, "batch_parameters": None,
            "run_id": run_id, "validation_time": run_id.run_time,
        }  # fmt: skip


def _list_row_metrics(ids: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the metrics that list rows which break an expectation, each with the metric that counts them."""
    for name, metric in ids.items():
        rule, _, kind = name.rpartition(".")
        if kind in _LISTED and f"{rule}.{_COUNT}" in ids:
            yield metric, ids[f"{rule}.{_COUNT}"]


def steady(expectation: Any) -> Any:
    """Return an expectation that never changes: it builds its configuration once, not for each argument that it reads."""
    kind: Any = type(expectation)
    return _build_steady_type(kind).construct(_fields_set=set(expectation.__fields_set__), **expectation.__dict__)


@cache
def _build_steady_type(kind: Any) -> Any:
    """Return a subtype of `kind` whose instances cache their configuration; the library's registry does not contain it."""

    def configuration(self: Any) -> Any:
        if self._configuration is None:
            self._configuration = kind.configuration.fget(self)
        return self._configuration

    def get_validation_dependencies(
        self: Any, execution_engine: Any = None, runtime_configuration: dict[str, Any] | None = None
    ) -> Any:
        key = repr(runtime_configuration)
        if key not in self._dependencies:
            self._dependencies[key] = kind.get_validation_dependencies(
                self, execution_engine=execution_engine, runtime_configuration=runtime_configuration
            )
        return self._dependencies[key]

    members = {
        "__module__": kind.__module__,
        "_configuration": PrivateAttr(None),
        "_dependencies": PrivateAttr(default_factory=dict),
        "configuration": property(configuration),
        "get_validation_dependencies": get_validation_dependencies,
        # The library registers every type that is not abstract, and the renderers of each.
        "is_abstract": classmethod(lambda _: True),
        "_register_renderer_functions": classmethod(lambda _: None),
    }
    made: Any = type(kind)(kind.__name__, (kind,), members)
    made.expectation_type = kind.expectation_type
    return made
