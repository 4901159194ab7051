"""Presets: each reads a file as its producer writes it, and a source may override any of its settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from trueup.collect.ingest import IngestSummary
from trueup.collect.map.mapping_record import mapping_record, new_mapping_version
from trueup.collect.map.presets import expand_preset
from trueup.config import Project, parse, preset_names, preset_text
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.project_checks.check import project_problems
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

SOURCE = '[lake]\nbuckets = 4\n[[source]]\nname = "s"\npath = "landing/*"\npreset = "{name}"\n'
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
    answered = (
        '"Ann","491511000001","493012345","default","2024-05-01 10:00:00","2024-05-01 10:00:09","2024-05-01 10:00:30","30","21",'
        '"NORMAL_CLEARING","5a3a1d91-90d3-4db4-af5c-cc3ae15d93a4","9c1afb4f-1d4a-4e45-84a3-d25721981bf5","acme","PCMA","PCMA"\n'
    )
    unanswered = (
        '"Bob","491511000002","493012346","default","2024-05-01 11:00:00","","2024-05-01 11:00:20","20","0",'
        '"NO_ANSWER","0e5b2c11-0000-4db4-af5c-cc3ae15d93a4","","","",""\n'
    )
    assert feed("freeswitch-csv", {"Master.csv": answered + unanswered}, settings='timezone = "Europe/Berlin"\n') == [
        event("5a3a1d91-90d3-4db4-af5c-cc3ae15d93a4", "5a3a1d91-90d3-4db4-af5c-cc3ae15d93a4", "acme", "voice", "491511000001",
              "493012345", at("2024-05-01 08:00:09"), 21.0),
        event("0e5b2c11-0000-4db4-af5c-cc3ae15d93a4", "0e5b2c11-0000-4db4-af5c-cc3ae15d93a4", None, "voice", "491511000002",
              "493012346", at("2024-05-01 09:00:00"), 0.0),
    ]  # fmt: skip
    assert feed.counts == (2, 0, 0)


def freeswitch_call(uuid: str, direction: str = "inbound", answered: str = "1714557609500000", **more: str) -> str:
    variables = {
        "direction": direction, "uuid": uuid, "sip_from_user": "%2B491511000001", "sip_req_user": "493012345",
        "start_stamp": "2024-05-01%2010%3A00%3A00", "start_epoch": "1714557600", "start_uepoch": "1714557600006702",
        "answer_epoch": answered[:10], "answer_uepoch": answered, "duration": "30", "billsec": "21" if answered != "0" else "0",
    }  # fmt: skip
    times = {"created_time": "1714557600006702", "answered_time": answered}
    return json.dumps({
        "core-uuid": "63e2315b-d538-4dfa-9ed5-af73ba6210b6", "switchname": "fs1", "channel_data": {"direction": direction},
        "variables": variables | more, "app_log": {"applications": [{"app_name": "bridge"}]},
        "callflow": [{"dialplan": "XML", "profile_index": "1", "times": times}],
    })  # fmt: skip


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


def test_asterisk_csv(feed: Feed) -> None:
    lines = (
        '"acme","491511000001","493012345","from-internal","""Ann"" <491511000001>","SIP/105-1","SIP/trunk-2","Dial",'
        '"SIP/trunk/493012345,30","2024-05-01 10:00:00","2024-05-01 10:00:09","2024-05-01 10:00:30",30,21,"ANSWERED",'
        '"DOCUMENTATION","1714557600.1",""\n'
        '"","491511000002","493012346","from-internal","""Bob"" <491511000002>","SIP/106-3","","Dial","",'
        '"2024-05-01 11:00:00",,"2024-05-01 11:00:20",20,0,"NO ANSWER","DOCUMENTATION","1714561200.2",""\n'
    )
    assert feed("asterisk-csv", {"Master.csv": lines}) == [
        event("1714557600.1|2024-05-01 10:00:00|493012345|SIP/trunk-2", "1714557600.1", "acme", "voice", "491511000001", "493012345",
              at("2024-05-01 10:00:09"), 21.0),
        event("1714561200.2|2024-05-01 11:00:00|493012346|", "1714561200.2", None, "voice", "491511000002", "493012346",
              at("2024-05-01 11:00:00"), 0.0),
    ]  # fmt: skip
    assert feed.counts == (2, 0, 0)


def test_asterisk_database(feed: Feed) -> None:
    lines = (
        "calldate,clid,src,dst,dcontext,channel,dstchannel,lastapp,lastdata,duration,billsec,disposition,amaflags,accountcode,"
        "uniqueid,userfield,did,recordingfile,cnum,cnam,outbound_cnum,outbound_cnam,dst_cnam,linkedid,peeraccount,sequence\n"
        '2024-05-01 10:00:00,"""Ann"" <105>",105,493012345,from-internal,SIP/105-1,SIP/trunk-2,Dial,SIP/trunk,30,21,ANSWERED,3,acme,'
        "1714557600.1,,,,105,Ann,,,,1714557600.1,,7\n"
    )
    assert feed("asterisk-database", {"cdr.csv": lines}) == [
        event("1714557600.1|2024-05-01 10:00:00|493012345|SIP/trunk-2", "1714557600.1", "acme", "voice", "105", "493012345",
              at("2024-05-01 10:00:00"), 21.0),
    ]  # fmt: skip


