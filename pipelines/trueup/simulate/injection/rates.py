"""Read `--rates`, the share of clean pairs per kind of leak, and refuse invalid values."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path

from trueup.regular import read_regular
from trueup.simulate.catalogue import KINDS, Kind
from trueup.simulate.checks import SimulationError

_MAX_BYTES = 1 << 20

CONDITIONED = {"unbilled_node": "node", "unbilled_tariff": "tariff_code", "unbilled_destination": "destination"}
"""Kinds that affect one node, tariff or destination, which is drawn; their rates are shares of its clean pairs."""
DRAWN = (
    "unbilled_random", "under_quantity", "over_quantity", "wrong_amount", "duplicate_charge", "phantom_charge", "late_charge",
    "conflicting_usage", "conflicting_charge",
)  # fmt: skip
"""Kinds drawn per clean pair, one at most; their rates are shares of the qualifying clean pairs."""

WRONG_AMOUNT = Kind(
    "wrong_amount", "leak", "the quantity is billed at another price than the one in force", KINDS["wrong_tariff_version"].source,
    "misrated", "misrated", "kernel",
)  # fmt: skip
INJECTED: dict[str, Kind] = {name: WRONG_AMOUNT if name == "wrong_amount" else KINDS[name] for name in (*CONDITIONED, *DRAWN)}
"""The kinds that can be injected: those that records and prices alone can show."""


def rates_of(text: str) -> dict[str, float]:
    """Return the rates in `KIND=SHARE,…` or in the TOML file of that name; raise `SimulationError` for invalid ones."""
    rates = _parse_text(text) if "=" in text else _read_file(Path(text))
    for kind, rate in rates.items():
        if kind not in INJECTED:
            raise SimulationError(f"unknown kind of leak: {kind!r}", where="--rates", todo=f"choose among {', '.join(INJECTED)}")
        if not (math.isfinite(rate) and 0 <= rate <= 1):
            raise SimulationError(f"invalid rate of {kind}: {rate}", where="--rates", todo="choose 0 to 1")
    drawn = sum(rate for kind, rate in rates.items() if kind in DRAWN)
    if drawn > 1:
        raise SimulationError(
            f"a record gets one leak at most, but the rates of {', '.join(k for k in rates if k in DRAWN)} add up to {drawn:.6g}",
            where="--rates", todo="lower them to 1 together",
        )  # fmt: skip
    if not any(rates.values()):
        raise SimulationError(
            "no rate is above 0", where="--rates", todo="write for example unbilled_random=0.01,late_charge=0.005"
        )
    return rates


def _parse_text(text: str) -> dict[str, float]:
    rates: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        kind, _, share = (side.strip() for side in part.partition("="))
        if kind in rates:
            raise SimulationError(f"{kind} appears twice", where="--rates")
        rates[kind] = _parse_share(kind, share)
    return rates


def _read_file(path: Path) -> dict[str, float]:
    try:
        table: Mapping[str, object] = tomllib.loads(read_regular(path, max_bytes=_MAX_BYTES).decode("utf-8"))
    except FileNotFoundError:
        raise SimulationError("no such file", where=str(path), todo="name a TOML file, or write KIND=SHARE,…") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SimulationError(
            f"the rates cannot be read: {reason}", where=str(path), todo="write lines like late_charge = 0.01"
        ) from None
    return {kind: _parse_share(kind, value) for kind, value in table.items()}


def _parse_share(kind: str, value: object) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        return float(value)
    except ValueError:
        raise SimulationError(f"invalid rate of {kind}: {value!r}", where="--rates", todo="write a share from 0 to 1") from None
