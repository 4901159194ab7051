"""Record the truth: every leak, fraud and innocent look-alike, with its records, money, and the part of trueup that decides it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from trueup.simulate.catalogue import CODES, KIND_NAMES, KINDS
from trueup.simulate.files.billing import EXTRA, MAIN, PHANTOM, UTC
from trueup.simulate.files.feeds import Names
from trueup.simulate.leaks.leak_assignment import GAPS, LOST, UNBILLED
from trueup.simulate.market.numbering import destinations
from trueup.simulate.market.period import HOUR_US, SECOND_US
from trueup.simulate.market.population import Population
from trueup.simulate.market.services import (
    AMOUNT_TOLERANCE_MICROS,
    CURRENCY,
    EXCHANGE_MICROS,
    NAMES,
    TARIFF_CODES,
    column,
    flat_price,
)
from trueup.simulate.traffic.sessions import NO_NUMBER, numbers
from trueup.units import MICROS

TRUTH: dict[str, pl.DataType] = {
    "leak_id": pl.String(),
    "kind": pl.String(),
    "category": pl.String(),
    "mechanism": pl.String(),
    "mechanism_source": pl.String(),
    "variant": pl.String(),
    "expected_kind": pl.String(),
    "expected_status": pl.String(),
    "kernel_kind": pl.String(),
    "decided_by": pl.String(),
    "decidable": pl.Boolean(),
    "service": pl.String(),
    "subscriber": pl.String(),
    "usage_record_keys": pl.List(pl.String()),
    "charge_record_keys": pl.List(pl.String()),
    "impact_micros": pl.Int64(),
    "exposure_micros": pl.Int64(),
    "currency": pl.String(),
    "knowable_at": UTC,
    "resolved_at": UTC,
    "details": pl.String(),
    "reason": pl.String(),  # the reason that the finding should name
}
"""The columns of `truth.parquet`; a row is one leak, one fraud case or one innocent look-alike."""

LABEL_DELAY_US = 7 * 24 * HOUR_US
"""How long after its end a fraud becomes known."""

_PROVISIONING_GRACE_US = 24 * HOUR_US
"""How long two systems may disagree about a subscription; the default of a project."""

_LATE, _DUPLICATE, _PHANTOM = (CODES[k] for k in ("late_charge", "duplicate_charge", "phantom_charge"))
_CONFLICTS = (CODES["conflicting_usage"], CODES["conflicting_charge"])
_QUANTITIES = (CODES["under_quantity"], CODES["over_quantity"])
_LOOK_ALIKE = CODES["look_alike_records"]
_FINAL_BY_FRONTIER = (*UNBILLED, *GAPS, _LATE, _PHANTOM)


@dataclass
class Ledger:
    """Collects, day by day, the sessions for the truth, with all their records.

    `sessions`: session, service, subscriber, leak, hard, incident, window, keyed, undecidable, node, tariff, destination,
    start_us, expected. `usage`: session, record_key, quantity, stamp_us, lost. `charges`: session, record_key, role,
    quantity_micros, amount_micros, billed_at, started_at. `plain`: finished rows of `TRUTH` without `leak_id`.
    """

    sessions: list[pl.DataFrame] = field(default_factory=list)
    usage: list[pl.DataFrame] = field(default_factory=list)
    charges: list[pl.DataFrame] = field(default_factory=list)
    plain: list[pl.DataFrame] = field(default_factory=list)


def truth_of(ledger: Ledger, incidents: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return the truth ordered by kind and time; `incidents` is `incidents.plan.Incidents.frame`."""
    sessions = _with_records(ledger, names)
    ordinary = sessions.filter(pl.col("incident") == NO_NUMBER)
    parts = [
        _build_leak_rows(ordinary.filter((pl.col("leak") > 0) & ~pl.col("leak").is_in(LOST)), names),
        _build_lost_file_rows(sessions.filter(pl.col("window") != NO_NUMBER), names),
        _build_look_alike_rows(sessions.filter((pl.col("leak") == 0) & pl.col("undecidable"))),
        _build_case_rows(sessions.filter(pl.col("incident") != NO_NUMBER), incidents),
        *ledger.plain,
    ]
    rows = pl.concat([_complete_rows(part) for part in parts])
    order = pl.col("kind").replace_strict(list(KINDS), list(range(len(KINDS))), return_dtype=pl.Int32)
    rows = rows.sort(order, "knowable_at", pl.col("usage_record_keys").list.first(), pl.col("charge_record_keys").list.first(),
                     "subscriber", nulls_last=True)  # fmt: skip
    count = pl.int_range(1, pl.len() + 1).over("kind").cast(pl.String).str.zfill(7)
    return rows.with_columns(leak_id=pl.col("kind") + "-" + count).select(list(TRUTH))


