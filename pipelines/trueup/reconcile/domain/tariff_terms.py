"""What usage is worth and to whom, as known along the log: editions of the tariff book, and states of subscriptions.

Both are known from a position on and hold from an instant on; either can be back-dated. A *change* says from which position
on which instants may have to be judged anew, and for whom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.rating.book import Book
from trueup.reconcile.domain.policies import NEVER_POSITION

STATE: dict[str, pl.DataType] = {
    "bucket": pl.Int16(),
    "system": pl.String(),  # billing or network
    "subscriber": pl.String(),
    "plan": pl.String(),
    "status": pl.String(),  # active, suspended or ceased
    "from_us": pl.Int64(),
    "to_us": pl.Int64(),  # exclusive; NULL where it is not told
    "since": pl.Int64(),  # the positions [since, until) it is known at
    "until": pl.Int64(),
}
CHANGE: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "subscriber": pl.String(),  # NULL is everybody
    "from_us": pl.Int64(),
}
SYSTEMS = ("network", "billing")
TARIFF_CHANGE, SUBSCRIBER_CHANGE = "tariff_change", "subscriber_change"
LONGEST_US = 366 * 86_400_000_000
"""No record lasts for longer; the quantity of one that lasts is its duration."""
EARLIEST_US = -2_208_988_800_000_000
"""The beginning of 1900: no record is as old."""
_MOMENT = ["row", "subscriber", "at", "time_us"]


@dataclass(frozen=True)
class Edition:
    """The tariff book as it was known from `position` on."""

    position: int
    book: Book


@dataclass(frozen=True)
class Terms:
    """Editions of the book in the order they became known, states (`STATE`), and what they change (`CHANGE`).

    `causes` names for each position that brought either why a finding may change there; `billing_since` is the first
    position at which billing's subscriptions are known at all, `NEVER` where they are not; `network_since` the network's.
    """

    editions: tuple[Edition, ...] = ()
    states: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=STATE))
    changes: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CHANGE))
    causes: Mapping[int, str] = field(default_factory=dict)
    billing_since: int = NEVER_POSITION
    network_since: int = NEVER_POSITION

    def edition_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the edition known at each position, −1 before the first."""
        starts = np.array([e.position for e in self.editions], dtype=np.int64)
        numbers: NDArray[np.int64] = np.searchsorted(starts, positions, side="right") - 1
        return numbers

    def last_change_position(self, rows: pl.DataFrame) -> pl.Series:
        """The last position that may have changed what each row (`subscriber`, `time_us`, its quantity) is worth; 0 if none."""
        asked = rows.select("subscriber", "time_us").with_row_index("row")
        lasts = rows["quantity_micros"].fill_null(0).clip(0, LONGEST_US)
        everybody = _latest(asked.with_columns(pl.col("time_us") + lasts), self._rising[0], None)
        own = _latest(asked, self._rising[1], "subscriber")
        return pl.DataFrame({"everybody": everybody, "own": own}).select(pl.max_horizontal(pl.all())).to_series()

    @cached_property
    def _rising(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Changes for everybody and for one subscriber each, along their instants, with the greatest position so far."""
        line, so_far = self.changes.sort("from_us", "position"), pl.col("position").cum_max()
        general = line.filter(pl.col("subscriber").is_null()).drop("subscriber").with_columns(position=so_far)
        return general, line.drop_nulls("subscriber").with_columns(position=so_far.over("subscriber"))

    @cached_property
    def disputed_states(self) -> pl.DataFrame:
        """The states of subscriptions that the systems did not tell alike from the position on at which both were known."""
        since = max(self.billing_since, self.network_since)
        told = pl.struct("plan", "status", "from_us", "to_us")
        sides = [told.filter(pl.col("system") == s) for s in SYSTEMS]
        alike = self.states.sort("from_us").group_by("subscriber", maintain_order=True).agg(
            a=sides[0], b=sides[1], steady=((pl.col("until") == NEVER_POSITION) & (pl.col("since") <= since)).all()
        ).filter((pl.col("a") == pl.col("b")) & pl.col("steady"))  # fmt: skip
        return self.states.join(alike, on="subscriber", how="anti")

    def schedule(self, versions: pl.DataFrame) -> pl.DataFrame:
        """The positions (`component`, `at`) at which changes may touch components of these record versions."""
        if self.changes.is_empty():
            return pl.DataFrame(schema={"component": pl.Int64, "at": pl.Int64})
        # Only what was known before a change is touched by it: what comes later is judged when it comes. A record without any
        # time is known when a closing tells it.
        told = versions.select(
            "component", "subscriber", moment=pl.coalesce("time_us", "assigned_time_us"),
            known=pl.when(pl.col("time_us").is_null()).then(pl.max_horizontal("since", "assigned_at")).otherwise("since"),
            lasts=pl.col("quantity_micros").fill_null(0).clip(0, LONGEST_US).cast(pl.Int128),
        )  # fmt: skip
        general = self.changes.filter(pl.col("subscriber").is_null()).group_by("position").agg(pl.col("from_us").min())
        own = self.changes.drop_nulls("subscriber")
        for_all = _touched(told, ["component"], general)
        return pl.concat([for_all, _touched(told, ["component", "subscriber"], own)]).unique()

    def states_at(self, rows: pl.DataFrame) -> pl.DataFrame:
        """For each row (`subscriber`, `at`, `time_us`), in its order: `plan` and billing's `standing`.

        The plan is billing's; where billing has none in force, the network's. `standing` is `unknown_subscriber`,
        `inactive_subscriber`, or NULL where billing has an active state or no subscriptions are known of it at all.
        """
        asked = rows.select("subscriber", "at", "time_us").with_row_index("row")
        if self.states.is_empty() and self.billing_since == NEVER_POSITION:
            nothing = pl.repeat(None, asked.height, dtype=pl.String, eager=True)
            return pl.DataFrame({"plan": nothing, "billing_status": nothing})
        billing, network = (_in_force(asked, self.states.filter(pl.col("system") == s)) for s in ("billing", "network"))
        both = asked.join(billing, on="row", how="left").join(network, on="row", how="left", suffix="_network").sort("row")
        standing = (
            pl.when(pl.col("at") < self.billing_since).then(None)
            .when(pl.col("status").is_null()).then(pl.lit("unknown_subscriber"))
            .when(pl.col("status") != "active").then(pl.lit("inactive_subscriber"))
        )  # fmt: skip
        return both.select(plan=pl.coalesce("plan", "plan_network"), billing_status=standing)


def _touched(told: pl.DataFrame, by: list[str], changes: pl.DataFrame) -> pl.DataFrame:
    """The (`component`, `at`) of changes that touch records known before them; a component's records last as one.

    A price that begins in the middle of a record is one of the record's; a state is in force as it begins.
    """
    if changes.is_empty():
        return pl.DataFrame(schema={"component": pl.Int64, "at": pl.Int64})
    lasts = pl.col("lasts").sum().clip(0, LONGEST_US).cast(pl.Int64) if by == ["component"] else pl.lit(0, pl.Int64)
    reaches = pl.col("moment").max() + lasts
    whole = told.group_by(by).agg(reaches=reaches, first=pl.col("known").min(), last=pl.col("known").max())
    met = whole.join(changes, how="cross") if by == ["component"] else whole.join(changes, on="subscriber")
    able = met.filter((pl.col("reaches") >= pl.col("from_us")) & (pl.col("first") < pl.col("position")))
    # Where some of its records came later, what was there before is looked at by itself.
    several = able.filter(pl.col("last") >= pl.col("position"))
    before = (
        several.select(*by, "position", "from_us").join(told, on=by).filter(pl.col("known") < pl.col("position"))
        .group_by(*by, "position", "from_us").agg(reaches=reaches).filter(pl.col("reaches") >= pl.col("from_us"))
    )  # fmt: skip
    all_known = able.filter(pl.col("last") < pl.col("position"))
    return pl.concat([frame.select("component", at="position") for frame in (all_known, before)]).unique()


FLAT = Terms()
"""Nothing but the flat prices of a policy."""


def _latest(asked: pl.DataFrame, rising: pl.DataFrame, by: str | None) -> pl.Series:
    """The greatest position of a change from an instant up to each row's own; changes as `_rising` has them."""
    if rising.is_empty():
        return pl.repeat(0, asked.height, dtype=pl.Int64, eager=True)
    keys = [by] if by else []
    found = (
        asked.drop_nulls(["time_us", *keys]).sort("time_us")
        .join_asof(rising, left_on="time_us", right_on="from_us", by=by, check_sortedness=False)
    )  # fmt: skip
    return asked.join(found.select("row", "position"), on="row", how="left", maintain_order="left")["position"].fill_null(0)


def _in_force(asked: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """(`row`, `plan`, `status`) of the state of one system in force at each row's instant, as known at its position."""
    known = asked.drop_nulls()
    if known.is_empty() or states.is_empty():
        return pl.DataFrame(schema={"row": pl.UInt32, "plan": pl.String, "status": pl.String})
    first, last = known.select(pl.col("at").min(), last=pl.col("at").max()).row(0)
    states = states.filter((pl.col("until") > first) & (pl.col("since") <= last))
    steady = states.select(((pl.col("since") <= first) & (pl.col("until") > last)).all()).item()
    if steady is not False:
        # All of it is known at every position asked for: one search along time.
        found = known.sort("time_us").join_asof(
            states.sort("from_us"), left_on="time_us", right_on="from_us", by="subscriber", check_sortedness=False
        ).drop_nulls("from_us")  # fmt: skip
    else:
        found = (
            known.join(states, on="subscriber")
            .filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")) & (pl.col("from_us") <= pl.col("time_us")))
            .sort("row", "from_us").unique("row", keep="last", maintain_order=True)
        )  # fmt: skip
    ended = (pl.col("to_us") <= pl.col("time_us")).fill_null(False)
    return found.select("row", "plan", status=pl.when(ended).then(pl.lit("ceased")).otherwise("status"))


def states_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `events.subscriber` (with `position`) as `STATE`.

    A state later known of the same system, subscriber and instant replaces the one known before.
    """
    timed = rows.select(
        "bucket", "system", "subscriber", "plan", "status", "position", "event_id",
        from_us=pl.col("valid_from").cast(pl.Int64), to_us=pl.col("valid_to").cast(pl.Int64),
    )  # fmt: skip
    name = ["system", "subscriber", "from_us"]
    # Of several in one commit the greatest content counts, so that their order in a file does not.
    last = timed.sort(*name, "position", "event_id").unique([*name, "position"], keep="last", maintain_order=True)
    until = pl.col("position").shift(-1).over(name).fill_null(NEVER_POSITION)
    return last.with_columns(since="position", until=until).select(pl.col(n).cast(t) for n, t in STATE.items())


def changes_of(editions: Sequence[tuple[int, int]], states: pl.DataFrame, billing_since: int = NEVER_POSITION) -> pl.DataFrame:
    """`CHANGE` rows of editions (position, the first instant they may touch) and of states.

    From the position on at which billing's subscriptions are known at all, whoever it does not know is unknown: that touches
    everybody, whenever it was.
    """
    told = [(position, None, from_us) for position, from_us in editions]
    told += [(billing_since, None, EARLIEST_US)] if billing_since != NEVER_POSITION else []
    general = pl.DataFrame(told, schema=CHANGE, orient="row")
    own = states.select("since", "subscriber", "from_us").rename({"since": "position"})
    return pl.concat([general, own.select(*CHANGE)]).unique()
