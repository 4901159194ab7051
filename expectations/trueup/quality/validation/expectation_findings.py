"""Turn failed expectations into findings about a day of a feed, with bounds, from tick to tick.

A failure is open until the day is validated again and passes: after corrected records, or after a change of the rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from trueup.quality.completeness.evaluate_tick import KEY, OPEN_FINDING, Tick, keep_previous_bounds
from trueup.quality.completeness.exposure import with_bounds
from trueup.quality.completeness.inputs import FOUND, CompletenessInputs, Rules
from trueup.quality.completeness.share_shift import MEASURES
from trueup.quality.validation.validate_result import Check, Validated
from trueup.quality.validation.validation_schedule import DayOf

KIND, CONTROL = "failed_expectation", "expectations"
_DAY = re.compile(r" \d{4}-\d{2}-\d{2}$")
_DAY_OF = ["stream", "source", "from_us"]
_SUBJECT = ["stream", "source", "subject"]


def subject_of(name: str, of: DayOf) -> str:
    """Return the subject of a failure: the expectation, and the day of the records."""
    return name if of.day is None else f"{name} {of.day}"


def name_of(subject: str) -> str:
    """Return the name of the expectation in the subject of a failure."""
    return _DAY.sub("", subject)


def open_failures(
    validated: Sequence[tuple[DayOf, Validated]],
    previous: pl.DataFrame,
    others: pl.DataFrame,
    inputs: CompletenessInputs,
    money: pl.DataFrame,
    currency: str,
) -> pl.DataFrame:
    """Return the open failures after validations at one tick (rows of `OPEN_FINDING`); `previous` were open before.

    `others` are the completeness findings open at the tick. Records that are part of such a finding have no bounds here, so that no
    money counts twice. `currency` is used where a failure has no charges of its own.
    """
    days = pl.DataFrame([(d.stream, d.source, d.from_us) for d, _ in validated], _select_schema(_DAY_OF), orient="row")
    unknown = [(d.stream, d.source, subject_of(c.name, d)) for d, v in validated for c in v.checks if c.passed is None]
    unjudged = pl.DataFrame(unknown, _select_schema(_SUBJECT), orient="row")
    again = previous.join(days, on=_DAY_OF, how="semi", nulls_equal=True).join(unjudged, on=_SUBJECT, how="anti")
    retained = previous.join(again.select(KEY), on=KEY, how="anti")
    new = _add_bounds(_drop_counted_records(_build_failure_rows(validated), others), inputs, money, currency)
    return pl.concat([retained, keep_previous_bounds(new, previous)]).sort(KEY)


def of_days_over(failures: pl.DataFrame, rules: Rules, tick: Tick) -> pl.DataFrame:
    """Return the failures (rows of `OPEN_FINDING`) of days over by the clock of a tick, and of states, which have no day.

    Under a wrong clock, other days were validated before they were over.
    """
    lateness = {name: feed.lateness_us for name, feed in rules.feeds.items()}
    over_us = pl.col("to_us") + pl.col("source").replace_strict(lateness, default=0, return_dtype=pl.Int64)
    return failures.filter(pl.col("to_us").is_null() | (over_us <= tick.at_us))


def _select_schema(names: Sequence[str]) -> dict[str, pl.DataType]:
    return {name: OPEN_FINDING[name] for name in names}


def _build_row(of: DayOf, check: Check) -> dict[str, object]:
    low, high = check.records or (None, None)
    return {
        "kind": KIND, "control": CONTROL, "stream": of.stream, "source": of.source, "node": "", "service": "",
        "subject": subject_of(check.name, of), "from_us": of.from_us, "to_us": of.to_us, "low": low, "high": high,
        "reason": f"{check.name}: {check.detail}", "records_variance": 0.0, "measure": MEASURES.get(f"no_{check.share_of}"),
    }  # fmt: skip


def _build_failure_rows(validated: Sequence[tuple[DayOf, Validated]]) -> pl.DataFrame:
    """Return failures as rows of `FOUND`, with the minimum and maximum number of records, and the `measure` of their share."""
    ends = {"low": pl.Float64(), "high": pl.Float64(), "measure": pl.String()}
    schema = {**{n: t for n, t in FOUND.items() if n != "records"}, **ends}
    return pl.DataFrame([_build_row(d, c) for d, v in validated for c in v.failed], schema)


def _add_bounds(rows: pl.DataFrame, inputs: CompletenessInputs, money: pl.DataFrame, currency: str) -> pl.DataFrame:
    """Return failures with bounds: the least value of the minimum number of records, and the greatest value of the maximum."""
    found = rows.with_row_index("failure")
    ends = {}
    for end in ("low", "high"):
        concerned = found.with_columns(records=pl.col(end)).select("failure", *FOUND)
        ends[end] = with_bounds(concerned, money, inputs.hours, currency).select(
            "failure", "currency", f"records_{end}", f"money_{end}"
        )
    bounds = found.join(ends["low"], on="failure").join(ends["high"].drop("currency"), on="failure")
    return bounds.select(pl.col(n).cast(t) for n, t in OPEN_FINDING.items())


def _drop_counted_records(failures: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Remove the records of failures that a finding about a shifted share already counts."""
    shifts = others.filter(pl.col("control") == "mix").select(
        "stream", "source", measure=pl.col("subject").str.replace(r" \d+$", ""), low_us="from_us", high_us="to_us"
    )
    overlapping = failures.join(shifts, on=["stream", "source", "measure"])
    counted = (
        overlapping.filter((pl.col("low_us") < pl.col("to_us")) & (pl.col("high_us") > pl.col("from_us"))).select(_SUBJECT).unique()
    )
    marked = failures.join(counted.with_columns(counted=pl.lit(True)), on=_SUBJECT, how="left")
    return marked.with_columns(pl.when(pl.col("counted").is_null()).then(n).alias(n) for n in ("low", "high"))
