"""Refuse arguments that cannot be simulated, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path

from trueup.errors import TrueupError

FORMATS = ("csv", "ndjson", "parquet")
MAX_DAYS = 1_000
MAX_SUBSCRIBERS = 50_000_000
MAX_MONTHS = 36


class SimulationError(TrueupError):
    """The simulator refuses an argument or cannot write a file."""


def check_counts(subscribers: int, days: int, seed: int) -> None:
    """Raise `SimulationError` unless there are subscribers and days to simulate and the seed is in [0, 2**63)."""
    if not 1 <= subscribers <= MAX_SUBSCRIBERS:
        raise SimulationError(
            f"{subscribers} subscribers cannot be simulated", where="--subscribers", todo=f"choose 1 to {MAX_SUBSCRIBERS:,}"
        )
    if not 1 <= days <= MAX_DAYS:
        raise SimulationError(f"{days} days cannot be simulated", where="--days", todo=f"choose 1 to {MAX_DAYS:,}")
    if not 0 <= seed < 2**63:
        raise SimulationError(f"invalid seed: {seed}", where="--seed", todo="choose a whole number from 0 on")


def check_months(months: int, *, invoices: bool = False) -> None:
    """Raise `SimulationError` for a number of months outside the limits, and for invoices without months."""
    if not 0 <= months <= MAX_MONTHS:
        raise SimulationError(f"{months} months cannot be simulated", where="--months", todo=f"choose 0 to {MAX_MONTHS}")
    if invoices and not months:
        raise SimulationError("invoices need months to bill", where="--invoices", todo="add --months 3")


def check_format(file_format: str) -> None:
    """Raise `SimulationError` for an unknown file format."""
    if file_format not in FORMATS:
        raise SimulationError(f"unknown format: {file_format!r}", where="--format", todo=f"choose one of {', '.join(FORMATS)}")


def check_rates(rates: Mapping[str, float], known: Mapping[str, float], drawn: Collection[str]) -> None:
    """Raise `SimulationError` for an unknown kind, a rate outside [0, 1], or rates of drawn kinds whose sum exceeds 1."""
    for kind, rate in rates.items():
        if kind not in known:
            raise SimulationError(f"unknown kind of leak: {kind!r}", where="rates", todo=f"choose among {', '.join(known)}")
        if not (math.isfinite(rate) and 0 <= rate <= 1):
            raise SimulationError(f"invalid rate: {rate}", where=f"rate of {kind}", todo="choose 0 to 1")
    total = sum(rate for kind, rate in {**known, **rates}.items() if kind in drawn)
    if total > 1:
        raise SimulationError(
            f"a session gets one leak at most, but the rates of {', '.join(drawn)} add up to {total:.6g}",
            where="rates", todo="lower them to 1 together",
        )  # fmt: skip


def check_target(directory: Path) -> None:
    """Raise `SimulationError` unless the folder is empty or does not exist yet."""
    if directory.is_dir():
        if any(directory.iterdir()):
            raise SimulationError("the target folder has files in it", where=str(directory), todo="name an empty or a new folder")
    elif directory.exists() or directory.is_symlink():
        raise SimulationError("the target is not a folder", where=str(directory), todo="name an empty or a new folder")
