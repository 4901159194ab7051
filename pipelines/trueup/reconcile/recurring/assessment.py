"""Assessment: book each expectation and unexplained charge at each position at which its booking can change.

An expectation is pending from the position at which the charge stream passed its due date, or at which a charge of it arrived. The
expectation is final once the charge stream has passed the due date and the grace of its service. If the billed amount agrees, the
booking is tolerated at once.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.policies.policy import NEVER_POSITION
from trueup.reconcile.domain.bookings import BOOKING, MAIN, MEMBER, PENDING, SURPLUS, TOLERATED
from trueup.reconcile.domain.frontier import Frontier, RunningMax

UNBILLED, MISRATED, DUPLICATE, UNEXPLAINED = "unbilled", "misrated", "duplicate_charge", "charge_without_usage"
_AT = ["component", "at"]


def with_waits(rows: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add `due_at` and `final_at`, the positions at which charges pass `due_us` without and with the grace, and `tolerance_micros`.

    The policy is the one in force at `since`.
    """
    policies = frontier.policies
    policy = policies.number_at(rows["since"].to_numpy())
    rule = rows.select(policies.rule_of(pl.col("service"))).to_series().to_numpy()
    rules = policies.rules(policy, rule)
    instants, is_charge = rows["due_us"].to_numpy(), np.ones(rows.height, dtype=np.bool_)
    none = np.zeros(rows.height, dtype=np.int64)
    due = frontier.passed_at(is_charge, instants, none, none, policy)
    final = frontier.passed_at(is_charge, instants, rules["grace_us"].to_numpy(), rules["closed_wait_us"].to_numpy(), policy)
    return rows.with_columns(
        pl.Series("due_at", due), pl.Series("final_at", final), rules["amount_tolerance_micros"].alias("tolerance_micros")
    )


def in_scope_at(rows: pl.DataFrame, reach: RunningMax) -> pl.DataFrame:
    """Add `scope_at`: the position from which the charge stream reaches back to the end of the period, or to the event."""
    ends = pl.coalesce(pl.col("period_to_us") - 1, "due_us")
    # The running maximum has negative times: it exceeds −x once the stream has a record before x.
    at = reach.position_passing(-rows.select(ends).to_series().to_numpy() - 1)
    return rows.with_columns(pl.Series("scope_at", at, dtype=pl.Int64))


def evaluation_points(owners: pl.DataFrame, matches: pl.DataFrame, *, after: int, upto: int) -> pl.DataFrame:
    """Return the positions (`component`, `at`) at which a booking can change: those after `after`, and the last one before.

    `owners` are expectations and unexplained charges by view, `matches` their charges; both with `component`.
    """
    inside = [
        owners.filter((pl.col(n) > pl.col("since")) & (pl.col(n) < pl.col("until"))).select("component", at=n)
        for n in ("visible_at", "final_at")
    ]  # fmt: skip
    edges = [f.select("component", at=n) for f in (owners, matches) for n in ("since", "until")]
    points = pl.concat([*inside, *edges]).filter(pl.col("at") <= upto).unique()
    newest = points.filter(pl.col("at") <= after).group_by("component").agg(pl.col("at").max())
    changing = points.filter(pl.col("at") > after)
    return pl.concat([newest.join(changing, on="component", how="semi"), changing]).sort(_AT)


