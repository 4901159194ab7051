"""The command `quality`: evaluate the completeness of feeds, and gate the days."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import output
from trueup.cli.exit_codes import EXCEEDED
from trueup.cli.options import HERE, AcceptClock, Json, ProjectDir, Quiet, Verbose, load

if TYPE_CHECKING:
    from trueup.quality.run import FeedState, QualitySummary

_ACTIONS = ("raised", "revised", "resolved")
COLUMNS = ("feed", "expected", "arrived", "missing", "late", "worst rule", "money at stake")
_SHOWN_DAYS = 14


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(quality)


def quality(
    check: Annotated[bool, typer.Option("--check", help="Exit status 1 when a day is blocked.")] = False,
    validate: Annotated[bool, typer.Option(help="Validate changed days with Great Expectations.")] = True,
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    verbose: Verbose = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Evaluate whether the feeds are complete, and show which days may be reconciled."""
    from trueup.quality.run import quality as evaluate_quality

    opened = load(project, accept_clock=accept_clock)
    summary = evaluate_quality(opened, validate=validate, log=output.note, log_day=output.note_each(verbose))
    if json:
        output.json_value(as_value(summary))
    else:
        show(summary)
    if check and any(day.verdict == "block" for day in summary.days):
        raise typer.Exit(EXCEEDED)


def as_value(summary: QualitySummary) -> dict[str, Any]:
    """Return findings and verdicts as values of JSON; money as exact decimals."""
    return {
        "position": summary.position,
        **{action: summary.actions[action] for action in _ACTIONS},
        "feeds": [_feed_value(state) for state in summary.feeds],
        "days": [{"day": d.day, "verdict": d.verdict, "reasons": list(d.reasons)} for d in summary.days],
        "failed": [
            {
                "stream": v.stream, "day": v.day, "name": c.name, "severity": c.severity, "looked_at": c.looked_at,
                "unexpected": c.unexpected, "event_ids": list(c.event_ids), "detail": c.detail,
            }
            for v in summary.validated for c in v.failed
        ],
        "docs": summary.docs, "notice": summary.notice,
    }  # fmt: skip


def _feed_value(state: FeedState) -> dict[str, Any]:
    low, high = state.expected
    return {
        "feed": state.feed, "stream": state.stream, "expected_low": low, "expected_high": high, "arrived": state.arrived,
        "missing_low": state.missing_low, "missing_high": state.missing_high, "late": state.late or None,
        "worst_rule": state.worst_rule or None,
        "at_stake": [
            {"currency": s.currency, "low": _convert_to_money(s.low_micros), "high": _convert_to_money(s.high_micros)}
            for s in state.at_stake
        ],
    }  # fmt: skip


def _convert_to_money(micros: int) -> Decimal:
    return Decimal(micros).scaleb(-6)


def _format_money(state: FeedState) -> str:
    """Return the money at stake to the cent, per currency."""
    ranges = (
        (s.currency, *(_convert_to_money(m).quantize(Decimal("0.01")) for m in (s.low_micros, s.high_micros)))
        for s in state.at_stake
    )
    return ", ".join(f"{_format_range(low, high)} {currency}" for currency, low, high in ranges) or "-"


def _format_range(low: object, high: object) -> str:
    return str(low) if low == high else f"{low}–{high}"


def show(summary: QualitySummary) -> None:
    """Print the table of feeds, the days with a verdict, and the path of the Data Docs."""
    rows = []
    for state in summary.feeds:
        rows.append(
            [state.feed, _format_range(*state.expected), state.arrived, _format_range(state.missing_low, state.missing_high),
             state.late or "-", state.worst_rule or "-", _format_money(state)]
        )  # fmt: skip
    output.table(COLUMNS, rows)
    for day in summary.days[:_SHOWN_DAYS]:
        more = f" (and {len(day.reasons) - 1} more)" if len(day.reasons) > 1 else ""
        show_day = output.fault if day.verdict == "block" else output.line
        show_day(f"{_VERDICTS[day.verdict]} {day.day}: {day.reasons[0]}{more}")
    if len(summary.days) > _SHOWN_DAYS:
        output.line(f"and {output.counted(len(summary.days) - _SHOWN_DAYS, 'more day')}")
    output.line(summary_line(summary))


def note_blocked(summary: QualitySummary) -> None:
    """Print the first blocked day with its reason, and the number of further ones, as a problem."""
    blocked = [day for day in summary.days if day.verdict == "block"]
    more = f" (and {output.counted(len(blocked) - 1, 'more day')})" if len(blocked) > 1 else ""
    output.problem(f"trueup: {blocked[0].day} is blocked: {blocked[0].reasons[0]}{more}")


_VERDICTS = {"block": "blocked    ", "mark": "provisional", "note": "noted      "}


def summary_line(summary: QualitySummary) -> str:
    """Return findings and verdicts in one line."""
    counts = {v: sum(day.verdict == v for day in summary.days) for v in ("block", "mark", "note")}
    failed = sum(len(v.failed) for v in summary.validated)
    validated = (
        f"{len(summary.validated)} validations, {output.counted(failed, 'failure')}" if summary.validated else summary.notice
    )
    docs = f", see {output.short(summary.docs)}" if summary.docs else ""
    return (
        f"{', '.join(f'{summary.actions[action]} {action}' for action in _ACTIONS)}; days blocked {counts['block']}, "
        f"provisional {counts['mark']}, noted {counts['note']}; {validated}{docs}"
    )
