"""Rules about sources: their streams, mappings, and how they become complete."""

from __future__ import annotations

from collections.abc import Iterator

from trueup.collect.map.time_formats import NAMED_FORMATS
from trueup.config import SourceConfig
from trueup.config.encodings import check_encoding
from trueup.errors import ConfigError
from trueup.events.reasons import REQUIRED
from trueup.project_checks.facts import Facts, is_mapped
from trueup.project_checks.problem import Instance, Rule
from trueup.project_checks.services import covered_services, rule_tables

_OTHER = {"usage": "charge", "charge": "usage"}


def _find_no_source(facts: Facts) -> Iterator[Instance]:
    if not facts.sources:
        yield {"where": "trueup.toml"}


def _find_one_sided(facts: Facts) -> Iterator[Instance]:
    missing = [stream for stream in ("usage", "charge") if not facts.sources_of(stream)]
    if missing == ["usage"] and any(is_mapped(source, "item") for source in facts.sources_of("charge")):
        # Charges of items are compared with subscriptions, not with usage.
        return
    if facts.sources and missing:
        yield {"where": "trueup.toml", "missing": " or ".join(missing)}


def _find_unmapped_columns(facts: Facts) -> Iterator[Instance]:
    for source in facts.sources:
        missing = [name for name in REQUIRED[source.stream] if _is_required(source, name) and not is_mapped(source, name)]
        if missing:
            yield {"where": f"[[source]] {source.name}", "source": source.name, "columns": ", ".join(missing)}


def _is_required(source: SourceConfig, column: str) -> bool:
    # A record key may be derived from the record's content or position.
    return column != "record_key" or source.identity == "key"


def _find_unreadable(facts: Facts) -> Iterator[Instance]:
    for source in facts.sources:
        where = f"[[source]] {source.name}"
        formats = {source.time_format, *(rule.time_format or source.time_format for rule in source.columns.values())}
        try:
            check_encoding(source.encoding, where=where)
            for time_format in sorted(formats - NAMED_FORMATS):
                _check_time_format(time_format)
            if source.where is not None:
                _check_expression(source.where, where=f"{where}, where", is_condition=True)
            for name, rule in source.columns.items():
                if rule.expression is not None:
                    _check_expression(rule.expression, where=f"{where}, {name}", is_condition=False)
        except ConfigError as error:
            yield {"where": where, "what": error.what, "advice": error.todo or "correct it"}


def _check_time_format(time_format: str) -> None:
    # Polars, which knows the directives, takes longer to import than all other checks take.
    import polars as pl

    from trueup.collect.map.times import utc_times

    utc_times(pl.Series(["2024-03-01T10:00:00Z"]), time_format=time_format, zone="UTC", ambiguous="earliest")


def _check_expression(text: str, *, where: str, is_condition: bool) -> None:
    # The parser imports Polars, which takes longer than all other checks take.
    from trueup.collect.map.expressions.syntax import parse, parse_condition

    (parse_condition if is_condition else parse)(text, where=where)


def _find_numbers_beside_filter(facts: Facts) -> Iterator[Instance]:
    for source in facts.movements:
        if source.where is not None and source.feed.record is not None:
            yield {"where": f"[[source]] {source.name}, where", "source": source.name}


def _find_unmapped_owner(facts: Facts) -> Iterator[Instance]:
    owner = facts.config.lake.bucket_by
    if owner == "session_key":
        return
    for source in facts.movements:
        others = facts.sources_of(_OTHER[source.stream])
        if not is_mapped(source, owner) and any(is_mapped(other, owner) for other in others):
            yield {"where": f"[[source]] {source.name}", "source": source.name, "owner": owner, "others": _OTHER[source.stream]}


def _find_unmapped_session_key(facts: Facts) -> Iterator[Instance]:
    covered = covered_services(facts)
    tables = [name for name, rules in rule_tables(facts).items() if rules.match == ("session_key",) and name not in covered]
    if not tables or not facts.reconciles:
        return
    for stream in ("usage", "charge"):
        if not any(is_mapped(source, "session_key") for source in facts.sources_of(stream)):
            yield {"where": ", ".join(f"[reconcile.{name}]" for name in tables), "stream": stream}


def _find_never_closed(facts: Facts) -> Iterator[Instance]:
    for source in facts.movements:
        deliveries = facts.log.sources.get(source.name)
        has_own_time = source.frontier == "observed" and is_mapped(source, "started_at")
        if (
            deliveries is not None
            and deliveries.accepted
            and not deliveries.closed
            and not has_own_time
            and source.idle_after is None
        ):
            yield {"where": f"[[source]] {source.name}", "source": source.name}


SETTING_RULES = (
    Rule(
        "no-source", "warning", "the project has no source", "describe each feed in a [[source]] table", _find_no_source,
    ),
    Rule(
        "one-sided", "warning", "no source has the stream {missing}, so nothing can be reconciled",
        'add a [[source]] with that `stream`', _find_one_sided,
    ),
    Rule(
        "unmapped-column", "error", "source {source} maps no {columns}: all its records would go to quarantine",
        "map {columns} in [source.columns] or set it in [source.constants]", _find_unmapped_columns,
    ),
    Rule("unreadable-setting", "error", "{what}", "{advice}", _find_unreadable),
    Rule(
        "numbered-beside-filter", "warning",
        "source {source} leaves out records by `where` and numbers them by `record`: those that have a number look missing",
        "remove `record` from [source.feed] and number the files, unless no record that `where` leaves out has a number",
        _find_numbers_beside_filter,
    ),
    Rule(
        "unmapped-owner", "warning",
        "source {source} maps no {owner}, by which records are grouped: none of its records matches {others} records that have one",
        "map {owner}, or create the lake with another [lake] bucket_by", _find_unmapped_owner,
    ),
    Rule(
        "unmapped-session-key", "warning", "no source of {stream} records maps session_key, by which alone services are matched",
        'map session_key, or write match = ["nearest"] or match = ["aggregate"]', _find_unmapped_session_key,
    ),
)  # fmt: skip


def _find_moved_corrections(facts: Facts) -> Iterator[Instance]:
    """Yield one instance for each source whose corrections have another bucket key than the corrected versions."""
    column = facts.config.lake.bucket_by
    for moved in facts.log.moved:
        yield {
            "where": f"[[source]] {moved.source}", "source": moved.source, "stream": moved.stream, "records": moved.records,
            "example": moved.example, "column": column,
        }  # fmt: skip


LOG_RULES = (
    Rule(
        "moved-record", "warning",
        "source {source}: {records} {stream} records such as {example} have versions with different {column}, which all count",
        "deliver a version with quantity and amount zero for each former {column}", _find_moved_corrections,
    ),
    Rule(
        "never-closed", "notice",
        "source {source} has delivered records, but nothing shows how far it is complete: its findings are delayed",
        "run `trueup close --source {source} --through DAY` for the days that are complete", _find_never_closed,
    ),
)  # fmt: skip
