"""Draw the usage of contracts, and the lines that bill it: one or two a cycle for calls, messages and data together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from trueup.simulate.catalogue import KINDS
from trueup.simulate.contracts.contract_draw import MOVE_CYCLE, ZONE, Months
from trueup.simulate.contracts.price_list import LINE
from trueup.simulate.market.services import CURRENCY, FOREIGN_CURRENCY

SERVICE = "bundle"
VOICE, SMS, DATA = "bundle_voice", "bundle_sms", "bundle_data"
PRICE_MICROS = {VOICE: 2_000, SMS: 50_000, DATA: 10}
"""The price of a second, a message and a kilobyte."""
GRACE = timedelta(days=5)
SHARES = {
    "cover_missed": 0.02, "cover_service_missed": 0.02, "cover_short": 0.02, "cover_over": 0.01, "cover_twice": 0.02,
    "cover_other_currency": 0.02, "cover_within_tolerance": 0.02, "cover_without_usage": 0.3,
}  # fmt: skip
"""Each kind of mistake to its rate among the cycles that it fits; a cycle gets the first one drawn for it."""
OVER_MICROS, TOLERATED_MICROS, PHANTOM_MICROS = 1_230_000, 4_000, 3_210_000
_QUIET_SHARE = 0.06
_LEAST_MICROS = 100_000
_DAYS_BEFORE_SECOND_LINE = 15
_FIRST_RECORD, _FIRST_LINE = 800_000_000, 600_000_000
_MOST_USAGE = {VOICE: (4, 900), SMS: (3, 1), DATA: (4, 400_000)}
"""Each service to its greatest number of records in a cycle, and the greatest quantity of one record."""
_DRAWN = {"cycle": pl.Int64, "service": pl.String, "share": pl.Float64, "second": pl.Int64, "quantity": pl.Int64}
_LONGEST_CYCLE = timedelta(days=35)


@dataclass(frozen=True)
class Bundles:
    """The usage (record_id, msisdn, service, start, quantity), the lines that bill it, and rows of the truth.

    A line has line_id, contract, msisdn, account, start, amount_micros, currency and billed_at. Times are local.
    """

    usage: pl.DataFrame
    lines: pl.DataFrame
    truth: pl.DataFrame


def draw_bundles(rng: np.random.Generator, contracts: pl.DataFrame, due: pl.DataFrame, months: Months) -> Bundles:
    """Return usage and lines of all cycles of the contracts (`CONTRACT`); the cycles are taken from `due` (`DUE`)."""
    cycles = _list_billing_cycles(contracts, due, months)
    usage = _draw_usage(rng, cycles, months)
    mistaken = _add_cycle_sums(cycles, usage).with_columns(_draw_mistakes(rng, cycles.height, months))
    lines = _bill_cycles(mistaken, months)
    named = usage.select("record_id", "msisdn", "service", "start", "quantity")
    return Bundles(named, lines, _record_truth(mistaken, lines))


def _find_midnight(days: timedelta, months: Months) -> pl.Expr:
    return pl.lit(months.last + days).cast(pl.Datetime("us"))


def _list_billing_cycles(contracts: pl.DataFrame, due: pl.DataFrame, months: Months) -> pl.DataFrame:
    """Return the cycles with an active day; `first_at` and `mid_at` date their lines, `mid_at` is NULL where there is one."""
    # Sums identify a cycle by its first day. In February cycles of the 28th and of the 31st begin on the same day.
    same_begin = (pl.col("fate") == MOVE_CYCLE) & (pl.col("cycle_day") == 28)
    rows = due.filter((pl.col("item") == LINE) & (pl.col("charged_days") > 0)).select("contract", "period_from", "period_to")
    begin = pl.lit(months.first).cast(pl.Datetime("us"))
    noon, minute = pl.duration(hours=12), pl.duration(minutes=1)
    dated = rows.join(contracts.filter(~same_begin), on="contract").with_columns(
        first_at=pl.max_horizontal(pl.col("period_from") + noon, begin + noon, pl.col("active_at") + minute),
        mid_at=pl.col("period_from") + pl.duration(days=_DAYS_BEFORE_SECOND_LINE) + noon,
    )  # fmt: skip
    has_mid = (pl.col("mid_at") > pl.col("first_at")) & (pl.col("mid_at") < pl.col("period_to"))
    ordered = dated.with_columns(mid_at=pl.when(has_mid).then("mid_at")).sort("contract", "period_from")
    return ordered.with_row_index("cycle").with_columns(pl.col("cycle").cast(pl.Int64))


def _draw_usage(rng: np.random.Generator, cycles: pl.DataFrame, months: Months) -> pl.DataFrame:
    """Return records of the cycles between eight and twenty o'clock, while the contract is active."""
    begin, end = (pl.lit(day).cast(pl.Datetime("us")) for day in (months.first, months.last))
    quiet = rng.random(cycles.height) < _QUIET_SHARE
    parts = []
    for service, (most, quantity) in _MOST_USAGE.items():
        count = np.where(quiet, 0, rng.integers(0, most + 1, cycles.height))
        cycle = np.repeat(np.arange(cycles.height), count)
        parts.append(pl.DataFrame({
            "cycle": cycle, "service": np.full(len(cycle), service), "share": rng.random(len(cycle)),
            "second": rng.integers(8 * 3600, 20 * 3600, len(cycle)), "quantity": rng.integers(1, quantity + 1, len(cycle)),
        }, schema=_DRAWN))  # fmt: skip
    drawn = pl.concat(parts).join(cycles, on="cycle", maintain_order="left")
    day = ((pl.col("period_to") - pl.col("period_from")).dt.total_days() * pl.col("share")).floor().cast(pl.Int64)
    timed = drawn.with_columns(start=pl.col("period_from") + pl.duration(days=day) + pl.duration(seconds="second"))
    start, minute = pl.col("start"), pl.duration(minutes=1)
    rests = (start + minute >= pl.col("suspended_at")) & (start < pl.col("resumed_at") + minute)
    is_active = (start >= pl.col("active_at") + minute) & (start + minute < pl.col("ceased_at")).fill_null(True)
    kept = timed.filter(is_active & ~rests.fill_null(False) & (start >= begin) & (start < end))
    price = pl.col("service").replace_strict(list(PRICE_MICROS), list(PRICE_MICROS.values()), return_dtype=pl.Int64)
    ordered = kept.sort("start", "cycle", "service", "quantity", maintain_order=True).with_row_index("number")
    return ordered.with_columns(
        record_id=pl.format("U{}", pl.col("number").cast(pl.Int64) + _FIRST_RECORD), micros=pl.col("quantity") * price
    )


