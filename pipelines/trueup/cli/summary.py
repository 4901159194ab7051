"""The summary of a run on one screen: its steps, the results, and the first things to check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trueup.cli import output

if TYPE_CHECKING:
    from trueup.warehouse.first_look import FirstLook

KINDS, PARTIES, FEEDS = 6, 3, 3
"""Largest number of rows of each table."""
_PARTIES = ("party", "day", "transactions", "probability", "money at risk", "currency", "first reason")
_FEEDS = ("feed", "what is wrong", "days", "records", "money at stake", "currency")
_LEAKAGE = ("kind", "findings", "leakage", "overcharge", "currency")


def show_first_look(look: FirstLook, project: str) -> None:
    """Print the largest leakage, the most suspicious parties and the incomplete feeds, then the next commands."""
    from trueup.warehouse.first_look import advice

    if look.leakage:
        output.line()
        output.dictionaries(look.leakage[:KINDS], _LEAKAGE, title="leakage: findings that are open or confirmed, by kind")
        _print_more(len(look.leakage) - KINDS, "kind", f"trueup findings{project}")
    if look.parties:
        output.line()
        rows = [_build_party_row(row) for row in look.parties[:PARTIES]]
        output.table(_PARTIES, rows, title="suspicious transactions, by party")
        _print_more(len(look.parties) - PARTIES, "party", f"trueup cases --type fraud{project}", plural="parties")
    if look.feeds:
        output.line()
        output.table(_FEEDS, [_build_feed_row(row) for row in look.feeds[:FEEDS]], title="feeds that are not complete")
        _print_more(len(look.feeds) - FEEDS, "feed", f"trueup quality{project}")
    sentences = advice(look)
    if sentences:
        output.line()
        output.line("look at this first")
        for number, sentence in enumerate(sentences, start=1):
            output.line(f"{number}. {sentence}")


def _build_party_row(row: Mapping[str, Any]) -> list[object]:
    exposure = "unknown" if row["exposure"] is None else f"{row['exposure']:.2f}"
    known = [row["party"], row["day"], row["transactions"], _format_share(row["probability"])]
    return [*known, exposure, row["currency"], row["reason"]]


def _build_feed_row(row: Mapping[str, Any]) -> list[object]:
    days = _format_range(row["first_day"], row["last_day"])
    money = [None if row[name] is None else f"{row[name]:.2f}" for name in ("impact_low", "impact_high")]
    return [
        row["source"],
        row["kind"],
        days,
        _format_range(row["records_low"], row["records_high"]),
        _format_range(*money),
        row["currency"],
    ]


def _format_range(low: object, high: object) -> str:
    return "unknown" if low is None else str(low) if low == high else f"{low} to {high}"


def _format_share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _print_more(number: int, noun: str, command: str, plural: str | None = None) -> None:
    if number > 0:
        output.line(f"and {number} more {noun if number == 1 else plural or noun + 's'}: {command}")
