"""Run the simulated operator day by day and region by region, and write the files of its systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from trueup.simulate.bills.bill_files import Bills, bills_text, write_bills
from trueup.simulate.checks import check_counts, check_format, check_months, check_target
from trueup.simulate.contracts.contract_draw import Months
from trueup.simulate.contracts.contract_files import contracts_text, draw_billed_contracts, write_contracts
from trueup.simulate.files.charge_files import ChargeFiles
from trueup.simulate.files.elements import Counters, FileDay, UsageFiles, copies_of, number_records
from trueup.simulate.files.feeds import FEED_OF_SERVICE, HOME_ZONE, Names, account_texts, line_key, record_key
from trueup.simulate.files.project import project_text, subscriber_states, tariff_book
from trueup.simulate.files.write import write_rows, write_text
from trueup.simulate.incidents.plan import Incidents, plan_incidents
from trueup.simulate.leaks.leak_assignment import LeakPlan, plan_leaks
from trueup.simulate.market.contact_graph import build_contact_graph
from trueup.simulate.market.network import FEEDS, network_of
from trueup.simulate.market.numbering import numbers_of
from trueup.simulate.market.period import Period, moment
from trueup.simulate.market.population import populate, regions_of
from trueup.simulate.market.profile import Profile, profile_of
from trueup.simulate.market.random_streams import Stage, stream
from trueup.simulate.market.services import NAMES, flat_price
from trueup.simulate.region_day import DayWork, RandomStreams, RegionScope, devices_day, people_day
from trueup.simulate.traffic.iot import PlatformDay
from trueup.simulate.traffic.ordinary import World
from trueup.simulate.traffic.sessions import numbers
from trueup.simulate.transit.transit_files import transit_text, write_transit
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
    "leak", "in_ledger", "lost",
)  # fmt: skip


@dataclass(frozen=True)
class SimulationRequest:
    """The operator to simulate: its size, the days of its main period, its seed, and its profile and file format by name.

    Some days with only test calls follow the main period. The same request gives the same bytes. `rates` replaces rates of leak
    kinds (shares from 0 to 1, see `profile.Profile`).
    """

    subscribers: int
    days: int
    seed: int
    profile: str = "small"
    file_format: str = "csv"
    rates: Mapping[str, float] | None = None
    months: int = 0
    """Months of rentals, fees and discounts before the end; 0: no contracts."""
    chain: bool = False
    """Whether to add a service whose records pass four systems."""
    invoices: bool = False
    """Whether to add invoices of the contracts, and usage that one line bills together."""

    def command(self) -> str:
        """Return the command that writes the same operator, except for `rates`."""
        further = (f" --months {self.months}" if self.months else "") + " --invoices" * self.invoices + " --chain" * self.chain
        return (
            f"trueup simulate DIR --subscribers {self.subscribers} --days {self.days} --seed {self.seed} --profile {self.profile} "
            f"--format {self.file_format}{further}"
        )


@dataclass(frozen=True)
class SimulationSummary:
    """The periods and counts of a simulation.

    The main period is `first_day` to `last_day`; `tail_day` is the last day on which any feed has traffic. The traffic of the tail
    makes the main period final; `close --through tail_day`, for each source, makes the tail final too. `truth` counts the rows of
    `truth.parquet` by kind; `undecidable` counts the rows that the data cannot prove. `skipped` are the kinds of incidents for
    which the population was too small.
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
    item_charges: int = 0
    transit_records: int = 0
    bundle_usage: int = 0
    bundle_lines: int = 0
    invoices: int = 0

    @property
    def records(self) -> int:
        """Return the number of usage records and charges together."""
        further = self.item_charges + self.transit_records + self.bundle_usage + self.bundle_lines
        return self.usage_records + self.charge_records + further

    def as_json(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        plain = {name: str(value) if isinstance(value, Path | date) else value for name, value in asdict(self).items()}
        return {**plain, "records": self.records, "skipped": list(self.skipped)}


def simulate(directory: Path, request: SimulationRequest, *, on_day: Callable[[int, int], None] | None = None) -> SimulationSummary:
    """Write a simulated operator into an empty or new folder: files per feed, `trueup.toml` and `truth.parquet`.

    Calls `on_day(done, of)` after each day. The simulation holds the traffic of one region at a time, so memory does not grow with
    the days.

    Raises `SimulationError`, before anything is written, for an invalid request and for a folder with files in it. Raises it
    later when a file cannot be written.
    """
    check_counts(request.subscribers, request.days, request.seed)
    check_months(request.months, invoices=request.invoices)
    check_format(request.file_format)
    profile = profile_of(request.profile, request.rates)
    check_target(directory)
    run = _Run(directory, request, profile)
    total = request.days + profile.tail_days
    for index in range(total):
        run.play(index)
        if on_day:
            on_day(index + 1, total)
    return run.finish(request)


class _Run:
    """One running simulation: its counters, and the records and charges held for later files."""

    def __init__(self, directory: Path, request: SimulationRequest, profile: Profile) -> None:
        period = Period(FIRST_DAY, request.days, profile.tail_days, ZoneInfo(HOME_ZONE))
        subscribers, seed, file_format = request.subscribers, request.seed, request.file_format
        self.directory, self.profile, self.period, self.seed, self.file_format = directory, profile, period, seed, file_format
        self.regions = regions_of(profile, subscribers)
        network = network_of(profile, self.regions)
        people = populate(profile, network, period, subscribers, seed)
        numbers_ = numbers_of(len(people))
        world = World(profile, people, network, build_contact_graph(profile, people, numbers_, seed))
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
        """Simulate one day in every region and deliver the charges that are due."""
        day, platform_day = self.period.day(index), PlatformDay.of(self.period, index)
        main = index < self.period.days
        blocks = self.profile.blocks if main else 1
        for region in range(self.regions):
            streams = {name: stream(self.seed, stage, index, region) for name, stage in _STAGES.items()}
            scope = RegionScope(streams, self.world, region, main=main, first_session=self.next_session)
            work = people_day(scope, day, self.plan, self.incidents.sessions, first_window=self.next_window)
            self._simulate_region(streams, region, work, FileDay(day.start_us, day.end_us, blocks), "people", main=main)
            devices = devices_day(replace(scope, first_session=self.next_session), platform_day)
            file_day = FileDay(platform_day.start_us, platform_day.end_us, blocks)
            self._simulate_region(streams, region, devices, file_day, "devices", main=main)
        self.charges.deliver(day.end_us)

    def _simulate_region(
        self, streams: RandomStreams, region: int, work: DayWork, file_day: FileDay, kind: str, *, main: bool
    ) -> None:
        self.next_session, self.next_window = work.last_session + 1, self.next_window + len(work.windows)
        self.ledger.sessions.append(work.ledger_sessions)
        self._write_usage(streams["copies"], work, file_day, (region, kind), main=main)
        self._hold_charges(streams["copies"], region, work.charges, main=main)

    def _write_usage(
        self, rng: np.random.Generator, work: DayWork, file_day: FileDay, carry_key: tuple[int, str], *, main: bool
    ) -> None:
        records = work.records.select(_RECORD)
        # Partial records stamped after midnight are written with the next day's files.
        ahead = pl.col("stamp_us") >= file_day.end_us
        today = pl.concat([self.carried.pop(carry_key, records.clear()), records.filter(~ahead)])
        self.carried[carry_key] = records.filter(ahead)
        ordered = number_records(today, file_day, self.usage.counters)
        self._add_usage_to_ledger(ordered.filter("in_ledger"))
        dropped = {(w.node, int(file_day.block_of(np.array([w.from_us]))[0])) for w in work.windows if w.kind == "lost_file"}
        rate = self.profile.rates["retransmitted_record"] * main
        conflicting, plain = copies_of(rng, ordered, file_day, rate, dropped)
        self.ledger.plain.append(repeated_usage(self._build_usage_keys(plain), plain, self.names))
        copies = pl.concat([conflicting, plain]).sort("node", "block", maintain_order=True)
        feeds = np.array([FEEDS.index(FEED_OF_SERVICE[name]) for name in NAMES])
        of_record, of_copy = (pl.Series(feeds[numbers(frame, "service")]) for frame in (ordered, copies))
        for number in range(len(FEEDS)):
            feed_records = ordered.filter(of_record == number)
            if not feed_records.is_empty():
                for resent in self.usage.write(
                    rng, FEEDS[number], feed_records, copies.filter(of_copy == number), file_day, dropped
                ):
                    self.ledger.plain.append(repeated_file(self._build_usage_keys(resent), resent))

    def _build_usage_keys(self, records: pl.DataFrame) -> pl.Series:
        nodes = self.names.network.names.gather(records["node"].cast(pl.UInt32))
        return record_key(nodes, records["sequence"])

    def _add_usage_to_ledger(self, records: pl.DataFrame) -> None:
        each = flat_price(numbers(records, "service"), numbers(records, "quantity"))
        rows = records.select("session", "quantity", "stamp_us", "lost", each_micros=pl.Series(each))
        self.ledger.usage.append(rows.with_columns(record_key=self._build_usage_keys(records)))

    def _hold_charges(self, rng: np.random.Generator, region: int, billed: pl.DataFrame, *, main: bool) -> None:
        charges = self.charges.number_lines(billed)
        ledger_charges = charges.filter(billed["in_ledger"])
        self.ledger.charges.append(
            ledger_charges.select(
                "session", "role", "quantity_micros", "amount_micros", "currency", "billed_at", "started_at",
                record_key=line_key(ledger_charges["line"]),
            )
        )  # fmt: skip
        conflicting, plain = self.charges.copies_of(rng, charges, self.profile.rates["retransmitted_record"] * main)
        self.ledger.plain.append(repeated_charges(line_key(plain["line"]), plain, self.names))
        self.charges.hold(region, charges)
        self.charges.hold(region, pl.concat([conflicting, plain]), blocks_later=1)

    def _write_contracts_and_invoices(self, request: SimulationRequest) -> tuple[str, int, Bills | None]:
        """Write the requested contracts and invoices; return the text of their sources, the number of charges, and the bills."""
        if not request.months:
            return "", 0, None
        last = self.period.first_day + timedelta(days=self.period.days + self.period.tail_days + 2)
        months, directory, file_format = Months.before(last, request.months), self.directory, self.file_format
        drawn = draw_billed_contracts(stream(self.seed, Stage.CONTRACTS), self.subscribers, months)
        self.ledger.plain.append(drawn.bills.truth)
        text, bills = contracts_text(file_format, invoices=request.invoices), None
        if request.invoices:
            bills = write_bills(stream(self.seed, Stage.BILLS), drawn, months, directory, file_format)
            self.ledger.plain.append(bills.truth)
            text += bills_text(file_format)
        write_contracts(drawn, months, directory, file_format, bills.numbers if bills else None)
        return text, drawn.bills.charges.height, bills

    def _write_chain(self, request: SimulationRequest) -> tuple[str, int]:
        """Write the records of the chain, if requested; return the text of its sources and the number of its records."""
        if not request.chain:
            return "", 0
        begin = moment(self.period.start_us)
        drawn = write_transit(
            stream(self.seed, Stage.TRANSIT), self.subscribers, (begin, begin + timedelta(days=self.period.days)), self.directory,
            self.file_format,
        )  # fmt: skip
        self.ledger.plain.append(drawn.truth)
        return transit_text(self.file_format), drawn.records

    def finish(self, request: SimulationRequest) -> SimulationSummary:
        """Deliver the remaining charges, write the files that belong to no feed, and write `trueup.toml` last."""
        self.charges.deliver(None)
        people, directory = self.world.people, self.directory
        self.ledger.plain += [missing_states(people, self.names), missed_plan_changes(people, self.names)]
        contracts, item_charges, bills = self._write_contracts_and_invoices(request)
        transit, transit_records = self._write_chain(request)
        truth = truth_of(self.ledger, self.incidents.frame, self.names)
        for billing in (False, True):
            states = subscriber_states(people, self.names, self.incidents.swaps, billing=billing)
            name = "billing" if billing else "network"
            write_rows(states, directory / "landing" / "subscribers" / f"{name}.{self.file_format}", self.file_format)
        manifest = pl.DataFrame([*self.usage.manifest, *self.charges.manifest])
        for feed in (*FEEDS, "billing"):
            sent = manifest.filter(pl.col("feed") == feed).drop("feed")
            write_rows(sent, directory / "landing" / "manifests" / f"{feed}.csv", "csv")
        write_rows(tariff_book(self.period), directory / "tariffs.csv", "csv")
        write_rows(truth, directory / "truth.parquet", "parquet")
        tail_day = self.period.last_day + timedelta(days=self.period.tail_days)
        call, further = request.command(), transit + contracts
        text = project_text(self.profile, self.period, self.file_format, str(tail_day), call, further)
        write_text(text, directory / "trueup.toml")
        counts = dict(truth.group_by("kind", maintain_order=True).len().iter_rows())
        return SimulationSummary(
            directory, self.profile.name, self.seed, self.file_format, self.subscribers, self.period.first_day,
            self.period.last_day, tail_day, self.usage.files, self.usage.records, self.charges.files, self.charges.records, counts,
            int((~truth["decidable"]).sum()), self.incidents.skipped, item_charges, transit_records,
            *((bills.usage_records, bills.lines, bills.documents) if bills else ()),
        )  # fmt: skip
