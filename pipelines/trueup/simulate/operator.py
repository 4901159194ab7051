"""The simulated operator: plays its days one after the other, region by region, and writes what its systems would drop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from trueup.simulate.checks import check_counts, check_format, check_target
from trueup.simulate.files.charge_files import ChargeFiles
from trueup.simulate.files.elements import Counters, Stretch, UsageFiles, copies_of, numbered
from trueup.simulate.files.feeds import FEED_OF_SERVICE, HOME_ZONE, Names, account_texts, line_key, record_key
from trueup.simulate.files.project import project_text, subscriber_states, tariff_book
from trueup.simulate.files.write import write_rows, write_text
from trueup.simulate.incidents.plan import Incidents, plan_incidents
from trueup.simulate.leaks.leak_assignment import LeakPlan, plan_leaks
from trueup.simulate.market.contact_graph import befriend
from trueup.simulate.market.network import FEEDS, network_of
from trueup.simulate.market.numbering import numbers_of
from trueup.simulate.market.period import Period
from trueup.simulate.market.population import populate, regions_of
from trueup.simulate.market.profile import Profile, profile_of
from trueup.simulate.market.random_streams import Stage, stream
from trueup.simulate.market.services import NAMES, flat_price
from trueup.simulate.region_day import Chances, DayWork, devices_day, people_day
from trueup.simulate.traffic.iot import PlatformDay
from trueup.simulate.traffic.ordinary import World
from trueup.simulate.traffic.sessions import numbers
from trueup.simulate.truth.ledger import (
    Ledger,
    missed_plan_changes,
    missing_states,
    repeated_charges,
    repeated_file,
    repeated_usage,
    truth_of,
)

FIRST_DAY = date(2025, 3, 27)
"""A Thursday; clocks in the home country go forward on the Sunday after."""
_FIRST_SESSION = 10**11
_STAGES = {
    "traffic": Stage.TRAFFIC, "iot": Stage.IOT, "sessions": Stage.SESSIONS, "leaks": Stage.LEAKS, "billing": Stage.BILLING,
    "copies": Stage.COPIES, "probes": Stage.PROBES,
}  # fmt: skip
_RECORD = (
    "session", "service", "subscriber", "peer", "device", "node", "cell", "direction", "quantity", "part", "stamp_us", "keyed",
    "leak", "noted", "lost",
)  # fmt: skip


@dataclass(frozen=True)
class SimulationSummary:
    """What was written. The main period is `first_day` to `last_day`; `tail_day` is the last day any feed has traffic on.

    Everything of the main period becomes final by the traffic of the tail; `close --through tail_day`, for each source,
    makes the tail final too. `truth` counts the rows of `truth.parquet` by kind, `undecidable` those the data do not decide.
    `skipped` are the kinds of incidents the population was too small for.
    """

    directory: Path
    profile: str
    seed: int
    file_format: str
    subscribers: int
    first_day: date
    last_day: date
    tail_day: date
    usage_files: int
    usage_records: int
    charge_files: int
    charge_records: int
    truth: Mapping[str, int]
    undecidable: int
    skipped: tuple[str, ...]

    @property
    def records(self) -> int:
        """Usage records and charges together."""
        return self.usage_records + self.charge_records

    def as_json(self) -> dict[str, Any]:
        """The summary in JSON values."""
        plain = {name: str(value) if isinstance(value, Path | date) else value for name, value in asdict(self).items()}
        return {**plain, "records": self.records, "skipped": list(self.skipped)}


def simulate(
    directory: Path,
    *,
    subscribers: int,
    days: int,
    seed: int,
    profile: str = "small",
    file_format: str = "csv",
    rates: Mapping[str, float] | None = None,
    on_day: Callable[[int, int], None] | None = None,
) -> SimulationSummary:
    """Writes a simulated operator into an empty or new folder: files per feed, `trueup.toml` and `truth.parquet`.

    `days` are the days of the main period; some days with nothing but test calls follow. The same arguments give the same bytes.
    `rates` replaces rates of leak kinds (shares from 0 to 1, see `profile.Profile`). `on_day(done, of)` is called after
    each day. Memory does not grow with the days, nor, beyond a region, with the subscribers' traffic.

    Raises `SimulationError`, before anything is written, for arguments that make no sense and for a folder with files
    in it; and later when a file cannot be written.
    """
    check_counts(subscribers, days, seed)
    check_format(file_format)
    size = profile_of(profile, rates)
    check_target(directory)
    call = f"trueup simulate DIR --subscribers {subscribers} --days {days} --seed {seed} --profile {profile} --format {file_format}"
    run = _Run(directory, size, Period(FIRST_DAY, days, size.tail_days, ZoneInfo(HOME_ZONE)), subscribers, seed, file_format)
    total = days + size.tail_days
    for index in range(total):
        run.play(index)
        if on_day:
            on_day(index + 1, total)
    return run.finish(call)


class _Run:
    """One simulation on its way: the counters and what waits for the next day."""

    def __init__(self, directory: Path, profile: Profile, period: Period, subscribers: int, seed: int, file_format: str) -> None:
        self.directory, self.profile, self.period, self.seed, self.file_format = directory, profile, period, seed, file_format
        self.regions = regions_of(profile, subscribers)
        network = network_of(profile, self.regions)
        people = populate(profile, network, period, subscribers, seed)
        numbers_ = numbers_of(len(people))
        world = World(profile, people, network, befriend(profile, people, numbers_, seed))
        self.incidents: Incidents
        self.incidents, people = plan_incidents(world, period, seed)
        self.world = World(profile, people, network, world.graph)
        self.plan: LeakPlan = plan_leaks(network, numbers_, period, seed)
        self.names = Names(numbers_, network, people, self.incidents.imsi, self.incidents.imei, account_texts(people))
        landing = directory / "landing"
        self.usage = UsageFiles(landing, self.names, profile, file_format, Counters.of(network))
        self.charges = ChargeFiles(landing, self.names, profile.blocks, file_format)
        self.ledger = Ledger()
        self.subscribers = subscribers
        self.next_session, self.next_window = _FIRST_SESSION, 0
        self.carried: dict[tuple[int, str], pl.DataFrame] = {}

    def play(self, index: int) -> None:
        """Plays one day in every region and delivers the charges that are due."""
        day, platform_day = self.period.day(index), PlatformDay.of(self.period, index)
        main = index < self.period.days
        blocks = self.profile.blocks if main else 1
        for region in range(self.regions):
            chances = {name: stream(self.seed, stage, index, region) for name, stage in _STAGES.items()}
            work = people_day(
                chances, self.world, self.plan, self.incidents.sessions, region, day, main=main, first_session=self.next_session,
                first_window=self.next_window,
            )  # fmt: skip
            self._take(chances, region, work, Stretch(day.start_us, day.end_us, blocks), "people", main=main)
            devices = devices_day(chances, self.world, region, platform_day, main=main, first_session=self.next_session)
            stretch = Stretch(platform_day.start_us, platform_day.end_us, blocks)
            self._take(chances, region, devices, stretch, "devices", main=main)
        self.charges.deliver(day.end_us)

    def _take(self, chances: Chances, region: int, work: DayWork, stretch: Stretch, kind: str, *, main: bool) -> None:
        self.next_session, self.next_window = work.last_session + 1, self.next_window + len(work.windows)
        self.ledger.sessions.append(work.stories)
        self._take_usage(chances["copies"], work, stretch, (region, kind), main=main)
        self._take_charges(chances["copies"], region, work.charges, main=main)

    def _take_usage(self, rng: np.random.Generator, work: DayWork, stretch: Stretch, place: tuple[int, str], *, main: bool) -> None:
        records = work.records.select(_RECORD)
        # Parts of sessions that go on after midnight are written the day after.
        ahead = pl.col("stamp_us") >= stretch.end_us
        today = pl.concat([self.carried.pop(place, records.clear()), records.filter(~ahead)])
        self.carried[place] = records.filter(ahead)
        ordered = numbered(today, stretch, self.usage.counters)
        self._note_usage(ordered.filter("noted"))
        dropped = {(w.node, int(stretch.block_of(np.array([w.from_us]))[0])) for w in work.windows if w.kind == "lost_file"}
        rate = self.profile.rates["retransmitted_record"] * main
        conflicting, plain = copies_of(rng, ordered, stretch, rate, dropped)
        self.ledger.plain.append(repeated_usage(self._usage_keys(plain), plain, self.names))
        copies = pl.concat([conflicting, plain]).sort("node", "block", maintain_order=True)
        feeds = np.array([FEEDS.index(FEED_OF_SERVICE[name]) for name in NAMES])
        of_record, of_copy = (pl.Series(feeds[numbers(frame, "service")]) for frame in (ordered, copies))
        for number in range(len(FEEDS)):
            mine = ordered.filter(of_record == number)
            if not mine.is_empty():
                for twice in self.usage.write(rng, FEEDS[number], mine, copies.filter(of_copy == number), stretch, dropped):
                    self.ledger.plain.append(repeated_file(self._usage_keys(twice), twice))

    def _usage_keys(self, records: pl.DataFrame) -> pl.Series:
        nodes = self.names.network.names.gather(records["node"].cast(pl.UInt32))
        return record_key(nodes, records["sequence"])

    def _note_usage(self, records: pl.DataFrame) -> None:
        each = flat_price(numbers(records, "service"), numbers(records, "quantity"))
        noted = records.select("session", "quantity", "stamp_us", "lost", each_micros=pl.Series(each))
        self.ledger.usage.append(noted.with_columns(record_key=self._usage_keys(records)))

    def _take_charges(self, rng: np.random.Generator, region: int, made: pl.DataFrame, *, main: bool) -> None:
        noted = made["noted"]
        charges = self.charges.numbered(made)
        story = charges.filter(noted)
        self.ledger.charges.append(
            story.select(
                "session", "role", "quantity_micros", "amount_micros", "currency", "billed_at", "started_at",
                record_key=line_key(story["line"]),
            )
        )  # fmt: skip
        conflicting, plain = self.charges.copies_of(rng, charges, self.profile.rates["retransmitted_record"] * main)
        self.ledger.plain.append(repeated_charges(line_key(plain["line"]), plain, self.names))
        self.charges.hold(region, charges)
        self.charges.hold(region, pl.concat([conflicting, plain]), blocks_later=1)

    def finish(self, call: str) -> SimulationSummary:
        """Delivers what is left, writes everything beside the feeds, and last `trueup.toml`."""
        self.charges.deliver(None)
        people, directory = self.world.people, self.directory
        self.ledger.plain += [missing_states(people, self.names), missed_plan_changes(people, self.names)]
        found = truth_of(self.ledger, self.incidents.frame, self.names)
        for billing in (False, True):
            states = subscriber_states(people, self.names, self.incidents.swaps, billing=billing)
            name = "billing" if billing else "network"
            write_rows(states, directory / "landing" / "subscribers" / f"{name}.{self.file_format}", self.file_format)
        manifest = pl.DataFrame([*self.usage.manifest, *self.charges.manifest])
        for feed in (*FEEDS, "billing"):
            sent = manifest.filter(pl.col("feed") == feed).drop("feed")
            write_rows(sent, directory / "landing" / "manifests" / f"{feed}.csv", "csv")
        write_rows(tariff_book(self.period), directory / "tariffs.csv", "csv")
        write_rows(found, directory / "truth.parquet", "parquet")
        tail_day = self.period.last_day + timedelta(days=self.period.tail_days)
        write_text(project_text(self.profile, self.period, self.file_format, str(tail_day), call), directory / "trueup.toml")
        counts = dict(found.group_by("kind", maintain_order=True).len().iter_rows())
        return SimulationSummary(
            directory, self.profile.name, self.seed, self.file_format, self.subscribers, self.period.first_day,
            self.period.last_day, tail_day, self.usage.files, self.usage.records, self.charges.files, self.charges.records, counts,
            int((~found["decidable"]).sum()), self.incidents.skipped,
        )  # fmt: skip
