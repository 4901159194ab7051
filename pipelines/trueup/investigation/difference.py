"""The changes between two points of the log: findings and money at both, and the cause of each change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from trueup.config import Project
from trueup.errors import QueryError
from trueup.log.lake import Days
from trueup.warehouse.asof import AsOf
from trueup.warehouse.query import Warehouse, with_retries

_STATE = {
    "finding_id": pl.Binary, "kind": pl.String, "service": pl.String, "day": pl.Date, "currency": pl.String, "stands": pl.Boolean,
    "micros": pl.Decimal(38, 0), "cause": pl.String, "status": pl.String, "changed_position": pl.Int64,
}  # fmt: skip
NO_CAUSE = "decision"
"""The cause of a change of status without a change of the finding: a decision of a person."""


@dataclass(frozen=True)
class Difference:
    """The difference of two points.

    `money` has leakage and overcharge by currency, at both points. `causes` counts changes and their money by cause, change, kind
    and service. `findings` are the single changes, the largest first, at most as many as requested. `changes` counts all changes.
    """

    then: int
    now: int
    changes: int
    money: list[dict[str, Any]]
    causes: list[dict[str, Any]]
    findings: list[dict[str, Any]]


def compare(project: Project, then: str, now: str | None = None, *, most: int = 50, days: Days = (None, None)) -> Difference:
    """Compare the findings as of two positions, times or days; `now` is by default the newest position.

    `days`, first and last, limit the findings that are compared; findings without a day are then left out.

    Raises `QueryError` for a point that is no position, time or day, and for a position that the log does not have. It also raises
    `QueryError` where `then` is the later point.
    """
    earlier, first = with_retries(project, _read_state, then)
    later, second = with_retries(project, _read_state, now)
    if earlier > later:
        raise QueryError(f"position {earlier} comes after position {later}", todo="write the earlier point first")
    first, second = (_select_days(state, days) for state in (first, second))
    changed = changes_between(first, second)
    return Difference(
        earlier, later, changed.height, _compare_money(first, second), _sum_by_cause(changed), _list_rows(changed, most)
    )


def _read_state(warehouse: Warehouse) -> tuple[int, pl.DataFrame]:
    as_of: AsOf | None = warehouse.as_of
    position = warehouse.lake.last_position() if as_of is None else as_of.position
    rows = pl.DataFrame(warehouse.table("queries/cases/state"))
    return position, rows.cast(_STATE)  # type: ignore[arg-type]


def _select_days(state: pl.DataFrame, days: Days) -> pl.DataFrame:
    first, last = days
    state = state if first is None else state.filter(pl.col("day") >= first)
    return state if last is None else state.filter(pl.col("day") <= last)


def changes_between(then: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Return the findings that differ, with `change` (raised, revised, closed or decided), `cause` and both amounts in micros."""
    both = now.join(then.select("finding_id", "stands", "micros", "status"), on="finding_id", how="left", suffix="_then")
    both = both.with_columns(
        stands_then=pl.col("stands_then").fill_null(False), micros_then=pl.col("micros_then").fill_null(0),
        status_then=pl.col("status_then").fill_null("none"),
    )  # fmt: skip
    change = (
        pl.when(~pl.col("stands_then") & pl.col("stands")).then(pl.lit("raised"))
        .when(pl.col("stands_then") & ~pl.col("stands")).then(pl.lit("closed"))
        .when(pl.col("stands") & (pl.col("micros") != pl.col("micros_then"))).then(pl.lit("revised"))
        .when(pl.col("stands") & (pl.col("status") != pl.col("status_then"))).then(pl.lit("decided"))
    )  # fmt: skip
    both = both.with_columns(change=change, difference=pl.col("micros") - pl.col("micros_then"))
    both = both.filter(pl.col("change").is_not_null())
    cause = pl.when(pl.col("change") == "decided").then(pl.lit(NO_CAUSE)).otherwise(pl.col("cause"))
    return both.with_columns(cause=cause).sort(pl.col("difference").abs(), "finding_id", descending=[True, False])


def _compare_money(then: pl.DataFrame, now: pl.DataFrame) -> list[dict[str, Any]]:
    def sums(state: pl.DataFrame, suffix: str) -> pl.DataFrame:
        micros = pl.col("micros")
        return state.filter("stands").group_by("currency").agg(
            pl.len().alias(f"findings_{suffix}"),
            micros.filter(micros > 0).sum().alias(f"leakage_{suffix}"),
            (-micros.filter(micros < 0).sum()).alias(f"overcharge_{suffix}"),
        )  # fmt: skip

    joined = sums(then, "then").join(sums(now, "now"), on="currency", how="full", coalesce=True, nulls_equal=True).fill_null(0)
    amounts = [name for name in joined.columns if name.startswith(("leakage", "overcharge"))]
    return joined.sort("currency").with_columns(_as_money(name) for name in amounts).to_dicts()


def _sum_by_cause(changed: pl.DataFrame) -> list[dict[str, Any]]:
    keys = ["cause", "change", "kind", "service", "currency"]
    rows = changed.group_by(keys).agg(findings=pl.len(), difference=pl.col("difference").sum()).sort(keys)
    return rows.with_columns(_as_money("difference")).to_dicts()


def _list_rows(changed: pl.DataFrame, most: int) -> list[dict[str, Any]]:
    rows = changed.head(most).with_columns(pl.col("finding_id").bin.encode("hex"))
    columns = (
        "finding_id", "change", "cause", "kind", "service", "day", "status_then", "status", "micros_then", "micros",
        "difference", "currency", "changed_position",
    )  # fmt: skip
    amounts = ("micros_then", "micros", "difference")
    named = rows.select(columns).with_columns(_as_money(name) for name in amounts)
    return named.rename({"micros_then": "impact_then", "micros": "impact"}).to_dicts()


def _as_money(name: str) -> pl.Expr:
    """Return an amount in micros as exact money."""
    return (pl.col(name).cast(pl.Decimal(38, 6)) * pl.lit("0.000001").cast(pl.Decimal(38, 6))).cast(pl.Decimal(38, 6))
