"""Build the subscribers: segments, plans, accounts, joins, leaves and trips, and where billing and network disagree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trueup.simulate.catalogue import CODES
from trueup.simulate.market.network import Network
from trueup.simulate.market.period import DAY_US, HOUR_US, Period
from trueup.simulate.market.profile import Profile
from trueup.simulate.market.random_streams import Stage, stream
from trueup.simulate.market.services import BIZ, FLEX, M2M, PAYG, TEST, WHS
from trueup.simulate.traffic.load import BUSINESS, CONSUMER, IOT_DEVICE, PROBE, WHOLESALE

Ints = NDArray[np.int64]

NEVER_US = 2**62
NO_DAY = -1


@dataclass(frozen=True)
class Population:
    """One entry per subscription; the last `regions` of them are the operator's own test SIMs, one per region.

    Times are UTC microseconds, `NEVER_US` for never. Between `silent_from_us` and `silent_to_us` the customer has no traffic,
    because a fraudster uses the number. `gap_code` is the catalogue number of billing's error about the subscription from `gap_us`
    on (0: none).
    """

    segment: Ints
    region: Ints
    activity: NDArray[np.float64]
    account: Ints
    plan: Ints
    plan_after: Ints
    plan_change_us: Ints
    join_us: Ints
    leave_us: Ints
    trip_from_day: Ints
    trip_to_day: Ints
    silent_from_us: Ints
    silent_to_us: Ints
    home_node: Ints
    home_cell: Ints
    gap_code: Ints
    gap_us: Ints
    regions: int
    community: int

    def __len__(self) -> int:
        return len(self.segment)

    @property
    def customers(self) -> int:
        """Return the number of subscriptions without the test SIMs."""
        return len(self) - self.regions

    def of_region(self, region: int) -> Ints:
        """Return the subscriptions of a region, its test SIM last."""
        return np.flatnonzero(self.region == region)

    def billed_plan_at(self, subscriber: Ints, time_us: Ints) -> Ints:
        """Return the plan that billing has for each subscription at an instant."""
        plan_known = self.gap_code[subscriber] != CODES["plan_mismatch"]
        changed = (time_us >= self.plan_change_us[subscriber]) & plan_known
        return np.where(changed, self.plan_after[subscriber], self.plan[subscriber])


def regions_of(profile: Profile, subscribers: int) -> int:
    """Return the number of regions of a population."""
    return -(-subscribers // profile.region_subscribers)


def populate(profile: Profile, network: Network, period: Period, subscribers: int, seed: int) -> Population:
    """Draw a population by the shares of the profile."""
    rng = stream(seed, Stage.POPULATION)
    regions = regions_of(profile, subscribers)
    count = subscribers + regions
    region = np.concatenate([np.arange(subscribers) * regions // subscribers, np.arange(regions)])
    segment = np.searchsorted(np.cumsum(profile.segment_shares)[:-1], rng.random(count), side="right")
    segment[subscribers:] = PROBE
    activity = rng.gamma(1.5, 1 / 1.5, count)
    activity[segment == IOT_DEVICE] = 1.0
    home_node = _draw_home_nodes(rng, network, region)
    plan = _draw_plans(rng, segment)
    people = Population(
        segment=segment, region=region, activity=activity, account=_assign_accounts(segment), plan=plan, plan_after=plan,
        plan_change_us=_never(count), join_us=np.full(count, period.start_us - 400 * DAY_US), leave_us=_never(count),
        trip_from_day=np.full(count, NO_DAY), trip_to_day=np.full(count, NO_DAY), silent_from_us=_never(count),
        silent_to_us=_never(count), home_node=home_node,
        home_cell=network.cell_of(home_node, rng.integers(0, network.cells, count)),
        gap_code=np.zeros(count, dtype=np.int64), gap_us=_never(count), regions=regions, community=profile.community,
    )  # fmt: skip
    people = _with_joins_leaves_and_trips(rng, people, profile, period)
    return _with_billing_gaps(rng, people, profile, period)


def _never(count: int) -> Ints:
    return np.full(count, NEVER_US, dtype=np.int64)


def _draw_home_nodes(rng: np.random.Generator, network: Network, region: Ints) -> Ints:
    homes = np.zeros(len(region), dtype=np.int64)
    for r in range(int(region.max()) + 1):
        chosen = region == r
        homes[chosen] = rng.choice(network.elements(r, "msc"), int(chosen.sum()))
    return homes


def _draw_plans(rng: np.random.Generator, segment: Ints) -> Ints:
    plan = np.where(rng.random(len(segment)) < 0.6, PAYG, FLEX)
    for group, group_plan in ((BUSINESS, BIZ), (IOT_DEVICE, M2M), (WHOLESALE, WHS), (PROBE, TEST)):
        plan[segment == group] = group_plan
    return plan.astype(np.int64)


def _assign_accounts(segment: Ints) -> Ints:
    """Return one billing account for each consumer, and one for every eight lines of companies and fleets."""
    shared = (segment == BUSINESS) | (segment == IOT_DEVICE)
    order = np.arange(len(segment))
    return np.where(shared, order // 8 * 8, order)


def _with_joins_leaves_and_trips(rng: np.random.Generator, people: Population, profile: Profile, period: Period) -> Population:
    count, span = len(people), period.end_us - period.start_us
    person = (people.segment == CONSUMER) | (people.segment == BUSINESS)
    fate, when = rng.random(count), period.start_us + (rng.random(count) * span).astype(np.int64)
    edges = np.cumsum([0, profile.joiner_share, profile.leaver_share, profile.plan_change_share, profile.traveller_share])
    joins, leaves, changes, travels = (person & (fate >= low) & (fate < high) for low, high in pairwise(edges))
    changes &= people.segment == CONSUMER
    first = rng.integers(0, max(1, period.days - 1), count)
    return replace(
        people,
        join_us=np.where(joins, when, people.join_us),
        leave_us=np.where(leaves, when, people.leave_us),
        plan_change_us=np.where(changes, when, people.plan_change_us),
        plan_after=np.where(changes, PAYG + FLEX - people.plan, people.plan_after),
        trip_from_day=np.where(travels, first, NO_DAY),
        trip_to_day=np.where(travels, np.minimum(first + rng.integers(1, 8, count), period.days - 1), NO_DAY),
    )


def _with_billing_gaps(rng: np.random.Generator, people: Population, profile: Profile, period: Period) -> Population:
    """Draw the subscriptions that billing records wrongly, among persons without another event, and missed plan changes."""
    has_no_event = (people.join_us < period.start_us) & (people.leave_us == NEVER_US) & (people.trip_from_day == NO_DAY)
    has_no_event &= (people.segment == CONSUMER) | (people.segment == BUSINESS)
    changing = people.plan_change_us < NEVER_US
    draw = rng.random(len(people))
    when = period.start_us + (rng.random(len(people)) * 0.7 * (period.end_us - period.start_us)).astype(np.int64)
    gap_code, gap_us, low = people.gap_code.copy(), people.gap_us.copy(), 0.0
    for kind in ("ceased_subscriber", "suspended_subscriber", "unknown_subscriber"):
        high = low + profile.rates[kind]
        chosen = has_no_event & ~changing & (draw >= low) & (draw < high)
        gap_code[chosen] = CODES[kind]
        # A subscription that billing never recorded is unknown from the start; the other errors begin at a full hour.
        gap_us[chosen] = (when // HOUR_US * HOUR_US)[chosen] if kind != "unknown_subscriber" else 0
        low = high
    missed = has_no_event & changing & (draw < profile.rates["plan_mismatch"])
    gap_code[missed] = CODES["plan_mismatch"]
    gap_us[missed] = people.plan_change_us[missed]
    return replace(people, gap_code=gap_code, gap_us=gap_us)
