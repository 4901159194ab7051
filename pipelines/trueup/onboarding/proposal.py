"""The proposed project: sources, their links, rules of reconciliation, and how many records of each sample become events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from trueup.collect.map.implied_settings import with_implied_settings
from trueup.collect.map.mapping import Mapping
from trueup.collect.map.times import utc_times_of_days
from trueup.config import Config, ProjectConfig
from trueup.errors import SourceError
from trueup.onboarding.draft import Draft, drafts_of, factor_between
from trueup.onboarding.evidence import Fit, Line, assumed
from trueup.onboarding.names import is_duration, name_score
from trueup.onboarding.relations import Price, SharedKey, pairs, prices, shared_key, usual_ratio
from trueup.onboarding.source_table import Shared, SourceTables, currency_of, source_tables, zone_is_open
from trueup.units import UNITS, UnitName

_MOST_DECIMALS, _KEPT_DECIMALS = 15, 6
_LOG_LIMIT = Decimal(9) * 10**18
_PLAUSIBLE_AGE = timedelta(days=3_650)


@dataclass(frozen=True)
class Outcome:
    """How many records of a sample become events, are left out by `where`, and go to quarantine by reason."""

    accepted: int
    filtered: int
    rejected: dict[str, int]

    @property
    def records(self) -> int:
        """The number of records that were mapped."""
        return self.accepted + self.filtered + sum(self.rejected.values())


@dataclass(frozen=True)
class ProposedSource:
    """A source with its tables, its sample's path, and the outcome of mapping the sample."""

    name: str
    stream: str
    path: Path
    tables: SourceTables
    outcome: Outcome


@dataclass(frozen=True)
class Proposal:
    """A whole project: the lines of `[lake]` and `[project]`, the sources, and a table of rules for each service."""

    lake: list[Line]
    project: list[Line]
    sources: list[ProposedSource]
    reconcile: dict[str, list[Line]]

    @property
    def settings(self) -> dict[str, Any]:
        """The values as a parsed `trueup.toml` has them."""

        def values(lines: Sequence[Line]) -> dict[str, Any]:
            return {line.key: line.value for line in lines if line.value is not None}

        return {
            "lake": values(self.lake), "project": values(self.project), "source": [s.tables.settings for s in self.sources],
            "reconcile": {service: values(lines) for service, lines in self.reconcile.items()},
        }  # fmt: skip


def propose(paths: Sequence[Path], folder: Path, now: datetime) -> Proposal:
    """Return a project of these samples in a folder at a moment of the injected clock.

    Raises `SourceError` for a sample that cannot be read or has neither times nor amounts.
    """
    drafts = drafts_of(paths)
    for draft in drafts:
        _check_understood(draft)
    links = _find_links(drafts)
    joined = _join_drafts(drafts, links)
    shared = _find_shared(drafts, links, joined, folder)
    tables = [source_tables(draft, shared) for draft in drafts]
    project = _project_lines(drafts, now)
    settings = ProjectConfig.model_validate({line.key: line.value for line in project})
    sources = [
        ProposedSource(draft.name, draft.stream, draft.sample.path, own, _map_sample(draft, own, settings, now))
        for draft, own in zip(drafts, tables, strict=True)
    ]
    return Proposal(_propose_lake(drafts, shared, links), project, sources, _propose_rules(drafts, shared, links, joined))


def _check_understood(draft: Draft) -> None:
    if not draft.records.height:
        raise SourceError("the sample has no record", where=draft.sample.shown, todo="name a sample that has records")
    if draft.is_mapped_by_name or draft.known is not None or draft.stream == "charge" or draft.roles.has_start:
        return
    names = ", ".join(list(draft.records.columns)[:20]) or "none"
    raise SourceError(
        f"no column has times or amounts; its columns are {names}", where=draft.sample.shown,
        todo="name a sample of usage, charges or a tariff book, or describe it with `trueup init` alone",
    )  # fmt: skip


# --- what the samples share -------------------------------------------------------------------------------------------


