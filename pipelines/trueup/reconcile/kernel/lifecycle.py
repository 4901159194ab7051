"""What changed between two evaluations of the same components: raises, revisions, retractions, and why."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.reconcile.domain.bookings import BOOKING, MAIN, MEMBER, NETTING_GROUP, PENDING, QUANTITY, TOLERATED
from trueup.reconcile.kernel.booking import Bookings

FINDING: dict[str, pl.DataType] = {
    "component": pl.Int64(),
    "owner_no": pl.Int64(),
    "kind": pl.String(),
    "reason": pl.String(),
    "service": pl.String(),
    "day": pl.Date(),
    "currency": pl.String(),
    "expected_micros": pl.Int128(),
    "billed_micros": pl.Int128(),
    "bucket": pl.Int16(),
    "subscriber": pl.String(),
    "peer": pl.String(),
    "node": pl.String(),
    "started_us": pl.Int64(),
    "usage": pl.List(pl.Int64()),
    "charges": pl.List(pl.Int64()),
    "judged_at": pl.Int64(),  # the position of the evaluation that tells so
}
WHOLE: dict[str, pl.DataType] = {
    "whole_expected_micros": pl.Int128(),
    "whole_billed_micros": pl.Int128(),
    "whole_tolerated_micros": pl.Int128(),
}
"""The money of all parts of a booking: expected, billed, and the part of their difference that is within tolerance."""
CHANGE: dict[str, pl.DataType] = {"at": pl.Int64(), "action": pl.String(), "cause": pl.String(), **FINDING, **WHOLE}
_IDENTITY = ["component", "owner_no", "kind"]
_CONTENT = ["service", "day", "currency", "expected_micros", "billed_micros", "usage", "charges"]


@dataclass(frozen=True)
class Snapshot:
    """What holds of some components after an evaluation: places, members, the findings among the places, and which subjects
    are judged together."""

    bookings: pl.DataFrame
    members: pl.DataFrame
    findings: pl.DataFrame
    netting_groups: pl.DataFrame

    @classmethod
    def of(cls, assessed: Bookings) -> Snapshot:
        """Picks the findings out of the places and lists their records."""
        told = assessed.bookings.filter(~pl.col("kind").is_in([PENDING, TOLERATED]))
        listed = (
            assessed.members.join(told.select("owner_no"), on="owner_no", how="semi").sort("record_no")
            .group_by("owner_no", "part").agg(
                usage=pl.col("record_no").filter(~pl.col("charge")), charges=pl.col("record_no").filter(pl.col("charge"))
            )
        )  # fmt: skip
        # What a quantity lost has the records of the whole.
        seat = pl.when(pl.col("part") == QUANTITY).then(pl.lit(MAIN, pl.Int8)).otherwise("part")
        findings = told.with_columns(part=seat, judged_at="at").join(listed, on=["owner_no", "part"], how="left").select(*FINDING)
        return cls(assessed.bookings, assessed.members, findings, assessed.netting_groups)

    @classmethod
    def empty(cls) -> Snapshot:
        """Before the first evaluation."""
        return cls(*(pl.DataFrame(schema=schema) for schema in (BOOKING, MEMBER, FINDING, NETTING_GROUP)))

    def of_components(self, components: pl.DataFrame) -> Snapshot:
        """Only what belongs to the components listed in `components`."""
        kept = (
            f.join(components, on="component", how="semi")
            for f in (self.bookings, self.members, self.findings, self.netting_groups)
        )
        return Snapshot(*kept)


def diff_findings(before: Snapshot, after: Snapshot, rows: pl.DataFrame, clock: pl.DataFrame) -> pl.DataFrame:
    """The changes of findings between two evaluations, as rows of `CHANGE`.

    `rows` are the record versions counted now (`record_no`, `since`, `late`, `beyond`); `clock` has for each component its position
    `at` and `declared`, the cause that came into force there, if any: a policy, a tariff or a subscriber's state.
    """
    both = before.findings.join(after.findings, on=_IDENTITY, how="full", suffix="_new", coalesce=True, nulls_equal=True)
    was, stands = pl.col("usage").is_not_null(), pl.col("usage_new").is_not_null()
    differs = pl.any_horizontal(pl.col(n).ne_missing(pl.col(f"{n}_new")) for n in _CONTENT)
    changed = both.filter(~(was & stands) | differs)
    if changed.is_empty():
        return pl.DataFrame(schema=CHANGE)
    action = pl.when(~was).then(pl.lit("raised")).when(~stands).then(pl.lit("retracted")).otherwise(pl.lit("revised"))
    changed = changed.with_columns(action=action).with_row_index("change")
    caused = changed.join(clock, on="component").join(_causes_of(changed, before, after, rows, clock), on="change", how="left")
    shown = [pl.when(stands).then(pl.col(f"{n}_new")).otherwise(pl.col(n)).alias(n) for n in FINDING if n not in _IDENTITY]
    cause = pl.coalesce("cause", "declared", "repriced", pl.lit("frontier"))
    action = pl.when((pl.col("action") == "retracted") & (cause == "late_charge")).then(pl.lit("resolved")).otherwise("action")
    named = caused.select("at", action.alias("action"), cause.alias("cause"), *_IDENTITY, *shown)
    return named.join(_whole_money(after, named), on="owner_no", how="left", maintain_order="left").select(*CHANGE)


def _whole_money(after: Snapshot, changes: pl.DataFrame) -> pl.DataFrame:
    """Return `owner_no` and `WHOLE` of each changed booking that exists after the changes.

    Every change carries the whole of that position, so the newest change of any finding of a booking gives the whole of all.
    """
    impact = pl.col("expected_micros") - pl.col("billed_micros")
    changed = after.bookings.join(changes.select("owner_no").unique(), on="owner_no", how="semi")
    return changed.group_by("owner_no").agg(
        whole_expected_micros=pl.col("expected_micros").sum(),
        whole_billed_micros=pl.col("billed_micros").sum(),
        whole_tolerated_micros=impact.filter(pl.col("kind") == TOLERATED).sum(),
    )


def _causes_of(changed: pl.DataFrame, before: Snapshot, after: Snapshot, rows: pl.DataFrame, clock: pl.DataFrame) -> pl.DataFrame:
    """`cause` of each numbered change that records arriving at its position had part in, and `repriced` of others.

    The records near a change are those of the finding before and after, and all that share a subject with one of them, or are
    judged together with one, before or after. Where none arrived and what was decided costs something else now, usage that
    takes from the same free units or tiers came late.
    """
    lists = ("usage", "charges", "usage_new", "charges_new")
    own = pl.concat([changed.select("change", record_no=n).explode("record_no") for n in lists]).drop_nulls().unique()
    seats = pl.concat([before.members.select("record_no", "owner_no"), after.members.select("record_no", "owner_no")]).unique()
    shared = (
        own.join(seats, on="record_no")
        .select("change", "owner_no")
        .unique()
        .join(seats, on="owner_no")
        .select("change", "record_no")
    )
    tied = [
        own.join(s.members.select("record_no", "owner_no"), on="record_no")
        .join(s.netting_groups.select("owner_no", "netting_group"), on="owner_no")
        .select("change", "netting_group").unique().join(s.netting_groups.select("owner_no", "netting_group"), on="netting_group")
        .join(s.members.select("record_no", "owner_no"), on="owner_no").select("change", "record_no") for s in (before, after)
    ]  # fmt: skip
    near = pl.concat([own, shared, *tied]).unique()
    arrived = (
        rows.join(clock.select("component", "at"), on="component").filter(pl.col("since") == pl.col("at"))
        .select("record_no", "charge", "late", "beyond_horizon", arrived=pl.lit(True))
    )  # fmt: skip
    seat = pl.when(pl.col("part") == QUANTITY).then(pl.lit(MAIN, pl.Int8)).otherwise("part")
    known = before.bookings.filter(pl.col("kind") != PENDING).select("owner_no", part=seat, decided=pl.lit(True)).unique()
    decided = before.members.join(known, on=["owner_no", "part"]).select("record_no", "decided")
    told = near.join(arrived, on="record_no", how="left").join(decided, on="record_no", how="left")
    come = pl.col("arrived").fill_null(False)
    facts = told.group_by("change").agg(
        arrived=come.any(), charge=(come & pl.col("charge")).any(), late=(come & pl.col("late")).any(),
        beyond_horizon=(come & pl.col("beyond_horizon")).any(), decided=pl.col("decided").fill_null(False).any(),
    )  # fmt: skip
    overdue = pl.when("charge").then(pl.lit("late_charge")).otherwise(pl.lit("late_usage"))
    cause = (
        pl.when("beyond_horizon").then(pl.lit("beyond_horizon"))
        .when(pl.col("late") | pl.col("decided")).then(overdue)
        .otherwise(pl.lit("arrival"))
    )  # fmt: skip
    told_cause = facts.select("change", "decided", cause=pl.when("arrived").then(cause))
    repriced = own.join(seats, on="record_no").join(_repriced_owners(before, after), on="owner_no").select("change").unique()
    late = repriced.with_columns(late=pl.lit(True))
    both = told_cause.join(late, on="change", how="left")
    return both.select("change", "cause", repriced=pl.when(pl.col("late") & pl.col("decided")).then(pl.lit("late_usage")))


def _repriced_owners(before: Snapshot, after: Snapshot) -> pl.DataFrame:
    """The subjects whose usage is the same as before and costs something else."""
    was, now = (s.bookings.group_by("owner_no").agg(pl.col("expected_micros").sum()) for s in (before, after))
    both = was.join(now, on="owner_no", suffix="_now")
    other = both.filter(pl.col("expected_micros") != pl.col("expected_micros_now")).select("owner_no")
    lists = (
        s.members.filter(~pl.col("charge")).join(other, on="owner_no", how="semi")
        .group_by("owner_no").agg(pl.col("record_no").sort())
        for s in (before, after)
    )  # fmt: skip
    first, second = lists
    return first.join(second, on=["owner_no", "record_no"]).select("owner_no")
