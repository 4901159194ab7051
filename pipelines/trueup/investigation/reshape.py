"""Merge two cases that have one cause, and split a case that has two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.investigation.patterns import DIMENSIONS, Pattern, matches
from trueup.investigation.root_causes import (
    LOCK,
    Opening,
    append_cases,
    open_cases,
    pattern_of,
    pattern_rows,
    with_owner,
)
from trueup.log.catalog.catalogs import LOCK_WAIT_S, catalog_of
from trueup.log.lake import Lake, Transaction
from trueup.reconcile.domain.case_ids import case_id_of
from trueup.warehouse.decide import Decision, Recorded, append, check_decision, prepare
from trueup.warehouse.explain import subject_id_of
from trueup.warehouse.query import Warehouse


@dataclass(frozen=True)
class Part:
    """Findings of a case that a split can take out: the condition, how many findings meet it, and their money in micros."""

    condition: str
    findings: int
    money_micros: int


def parts_of(warehouse: Warehouse, case_id: str, most: int = 100) -> list[Part]:
    """Return the conditions that some but not all findings of a case meet, those with the most money first."""
    findings, _ = pattern_rows(warehouse, case_id)
    parts: list[Part] = []
    for name in (column for column in findings.columns if column in DIMENSIONS or column.startswith("attribute:")):
        counted = findings.drop_nulls(name).group_by(name).agg(findings=pl.len(), money=pl.col("money").cast(pl.Int128).sum())
        shown = "destination" if name.startswith("destination_") else name
        parts += [
            Part(f"{shown}={value}", count, int(money)) for value, count, money in counted.iter_rows() if count < findings.height
        ]
    return sorted(parts, key=lambda part: (-part.money_micros, -part.findings, part.condition))[:most]


def merge(project: Project, id_prefix: str, into_prefix: str, decision: Decision, *, clock: Clock = system_clock) -> Recorded:
    """Give the findings of one case to another of the same kind and currency; later findings of its pattern follow.

    Raises `TrueupError` for an id that is no root-cause case, for cases of different kinds or currencies, and for a merged case.
    """

    def write(warehouse: Warehouse) -> tuple[Decision, list[Opening], pl.DataFrame]:
        merged, kept = subject_id_of(warehouse, id_prefix), subject_id_of(warehouse, into_prefix)
        one, other = _find_case(warehouse, merged), _find_case(warehouse, kept)
        if merged == kept:
            raise TrueupError("a case cannot be merged into itself", where=merged, todo="name another case")
        if (one["kind"], one["currency"]) != (other["kind"], other["currency"]):
            raise TrueupError(
                f"the cases are about {one['kind']} in {one['currency']} and {other['kind']} in {other['currency']}",
                todo="merge cases of one kind and currency",
            )
        if other["status"] == "merged":
            raise TrueupError(f"the case {kept} was merged itself", where=kept, todo=f"merge into {other['merged_into']}")
        members = _read_members(warehouse, merged)
        return replace(decision, into=kept), [], members.with_columns(case_id=pl.lit(bytes.fromhex(kept), pl.Binary))

    return _reshape(project, id_prefix, replace(decision, name="merged"), write, clock)


def split(
    project: Project, id_prefix: str, conditions: Sequence[str], decision: Decision, *, clock: Clock = system_clock
) -> Recorded:
    """Open a case for the findings of another that have further values of dimensions, such as `node=MSC07`.

    Raises `TrueupError` for a condition of another form, and for one that no finding or every finding meets.
    """
    further = tuple(_parse_condition(text) for text in conditions)

    def write(warehouse: Warehouse) -> tuple[Decision, list[Opening], pl.DataFrame]:
        parent = subject_id_of(warehouse, id_prefix)
        case = _find_case(warehouse, parent)
        findings, _ = pattern_rows(warehouse, parent)
        fits = matches(findings, further)
        if not 0 < int(fits.sum()) < findings.height:
            which = "none" if not fits.any() else "all"
            raise TrueupError(
                f"{which} of the findings of {parent} have {' and '.join(conditions)}", todo="see `trueup cases CASE`"
            )
        pattern: Pattern = (*pattern_of(case["pattern"]), *further)
        new = case_id_of(case["kind"], case["currency"] or "", pattern)
        if any(known.case_id == new for known in open_cases(warehouse)):
            raise TrueupError(f"there is a case of this pattern: {new.hex()}", todo="merge into that case instead")
        moved = findings.filter(fits)
        evidence = {"findings": moved.height, "money_micros": str(moved["money"].sum())}
        opening = Opening(new, case["kind"], case["currency"] or "", pattern, evidence, bytes.fromhex(parent))
        return replace(decision, into=new.hex()), [opening], moved.select("finding_id", case_id=pl.lit(new, pl.Binary))

    return _reshape(project, id_prefix, replace(decision, name="split"), write, clock)


def _parse_condition(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value:
        raise TrueupError(f"invalid condition {text!r}", where="--where", todo="write DIMENSION=VALUE, such as node=MSC07")
    dimension = f"destination_{len(value)}" if name.strip() == "destination" else name.strip()
    if dimension not in DIMENSIONS and not dimension.startswith("attribute:"):
        known = ", ".join(["destination", *(n for n in DIMENSIONS if not n.startswith("destination"))])
        raise TrueupError(f"unknown dimension {name.strip()!r}", where="--where", todo=f"write one of {known}")
    return dimension, value


def _find_case(warehouse: Warehouse, case_id: str) -> dict[str, str]:
    found = warehouse.rows("queries/cases/root_cause", {"case_id": case_id})
    if not found:
        raise TrueupError(f"{case_id} is not a case of a root cause", todo="take an id from `trueup cases --type root_cause`")
    return found[0]


def _read_members(warehouse: Warehouse, case_id: str) -> pl.DataFrame:
    table = warehouse.table("queries/cases/filed_in", {"case_id": case_id})
    return pl.DataFrame(table).cast({"finding_id": pl.Binary})


def _reshape(
    project: Project,
    id_prefix: str,
    decision: Decision,
    write: Callable[[Warehouse], tuple[Decision, list[Opening], pl.DataFrame]],
    clock: Clock,
) -> Recorded:
    """Record the decision, the opened case and its filings in one commit, while the lock keeps searches out."""
    check_decision(decision, clock())
    with Lake.open(project, clock=clock) as lake, catalog_of(project).lock(LOCK, LOCK_WAIT_S):
        prepare(lake)
        warehouse = Warehouse(lake, None)
        made, openings, filings = write(warehouse)
        subject_id = subject_id_of(warehouse, id_prefix)

        def commit(transaction: Transaction) -> Recorded:
            subjects = warehouse.rows("queries/cases/subjects", {"ids": [subject_id]})
            (recorded,) = append(transaction, warehouse, subjects, replace(made, name=decision.name), clock())
            owned = [with_owner(opening, project, clock()) for opening in openings]
            append_cases(transaction, owned, filings, lake.last_position(), clock())
            return recorded

        return lake.commit(commit)
