"""Source columns to event columns: exact decimals, UTC times, derived keys, and the row rules."""

from __future__ import annotations

from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import REJECTED, Batch, Reader, concat_rejected
from trueup.collect.decode.text.lines import Mask
from trueup.collect.map.decimals import INT64_MAX, INT64_MIN, FixedPoint, fixed_point
from trueup.collect.map.expressions.node import Node
from trueup.collect.map.expressions.syntax import parse, parse_condition
from trueup.collect.map.expressions.values import FAILURES, Codes, Records, text_of
from trueup.collect.map.implied_settings import plausible_range
from trueup.collect.map.notation import describe, plain_numbers, plain_seconds
from trueup.collect.map.numbers import in_digits
from trueup.collect.map.texts import clean_texts, repair_numbers
from trueup.collect.map.times import lacks_digits, to_utc, utc_times, utc_times_of_days
from trueup.config import DECIMAL_COLUMNS, STREAM_COLUMNS, ColumnRule, NotationConfig, ProjectConfig, SourceConfig
from trueup.currencies import known_codes
from trueup.errors import SourceError, list_names
from trueup.events.declared_sums import ReadSum, add_sums
from trueup.events.reasons import CURRENCY_COLUMNS, REQUIRED, VALUES, Reason
from trueup.events.schema import COLLECTED, CORE, READABLE, STATES, UTC_TIME
from trueup.events.streams import INVOICE
from trueup.units import SERVICES_WITH_BOUNDS

if TYPE_CHECKING:
    from trueup.quality.row_rules import RowRule

MAPPING_VERSION = 4
"""Mapping version of new sources, recorded with each mapping. A release raises it when equal settings and bytes give other events.

Version 1 keeps texts as delivered. Version 2 brings texts into one form (`trueup.collect.map.texts`) and accepts 24:00 as the end
of a day. It rejects local times that a zone skips or repeats, with a reason of their own. Version 3 also leaves out invisible
marks, and reads further blanks, signs and forms of numbers that spreadsheets and address books write. It refuses `5,-` as a
negative number, and bounds the quantities of a service that a column names. Version 4 refuses texts that earlier versions misread.
These are digits grouped after a zero (`0.500`), numbers whose minus may be a soft hyphen, and times with missing digits. It accepts
numbers of parties in digits of other scripts.
"""

_MICRO_POWER = 6
_NO_TIME = "?"
"""The text that replaces a time with missing digits; it is not a time, so the record is refused."""
_PLAIN = NotationConfig()
_SIGNED = ("amount", "setup", "price")
"""Decimal columns that may be negative: columns of credits and discounts, and all columns of an invoice."""
_NUMBERED = ("subscriber", "peer", "imsi")
"""Text columns of telephone numbers and similar identifiers, which have no decimal point."""
_KEYS = ("record_key", "session_key", "account", "invoice_id", "number", "refers_to", "replaces")
_LEAST = {"price_per": 1, "decimals": 0}
"""Smallest permitted value of integer columns."""
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_STATE_YEARS_TEXT = "within the years 1900 to 2200"
_AHEAD = ("period_from", "period_to", "due_at")
"""Times of movements that may lie in the future: the end of a period charged in advance, and the due date of an invoice."""
_OWN_TIMES = ("started_at", "billed_at", "valid_from")
_MOST_KEY_BYTES = 256
"""Maximum bytes of a key that quarantine keeps with a rejected record, so that a hostile record is not stored twice."""
_DAY = timedelta(days=1)
# States may be announced years ahead and begin before any record; a mistyped century must still be rejected.
_STATE_YEARS = (datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))


@dataclass(frozen=True)
class Mapped:
    """A mapped batch: rows of `COLLECTED[stream]`, the number of rows that lost digits, and all rejected records.

    `filtered` has the numbers of the records that the source's `where` leaves out. `sums` has the sums of the columns whose sum the
    sender declares, over all records: accepted, filtered and rejected.
    """

    rows: pl.DataFrame
    lost_digits: int
    rejected: pl.DataFrame
    filtered: pl.Series
    sums: dict[str, ReadSum] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """Number of records: accepted, filtered and rejected."""
        return self.rows.height + len(self.filtered) + self.rejected.height


