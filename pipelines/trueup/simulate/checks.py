"""Refusing what cannot be simulated before anything is written."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path

from trueup.errors import TrueupError

FORMATS = ("csv", "ndjson", "parquet")
MOST_DAYS = 1_000
MOST_SUBSCRIBERS = 50_000_000


class SimulationError(TrueupError):
    """What was asked of the simulator makes no sense, or its files could not be written."""


def check_counts(subscribers: int, days: int, seed: int) -> None:
    """Raises `SimulationError` unless there are subscribers and days to simulate and the seed is a natural number."""
    if not 1 <= subscribers <= MOST_SUBSCRIBERS:
        raise SimulationError(
            f"{subscribers} subscribers cannot be simulated", where="--subscribers", todo=f"choose 1 to {MOST_SUBSCRIBERS:,}"
        )
    if not 1 <= days <= MOST_DAYS:
        raise SimulationError(f"{days} days cannot be simulated", where="--days", todo=f"choose 1 to {MOST_DAYS:,}")
    if not 0 <= seed < 2**63:
        raise SimulationError(f"{seed} is no seed", where="--seed", todo="choose a whole number from 0 on")


def check_format(file_format: str) -> None:
    """Raises `SimulationError` for a file format that is not written."""
    if file_format not in FORMATS:
        raise SimulationError(f"there is no format {file_format!r}", where="--format", todo=f"choose one of {', '.join(FORMATS)}")


def check_rates(rates: Mapping[str, float], known: Mapping[str, float], drawn: Collection[str]) -> None:
    """Raises `SimulationError` for a rate of an unknown kind, outside 0 to 1, or drawn kinds that exceed 1 together."""
    for kind, rate in rates.items():
        if kind not in known:
            raise SimulationError(f"there is no leak kind {kind!r}", where="rates", todo=f"choose among {', '.join(known)}")
        if not (math.isfinite(rate) and 0 <= rate <= 1):
            raise SimulationError(f"the rate {rate} is no share of records", where=f"rate of {kind}", todo="choose 0 to 1")
    total = sum(rate for kind, rate in {**known, **rates}.items() if kind in drawn)
    if total > 1:
        raise SimulationError(
            f"a session has one leak at most, and the rates of {', '.join(drawn)} add up to {total:.6g}",
            where="rates", todo="lower them to 1 together",
        )  # fmt: skip


def check_target(directory: Path) -> None:
    """Raises `SimulationError` unless the folder is empty or not there yet."""
    if directory.is_dir():
        if any(directory.iterdir()):
            raise SimulationError("the target folder has files in it", where=str(directory), todo="name an empty or a new folder")
    elif directory.exists() or directory.is_symlink():
        raise SimulationError("the target is not a folder", where=str(directory), todo="name an empty or a new folder")
