"""Tariff terms along the log: editions of the tariff book, and states of subscriptions.

Both become known at a position and are valid from an instant, which may lie in the past. A *change* names the position from which
it is known, the first instant it may affect, and the subscriber it affects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.policies.policy import NEVER_POSITION
from trueup.rating.book import Book
from trueup.rating.charged_items.items import ITEM
from trueup.rating.shared_terms import sharing

STATE: dict[str, pl.DataType] = {
    "bucket": pl.Int16(),
    "system": pl.String(),  # billing or network
    "subscriber": pl.String(),
    "plan": pl.String(),
    "status": pl.String(),  # active, suspended or ceased
    "from_us": pl.Int64(),
    "to_us": pl.Int64(),  # exclusive; NULL where the state has no end
    "since": pl.Int64(),  # known at the positions [since, until)
    "until": pl.Int64(),
    "imsi": pl.String(),
    "timezone": pl.String(),
    "cycle_day": pl.Int64(),
}
CHANGE: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "subscriber": pl.String(),  # NULL: all subscribers
    "from_us": pl.Int64(),
}
SYSTEMS = ("network", "billing")
TARIFF_CHANGE, SUBSCRIBER_CHANGE = "tariff_change", "subscriber_change"
LONGEST_US = 366 * 86_400_000_000
"""The longest assumed duration of a record; where a duration is needed, a longer quantity counts as this much."""
EARLIEST_US = -2_208_988_800_000_000
"""The beginning of 1900, before every record."""
_MOMENT = ["row", "subscriber", "at", "time_us"]


@dataclass(frozen=True)
class Edition:
    """The tariff book as known from `position` on."""

    position: int
    book: Book


@dataclass(frozen=True)
class Terms:
    """Editions of the book in the order in which they became known, states (`STATE`) and changes (`CHANGE`).

    `causes` gives each position of an edition or state the cause of the changes it makes. `billing_since` is the first position
    with a subscription of billing, and `network_since` the first with one of the network; `NEVER_POSITION` where there is none.
    """

    editions: tuple[Edition, ...] = ()
    states: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=STATE))
    changes: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CHANGE))
    causes: Mapping[int, str] = field(default_factory=dict)
    billing_since: int = NEVER_POSITION
    network_since: int = NEVER_POSITION
    items: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ITEM))
    """The items that are charged without usage, as `ITEM`."""

    def edition_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the edition known at each position, −1 before the first."""
        starts = np.array([e.position for e in self.editions], dtype=np.int64)
        numbers: NDArray[np.int64] = np.searchsorted(starts, positions, side="right") - 1
        return numbers

    def last_change_position(self, rows: pl.DataFrame) -> pl.Series:
        """Return the last position that may have changed the price of each row; 0 where none has.

        A row has `subscriber`, `time_us` and `quantity_micros`, which bounds how long its usage lasted.
        """
        rows_by_number = rows.select("subscriber", "time_us").with_row_index("row")
        duration_us = rows["quantity_micros"].fill_null(0).clip(0, LONGEST_US)
        of_all = _last_change_before(rows_by_number.with_columns(pl.col("time_us") + duration_us), self._changes_by_time[0], None)
        of_subscriber = _last_change_before(rows_by_number, self._changes_by_time[1], "subscriber")
        return pl.DataFrame({"of_all": of_all, "of_subscriber": of_subscriber}).select(pl.max_horizontal(pl.all())).to_series()

    @cached_property
    def _changes_by_time(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Changes for all subscribers and for one subscriber each, by instant, with the greatest position so far."""
        line, so_far = self.changes.sort("from_us", "position"), pl.col("position").cum_max()
        general = line.filter(pl.col("subscriber").is_null()).drop("subscriber").with_columns(position=so_far)
        return general, line.drop_nulls("subscriber").with_columns(position=so_far.over("subscriber"))

    @cached_property
    def disputed_states(self) -> pl.DataFrame:
        """The states of subscriptions on which the two systems differed at some position at which both were known."""
        since = max(self.billing_since, self.network_since)
        content = pl.struct("plan", "status", "from_us", "to_us")
        sides = [content.filter(pl.col("system") == s) for s in SYSTEMS]
        equal = self.states.sort("from_us").group_by("subscriber", maintain_order=True).agg(
            a=sides[0], b=sides[1], is_stable=((pl.col("until") == NEVER_POSITION) & (pl.col("since") <= since)).all()
        ).filter((pl.col("a") == pl.col("b")) & pl.col("is_stable"))  # fmt: skip
        return self.states.join(equal, on="subscriber", how="anti")

    def schedule(self, versions: pl.DataFrame) -> pl.DataFrame:
        """Return the positions (`component`, `at`) at which changes may affect components of these record versions."""
        if self.changes.is_empty():
            return pl.DataFrame(schema={"component": pl.Int64, "at": pl.Int64})
        # A change affects only records known before it: later ones are evaluated on arrival. A record without any time is known
        # from the closing that assigns one.
        instants = versions.select(
            "component", "subscriber", moment=pl.coalesce("time_us", "assigned_time_us"),
            known=pl.when(pl.col("time_us").is_null()).then(pl.max_horizontal("since", "assigned_at")).otherwise("since"),
            lasts=pl.col("quantity_micros").fill_null(0).clip(0, LONGEST_US).cast(pl.Int128),
        )  # fmt: skip
        of_all = self.changes.filter(pl.col("subscriber").is_null()).group_by("position").agg(pl.col("from_us").min())
        of_subscriber = self.changes.drop_nulls("subscriber")
        for_all = _find_affected_components(instants, ["component"], of_all)
        return pl.concat([for_all, _find_affected_components(instants, ["component", "subscriber"], of_subscriber)]).unique()

    def states_at(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return `plan` and `billing_status` of each row (`subscriber`, `at`, `time_us`), in the order of the rows.

        The plan is billing's or, if billing has none in force, the network's. `billing_status` is `unknown_subscriber`,
        `inactive_subscriber`, or NULL. The column is NULL where billing has an active state, or where no subscriptions of billing
        are known.
        """
        if self.states.is_empty() and self.billing_since == NEVER_POSITION:
            empty = pl.Series(dtype=pl.String).extend_constant(None, rows.height)
            return pl.DataFrame({"plan": empty, "billing_status": empty})
        numbered = rows.select("subscriber", "at", "time_us").with_row_index("row")
        billing, network = (
            _find_states_in_force(numbered, self.states.filter(pl.col("system") == s)) for s in ("billing", "network")
        )
        joined = numbered.join(billing, on="row", how="left").join(network, on="row", how="left", suffix="_network").sort("row")
        status = (
            pl.when(pl.col("at") < self.billing_since).then(None)
            .when(pl.col("status").is_null()).then(pl.lit("unknown_subscriber"))
            .when(pl.col("status") != "active").then(pl.lit("inactive_subscriber"))
        )  # fmt: skip
        return joined.select(plan=pl.coalesce("plan", "plan_network"), billing_status=status)

    def cycle_days_at(self, rows: pl.DataFrame) -> pl.Series:
        """Return the day of the month on which the billing cycle of each row (`subscriber`, `at`, `time_us`) begins.

        See `calendars_at`. The default is the first of the month.
        """
        return self.calendars_at(rows)["cycle_day"]

    def calendars_at(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return `cycle_day` and `own_zone` of the subscription of each row (`subscriber`, `at`, `time_us`), in their order.

        Both values are taken from billing's state in force or, without one, from the network's. For a state without a cycle day,
        and for a subscriber without a state, cycles begin on the first of the month. Without a time zone `own_zone` is NULL. A
        subscription that has ended keeps its last calendar.
        """
        numbered = rows.select("subscriber", "at", "time_us").with_row_index("row")
        calendars = numbered.select("row", day=pl.lit(None, pl.Int64), zone=pl.lit(None, pl.String))
        for system in ("network", "billing"):
            of_system = _find_states_in_force(numbered, self.states.filter(pl.col("system") == system))
            # A state in force takes precedence with its missing values, too.
            in_force = of_system.select("row", own_day=pl.col("cycle_day").fill_null(1), own_zone=pl.col("timezone").fill_null(""))
            calendars = calendars.join(in_force, on="row", how="left", maintain_order="left")
            calendars = calendars.select("row", day=pl.coalesce("own_day", "day"), zone=pl.coalesce("own_zone", "zone"))
        zone = pl.when(pl.col("zone") != "").then("zone")
        return calendars.select(cycle_day=pl.col("day").fill_null(1), own_zone=zone)


def _find_affected_components(instants: pl.DataFrame, by: list[str], changes: pl.DataFrame) -> pl.DataFrame:
    """Return the (`component`, `at`) of changes that affect records known before them.

    A price that begins in the middle of a component's usage affects the component. The component's records count as one record that
    lasts as long as all of them together. A state affects the records that begin at or after it.
    """
    if changes.is_empty():
        return pl.DataFrame(schema={"component": pl.Int64, "at": pl.Int64})
    duration = pl.col("lasts").sum().clip(0, LONGEST_US).cast(pl.Int64) if by == ["component"] else pl.lit(0, pl.Int64)
    ends_us = pl.col("moment").max() + duration
    components = instants.group_by(by).agg(reaches=ends_us, first=pl.col("known").min(), last=pl.col("known").max())
    candidates = components.join(changes, how="cross") if by == ["component"] else components.join(changes, on="subscriber")
    affected = candidates.filter((pl.col("reaches") >= pl.col("from_us")) & (pl.col("first") < pl.col("position")))
    # If some records of a component arrived after the change, only the earlier ones are affected.
    extended = affected.filter(pl.col("last") >= pl.col("position"))
    earlier = (
        extended.select(*by, "position", "from_us").join(instants, on=by).filter(pl.col("known") < pl.col("position"))
        .group_by(*by, "position", "from_us").agg(reaches=ends_us).filter(pl.col("reaches") >= pl.col("from_us"))
    )  # fmt: skip
    all_known = affected.filter(pl.col("last") < pl.col("position"))
    return pl.concat([frame.select("component", at="position") for frame in (all_known, earlier)]).unique()


FLAT = Terms()
"""No tariff book and no subscriptions: only the flat prices of a policy."""


def shared_terms(terms: Terms) -> pl.DataFrame:
    """Return the `SHARING` of all editions combined, which gives the widest pools of any edition."""
    return sharing(edition.book for edition in terms.editions)


def _last_change_before(rows: pl.DataFrame, rising: pl.DataFrame, by: str | None) -> pl.Series:
    """Return the greatest position of a change at or before each row's instant; `rising` is a part of `Terms._rising`."""
    if rising.is_empty():
        return pl.repeat(0, rows.height, dtype=pl.Int64, eager=True)
    keys = [by] if by else []
    last = (
        rows.drop_nulls(["time_us", *keys]).sort("time_us")
        .join_asof(rising, left_on="time_us", right_on="from_us", by=by, check_sortedness=False)
    )  # fmt: skip
    return rows.join(last.select("row", "position"), on="row", how="left", maintain_order="left")["position"].fill_null(0)


def _find_states_in_force(rows: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """Return one system's state in force at each row's instant and position: `row`, `plan`, `cycle_day`, `timezone`, `status`."""
    complete = rows.drop_nulls()
    if complete.is_empty() or states.is_empty():
        return pl.DataFrame(
            schema={"row": pl.UInt32, "plan": pl.String, "cycle_day": pl.Int64, "timezone": pl.String, "status": pl.String}
        )
    first, last = complete.select(pl.col("at").min(), last=pl.col("at").max()).row(0)
    states = states.filter((pl.col("until") > first) & (pl.col("since") <= last))
    all_known = states.select(((pl.col("since") <= first) & (pl.col("until") > last)).all()).item()
    if all_known is not False:
        # All states are known at every requested position: one search along time is enough.
        in_force = complete.sort("time_us").join_asof(
            states.sort("from_us"), left_on="time_us", right_on="from_us", by="subscriber", check_sortedness=False
        ).drop_nulls("from_us")  # fmt: skip
    else:
        in_force = (
            complete.join(states, on="subscriber")
            .filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")) & (pl.col("from_us") <= pl.col("time_us")))
            .sort("row", "from_us").unique("row", keep="last", maintain_order=True)
        )  # fmt: skip
    ended = (pl.col("to_us") <= pl.col("time_us")).fill_null(False)
    status = pl.when(ended).then(pl.lit("ceased")).otherwise("status")
    return in_force.select("row", "plan", "cycle_day", "timezone", status=status)


def states_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of `events.subscriber` (with `position`) as `STATE`.

    A later state of the same system, subscriber and instant replaces the earlier one.
    """
    timed = rows.select(
        "bucket", "system", "subscriber", "plan", "status", "position", "event_id", "imsi", "timezone", "cycle_day",
        from_us=pl.col("valid_from").cast(pl.Int64), to_us=pl.col("valid_to").cast(pl.Int64),
    )  # fmt: skip
    key = ["system", "subscriber", "from_us"]
    # Of several states in one commit the greatest content counts, so that their order in a file has no effect.
    last = timed.sort(*key, "position", "event_id").unique([*key, "position"], keep="last", maintain_order=True)
    until = pl.col("position").shift(-1).over(key).fill_null(NEVER_POSITION)
    return last.with_columns(since="position", until=until).select(pl.col(n).cast(t) for n, t in STATE.items())


def changes_of(editions: Sequence[tuple[int, int]], states: pl.DataFrame, billing_since: int = NEVER_POSITION) -> pl.DataFrame:
    """Return `CHANGE` rows of editions (position, first instant affected) and of states.

    From the position on at which billing's subscriptions are known, every subscriber that billing does not have is unknown. The
    first known subscription of billing therefore affects the usage of all subscribers at all times.
    """
    of_all = [(position, None, from_us) for position, from_us in editions]
    of_all += [(billing_since, None, EARLIEST_US)] if billing_since != NEVER_POSITION else []
    general = pl.DataFrame(of_all, schema=CHANGE, orient="row")
    of_subscriber = states.select("since", "subscriber", "from_us").rename({"since": "position"})
    return pl.concat([general, of_subscriber.select(*CHANGE)]).unique()
