"""Two more feeds for each kind of field case, with correct findings worked out by hand.

One lake has all, each as a service of its own.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import openpyxl
import pytest

from trueup.cli import main
from trueup.config import Project
from trueup.warehouse.query import open_warehouse

NOW, LATER = "2026-11-29T00:00:00+00:00", "2026-12-03T00:00:00+00:00"
USAGE = {"record_key": "id", "session_key": "id", "subscriber": "caller", "peer": "callee", "started_at": "start", "quantity": "s"}
CHARGE = {"record_key": "line", "session_key": "id", "subscriber": "msisdn", "started_at": "start", "quantity": "s",
          "amount": "amount"}  # fmt: skip
CALLS = "id,caller,callee,start,s\n"
BILLS = "line,id,msisdn,start,s,amount\n"
AT = "2026-11-20T10:00:00"


@dataclass(frozen=True)
class Feed:
    """A file of one source: its bytes, the settings of the source in TOML, and the mapped columns that differ from the default."""

    data: bytes | str
    settings: str = ""
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Usage and charges of one service, and kind and impact of each correct finding."""

    name: str
    usage: Feed
    charges: Feed
    findings: tuple[tuple[str, str], ...] = ()
    reconcile: str = 'match = ["session_key"]\nprice = "0.01"'


def calls(*rows: str) -> str:
    """Return a usual file of calls: `key,caller,callee,seconds`."""
    return CALLS + "".join(f"{key},{caller},{callee},{AT},{s}\n" for key, caller, callee, s in (row.split(",") for row in rows))


def bills(*rows: str) -> str:
    """Return a usual file of charges: `key,msisdn,seconds,amount`."""
    parts = [row.split(",") for row in rows]
    return BILLS + "".join(f"{n},{key},{msisdn},{AT},{s},{amount}\n" for n, (key, msisdn, s, amount) in enumerate(parts))


