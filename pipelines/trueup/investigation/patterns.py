"""Search for root causes: the smallest patterns of dimensions that explain most of the money of one kind of finding.

A pattern is a set of values of dimensions, such as node = MSC07 and service = voice. A cause shows as a pattern whose records fail
far more often than all others. The search compares findings with all records by Kulldorff's scan statistic for yes-or-no data
(Communications in Statistics 26, 1997). The statistic is a likelihood ratio: a failure rate inside the pattern and another outside,
against one rate everywhere. The search takes the best pattern, removes its findings and records, and searches the remainder.

The search draws nothing at random, and ties are broken by the order of dimensions and values, so equal input gives equal patterns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

Pattern = tuple[tuple[str, str], ...]
"""Pairs of dimension and value, in the order of `DIMENSIONS`."""

DIMENSIONS = (
    "node", "plan", "tariff_code", "service", "invoice_batch", "segment", "destination_3", "destination_4", "destination_5",
    "destination_6", "hour", "cell", "usage_file", "charge_file", "subscriber", "day",
)  # fmt: skip
"""The dimensions; those that name a cause best come first. A destination is a number's first digits, one dimension per length."""
WIDTH = 8
"""How many patterns of each size are extended."""
LEAST_RATIO = math.log(1_000)
"""The least logarithm of the likelihood ratio that a pattern needs per value that was tried."""
FURTHER_GAIN = 1.15
"""The least gain of the likelihood ratio that justifies one more dimension."""
LEAST_LIFT = 2.0
"""The least ratio of the failure rate inside a pattern to the rate elsewhere."""


@dataclass(frozen=True)
class Found:
    """A pattern with its findings, their money, and the records (findings included) that share it."""

    pattern: Pattern
    findings: int
    money: int
    records: int


@dataclass(frozen=True)
class Limits:
    """Bounds of a search: the most dimensions of a pattern, the most patterns, and the least money of a pattern."""

    dimensions: int = 3
    patterns: int = 20
    materiality_micros: int = 0


def matches(rows: pl.DataFrame, pattern: Pattern) -> pl.Series:
    """Return whether each row has all values of a pattern; a row without a dimension does not match a value of it."""
    if not pattern:
        return pl.Series("matches", [True]).new_from_index(0, rows.height)
    parts = [pl.col(name) == value if name in rows.columns else pl.lit(False) for name, value in pattern]
    return rows.select(matches=pl.all_horizontal(parts).fill_null(False)).to_series()


def search(findings: pl.DataFrame, records: pl.DataFrame, limits: Limits, *, dimensions: Sequence[str] = DIMENSIONS) -> list[Found]:
    """Return the patterns of findings of one kind, in the order in which the search finds them.

    `findings` has `money` (micros, not negative) and the dimensions. `records` has the dimensions and `weight`, the number of
    records that each row of the sample represents. A finding without money counts like the smallest finding with money.
    """
    found: list[Found] = []
    left, base = findings, records
    while left.height and len(found) < limits.patterns:
        best = _find_best_pattern(left, base, limits, dimensions)
        if best is None:
            break
        found.append(best)
        left = left.filter(~matches(left, best.pattern))
        base = base.filter(~matches(base, best.pattern))
    return found


@dataclass(frozen=True)
class _Candidate:
    ratio: float
    found: Found


def _find_best_pattern(findings: pl.DataFrame, records: pl.DataFrame, limits: Limits, dimensions: Sequence[str]) -> Found | None:
    """Return the pattern with the greatest likelihood ratio; prefer a longer pattern only where its ratio is clearly greater."""
    usable = [name for name in dimensions if name in findings.columns and findings[name].null_count() < findings.height]
    whole = (findings.height, max(int(records["weight"].sum()) if records.height else 0, findings.height))
    beam: list[_Candidate] = [_Candidate(0.0, Found((), findings.height, int(findings["money"].sum()), whole[1]))]
    best: _Candidate | None = None
    for size in range(1, limits.dimensions + 1):
        grown = [
            c
            for parent in beam
            for c in _extend(parent, findings, records, usable, whole)
            if c.found.money >= limits.materiality_micros
        ]
        unique = {candidate.found.pattern: candidate for candidate in grown}
        beam = sorted(unique.values(), key=lambda c: _order(c, usable))[:WIDTH]
        if not beam:
            break
        if best is None or beam[0].ratio > best.ratio * FURTHER_GAIN + LEAST_RATIO * (size - 1):
            best = beam[0]
    return None if best is None else best.found


def _order(candidate: _Candidate, usable: Sequence[str]) -> tuple[float, int, list[int], Pattern]:
    """Sort the greatest ratio first; among equal ratios, more money first, then the dimensions that name a cause best."""
    found = candidate.found
    return (-round(candidate.ratio, 6), -found.money, [usable.index(name) for name, _ in found.pattern], found.pattern)


def _extend(
    parent: _Candidate, findings: pl.DataFrame, records: pl.DataFrame, usable: Sequence[str], whole: tuple[int, int]
) -> Iterator[_Candidate]:
    """Yield patterns with one more dimension, for patterns whose records fail more often than other records."""
    taken = {_name_subject(name) for name, _ in parent.found.pattern}
    inside = findings.filter(matches(findings, parent.found.pattern))
    around = records.filter(matches(records, parent.found.pattern))
    for name in usable:
        if _name_subject(name) in taken:
            continue
        counted = inside.drop_nulls(name).group_by(name).agg(findings=pl.len(), money=pl.col("money").sum())
        weights = around.drop_nulls(name).group_by(name).agg(records=pl.col("weight").sum())
        rows = counted.join(weights, on=name, how="left").fill_null(0).sort(name)
        needed = LEAST_RATIO + math.log(max(rows.height, 1))
        for value, count, money, seen in rows.iter_rows():
            ratio = likelihood_ratio(count, max(int(seen), count), *whole)
            if ratio > max(needed, parent.ratio):
                pattern = tuple(sorted((*parent.found.pattern, (name, str(value))), key=lambda pair: usable.index(pair[0])))
                yield _Candidate(ratio, Found(pattern, count, int(money), max(int(seen), count)))


def _name_subject(name: str) -> str:
    return "destination" if name.startswith("destination_") else name


def likelihood_ratio(findings: int, records: int, all_findings: int, all_records: int) -> float:
    """Return the logarithm of the scan statistic; 0 where the inside does not fail clearly more often than the outside.

    >>> likelihood_ratio(10, 10, 10, 1000) > likelihood_ratio(10, 100, 10, 1000) > likelihood_ratio(1, 100, 10, 1000)
    True
    """
    rest, others = all_findings - findings, max(all_records - records, all_findings - findings)
    if others == 0:
        return 0.0
    inside, outside = findings / records, rest / others
    if inside < LEAST_LIFT * outside or inside <= outside:
        return 0.0
    return (
        _derive_log_likelihood(findings, records)
        + _derive_log_likelihood(rest, others)
        - _derive_log_likelihood(all_findings, records + others)
    )


def _derive_log_likelihood(events: int, trials: int) -> float:
    if events in (0, trials):
        return 0.0
    return events * math.log(events / trials) + (trials - events) * math.log1p(-events / trials)
