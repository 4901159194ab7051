"""Reconcile a scratch copy of the log under other settings or tariffs, and compare the results; the log stays unchanged."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from trueup.config import FILE_NAME, Config, Project
from trueup.config.document import parse_tables
from trueup.errors import ConfigError, TrueupError
from trueup.investigation.difference import Difference, compare
from trueup.investigation.scratch import at_home, newest_moment, reconcile_copy, scratch_copy, with_path
from trueup.log.lake import Lake
from trueup.progress import LogFn

_NOT_COMPARED = ("lake", "anchor", "sql", "workbench", "cases", "notify")
"""Tables of settings that change no finding and no alert."""


@dataclass(frozen=True)
class Supposition:
    """A supposition: settings as `TABLE.KEY=VALUE`, a file of tariffs, and fraud rules as TOML tables."""

    settings: Sequence[str] = ()
    book: Path | None = None
    rules: Sequence[str] = ()


@dataclass(frozen=True)
class WhatIf:
    """The difference that a supposition would make, and the frauds that its rules would have caught (None without rules)."""

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
    change. `days` limit the findings that are compared. Raises `ConfigError` for an invalid setting, and `TrueupError` for a lake
    that is not on this machine.
    """
    if not supposed.settings and supposed.book is None and not supposed.rules:
        raise TrueupError("nothing is supposed", todo="give --set, --book or --rule")
    config = supposed_config(project, supposed)
    with tempfile.TemporaryDirectory(prefix="trueup-whatif-") as folder:
        scratch = scratch_copy(project, Path(folder))
        moment = newest_moment(scratch)
        reconcile_copy(scratch, moment, log)
        with Lake.open(scratch, read_only=True) as lake:
            before = lake.last_position()
        changed = Project(scratch.directory, at_home(config))
        if supposed.book is not None:
            changed = _with_book(changed, supposed.book.resolve(), moment)
        reconcile_copy(changed, moment, log)
        difference = compare(changed, str(before), most=most, days=days)
        return WhatIf(difference, _count_alerts(changed) if supposed.rules else None)


def supposed_config(project: Project, supposed: Supposition) -> Config:
    """Return the project's settings with the supposed ones; raise `ConfigError` for a setting without effect or an invalid one."""
    tables = tomllib.loads((project.directory / FILE_NAME).read_text("utf-8").removeprefix("\ufeff"))
    for text in supposed.settings:
        path, sign, value = text.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not sign or len(keys) < 2 or not all(keys):
            raise ConfigError(
                f"invalid setting {text!r}", where="--set", todo="write TABLE.KEY=VALUE, such as reconcile.voice.grace=48h"
            )
        if keys[0] in _NOT_COMPARED:
            raise ConfigError(f"[{keys[0]}] changes no finding", where="--set", todo="name a setting of another table")
        _set_value(tables, keys, _parse_value(value.strip()))
    for text in supposed.rules:
        tables.setdefault("fraud", {}).setdefault("rule", []).append(_parse_table(text))
    return parse_tables(tables, where="--set")


def _set_value(tables: dict[str, Any], keys: Sequence[str], value: object) -> None:
    """Set a value in nested tables; in a list of named tables such as [[source]], the second key is the name of the table."""
    here: Any = tables
    for number, key in enumerate(keys[:-1]):
        if isinstance(here, list):
            named = [item for item in here if isinstance(item, dict) and item.get("name") == key]
            if not named:
                raise ConfigError(f"there is no {'.'.join(keys[: number + 1])}", where="--set", todo="name one of trueup.toml")
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


def _count_alerts(project: Project) -> list[dict[str, Any]]:
    from trueup.fraud.training.train_run import try_rules

    return try_rules(project).to_dicts()
