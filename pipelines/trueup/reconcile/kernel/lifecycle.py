"""Life of a finding: derive the changes between two evaluations of the same components, and their causes.

A finding is raised when its booking gets its kind, revised when its content changes, and retracted when the booking loses the kind.
If a late or correcting charge caused that, the finding is *resolved*. An unbilled session whose charge arrives late, in three
evaluations:

>>> from trueup.reconcile.domain.bookings import BOOKING, MEMBER, NETTING_GROUP
>>> def snapshot(at, kind, billed_micros, records):
...     booking = {"component": 1, "at": at, "owner_no": 3, "part": MAIN, "kind": kind, "service": "voice", "currency": "EUR",
...                "expected_micros": 500, "billed_micros": billed_micros}
...     members = [{"component": 1, "at": at, "record_no": r, "charge": r > 1, "owner_no": 3, "part": MAIN} for r in records]
...     as_frame = lambda rows, schema: pl.DataFrame(rows, schema_overrides=schema).select(
...         pl.col(n).cast(t) if n in rows[0] else pl.lit(None, t).alias(n) for n, t in schema.items())
...     return Snapshot.of(as_frame([booking], BOOKING), as_frame(members, MEMBER), pl.DataFrame(schema=NETTING_GROUP))
>>> def changes(before, after, at, arrived):
...     evaluation = pl.DataFrame({"component": [1], "at": [at], "declared": [None]}, schema_overrides={"declared": pl.String})
...     records = evaluation.with_columns(
...         record_no=arrived, charge=arrived > 1, late=arrived > 1, beyond_horizon=False, corrected=False,
...         corrected_key=pl.lit(None, pl.String))
...     until = before.until(before.bookings.select("component", "at", next_at=pl.lit(at, pl.Int64)))
...     changed = diff_findings(until, after, records.filter(pl.lit(arrived > 0)), evaluation)
...     return changed.select("at", "action", "cause", "kind").rows()
>>> pending, unbilled = snapshot(1, "pending", 0, [1]), snapshot(5, "unbilled", 0, [1])
>>> matched = snapshot(9, "tolerated", 500, [1, 2])
>>> changes(pending, pending, 1, 1)  # the usage arrives: pending, no finding
[]
>>> changes(pending, unbilled, 5, 0)  # both streams have passed the grace period
[(5, 'raised', 'frontier', 'unbilled')]
>>> changes(unbilled, matched, 9, 2)  # the charge arrives late
[(9, 'resolved', 'late_charge', 'unbilled')]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from trueup.reconcile.domain.bookings import MAIN, PENDING, QUANTITY, TOLERATED
from trueup.reconcile.domain.kinds import RECOVERY

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
    "judged_at": pl.Int64(),  # the position of the evaluation
}
WHOLE: dict[str, pl.DataType] = {
    "whole_expected_micros": pl.Int128(),
    "whole_billed_micros": pl.Int128(),
    "whole_tolerated_micros": pl.Int128(),
}
"""The money of all parts of a booking: expected, billed, and the part of their difference that is within tolerance."""
CHANGE: dict[str, pl.DataType] = {"at": pl.Int64(), "action": pl.String(), "cause": pl.String(), **FINDING, **WHOLE}
ARRIVED = ["component", "at", "record_no", "charge", "late", "beyond_horizon", "corrected", "corrected_key"]
"""The columns of record versions that count since an evaluation."""
_IDENTITY = ["component", "owner_no", "kind"]
_CONTENT = ["service", "day", "currency", "expected_micros", "billed_micros", "usage", "charges"]


RESOLVING = ["late_charge", RECOVERY]
"""Causes by which a finding is resolved, because billing has made the missing charge."""
EVALUATION = ["component", "at"]
"""The key of an evaluation. Owners and records are compared within one evaluation, because a component has many."""


@dataclass(frozen=True)
class Snapshot:
    """Components after evaluations, each row with its evaluation (`component`, `at`).

    `bookings` and `members` are as in `Bookings`; `findings` are the bookings with the kind of a finding. Owners with one
    `netting_group` are judged together.
    """

    bookings: pl.DataFrame
    members: pl.DataFrame
    findings: pl.DataFrame
    netting_groups: pl.DataFrame

    @classmethod
    def of(cls, bookings: pl.DataFrame, members: pl.DataFrame, netting_groups: pl.DataFrame) -> Snapshot:
        """Select the findings among the bookings and list their records."""
        findings_only = bookings.filter(~pl.col("kind").is_in([PENDING, TOLERATED]))
        listed = (
            members.join(findings_only.select(*EVALUATION, "owner_no"), on=[*EVALUATION, "owner_no"], how="semi").sort("record_no")
            .group_by(*EVALUATION, "owner_no", "part").agg(
                usage=pl.col("record_no").filter(~pl.col("charge")), charges=pl.col("record_no").filter(pl.col("charge"))
            )
        )  # fmt: skip
        # The booking of a difference by quantity has the records of the main booking.
        part_of_records = pl.when(pl.col("part") == QUANTITY).then(pl.lit(MAIN, pl.Int8)).otherwise("part")
        findings = (
            findings_only.with_columns(part=part_of_records, judged_at="at")
            .join(listed, on=[*EVALUATION, "owner_no", "part"], how="left")
            # A period without any billed line has no record.
            .with_columns(pl.col("usage", "charges").fill_null([]))
            .select("at", *FINDING)
        )
        return cls(bookings, members, findings, netting_groups)

    def of_evaluations(self, evaluations: pl.DataFrame) -> Snapshot:
        """Return the rows of some evaluations."""
        return self._map(lambda frame: frame.join(evaluations, on=EVALUATION, how="semi"))

    def until(self, nexts: pl.DataFrame) -> Snapshot:
        """Return the same rows, each at the next evaluation of its component, until which it was in force.

        `nexts` has the `next_at` of each evaluation that has a next one; others are left out.
        """
        return self._map(lambda frame: frame.join(nexts, on=EVALUATION).select(pl.exclude("at", "next_at"), at="next_at"))

    def _map(self, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Snapshot:
        """Apply one change to all frames."""
        frames = (self.bookings, self.members, self.findings, self.netting_groups)
        return Snapshot(*(frame if frame.is_empty() else change(frame) for frame in frames))


def withdrawals(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the versions that a content of another bucket key withdraws, with the position `at` of that, as rows of `ARRIVED`.

    The withdrawal of a record is a change of that record, as its arrival is.
    """
    ended = versions.filter((pl.col("until") == pl.col("at")) & pl.col("withdrawn").is_not_null())
    facts = {"late": pl.lit(False), "beyond_horizon": pl.lit(False), "corrected": pl.col("withdrawn")}
    return ended.with_columns(corrected_key=pl.lit(None, pl.String), **facts).select(*ARRIVED)


