"""Failed expectations as findings: what a validation found wrong with a day of a feed, with bounds, from tick to tick.

A failure stands until the day is validated again and it holds: when records came that put it right, or the rule was changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from trueup.quality.completeness.evaluate_tick import KEY, STANDING, Tick, keep_previous_bounds
from trueup.quality.completeness.exposure import bounded
from trueup.quality.completeness.inputs import FOUND, CompletenessInputs, Rules
from trueup.quality.completeness.share_shift import MEASURES
from trueup.quality.validation.validate_result import Check, Validated
from trueup.quality.validation.validation_schedule import DayOf

KIND, CONTROL = "failed_expectation", "expectations"
_DAY = re.compile(r" \d{4}-\d{2}-\d{2}$")
_DAY_OF = ["stream", "source", "from_us"]
_SUBJECT = ["stream", "source", "subject"]


def subject_of(name: str, of: DayOf) -> str:
    """What of a feed a failure is about: the expectation, and the day of records."""
    return name if of.day is None else f"{name} {of.day}"


def name_of(subject: str) -> str:
    """The expectation's name in the subject of a failure."""
    return _DAY.sub("", subject)


def failing(
    validated: Sequence[tuple[DayOf, Validated]],
    told: pl.DataFrame,
    others: pl.DataFrame,
    seen: CompletenessInputs,
    money: pl.DataFrame,
    currency: str,
) -> pl.DataFrame:
    """What stands after validations at one tick (rows of `STANDING`), of what stood before (`told`).

    `others` are the findings of completeness that stand at the tick: records that one of them counts already have no bounds
    here, so that nothing is at stake twice. `currency` is that of what has no charges of its own.
    """
    days = pl.DataFrame([(d.stream, d.source, d.from_us) for d, _ in validated], _schema(_DAY_OF), orient="row")
    unknown = [(d.stream, d.source, subject_of(c.name, d)) for d, v in validated for c in v.checks if c.passed is None]
    unjudged = pl.DataFrame(unknown, _schema(_SUBJECT), orient="row")
    again = told.join(days, on=_DAY_OF, how="semi", nulls_equal=True).join(unjudged, on=_SUBJECT, how="anti")
    kept = told.join(again.select(KEY), on=KEY, how="anti")
    new = _bounded(_once(_rows(validated), others), seen, money, currency)
    return pl.concat([kept, keep_previous_bounds(new, told)]).sort(KEY)


def of_days_over(told: pl.DataFrame, rules: Rules, tick: Tick) -> pl.DataFrame:
    """The failures (rows of `STANDING`) of days that are over by the clock of a tick, and those of states, which have no day.

    A wrong clock had the others validated before they were over.
    """
    lateness = {name: feed.lateness_us for name, feed in rules.feeds.items()}
    over_us = pl.col("to_us") + pl.col("source").replace_strict(lateness, default=0, return_dtype=pl.Int64)
    return told.filter(pl.col("to_us").is_null() | (over_us <= tick.at_us))


def _schema(names: Sequence[str]) -> dict[str, pl.DataType]:
    return {name: STANDING[name] for name in names}


def _row(of: DayOf, check: Check) -> dict[str, object]:
    low, high = check.records or (None, None)
    return {
        "kind": KIND, "control": CONTROL, "stream": of.stream, "source": of.source, "node": "", "service": "",
        "subject": subject_of(check.name, of), "from_us": of.from_us, "to_us": of.to_us, "low": low, "high": high,
        "reason": f"{check.name}: {check.detail}", "records_variance": 0.0, "measure": MEASURES.get(f"no_{check.share_of}"),
    }  # fmt: skip


def _rows(validated: Sequence[tuple[DayOf, Validated]]) -> pl.DataFrame:
    """Failures as rows of `FOUND`, with the records concerned at least and at most, and the share (`measure`) they are of."""
    ends = {"low": pl.Float64(), "high": pl.Float64(), "measure": pl.String()}
    schema = {**{n: t for n, t in FOUND.items() if n != "records"}, **ends}
    return pl.DataFrame([_row(d, c) for d, v in validated for c in v.failed], schema)


def _bounded(rows: pl.DataFrame, seen: CompletenessInputs, money: pl.DataFrame, currency: str) -> pl.DataFrame:
    """Failures with bounds: the least that the fewest records concerned may be worth, the most that the most may."""
    found = rows.with_row_index("failure")
    ends = {}
    for end in ("low", "high"):
        told = found.with_columns(records=pl.col(end)).select("failure", *FOUND)
        ends[end] = bounded(told, money, seen.hours, currency).select("failure", "currency", f"records_{end}", f"money_{end}")
    both = found.join(ends["low"], on="failure").join(ends["high"].drop("currency"), on="failure")
    return both.select(pl.col(n).cast(t) for n, t in STANDING.items())


def _once(failures: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Takes the records from failures that a shifted share counts already."""
    shifts = others.filter(pl.col("control") == "mix").select(
        "stream", "source", measure=pl.col("subject").str.replace(r" \d+$", ""), low_us="from_us", high_us="to_us"
    )
    both = failures.join(shifts, on=["stream", "source", "measure"])
    counted = both.filter((pl.col("low_us") < pl.col("to_us")) & (pl.col("high_us") > pl.col("from_us"))).select(_SUBJECT).unique()
    there = failures.join(counted.with_columns(counted=pl.lit(True)), on=_SUBJECT, how="left")
    return there.with_columns(pl.when(pl.col("counted").is_null()).then(n).alias(n) for n in ("low", "high"))
