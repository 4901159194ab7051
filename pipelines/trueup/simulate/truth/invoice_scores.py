"""Score the findings about invoices against the truth: recall, precision and money per kind of mistake.

A mistake is *found* if a finding of its kind names its number, or its account and period. Currency and money must agree; where the
money is unknown, the finding must have none. A finding that no mistake explains is *stray*.
"""

from __future__ import annotations

import polars as pl

from trueup.simulate.invoice_key import invoice_key

INVOICE_FINDING: dict[str, pl.DataType] = {
    "kind": pl.String(), "number": pl.String(), "account": pl.String(), "period_from": pl.Date(), "currency": pl.String(),
    "impact_micros": pl.Int128(), "reason": pl.String(),
}  # fmt: skip
"""One row of the view `invoice_findings`."""

INVOICE_SCORE: dict[str, pl.DataType] = {
    "kind": pl.String(), "finding_kind": pl.String(), "currency": pl.String(), "injected": pl.Int64(), "decidable": pl.Int64(),
    "found": pl.Int64(), "missed": pl.Int64(), "wrong_money": pl.Int64(), "recall": pl.Float64(), "precision": pl.Float64(),
    "decidable_micros": pl.Int128(), "found_micros": pl.Int128(),
}  # fmt: skip
"""One row per kind of mistake and currency. Precision is explained / all findings of that kind."""


def score_invoices(truth: pl.DataFrame, found: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the scores (`INVOICE_SCORE`) and the stray findings (`INVOICE_FINDING`) of `found` (`INVOICE_FINDING`)."""
    mistakes = truth.filter((pl.col("decided_by") == "invoices") & (pl.col("category") == "leak")).select(
        "kind", "expected_kind", "currency", "decidable", pl.col("impact_micros").cast(pl.Int128),
        key=pl.col("usage_record_keys").list.first(),
    )  # fmt: skip
    findings = found.with_columns(key=invoice_key("kind", "number", "account", "period_from")).with_row_index("finding")
    of_key = findings.group_by(expected_kind="kind", key="key").agg(
        answers=pl.len(), answer_micros=pl.col("impact_micros").first(), answer_currency=pl.col("currency").first(),
    )  # fmt: skip
    judged = mistakes.join(of_key, on=["expected_kind", "key"], how="left").with_columns(_classify_outcome())
    explained = mistakes.filter("decidable").select("key", kind="expected_kind", is_explained=True).unique()
    marked = findings.join(explained, on=["kind", "key"], how="left").with_columns(pl.col("is_explained").fill_null(False))
    precise = marked.group_by(finding_kind="kind").agg(precision=pl.col("is_explained").mean())
    stray = marked.filter(~pl.col("is_explained")).sort("finding").select(pl.col(n).cast(t) for n, t in INVOICE_FINDING.items())
    return _count_by_kind(judged).join(precise, on="finding_kind", how="left", maintain_order="left").select(
        pl.col(n).cast(t) for n, t in INVOICE_SCORE.items()
    ), stray  # fmt: skip


def _classify_outcome() -> pl.Expr:
    """Return `found`, `wrong_money` or `missed` for each decidable mistake, and NULL for the others."""
    same_currency = (pl.col("answer_currency") == pl.col("currency")).fill_null(True)
    is_right = (pl.col("answers") == 1) & pl.col("answer_micros").eq_missing(pl.col("impact_micros")) & same_currency
    answered = (
        pl.when(is_right.fill_null(False)).then(pl.lit("found")).when(pl.col("answers").is_not_null()).then(pl.lit("wrong_money"))
    )
    return pl.when("decidable").then(answered.otherwise(pl.lit("missed"))).alias("outcome")


def _count_by_kind(judged: pl.DataFrame) -> pl.DataFrame:
    outcome, money = pl.col("outcome"), pl.col("impact_micros")
    rows = judged.group_by("kind", "currency").agg(
        finding_kind=pl.col("expected_kind").drop_nulls().first(), injected=pl.len(), decidable=pl.col("decidable").sum(),
        found=(outcome == "found").sum(), missed=(outcome == "missed").sum(), wrong_money=(outcome == "wrong_money").sum(),
        decidable_micros=money.filter(pl.col("decidable")).sum(),
        found_micros=pl.col("answer_micros").filter(outcome != "missed").sum(),
    )  # fmt: skip
    share = pl.when(pl.col("decidable") > 0).then(pl.col("found") / pl.col("decidable"))
    return rows.with_columns(recall=share).sort("kind", "currency")