def repeated_usage(keys: pl.Series, records: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return one row per usage record that was sent again unchanged."""
    return _build_single_rows(
        "retransmitted_record", records, names, usage_record_keys=_list_each(keys), knowable_at=records["stamp_us"].cast(UTC)
    )


def repeated_charges(keys: pl.Series, charges: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return one row per charge that was sent again unchanged."""
    when = charges["billed_at"]
    return _build_single_rows("retransmitted_record", charges, names, charge_record_keys=_list_each(keys), knowable_at=when)


def repeated_file(keys: pl.Series, records: pl.DataFrame) -> pl.DataFrame:
    """Return the row of a usage file that was sent twice."""
    return pl.DataFrame({"kind": ["retransmitted_file"], "usage_record_keys": [keys.to_list()]}).with_columns(
        knowable_at=pl.lit(records["stamp_us"].max(), pl.Int64).cast(UTC)
    )


def missed_plan_changes(people: Population, names: Names) -> pl.DataFrame:
    """Return one row per plan change that billing missed; it has no records and, at equal prices, no money."""
    who = np.flatnonzero(people.gap_code == CODES["plan_mismatch"])
    missed = pl.DataFrame({"subscriber": who}, schema={"subscriber": pl.Int64})
    return missed.select(
        kind=pl.lit("plan_mismatch"), expected_kind=pl.lit("plan_mismatch"), expected_status=pl.lit("open"),
        kernel_kind=pl.lit("plan_mismatch"),
        subscriber=names.subscriber(missed), knowable_at=pl.Series(people.gap_us[who]).cast(UTC),
    )  # fmt: skip


def missing_states(people: Population, names: Names) -> pl.DataFrame:
    """Return one row per subscription that the network serves for over a day while billing does not have it active."""
    begins_us = np.maximum(people.gap_us, people.join_us)
    lasting = people.leave_us - begins_us > _PROVISIONING_GRACE_US
    who = np.flatnonzero(np.isin(people.gap_code, GAPS) & lasting)
    missing = pl.DataFrame({"subscriber": who}, schema={"subscriber": pl.Int64})
    begins = pl.Series(begins_us[who])
    return missing.select(
        kind=pl.lit("missing_state"), expected_kind=pl.lit("active_not_billed"), expected_status=pl.lit("open"),
        kernel_kind=pl.lit("active_not_billed"), subscriber=names.subscriber(missing),
        knowable_at=(begins + _PROVISIONING_GRACE_US).cast(UTC),
    )  # fmt: skip


def _build_single_rows(kind: str, frame: pl.DataFrame, names: Names, **columns: pl.Series) -> pl.DataFrame:
    service = pl.Series(NAMES).gather(frame["service"].cast(pl.UInt32))
    return frame.select(kind=pl.lit(kind), service=service, subscriber=names.subscriber(frame), **columns)


def _list_each(keys: pl.Series) -> pl.Series:
    return keys.reshape((len(keys), 1)).arr.to_list() if len(keys) else pl.Series(dtype=pl.List(pl.String))


def _with_records(ledger: Ledger, names: Names) -> pl.DataFrame:
    """Return one row per session with the sums of its usage and charges."""
    sessions = pl.concat(ledger.sessions)
    usage = pl.concat(ledger.usage).group_by("session").agg(
        usage_record_keys=pl.col("record_key").sort_by("stamp_us", "record_key"),
        arrived_keys=pl.col("record_key").filter(~pl.col("lost")).sort(),
        quantity=pl.col("quantity").filter(~pl.col("lost")).sum(),
        lost_quantity=pl.col("quantity").filter("lost").sum(),
        lost_records=pl.col("lost").sum(),
        last_us=pl.col("stamp_us").max(),
        device_micros=pl.col("each_micros").sum(),
    )  # fmt: skip
    role = pl.col("role")
    charges = pl.concat(ledger.charges).group_by("session").agg(
        charge_record_keys=pl.col("record_key").sort(),
        extra_keys=pl.col("record_key").filter(role == EXTRA).sort(),
        main_micros=pl.col("amount_micros").filter(role.is_in([MAIN, PHANTOM])).sum(),
        main_quantity=pl.col("quantity_micros").filter(role == MAIN).sum() // MICROS,
        extra_micros=pl.col("amount_micros").filter(role == EXTRA).sum(),
        charged_micros=pl.col("amount_micros").sum(),
        foreign=(pl.col("currency") != CURRENCY).any(),
        delivered_at=pl.col("billed_at").max(),
        first_charge_us=pl.col("started_at").min().cast(pl.Int64),
    )  # fmt: skip
    rows = sessions.join(usage, on="session", how="left").join(charges, on="session", how="left")
    no_keys = pl.lit([], dtype=pl.List(pl.String))
    zeros = ("quantity", "lost_quantity", "lost_records", "device_micros", "main_micros", "extra_micros", "charged_micros")
    rows = rows.with_columns(
        *(pl.col(c).fill_null(no_keys) for c in ("usage_record_keys", "arrived_keys", "charge_record_keys", "extra_keys")),
        *(pl.col(c).fill_null(0) for c in zeros),
        last_us=pl.coalesce("last_us", "first_charge_us"),
        foreign=pl.col("foreign").fill_null(value=False),
    ).sort("session")  # fmt: skip
    service = numbers(rows, "service")
    aggregate = np.array([name == "iot" for name in NAMES])[service]
    priced = flat_price(service, numbers(rows, "quantity"))
    charged_quantity = numbers(rows.with_columns(pl.col("main_quantity").fill_null(0)), "main_quantity")
    return rows.with_columns(
        # Only the price of the missing quantity counts: parts are rounded one by one, which adds another difference.
        by_quantity_micros=pl.Series(
            np.where(aggregate, numbers(rows, "device_micros"), priced) - flat_price(service, charged_quantity)
        ),
        expected_micros=pl.Series(np.where(aggregate, numbers(rows, "device_micros"), priced)),
        lost_micros=pl.Series(flat_price(service, numbers(rows, "lost_quantity"))),
        grace_us=pl.Series(column("grace_h")[service] * HOUR_US),
        service_name=pl.Series(NAMES).gather(pl.Series(service.astype(np.uint32))),
        subscriber_name=names.subscriber(rows),
    )


def _build_leak_rows(sessions: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return one row per leaking session, at the grain of the expected finding."""
    leak = pl.col("leak")
    difference = pl.col("expected_micros") - pl.col("main_micros")
    in_euro = pl.col("main_micros") * MICROS // EXCHANGE_MICROS
    impact = (
        pl.when(leak.is_in(_CONFLICTS) | (leak == CODES["reversed_duplicate"])).then(0)
        .when(leak == _DUPLICATE).then(-pl.col("extra_micros"))
        .when(leak.is_in(_QUANTITIES) & (pl.col("service_name") != "iot")).then("by_quantity_micros")
        .when(leak == _LATE).then(pl.col("expected_micros"))
        .when(pl.col("foreign")).then(pl.col("expected_micros") - in_euro)
        .otherwise(difference)
    )  # fmt: skip
    by_frontier = leak.is_in(_FINAL_BY_FRONTIER) | (pl.col("parts") > 1) | (pl.col("service_name") == "iot")
    grace_end = (pl.col("last_us") + pl.col("grace_us")).cast(UTC)
    # Without a shared key, quantities that differ have no nearest match: reconciliation raises two findings, not one.
    unmatchable = ~pl.col("keyed") & (pl.col("service_name") != "iot") & leak.is_in(_QUANTITIES)
    within_tolerance = (leak == CODES["wrong_rounding"]) & (difference.abs() <= AMOUNT_TOLERANCE_MICROS)
    expected = pl.when(within_tolerance).then(None).otherwise(_replace_kinds("expected_kind"))
    # Charges in another currency do not match their usage: again two findings.
    kernel = (
        pl.when(within_tolerance | unmatchable | pl.col("undecidable") | pl.col("foreign"))
        .then(None)
        .otherwise(_replace_kinds("kernel_kind"))
    )
    return sessions.with_columns(
        kind=_replace_kinds("name"), variant=pl.when("hard").then(pl.lit("hard")).otherwise(pl.lit("plain")),
        expected_kind=expected, kernel_kind=kernel, decidable=~(pl.col("undecidable") | unmatchable | within_tolerance),
        reason=pl.when((leak == CODES["wrong_tariff_version"]) & pl.col("hard")).then(pl.lit("coming_version"))
        .otherwise(_replace_kinds("reason")),
        expected_status=pl.when(leak == _LATE).then(pl.lit("resolved")).when(expected.is_not_null()).then(pl.lit("open")),
        service=pl.col("service_name"), subscriber=pl.col("subscriber_name"), usage_record_keys=pl.when(pl.col("lost_records") > 0)
        .then("arrived_keys").otherwise("usage_record_keys"),
        charge_record_keys=pl.when((leak == _DUPLICATE) & pl.col("keyed")).then("extra_keys").otherwise("charge_record_keys"),
        impact_micros=impact, exposure_micros=pl.lit(0, pl.Int64),
        knowable_at=pl.when(by_frontier).then(grace_end).otherwise(pl.max_horizontal("delivered_at", pl.col("last_us").cast(UTC))),
        resolved_at=pl.when(leak == _LATE).then("delivered_at"),
        details=_format_details(names),
    )  # fmt: skip


def _replace_kinds(field_name: str) -> pl.Expr:
    texts = [None, *(getattr(kind, field_name) for kind in KINDS.values())]
    return pl.col("leak").replace_strict(list(range(len(KIND_NAMES))), texts, return_dtype=pl.String)


def _format_details(names: Names) -> pl.Expr:
    prefixes = [f"+{d.prefix}" for d in destinations()]
    return pl.struct(
        node=pl.col("node").replace_strict(list(range(len(names.network.names))), names.network.names.to_list(), default=None),
        tariff=pl.col("tariff").replace_strict(list(range(len(TARIFF_CODES))), list(TARIFF_CODES), default=None),
        destination=pl.col("destination").replace_strict(list(range(len(prefixes))), prefixes, default=None),
        keyed="keyed", parts="parts", expected_micros="expected_micros", charged_micros="charged_micros",
        delivered_at=pl.col("delivered_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    ).struct.json_encode()  # fmt: skip


def _build_lost_file_rows(sessions: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return one row per lost file or lost part of a file: the lost records and the charges without usage."""
    # Where a session also leaks in another way, the row of that leak has its money.
    by_loss = pl.col("leak").is_in(LOST)
    grouped = sessions.group_by("window").agg(
        leak=pl.col("leak").filter(by_loss).first(), node=pl.col("node").first(),
        service=pl.col("service_name").first(), services=pl.col("service_name").n_unique(),
        usage_record_keys=pl.col("usage_record_keys").filter(by_loss).list.explode(keep_nulls=False, empty_as_null=False).sort(),
        charge_record_keys=pl.col("charge_record_keys").filter(by_loss).list.explode(keep_nulls=False, empty_as_null=False).sort(),
        impact_micros=(pl.col("expected_micros") - pl.col("charged_micros")).filter(by_loss).sum(),
        lost_records=pl.col("lost_records").sum(), lost_micros=pl.col("lost_micros").sum(),
        touched_sessions=pl.len(), from_us=pl.col("start_us").min(), to_us=pl.col("last_us").max(),
        known=(pl.col("last_us") + pl.col("grace_us")).max().cast(UTC),
    ).drop_nulls("leak").sort("window")  # fmt: skip
    nodes = names.network.names.to_list()
    node = pl.col("node").replace_strict(list(range(len(nodes))), nodes, return_dtype=pl.String)
    return grouped.with_columns(
        kind=_replace_kinds("name"), variant=pl.lit("plain"), expected_kind=_replace_kinds("expected_kind"),
        kernel_kind=_replace_kinds("kernel_kind"), decidable=pl.lit(True), expected_status=pl.lit("open"),
        service=pl.when(pl.col("services") == 1).then("service"), subscriber=pl.lit(None, pl.String),
        exposure_micros=pl.col("lost_micros"), knowable_at="known", resolved_at=pl.lit(None, UTC),
        details=pl.struct(
            "lost_records", "lost_micros", "touched_sessions", node=node,
            from_time=pl.col("from_us").cast(UTC).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            to_time=pl.col("to_us").cast(UTC).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        ).struct.json_encode(),
    )  # fmt: skip


def _build_look_alike_rows(sessions: pl.DataFrame) -> pl.DataFrame:
    """Return one row per clean session that a nearest match may mistake for another."""
    return sessions.with_columns(
        kind=pl.lit(KIND_NAMES[_LOOK_ALIKE]), variant=pl.lit("plain"), expected_kind=pl.lit(None, pl.String),
        kernel_kind=pl.lit(None, pl.String), decidable=pl.lit(False), expected_status=pl.lit(None, pl.String),
        service=pl.col("service_name"), subscriber=pl.col("subscriber_name"), impact_micros=pl.lit(0, pl.Int64),
        exposure_micros=pl.lit(0, pl.Int64), knowable_at=(pl.col("last_us") + pl.col("grace_us")).cast(UTC),
        resolved_at=pl.lit(None, UTC), details=pl.struct("keyed", "expected_micros", "charged_micros").struct.json_encode(),
    )  # fmt: skip


def _build_case_rows(sessions: pl.DataFrame, incidents: pl.DataFrame) -> pl.DataFrame:
    """Return one row per fraud case or innocent case, with all its records."""
    grouped = sessions.group_by("incident").agg(
        usage_record_keys=pl.col("arrived_keys").list.explode(keep_nulls=False, empty_as_null=False).sort(),
        charge_record_keys=pl.col("charge_record_keys").list.explode(keep_nulls=False, empty_as_null=False).sort(),
        service=pl.col("service_name").first(), services=pl.col("service_name").n_unique(),
        exposure_micros=pl.col("expected_micros").sum(),
        from_us=pl.col("start_us").min(), to_us=pl.col("last_us").max(), sessions=pl.len(),
    )  # fmt: skip
    cases = incidents.join(grouped, on="incident", how="inner").sort("incident")
    return cases.with_columns(
        expected_kind=pl.lit(None, pl.String), kernel_kind=pl.lit(None, pl.String), expected_status=pl.lit(None, pl.String),
        decidable=pl.lit(True), service=pl.when(pl.col("services") == 1).then("service"), impact_micros=pl.lit(0, pl.Int64),
        knowable_at=(pl.col("to_us") + LABEL_DELAY_US).cast(UTC), resolved_at=pl.lit(None, UTC),
        details=pl.struct(
            "sessions", "subscribers", "note", label_delay_s=pl.lit(LABEL_DELAY_US // SECOND_US),
            from_time=pl.col("from_us").cast(UTC).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            to_time=pl.col("to_us").cast(UTC).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        ).struct.json_encode(),
    )  # fmt: skip


def _complete_rows(part: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that depend on the kind alone, and cast all columns to `TRUTH`."""

    def of_kind(field_name: str) -> pl.Expr:
        texts = [getattr(kind, field_name) for kind in KINDS.values()]
        return pl.col("kind").replace_strict(list(KINDS), texts, return_dtype=pl.String)

    rows = part.with_columns(
        leak_id=pl.lit(None, pl.String), category=of_kind("category"), mechanism=of_kind("mechanism"),
        mechanism_source=of_kind("source"), decided_by=of_kind("decided_by"),
        currency=pl.col("currency").fill_null(CURRENCY) if "currency" in part.columns else pl.lit(CURRENCY),
    )  # fmt: skip
    usual: dict[str, object] = {"variant": "plain", "decidable": True, "impact_micros": 0, "exposure_micros": 0, "details": "{}"}
    missing = [pl.lit(usual.get(name), dtype).alias(name) for name, dtype in TRUTH.items() if name not in rows.columns]
    empty_lists = [pl.col(n).fill_null(pl.lit([], dtype=pl.List(pl.String))) for n in ("usage_record_keys", "charge_record_keys")]
    return rows.with_columns(missing).with_columns(empty_lists).select(list(TRUTH)).cast(dict(TRUTH))  # type: ignore[arg-type]
