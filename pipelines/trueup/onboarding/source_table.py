"""The tables of one proposed source: `[[source]]`, its columns, constants and framing, each line with its evidence."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from trueup.collect.map.time_formats import EPOCH_POWER
from trueup.config import NotationConfig
from trueup.currencies import known_codes
from trueup.onboarding.columns import Column
from trueup.onboarding.draft import Draft, converted, factor_between, identifier, ratio_between
from trueup.onboarding.evidence import Fit, Line, assumed, supported
from trueup.onboarding.known_formats import KnownFormat
from trueup.units import UnitName

_DAY = {"s": 86_400, "ms": 86_400_000}
_TEXT_ROLES = ("account", "service", "direction", "node", "cell", "partial_no", "tariff_code", "invoice_id")
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "EURO": "EUR"}


@dataclass(frozen=True)
class Shared:
    """Decisions that concern all sources: the session key of each, the unit of quantities, the calling code, the service.

    `base` is the unit of quantities in the log, `fine` the factor that keeps decimals beyond six. `keys` has the column and the
    evidence of the session key by source, `bill_lines` the evidence that charges are lines of bills.
    """

    folder: Path
    keys: dict[str, tuple[Column, str, bool]] = field(default_factory=dict)
    base: UnitName | None = None
    fine: int = 1
    scales: dict[str, tuple[int, str]] = field(default_factory=dict)
    code: tuple[str, str, bool] | None = None
    service: tuple[str, str] | None = None
    bill_lines: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceTables:
    """Lines of `[[source]]` and of its tables by name, in the order of the file."""

    head: list[Line]
    tables: dict[str, list[Line]]

    @property
    def settings(self) -> dict[str, Any]:
        """The values as a parsed file has them."""
        tables = {name: {line.key: line.value for line in lines} for name, lines in self.tables.items() if lines}
        return {line.key: line.value for line in self.head} | tables


def source_tables(draft: Draft, shared: Shared) -> SourceTables:
    """Return the tables of a draft."""
    if draft.known is not None:
        return _build_preset_tables(draft, draft.known, shared)
    found_by_values = not draft.is_mapped_by_name and not draft.roles.named
    head = [
        Line("name", draft.name),
        Line("stream", draft.stream, _describe_stream(draft), check=found_by_values),
        _propose_path(draft, shared.folder),
        *draft.layout.lines,
    ]
    if draft.is_mapped_by_name:
        identity = (
            [Line("identity", "content", "rows of a tariff book have no key of their own")] if draft.stream == "tariff" else []
        )
        return SourceTables([*head, *identity], {"framing": draft.layout.framing})
    head += [*_time_lines(draft), *_propose_notation(draft), *_propose_ranges(draft, shared), *_propose_where(draft)]
    if draft.name in shared.bill_lines:
        head.append(Line("bill_lines", True, shared.bill_lines[draft.name], check=True))
    columns = [*_propose_keys(draft, shared, head), *_propose_values(draft, shared)]
    tables = {"columns": columns, "constants": _propose_constants(draft, shared)}
    return SourceTables(head, tables | {"framing": draft.layout.framing, "fixed": draft.layout.fixed})


def _build_preset_tables(draft: Draft, known: KnownFormat, shared: Shared) -> SourceTables:
    """Return the tables of a draft that fits a preset: its name, and the settings that differ."""
    head = [
        Line("name", draft.name),
        Line("preset", known.name, known.evidence),
        Line("stream", draft.stream, "that of the preset"),
        _propose_path(draft, shared.folder),
        *(line for line in draft.layout.lines if _check_differs(line, known)),
    ]
    session = shared.keys.get(draft.name)
    rule = known.source.columns["session_key"]
    columns = [] if session is None or session[0].name == rule.column else [Line("session_key", session[0].name, *session[1:])]
    return SourceTables(head, {"columns": columns, "framing": draft.layout.framing})


def _check_differs(line: Line, known: KnownFormat) -> bool:
    """Return whether a line of the layout differs from a preset: JSON documents may be single lines, but not the reverse."""
    if line.key == "format":
        return (line.value, known.source.format) == ("json", "ndjson")
    if line.key == "records" and known.source.records is not None:
        return False
    return bool(line.value != getattr(known.source, line.key))


def _propose_path(draft: Draft, folder: Path) -> Line:
    return Line("path", _format_path(draft, folder), "this sample; a pattern such as landing/*.csv takes further deliveries")


def _describe_stream(draft: Draft) -> str:
    if draft.stream == "tariff":
        return "its columns are those of a tariff book"
    if draft.layout.format == "asterisk":
        return "call records of an exchange"
    amount, quantity = draft.column("amount"), draft.column("quantity")
    if amount is not None:
        both = (
            "; it also has a quantity: a rated record, see shared_files in docs/checks.md"
            if quantity and draft.column("peer")
            else ""
        )
        return f"{amount.name} is an amount{both}"
    return "it has times and quantities, and no amount"


def _format_path(draft: Draft, folder: Path) -> str:
    path = draft.sample.path.absolute()
    text = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
    if "${" in text:
        # A variable would be replaced, so a wildcard stands for its `$` sign.
        return glob.escape(text).replace("${", "[$]{")
    return glob.escape(text) if glob.has_magic(text) else text


def _time_lines(draft: Draft) -> list[Line]:
    roles = draft.roles
    if roles.day is not None and roles.time_of_day is not None:
        (day, day_format), (clock, clock_format) = roles.day, roles.time_of_day
        fit = Fit(len(day.texts), len(day.values))
        also = "".join(f"; {rival} fits {day.name} as well" for rival, _ in day.dates[1:])
        what = f"{fit} records have {day.name} and {clock.name}{also}"
        return [Line("time_format", f"{day_format} {clock_format}", what, check=bool(also) or not fit.is_full)]
    started = draft.column("started_at")
    if started is None:
        reason = "records have no time: `trueup close` declares how far the source is complete"
        return [Line("frontier", "declared", reason)] if draft.stream == "charge" else []
    name, fit = started.times[0]
    rivals = [other for other, rival in started.times[1:] if rival.count == fit.count]
    what = f"values of {started.name} fit {name}" + "".join(f", and {rival} as well" for rival in rivals)
    line = Line("time_format", name, f"{fit} {what}", check=not fit.is_full or bool(rivals))
    return [line] if name != "iso" or line.check else []


def _propose_notation(draft: Draft) -> list[Line]:
    notation, fit, (count, example) = draft.notation.notation, draft.notation.fit, draft.notation.ambiguous
    written: dict[str, object] = {
        name: value for name, value in notation.model_dump().items() if value != NotationConfig.model_fields[name].get_default()
    }
    written = {name: list(value) if isinstance(value, tuple) else value for name, value in written.items()}
    if not written and not count:
        return []
    doubt = f"; {count:,} such as {example} have a second reading" if count else ""
    return [Line("notation", written or {"decimal": "."}, f"{fit} numbers fit{doubt}", check=not fit.is_full or bool(count))]


def _propose_ranges(draft: Draft, shared: Shared) -> list[Line]:
    """Return a range for durations where some exceed a day and either contradict the end or are few."""
    day, started, ended = _DAY.get(draft.unit or ""), draft.column("started_at"), draft.column("ended_at")
    quantities = draft.quantities.cast(float, strict=False) if len(draft.quantities) else None
    if day is None or quantities is None or draft.stream != "usage":
        return []
    long = int((quantities > day).sum())
    if not long or (long * 20 > len(quantities) and (started is None or ended is None)):
        return []
    greatest = 86_400 * factor_between("s", shared.base) * shared.fine
    return [
        Line("range", {"quantity": ["0", str(greatest)]}, f"{long:,} of {len(quantities):,} durations exceed a day", check=True)
    ]


def _propose_where(draft: Draft) -> list[Line]:
    if draft.first_leg is None:
        return []
    column, value = draft.first_leg
    fit, escaped = Fit(int((column.texts == value).sum()), len(column.texts)), value.replace("'", "''")
    reason = f"{fit} records are the first leg of a call; the other legs are not billed"
    return [Line("where", f"{identifier(column.name)} = '{escaped}'", reason, check=True)]


def _propose_keys(draft: Draft, shared: Shared, head: list[Line]) -> list[Line]:
    record, session = draft.column("record_key"), shared.keys.get(draft.name)
    lines = []
    if draft.stream == "charge" and (record is None or (session is not None and record.name == session[0].name)):
        head.append(Line("identity", "position", "no column is the charge's own key; a key that is billed twice is an overcharge"))
    elif record is None:
        head.append(assumed("identity", "content", "no column has a value of its own in each record: equal records count once"))
    else:
        named = "record_key" in draft.roles.named
        lines.append(
            Line("record_key", record.name, f"{record.distinct} values differ", check=not named or not record.distinct.is_full)
        )
    if session is not None:
        column, evidence, check = session
        lines.append(Line("session_key", column.name, evidence, check=check))
    return lines


def _propose_values(draft: Draft, shared: Shared) -> list[Line]:
    return [
        *_propose_parties(draft, shared), *_start_lines(draft), *_propose_quantity(draft, shared), *_propose_amounts(draft),
        *(_propose_text(draft, role) for role in _TEXT_ROLES if draft.column(role) is not None and _is_of_stream(draft, role)),
    ]  # fmt: skip


def _is_of_stream(draft: Draft, role: str) -> bool:
    return draft.stream == "charge" or role not in ("tariff_code", "invoice_id")


def _propose_text(draft: Draft, role: str) -> Line:
    column = draft.roles.columns[role]
    values = column.distinct.count
    return Line(role, column.name, f"by its name; {values:,} {'value' if values == 1 else 'values'}")


def _propose_parties(draft: Draft, shared: Shared) -> list[Line]:
    lines = []
    for role in ("subscriber", "peer"):
        column = draft.column(role)
        if column is None:
            continue
        named, evidence, check = role in draft.roles.named, f"{column.party} values are numbers of parties", False
        value: object = column.name
        if shared.code is not None and column.party.share > 0.5:
            code, shown, check = shared.code
            value, evidence = {"column": column.name, "e164": code}, f"{evidence}, {shown}"
        evidence = evidence if named else f"{evidence}; found by its values"
        lines.append(Line(role, value, evidence, check=check or not named))
    return lines


def _start_lines(draft: Draft) -> list[Line]:
    lines = []
    if draft.roles.day is not None and draft.roles.time_of_day is not None:
        columns = [draft.roles.day[0].name, draft.roles.time_of_day[0].name]
        lines.append(Line("started_at", {"columns": columns, "separator": " "}, "a day and a time of day"))
    elif (started := draft.column("started_at")) is not None:
        named = "started_at" in draft.roles.named
        evidence = f"{started.times[0][1]} values are times" + ("" if named else "; found by its values")
        lines.append(Line("started_at", started.name, evidence, check=not named))
    billed, own = draft.column("billed_at"), draft.column("started_at")
    if billed is not None and draft.stream == "charge":
        # A file has one order of day and month, even where a column with a single invoice day fits both orders.
        order = own.times[0][0][:5] if own is not None else ""
        time_format, fit = next((t for t in billed.times if t[1] == billed.times[0][1] and t[0].startswith(order)), billed.times[0])
        same = own is not None and time_format == own.times[0][0]
        value: object = billed.name if same else {"column": billed.name, "time_format": time_format}
        lines.append(supported("billed_at", value, fit, f"values fit {time_format}"))
    return lines


def _propose_quantity(draft: Draft, shared: Shared) -> list[Line]:
    scale, why = shared.scales.get(draft.name, (1, ""))
    if draft.volume is not None:
        reason = (
            "octets in and out, with the words that 32-bit counters carried over"
            if "in_high" in draft.counters
            else "both directions"
        )
        rule: dict[str, object] = {"expression": converted(draft.volume, _find_ratio(draft, shared))}
        return [Line("quantity", rule if scale == 1 else rule | {"scale": scale}, reason, check=True)]
    column = draft.column("quantity")
    if column is None:
        return []
    rule = {"column": column.name}
    evidence, check = f"{column.fit_of(draft.notation.notation)} values are numbers", False
    ratio = _find_ratio(draft, shared)
    if scale == 1 and draft.unit is not None and not column.clocks and ratio == 1:
        rule |= {"unit": draft.unit}
    if column.clocks:
        kind, fit = column.clocks[0]
        rivals = [other for other, rival in column.clocks[1:] if rival.count == fit.count]
        rule, evidence = (
            rule | {"duration": kind},
            f"{fit} values fit {kind}" + "".join(f", and {rival} as well" for rival in rivals),
        )
        check = not fit.is_full or bool(rivals)
    elif not column.fit_of(draft.notation.notation).is_full:
        check = True
    if "quantity" not in draft.roles.named:
        evidence, check = f"{evidence}; found by its values", True
    if scale > 1:
        rule, evidence = rule | {"scale": scale}, f"{evidence}; {why}"
        check = check or not why.startswith("up to")
    if ratio != 1 and not column.clocks:
        fine: dict[str, object] = {"scale": scale} if scale > 1 else {}
        rule, check = {"expression": converted(identifier(column.name), ratio), **fine}, True
        evidence = f"{evidence}; {draft.unit} are turned into {shared.base}"
    return [Line("quantity", column.name if rule == {"column": column.name} else rule, evidence, check=check)]


def _find_ratio(draft: Draft, shared: Shared) -> Fraction:
    """Return how many units of the log make one unit of the file, where `scale` cannot express it; else 1."""
    ratio = ratio_between(draft.unit, shared.base)
    return Fraction(1) if ratio.denominator == 1 else ratio


def _propose_amounts(draft: Draft) -> list[Line]:
    amount = draft.column("amount")
    if amount is None:
        return []
    fit, named = amount.fit_of(draft.notation.notation), "amount" in draft.roles.named
    decimals = draft.plain(amount.values.cast(str)).str.extract(r"\.([0-9]+)$").str.len_chars().max()
    lost = f"; up to {decimals} decimals, of which six are kept" if isinstance(decimals, int) and decimals > 6 else ""
    found = "" if named else "; found by its values"
    lines = [Line("amount", amount.name, f"{fit} values are numbers{lost}{found}", check=not fit.is_full or not named)]
    currency = draft.column("currency")
    if currency is None:
        return lines
    known = set(known_codes(()))
    values = currency.texts.unique().sort().to_list()[:50]
    other = {text: _SIGNS.get(text.upper(), text.upper()) for text in values if text not in known}
    fit = Fit(int(currency.texts.is_in(list(known)).sum()), len(currency.texts))
    mapped = {text: text for text in values if text in known} | other
    value: object = (
        {"column": currency.name, "map": mapped} if other and all(code in known for code in other.values()) else currency.name
    )
    return [*lines, supported("currency", value, fit, "values are codes of ISO 4217")]


def _propose_constants(draft: Draft, shared: Shared) -> list[Line]:
    lines = []
    if shared.service is not None and draft.column("service") is None:
        lines.append(assumed("service", shared.service[0], shared.service[1]))
    if draft.stream == "usage" and draft.column("quantity") is None and draft.volume is None:
        lines.append(assumed("quantity", "1", "no column holds a quantity: each record counts as one"))
    return lines


def zone_is_open(draft: Draft) -> bool:
    """Return whether the times of a source have no offset, so that the sample does not show their zone."""
    if draft.layout.format == "asterisk" or draft.roles.day is not None:
        return True
    started = draft.column("started_at")
    return started is not None and not started.has_offset and started.times[0][0] not in EPOCH_POWER


def currency_of(draft: Draft) -> tuple[str, str] | None:
    """Return the currency that a source shows, with the evidence; None where it shows none."""
    known, currency = set(known_codes(())), draft.column("currency")
    if currency is not None and len(currency.texts):
        code = str(currency.texts.mode().sort()[0])
        return (code, f"of {currency.name} in {draft.sample.path.name}") if code in known else None
    for sign in draft.notation.notation.currency:
        code = _SIGNS.get(sign.upper(), sign)
        if re.fullmatch("[A-Z]{3}", code) and code in known:
            return code, f"amounts in {draft.sample.path.name} are written with {sign}"
    amount = draft.column("amount")
    named = [] if amount is None else re.findall("(?<![A-Za-z])[A-Z]{3}(?![A-Za-z])", amount.name)
    codes = [code for code in named if code in known and code not in _WORDS]
    return (codes[0], f"the column {amount.name} of {draft.sample.path.name} names it") if amount and len(codes) == 1 else None


_WORDS = ("ALL", "CUP", "TOP", "TRY")
"""Codes of currencies that are also English words, and in a heading are more likely words."""