@dataclass(frozen=True)
class _Refusal:
    bad: Mask
    reason: Reason
    rule: str


class Mapping:
    """Mapping of a source's records to events at one moment of the injected clock; `rules` are row rules that reject records."""

    def __init__(
        self, source: SourceConfig, project: ProjectConfig, now: datetime, rules: Sequence[RowRule] = (), *,
        version: int = MAPPING_VERSION,
    ) -> None:  # fmt: skip
        self.source, self.project, self.rules, self.version = source, project, rules, version
        self.zone = source.timezone or project.timezone
        self.computed = {
            name: parse(rule.expression, where=f"{name} of source {source.name}")
            for name, rule in source.columns.items()
            if rule.expression is not None
        }
        self.condition = None if source.where is None else parse_condition(source.where, where=f"`where` of source {source.name}")
        if source.stream in STATES:
            (self.earliest, self.latest), self.reach_text = _STATE_YEARS, _STATE_YEARS_TEXT
        else:
            self.earliest, self.latest, self.reach_text = (
                _find_earliest(now, project.max_age),
                now + _DAY,
                "within max_age and a day ahead",
            )

    @cached_property
    def currencies(self) -> list[str]:
        """Permitted currencies: codes of ISO 4217 and those that the project adds."""
        return sorted(known_codes(self.project.further_currencies))

    @property
    def requested(self) -> tuple[str, ...]:
        """Source columns that the mapping reads, each once."""
        computed = (name for expression in self._expressions for name in expression.columns)
        return tuple(dict.fromkeys([*self._mapped, *computed]))

    @property
    def kept(self) -> frozenset[str]:
        """Source columns that the mapping reads but that have no event column of their own; they stay attributes."""
        return frozenset(self.requested).difference(self._mapped)

    @property
    def _mapped(self) -> list[str]:
        return [name for rule in self.source.columns.values() for name in rule.names]

    @property
    def _expressions(self) -> list[Node]:
        return [*self.computed.values(), *([] if self.condition is None else [self.condition])]

    def requested_among(self, available: Sequence[str]) -> tuple[str, ...]:
        """Return the source columns that the mapping reads and the source has; optional columns may be missing."""
        return tuple(name for name in self.requested if name in available)

    def requested_of(self, reader: Reader) -> tuple[str, ...]:
        """Return the source columns to read from a unit; where each record has its own columns, all that the mapping reads."""
        return self.requested_among(reader.columns()) if self.source.has_equal_records else self.requested

    def check(self, available: Sequence[str], *, where: str, required_only: bool = False) -> None:
        """Raise `SourceError` when a mapped column is not available.

        Columns with `optional = true` may be missing. With `required_only`, only required columns are checked: a JSON member may be
        missing in all records. Columns whose absence an expression handles (COALESCE, IS NULL) may also be missing.
        """
        for event_column, rule in self.source.columns.items():
            if rule.optional or (required_only and event_column not in REQUIRED[self.source.stream]):
                continue
            if event_column in self.computed:
                self._check_read(event_column, self.computed[event_column], available, where=where, some_absent=required_only)
            for name in rule.names:
                if name not in available:
                    raise SourceError(
                        f"{event_column} is mapped to the column {name!r}, which does not exist; there are {list_names(available)}",
                        where=where, todo=f"correct [source.columns] of source {self.source.name}, or set optional = true",
                    )  # fmt: skip
        if self.condition is not None:
            self._check_read("`where`", self.condition, available, where=where, some_absent=required_only)

    def _check_read(self, reader: str, expression: Node, available: Sequence[str], *, where: str, some_absent: bool) -> None:
        # A JSON member may be missing in all records where the expression defines what its absence means.
        for name in expression.needed if some_absent else expression.columns:
            if name not in available:
                raise SourceError(
                    f"{reader} reads the column {name!r}, which does not exist; there are {list_names(available)}", where=where,
                    todo=f"correct {reader} of source {self.source.name}",
                )  # fmt: skip

    def apply(self, batch: Batch, *, source_id: str, sha256: str) -> Mapped:
        """Convert a batch's records to events, and reject records that break a row rule."""
        fields = clean_texts(batch.fields, version=self.version) if self.version > 1 and self.source.trim else batch.fields
        batch, filtered = replace(batch, fields=fields), batch.left_out
        if self.condition is not None:
            condition = self.condition.evaluate(Records.of(batch, self.source.notation, self.version))
            is_kept = condition.holds | (condition.error > 0)
            left_out = batch.only(~is_kept)
            filtered = pl.concat([filtered, batch.provenance["source_row"].filter(pl.Series(~is_kept))])
            batch = batch.only(is_kept)
        builder = _RowBuilder(self, batch)
        if self.condition is not None:
            builder.refuse_without_value("where", condition.error[is_kept])
        builder.refuse_missing()
        columns = {}
        for name in STREAM_COLUMNS[self.source.stream]:
            if name in DECIMAL_COLUMNS:
                columns[f"{name}_micros"] = builder.micros(name)
            else:
                columns[name] = builder.of_type(name, CORE[self.source.stream][name])
        if self.version > 2:
            builder.refuse_implausible(columns)
        if self.source.identity == "position":
            columns["record_key"] = batch.provenance.select(pl.format(f"{sha256[:32]}:{{}}", "source_row")).to_series()
        if self.source.stream == INVOICE:
            columns["currency"] = columns["currency"].fill_null(self.project.currency)
        if "amount" in STREAM_COLUMNS[self.source.stream]:
            has_amount = columns["amount_micros"].is_not_null() | (self.source.stream == "charge")
            currency = columns["currency"].fill_null(self.project.currency)
            columns["currency"] = currency.zip_with(has_amount, columns["currency"])
        mapped = builder.build(columns, source_id, filtered)
        if self.summed:
            others = {} if self.condition is None else self._sum_left_out(left_out)
            mapped = replace(mapped, sums=add_sums([builder.sums(columns), others]))
        return mapped

    @property
    def summed(self) -> tuple[str, ...]:
        """Event columns whose sum the sender declares."""
        return () if self.source.framing is None else self.source.framing.sums

    def _sum_left_out(self, left_out: Batch) -> dict[str, ReadSum]:
        """Return the sums over records that `where` leaves out."""
        builder = _RowBuilder(self, left_out)
        columns = {f"{name}_micros": builder.micros(name) for name in self.summed}
        if "amount" in self.summed:
            columns["currency"] = builder.text("currency").fill_null(self.project.currency)
        return builder.sums(columns)


