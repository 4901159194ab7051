"""Bill the items that are due, make mistakes in some charges, and record the truth about each mistake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from trueup.simulate.catalogue import KINDS
from trueup.simulate.contracts import price_list as prices
from trueup.simulate.contracts.contract_draw import JOIN, LEAVE, NOTHING, SUSPEND, UPGRADE, ZONE, Months
from trueup.simulate.item_key import item_key

SHARES = {
    "item_old_price": 0.05, "item_old_plan": 0.5, "item_not_prorated": 0.6, "item_discount_expired": 0.2,
    "item_discount_missed": 0.2, "item_after_cessation": 0.6, "item_while_suspended": 0.6, "item_fee_missed": 0.15,
    "item_never_billed": 0.02, "item_missed": 0.01, "item_twice": 0.01, "item_wrong_amount": 0.01, "item_within_tolerance": 0.01,
}  # fmt: skip
"""Each kind of mistake to its rate among the periods, events or contracts that it fits; each gets the first one drawn."""
GRACE = timedelta(days=5)
WRONG_MICROS, TOLERATED_MICROS = 1_230_000, 4_000
_FIRST_LINE = 700_000_000
CHARGE: dict[str, pl.DataType] = {
    "line_id": pl.String(),
    "msisdn": pl.String(),
    "account": pl.String(),
    "item": pl.String(),
    "period_from": pl.Datetime("us"),
    "period_to": pl.Datetime("us"),
    "amount_micros": pl.Int64(),
    "billed_at": pl.Datetime("us"),
}


@dataclass(frozen=True)
class Bills:
    """The charges (`CHARGE`, in the order of billing) and rows of the truth without `leak_id`."""

    charges: pl.DataFrame
    truth: pl.DataFrame


def bill_contracts(rng: np.random.Generator, contracts: pl.DataFrame, due: pl.DataFrame, months: Months) -> Bills:
    """Return the bills of the items due (`DUE`), with mistakes only in items due before `months.errs_until`."""
    rows = due.join(contracts.drop("plan_at", "cycle_at"), on="contract").sort("contract", "item", "period_from")
    never = pl.Series("never_draw", rng.random(rows.height))
    mistaken = rows.with_columns(never).with_columns(_draw_mistakes(rng, rows.height, months))
    lines = _charge_lines(mistaken, months)
    numbered = lines.sort("billed_at", "contract", "item", "period_from", "copy").with_row_index("number").with_columns(
        line_id=pl.format("R{}", pl.col("number").cast(pl.Int64) + _FIRST_LINE)
    )  # fmt: skip
    return Bills(numbered.select(pl.col(n).cast(t) for n, t in CHARGE.items()), _record_truth(mistaken, numbered, months))


def _draw_mistakes(rng: np.random.Generator, count: int, months: Months) -> pl.Expr:
    """Draw the mistake in each of `count` rows; NULL: none. An item that is never billed has that mistake in all its periods."""
    is_line = pl.col("item") == prices.LINE
    is_charged = (pl.col("charged_days") > 0) & (pl.col("expected_micros") > 0)
    plain = (pl.col("fate") == NOTHING) & is_charged
    own = pl.col("expected_micros")
    ceased_on = pl.col("ceased_at").dt.date().cast(pl.Datetime("us"))
    after = is_line & (pl.col("fate") == LEAVE) & (pl.col("charged_days") == 0) & (pl.col("period_from") > ceased_on)
    has_welcome = (pl.col("plan") == prices.WELCOME_PLAN) & (pl.col("endless_micros") != pl.col("full_micros"))
    steady = ~has_welcome & (pl.col("new_plan") != prices.WELCOME_PLAN)
    possible = {
        "item_old_price": is_line & plain & steady & (pl.col("former_micros") != own),
        "item_old_plan": is_line & is_charged & (pl.col("fate") == UPGRADE) & (pl.col("former_plan_micros") != own)
        & (pl.col("endless_micros") == pl.col("full_micros")),
        "item_not_prorated": is_line & is_charged & (pl.col("fate") == JOIN) & steady & (pl.col("whole_micros") > own),
        "item_discount_expired": is_line & plain & has_welcome & (pl.col("endless_micros") != own),
        "item_discount_missed": is_line & plain & has_welcome & (pl.col("full_micros") != own),
        "item_after_cessation": after & (pl.col("period_from") == pl.col("period_from").filter(after).min().over("contract")),
        "item_while_suspended": is_line & (pl.col("fate") == SUSPEND) & (pl.col("charged_days") == 0)
        & (pl.col("period_from") >= pl.col("suspended_at")) & (pl.col("period_to") <= pl.col("resumed_at")),
        "item_fee_missed": pl.col("charged_days").is_null(),
        "item_missed": plain, "item_twice": plain, "item_wrong_amount": plain, "item_within_tolerance": plain,
    }  # fmt: skip
    in_time = _is_in_time(months) & _is_expected(months)
    draws = {kind: pl.lit(pl.Series(rng.random(count) < SHARES[kind])) for kind in possible}
    chosen = pl.coalesce(*(pl.when(may & draws[kind] & in_time).then(pl.lit(kind)) for kind, may in possible.items()))
    # `item_never_billed` ignores the end of the mistakes: a single later charge would contradict it.
    is_never = pl.col("never_draw").first().over("contract", "item") < SHARES["item_never_billed"]
    never = is_never & (pl.col("fate") == NOTHING) & pl.col("charged_days").is_not_null()
    return pl.when(never).then(pl.lit("item_never_billed")).otherwise(chosen).alias("kind")


def _charge_lines(rows: pl.DataFrame, months: Months) -> pl.DataFrame:
    """Return the charge lines, without line numbers; `copy` is 1 for the second charge of a period billed twice."""
    kind = pl.col("kind")
    amount = (
        pl.when(kind.is_in(["item_missed", "item_never_billed", "item_fee_missed"])).then(None)
        .when(kind == "item_old_price").then("former_micros").when(kind == "item_old_plan").then("former_plan_micros")
        .when(kind.is_in(["item_not_prorated", "item_after_cessation", "item_while_suspended"])).then("whole_micros")
        .when(kind == "item_discount_expired").then("endless_micros").when(kind == "item_discount_missed").then("full_micros")
        .when(kind == "item_wrong_amount").then(pl.col("expected_micros") + WRONG_MICROS)
        .when(kind == "item_within_tolerance").then(pl.col("expected_micros") + TOLERATED_MICROS)
        .when(pl.col("expected_micros") != 0).then("expected_micros")
    )  # fmt: skip
    begin = pl.lit(months.first).cast(pl.Datetime("us"))
    billed = pl.max_horizontal(pl.col("due_at").dt.date().cast(pl.Datetime("us")), begin) + pl.duration(hours=27)
    charged = rows.with_columns(amount_micros=amount, billed_at=billed, copy=pl.lit(0)).drop_nulls("amount_micros")
    return pl.concat([charged, charged.filter(kind == "item_twice").with_columns(copy=pl.lit(1))])


def _is_in_time(months: Months) -> pl.Expr:
    """Return whether an item's finding is final at the end of the simulated months."""
    return pl.col("due_at").dt.replace_time_zone(None) < pl.lit(months.errs_until).cast(pl.Datetime("us"))