def _add_cycle_sums(cycles: pl.DataFrame, usage: pl.DataFrame) -> pl.DataFrame:
    """Add the price of each cycle's usage before the second line and from it on, and the part of each that is data."""
    micros, is_data, late = pl.col("micros"), pl.col("service") == DATA, (pl.col("start") >= pl.col("mid_at")).fill_null(False)
    sums = usage.group_by("cycle").agg(
        first_micros=micros.filter(~late).sum(), second_micros=micros.filter(late).sum(),
        first_data=micros.filter(~late & is_data).sum(), second_data=micros.filter(late & is_data).sum(),
        record_ids=pl.col("record_id").sort(),
    )  # fmt: skip
    rows = cycles.join(sums, on="cycle", how="left", maintain_order="left").with_columns(
        pl.col("first_micros", "second_micros", "first_data", "second_data").fill_null(0)
    )
    return rows.with_columns(
        expected=pl.col("first_micros") + pl.col("second_micros"), data=pl.col("first_data") + pl.col("second_data")
    )


def _draw_mistakes(rng: np.random.Generator, count: int, months: Months) -> pl.Expr:
    """Draw the mistake in the bill of each of `count` cycles; NULL: none."""
    expected, data = pl.col("expected"), pl.col("data")
    enough = expected > _LEAST_MICROS
    possible = dict.fromkeys(SHARES, enough) | {
        "cover_service_missed": (data > _LEAST_MICROS) & (expected - data > _LEAST_MICROS), "cover_without_usage": expected == 0,
    }  # fmt: skip
    # A cycle that a change of the cycle day cut short becomes final only when the full cycle would have ended.
    waits = pl.when(pl.col("fate") == MOVE_CYCLE).then(pl.lit(_LONGEST_CYCLE)).otherwise(pl.lit(timedelta(0)))
    in_time = pl.col("period_to") + waits <= pl.lit(months.errs_until).cast(pl.Datetime("us"))
    draws = {kind: pl.lit(pl.Series(rng.random(count) < share)) for kind, share in SHARES.items()}
    return pl.coalesce(*(pl.when(possible[kind] & draws[kind] & in_time).then(pl.lit(kind)) for kind in SHARES)).alias("kind")