def _find_links(drafts: Sequence[Draft]) -> list[tuple[Draft, Draft, SharedKey]]:
    """Return each pair of a usage sample and a charge sample whose records share keys."""
    found = []
    for usage in drafts:
        for charge in drafts:
            if usage.stream == "usage" and charge.stream == "charge" and not usage.is_mapped_by_name:
                key = shared_key((usage.records.columns, usage.roles), (charge.records.columns, charge.roles))
                found += [(usage, charge, key)] if key is not None else []
    return sorted(found, key=lambda link: -link[2].fit.share)


def _choose_keys(drafts: Sequence[Draft], links: Sequence[tuple[Draft, Draft, SharedKey]]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for usage, charge, key in links:
        keys.setdefault(charge.name, (key.charge, f"{key.fit} keys are in {key.usage.name} of {usage.name}", key.fit.share < 0.9))
        keys.setdefault(usage.name, (key.usage, f"{key.fit} keys are in {key.charge.name} of {charge.name}", key.fit.share < 0.9))
    for draft in drafts:
        if draft.name in keys or draft.is_mapped_by_name or draft.known is not None:
            continue
        named = [
            column for name, column in draft.records.columns.items()
            if name_score(name, "session_key") >= 50 and column not in draft.roles.columns.values() and column.distinct.share > 0.2
        ]  # fmt: skip
        if named:
            best = max(named, key=lambda column: name_score(column.name, "session_key"))
            keys[draft.name] = (best, "by its name; no sample of the other side has its keys", True)
    return keys


def _join_drafts(drafts: Sequence[Draft], links: Sequence[tuple[Draft, Draft, SharedKey]]) -> dict[tuple[str, str], pl.DataFrame]:
    """Return usage and charges with equal keys side by side, by the two sources; quantities are in the units of their files."""
    found = {}
    for usage, charge, key in links:
        left = pl.DataFrame({"key": key.usage.values.cast(pl.String), "quantity": usage.quantities, "service": usage.services})
        if usage.first_leg is not None:
            left = left.filter(usage.first_leg[0].values == usage.first_leg[1])
        amount = charge.roles.columns["amount"]
        right = pl.DataFrame({
            "key": key.charge.values.cast(pl.String), "quantity": charge.quantities,
            "amount": charge.plain(amount.values.cast(pl.String)),
        })  # fmt: skip
        found[usage.name, charge.name] = pairs(left, right)
    return found


def _find_shared(
    drafts: Sequence[Draft], links: Sequence[tuple[Draft, Draft, SharedKey]], joined: dict[tuple[str, str], pl.DataFrame],
    folder: Path,
) -> Shared:  # fmt: skip
    base = _choose_base_unit(drafts)
    fine = max((_find_fine_factor(draft) for draft in drafts), default=1)
    return Shared(
        folder.absolute(),
        _choose_keys(drafts, links),
        base,
        fine,
        _choose_scales(drafts, base, fine, joined),
        _find_calling_code(drafts),
        _find_service(drafts),
        _find_bill_lines(links),
    )


def _find_bill_lines(links: Sequence[tuple[Draft, Draft, SharedKey]]) -> dict[str, str]:
    """Return the evidence, by source, that charges with one key are bill lines: as many usage records have that key."""
    found = {}
    for usage, charge, key in links:
        counts = [
            column.values.cast(pl.String).drop_nulls().alias("key").value_counts(name="records")
            for column in (key.charge, key.usage)
        ]
        several = counts[0].filter(pl.col("records") > 1)
        as_many = several.join(counts[1], on=["key", "records"])
        if charge.column("partial_no") is None and several.height == as_many.height > 0:
            found[charge.name] = f"{several.height:,} keys have several charges, and as many records of {usage.name}"
    return found


def _choose_base_unit(drafts: Sequence[Draft]) -> UnitName | None:
    """Return the unit of the tariff book, else the smallest unit of the quantities."""
    for draft in drafts:
        unit = draft.records.columns.get("unit") if draft.stream == "tariff" else None
        named: list[UnitName] = [text for text in (unit.texts.to_list() if unit is not None else []) if text in UNITS]
        if named:
            return named[0]
    units = [draft.unit for draft in drafts if draft.unit is not None and draft.stream != "tariff"]
    return min(units, key=lambda unit: UNITS[unit].size, default=None)


def _find_fine_factor(draft: Draft) -> int:
    """Return the factor that keeps quantities with more than six decimals exact, as far as 64 bits allow."""
    wanted = min(draft.decimals, _MOST_DECIMALS) - _KEPT_DECIMALS
    while wanted > 0 and draft.largest * 10 ** (wanted + _KEPT_DECIMALS) >= _LOG_LIMIT:
        wanted -= 1
    return int(10 ** max(0, wanted))


def _choose_scales(
    drafts: Sequence[Draft], base: UnitName | None, fine: int, joined: dict[tuple[str, str], pl.DataFrame]
) -> dict[str, tuple[int, str]]:
    scales = {}
    for draft in drafts:
        factor = factor_between(draft.unit, base)
        if factor > 1:
            scales[draft.name] = (factor * fine, f"{draft.unit} are turned into {base}")
        elif fine > 1:
            scales[draft.name] = (fine, f"up to {draft.decimals} decimals, of which a quantity keeps six")
    for (usage, charge), frame in joined.items():
        ratio = usual_ratio(frame) if usage not in scales and charge not in scales else None
        if ratio is not None:
            scales[charge] = (ratio[0], f"quantities of {usage} are {ratio[0]:,} times these in {ratio[1]} pairs")
    return scales


def _find_calling_code(drafts: Sequence[Draft]) -> tuple[str, str, bool] | None:
    """Return the calling code that brings numbers of parties into one form, where some are not plain digits."""
    columns = [draft.roles.columns[role] for draft in drafts for role in ("subscriber", "peer") if role in draft.roles.columns]
    if not any(column.is_written_variously for column in columns):
        return None
    codes: Counter[int] = Counter()
    for column in columns:
        codes.update(column.calling_codes)
    if not codes:
        return None
    (code, count), of = codes.most_common(1)[0], codes.total()
    national = any(column.texts.str.contains(r"^\(?0[1-9]").any() for column in columns)
    return str(code), f"{Fit(count, of)} international numbers are of +{code}", national or count != of


def _find_service(drafts: Sequence[Draft]) -> tuple[str, str] | None:
    movements = [draft for draft in drafts if draft.stream in ("usage", "charge")]
    usage = [draft for draft in movements if draft.stream == "usage"] or movements
    if all(draft.column("service") is not None for draft in usage):
        return None
    units = {UNITS[draft.unit].measures for draft in movements if draft.unit is not None}
    if "data" in units or any(draft.volume is not None for draft in usage):
        return "data", "no column names the service; quantities are volumes"
    lengths = [column for draft in movements if (column := draft.column("quantity")) is not None and is_duration(column.name)]
    if "time" in units or lengths or any(draft.column("peer") is not None for draft in usage):
        return "voice", "no column names the service; records have durations or called numbers"
    return "usage", "no column names the service"


# --- tables of the project --------------------------------------------------------------------------------------------


def _propose_lake(drafts: Sequence[Draft], shared: Shared, links: Sequence[tuple[Draft, Draft, SharedKey]]) -> list[Line]:
    movements = [draft for draft in drafts if draft.stream in ("usage", "charge")]
    without = [draft.name for draft in movements if draft.column("subscriber") is None and draft.layout.format != "asterisk"]
    if without and links and all(draft.name in shared.keys for draft in movements):
        return [
            Line("bucket_by", "session_key", f"{', '.join(without)}: no column is the subscriber. Fixed when the lake is created")
        ]
    evidence = f"{', '.join(without)}: no column is the subscriber" if without else "usage and charges have it"
    return [Line("bucket_by", "subscriber", f"{evidence}. Fixed when the lake is created", check=bool(without))]


def _project_lines(drafts: Sequence[Draft], now: datetime) -> list[Line]:
    open_zone = [draft.name for draft in drafts if draft.stream != "tariff" and zone_is_open(draft)]
    zone = (
        f"times of {', '.join(open_zone)} have no offset"
        if open_zone
        else "times have offsets; this is the zone of days in results"
    )
    lines = [Line("timezone", "UTC", zone, check=bool(open_zone))]
    shown = [found for draft in drafts if draft.stream == "charge" and (found := currency_of(draft)) is not None]
    code, how = shown[0] if shown else ("EUR", "no sample shows a currency")
    lines.append(Line("currency", code, how, check=not shown))
    oldest = min((first for draft in drafts if (first := _find_first_time(draft)) is not None), default=None)
    if oldest is not None and now - oldest > _PLAUSIBLE_AGE - timedelta(days=30):
        days = (now - oldest).days + 366
        lines.append(Line("max_age", f"{days}d", f"the oldest record is of {oldest:%Y-%m-%d}", check=True))
    return lines


def _find_first_time(draft: Draft) -> datetime | None:
    times = _read_times(draft)
    first = None if times is None else times.min()
    return first if isinstance(first, datetime) else None


def _read_times(draft: Draft) -> pl.Series | None:
    """Return the starts of a sample's records in their local time; None where no text column has them."""
    if draft.layout.format == "asterisk":
        column, time_format = draft.records.columns["start"], "%d/%m/%Y %H:%M:%S"
    else:
        started = draft.column("started_at")
        if started is None or started.is_typed or draft.stream == "tariff":
            return None
        column, time_format = started, started.times[0][0]
    return utc_times_of_days(column.texts, time_format=time_format, zone="UTC", ambiguous="earliest")


def _propose_rules(
    drafts: Sequence[Draft], shared: Shared, links: Sequence[tuple[Draft, Draft, SharedKey]],
    joined: dict[tuple[str, str], pl.DataFrame],
) -> dict[str, list[Line]]:  # fmt: skip
    streams = {draft.stream for draft in drafts}
    if not {"usage", "charge"} <= streams:
        return {}
    match = [*_match_lines(drafts, links), *_propose_parts(drafts)]
    if "tariff" in streams:
        return {"default": [*match, Line("amount_tolerance", "0.005", "half of the last digit of usual amounts", check=True)]}
    found = _derive_prices(drafts, shared, joined)
    usual = Counter((price.price, price.per) for price in found.values()).most_common(1)
    tables = {"default": usual[0][0] if usual else None} | {
        service: (price.price, price.per) for service, price in found.items() if service and (price.price, price.per) != usual[0][0]
    }
    rules = {}
    for service, key in tables.items():
        lines = [*match, *_price_lines([one for one in found.values() if (one.price, one.per) == key], shared)]
        # A line that concerns all services is marked for checking once.
        rules[service] = [line if service == "default" or line.key == "price" else replace(line, check=False) for line in lines]
    return rules


def _derive_prices(drafts: Sequence[Draft], shared: Shared, joined: dict[tuple[str, str], pl.DataFrame]) -> dict[str, Price]:
    """Return a price by service: from usage and charges with equal keys, else from quantities that charges state themselves."""
    by_name = {draft.name: draft for draft in drafts}
    frames = [(by_name[usage], frame) for (usage, _), frame in joined.items()]
    for draft in drafts:
        amount = draft.column("amount")
        if draft.stream == "charge" and amount is not None:
            amounts = draft.plain(amount.values.cast(pl.String))
            frames.append((draft, pl.DataFrame({"service": draft.services, "quantity": draft.quantities, "amount": amounts})))
    found: dict[str, Price] = {}
    for draft, frame in frames:
        per = shared.scales.get(draft.name, (shared.fine, ""))[0] // shared.fine
        if found and draft.stream == "charge":
            break
        for service, price in prices(frame, by_service=draft.column("service") is not None).items():
            found.setdefault(service, replace(price, per=per))
    return found


def _propose_quantity_tolerance(movements: Sequence[Draft]) -> Line:
    """Return the tolerated difference of quantities: a minute where charges count whole minutes, because these are rounded up."""
    for draft in movements:
        whole = draft.column("quantity")
        if draft.stream == "charge" and draft.unit == "min" and whole is not None and whole.texts.str.contains(r"^\d+$").all():
            return assumed("quantity_tolerance", "60s", f"{draft.name} counts whole minutes")
    return assumed("quantity_tolerance", "1s", "the same")


def _match_lines(drafts: Sequence[Draft], links: Sequence[tuple[Draft, Draft, SharedKey]]) -> list[Line]:
    grace = assumed("grace", "36h", "how long a charge may lag its usage")
    if links:
        return [Line("match", ["session_key"], f"{links[0][2].fit} keys are shared", check=links[0][2].fit.share < 0.5), grace]
    movements = [draft for draft in drafts if draft.stream in ("usage", "charge")]
    usage = sum(draft.records.height for draft in movements if draft.stream == "usage")
    charges = sum(draft.records.height for draft in movements if draft.stream == "charge")
    if all(draft.column("peer") is not None or draft.layout.format == "asterisk" for draft in movements) and charges * 2 > usage:
        near = [
            assumed("start_tolerance", "2s", "by how much two systems may differ"),
            _propose_quantity_tolerance(movements),
        ]
        return [Line("match", ["nearest"], "usage and charges share no key", check=True), *near, grace]
    period = _propose_period(movements)
    return [Line("match", ["aggregate"], "usage and charges share no key: their sums are compared", check=True), period, grace]


def _propose_parts(drafts: Sequence[Draft]) -> list[Line]:
    counters = [draft.name for draft in drafts if draft.known is not None and draft.known.has_counters]
    return (
        [Line("parts", "max", f"interim updates of {', '.join(counters)} count from the start of the session")] if counters else []
    )


def _propose_period(movements: Sequence[Draft]) -> Line:
    """Return the period of charges: a month where every charge begins on the first of a month, and usage also on other days."""
    charges = [_read_times(draft) for draft in movements if draft.stream == "charge"]
    starts = [times for times in charges if times is not None]
    used = [times for draft in movements if draft.stream == "usage" and (times := _read_times(draft)) is not None]
    is_spread = any(bool((times.dt.day() > 1).any()) for times in used)
    months = [(times.dt.day() == 1) & (times.dt.time() == time()) for times in starts]
    if is_spread and months and len(starts) == len(charges) and all(bool(begins.all()) for begins in months):
        return Line("period", "month", f"{sum(map(len, months))} charges begin at the first of a month", check=True)
    return assumed("period", "1d", "the period of a charge")


def _price_lines(explained: Sequence[Price], shared: Shared) -> list[Line]:
    tolerance = Line("amount_tolerance", "0.005", "half of the last digit of usual amounts", check=True)
    if not explained:
        return [tolerance, assumed("price", None, "no sample shows a price: write it here, or add a tariff book")]
    price, per = explained[0].price, shared.fine * explained[0].per
    number = price
    while number != round(number, _KEPT_DECIMALS) or number < Decimal("0.001"):
        number, per = number * 10, per * 10
    fit = Fit(sum(one.fit.count for one in explained), sum(one.fit.of for one in explained))
    lines = [Line("price", f"{number:f}", f"{fit} amounts are {price:f} × quantity; the contract decides", check=True)]
    return [tolerance, *lines, *([Line("price_per", per, "units of quantity that the price is for")] if per > 1 else [])]


# --- the outcome ------------------------------------------------------------------------------------------------------


def _map_sample(draft: Draft, tables: SourceTables, project: ProjectConfig, now: datetime) -> Outcome:
    """Map the sample by its proposed source, with the code of ingestion, so that ingestion gives the same counts."""
    settings = {name: value for name, value in tables.settings.items() if name != "framing"}
    source = with_implied_settings(Config.model_validate({"source": [settings]}).source[0])
    mapping = Mapping(source, project, now)
    accepted, filtered, reasons = 0, 0, Counter[str]()
    names = list(mapping.requested_among(draft.records.available))
    for batch in draft.records.batches(names):
        mapped = mapping.apply(batch, source_id=draft.name, sha256="0" * 64)
        accepted, filtered = accepted + mapped.rows.height, filtered + len(mapped.filtered)
        reasons.update(f"{reason} ({rule})" for reason, rule in mapped.rejected.select("reason", "rule").iter_rows())
    return Outcome(accepted, filtered, dict(reasons.most_common()))