def diff_findings(before: Snapshot, after: Snapshot, arrived: pl.DataFrame, evaluations: pl.DataFrame) -> pl.DataFrame:
    """Return the changes of findings between evaluations and those before them, as rows of `CHANGE`.

    `before` has the bookings in force until each evaluation, `after` the bookings from it on. `arrived` are the record versions
    that count since an evaluation (`ARRIVED`). `evaluations` has, in `declared`, the cause that came into force at one, if any: a
    policy, a tariff or a subscriber's state.
    """
    key = ["at", *_IDENTITY]
    joined = before.findings.join(after.findings, on=key, how="full", suffix="_new", coalesce=True, nulls_equal=True)
    was_open, is_open = pl.col("usage").is_not_null(), pl.col("usage_new").is_not_null()
    differs = pl.any_horizontal(pl.col(n).ne_missing(pl.col(f"{n}_new")) for n in _CONTENT)
    changed = joined.filter(~(was_open & is_open) | differs)
    if changed.is_empty():
        return pl.DataFrame(schema=CHANGE)
    action = pl.when(~was_open).then(pl.lit("raised")).when(~is_open).then(pl.lit("retracted")).otherwise(pl.lit("revised"))
    changed = changed.with_columns(action=action).with_row_index("change")
    causes = _find_causes(changed, before.of_evaluations(changed), after.of_evaluations(changed), arrived)
    caused = changed.join(evaluations, on=EVALUATION).join(causes, on="change", how="left")
    shown = [pl.when(is_open).then(pl.col(f"{n}_new")).otherwise(pl.col(n)).alias(n) for n in FINDING if n not in _IDENTITY]
    cause = pl.coalesce("cause", "declared", "repriced", pl.lit("frontier"))
    action = pl.when((pl.col("action") == "retracted") & cause.is_in(RESOLVING)).then(pl.lit("resolved")).otherwise("action")
    named = caused.select("at", action.alias("action"), cause.alias("cause"), *_IDENTITY, *shown)
    whole = _find_whole_money(after, named)
    return named.join(whole, on=[*EVALUATION, "owner_no"], how="left", maintain_order="left").select(*CHANGE)


def _find_whole_money(after: Snapshot, changes: pl.DataFrame) -> pl.DataFrame:
    """Return `owner_no` and `WHOLE` of each changed booking that exists after the changes.

    Every change has the whole money at its position, so the newest change of any finding of a booking gives the whole of all.
    """
    owner = [*EVALUATION, "owner_no"]
    impact = pl.col("expected_micros") - pl.col("billed_micros")
    changed = after.bookings.join(changes.select(owner), on=owner, how="semi")
    return changed.group_by(owner).agg(
        whole_expected_micros=pl.col("expected_micros").sum(),
        whole_billed_micros=pl.col("billed_micros").sum(),
        whole_tolerated_micros=impact.filter(pl.col("kind") == TOLERATED).sum(),
    )


