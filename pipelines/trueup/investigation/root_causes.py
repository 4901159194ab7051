"""Open cases of root causes, and file findings: first in cases that are already open, then in cases that a search opens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.investigation.patterns import DIMENSIONS, Limits, Pattern, matches, search
from trueup.log.catalog.catalogs import LOCK_WAIT_S, catalog_of
from trueup.log.lake import Lake, Transaction
from trueup.reconcile.domain.case_ids import case_id_of
from trueup.reconcile.domain.kinds import KINDS
from trueup.warehouse.decide import prepare
from trueup.warehouse.query import Warehouse
from trueup.warehouse.statements import statement

CONSUMER = "cases"
LOCK = "cases"
"""The name of the lock that every process holds while it opens cases or files findings."""
SAMPLE = 400_000
"""Approximate number of records of each stream with which findings are compared."""
_SIXTEEN_BITS = 1 << 16
_OPENING: dict[str, pl.DataType | type[pl.DataType]] = {
    "case_id": pl.Binary, "kind": pl.String, "currency": pl.String, "pattern": pl.String, "parent": pl.Binary, "position": pl.Int64,
    "opened_at": pl.Datetime("us", "UTC"), "evidence": pl.String,
    "owner": pl.String, "due_on": pl.Date,
}  # fmt: skip


@dataclass(frozen=True)
class OpenCase:
    """A case that findings can be filed in; if it was merged, `target` is the case that took its findings."""

    case_id: bytes
    target: bytes
    kind: str
    currency: str
    pattern: Pattern


@dataclass(frozen=True)
class Opening:
    """A case to open, with the counts of the search."""

    case_id: bytes
    kind: str
    currency: str
    pattern: Pattern
    evidence: dict[str, Any]
    parent: bytes | None = None
    owner: str | None = None
    due_on: date | None = None


@dataclass(frozen=True)
class Investigated:
    """The result of a run: cases opened, findings filed, and open findings that are in no case."""

    opened: int
    filed: int
    unexplained: int
    position: int
    is_new: bool = True


def investigate(project: Project, *, clock: Clock = system_clock) -> Investigated:
    """File the findings that are in no case: in open cases whose pattern they match, else in cases that a search opens.

    A run does nothing where no finding has changed since the last run. A run never opens a case twice, and takes no finding out of
    a case on which a person decided.
    """
    with Lake.open(project, clock=clock) as lake, catalog_of(project).lock(LOCK, LOCK_WAIT_S):
        prepare(lake)
        position = lake.last_position()
        # Read before the findings: one that is committed later is searched by the next run.
        newest, searched = _read_newest_finding(lake)
        if newest is None or (searched is not None and newest <= searched):
            return Investigated(0, 0, 0, position, is_new=False)
        warehouse = Warehouse(lake, None)
        findings, records = pattern_rows(warehouse)
        openings, filings = assign(findings, records, open_cases(warehouse), project)
        unexplained = findings.height - filings.height
        filings = _drop_known_filings(warehouse, filings)
        openings = [with_owner(opening, project, clock()) for opening in openings]

        def write(transaction: Transaction) -> None:
            append_cases(transaction, openings, filings, position, clock())
            transaction.set_consumer_position(CONSUMER, position, read_snapshot=newest)

        lake.commit(write)
    return Investigated(len(openings), filings.height, unexplained, position)


def with_owner(opening: Opening, project: Project, now: datetime) -> Opening:
    """Return an opening with its owner and due day by the settings."""
    settings = project.config.cases
    owner = settings.owners.get(opening.kind, settings.owners.get("default"))
    due = (now + timedelta(microseconds=settings.due_within)).astimezone(ZoneInfo(project.config.project.timezone)).date()
    return replace(opening, owner=owner, due_on=due)


def _read_newest_finding(lake: Lake) -> tuple[int | None, int | None]:
    """Return the commits of the newest finding, and of the newest finding that a search has read."""
    (row,) = lake.connection.execute(statement("queries/root_causes/newest_finding").text, {"consumer": CONSUMER}).fetchall()
    return row[0], row[1]


def pattern_rows(warehouse: Warehouse, case_id: str | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return findings with their dimensions, and the sample of records; with a case, only its findings.

    Findings have `finding_id`, `kind`, `currency`, `money`, `side` and `reason`, records `stream` and `weight`.
    """
    settings = warehouse.lake.project.config.cases
    counted = warehouse.lake.connection.execute(
        "SELECT greatest((SELECT count(*) FROM lake.events.usage), (SELECT count(*) FROM lake.events.charge))"
    )
    (largest,) = counted.fetchone() or (0,)
    share = 0 if case_id else min(_SIXTEEN_BITS, -(-SAMPLE * _SIXTEEN_BITS // max(int(largest), 1)))
    values = {
        "below": "Z" if share == _SIXTEEN_BITS else f"{share:04X}", "case_id": case_id, "invoice_batch": settings.invoice_batch,
        "attributes": list(settings.attributes),
    }  # fmt: skip
    rows = pl.DataFrame(warehouse.table("queries/root_causes/pattern_rows", values))
    for number, name in enumerate(settings.attributes):
        rows = rows.with_columns(pl.col("attributes").list.get(number, null_on_oob=True).alias(f"attribute:{name}"))
    rows = rows.drop("attributes")
    sign = pl.col("impact_micros").sign()
    findings = rows.filter(pl.col("stream").is_null()).drop("stream").with_columns(
        money=pl.col("impact_micros").cast(pl.Int128).abs().clip(upper_bound=2**62).cast(pl.Int64),
        side=pl.when(sign > 0).then(pl.lit("leakage")).when(sign < 0).then(pl.lit("overcharge")),
        currency=pl.col("currency").fill_null(""),
    )  # fmt: skip
    records = rows.filter(pl.col("stream").is_not_null()).select("stream", *_list_dimensions(rows))
    weight = pl.lit(_SIXTEEN_BITS / max(share, 1))
    return findings.sort("finding_id"), records.with_columns(weight=weight)


def _list_dimensions(rows: pl.DataFrame) -> list[str]:
    return [name for name in rows.columns if name in DIMENSIONS or name.startswith("attribute:")]


def open_cases(warehouse: Warehouse) -> list[OpenCase]:
    """Return the cases that findings can be filed in, in the order in which they were opened."""
    rows = warehouse.rows("queries/root_causes/open_cases")
    into = {row["case_id"]: row["merged_into"] for row in rows if row["merged_into"]}

    def target(case_id: str) -> bytes:
        while case_id in into:
            case_id = into[case_id]
        return bytes.fromhex(case_id)

    return [
        OpenCase(bytes.fromhex(row["case_id"]), target(row["case_id"]), row["kind"], row["currency"], pattern_of(row["pattern"]))
        for row in rows
    ]  # fmt: skip


def pattern_of(text: str) -> Pattern:
    """Return the pattern that a JSON text holds."""
    return tuple((str(name), str(value)) for name, value in json.loads(text))


def assign(
    findings: pl.DataFrame, records: pl.DataFrame, cases: Sequence[OpenCase], project: Project
) -> tuple[list[Opening], pl.DataFrame]:
    """Return the cases to open, and the case of each finding (`finding_id`, `case_id`) that is in one."""
    filed: list[pl.DataFrame] = []
    openings: list[Opening] = []
    known = {case.case_id: case for case in cases}
    for (kind, currency, side, reason), group in _group_findings(findings):
        head: Pattern = tuple((name, text) for name, text in (("side", side), ("reason", reason)) if text is not None)
        left = group
        own = [c for c in cases if c.kind == kind and c.currency == currency and len(c.pattern) > len(head)]
        for case in own:
            left = _file_matches(left, case.pattern, case.target, filed)
        for opening in _search_patterns(left, records, (kind, currency, head), project):
            case_id = opening.case_id
            target = known[case_id].target if case_id in known else case_id
            if case_id not in known:
                openings.append(opening)
            left = _file_matches(left, opening.pattern, target, filed)
    schema = {"finding_id": pl.Binary(), "case_id": pl.Binary()}
    return openings, pl.concat(filed) if filed else pl.DataFrame(schema=schema)


def _group_findings(findings: pl.DataFrame) -> list[tuple[tuple[str, str, str | None, str | None], pl.DataFrame]]:
    """Return findings by kind, currency, side and reason, in a fixed order."""
    parts = findings.partition_by("kind", "currency", "side", "reason", as_dict=True)
    order = sorted(parts, key=lambda key: tuple(str(part or "") for part in key))
    return [
        ((str(k[0]), str(k[1]), None if k[2] is None else str(k[2]), None if k[3] is None else str(k[3])), parts[k]) for k in order
    ]


def _file_matches(left: pl.DataFrame, pattern: Pattern, target: bytes, filed: list[pl.DataFrame]) -> pl.DataFrame:
    """File the findings that match the pattern, and return the other findings."""
    fits = matches(left, pattern)
    filed.append(left.filter(fits).select("finding_id", case_id=pl.lit(target, pl.Binary)))
    return left.filter(~fits)


def _search_patterns(left: pl.DataFrame, records: pl.DataFrame, key: tuple[str, str, Pattern], project: Project) -> list[Opening]:
    """Return cases for the remaining findings of one group; the last one, without dimensions, takes those without a pattern."""
    kind, currency, head = key
    settings = project.config.cases
    if left.is_empty():
        return []
    stream = "charge" if KINDS[kind].side == "charge" else "usage"
    limits = Limits(settings.most_dimensions, settings.most_cases, settings.materiality)
    around = records.filter(pl.col("stream") == stream)
    dimensions = [*DIMENSIONS, *(name for name in left.columns if name.startswith("attribute:"))]
    found = search(left, around, limits, dimensions=dimensions)
    openings = []
    whole = max(int(left["money"].sum()), 1)
    rest = left
    for one in found:
        evidence = {
            "findings": one.findings, "money_micros": str(one.money), "records": one.records,
            "share_millionths": one.money * 1_000_000 // whole,
        }  # fmt: skip
        pattern = (*head, *one.pattern)
        openings.append(Opening(case_id_of(kind, currency, pattern), kind, currency, pattern, evidence))
        rest = rest.filter(~matches(rest, one.pattern))
    money = int(rest["money"].sum())
    if (
        rest.height
        and money >= settings.materiality
        and (money * 1_000_000 > whole * (1_000_000 - settings.explained) or not whole)
    ):
        evidence = {"findings": rest.height, "money_micros": str(money), "share_millionths": money * 1_000_000 // whole}
        openings.append(Opening(case_id_of(kind, currency, head), kind, currency, head, evidence))
    return openings


def _drop_known_filings(warehouse: Warehouse, filings: pl.DataFrame) -> pl.DataFrame:
    """Return the filings that the log does not hold yet."""
    query = "SELECT f.finding_id, f.case_id FROM steps.case_filing f WHERE f.until_snapshot IS NULL"
    known = warehouse.lake.connection.execute(query).pl().cast({"finding_id": pl.Binary, "case_id": pl.Binary})
    return filings.join(known, on=["finding_id", "case_id"], how="anti").sort("finding_id")


def append_cases(
    transaction: Transaction, openings: Sequence[Opening], filings: pl.DataFrame, position: int, now: datetime
) -> None:
    """Append openings and filings within a transaction."""
    rows = [
        {
            "case_id": o.case_id, "kind": o.kind, "currency": o.currency, "parent": o.parent,
            "position": position, "opened_at": now, "owner": o.owner, "due_on": o.due_on,
            "pattern": json.dumps([list(pair) for pair in o.pattern], ensure_ascii=False, separators=(",", ":")),
            "evidence": json.dumps(o.evidence, sort_keys=True, separators=(",", ":")),
        }
        for o in openings
    ]  # fmt: skip
    transaction.append("case_opening", pl.DataFrame(rows, schema=_OPENING))
    transaction.append("case_filing", filings.with_columns(position=pl.lit(position, pl.Int64), filed_at=pl.lit(now)))
