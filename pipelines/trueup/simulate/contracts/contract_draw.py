"""Draw contracts: subscriptions with a plan and a billing cycle, and at most one change of contract within the months."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from trueup.simulate.contracts.price_list import LARGE, MEDIUM, PLANS, SMALL

ZONE = "Europe/Berlin"
"""The time zone of all contracts; days and times of this package are local to it."""
JOIN, LEAVE, UPGRADE, SUSPEND, MOVE_CYCLE, NOTHING = "join", "leave", "upgrade", "suspend", "move_cycle", "nothing"
_FATES = ((JOIN, 0.12), (LEAVE, 0.08), (UPGRADE, 0.08), (SUSPEND, 0.08), (MOVE_CYCLE, 0.04), (NOTHING, 0.60))
_CYCLE_DAYS = (1, 1, 5, 10, 15, 20, 28, 29, 30, 31)
_SUSPENDED_DAYS = 70
"""Long enough to cover a whole billing period."""

CONTRACT: dict[str, pl.DataType] = {
    "contract": pl.Int64(),
    "msisdn": pl.String(),
    "account": pl.String(),
    "fate": pl.String(),
    "plan": pl.Int64(),
    "new_plan": pl.Int64(),
    "plan_at": pl.Datetime("us"),  # NULL where the plan does not change; the later times likewise
    "cycle_day": pl.Int64(),
    "new_cycle_day": pl.Int64(),
    "cycle_at": pl.Datetime("us"),
    "active_at": pl.Datetime("us"),
    "ceased_at": pl.Datetime("us"),
    "suspended_at": pl.Datetime("us"),
    "resumed_at": pl.Datetime("us"),
}


@dataclass(frozen=True)
class Months:
    """The simulated months of bills: [`first`, `last`] is billed, with mistakes only in items due before `errs_until`."""

    first: date
    errs_until: date
    last: date

    @classmethod
    def before(cls, day: date, months: int) -> Months:
        """Return the months before the month of `day`, up to that day; billing makes no mistake in the last ten days."""
        month = day.year * 12 + day.month - 1 - months
        return cls(date(month // 12, month % 12 + 1, 1), day - timedelta(days=10), day)


def draw_contracts(rng: np.random.Generator, count: int, months: Months) -> pl.DataFrame:
    """Return `count` contracts (`CONTRACT`)."""
    order = np.arange(count)
    fate = rng.choice([name for name, _ in _FATES], count, p=[share for _, share in _FATES])
    plan = rng.choice([SMALL, MEDIUM, LARGE], count, p=[0.4, 0.4, 0.2])
    plan = np.where((fate == UPGRADE) & (plan == LARGE), MEDIUM, plan)
    within = (months.errs_until - months.first).days - 6
    event = _draw_daytime_instants(rng, months.first + timedelta(days=3), rng.integers(0, max(1, within), count))
    # A sixth of the older contracts are young enough for the welcome discount.
    age = np.where(rng.random(count) < 1 / 6, rng.integers(1, 90, count), rng.integers(40, 1_200, count))
    begun = _draw_daytime_instants(rng, months.first, -age)
    midnight = event.astype("datetime64[D]").astype("datetime64[us]")
    number = rng.integers(0, len(_CYCLE_DAYS), count)
    cycle, moved = np.array(_CYCLE_DAYS)[number], np.array(_CYCLE_DAYS)[(number + 3) % len(_CYCLE_DAYS)]
    never = np.datetime64("NaT", "us")
    return pl.DataFrame({
        "contract": order, "msisdn": [f"+99940{n:08d}" for n in order], "account": [f"C{10_000_000 + n}" for n in order],
        "fate": fate, "plan": plan, "new_plan": np.where(fate == UPGRADE, plan + 1, plan),
        "plan_at": np.where(fate == UPGRADE, event, never), "cycle_day": cycle,
        "new_cycle_day": np.where(fate == MOVE_CYCLE, moved, cycle),
        "cycle_at": np.where(fate == MOVE_CYCLE, midnight, never), "active_at": np.where(fate == JOIN, event, begun),
        "ceased_at": np.where(fate == LEAVE, event, never), "suspended_at": np.where(fate == SUSPEND, midnight, never),
        "resumed_at": np.where(fate == SUSPEND, midnight + np.timedelta64(_SUSPENDED_DAYS, "D"), never),
    }).select(pl.col(n).cast(t) for n, t in CONTRACT.items())  # fmt: skip


def _draw_daytime_instants(
    rng: np.random.Generator, first: date, days: np.typing.NDArray[np.int64]
) -> np.typing.NDArray[np.datetime64]:
    """Draw an instant between eight and twenty o'clock on each day."""
    begin = np.datetime64(first, "us")
    seconds = rng.integers(8 * 3600, 20 * 3600, len(days)).astype("timedelta64[s]")
    instants: np.typing.NDArray[np.datetime64] = begin + days.astype("timedelta64[D]") + seconds
    return instants


def contract_states(contracts: pl.DataFrame) -> pl.DataFrame:
    """Return the subscriber states of contracts; network and billing have the same ones."""
    own = contracts.select(*CONTRACT, status=pl.lit("active"))
    parts = [
        own.with_columns(valid_from="active_at"),
        own.drop_nulls("plan_at").with_columns(valid_from="plan_at", plan="new_plan"),
        own.drop_nulls("cycle_at").with_columns(valid_from="cycle_at", cycle_day="new_cycle_day"),
        own.drop_nulls("suspended_at").with_columns(valid_from="suspended_at", status=pl.lit("suspended")),
        own.drop_nulls("resumed_at").with_columns(valid_from="resumed_at"),
        own.drop_nulls("ceased_at").with_columns(valid_from="ceased_at", status=pl.lit("ceased")),
    ]
    rows = pl.concat(parts).sort("contract", "valid_from").with_columns(valid_to=pl.col("valid_from").shift(-1).over("contract"))
    plans = pl.col("plan").replace_strict(list(range(len(PLANS))), list(PLANS), return_dtype=pl.String)
    return pl.concat([
        rows.select(
            "msisdn", "account", "status", "valid_from", "valid_to", "cycle_day", system=pl.lit(system), plan=plans,
            timezone=pl.lit(ZONE),
        )
        for system in ("network", "billing")
    ])  # fmt: skip
