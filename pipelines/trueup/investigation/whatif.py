"""Reconcile a scratch copy of the log under other settings or tariffs, and compare the results; the log stays unchanged."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from trueup.config import FILE_NAME, MAX_TOML_BYTES, Config, Project
from trueup.config.document import parse_tables
from trueup.config.tables.reconcile import DEFAULT
from trueup.errors import ConfigError, TrueupError
from trueup.investigation.difference import Difference, compare
from trueup.investigation.scratch import at_home, newest_moment, reconcile_copy, scratch_copy, with_path
from trueup.log.lake import Lake
from trueup.policies.policy import Policy
from trueup.progress import LogFn
from trueup.regular import read_regular
from trueup.warehouse.query import with_retries


@dataclass(frozen=True)
class Supposition:
    """A supposition: settings as `TABLE.KEY=VALUE`, a file of tariffs, and fraud rules as TOML tables."""

    settings: Sequence[str] = ()
    book: Path | None = None
    rules: Sequence[str] = ()


@dataclass(frozen=True)
class WhatIf:
    """The difference that a supposition would make to findings, and to the alerts of rules.

    `rules` is the back-test of all rules; None where the supposition changes no rule. `alerts` are the cases of alerting rules,
    `alerts_then` those without the supposition. A rule that the supposition removes has no other counts.
    """

    difference: Difference
    rules: list[dict[str, Any]] | None


def what_if(
    project: Project,
    supposed: Supposition,
    *,
    days: tuple[date | None, date | None] = (None, None),
    most: int = 50,
    log: LogFn | None = None,
) -> WhatIf:
    """Return the difference that other settings or tariffs would make from now on, computed on a scratch copy.

    The copy shares the data files of the log, which are never changed. The result is what a reconciliation would find after the
    change. `days` limit the findings that are compared. Raises `ConfigError` for an invalid setting or an unknown service, and
    `TrueupError` for a lake that is not on this machine.
    """
    if not supposed.settings and supposed.book is None and not supposed.rules:
        raise TrueupError("no change is given", todo="give --set, --book or --rule")
    config = supposed_config(project, supposed)
    with tempfile.TemporaryDirectory(prefix="trueup-whatif-") as folder:
        scratch = scratch_copy(project, Path(folder))
        _check_services(scratch, config)
        moment = newest_moment(scratch)
        reconcile_copy(scratch, moment, log)
        with Lake.open(scratch, read_only=True) as lake:
            before = lake.last_position()
        changed = Project(scratch.directory, at_home(config))
        if supposed.book is not None:
            changed = _with_book(changed, supposed.book.resolve(), moment)
        reconcile_copy(changed, moment, log)
        difference = compare(changed, str(before), most=most, days=days)
        return WhatIf(difference, _compare_alerts(scratch, changed) if _changes_rules(scratch.config, config) else None)


def supposed_config(project: Project, supposed: Supposition) -> Config:
    """Return the project's settings with the supposed ones; raise `ConfigError` for an invalid one or one that is not compared."""
    config = _apply(project, supposed.settings, supposed.rules)
    for number, text in enumerate(supposed.settings):
        others = [*supposed.settings[:number], *supposed.settings[number + 1 :]]
        try:
            without = _apply(project, others, supposed.rules)
        except ConfigError:
            continue  # Another setting is valid only with this one.
        _check_compared(text.partition("=")[0].strip(), without, config)
    if supposed.settings and not supposed.rules:
        names = ", ".join(text.partition("=")[0].strip() for text in supposed.settings)
        _check_compared(names, _apply(project, (), ()), config)
    return config


def _check_compared(names: str, without: Config, config: Config) -> None:
    """Raise `ConfigError` where settings differ, but neither a policy of reconciliation nor a match of a rule depends on them."""
    if without == config or _changes_rules(without, config) or Policy.of(without).content() != Policy.of(config).content():
        return
    raise ConfigError(
        f"{names} changes no finding of reconciliation and no match of a rule, so a what-if cannot compare it",
        where="--set",
        todo="set how records are matched or priced, such as reconcile.voice.grace=48h, or a rule of fraud",
    )


def _check_services(scratch: Project, config: Config) -> None:
    """Raise `ConfigError` where supposed settings name a service that neither the project's settings nor the log have."""
    known = _services_of(scratch.config)
    further = _services_of(config) - known
    if not further:
        return
    known |= with_retries(scratch, lambda warehouse: {row["service"] for row in warehouse.rows("queries/records/services")})
    unknown = sorted(further - known)
    if unknown:
        raise ConfigError(
            f"unknown service {', '.join(map(repr, unknown))}: neither the settings nor the log have it",
            where="--set",
            todo=f"name one of {', '.join(sorted(known))}",
        )


