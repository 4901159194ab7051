"""Presets: each reads a file as its producer writes it, and a source may override any of its settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from preset_files import (
    ASTERISK_CSV,
    ASTERISK_DATABASE,
    CGRATES_CSV,
    CHF,
    CISCO_CUCM,
    FILES,
    FREERADIUS_DETAIL,
    FREERADIUS_RADACCT,
    FREERADIUS_RADACCT_LATER,
    FREESWITCH_CSV,
    KAMAILIO_CDRS,
    MPESA_STATEMENT,
    OPENSIPS_ACC,
    freeswitch_call,
)

from trueup.cli import main
from trueup.collect.ingest import IngestSummary
from trueup.collect.map.implied_settings import with_implied_settings
from trueup.collect.map.mapping_record import mapping_record, new_mapping_version
from trueup.config import Project, parse, preset_names, preset_text
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.project_checks.check import project_problems
from trueup.proof.raw.records import verify_record
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

SOURCE = '[lake]\nbuckets = 4\n[[source]]\nname = "s"\npath = "landing/*"\npreset = "{name}"\n'
BILLED = """
idle_after = "1h"
[[source]]
name = "bill"
stream = "charge"
path = "bill.csv"
idle_after = "1h"
[source.columns]
record_key = "line"
session_key = "session"
subscriber = "msisdn"
started_at = "start"
amount = "amount"
[source.constants]
service = "data"
[reconcile.data]
parts = "max"
price = "1"
price_per = 1_000_000_000
"""
USAGE = "record_key, session_key, account, service, subscriber, peer, started_at, quantity_micros / 1e6 AS quantity"
NAMES = ("record_key", "session_key", "account", "service", "subscriber", "peer", "started_at", "quantity")


class Feed:
    """Ingests files of a preset and returns its events by name of column, in the order of the files."""

    def __init__(self, calls: Write, take_in: TakeIn, query: Query) -> None:
        self._calls, self._take_in, self._query = calls, take_in, query
        self.counts: tuple[int, int, int] = (0, 0, 0)

    def __call__(self, preset: str, files: dict[str, str], *, settings: str = "", stream: str = "usage") -> list[dict[str, Any]]:
        project = self._calls(dict(files), toml=SOURCE.format(name=preset) + settings)
        units = self._take_in(project).units
        self.counts = tuple(sum(getattr(unit, name) for unit in units) for name in ("accepted", "filtered", "quarantined"))  # type: ignore[assignment]
        money = ", amount_micros / 1e6 AS amount, currency" if stream == "charge" else ""
        events = self._query(project, f"SELECT {USAGE}{money} FROM lake.events.{stream} ORDER BY started_at, record_key")
        with Lake.open(project, read_only=True) as lake:
            assert verify(lake).sound
        return events.to_dicts()


@pytest.fixture
def feed(calls: Write, take_in: TakeIn, query: Query) -> Feed:
    return Feed(calls, take_in, query)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def event(*values: object, **more: object) -> dict[str, object]:
    return dict(zip(NAMES, values, strict=True)) | more


def test_freeswitch_csv(feed: Feed) -> None:
    assert feed("freeswitch-csv", {"Master.csv": FREESWITCH_CSV}, settings='timezone = "Europe/Berlin"\n') == [
        event("5a3a1d91-90d3-4db4-af5c-cc3ae15d93a4", "5a3a1d91-90d3-4db4-af5c-cc3ae15d93a4", "acme", "voice", "491511000001",
              "493012345", at("2024-05-01 08:00:09"), 21.0),
        event("0e5b2c11-0000-4db4-af5c-cc3ae15d93a4", "0e5b2c11-0000-4db4-af5c-cc3ae15d93a4", None, "voice", "491511000002",
              "493012346", at("2024-05-01 09:00:00"), 0.0),
    ]  # fmt: skip
    assert feed.counts == (2, 0, 0)


def test_freeswitch_json(feed: Feed) -> None:
    files = {
        "a_1.cdr.json": freeswitch_call("u1", accountcode="acme"), "b_2.cdr.json": freeswitch_call("u2", "outbound"),
        "a_3.cdr.json": freeswitch_call("u3", answered="0"),
    }  # fmt: skip
    assert feed("freeswitch-json", files) == [
        event("u3", "u3", None, "voice", "+491511000001", "493012345", at("2024-05-01 10:00:00.006702"), 0.0),
        event("u1", "u1", "acme", "voice", "+491511000001", "493012345", at("2024-05-01 10:00:09.5"), 21.0),
    ]
    assert feed.counts == (2, 1, 0)


def test_charging_data_requests_with_a_record_for_each_used_unit_container(feed: Feed, calls: Write, query: Query) -> None:
    ann, day = "491511000001", "2024-05-01T10:0"
    assert feed("chf-charging-data", {"chf.json": CHF}) == [
        event(f"7|{day}1:00Z|1|2", "7", None, "data", ann, None, at("2024-05-01 10:00:30"), 30.0),
        event(f"7|{day}1:00Z|1|1", "7", None, "data", ann, None, at("2024-05-01 10:01:00"), 5_000_000_000.0),
        event(f"7|{day}2:00Z|2|3", "7", None, "data", "208930000000003", None, at("2024-05-01 10:01:30"), 7.0),
    ]
    attributes = query(calls(), "SELECT node, attributes FROM lake.events.usage ORDER BY started_at").rows()
    groups = [(node, json.loads(text)["multipleUnitUsage.ratingGroup"]) for node, text in attributes]
    assert groups == [("smf-1", 2), ("smf-1", 1), ("smf-1", 1)]


def test_asterisk_csv(feed: Feed) -> None:
    assert feed("asterisk-csv", {"Master.csv": ASTERISK_CSV}) == [
        event("1714557600.1|2024-05-01 10:00:00|493012345|SIP/trunk-2", "1714557600.1", "acme", "voice", "491511000001", "493012345",
              at("2024-05-01 10:00:09"), 21.0),
        event("1714561200.2|2024-05-01 11:00:00|493012346|", "1714561200.2", None, "voice", "491511000002", "493012346",
              at("2024-05-01 11:00:00"), 0.0),
    ]  # fmt: skip
    assert feed.counts == (2, 0, 0)


def test_asterisk_database(feed: Feed) -> None:
    assert feed("asterisk-database", {"cdr.csv": ASTERISK_DATABASE}) == [
        event("1714557600.1|2024-05-01 10:00:00|493012345|SIP/trunk-2", "1714557600.1", "acme", "voice", "105", "493012345",
              at("2024-05-01 10:00:00"), 21.0),
    ]  # fmt: skip


def test_cisco_cucm_without_its_line_of_types(feed: Feed) -> None:
    assert feed("cisco-cucm", {"cdr_StandAloneCluster_01_202405011001_17": CISCO_CUCM}) == [
        event("1b4b3c2a-0000-4000-8000-000000000001", "StandAloneCluster/2/1101", None, "voice", "2001", "90493012345",
              at("2024-05-01 10:00:09"), 21.0),
        event("1b4b3c2a-0000-4000-8000-000000000002", "StandAloneCluster/2/1102", None, "voice", "2002", "2003",
              at("2024-05-01 11:00:00"), 0.0),
    ]  # fmt: skip
    assert feed.counts == (2, 1, 0)


def test_cgrates_csv_with_the_default_run_of_calls_alone(feed: Feed) -> None:
    assert feed("cgrates-csv", {"cdr.csv": CGRATES_CSV}, stream="charge") == [
        event("d1|*default", "call-1", "1001", "voice", "1001", "493012345", at("2024-05-01 10:00:09"), 81.0,
              amount=1.01, currency="EUR"),
    ]  # fmt: skip
    assert feed.counts == (1, 2, 0)


def test_cgrates_usage_in_nanoseconds_by_an_overridden_column(feed: Feed) -> None:
    columns = '[source.columns]\nquantity = { expression = \'"13" / 1000000000\', unit = "s" }\n'
    (charge,) = feed("cgrates-csv", {"cdr.csv": CGRATES_CSV.replace("1m21s", "81500000000")}, settings=columns, stream="charge")
    assert (charge["quantity"], charge["amount"]) == (81.5, 1.01)


def test_kamailio_cdrs(feed: Feed) -> None:
    assert feed("kamailio-cdrs", {"acc_cdrs.csv": KAMAILIO_CDRS}) == [
        event("7", "a84b4c76e66710@10.0.0.1", None, "voice", "491511000001", "493012345", at("2024-05-01 10:00:09"), 21.25)
    ]


def test_opensips_acc_with_answered_calls_alone(feed: Feed) -> None:
    assert feed("opensips-acc", {"acc.csv": OPENSIPS_ACC}) == [
        event("7", "c1@10.0.0.1|f1|t1", None, "voice", "491511000001", "493012345", at("2024-05-01 10:00:09"), 21.25)
    ]
    assert feed.counts == (1, 1, 0)


def test_freeradius_detail_with_gigawords_and_interim_updates(feed: Feed, calls: Write, query: Query) -> None:
    session = "ea6a1089816f19c0"
    assert feed("freeradius-detail", {"detail-20240501": FREERADIUS_DETAIL}) == [
        event(
            f"{session}|Interim-Update|1714557910", session, None, "data", "491511000001", None, at("2024-05-01 10:05:00"), 3000.0
        ),
        # 705,032,704 + 4,294,967,296 + 3,000
        event(f"{session}|Stop|1714558140", session, None, "data", "491511000001", None, at("2024-05-01 10:09:00"), 5000003000.0),
    ]
    assert feed.counts == (2, 1, 0)
    (attributes, _) = query(calls(), "SELECT attributes FROM lake.events.usage ORDER BY started_at")["attributes"]
    assert json.loads(attributes)["Cisco-AVPair"] == ["a=1", 'b="2"']


def test_the_last_counter_of_a_radius_session_is_priced(calls: Write, capsys: pytest.CaptureFixture[str]) -> None:
    project = calls({"detail-1": FREERADIUS_DETAIL}, toml=SOURCE.format(name="freeradius-detail") + BILLED)
    (project.directory / "bill.csv").write_text(
        "line,session,msisdn,start,amount\n1,ea6a1089816f19c0,491511000001,2024-05-01T10:09:00,3.00\n"
    )
    assert main(["run", "--project", str(project.directory)]) == 0
    capsys.readouterr()
    assert main(["sql", "SELECT kind, expected, billed FROM findings", "--json", "--project", str(project.directory)]) == 0
    # 5,000,003,000 bytes at 1 for each 1,000,000,000, not 5,000,006,000.
    assert json.loads(capsys.readouterr().out, parse_float=str) == [
        {"kind": "misrated", "expected": "5.000003", "billed": "3.000000"}
    ]


def test_freeradius_radacct_of_two_exports(feed: Feed, calls: Write, query: Query) -> None:
    # The stop record is in the file that is read first. The version decides, not the order.
    files = {"radacct-1.csv": FREERADIUS_RADACCT_LATER, "radacct-2.csv": FREERADIUS_RADACCT}
    events = feed("freeradius-radacct", files)
    assert sorted((e["record_key"], e["subscriber"], e["service"], e["started_at"], e["quantity"]) for e in events) == [
        ("u1", "491511000001", "data", at("2024-05-01 10:00:00"), 3000.0),
        ("u1", "491511000001", "data", at("2024-05-01 10:00:00"), 5000003000.0),
        ("u2", "491511000002", "data", at("2024-05-01 11:00:00"), 0.0),
    ]
    latest = query(
        calls(), "SELECT quantity_micros / 1e6 AS bytes FROM lake.events.usage WHERE record_key = 'u1' ORDER BY record_version DESC"
    )
    assert latest["bytes"][0] == 5000003000.0


def test_an_mpesa_statement_with_fees_and_payments_out(feed: Feed) -> None:
    assert feed("mpesa-statement", {"statement.csv": MPESA_STATEMENT}, stream="charge") == [
        event("SE1|Pay Bill Charge", "SE1", "ACC-7", "payment", "254712345678", None, at("2024-05-01 10:00:09"), None,
              amount=-15.0, currency="KES"),
        event("SE1|Pay Bill Online", "SE1", "ACC-7", "payment", "254712345678", None, at("2024-05-01 10:00:09"), None,
              amount=1053.0, currency="KES"),
        event("SE2|Business Payment", "SE2", None, "payment", "254700000001", None, at("2024-05-01 11:00:00"), None,
              amount=-4000.0, currency="KES"),
    ]  # fmt: skip
    assert feed.counts == (3, 1, 0)


# --- the setting ------------------------------------------------------------------------------------------------------


def sources(text: str) -> Any:
    return parse(text).source


def mapping_id(text: str, *, version: int | None = None) -> str:
    project = Project.__new__(Project)
    project.config = parse(text)
    source = with_implied_settings(project.config.source[0])
    return mapping_record(project, source, version or new_mapping_version(source)).id


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_and_its_lines_copied_are_one_mapping(name: str) -> None:
    own = preset_text(name).replace("[[source]]\n", "[[source]]\n# copied\n")
    source = sources(own)[0]
    named = f'[[source]]\nname = "{source.name}"\npath = "other/*"\npreset = "{name}"\n'
    assert mapping_id(named) == mapping_id(own)
    assert sources(named)[0].stream == source.stream


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_has_a_title_and_no_setting_without_effect(name: str, calls: Write) -> None:
    text = preset_text(name)
    assert text.startswith("# ") and "\n# Producer: " in text and "\n# Documentation: " in text
    project = calls(toml=SOURCE.format(name=name))
    assert [problem.rule for problem in project_problems(project) if problem.rule == "unused-setting"] == []


def test_a_source_overrides_columns_constants_and_settings_of_its_preset() -> None:
    (source,) = sources(
        SOURCE.format(name="freeswitch-csv")
        + 'timezone = "Europe/Berlin"\ndelimiter = ";"\n[source.columns]\nsubscriber = { column = "2", e164 = "49" }\n'
        + 'service = "4"\n[source.constants]\naccount = "acme"\n'
    )
    assert (source.delimiter, source.timezone, source.header) == (";", "Europe/Berlin", False)
    assert (source.columns["subscriber"].e164, source.columns["peer"].column) == ("49", "3")
    # A column in place of a constant, and a constant in place of a column.
    assert (source.columns["service"].column, source.constants) == ("4", {"account": "acme"})
    assert "account" not in source.columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('preset = "freeswitch"', "[[source]] s: there is no preset 'freeswitch'; there are asterisk-csv, asterisk-database, "),
        ('preset = "../presets/cisco-cucm"', "there is no preset '../presets/cisco-cucm'"),
        ('preset = ""', "there is no preset ''"),
        ("preset = 7", "there is no preset 7"),
        ('preset = ["cisco-cucm"]', "there is no preset ['cisco-cucm']"),
        ('preset = "cisco-cucm"\nstream = "charge"', "[[source]] s: the preset 'cisco-cucm' is of stream usage, and the source of stream charge"),
        ('preset = "cisco-cucm"\ncolumns = 7', "[[source]] s, columns: must be a table"),
        ('preset = "cisco-cucm"\n[source.columns]\namount = "cost"', "unknown column 'amount' of stream usage"),
    ],
)  # fmt: skip
def test_a_preset_that_does_not_fit_is_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f'[[source]]\nname = "s"\npath = "landing/*"\n{text}\n')
    assert message in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_the_log_has_the_settings_of_the_preset_and_proves_with_them_when_the_source_no_longer_names_it(
    feed: Feed, calls: Write, query: Query
) -> None:
    feed("cisco-cucm", {"cdr_StandAloneCluster_01_202405011001_17": CISCO_CUCM})
    project = calls(toml=SOURCE.format(name="opensips-acc"))
    (content,) = query(project, "SELECT content FROM lake.events.configuration WHERE kind = 'mapping'")["content"]
    recorded = json.loads(content)["source"]
    assert (recorded["where"], recorded["columns"]["record_key"]["column"]) == ("cdrRecordType = '1'", "pkid")
    assert "preset" not in recorded
    (event_id,) = query(project, "SELECT event_id FROM lake.events.usage WHERE record_key LIKE '%1'")["event_id"]
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake).sound
        # The record is proven by the mapping of its time. The present mapping reads other columns.
        assert verify_record(lake, bytes(event_id)).verdict == "found"


def test_a_source_without_preset_keeps_the_id_that_its_mapping_had_before_presets() -> None:
    plain = (
        '[[source]]\nname = "s"\nstream = "usage"\npath = "landing/*"\n[source.columns]\nrecord_key = "id"\nsubscriber = "caller"\n'
    )
    assert mapping_id(plain + 'started_at = "at"\nquantity = "seconds"\n', version=2) == "62dcbd2abc381b8073a9b9f00e4dcf86"


def test_the_command_lists_presets_and_prints_one_to_copy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in listed] == preset_names()
    assert listed[2] == {
        "name": "cgrates-csv", "stream": "charge",
        "reads": "Rated calls of CGRateS 0.10 and 0.11 by the CDR export *file_csv with its default fields",
    }  # fmt: skip
    assert main(["presets"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == preset_names()
    assert main(["presets", "cisco-cucm"]) == 0
    assert capsys.readouterr().out == preset_text("cisco-cucm")
    assert main(["presets", "cisco-cucm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"]["where"] == "cdrRecordType = '1'"
    assert main(["presets", "cucm"]) == 2
    assert "there is no preset 'cucm'; there are asterisk-csv, " in capsys.readouterr().err


def test_every_preset_has_a_file_of_its_producer() -> None:
    assert sorted(FILES) == preset_names()
