"""`trueup.toml` as one value: all its tables, and the rules between them."""

from __future__ import annotations

import tomllib
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from trueup.config.tables.anchor import AnchorConfig
from trueup.config.tables.cases import CasesConfig
from trueup.config.tables.chain import ChainConfig, check_chains, check_services, check_sums
from trueup.config.tables.fraud import FraudConfig
from trueup.config.tables.invoice import InvoiceConfig
from trueup.config.tables.lake import LakeConfig
from trueup.config.tables.limits import LimitsConfig
from trueup.config.tables.notify import NotifyConfig
from trueup.config.tables.project import ProjectConfig
from trueup.config.tables.quality import ExpectationConfig, QualityConfig
from trueup.config.tables.rating import RatingConfig
from trueup.config.tables.reconcile import ServiceConfig, check_covers
from trueup.config.tables.source import SourceConfig
from trueup.config.tables.sql import SqlConfig
from trueup.config.tables.workbench import WorkbenchConfig
from trueup.config.values import Table, Text
from trueup.errors import ConfigError

FILE_NAME = "trueup.toml"


class Config(Table):
    """The content of a `trueup.toml`."""

    lake: LakeConfig = LakeConfig()
    """The place of the event log."""
    project: ProjectConfig = ProjectConfig()
    """Settings of all sources."""
    limits: LimitsConfig = LimitsConfig()
    """Bounds of one delivered file, for all sources."""
    source: tuple[SourceConfig, ...] = ()
    """The feeds, one table each."""
    reconcile: dict[Text, ServiceConfig] = Field(default_factory=dict)
    """How the usage and charges of each service are matched and priced; `default` is for all others."""
    chain: tuple[ChainConfig, ...] = ()
    """The systems that records pass between switch and bill, one table for each chain."""
    invoice: InvoiceConfig = InvoiceConfig()
    """What must hold of invoices, and when they are due."""
    rating: RatingConfig = RatingConfig()
    """Record attributes that prices depend on."""
    fraud: FraudConfig = FraudConfig()
    """Settings of scoring, and rules that need no model."""
    expectation: tuple[ExpectationConfig, ...] = ()
    """Further expectations of streams."""
    quality: QualityConfig = QualityConfig()
    """Checks of feeds."""
    cases: CasesConfig = CasesConfig()
    """Grouping of findings by root cause, and decisions on their money."""
    notify: NotifyConfig = NotifyConfig()
    """Where new and changed cases are reported."""
    sql: SqlConfig = SqlConfig()
    """Bounds of one query of `trueup sql`."""
    anchor: AnchorConfig = AnchorConfig()
    """Signed statements of the log's newest position and hashes."""
    workbench: WorkbenchConfig = WorkbenchConfig()
    """The web page."""

    @model_validator(mode="before")
    @classmethod
    def _inherit_limits(cls, tables: Any) -> Any:
        """Give each source the values of `[limits]` that its `[source.limits]` does not set."""
        general = tables.get("limits") if isinstance(tables, dict) else None
        sources = tables.get("source") if isinstance(tables, dict) else None
        if not isinstance(general, dict) or not isinstance(sources, list | tuple):
            return tables
        return tables | {"source": [_with_limits(source, general) for source in sources]}

    @model_validator(mode="after")
    def _check_across_tables(self) -> Self:
        names = [s.name for s in self.source]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named {name!r}")
        if self.lake.bucket_by == "session_key":
            for service, rules in self.reconcile.items():
                if rules.match != ("session_key",):
                    raise ValueError(
                        f'[reconcile.{service}] matches by {", ".join(rules.match)}, which bucket_by = "session_key" cannot'
                    )
        for service, rules in self.reconcile.items():
            own = "billing cycles" if rules.period == "cycle" else "periods in the time zones of subscriptions"
            if (rules.period == "cycle" or rules.period_zone == "subscriber") and self.lake.bucket_by != "subscriber":
                raise ValueError(
                    f"[reconcile.{service}] sums {own}, which are those of subscribers; "
                    f'bucket_by = "{self.lake.bucket_by}" keeps records of several subscribers together'
                )
        check_covers(self.reconcile, self.project.currency)
        check_services(self.chain, {n: line for line, rules in self.reconcile.items() for n in rules.covers})
        check_sums(self.chain, self.reconcile)
        check_chains(self.chain, {s.name: s.constants.get("stage") for s in self.source if s.stream == "stage"})
        return self


def _with_limits(source: object, general: dict[str, Any]) -> object:
    if not isinstance(source, dict) or not isinstance(source.get("limits", {}), dict):
        return source
    return source | {"limits": general | source.get("limits", {})}


def parse(text: str, *, where: str = FILE_NAME) -> Config:
    """Parse TOML text; raise `ConfigError` that names each wrong setting."""
    try:
        # Some editors begin a file with a byte order mark, which TOML does not allow.
        tables: dict[str, Any] = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"invalid TOML: {error}", where=where) from None
    return parse_tables(tables, where=where)


def parse_tables(tables: dict[str, Any], *, where: str = FILE_NAME) -> Config:
    """Return the settings of parsed TOML tables; raise `ConfigError` that names each wrong setting."""
    try:
        return Config.model_validate(tables)
    except ValidationError as error:
        message = "; ".join(f"{_name_setting(tables, e['loc'])}: {_format_error(e)}" for e in error.errors())
        raise ConfigError(message, where=where, todo="correct these settings") from None


_NAMED_LISTS = {"source": "[[source]]", "expectation": "[[expectation]]", "chain": "[[chain]]"}
_NESTED_LISTS = (("fraud", "rule"), ("invoice", "tax"), ("workbench", "user"))


def _name_setting(tables: dict[str, Any], location: tuple[int | str, ...]) -> str:
    """Return the table and key of a setting. A table of a list is shown by its name or, without a name, by its number from 1."""
    head, keys = "", location
    if len(location) > 1 and location[0] in _NAMED_LISTS:
        name, keys = _name_item(tables[str(location[0])], location[1]), location[2:]
        head = f"{_NAMED_LISTS[str(location[0])]} {name}"
    elif location[:2] in _NESTED_LISTS and len(location) > 2:
        table, name = str(location[0]), str(location[1])
        head, keys = f"[[{table}.{name}]] {_name_item(tables[table][name], location[2])}", location[3:]
    return ", ".join(filter(None, (head, ".".join(str(part) for part in keys)))) or "file"


def _name_item(items: Any, index: int | str) -> str:
    item = items[index] if isinstance(index, int) and isinstance(items, list) else None
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else str(index + 1 if isinstance(index, int) else index)


_ERROR_MESSAGES = {
    "extra_forbidden": "this setting is unknown", "missing": "this setting is missing", "tuple_type": "must be a list",
    "dict_type": "must be a table", "model_type": "must be a table", "string_type": "must be a text in quotes",
    "int_type": "must be a whole number", "bool_type": "must be true or false", "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}  # fmt: skip


def _format_error(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "must").replace("String should", "must")
    return _ERROR_MESSAGES.get(error["type"], message)