def assess(
    points: pl.DataFrame, owners: pl.DataFrame, matches: pl.DataFrame, charges: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the bookings (`BOOKING`, with `view` and `whole_billed`) and members (`MEMBER`) at each point."""
    in_force = points.join(owners, on="component").filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")))
    held = points.join(matches.select("component", "record_no", "since", "until"), on="component").filter(
        (pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until"))
    )  # fmt: skip
    lines = held.select(*_AT, "record_no").join(
        charges.select("record_no", "content", "amount_micros", "corrected_key", "c_since", "c_until"), on="record_no"
    ).filter((pl.col("c_since") <= pl.col("at")) & (pl.col("at") < pl.col("c_until")))  # fmt: skip
    # After a back-bill of a part, the remaining amount is still unbilled.
    is_no_charge = (pl.col("amount_micros") == 0) | pl.col("corrected_key").is_not_null()
    sums = lines.group_by(_AT).agg(
        billed=pl.col("amount_micros").cast(pl.Int128).sum(), lines=pl.len(), is_zero=is_no_charge.all()
    )  # fmt: skip
    known = in_force.join(sums, on=_AT, how="left").with_columns(
        pl.col("lines").fill_null(0), pl.col("is_zero").fill_null(True), billed=pl.col("billed").fill_null(pl.lit(0, pl.Int128))
    )  # fmt: skip
    visible = known.filter((pl.col("lines") > 0) | (pl.col("visible_at") <= pl.col("at")))
    excess = _find_excess_lines(visible, lines)
    return _build_bookings(visible, excess), _list_members(visible, lines, excess)


def _find_excess_lines(judged: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Return the lines (`component`, `at`, `record_no`, `surplus`) that only repeat another and explain the whole excess.

    Of equal lines, those with the greatest record numbers are the excess.
    """
    over = judged.filter(
        pl.col("explained") & (pl.col("final_at") <= pl.col("at"))
        & (pl.col("billed") - pl.col("expected_micros") > pl.col("tolerance_micros").cast(pl.Int128))
    )  # fmt: skip
    equal = lines.join(over.select(*_AT, "expected_micros", "billed", "tolerance_micros"), on=_AT).filter(
        pl.col("amount_micros") > 0
    )
    copies = equal.with_columns(copies=pl.len().over(*_AT, "content")).filter(pl.col("copies") > 1)
    amount = pl.col("amount_micros").cast(pl.Int128)
    too_much = pl.col("billed") - pl.col("expected_micros")
    surplus = (too_much + pl.col("tolerance_micros").cast(pl.Int128)) // amount
    rest = too_much - surplus * amount
    size = pl.when(rest < 0).then(rest * -1).otherwise(rest)
    explains = (surplus >= 1) & (surplus < pl.col("copies").cast(pl.Int128)) & (size <= pl.col("tolerance_micros").cast(pl.Int128))
    found = copies.with_columns(surplus=surplus).filter(explains)
    first = pl.col("content") == pl.col("content").min().over(_AT)
    ranked = found.filter(first).sort(*_AT, "record_no", descending=[False, False, True])
    nth = pl.int_range(pl.len()).over(_AT)
    return ranked.filter(nth.cast(pl.Int128) < pl.col("surplus")).select(*_AT, "record_no", in_excess="amount_micros")


def _build_bookings(known: pl.DataFrame, excess: pl.DataFrame) -> pl.DataFrame:
    sums = excess.group_by(_AT).agg(in_excess=pl.col("in_excess").cast(pl.Int128).sum())
    rows = known.join(sums, on=_AT, how="left").with_columns(in_excess=pl.col("in_excess").fill_null(pl.lit(0, pl.Int128)))
    main_billed = pl.col("billed") - pl.col("in_excess")
    difference = pl.col("expected_micros") - main_billed
    size = pl.when(difference < 0).then(difference * -1).otherwise(difference)
    agrees = (size <= pl.col("tolerance_micros").cast(pl.Int128)) & ((pl.col("lines") > 0) | (pl.col("expected_micros") == 0))
    is_final = pl.col("final_at") <= pl.col("at")
    nothing = ~pl.col("explained") & (pl.col("billed") == 0)
    is_missing = pl.col("is_zero") & (pl.col("expected_micros") != 0) & ((difference > 0) == (pl.col("expected_micros") > 0))
    kind = (
        pl.when(nothing).then(pl.lit(TOLERATED))
        .when(~pl.col("explained")).then(pl.when(is_final).then(pl.lit(UNEXPLAINED)).otherwise(pl.lit(PENDING)))
        .when(agrees).then(pl.lit(TOLERATED)).when(~is_final).then(pl.lit(PENDING))
        .when(is_missing).then(pl.lit(UNBILLED)).otherwise(pl.lit(MISRATED))
    )  # fmt: skip
    main = rows.with_columns(kind=kind, part=pl.lit(MAIN), billed_micros=main_billed)
    surplus = rows.filter(pl.col("in_excess") != 0).with_columns(
        kind=pl.lit(DUPLICATE), part=pl.lit(SURPLUS), billed_micros="in_excess", expected_micros=pl.lit(0, pl.Int128)
    )  # fmt: skip
    return pl.concat([main, surplus.select(main.columns)])


def _list_members(known: pl.DataFrame, lines: pl.DataFrame, excess: pl.DataFrame) -> pl.DataFrame:
    of_bookings = lines.join(known.select(*_AT, "owner_no"), on=_AT)
    joined = of_bookings.join(excess.select(*_AT, "record_no", more=pl.lit(True)), on=[*_AT, "record_no"], how="left")
    part = pl.when(pl.col("more").fill_null(False)).then(SURPLUS).otherwise(MAIN)
    return joined.with_columns(charge=pl.lit(True), part=part).select(pl.col(n).cast(t) for n, t in MEMBER.items())


def as_bookings(rows: pl.DataFrame) -> pl.DataFrame:
    """Return assessed rows as `BOOKING`."""
    none = pl.lit(None, pl.String)
    filled = rows.with_columns(
        peer=none, node=none, unrated_records=pl.lit(0), started_us="period_from_us", service=pl.col("service").fill_null("")
    )  # fmt: skip
    return filled.select(pl.col(n).cast(t) for n, t in BOOKING.items()).sort("component", "at", "part")


def owners_of(expectations: pl.DataFrame, unexplained: pl.DataFrame) -> pl.DataFrame:
    """Return expectations and unexplained charges in one frame, by view, with `visible_at`."""
    visible = pl.max_horizontal("since", "due_at", "scope_at")
    own = expectations.with_columns(explained=pl.lit(True), visible_at=visible)
    final = pl.when("beyond_horizon").then(0).otherwise("final_at")
    others = unexplained.with_columns(
        explained=pl.lit(False), visible_at=pl.lit(NEVER_POSITION), final_at=final, expected_micros=pl.lit(0, pl.Int128)
    )  # fmt: skip
    return pl.concat([own, others], how="diagonal")