def _bill_cycles(rows: pl.DataFrame, months: Months) -> pl.DataFrame:
    """Return the lines of all cycles that have ended; `copy` is 1 for the second line where one is billed twice."""
    kind = pl.col("kind").fill_null("")
    more = (
        pl.when(kind == "cover_short").then(-(pl.col("expected") // 4)).when(kind == "cover_over").then(OVER_MICROS)
        .when(kind == "cover_within_tolerance").then(TOLERATED_MICROS).when(kind == "cover_without_usage").then(PHANTOM_MICROS)
        .otherwise(0)
    )  # fmt: skip
    second_is_greater = pl.col("second_micros") > pl.col("first_micros")
    halves = []
    for half, at in (("first", "first_at"), ("second", "mid_at")):
        is_greater = second_is_greater if half == "second" else ~second_is_greater
        without_data = pl.when(kind == "cover_service_missed").then(pl.col(f"{half}_data")).otherwise(0)
        halves.append(rows.select(
            "cycle", "contract", "msisdn", "account", "period_to", "kind", is_greater=is_greater, start=at, copy=pl.lit(0),
            amount_micros=pl.col(f"{half}_micros") - without_data + pl.when(is_greater).then(more).otherwise(0),
        ))  # fmt: skip
    billed = pl.concat(halves).filter(
        (kind != "cover_missed")
        & (pl.col("amount_micros") != 0)
        & (pl.col("period_to") <= _find_midnight(timedelta(days=-2), months))
    )
    again = billed.filter((kind == "cover_twice") & pl.col("is_greater")).with_columns(copy=pl.lit(1))
    lines = pl.concat([billed, again]).with_columns(
        billed_at=pl.col("period_to") + pl.duration(hours=27 + pl.col("copy")),
        currency=pl.when(kind == "cover_other_currency").then(pl.lit(FOREIGN_CURRENCY)).otherwise(pl.lit(CURRENCY)),
    )  # fmt: skip
    ordered = lines.sort("billed_at", "contract", "start", "copy").with_row_index("number")
    return ordered.with_columns(line_id=pl.format("H{}", pl.col("number").cast(pl.Int64) + _FIRST_LINE)).drop("number", "kind")


def _record_truth(rows: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    copy = pl.col("copy") == 1
    keys = lines.group_by("cycle").agg(
        pl.col("line_id").sort(), extra=pl.col("line_id").filter(copy).sort(), billed=pl.col("amount_micros").filter(~copy).sum(),
        again=pl.col("amount_micros").filter(copy).sum(),
    )  # fmt: skip
    mistaken = rows.drop_nulls("kind").join(keys, on="cycle", how="left", maintain_order="left")
    names = {n: pl.col("kind").replace_strict(list(KINDS), [getattr(k, n) for k in KINDS.values()], return_dtype=pl.String)
             for n in ("expected_kind", "kernel_kind")}  # fmt: skip
    kind, tolerated, no_keys = pl.col("kind"), pl.col("kind") == "cover_within_tolerance", pl.lit([], pl.List(pl.String))
    billed = pl.when(kind == "cover_other_currency").then(0).otherwise(pl.col("billed").fill_null(0))
    utc = pl.col("period_from", "period_to").dt.replace_time_zone(ZONE).dt.convert_time_zone("UTC")
    return mistaken.with_columns(utc).select(
        "kind", **{n: pl.when(~tolerated).then(of) for n, of in names.items()}, expected_status=pl.lit("open"),
        decidable=~tolerated, service=pl.lit(SERVICE), subscriber="msisdn",
        usage_record_keys=pl.col("record_ids").fill_null(no_keys),
        charge_record_keys=pl.when(kind == "cover_twice").then("extra").otherwise("line_id").fill_null(no_keys),
        impact_micros=pl.when(kind == "cover_twice").then(-pl.col("again")).otherwise(pl.col("expected") - billed),
        knowable_at=pl.col("period_to") + GRACE,
        details=pl.struct(
            period_from=pl.col("period_from").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), expected_micros="expected",
            charged_micros=pl.col("billed").fill_null(0),
        ).struct.json_encode(),
    )  # fmt: skip
