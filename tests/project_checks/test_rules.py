"""Rules of project checks: the problems each finds, and sound settings without one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trueup.project_checks.check import COLLECTION_RULES, DELIVERY_RULES, FILE_RULES, LOG_RULES, SETTING_RULES
from trueup.project_checks.log_summary import LogSummary, MovedRecords, OtherZones, RefusedUnit, SameContent, SourceDeliveries
from trueup.project_checks.problem import Problem

Find = Callable[..., list[Problem]]

USAGE = 'columns = { record_key = "id", session_key = "id", subscriber = "caller", started_at = "start", quantity = "seconds" }'
_INVOICES = (
    '[[source]]\nname = "bills"\nstream = "invoice"\npath = "landing/bills/*.csv"\nconstants = { kind = "invoice" }\n'
    'columns = { record_key = "n", number = "n", account = "a", net = "x", tax = "y", total = "z", billed_at = "t" }\n'
)
CHARGES = 'columns = { record_key = "line", session_key = "id", subscriber = "caller", started_at = "start", amount = "amount" }'
BOOK = """
[[source]]
name = "book"
stream = "tariff"
path = "book.csv"
identity = "content"
"""
STATES = """
[project]
timezone = "UTC"
[[source]]
name = "states"
stream = "subscriber"
path = "states.csv"
identity = "content"
columns = { system = "system", subscriber = "msisdn", status = "status", valid_from = "from" }
"""
DELIVERIES = {
    "msc": SourceDeliveries("usage", 2, ("landing/msc/a.csv",)),
    "billing": SourceDeliveries("charge", 1, ("landing/billing/b.csv",)),
}
VOICE = LogSummary(DELIVERIES, used=frozenset({"voice"}), billed={"voice": frozenset({"EUR"})})


def keys_of(problems: list[Problem]) -> list[tuple[str, str, str]]:
    return [(p.rule, p.severity, p.where) for p in problems]


def test_a_sound_project_has_no_problem(find: Find) -> None:
    assert find(log=VOICE, collects=True) == []


SETTINGS = {
    "a source of charges is missing": (
        [('stream = "charge"', 'stream = "usage"'), ('amount = "amount"', 'quantity = "amount"')], "",
        ("one-sided", "warning", "trueup.toml"), "stream charge",
    ),
    "a source of usage is missing": (
        [('stream = "usage"', 'stream = "charge"'), ('quantity = "seconds"', 'amount = "seconds"')], "",
        ("one-sided", "warning", "trueup.toml"), "stream usage",
    ),
    "charges without an amount": (
        [(', amount = "amount"', "")], "", ("unmapped-column", "error", "[[source]] billing"), "amount",
    ),
    "usage without a time": (
        [(', started_at = "start", quantity', ", quantity")], "", ("unmapped-column", "error", "[[source]] msc"), "started_at",
    ),
    "an unknown encoding": (
        [('lateness = "1h"', 'encoding = "utf-9"')], "", ("unreadable-setting", "error", "[[source]] msc"), "utf-9",
    ),
    "an invalid time format": (
        [('lateness = "1h"', 'time_format = "%Q"')], "", ("unreadable-setting", "error", "[[source]] msc"), "%Q",
    ),
    "a condition that is not permitted": (
        [('lateness = "1h"', 'where = "random() > seconds"')], "", ("unreadable-setting", "error", "[[source]] msc"), "RANDOM",
    ),
    "an expression that is not permitted": (
        [('quantity = "seconds"', 'quantity = { expression = "seconds % 2" }')], "",
        ("unreadable-setting", "error", "[[source]] msc"), "uses %",
    ),
    "a duration of computed numbers": (
        [('quantity = "seconds"', 'quantity = { expression = "seconds * 2", duration = "m:s" }')], "",
        ("unused-setting", "error", "[[source]] msc"), "duration of quantity has no effect with an `expression` of numbers",
    ),
    "a condition beside numbered records": (
        [('lateness = "1h"', 'where = "seconds > 0"\nfeed = { record = "(?P<sequence>[0-9]+)" }')], "",
        ("numbered-beside-filter", "warning", "[[source]] msc, where"), "look missing",
    ),
    "charges without a subscriber": (
        [(CHARGES, CHARGES.replace('subscriber = "caller", ', ""))], "",
        ("unmapped-owner", "warning", "[[source]] billing"), "subscriber",
    ),
    "usage without a session key": (
        [(USAGE, USAGE.replace('session_key = "id", ', ""))], "",
        ("unmapped-session-key", "warning", "[reconcile.voice]"), "usage",
    ),
    "a currency of the project in small letters": (
        [('currency = "EUR"', 'currency = "eur"')], "", ("unknown-currency", "error", "[project] currency"), "write EUR",
    ),
    "an unknown currency of a price": (
        [('price = "0.01"', 'price = "0.01"\ncurrency = "XXX"')], "",
        ("unknown-currency", "error", "[reconcile.voice] currency"), "'XXX' is not a currency",
    ),
    "an unknown currency of charges": (
        [(CHARGES, CHARGES + '\nconstants.currency = "EURO"'), ('constants = { service = "voice" }\n\n[rec', "[rec")], "",
        ("unknown-currency", "error", "[[source]] billing, currency"), "'EURO'",
    ),
    "an unknown currency in a map of values": (
        [(CHARGES, CHARGES[:-2] + ', currency = { column = "c", map = { "1" = "EUR", "2" = "US" } } }')], "",
        ("unknown-currency", "error", "[[source]] billing, currency"), "'US'",
    ),
    "a currency without a setting": (
        [('currency = "EUR"\n', "")], "", ("implied-currency", "notice", "[project] currency"), "billing count as EUR",
    ),
    "a price in another currency than all charges": (
        [('price = "0.01"', 'price = "0.01"\ncurrency = "USD"')], "",
        ("currency-mismatch", "warning", "[reconcile.voice]"), "priced in USD, but all its charges are in EUR",
    ),
    "a service without a price": (
        [('price = "0.01"\n', "")], "", ("service-without-price", "warning", "[reconcile.voice]"), "voice",
    ),
    "counters of RADIUS that are added": (
        [('lateness = "1h"', 'format = "radius"')], "", ("summed-counters", "warning", "[reconcile.voice]"), "count from the start of the session",
    ),
    "an encoding of RADIUS attributes": (
        [('lateness = "1h"', 'format = "radius"\nencoding = "cp1252"\nwhere = "kind = \'Stop\'"')], "",
        ("unused-setting", "error", "[[source]] msc"), 'encoding has no effect with format = "radius"',
    ),
    "a source of a service without a table": (
        [('seconds" }\nconstants = { service = "voice" }', 'seconds" }\nconstants = { service = "Voice" }')],
        "[reconcile.sms]\nprice = '1'\n", ("service-without-rule", "warning", "[[source]] msc"), "is 'Voice' the table 'voice'?",
    ),
    "a grace longer than the horizon": (
        [('grace = "1h"', 'grace = "63d"')], "", ("grace-beyond-horizon", "warning", "[reconcile.voice] grace"), "horizon",
    ),
    "sums of a period and its grace longer than the horizon": (
        [('grace = "1h"', 'grace = "32d"\nmatch = ["aggregate"]\nperiod = "month"')], "",
        ("sum-beyond-horizon", "warning", "[reconcile.voice] period"), "horizon",
    ),
    "a lateness longer than the horizon": (
        [('lateness = "1h"', 'lateness = "63d"')], "", ("lateness-beyond-horizon", "warning", "[[source]] msc, lateness"), "horizon",
    ),
    "a source that is idle between its deliveries": (
        [('lateness = "1h"', 'idle_after = "1h"\nfeed.every = "1d"')], "",
        ("idle-between-deliveries", "warning", "[[source]] msc, idle_after"), "every",
    ),
    "a project without a time zone": (
        [('timezone = "UTC"\n', "")], "", ("implied-timezone", "notice", "[project] timezone"), "UTC",
    ),
    "a delimiter of NDJSON": (
        [('lateness = "1h"', 'format = "ndjson"\ndelimiter = ";"')], "",
        ("unused-setting", "error", "[[source]] msc"), 'delimiter has no effect with format = "ndjson"',
    ),
    "an encoding of Parquet": (
        [('lateness = "1h"', 'format = "parquet"\nencoding = "cp1252"')], "",
        ("unused-setting", "error", "[[source]] msc"), "encoding has no effect",
    ),
    "skipped lines of Parquet": (
        [('lateness = "1h"', 'format = "parquet"\nskip_lines = 1')], "",
        ("unused-setting", "error", "[[source]] msc"), "skip_lines has no effect",
    ),
    "a repeated header without header": (
        [('lateness = "1h"', "header = false\nrepeated_header = true")], "",
        ("unused-setting", "error", "[[source]] msc"), "repeated_header has no effect with header = false",
    ),
    "a marker without effect": (
        [('lateness = "1h"', 'marker = ".ok"')], "", ("unused-setting", "error", "[[source]] msc"), 'complete = "marker"',
    ),
    "an idle time of states": (
        [], '[[source]]\nname = "crm"\nstream = "subscriber"\npath = "landing/crm/*.csv"\nidentity = "content"\nidle_after = "1h"\n'
        'columns = { subscriber = "a", status = "s", valid_from = "f" }\nconstants = { system = "network" }\n',
        ("unused-setting", "error", "[[source]] crm"), 'idle_after has no effect with stream = "subscriber"',
    ),
    "rules of invoices without invoices": (
        [], '[invoice]\ngrace = "5d"\n', ("unused-setting", "error", "[invoice]"), 'grace has no effect without a source with stream = "invoice"',
    ),
    "an idle time of invoices": (
        [], _INVOICES + 'idle_after = "1h"\n',
        ("unused-setting", "error", "[[source]] bills"), 'idle_after has no effect with stream = "invoice"',
    ),
    "a tax of an unknown currency": (
        [], _INVOICES + '[[invoice.tax]]\ncurrency = "EUX"\nvalid_from = 2026-01-01\nrate = "0.19"\n',
        ("unknown-currency", "error", "[[invoice.tax]]"), "'EUX' is not a currency",
    ),
    "a lateness of a declared frontier": (
        [('lateness = "1h"', 'lateness = "1h"\nfrontier = "declared"')], "",
        ("unused-setting", "error", "[[source]] msc"), "lateness has no effect",
    ),
    "a scale of a text": (
        [('subscriber = "caller", started_at = "start", quantity', 'subscriber = { column = "c", scale = 2 }, started_at = "start", quantity')], "",
        ("unused-setting", "error", "[[source]] msc"), "scale of subscriber",
    ),
    "a map of a decimal": (
        [('quantity = "seconds"', 'quantity = { column = "s", map = { a = "1" } }')], "",
        ("unused-setting", "error", "[[source]] msc"), "map of quantity",
    ),
    "a period without aggregate match": (
        [('grace = "1h"', 'grace = "1h"\nperiod = "7d"')], "", ("unused-setting", "error", "[reconcile.voice]"), "period",
    ),
    "cycles without a cycle day": (
        [('grace = "1h"', 'grace = "1h"\nmatch = ["aggregate"]\nperiod = "cycle"')], "",
        ("unused-setting", "error", "[reconcile.voice]"), 'period = "cycle" has no effect without a column for cycle_day',
    ),
    "a tolerance of quantities of several services": (
        [], '[reconcile.line]\nmatch = ["aggregate"]\ncovers = ["sms"]\nquantity_tolerance = "1s"\n',
        ("unused-setting", "error", "[reconcile.line]"), "quantity_tolerance has no effect with `covers`",
    ),
    "a wait of a covered service": (
        [], '[reconcile.line]\nmatch = ["aggregate"]\ncovers = ["sms"]\n[reconcile.sms]\nprice = "1"\ngrace = "1h"\n',
        ("unused-setting", "error", "[reconcile.sms]"), "grace has no effect where [reconcile.line] covers the service",
    ),
    "a delay of deliveries without an interval": (
        [('lateness = "1h"', 'feed.late_after = "1h"')], "", ("unused-setting", "error", "[[source]] msc"), "late_after of feed",
    ),
    "a record key beside the position": (
        [('lateness = "1h"', 'identity = "position"')], "", ("unused-setting", "error", "[[source]] msc"), "record_key has no effect",
    ),
    "a version of records that have no key of their own": (
        [(USAGE, USAGE.replace('record_key = "id"', 'record_version = "rev"')), ('lateness = "1h"', 'identity = "content"')], "",
        ("unused-setting", "error", "[[source]] msc"), 'record_version has no effect with identity = "content"',
    ),
    "lines of bills without a key of the bill": (
        [(CHARGES, CHARGES.replace('session_key = "id", ', "") + "\nbill_lines = true")], "",
        ("unused-setting", "error", "[[source]] billing"), "bill_lines has no effect without a column for session_key",
    ),
    "counters of sessions without a key of the session": (
        [(USAGE, USAGE.replace('session_key = "id", ', "")), ('grace = "1h"', 'grace = "1h"\nparts = "last"')], "",
        ("unused-setting", "error", "[reconcile.voice]"), "parts has no effect without a column for session_key",
    ),
    "a range of a column that is not mapped": (
        [(CHARGES, CHARGES + '\nrange = { quantity = ["0", "1"] }')], "",
        ("unused-setting", "error", "[[source]] billing"), "range of quantity has no effect without a column for quantity",
    ),
    "a declared sum of a column that is not mapped": (
        [(CHARGES, CHARGES + "\nframing = { trailer = '^T(?P<quantity>[0-9]+)' }")], "",
        ("unused-setting", "error", "[[source]] billing"), "the group quantity of framing has no effect without a column for quantity",
    ),
    "fields of fixed width in a file of another format": (
        [('lateness = "1h"', 'fixed = { fields = [{ name = "id", length = 3 }] }')], "",
        ("unused-setting", "error", "[[source]] msc"), 'fixed has no effect with format = "csv"',
    ),
    "a sheet of a file that is no workbook": (
        [('lateness = "1h"', 'sheet = "May"')], "",
        ("unused-setting", "error", "[[source]] msc"), 'sheet has no effect with format = "csv"',
    ),
    "a list of records in a file that is no JSON": (
        [('lateness = "1h"', 'records = "calls"')], "",
        ("unused-setting", "error", "[[source]] msc"), 'records has no effect with format = "csv"',
    ),
    "an element of a file that is no XML": (
        [('lateness = "1h"', 'element = "CDR"')], "",
        ("unused-setting", "error", "[[source]] msc"), 'element has no effect with format = "csv"',
    ),
    "record types of a file of JSON": (
        [('lateness = "1h"', 'format = "ndjson"\nrecord_type = { field = 1, values = ["20"] }')], "",
        ("unused-setting", "error", "[[source]] msc"), 'record_type has no effect with format = "ndjson"',
    ),
    "an encoding of a workbook": (
        [('lateness = "1h"', 'format = "xlsx"\nencoding = "latin-1"')], "",
        ("unused-setting", "error", "[[source]] msc"), 'encoding has no effect with format = "xlsx"',
    ),
    "a delimiter of a file of fixed width": (
        [('lateness = "1h"', 'format = "fixed"\ndelimiter = ";"\nfixed = { fields = [{ name = "id", length = 3 }] }')], "",
        ("unused-setting", "error", "[[source]] msc"), 'delimiter has no effect with format = "fixed"',
    ),
    "a zone of times that count from 1970": (
        [('lateness = "1h"', 'time_format = "epoch_s"\ntimezone = "Europe/Berlin"')], "",
        ("unused-setting", "error", "[[source]] msc"), "timezone has no effect with times that count from 1970",
    ),
    "a format of times without times": (
        [(CHARGES, CHARGES.replace(', started_at = "start"', "") + '\ntime_format = "epoch_s"')], "",
        ("unused-setting", "error", "[[source]] billing"), "time_format has no effect without a column of times",
    ),
    "a time limit of no command": (
        [], '[anchor]\nkey = "k"\ntimeout = "5s"\n', ("unused-setting", "error", "[anchor]"), "without `to_command`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
def test_wrong_settings_are_reported(find: Find, case: str) -> None:
    changes, added, expected, words = SETTINGS[case]
    problems = [p for p in find(*changes, added=added) if (p.rule, p.severity, p.where) == expected]
    assert len(problems) == 1, [str(p) for p in find(*changes, added=added)]
    assert words in str(problems[0])
    assert problems[0].todo


def test_every_rule_about_settings_has_a_case(find: Find) -> None:
    assert {rule.id for rule in SETTING_RULES} - {case[2][0] for case in SETTINGS.values()} == {"no-source"}


def test_a_project_without_a_source_is_reported(find: Find, tmp_path: Path) -> None:
    from trueup.config import Project, parse
    from trueup.project_checks.check import project_problems

    assert keys_of(project_problems(Project(tmp_path, parse("")))) == [("no-source", "warning", "trueup.toml")]
    assert [p.what for p in project_problems(Project(tmp_path, parse(STATES)))] == [
        "no source has the stream usage or charge, so nothing can be reconciled"
    ]


@pytest.mark.parametrize("code", ["HRK", "DEM", "BGN", "XDR", "XAU"])
def test_withdrawn_currencies_and_units_of_account_are_currencies(find: Find, code: str) -> None:
    assert find(('currency = "EUR"', f'currency = "{code}"')) == []


def test_a_project_may_add_units_of_money(find: Find) -> None:
    assert find(('currency = "EUR"', 'currency = "points"\nfurther_currencies = ["points"]')) == []


def test_the_tariff_book_prices_services_without_a_price(find: Find, tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_text("item\n", "utf-8")
    assert find(('price = "0.01"\n', ""), added=BOOK) == []


def test_charges_without_a_fixed_service_may_be_in_any_currency(find: Find) -> None:
    open_service = ('constants = { service = "voice" }\n\n[rec', "[rec")
    assert find(open_service, ('price = "0.01"', 'price = "0.01"\ncurrency = "USD"')) == []


def test_counters_of_radius_may_be_the_last_of_a_session_or_of_stops_alone(find: Find) -> None:
    radius = ('lateness = "1h"', 'format = "radius"')
    assert find(radius, ('price = "0.01"', 'price = "0.01"\nparts = "last"')) == []
    assert find((radius[0], f"{radius[1]}\nwhere = \"kind = 'Stop'\"")) == []


def test_reconcile_default_covers_every_service(find: Find) -> None:
    assert find(('"voice" }', '"sms" }'), ("[reconcile.voice]", "[reconcile.default]")) == []


# --- files ------------------------------------------------------------------------------------------------------------


def shared(find: Find, *changes: tuple[str, str]) -> list[str]:
    return [p.what for p in find(*changes) if p.rule == "shared-file"]


def test_two_sources_must_not_read_one_file(find: Find) -> None:
    problems = find(('"landing/billing/*.csv"', '"landing/**/*.csv"'))
    assert keys_of(problems) == [("shared-file", "error", "landing/msc/a.csv")]
    assert problems[0].what == "sources msc and billing read the same file"


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_counts_as_its_target(find: Find, tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    link(tmp_path / "landing/msc/a.csv", tmp_path / "landing/billing/other.csv")
    assert shared(find) == ["sources msc and billing read the same file"]


def test_files_are_counted_and_one_is_named(find: Find, tmp_path: Path) -> None:
    (tmp_path / "landing/msc/b.csv").write_text("y\n", "utf-8")
    assert shared(find, ('"landing/billing/*.csv"', '["landing/billing/*.csv", "landing/m*/*"]')) == [
        "sources msc and billing read the same file and 1 more"
    ]


def test_sources_of_one_key_scope_must_not_read_one_file(find: Find) -> None:
    scoped = ('lateness = "1h"', 'lateness = "1h"\nkey_scope = "all"')
    assert shared(find, scoped, ('stream = "charge"', 'stream = "charge"\nkey_scope = "all"')) == []
    assert (
        shared(find, scoped, ('stream = "charge"', 'stream = "charge"\nkey_scope = "all"'), ("landing/billing", "landing/*")) != []
    )


def test_a_file_of_both_streams_may_be_shared_intentionally(find: Find) -> None:
    path, msc = ("landing/billing", "landing/*"), ('lateness = "1h"', 'lateness = "1h"\nshared_files = true')
    billing = ('stream = "charge"', 'stream = "charge"\nshared_files = true')
    assert len(shared(find, path, msc)) == 1
    assert shared(find, path, msc, billing) == []


def test_markers_and_manifests_do_not_count_as_shared_files(find: Find, tmp_path: Path) -> None:
    for name in ("landing/msc/a.csv.done", "landing/msc/a.csv.ctl"):
        (tmp_path / name).write_text("1\n", "utf-8")
    marked = ('"landing/msc/*.csv"', '"landing/msc/*"\ncomplete = "marker"')
    assert len(shared(find, marked, ('"landing/billing/*.csv"', '"landing/msc/*.done"'))) == 0
    declared = ('"landing/msc/*.csv"', '"landing/msc/a*"\nmanifest = { path = "{name}.ctl", pattern = "(?P<records>[0-9]+)" }')
    assert len(shared(find, declared, ('"landing/billing/*.csv"', '"landing/msc/*.ctl"'))) == 0


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("**/*.parquet", "lake/data/events/control/ducklake-0.parquet"),
        ("lake/data/landing/*.csv", "lake/data"),
        ("lake/*", "lake/catalog.sqlite"),
        ("*", "trueup.toml"),
        ("*.duckdb", "leakage.duckdb"),
        ("./*.toml", "trueup.toml"),
    ],
)
def test_a_source_must_not_read_files_of_trueup(find: Find, path: str, own: str) -> None:
    problems = find(("landing/billing/*.csv", path))
    assert ("own-file", "error", "[[source]] billing") in keys_of(problems)
    assert own in next(p.what for p in problems if p.rule == "own-file")


@pytest.mark.parametrize("path", ["landing/**/b.csv", "lake/landing/*.csv", "*.csv", "**/*.csv.gz", "landing/[ab].csv"])
def test_a_pattern_of_other_files_raises_no_problem(find: Find, path: str) -> None:
    assert [p for p in find(("landing/billing/*.csv", path)) if p.rule == "own-file"] == []


def test_the_published_file_must_not_match_a_source(find: Find, tmp_path: Path) -> None:
    (problems,) = find(("landing/billing/*.csv", "landing/billing/*"), published=tmp_path / "landing/billing/leakage.duckdb")
    assert (problems.rule, problems.severity) == ("own-file", "error")
    assert "landing/billing/leakage.duckdb" in problems.what


def test_a_path_with_an_unset_variable_is_a_problem_for_collection_only(find: Find) -> None:
    change = ("landing/billing/*.csv", "${TRUEUP_NOT_SET}/*.csv")
    assert find(change) == []
    assert keys_of(find(change, collects=True)) == [("unresolved-path", "error", "[[source]] billing")]


# --- the log ----------------------------------------------------------------------------------------------------------


def test_a_pattern_without_a_file_is_reported(find: Find) -> None:
    problems = find(("landing/billing/*.csv", "landing/bills/*.csv"), log=VOICE)
    assert keys_of(problems) == [("empty-pattern", "notice", "[[source]] billing")]
    assert "landing/bills/*.csv" in problems[0].what


def test_a_pattern_whose_files_were_moved_away_raises_no_problem(find: Find, tmp_path: Path) -> None:
    (tmp_path / "landing/billing/b.csv").unlink()
    assert find(log=VOICE) == []
    assert keys_of(find(log=LogSummary())) == [("empty-pattern", "notice", "[[source]] billing")]


LOGS = {
    "same content": (
        LogSummary(DELIVERIES, (SameContent("billing", "msc", 2, "landing/msc/a.csv"),)), [], "",
        ("same-content", "warning", "landing/msc/a.csv"), "2 files",
    ),
    "a correction of the bucket key": (
        replace(VOICE, moved=(MovedRecords("billing", "charge", 2, "r7"),)), [], "",
        ("moved-record", "warning", "[[source]] billing"), "2 charge records such as r7 have versions with different subscriber",
    ),
    "sums of subscriptions in another zone": (
        replace(VOICE, other_zones=OtherZones(3, "Asia/Makassar")), [('price = "0.01"', 'price = "0.01"\nmatch = ["aggregate"]')], "",
        ("sums-of-other-zones", "warning", "[reconcile.voice]"), "subscriptions (3) have another time zone, such as Asia/Makassar",
    ),
    "a file refused whole": (
        replace(VOICE, refused=(RefusedUnit("msc", "landing/msc/a.csv", 3, 3, "bad_time: started_at: is a time"),)), [], "",
        ("refused-file", "warning", "landing/msc/a.csv"), "all 3 records of this file are in quarantine (bad_time",
    ),
    "files refused in part": (
        replace(VOICE, refused=tuple(RefusedUnit("msc", f"landing/msc/{n}.csv", 99, 1, "bad_time: x") for n in "ab")), [], "",
        ("refused-share", "warning", "landing/msc/b.csv"), "1 of 99 records of this file and of 1 more of its files",
    ),
    "never closed": (
        VOICE, [('lateness = "1h"', 'frontier = "declared"')], "",
        ("never-closed", "notice", "[[source]] msc"), "trueup close --source msc",
    ),
    "charges without a time": (
        VOICE, [(CHARGES, CHARGES.replace('started_at = "start", ', ""))], "",
        ("never-closed", "notice", "[[source]] billing"), "billing",
    ),
    "a service in the data without a table": (
        LogSummary(DELIVERIES, used=frozenset({"voice", "Sms"})), [('constants = { service = "voice" }\n\n[rec', "[rec")],
        "[reconcile.sms]\nprice = '1'\n", ("service-without-rule", "warning", "[reconcile]"), "is 'Sms' the table 'sms'?",
    ),
    "usage that the tariff book does not rate": (
        LogSummary(DELIVERIES, used=frozenset({"voice"}), rated=frozenset({"sms"})), [('price = "0.01"\n', "")], BOOK,
        ("service-without-price", "warning", "[reconcile.voice]"), "usage of voice without a price",
    ),
    "a table without records": (
        LogSummary(DELIVERIES, used=frozenset({"voice"}), unseen=("voise",)), [], "[reconcile.voise]\nprice = '1'\n",
        ("service-without-records", "notice", "[reconcile.voise]"), "voise",
    ),
    "charges of the log in another currency": (
        LogSummary(DELIVERIES, used=frozenset({"voice"}), billed={"voice": frozenset({"USD", "CHF"})}), [], "",
        ("currency-mismatch", "warning", "[reconcile.voice]"), "all its charges in the log are in CHF, USD",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOGS)
def test_problems_in_the_log_are_reported(find: Find, case: str) -> None:
    log, changes, added, expected, words = LOGS[case]
    problems = [p for p in find(*changes, added=added, log=log) if (p.rule, p.severity, p.where) == expected]
    assert len(problems) == 1, [str(p) for p in find(*changes, added=added, log=log)]
    assert words in str(problems[0])


def test_every_rule_about_the_log_has_a_case() -> None:
    assert {rule.id for rule in LOG_RULES} - {case[3][0] for case in LOGS.values()} == {"empty-pattern"}


def test_rules_of_one_kind_have_distinct_names() -> None:
    for rules in (SETTING_RULES, FILE_RULES, COLLECTION_RULES, LOG_RULES, DELIVERY_RULES):
        names = [rule.id for rule in rules]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch("[a-z-]+", name) for name in names)


@pytest.mark.parametrize(
    ("log", "changes"),
    [
        (VOICE, [('lateness = "1h"', 'frontier = "declared"\nidle_after = "2d"')]),
        (LogSummary(DELIVERIES | {"msc": SourceDeliveries("usage", 2, closed=True)}), [('lateness = "1h"', 'frontier = "declared"')]),
        (LogSummary(DELIVERIES | {"msc": SourceDeliveries("usage", 0)}), [('lateness = "1h"', 'frontier = "declared"')]),
        (LogSummary(DELIVERIES, used=frozenset({"voice"}), billed={"voice": frozenset({"USD", "EUR"})}), []),
        (LogSummary(DELIVERIES, billed={"fee": frozenset({"USD"})}), [("[reconcile.voice]", "[reconcile.default]")]),
        (LogSummary(DELIVERIES, (SameContent("removed", "msc", 2, "x"),)), []),
        (replace(VOICE, refused=(RefusedUnit("msc", "landing/msc/a.csv", 100, 1, "bad_time: x"),)), []),
    ],
)  # fmt: skip
def test_a_log_without_a_problem_is_not_reported(find: Find, log: LogSummary, changes: list[tuple[str, str]]) -> None:
    assert find(*changes, log=log) == []


def test_an_implied_default_is_a_notice_that_fails_no_check(find: Find) -> None:
    defaults = find(('currency = "EUR"\n', ""), ('timezone = "UTC"\n', ""))
    assert {p.rule: p.fails_check for p in defaults} == {"implied-currency": False, "implied-timezone": False}
    assert all(p.fails_check for p in find(('grace = "1h"', 'grace = "63d"')))