CUCM = (
    '"cdrRecordType","globalCallID_callManagerId","globalCallID_callId","origLegCallIdentifier","dateTimeOrigination",'
    '"callingPartyNumber","finalCalledPartyNumber","dateTimeConnect","dateTimeDisconnect","pkid","duration","origDeviceName",'
    '"globalCallId_ClusterID"\n'
    "INTEGER,INTEGER,INTEGER,INTEGER,INTEGER,VARCHAR(50),VARCHAR(50),INTEGER,INTEGER,UNIQUEIDENTIFIER,INTEGER,VARCHAR(129),"
    "VARCHAR(50)\n"
    '1,2,1101,33,1714557600,"2001","90493012345",1714557609,1714557630,"1b4b3c2a-0000-4000-8000-000000000001",21,'
    '"SEP001122334455","StandAloneCluster"\n'
    '1,2,1102,35,1714561200,"2002","2003",0,1714561220,"1b4b3c2a-0000-4000-8000-000000000002",0,"SEP001122334466",'
    '"StandAloneCluster"\n'
)


def test_cisco_cucm_without_its_line_of_types(feed: Feed) -> None:
    assert feed("cisco-cucm", {"cdr_StandAloneCluster_01_202405011001_17": CUCM}) == [
        event("1b4b3c2a-0000-4000-8000-000000000001", "StandAloneCluster/2/1101", None, "voice", "2001", "90493012345",
              at("2024-05-01 10:00:09"), 21.0),
        event("1b4b3c2a-0000-4000-8000-000000000002", "StandAloneCluster/2/1102", None, "voice", "2002", "2003",
              at("2024-05-01 11:00:00"), 0.0),
    ]  # fmt: skip
    assert feed.counts == (2, 1, 0)


CGRATES = (
    "d1,*default,*voice,call-1,*postpaid,cgrates.org,call,1001,1001,493012345,2024-05-01T10:00:00Z,2024-05-01T10:00:09Z,1m21s,1.0100\n"
    "d1,*raw,*voice,call-1,*postpaid,cgrates.org,call,1001,1001,493012345,2024-05-01T10:00:00Z,2024-05-01T10:00:09Z,1m21s,-1.0000\n"
    "d2,*default,*data,gx-2,*postpaid,cgrates.org,data,1001,1001,internet,2024-05-01T10:00:00Z,2024-05-01T10:00:09Z,1.024µs,0.5000\n"
)


def test_cgrates_csv_with_the_default_run_of_calls_alone(feed: Feed) -> None:
    assert feed("cgrates-csv", {"cdr.csv": CGRATES}, stream="charge") == [
        event("d1|*default", "call-1", "1001", "voice", "1001", "493012345", at("2024-05-01 10:00:09"), 81.0,
              amount=1.01, currency="EUR"),
    ]  # fmt: skip
    assert feed.counts == (1, 2, 0)


def test_cgrates_usage_in_nanoseconds_by_an_overridden_column(feed: Feed) -> None:
    columns = "[source.columns]\nquantity = { expression = '\"13\" / 1000000000', unit = \"s\" }\n"
    (charge,) = feed("cgrates-csv", {"cdr.csv": CGRATES.replace("1m21s", "81500000000")}, settings=columns, stream="charge")
    assert (charge["quantity"], charge["amount"]) == (81.5, 1.01)


def test_kamailio_cdrs(feed: Feed) -> None:
    lines = (
        "id,start_time,end_time,duration,callid,src_user,dst_user\n"
        "7,2024-05-01 10:00:09,2024-05-01 10:00:30,21.250,a84b4c76e66710@10.0.0.1,491511000001,493012345\n"
    )
    assert feed("kamailio-cdrs", {"acc_cdrs.csv": lines}) == [
        event("7", "a84b4c76e66710@10.0.0.1", None, "voice", "491511000001", "493012345", at("2024-05-01 10:00:09"), 21.25)
    ]


def test_opensips_acc_with_answered_calls_alone(feed: Feed) -> None:
    header = "id,method,from_tag,to_tag,callid,sip_code,sip_reason,time,duration,ms_duration,setuptime,created,src_user,dst_user\n"
    lines = (
        "7,INVITE,f1,t1,c1@10.0.0.1,200,OK,2024-05-01 10:00:09,22,21250,9,2024-05-01 10:00:00,491511000001,493012345\n"
        "8,INVITE,f2,,c2@10.0.0.1,486,Busy Here,2024-05-01 10:05:00,0,0,0,2024-05-01 10:05:00,491511000001,493012345\n"
    )
    assert feed("opensips-acc", {"acc.csv": header + lines}) == [
        event("7", "c1@10.0.0.1|f1|t1", None, "voice", "491511000001", "493012345", at("2024-05-01 10:00:09"), 21.25)
    ]
    assert feed.counts == (1, 1, 0)


# --- the setting ------------------------------------------------------------------------------------------------------


def sources(text: str) -> Any:
    return parse(text).source


def mapping_id(text: str) -> bytes:
    project = Project.__new__(Project)
    project.config = parse(text)
    source = expand_preset(project.config.source[0])
    return mapping_record(project, source, new_mapping_version(source)).id


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


def test_the_recorded_mapping_has_the_settings_of_the_preset_and_not_its_name(feed: Feed, calls: Write, query: Query) -> None:
    feed("cisco-cucm", {"cdr_StandAloneCluster_01_202405011001_17": CUCM})
    (content,) = query(calls(), "SELECT content FROM lake.meta.configuration WHERE kind = 'mapping'")["content"]
    recorded = json.loads(content)["source"]
    assert recorded["where"] == "cdrRecordType = '1'"
    assert recorded["columns"]["record_key"]["column"] == "pkid"
    assert "preset" not in recorded
