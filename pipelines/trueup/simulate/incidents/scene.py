"""Provide the scripts of incidents with subscribers, times and cells, and build their sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from trueup.simulate.market.numbering import Numbers
from trueup.simulate.market.period import HOUR_US, SECOND_US, Period
from trueup.simulate.market.population import NEVER_US, NO_DAY
from trueup.simulate.market.services import DATA, INCOMING, ROAMING, SMS, VOICE, ZERO_RATED
from trueup.simulate.traffic.load import BUSINESS, CONSUMER
from trueup.simulate.traffic.ordinary import World
from trueup.simulate.traffic.sessions import FORWARDED, INCOMING_CALL, OUTGOING, Ints, session_frame


@dataclass(frozen=True)
class Route:
    """The route by which calls leave the network.

    `abroad`: on a visited network. `forwarded`: as the second leg of an incoming call. `device`: from another device than the
    subscriber's own. `home_of`: from the home cell of that subscriber. `moving`: from changing cells.
    """

    abroad: bool = False
    forwarded: bool = False
    device: Ints | int | None = None
    home_of: int | None = None
    moving: bool = False


HOME = Route()


@dataclass
class Scene:
    """The draws that incident scripts may use. Times are UTC microseconds; hours are those elapsed since local midnight."""

    rng: np.random.Generator
    world: World
    period: Period
    joins: dict[int, int] = field(default_factory=dict)
    trips: dict[int, tuple[int, int]] = field(default_factory=dict)
    silences: dict[int, tuple[int, int]] = field(default_factory=dict)
    swaps: list[tuple[int, int, int]] = field(default_factory=list)
    """(subscriber, device, from_us) of numbers that moved to another SIM."""
    handsets: list[tuple[int, int]] = field(default_factory=list)
    """(device, device whose SIM it uses) of the devices added to those of the subscribers."""

    def __post_init__(self) -> None:
        people = self.world.people
        free = (people.gap_code == 0) & (people.leave_us == NEVER_US) & (people.trip_from_day == NO_DAY)
        free &= (people.plan_change_us == NEVER_US) & (people.join_us < self.period.start_us)
        order = self.rng.permutation(len(people))
        self._free = order[free[order]]
        self._taken: set[int] = set()
        self._numbers = self.world.graph.numbers

    # --- subscribers ---

    def actors(self, segments: tuple[int, ...], count: int, *, together: bool = False) -> Ints | None:
        """Return `count` unused subscriptions of these segments, or None where too few ordinary ones would remain.

        With `together`, all are of one region.
        """
        fits = self._free[np.isin(self.world.people.segment[self._free], segments)]
        left: Ints = fits[~np.isin(fits, sorted(self._taken))]
        if together and len(left):
            region = self.world.people.region
            left = left[region[left] == region[left[0]]]
        if len(left) < max(4 * count, 4):
            return None
        self._taken.update(int(s) for s in left[:count])
        return left[:count]

    def bystanders(self, count: int) -> Ints:
        """Return up to `count` different persons whose own traffic does not change."""
        persons = np.isin(self.world.people.segment[self._free], (CONSUMER, BUSINESS))
        pool = self._free[persons]
        pool = pool[~np.isin(pool, sorted(self._taken))]
        return np.sort(self.rng.choice(pool, min(count, len(pool)), replace=False)) if len(pool) else pool

    def own_numbers(self, count: int) -> Ints:
        """Draw `count` numbers of own subscribers, repeats possible."""
        return self.rng.integers(0, self.world.people.customers, count)

    def leased(self, kind: str, count: int, *, home: bool = False, consecutive: bool = False) -> Ints:
        """Draw up to `count` numbers of one destination of a kind, such as a rented range."""
        numbers: Numbers = self._numbers
        where = int(self.rng.choice(np.array(numbers.of_kind(kind, home=home))))
        first, size = int(numbers.first[where]), int(numbers.size[where])
        count = min(count, size)
        if consecutive:
            begin = int(self.rng.integers(0, size - count + 1))
            return first + begin + np.arange(count)
        return first + self.rng.choice(size, count, replace=False)

    def new_handset(self, subscriber: int, *, same_sim: bool) -> int:
        """Add another device for a number; with `same_sim` only the handset changes."""
        device = len(self.world.people) + len(self.handsets)
        self.handsets.append((device, subscriber if same_sim else device))
        return device

    # --- times ---

    def start_day(self, needed: int) -> int:
        """Draw a first day that leaves at least `needed` days of the period, where the period has that many."""
        return int(self.rng.integers(0, max(1, self.period.days - needed + 1)))

    def days(self, first: int, count: int) -> range:
        """Return up to `count` days from `first` inside the period."""
        return range(first, min(self.period.days, first + count))

    def spread(self, day: int, hours: tuple[float, float], count: int) -> Ints:
        """Draw `count` ordered instants within hours of a day."""
        low, high = hours
        at = self.period.day(day).start_us + ((low + self.rng.random(count) * (high - low)) * HOUR_US).astype(np.int64)
        return np.sort(at)

    def one_by_one(self, day: int, hours: tuple[float, float], count: int, gap_s: int) -> Ints:
        """Draw `count` instants within hours of a day, at least `gap_s` seconds apart."""
        return self.spread(day, hours, count) + np.arange(count) * gap_s * SECOND_US

    # --- sessions ---

    def calls(self, who: Ints | int, start_us: Ints, seconds: Ints | int, peers: Ints, route: Route = HOME) -> pl.DataFrame:
        """Return outgoing calls by a route."""
        columns = {
            "service": ROAMING if route.abroad else VOICE, "start_us": start_us, "duration_s": seconds, "quantity": seconds,
            "direction": FORWARDED if route.forwarded else OUTGOING, "peer": peers, **_build_device_column(route.device),
        }  # fmt: skip
        return self._build_sessions(who, columns, route)

    def rings(self, who: Ints | int, start_us: Ints, seconds: Ints | int, callers: Ints) -> pl.DataFrame:
        """Return incoming calls from other networks to numbers in use; 0 seconds: not answered."""
        people = self.world.people
        columns = {
            "service": INCOMING, "start_us": start_us, "duration_s": seconds, "quantity": seconds, "direction": INCOMING_CALL,
            "peer": callers,
        }  # fmt: skip
        called = np.broadcast_to(np.asarray(who, dtype=np.int64), len(start_us))
        in_use = (start_us >= people.join_us[called]) & (start_us < people.leave_us[called])
        return self._build_sessions(who, columns).filter(pl.Series(in_use))

    def texts(self, who: Ints | int, start_us: Ints, peers: Ints, device: Ints | int | None = None) -> pl.DataFrame:
        """Return one message per peer."""
        columns = {
            "service": SMS, "start_us": start_us, "duration_s": 0, "quantity": 1, "direction": OUTGOING, "peer": peers,
            **_build_device_column(device),
        }  # fmt: skip
        return self._build_sessions(who, columns)

    def volumes(
        self, who: Ints | int, start_us: Ints, seconds: Ints, kilobytes: Ints, *, zero_rated: bool = False,
        device: Ints | int | None = None,
    ) -> pl.DataFrame:  # fmt: skip
        """Return data sessions."""
        columns = {
            "service": ZERO_RATED if zero_rated else DATA, "start_us": start_us, "duration_s": seconds, "quantity": kilobytes,
            "direction": OUTGOING, **_build_device_column(device),
        }  # fmt: skip
        return self._build_sessions(who, columns)

    def _build_sessions(self, who: Ints | int, columns: dict[str, Any], route: Route = HOME) -> pl.DataFrame:
        people, network, service = self.world.people, self.world.network, columns["service"]
        subscriber = np.broadcast_to(np.asarray(who, dtype=np.int64), len(columns["start_us"]))
        region = people.region[subscriber]
        feed = {ROAMING: "tap", DATA: "pgw", ZERO_RATED: "pgw"}.get(service, "msc")
        firsts = np.array([network.elements(r, feed)[0] for r in range(people.regions)])
        per_region = len(network.elements(0, feed))
        at_home = subscriber if route.home_of is None else np.full(len(subscriber), route.home_of)
        node = people.home_node[at_home] if feed == "msc" else firsts[region] + subscriber % per_region
        cell = people.home_cell[at_home]
        if route.moving:
            node = firsts[region] + self.rng.integers(0, per_region, len(subscriber))
            cell = network.cell_of(node, self.rng.integers(0, network.cells, len(subscriber)))
        placed = {"subscriber": subscriber, "node": node} | ({} if feed == "tap" else {"cell": cell})
        return session_frame(columns | placed)


def _build_device_column(device: Ints | int | None) -> dict[str, Ints | int]:
    return {} if device is None else {"device": device}
