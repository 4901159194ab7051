"""The first things to check in a published file: its largest leakage, suspicious parties and incomplete feeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from trueup.reconcile.domain.kinds import KINDS
from trueup.warehouse.statements import statement

Row = Mapping[str, Any]


@dataclass(frozen=True)
class FirstLook:
    """Rows of leakage by kind and currency, of suspicious parties, of incomplete feeds, and of pending money by currency.

    In each the most important row is first.
    """

    leakage: list[dict[str, Any]]
    parties: list[dict[str, Any]]
    feeds: list[dict[str, Any]]
    pending: list[dict[str, Any]] = field(default_factory=list)


def first_look(path: Path, leakage: Iterable[Row]) -> FirstLook:
    """Return the first look of a published file; `leakage` are the rows of `queries/status/leakage_summary`."""
    with duckdb.connect(str(path), read_only=True) as file:
        parties = [_with_first_reason(row) for row in _read_rows(file, "queries/status/suspicious_parties")]
        feeds, pending = (_read_rows(file, f"queries/status/{name}") for name in ("incomplete_feeds", "pending_money"))
        return FirstLook(leakage_by_kind(leakage), parties, feeds, pending)


def leakage_by_kind(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the sums of leakage rows by kind and currency, largest impact first."""
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["kind"], row["currency"])
        empty = {"kind": key[0], "currency": key[1], "findings": 0} | dict.fromkeys(_MONEY, Decimal(0))
        total = sums.setdefault(key, empty)
        for name in ("findings", *_MONEY):
            total[name] += row[name]
    return sorted(sums.values(), key=lambda row: (-abs(row["impact"]), row["kind"], row["currency"] or ""))


_MONEY = ("leakage", "overcharge", "impact")


def advice(look: FirstLook) -> list[str]:
    """Return at most four sentences: the next steps for the most money, the first party, the first feed, and pending money."""
    sentences = []
    if look.leakage and look.leakage[0]["impact"]:
        row = look.leakage[0]
        findings = "1 finding" if row["findings"] == 1 else f"{row['findings']} findings"
        sentences.append(f"{row['kind']}, {findings}, {row['impact']} {row['currency']}: {_describe_next_step(row['kind'])}")
    if look.parties:
        row = look.parties[0]
        sentences.append(
            f"{row['summary']} Then record your decision: `trueup decide CASE confirmed`, or `dismissed --note REASON`."
        )
    if look.feeds:
        row = look.feeds[0]
        sentences.append(f"{row['source']}, {row['kind']} since {row['first_day']}: {_describe_next_step(row['kind'])}")
    if look.pending:
        row = look.pending[0]
        held = " and ".join(f"{row[name]} {row['currency']} of {name}" for name in ("usage", "charges") if row[name])
        since = f" since {row['first_day']}" if row["first_day"] else ""
        sentences.append(f"pending{since}, {held}: matching records may still arrive; `trueup close` declares a feed complete.")
    return sentences


def _describe_next_step(kind: str) -> str:
    return KINDS[kind].next_step if kind in KINDS else "List it with `trueup findings`."


def _with_first_reason(row: dict[str, Any]) -> dict[str, Any]:
    sentences = json.loads(row.pop("sentences") or "[]")
    rules = row.pop("rules")
    return row | {"reason": sentences[0] if sentences else rules or ""}


def _read_rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    answer = connection.execute(statement(query).text)
    columns = [column[0] for column in answer.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in answer.fetchall()]