def _find_causes(changed: pl.DataFrame, before: Snapshot, after: Snapshot, arrived: pl.DataFrame) -> pl.DataFrame:
    """Return `cause` of each numbered change that records arriving at its position contributed to, and `repriced` of others.

    The records near a change are those of the finding before and after. Further records near the change share an owner with one of
    these records, or are judged together with one, before or after. If none arrived and a decided finding has another price now,
    other usage of the same free units or tiers arrived late.
    """
    record, owner, group = ([*EVALUATION, name] for name in ("record_no", "owner_no", "netting_group"))
    lists = [pl.col(n).fill_null([]) for n in ("usage", "charges", "usage_new", "charges_new")]
    listed = changed.select("change", *EVALUATION, record_no=pl.concat_list(lists)).explode("record_no").drop_nulls()
    memberships = pl.concat([before.members.select(*record, "owner_no"), after.members.select(*record, "owner_no")]).unique()
    # A finding without records, such as an unbilled rental, uses the records of its owner before or after.
    without = changed.select("change", *owner).join(listed, on="change", how="anti")
    own = pl.concat([listed, without.join(memberships, on=owner).select("change", *record)]).unique()
    shared = (
        own.join(memberships, on=record).select("change", *owner).unique().join(memberships, on=owner).select("change", *record)
    )
    netted = [
        own.join(s.members.select(*record, "owner_no"), on=record)
        .join(s.netting_groups, on=owner)
        .select("change", *group).unique().join(s.netting_groups, on=group)
        .join(s.members.select(*record, "owner_no"), on=owner).select("change", *record)
        for s in (before, after) if not s.netting_groups.is_empty()
    ]  # fmt: skip
    records_near = pl.concat([own, shared, *netted]).unique()
    correcting = pl.col("corrected_key").is_not_null()
    newly = arrived.select(*record, "charge", "late", "beyond_horizon", "corrected", correcting=correcting, arrived=pl.lit(True))
    part_of_records = pl.when(pl.col("part") == QUANTITY).then(pl.lit(MAIN, pl.Int8)).otherwise("part")
    decided_bookings = (
        before.bookings.filter(pl.col("kind") != PENDING).select(*owner, part=part_of_records, decided=pl.lit(True)).unique()
    )
    decided = before.members.join(decided_bookings, on=[*owner, "part"]).select(*record, "decided")
    with_facts = records_near.join(newly, on=record, how="left").join(decided, on=record, how="left")
    has_arrived = pl.col("arrived").fill_null(False)
    facts = with_facts.group_by("change").agg(
        arrived=has_arrived.any(), charge=(has_arrived & pl.col("charge")).any(), late=(has_arrived & pl.col("late")).any(),
        beyond_horizon=(has_arrived & pl.col("beyond_horizon")).any(),
        corrected=(has_arrived & pl.col("corrected")).any(), correcting=(has_arrived & pl.col("correcting")).any(),
        decided=pl.col("decided").fill_null(False).any(),
    )  # fmt: skip
    overdue = pl.when("charge").then(pl.lit("late_charge")).otherwise(pl.lit("late_usage"))
    cause = (
        pl.when("correcting").then(pl.lit(RECOVERY))
        .when("beyond_horizon").then(pl.lit("beyond_horizon"))
        .when("corrected").then(pl.lit("correction"))
        .when(pl.col("late") | pl.col("decided")).then(overdue)
        .otherwise(pl.lit("arrival"))
    )  # fmt: skip
    caused = facts.select("change", "decided", cause=pl.when("arrived").then(cause))
    repriced = own.join(memberships, on=record).join(_find_repriced_owners(before, after), on=owner).select("change").unique()
    late = repriced.with_columns(late=pl.lit(True))
    joined = caused.join(late, on="change", how="left")
    return joined.select("change", "cause", repriced=pl.when(pl.col("late") & pl.col("decided")).then(pl.lit("late_usage")))


def _find_repriced_owners(before: Snapshot, after: Snapshot) -> pl.DataFrame:
    """Return the owners whose usage is unchanged and whose expected amount is not."""
    owner = [*EVALUATION, "owner_no"]
    was, now = (s.bookings.group_by(owner).agg(pl.col("expected_micros").sum()) for s in (before, after))
    joined = was.join(now, on=owner, suffix="_now")
    repriced = joined.filter(pl.col("expected_micros") != pl.col("expected_micros_now")).select(owner)
    if repriced.is_empty():
        return repriced
    lists = (
        s.members.filter(~pl.col("charge")).join(repriced, on=owner, how="semi")
        .group_by(owner).agg(pl.col("record_no").sort())
        for s in (before, after)
    )  # fmt: skip
    first, second = lists
    return first.join(second, on=[*owner, "record_no"]).select(owner)