def in_present_form(events: pl.DataFrame, source: SourceConfig, version: int = MAPPING_VERSION) -> pl.DataFrame:
    """Return events of an earlier mapping version with their texts in the form of `version`."""
    if not source.trim:
        return events
    for name in [name for name in events.columns if name in STREAM_COLUMNS[source.stream] and events[name].dtype == pl.String]:
        rule, text = source.columns.get(name), events[name]
        if rule is None:
            continue
        if rule.columns:
            parts = text.str.split(rule.separator).list.eval(pl.element().str.strip_chars())
            text = parts.list.join(rule.separator)
        text = clean_texts(pl.DataFrame({name: text}), version=version)[name]
        if name in (*_NUMBERED, *_KEYS):
            text = repair_numbers(text, has_decimals=name not in _NUMBERED, version=version).texts
        events = events.with_columns((text if rule.e164 is None else in_digits(text, rule, version)).alias(name))
    return events


def _find_earliest(now: datetime, max_age_us: int) -> datetime:
    try:
        return now - timedelta(microseconds=max_age_us)
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)


class _RowBuilder:
    """Converter of one batch: converts column by column, and collects refusals in order of importance."""

    def __init__(self, mapping: Mapping, batch: Batch) -> None:
        self._mapping, self._source, self._batch = mapping, mapping.source, batch
        self._height = batch.provenance.height
        self._refusals: list[_Refusal] = []
        self._rounded = np.zeros(self._height, np.bool_)
        self._plain: set[str] = set()
        self._sourced: dict[str, pl.Series] = {
            name: self._compute_texts(name, rule) if name in mapping.computed else _join_columns(batch.fields, rule, self._height)
            for name, rule in self._source.columns.items()
        }

    def build(self, columns: dict[str, pl.Series], source_id: str, filtered: pl.Series) -> Mapped:
        """Return the accepted rows and the rejected records."""
        source = self._source
        rows = self._batch.provenance.with_columns(
            source_id=pl.lit(source_id), key_scope=pl.lit(source.scope), attributes=self._batch.attributes,
            **{name: series.alias(name) for name, series in columns.items()},
        ).select(pl.col(name).cast(dtype) for name, dtype in COLLECTED[source.stream].items())  # fmt: skip
        self._refuse_broken(rows)
        if not self._refusals:
            return Mapped(rows, int(self._rounded.sum()), concat_rejected([self._batch.rejected]), filtered)
        bad = np.logical_or.reduce([refusal.bad for refusal in self._refusals])
        rejected = concat_rejected([self._batch.rejected, self._build_rejected_rows(np.flatnonzero(bad), rows)])
        return Mapped(rows.filter(pl.Series(~bad)), int(self._rounded[~bad].sum()), rejected, filtered)

    def sums(self, columns: dict[str, pl.Series]) -> dict[str, ReadSum]:
        """Return the sums of the columns whose sum the sender declares, over all records of the batch with a readable value."""
        sums = {}
        for name in self._mapping.summed:
            values = columns[f"{name}_micros"]
            codes = columns["currency"].filter(values.is_not_null()) if name == "amount" else pl.Series(dtype=pl.String)
            known = codes.unique().drop_nulls().to_list() if name == "amount" else []
            micros = values.cast(pl.Int128).sum()
            sums[name] = ReadSum(
                int(micros), int(self._rounded.sum()), frozenset(known).intersection(self._mapping.currencies if known else ())
            )
        return sums

    def _compute_texts(self, name: str, rule: ColumnRule) -> pl.Series:
        """Return the values of an expression as text, where an empty text counts as missing; refuse records without a value."""
        expression = self._mapping.computed[name]
        records = Records.of(self._batch, rule.notation or self._source.notation, self._mapping.version)
        value = text_of(expression.evaluate(records), self._height)
        self.refuse_without_value(name, value.error)
        if expression.kind != "text":
            self._plain.add(name)
        return value.texts.set((value.texts == "").fill_null(False) | pl.Series(value.error > 0), None)

    def refuse_without_value(self, name: str, error: Codes) -> None:
        """Refuse records for which an expression has no value, each with its reason."""
        for code, (reason, rule) in FAILURES.items():
            self._refuse(error == code, reason, f"{name}: {rule}")

    def refuse_missing(self) -> None:
        """Refuse records without a required value."""
        for name in REQUIRED[self._source.stream]:
            is_derived = name == "record_key" and self._source.identity != "key"
            if is_derived or name in self._source.constants:
                continue
            absent = self._sourced[name].is_null().to_numpy() if name in self._sourced else np.ones(self._height, np.bool_)
            self._refuse(absent, "missing_required", f"{name}: is there")

    def _refuse_broken(self, rows: pl.DataFrame) -> None:
        """Refuse records that break a row rule; a record that is already refused keeps its more important reason."""
        rules = self._mapping.rules
        # One query evaluates all rules in parallel.
        breaches = rows.select(rule.broken.alias(str(number)) for number, rule in enumerate(rules))
        for rule, bad in zip(rules, breaches, strict=True):
            self._refuse(bad.to_numpy(), rule.reason, rule.rule)

    def _build_rejected_rows(self, at: np.ndarray, rows: pl.DataFrame) -> pl.DataFrame:  # type: ignore[type-arg]
        """Return the records at some indices as rows of `REJECTED`, with their readable values from `rows`."""
        first = np.argmax(np.stack([refusal.bad[at] for refusal in self._refusals]), axis=0)
        values = {
            "raw": pl.Series(self._batch.raw(at.tolist()), dtype=pl.Binary),
            "reason": pl.Series([self._refusals[index].reason for index in first], dtype=pl.String),
            "rule": pl.Series([self._refusals[index].rule for index in first], dtype=pl.String),
        }
        readable = self._select_readable(rows[at.tolist()], at)
        return pl.DataFrame(self._batch.provenance[at.tolist()]).with_columns(**values, **readable).select(*REJECTED)

    def _select_readable(self, rows: pl.DataFrame, at: np.ndarray) -> dict[str, pl.Series]:  # type: ignore[type-arg]
        """Return the columns of `READABLE` for the rows at some indices, without values that a rule refuses."""
        readable = {}
        for name, dtype in READABLE.items():
            sources = [n for n in _OWN_TIMES if n in rows.columns] if name == "own_time" else [name]
            values = [self._clear_refused(rows[n], n, at) for n in sources if n in rows.columns]
            readable[name] = (
                pl.select(pl.coalesce(values)).to_series() if values else pl.repeat(None, rows.height, dtype=dtype, eager=True)
            )
        return readable

    def _clear_refused(self, values: pl.Series, name: str, at: np.ndarray) -> pl.Series:  # type: ignore[type-arg]
        column = name.removesuffix("_micros")
        refused = [refusal.bad[at] for refusal in self._refusals if refusal.rule.partition(":")[0] == column]
        if values.dtype == pl.String:
            refused.append((values.str.len_bytes() > _MOST_KEY_BYTES).fill_null(False).to_numpy())
        return values.set(pl.Series(np.logical_or.reduce(refused)), None) if refused else values

    def _refuse(self, bad: Mask, reason: Reason, rule: str) -> None:
        if bad.any():
            self._refusals.append(_Refusal(bad, reason, rule))

    # --- kinds of columns ---------------------------------------------------------------------------------------------

    def of_type(self, name: str, dtype: pl.DataType) -> pl.Series:
        """Return a column converted to its type in the log."""
        if dtype == UTC_TIME:
            return self.time(name)
        if dtype == pl.Int64:
            return self.integer(name)
        return self.boolean(name) if dtype == pl.Boolean else self.text(name)

    def text(self, name: str) -> pl.Series:
        """Return a text column: as delivered, mapped by its table of values, or in E.164; refuse values that are not permitted."""
        text = self._read_text(name)
        allowed = VALUES.get(self._source.stream, {}).get(name)
        if allowed is not None:
            self._refuse(
                (~text.is_in(allowed)).fill_null(False).to_numpy(), "value_out_of_range", f"{name}: is {_list_choices(allowed)}"
            )
        if name in CURRENCY_COLUMNS and text.null_count() < self._height:
            # An empty text is a missing currency, in Parquet as in CSV.
            text = text.set((text == "").fill_null(False), None)
            unknown = ~text.is_in(self._mapping.currencies)
            self._refuse(unknown.fill_null(False).to_numpy(), "unknown_currency", f"{name}: is a currency of ISO 4217")
        return text

    def _read_text(self, name: str) -> pl.Series:
        rule, constant = self._source.columns.get(name), self._source.constants.get(name)
        if rule is None:
            return pl.repeat(constant, self._height, dtype=pl.String, eager=True)
        values = text = self._repair_texts(name, self._sourced[name].cast(pl.String))
        if rule.map is not None:
            text = values.replace_strict(rule.map, default=rule.map.get("*"), return_dtype=pl.String)
            text = text.set(values.is_null(), None)
            self._refuse((text.is_null() & values.is_not_null()).to_numpy(), "value_out_of_range", f"{name}: is in its map")
        if rule.e164 is not None:
            text = in_digits(text, rule, self._mapping.version)
        return text if constant is None else text.fill_null(constant)

    def _repair_texts(self, name: str, text: pl.Series) -> pl.Series:
        """Return keys and telephone numbers as they were before a spreadsheet changed them; refuse those that lost digits."""
        if self._mapping.version == 1 or name not in (*_NUMBERED, *_KEYS):
            return text
        repaired = repair_numbers(text, has_decimals=name not in _NUMBERED, version=self._mapping.version)
        self._refuse(repaired.is_lost.to_numpy(), "lost_digits", f"{name}: has all its digits (a spreadsheet rounded it)")
        return repaired.texts

    def time(self, name: str) -> pl.Series:
        """Return a time column in UTC; refuse times outside the permitted period."""
        value = self._read_instant(name)
        earliest, latest, reach_text = self._mapping.earliest, self._mapping.latest, self._mapping.reach_text
        if name in _AHEAD:
            (earliest, latest), reach_text = _STATE_YEARS, _STATE_YEARS_TEXT
        outside = ~value.is_between(earliest, latest).fill_null(True)
        self._refuse(outside.to_numpy(), "time_out_of_range", f"{name}: lies {reach_text}")
        return value

    def _read_instant(self, name: str) -> pl.Series:
        """Return a column of times in UTC, without limits of the period."""
        rule, values = self._source.columns.get(name), self._read_value(name)
        if values.null_count() == self._height:
            return pl.repeat(None, self._height, dtype=UTC_TIME, eager=True)
        zone = (rule and rule.timezone) or self._mapping.zone
        if values.dtype == pl.String:
            time_format = (rule and rule.time_format) or self._source.time_format
            value = self._convert_to_utc(name, values, time_format, zone)
        else:
            value = _convert_time(values, zone, self._source)
        self._refuse((value.is_null() & values.is_not_null()).to_numpy(), "bad_time", f"{name}: is a time")
        return value

    def _convert_to_utc(self, name: str, values: pl.Series, time_format: str, zone: str) -> pl.Series:
        """Return texts in UTC; from version 2 on, local times that daylight saving skips or repeats have their own reason."""
        if self._mapping.version == 1:
            return utc_times(values, time_format=time_format, zone=zone, ambiguous=self._source.ambiguous)
        if self._mapping.version > 3 and time_format != "iso":
            values = values.set(lacks_digits(values, time_format).fill_null(False), _NO_TIME)
        value = utc_times_of_days(values, time_format=time_format, zone=zone, ambiguous=self._source.ambiguous)
        failed = (value.is_null() & values.is_not_null()).arg_true()
        if zone != "UTC" and len(failed):
            naive = utc_times_of_days(values.gather(failed), time_format=time_format, zone="UTC", ambiguous="earliest")
            at = failed.filter(naive.is_not_null()).to_numpy()
            rule = f"{name}: is a local time that {zone} has once (`ambiguous` chooses one of two)"
            self._refuse(np.isin(np.arange(self._height), at), "ambiguous_time", rule)
        return value

    def micros(self, name: str) -> pl.Series:
        """Return a decimal column in millionths; refuse values outside its range."""
        if self._is_absent(name):
            return pl.repeat(None, self._height, dtype=pl.Int64, eager=True)
        rule = self._source.columns.get(name)
        number, given = self._read_number(name, power=_MICRO_POWER, multiplier=rule.scale if rule else 1)
        is_signed = name in _SIGNED or self._source.stream == INVOICE
        least, greatest = self._source.range.get(name, (INT64_MIN if is_signed else 0, INT64_MAX))
        self._refuse(
            ((number.value < least) | (number.value > greatest)) & given, "value_out_of_range", f"{name}: lies in its range"
        )
        self._rounded |= number.rounded
        return pl.Series(number.value).set(pl.Series(~given), None)

    def refuse_implausible(self, columns: Mapping_[str, pl.Series]) -> None:
        """Refuse quantities beyond the plausible range of their own service, where a column names it and no range is set."""
        source, rule = self._source, self._source.columns.get("quantity")
        if rule is None or "service" not in source.columns or (rule.unit is None and rule.duration is None):
            return
        if source.range.get("quantity") != plausible_range(source, source.constants.get("service")):
            return
        for service in sorted(SERVICES_WITH_BOUNDS):
            bounds = plausible_range(source, service)
            is_outside = ~columns["quantity_micros"].is_between(*bounds) & (columns["service"] == service)
            rule_text = f"quantity: lies in the range of {service}"
            self._refuse(is_outside.fill_null(False).to_numpy(), "value_out_of_range", rule_text)

    def integer(self, name: str) -> pl.Series:
        """Return an integer column; refuse fractions and values below the minimum. With a time format it is the time in µs."""
        rule = self._source.columns.get(name)
        if rule is not None and rule.time_format is not None:
            return self._read_instant(name).cast(pl.Int64)
        if self._is_absent(name):
            return pl.repeat(None, self._height, dtype=pl.Int64, eager=True)
        number, given = self._read_number(name, power=0, multiplier=1)
        self._refuse(number.rounded, "unparsable", f"{name}: is a whole number")
        if name in _LEAST:
            self._refuse((number.value < _LEAST[name]) & given, "value_out_of_range", f"{name}: is at least {_LEAST[name]}")
        return pl.Series(number.value).set(pl.Series(~given), None)

    def boolean(self, name: str) -> pl.Series:
        """Return a boolean column: true or false in any case, 1 or 0."""
        text = self._read_text(name)
        value = text.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
        self._refuse((value.is_null() & text.is_not_null()).to_numpy(), "unparsable", f"{name}: is true or false")
        return value

    def _read_number(self, name: str, *, power: int, multiplier: int) -> tuple[FixedPoint, Mask]:
        """Return fixed-point numbers, and a mask of the records that have one."""
        what = self._rewrite_notation(name)
        values = self._read_value(name).cast(pl.String)
        number = fixed_point(values, power=power, multiplier=multiplier)
        self._refuse(number.no_number, "unparsable", f"{name}: is {what}")
        self._refuse(number.too_large, "value_out_of_range", f"{name}: fits 64 bits of millionths")
        return number, values.is_not_null().to_numpy() & ~number.no_number & ~number.too_large

    def _rewrite_notation(self, name: str) -> str:
        """Rewrite a column's texts as plain decimals; return the notation in words, for the rule of a refused record.

        Constants of the configuration, computed numbers and values that the file itself types as numbers are plain already.
        """
        rule = self._source.columns.get(name)
        notation = self._source.notation if rule is None else rule.notation or self._source.notation
        if rule is None or name in self._plain or (rule.duration is None and notation == _PLAIN):
            return "a decimal number"
        texts = self._sourced[name].cast(pl.String)
        if rule.duration is not None:
            plain, what = plain_seconds(texts, rule.duration), f"a duration written as {rule.duration}"
        else:
            plain, what = (
                plain_numbers(texts, notation, version=self._mapping.version),
                f"a number in its notation ({describe(notation)})",
            )
        typed = self._batch.typed.get(rule.names[0]) if rule.names else None
        self._sourced[name] = plain if typed is None else plain.zip_with(~pl.Series(typed), texts)
        return what

    def _is_absent(self, name: str) -> bool:
        """Return whether no record has a value of an event column."""
        is_empty = name not in self._sourced or self._sourced[name].null_count() == self._height
        return is_empty and self._source.constants.get(name) is None

    def _read_value(self, name: str) -> pl.Series:
        """Return the source's values of an event column; the constant replaces missing values."""
        constant = self._source.constants.get(name)
        if name not in self._sourced:
            return pl.repeat(constant, self._height, dtype=pl.String, eager=True)
        values = self._sourced[name]
        return values if constant is None or not values.null_count() else values.cast(pl.String).fill_null(constant)


def _join_columns(fields: pl.DataFrame, rule: ColumnRule, height: int) -> pl.Series:
    """Return the source column, or the concatenation of several; NULL where all are missing."""
    available_columns = [fields[name] for name in rule.names if name in fields.columns]
    if not available_columns:
        return pl.repeat(None, height, dtype=pl.String, eager=True)
    if not rule.columns:
        return available_columns[0]
    texts = pl.DataFrame({str(number): series.cast(pl.String) for number, series in enumerate(available_columns)})
    key = pl.concat_str(pl.all().fill_null(""), separator=rule.separator)
    return texts.select(pl.when(pl.any_horizontal(pl.all().is_not_null())).then(key)).to_series()


def _list_choices(allowed: Sequence[str]) -> str:
    return f"{', '.join(allowed[:-1])} or {allowed[-1]}"


def _convert_time(values: pl.Series, zone: str, source: SourceConfig) -> pl.Series:
    """Return a column of a time type in UTC."""
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        return values.dt.convert_time_zone("UTC").cast(UTC_TIME)
    return to_utc(values.cast(pl.Datetime("us")), zone, source.ambiguous)
