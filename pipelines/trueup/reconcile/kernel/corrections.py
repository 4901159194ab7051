"""Corrections: charges that name the record whose booking they join, regardless of key, time and match.

A correcting charge is a group of its own and is never matched. It joins the booking of the record that it names. This is the pair
or period of that record, or the record's own booking while it is unmatched. The money of the charge counts as billed there, like a
further main charge; a negative amount is a credit. A correcting charge has no quantity, so the quantities of the booking are
compared without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.reconcile.domain.bookings import PERIOD

OWNER = ["at", "owner_no"]
MONEY: dict[str, pl.DataType] = {
    "at": pl.Int64(), "owner_no": pl.Int64(), "corrected_micros": pl.Int128(), "credited_micros": pl.Int128(),
}  # fmt: skip
"""The money that correcting charges add to a booking, and the (negative) part that credits take away."""


@dataclass(frozen=True)
class Corrections:
    """Correcting charges that have a booking: their `money` (`MONEY`) by owner, and their `owners`.

    `owners` have the columns of the owners of charge groups. Correcting charges whose record is unknown are left out; each of them
    is a charge group.
    """

    money: pl.DataFrame
    owners: pl.DataFrame

    def without(self, charge_groups: pl.DataFrame) -> pl.DataFrame:
        """Return all charge groups except those that correct another booking."""
        return charge_groups if self.owners.is_empty() else charge_groups.join(self.owners, on=["at", "group_no"], how="anti")


NO_CORRECTIONS = Corrections(
    pl.DataFrame(schema=MONEY),
    pl.DataFrame(schema={
        **dict.fromkeys(("span_at", "at", "group_no"), pl.Int64), "charge": pl.Boolean, "owner_no": pl.Int64,
        "in_excess_group": pl.Boolean,
    }),
)  # fmt: skip
"""No correcting charges."""


def corrections_at(rows: pl.DataFrame, units: list[pl.DataFrame], period_members: pl.DataFrame) -> Corrections:
    """Return the correcting charges of `rows` with the owner of the record that each names, at every evaluation of `units`.

    `units` are sessions and charge groups at evaluations, with their owner; `period_members` are the records of sums. If several
    records have the named key, a usage record is taken before a charge, and then the one with the least name. Scope and currency
    must be the same.
    """
    if rows["corrected_key"].null_count() == rows.height:
        return NO_CORRECTIONS
    named = _find_named_records(rows)
    by_unit = pl.concat(
        [frame.select("span_at", "at", "group_no", "charge", "owner_no", "by_aggregate", "is_matched") for frame in units]
    )
    found = named.join(by_unit, left_on=["span_at", "named_group", "named_charge"], right_on=["span_at", "group_no", "charge"])
    in_period = pl.col("by_aggregate") & ~pl.col("is_matched")
    cells = period_members.select(span_at="at", named_record="record_no", cell="cell")
    of_periods = (
        found.filter(in_period).join(cells, on=["span_at", "named_record"]).with_columns(owner_no=pl.col("cell") * 3 + PERIOD)
    )
    placed = pl.concat([found.filter(~in_period), of_periods.drop("cell")])
    amount = pl.col("amount_micros").cast(pl.Int128)
    money = placed.group_by(OWNER).agg(
        corrected_micros=amount.filter(pl.col("amount_micros") >= 0).sum(),
        credited_micros=amount.filter(pl.col("amount_micros") < 0).sum(),
    )
    owners = placed.select(
        "span_at", "at", "group_no", charge=pl.lit(True), owner_no="owner_no", in_excess_group=pl.col("amount_micros") < 0
    )
    return Corrections(money, owners)


def _find_named_records(rows: pl.DataFrame) -> pl.DataFrame:
    """Return correcting charges (`span_at`, `group_no`, `amount_micros`) with the record, group and side that each names."""
    by_name = ["component", "span_at", "scope", "currency", "named_key"]
    correcting = rows.filter(pl.col("corrected_key").is_not_null()).select(
        *by_name[:1],
        *by_name[2:4],
        "record_no",
        "group_no",
        "amount_micros",
        "corrected_charge",
        span_at="at",
        named_key="corrected_key",
    )
    others = rows.filter(pl.col("corrected_key").is_null()).select(
        *by_name[:1], *by_name[2:4], span_at="at", named_key="record_key", named_charge="charge", named_group="group_no",
        named_record="record_no",
    )  # fmt: skip
    is_named = pl.col("corrected_charge").is_null() | (pl.col("corrected_charge") == pl.col("named_charge"))
    found = correcting.join(others, on=by_name).filter(is_named).sort("named_record")
    return found.unique(["span_at", "record_no"], keep="first", maintain_order=True)


def with_money(units: pl.DataFrame, corrections: Corrections) -> pl.DataFrame:
    """Add `MONEY` to units with an `owner_no` and `at`, NULL where no charge corrects their booking."""
    return units.join(corrections.money, on=OWNER, how="left", maintain_order="left")


def total_micros() -> pl.Expr:
    """Return the total that correcting charges add to a booking."""
    return pl.col("corrected_micros").fill_null(0) + pl.col("credited_micros").fill_null(0)


def corrected_kind(kind: pl.Expr) -> pl.Expr:
    """Return the kind of usage without a charge of its own: it keeps its kind while money is missing after corrections."""
    missing = pl.col("expected_micros") - total_micros()
    return (
        pl.when(pl.col("corrected_micros").is_null()).then(kind)
        .when(missing.abs() <= pl.col("amount_tolerance_micros")).then(pl.lit("tolerated"))
        .when(missing < 0).then(pl.lit("overbilled")).otherwise(kind)
    )  # fmt: skip