def zipped(name: str, data: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return held.getvalue()


def members(*texts: str) -> bytes:
    """Return gzip members one after another, each with a byte order mark, as `cat` joins exports of a spreadsheet."""
    return b"".join(gzip.compress(b"\xef\xbb\xbf" + text.encode()) for text in texts)


def sheet(*rows: tuple[Any, ...]) -> bytes:
    book, held = openpyxl.Workbook(), io.BytesIO()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    book.save(held)
    return held.getvalue()


CASES = [
    Case(
        "C09 Swiss numbers: a typographic apostrophe between thousands, a code before, a decimal point",
        Feed(calls("aa,411,412,60", "ab,411,412,600", "ac,411,412,123456")),
        # 0.60; 6.10 against 6.00; 1'234.56: right
        Feed("line\tid\tmsisdn\tstart\ts\tamount\n1\taa\t411\t20.11.2026 10:00\t60\tCHF 0.60\n"
             "2\tab\t411\t20.11.2026 10:00\t600\tCHF 6.10\n3\tac\t411\t20.11.2026 10:00\t123\u2019456\tCHF 1\u2019234.56\n",
             "delimiter = \"\\t\"\ntime_format = '%d.%m.%Y %H:%M'\nnotation = { grouping = \"'\", currency = ['CHF'] }"),
        (("misrated", "-0.1"),),
    ),
    Case(
        "C09 French numbers: thin and narrow blanks between thousands, a decimal comma, a trailing minus, cp1252",
        Feed(calls("ba,331,332,123456", "bb,331,332,60")),
        # 1 234,56 right; 0,60- is a credit where 0.60 was due: misrated 1.20
        Feed('{"line": "1", "id": "ba", "msisdn": "331", "start": "2026-11-20 10:00:00", "s": "123\u2009456", '
             '"amount": "1\u202f234,56 €"}\n'
             '{"line": "2", "id": "bb", "msisdn": "331", "start": "2026-11-20 10:00:00", "s": "60", "amount": "0,60-"}\n',
             'format = "ndjson"\nnotation = { decimal = ",", grouping = " ", negative = "trailing", currency = ["€"] }'),
        (("misrated", "1.2"),),
    ),
    Case(
        "C36 no-break blanks and invisible marks around keys",
        Feed(calls("ca1,491,492,60", "cb1,491,492,60", "cc1,491,492,60", "cd 1,491,492,60")),
        Feed(bills("ca1\u00a0,491,60,0.60", "\u200bcb1,491,60,0.60", "cc1\u200e,491,60,0.60", "cd\u00a01,491,60,0.60")),
    ),
    Case(
        "C36 keys padded to a fixed width, behind a byte order mark, and with the text mark of a spreadsheet",
        Feed("da1     491   492   2026-11-20T10:00:00    60\ndb1     491   492   2026-11-20T10:00:00    60\n"
             "77      491   492   2026-11-20T10:00:00    60\n",
             'format = "fixed"\nfixed = { length = 45, fields = [ { name = "id", length = 8 }, { name = "caller", length = 6 }, '
             '{ name = "callee", length = 6 }, { name = "start", length = 20 }, { name = "s", length = 5 } ] }'),
        Feed(bills("da1,491,60,0.60", "\ufeffdb1,491,60,0.60", "'77,491,60,0.60")),
    ),
    Case(
        "C02 numbers copied from an address book: bidirectional marks, typographic hyphens, a display name",
        Feed(calls("ea,\u202a+49 151 1\u202c,+49\u2011301,60", 'eb,"""Anna"" <sip:+491511@pbx;user=phone>",49301,60', "ec,'+491511,49301,60"),
             "", {"subscriber": '{ column = "caller", e164 = "49" }', "peer": '{ column = "callee", e164 = "49" }'}),
        Feed(bills("ea,0049 (0)151-1,60,0.60", "eb,491511,60,0.60", "ec,tel:+491511,60,0.60"), "",
             {"subscriber": '{ column = "msisdn", e164 = "49" }'}),
        reconcile='match = ["aggregate"]\nprice = "0.01"',
    ),
    Case(
        "C02 national numbers: ten digits and 011 of North America",
        Feed(calls("fa,(212) 555-0100,011 49 30 1,60", "fb,1-212-555-0101,212.555.0102,60"), "",
             {"subscriber": '{ column = "caller", e164 = "1", prefixes = { 011 = "", 1 = "1" }, national_digits = [10] }'}),
        Feed(bills("fa,+12125550100,60,0.60", "fb,12125550101,60,0.60"), "", {"subscriber": '{ column = "msisdn", e164 = "1" }'}),
        reconcile='match = ["aggregate"]\nprice = "0.01"',
    ),
    Case(
        "C14 three legs of a transferred call: the leg without an originator counts",
        Feed("id,callid,originator,caller,callee,start,s\n" + "".join(f"{row}\n" for row in (
            f"l1,gc1,,491,492,{AT},60", f"l2,gc1,l1,491,492,{AT},58", f"l3,gc1,l2,492,493,{AT},20", f"l4,gc2,,491,492,{AT},10",
            f"l5,gc2,l4,491,492,{AT},9", f"l6,gc2,l5,491,492,{AT},3")), "where = 'originator IS NULL'", {"session_key": '"callid"'}),
        Feed(bills("gc1,491,60,0.60")),
        (("unbilled", "0.1"),),
    ),
    Case(
        "C14 legs of nested JSON: the first of them, whatever their order and the case of its name",
        Feed("".join(json.dumps({"id": k, "leg": {"no": n, "dir": d}, "caller": "491", "callee": "492", "start": AT, "s": s}) + "\n"
                     for k, n, d, s in (("hc1", 3, "OUT", 20), ("hc1", 1, "In", 60), ("hc1", 2, "OUT", 58), ("hc2", 1, "IN", 30))),
             'format = "ndjson"\nwhere = """UPPER("leg.dir") = \'IN\' AND "leg.no" = 1"""',
             {"record_key": '{ columns = ["id", "leg.no"] }'}),
        Feed(bills("hc1,491,60,0.60", "hc2,491,30,0.25")),
        (("misrated", "0.05"),),
    ),
    Case(
        "C15 headers again in the member of an archive, in another order",
        Feed(zipped("x/calls.txt", f"id;caller;callee;start;s\nia;491;492;{AT};60\n\"id\";\"caller\";\"callee\";\"start\";\"s\"\n"
                    f"ib;491;492;{AT};30\ns;id;caller;callee;start\n10;ic;491;492;{AT}\n"), "delimiter = ';'"),
        Feed(bills("ia,491,60,0.60", "ib,491,30,0.30")),
        (("unbilled", "0.1"),),
    ),
    Case(
        "C15 headers and byte order marks of gzip members",
        Feed(members(calls("ja,491,492,60"), calls("jb,491,492,30"), calls("jc,491,492,10"))),
        Feed(members(bills("ja,491,60,0.60"), bills("jb,491,30,0.30").replace("\n0,", "\n1,")), "identity = 'position'",
             {"record_key": ""}),
        (("unbilled", "0.1"),),
    ),
    Case(
        "C16 a trailer with count and sums in the feed's own notation",
        Feed(calls("ka,491,492,60", "kb,491,492,30")),
        Feed("00|BILLING|20261121\nline|id|msisdn|start|s|amount\n" f"1|ka|491|{AT}|60|0,60\n2|kb|491|{AT}|30|0,30\n" "99|0000002|90|0,90\n",
             "delimiter = '|'\nnotation = { decimal = ',' }\nframing = { header = '^00[|]', "
             "trailer = '^99[|](?P<records>[0-9]+)[|](?P<quantity>[0-9]+)[|](?P<amount>[0-9,]+)$' }"),
    ),
    Case(
        "C16 two trailer lines of a fixed-width file and a count in its header",
        Feed("HEAD0002\nla491492" + AT + "0060\nlb491492" + AT + "0030\nTOTAL 0090\nEND\n\n",
             'format = "fixed"\nfixed = { fields = [ { name = "id", length = 2 }, { name = "caller", length = 3 }, '
             '{ name = "callee", length = 3 }, { name = "start", length = 19 }, { name = "s", length = 4 } ] }\n'
             "framing = { header = '^HEAD(?P<records>[0-9]+)', trailer = '^(TOTAL (?P<quantity>[0-9]+)|END)$' }"),
        Feed(bills("la,491,60,0.60")),
        (("unbilled", "0.3"),),
    ),
    Case(
        "C10 gigawords chosen by CASE; an attribute that most records lack",
        Feed("".join(json.dumps(row) + "\n" for row in (
            {"id": "ma", "caller": "491", "start": AT, "type": 2, "octets": {"in": 1, "out": 705032704}, "giga": {"out": 1}},
            {"id": "mb", "caller": "491", "start": AT, "type": 2, "octets": {"in": 100, "out": 200}})),
            'format = "ndjson"',
            {"peer": "", "quantity": '{ expression = """CASE WHEN "giga.out" IS NULL THEN "octets.in" + "octets.out" '
                         'ELSE "octets.in" + "octets.out" + 4294967296 * "giga.out" END""", unit = "B" }'}),
        # 1 + 705032704 + 2^32 = 5,000,000,001 bytes at 0.01 per million: 50.00000001; billed 7.05
        Feed(bills("ma,491,705032705,7.050327", "mb,491,300,0.000003")),
        (("underbilled", "42.949673"),),
        'match = ["session_key"]\nprice = "0.01"\nprice_per = 1000000\namount_tolerance = "0.000001"',
    ),
    Case(
        "C10 kilobytes in megabytes of the bill, rounded up for each record",
        Feed("id,caller,start,kb\n" f"na,491,{AT},1025\nnb,491,{AT},1024\n", "",
             {"peer": "", "quantity": '{ expression = "CEIL(kb / 1024)", unit = "MiB" }'}),
        Feed(bills("na,491,2,0.02", "nb,491,1,0.02")),
        (("misrated", "-0.01"),),
    ),
    Case(
        "C12 a day in milliseconds is plausible, a month of them is not",
        Feed("id,caller,callee,start,ms\n" f"oa,491,492,{AT},86400000\nob,491,492,{AT},2678400001\n", "",
             {"quantity": '{ column = "ms", unit = "ms" }'}),
        Feed(bills("oa,491,86400000,864", "ob,491,60000,0.60"), "", {"quantity": '{ column = "s", unit = "ms" }'}),
        # The finding about the charge of b is open. The usage of b is in quarantine, so the finding is provisional and in no
        # leakage sum.
        (("charge_without_usage", "-0.6 provisional"),),
        'match = ["session_key"]\nprice = "0.01"\nprice_per = 1000',
    ),
    Case(
        "C12 damaged volumes of a bill: a hundred terabytes, and a number in another notation",
        Feed("id,caller,start,mb\n" f"pa,491,{AT},10\npb,491,{AT},20\npc,491,{AT},30\n", "", {"peer": "", "quantity": '{ column = "mb", unit = "MB" }'}),
        Feed(bills("pa,491,10,0.10", "pb,491,99999999,0.20", "pc,491,3'0,0.30"), "", {"quantity": '{ column = "s", unit = "MB" }'}),
        (("unbilled", "0.2 provisional"), ("unbilled", "0.3 provisional")),
    ),
    Case(
        "C22 two records and three lines of one key",
        Feed("leg,id,caller,callee,start,s\n" f"1,qa,491,492,{AT},60\n2,qa,491,493,2026-11-20T10:05:00,40\n", "", {"record_key": '"leg"'}),
        Feed(f"{BILLS}1,qa,491,{AT},60,0.55\n2,qa,491,{AT},40,0.40\n3,qa,491,{AT},0,0.05\n", "bill_lines = true"),
    ),
    Case(
        "C22 three records and two lines of one key, one of them 0.02 too dear",
        Feed("leg,id,caller,callee,start,s\n" f"1,ra,491,492,{AT},20\n2,ra,491,493,{AT},20\n3,ra,491,493,{AT},20\n", "", {"record_key": '"leg"'}),
        Feed(f"{BILLS}1,ra,491,{AT},40,0.42\n2,ra,491,{AT},20,0.20\n", "bill_lines = true"),
        (("misrated", "-0.02"),),
    ),
    Case(
        "C18 a month ends at midnight of the operator, not of the switch abroad",
        # 31 October 23:30 in Berlin is 18:30 of New York; 1 November 00:30 in Berlin is 31 October 19:30 there.
        Feed("id,caller,start,s\nsa,491,2026-10-31 18:30:00,10\nsb,491,2026-10-31 19:30:00,20\n", 'timezone = "America/New_York"',
             {"session_key": "", "peer": ""}),
        Feed("line,msisdn,start,s,amount\n1,491,2026-10-01,10,0.10\n2,491,2026-11-01,20,0.20\n", "", {"session_key": ""}),
        (), 'match = ["aggregate"]\nperiod = "month"\nprice = "0.01"',
    ),
    Case(
        "C18 February of a leap year, and the month with the longest day",
        Feed("id,caller,start,s\nta,491,2024-02-01 00:00:00,10\ntb,491,2024-02-29 23:59:59,20\ntc,491,2024-03-31 01:59:59,5\n"
             "td,491,2024-03-31 23:59:59,6\n", "", {"session_key": "", "peer": ""}),
        Feed("line,msisdn,start,s,amount\n1,491,2024-02-01,30,0.30\n2,491,2024-03-01,11,0.10\n", "", {"session_key": ""}),
        (("misrated", "0.01"),), 'match = ["aggregate"]\nperiod = "month"\nprice = "0.01"',
    ),
    Case(
        "C31 a workbook with numbers, dates and lengths of time",
        Feed(sheet(("Calls of November",), ("id", "caller", "callee", "start", "s"), ("ua", 491, "492", AT.replace("T", " "), 60),
                   ("ub", "491", 492, AT, 30.5)), 'format = "xlsx"\nskip_lines = 1'),
        Feed(bills("ua,491,60,0.60")),
        (("unbilled", "0.305"),),
    ),
    Case(
        "C31 an archive of lines that end in carriage returns alone, with empty last columns",
        Feed(zipped("c", calls("va,491,492,60", "vb,491,492,30").replace("\n", ",,\r").replace("s,,", "s,,", 1))),
        Feed(gzip.compress(bills("va,491,60,0.60", "vb,491,30,0.30").replace("\n", "\r\n").encode()) + b"\0" * 512),
    ),
]  # fmt: skip


def source_of(case: int, stream: str, feed: Feed) -> str:
    """Return the TOML of a source of a case."""
    usual = {name: f'"{column}"' for name, column in (USAGE if stream == "usage" else CHARGE).items()}
    columns = {name: rule for name, rule in (usual | feed.columns).items() if rule}
    lines = "\n".join(f"{name} = {rule}" for name, rule in columns.items())
    return (
        f'[[source]]\nname = "{stream}-{case}"\nstream = "{stream}"\npath = "landing/{stream}-{case}"\nidle_after = "1h"\n{feed.settings}\n'
        f'[source.columns]\n{lines}\n[source.constants]\nservice = "service-{case}"\n'
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, Decimal, bool]]:
    """Return the open findings of all cases: service, kind, impact, and whether it is provisional."""
    project = tmp_path_factory.mktemp("further") / "project"
    (project / "landing").mkdir(parents=True)
    parts = [
        '[project]\ntimezone = "Europe/Berlin"\ncurrency = "EUR"\nmax_age = "2000d"\nmax_clock_jump = "60d"\n[lake]\nbuckets = 1\n'
    ]
    for number, case in enumerate(CASES):
        for stream, feed in (("usage", case.usage), ("charge", case.charges)):
            data = feed.data.encode() if isinstance(feed.data, str) else feed.data
            (project / "landing" / f"{stream}-{number}").write_bytes(data)
            parts.append(source_of(number, stream, feed))
        parts.append(f"[reconcile.service-{number}]\n{case.reconcile}\n")
    (project / "trueup.toml").write_text("\n".join(parts), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_NOW", NOW)
        # At the second time all sources have been silent for longer than `idle_after`.
        for now in (NOW, LATER):
            patch.setenv("TRUEUP_NOW", now)
            assert main(["ingest", "--project", str(project)]) == 0
        assert main(["reconcile", "--project", str(project)]) == 0
        with open_warehouse(Project.load(project)) as warehouse:
            query = "SELECT service, kind, impact, provisional_reason IS NOT NULL FROM findings WHERE status = 'open'"
            return list(warehouse.connection.execute(query).fetchall())


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_the_findings_of_a_feed_are_those_calculated_by_hand(number: int, found: list[tuple[str, str, Decimal, bool]]) -> None:
    own = [(kind, impact, provisional) for service, kind, impact, provisional in found if service == f"service-{number}"]
    shown = [(kind, f"{impact.normalize():f}{' provisional' if provisional else ''}") for kind, impact, provisional in own]
    assert sorted(shown) == sorted(CASES[number].findings)