def _is_expected(months: Months) -> pl.Expr:
    """Return whether reconciliation expects a period that has no charge; it expects none that ended before the first charge."""
    return (pl.col("period_to") > pl.lit(months.first).cast(pl.Datetime("us"))).fill_null(True)


def _record_truth(rows: pl.DataFrame, lines: pl.DataFrame, months: Months) -> pl.DataFrame:
    period = ["contract", "item", "period_from"]
    keys = lines.group_by(period).agg(
        pl.col("line_id").sort(), extra=pl.col("line_id").filter(pl.col("copy") == 1), billed=pl.col("amount_micros").sum(),
        again=pl.col("amount_micros").filter(pl.col("copy") == 1).sum(),
    )  # fmt: skip
    counts = (pl.col("kind") != "item_never_billed") | (_is_expected(months) & (pl.col("expected_micros") != 0))
    mistaken = rows.drop_nulls("kind").filter(counts).join(keys, on=period, how="left")
    names = {n: pl.col("kind").replace_strict(list(KINDS), [getattr(k, n) for k in KINDS.values()], return_dtype=pl.String)
             for n in ("expected_kind", "kernel_kind", "reason")}  # fmt: skip
    is_twice, tolerated = pl.col("kind") == "item_twice", pl.col("kind") == "item_within_tolerance"
    no_keys, none = pl.lit([], pl.List(pl.String)), pl.lit(None, pl.String)
    expected = pl.when(pl.col("charged_days") == 0).then(0).otherwise("expected_micros")
    utc = pl.col("period_from", "due_at").dt.replace_time_zone(ZONE, ambiguous="earliest").dt.convert_time_zone("UTC")
    judged = mistaken.with_columns(impact=expected - pl.col("billed").fill_null(0)).with_columns(utc)
    return judged.select(
        "kind", **{n: pl.when(tolerated).then(none).otherwise(of) for n, of in names.items()}, expected_status=pl.lit("open"),
        # An item that is never billed may still be within grace in its last days.
        decidable=~tolerated & _is_in_time(months), service=pl.lit(prices.SERVICE), subscriber="msisdn",
        usage_record_keys=pl.concat_list(item_key("msisdn", "item", "period_from")),
        charge_record_keys=pl.when(is_twice).then("extra").otherwise("line_id").fill_null(no_keys),
        impact_micros=pl.when(is_twice).then(-pl.col("again")).otherwise("impact"),
        knowable_at=pl.col("due_at") + GRACE,
        details=pl.struct(
            "item", period_from=pl.col("period_from").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), expected_micros=expected,
            charged_micros=pl.col("billed").fill_null(0),
        ).struct.json_encode(),
    )  # fmt: skip
