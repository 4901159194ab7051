"""Simulated operators that the tests share, and their CSV files read back without the product."""

import csv
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from trueup.simulate import PROFILES, SimulationRequest, SimulationSummary, simulate

SERVICES_OF_TYPE = {"MOC": "voice", "SMO": "sms", "MTC": "incoming"}
SERVICES_OF_GROUP = {"1": "data", "99": "zero_rated"}


@dataclass(frozen=True)
class Record:
    """A usage record or charge of a file; `start_s` is UTC epoch seconds, `amount_micros` is 0 for usage."""

    key: str
    session_key: str
    service: str
    subscriber: str
    peer: str
    node: str
    start_s: float
    quantity: int
    partial: str
    amount_micros: int
    currency: str
    billed_s: float
    file: str


@dataclass
class World:
    """A simulated operator and all records of its files, in the order of the files."""

    directory: Path
    summary: SimulationSummary
    usage: list[Record] = field(default_factory=list)
    charges: list[Record] = field(default_factory=list)


def _convert_to_epoch(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def _parse_micros(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    units, _, decimals = text.lstrip("-").partition(".")
    return sign * (int(units) * 10**6 + int(decimals.ljust(6, "0")))


def _build_usage(feed: str, row: dict[str, str], file: str) -> Record:
    if feed == "msc":
        fields = (row["call_ref"], SERVICES_OF_TYPE[row["record_type"]], row["served_number"], row["other_number"], row["node"],
                 _convert_to_epoch(row["start_time"], "Europe/Berlin"), int(row["units"]), row["partial"])  # fmt: skip
    elif feed == "pgw":
        fields = (row["charging_id"], SERVICES_OF_GROUP[row["rating_group"]], row["msisdn"], "", row["node"],
                 int(row["opened_ms"]) / 1000, int(row["volume_kb"]), row["partial"])  # fmt: skip
    elif feed == "tap":
        fields = (row["call_ref"], "roaming", row["msisdn"], row["called_number"], row["partner"],
                 _convert_to_epoch(row["start_local"], "Asia/Jakarta"), int(row["seconds"]), row["partial"])  # fmt: skip
    else:
        fields = ("", "iot", row["msisdn"], "", row["node"], float(row["reported_s"]), int(row["kb"]), "")
    return Record(row["record_id"], *fields, 0, "", 0.0, file)


def _build_charge(row: dict[str, str], file: str) -> Record:
    return Record(
        row["line_id"], row["session_ref"], row["service"], row["msisdn"], row["called_number"], "",
        _convert_to_epoch(row["started_utc"], "UTC"), int(row["quantity"]), row["partial"], _parse_micros(row["amount"]),
        row["currency"], _convert_to_epoch(row["billed_utc"], "UTC"), file,
    )  # fmt: skip


def read_world(directory: Path, summary: SimulationSummary) -> World:
    """Return all records of a simulated operator's CSV files."""
    world = World(directory, summary)
    for feed in ("msc", "pgw", "tap", "iot", "billing"):
        for path in sorted((directory / "landing" / feed).iterdir()):
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    if feed == "billing":
                        world.charges.append(_build_charge(row, path.name))
                    else:
                        world.usage.append(_build_usage(feed, row, path.name))
    return world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a small operator of a few days, in CSV."""
    directory = tmp_path_factory.mktemp("operator") / "world"
    return read_world(directory, simulate(directory, SimulationRequest(subscribers=160, days=5, seed=11)))


@pytest.fixture(scope="session")
def quiet_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the same operator without leaks, so that no record of a fraud case is lost."""
    directory = tmp_path_factory.mktemp("quiet") / "world"
    nothing = dict.fromkeys(PROFILES["small"].rates, 0.0)
    return read_world(directory, simulate(directory, SimulationRequest(subscribers=160, days=5, seed=11, rates=nothing)))


@pytest.fixture(scope="session")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a week of some thousand subscribers in Parquet, without leaks."""
    directory = tmp_path_factory.mktemp("week") / "world"
    nothing = dict.fromkeys(PROFILES["mvno"].rates, 0.0)
    simulate(directory, SimulationRequest(subscribers=4_000, days=7, seed=5, profile="mvno", file_format="parquet", rates=nothing))
    return directory