def _services_of(config: Config) -> set[str]:
    return {DEFAULT, *config.reconcile, *(covered for rules in config.reconcile.values() for covered in rules.covers)}


def _changes_rules(without: Config, config: Config) -> bool:
    from trueup.fraud.record import scoring_record

    return scoring_record(without.fraud) != scoring_record(config.fraud)


def _apply(project: Project, settings: Sequence[str], rules: Sequence[str]) -> Config:
    """Return the settings of the project's file with further settings and rules."""
    own = read_regular(project.directory / FILE_NAME, max_bytes=MAX_TOML_BYTES).decode("utf-8")
    tables = tomllib.loads(own.removeprefix("\ufeff"))
    for text in settings:
        path, sign, value = text.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not sign or len(keys) < 2 or not all(keys):
            raise ConfigError(
                f"invalid setting {text!r}", where="--set", todo="write TABLE.KEY=VALUE, such as reconcile.voice.grace=48h"
            )
        _set_value(tables, keys, _parse_value(value.strip()))
    for text in rules:
        tables.setdefault("fraud", {}).setdefault("rule", []).append(_parse_table(text))
    return parse_tables(tables, where="--set")


def _set_value(tables: dict[str, Any], keys: Sequence[str], value: object) -> None:
    """Set a value in nested tables; in a list of named tables such as [[source]], the second key is the name of the table."""
    here: Any = tables
    for number, key in enumerate(keys[:-1]):
        if isinstance(here, list):
            named = [item for item in here if isinstance(item, dict) and item.get("name") == key]
            if not named:
                names = ", ".join(str(item["name"]) for item in here if isinstance(item, dict) and "name" in item)
                todo = f"name one of trueup.toml{': ' * bool(names)}{names}"
                raise ConfigError(f"there is no {'.'.join(keys[: number + 1])}", where="--set", todo=todo)
            here = named[0]
        else:
            here = here.setdefault(key, {})
        if not isinstance(here, dict | list):
            raise ConfigError(f"{'.'.join(keys[: number + 1])} is not a table", where="--set", todo="write TABLE.KEY=VALUE")
    if isinstance(here, list):
        raise ConfigError(f"{'.'.join(keys[:-1])} is a list of tables", where="--set", todo="write TABLE.NAME.KEY=VALUE")
    here[keys[-1]] = value


def _parse_value(text: str) -> object:
    """Return a TOML value; return other input, and a number with a decimal point, as text, because money is never a float."""
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return text if isinstance(value, float) else value


def _parse_table(text: str) -> dict[str, Any]:
    try:
        value = tomllib.loads(f"rule = {{ {text.strip().removeprefix('{').removesuffix('}')} }}")["rule"]
    except tomllib.TOMLDecodeError as error:
        todo = 'write name = "x", kind = "range", prefixes = ["+882"]'
        raise ConfigError(f"invalid rule: {error}", where="--rule", todo=todo) from None
    return dict(value)


def _with_book(project: Project, book: Path, moment: datetime) -> Project:
    """Ingest a file of tariffs as one more file of the project's source of tariffs, and return the project."""
    from trueup.collect.ingest import ingest

    sources = [source for source in project.config.source if source.stream == "tariff"]
    if len(sources) != 1:
        raise TrueupError(f"the project has {len(sources)} sources of tariffs", where="--book", todo="a book needs exactly one")
    (source,) = sources
    changed = with_path(project, source, book)
    done = ingest(changed, sources=[source.name], clock=lambda: moment)
    if done.errors:
        raise TrueupError(f"the book was not accepted: {done.errors[0]}", where=str(book), todo="correct the file")
    return changed


def _compare_alerts(before: Project, after: Project) -> list[dict[str, Any]]:
    """Return the back-test of the rules of `after`, with the cases of alerting rules under both projects."""
    from trueup.fraud.scoring.rules import rules_of
    from trueup.fraud.training.train_run import try_rules

    if not rules_of(after.config.fraud) and rules_of(before.config.fraud):
        then = try_rules(before)
        now = then.clear()
    else:
        now = try_rules(after)
        then = try_rules(before) if rules_of(before.config.fraud) else now.clear()
    alerts = pl.when(~pl.col("shadow")).then("cases").otherwise(0)
    joined = now.with_columns(alerts=alerts).join(then.select("rule", alerts_then=alerts), on="rule", how="full", coalesce=True)
    return joined.with_columns(pl.col("alerts", "alerts_then").fill_null(0)).sort("rule").to_dicts()
