"""Samples of many kinds: the proposed source is the one that a person would write, except for lines that no sample can show."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from trueup.errors import TrueupError
from trueup.onboarding.document import Document

Propose = Callable[..., tuple[dict[str, Any], Document]]

ASSUMED = {"[project] timezone", "[project] currency", "constants: service"}
"""Lines that no sample of usage without offset, currency and service can show."""
CALLS = "id,caller,callee,start,billsec\n" + "".join(
    f"e{n},49151100000{n},4930123450{n},2026-11-0{n} 10:00:{n:02d},{n * 7}\n" for n in range(1, 9)
)
SECONDS = {"column": "billsec", "unit": "s"}
MAPPED = {"record_key": "id", "subscriber": "caller", "peer": "callee", "started_at": "start", "quantity": SECONDS}


def source(settings: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return {
        name: value for name, value in settings["source"][number].items() if name not in ("name", "path", "delimiter", "stream")
    }


def checked(document: Document) -> set[str]:
    """Return the settings that a person should check, without the name of the source."""
    return {doubt.setting.partition(", ")[2] or doubt.setting for doubt in document.doubts}


def test_plain_calls_need_only_lines_for_zone_currency_and_service(propose_from: Propose) -> None:
    settings, document = propose_from(msc__csv=CALLS)
    assert settings["source"][0]["stream"] == "usage"
    assert source(settings) == {"columns": MAPPED, "constants": {"service": "voice"}}
    assert checked(document) == ASSUMED


@pytest.mark.parametrize(("heading", "code"), [("Amount EUR", "EUR"), ("amount_SEK", "SEK"), ("AMOUNT ALL", None), ("price", None)])
def test_the_heading_of_amounts_may_name_the_currency(propose_from: Propose, heading: str, code: str | None) -> None:
    charges = f"line,id,msisdn,start,seconds,{heading}\n"
    charges += "".join(f"L{n},{n},491511000000{n},2026-11-0{n} 10:00:00,{60 + n},0.{60 + n}\n" for n in range(1, 9))
    settings, document = propose_from(charges__csv=charges)
    assert ("[project] currency" in checked(document)) == (code is None)
    assert settings["project"]["currency"] == (code or "EUR")


def test_half_of_a_start_is_not_a_key_and_all_days_of_a_file_have_one_order(propose_from: Propose) -> None:
    calls, bills = "Date,Time,From,To,Duration\n", "Invoice Date,Number,Dialled,Call Start,Seconds,Charge\n"
    for n in range(1, 20):
        calls += f"11/{n:02}/2026,0{n % 10}:{n:02}:00,4915110000{n},4915220000{n},{60 + n}\n"
        bills += f"12/01/2026,4915110000{n},4915220000{n},11/{n:02}/2026 0{n % 10}:{n:02}:00,{60 + n},0.{60 + n}\n"
    settings, document = propose_from(calls__csv=calls, bills__csv=bills)
    usage, charges = settings["source"]
    assert "record_key" not in usage["columns"] and usage["identity"] == "content"
    assert charges["columns"]["billed_at"] == {"column": "Invoice Date", "time_format": "%m/%d/%Y"}
    assert "columns: record_key" not in checked(document)


@pytest.mark.parametrize(("minutes", "tolerance"), [("{whole}", "60s"), ("{whole}.5", "1s")])
def test_whole_minutes_are_a_minute_apart_from_seconds_at_most(propose_from: Propose, minutes: str, tolerance: str) -> None:
    calls, bills = "id,from,to,start,seconds\n", "line,from,to,start,minutes,amount\n"
    for n in range(1, 20):
        party = f"4915110000{n},4915220000{n},2026-11-{n:02} 08:00:00"
        calls += f"C{n},{party},{60 + n}\n"
        bills += f"L{n},{party},{minutes.format(whole=2)},0.10\n"
    settings, _ = propose_from(calls__csv=calls, bills__csv=bills)
    assert settings["reconcile"]["default"]["quantity_tolerance"] == tolerance


def test_each_line_has_its_evidence_and_each_doubt_its_line(propose_from: Propose) -> None:
    _, document = propose_from(msc__csv=CALLS.replace("2026-11-03 10:00:03", "soon"))
    lines = document.text.splitlines()
    assert [line for line in lines if line.startswith("started_at")] == [
        'started_at = "start"                        # 7 of 8 values are times'
    ]
    assert "# msc.csv: 7 of 8 records of the sample become events" in lines
    for doubt in document.doubts:
        assert "# check: " in lines[doubt.line - 1]
    reasons = [doubt.reason for doubt in document.doubts]
    assert "1 of 8 records would go to quarantine: bad_time (started_at: is a time)" in reasons
    assert "7 of 8 values of start fit iso" in reasons


def test_semicolons_and_decimal_commas(propose_from: Propose) -> None:
    rows = "".join(f"K{n};4915110000{n};{n}.11.2026 10:00:00;{n * 700};{n}.234,{n}0\n" for n in range(1, 9))
    settings, document = propose_from(rechnung__csv="Beleg;Rufnummer;Beginn;Dauer;Betrag\n" + rows)
    assert settings["source"][0]["stream"] == "charge"
    assert source(settings) == {
        "time_format": "%d.%m.%Y %H:%M:%S", "notation": {"decimal": ",", "grouping": "."}, "constants": {"service": "voice"},
        "columns": {"record_key": "Beleg", "subscriber": "Rufnummer", "started_at": "Beginn", "quantity": "Dauer", "amount": "Betrag"},
    }  # fmt: skip
    assert settings["source"][0]["delimiter"] == ";"
    assert checked(document) == ASSUMED


def test_german_names_of_both_parties(propose_from: Propose) -> None:
    rows = "".join(f"R{n};4915110000{n};493012345{n};{n}.11.2026 10:00:00;{n * 70}\n" for n in range(1, 9))
    settings, _ = propose_from(anrufe__csv="Referenz;A-Nummer;B-Nummer;Beginn;Dauer\n" + rows)
    columns = source(settings)["columns"]
    assert (columns["subscriber"], columns["peer"]) == ("A-Nummer", "B-Nummer")


def test_a_key_of_each_call_is_the_session_key_though_all_parties_are_shared(propose_from: Propose) -> None:
    # Of 20 calls of 12 parties 19 are billed: every party is in both files, and 19 of 20 keys are.
    calls = [
        f"G{n:02d};+49 151 12345{n % 12:02d};030 12345{n};{n + 1}.11.2026 10:00:00;00:0{n % 7 + 1}:{n:02d}\n" for n in range(20)
    ]
    bills = [f"Z{n};G{n:02d};+49 151 12345{n % 12:02d};{n + 1}.11.2026 10:00:00;1,{n:02d}\n" for n in range(20) if n != 4]
    settings, _ = propose_from(
        usage__csv="Kennung;Anrufer;Gewählte Nummer;Beginn;Dauer\n" + "".join(calls),
        bill__csv="Rechnungszeile;Kennung;Anrufer;Beginn;Betrag\n" + "".join(bills),
    )
    usage, charges = (source(settings, number)["columns"] for number in (0, 1))
    assert (usage["session_key"], charges["session_key"]) == ("Kennung", "Kennung")
    assert (usage["subscriber"], usage["peer"], charges["subscriber"]) == (
        {"column": "Anrufer", "e164": "49"}, {"column": "Gewählte Nummer", "e164": "49"}, {"column": "Anrufer", "e164": "49"},
    )  # fmt: skip


def test_a_number_with_two_readings_is_to_be_checked(propose_from: Propose) -> None:
    rows = "".join(f"K{n},4915110000{n},2026-11-0{n} 10:00:00,1.00{n}\n" for n in range(1, 9))
    settings, document = propose_from(bill__csv="line,msisdn,start,amount\n" + rows)
    assert source(settings)["notation"] == {"decimal": "."}
    assert [d.reason for d in document.doubts if d.setting.endswith("notation")] == [
        "8 of 8 numbers fit; 8 such as 1.001 have a second reading"
    ]


def test_a_number_that_begins_with_a_zero_has_one_reading(propose_from: Propose) -> None:
    rows = "".join(f"K{n},4915110000{n},2026-11-0{n} 10:00:00,0.00{n}\n" for n in range(1, 9))
    settings, _ = propose_from(bill__csv="line,msisdn,start,amount\n" + rows)
    assert "notation" not in source(settings)


def test_tabs(propose_from: Propose) -> None:
    settings, document = propose_from(msc__txt=CALLS.replace(",", "\t"))
    assert settings["source"][0]["delimiter"] == "\t"
    assert 'delimiter = "\\t"' in document.text
    assert source(settings)["columns"] == MAPPED


def test_pipes_without_column_names_are_found_by_their_values_and_all_checked(propose_from: Propose) -> None:
    rows = "".join(f"R{n:03d}|49151100000{n}|4930123450{n}|202611{n:02d}100000|{n * 7}\n" for n in range(1, 9))
    settings, document = propose_from(msc__dat=rows)
    assert source(settings) == {
        "header": False, "time_format": "%Y%m%d%H%M%S", "constants": {"service": "voice"},
        "columns": {"record_key": "1", "subscriber": "2", "peer": "3", "started_at": "4", "quantity": "5"},
    }  # fmt: skip
    named = {f"columns: {name}" for name in MAPPED}
    assert checked(document) == ASSUMED | named | {"stream"}


def test_ndjson(propose_from: Propose) -> None:
    rows = "".join(
        f'{{"eventId":"e{n}","msisdn":"4915110000{n}","startTime":"2026-11-0{n}T10:00:00Z","totalBytes":{n}000}}\n'
        for n in range(1, 9)
    )
    settings, document = propose_from(gw__ndjson=rows)
    assert source(settings) == {
        "format": "ndjson", "constants": {"service": "data"},
        "columns": {"record_key": "eventId", "subscriber": "msisdn", "started_at": "startTime", "quantity": {"column": "totalBytes", "unit": "B"}},
    }  # fmt: skip
    assert checked(document) == {"[project] currency", "constants: service"}


@pytest.mark.parametrize(("time_format", "digits"), [("epoch_s", ""), ("epoch_ms", "000"), ("epoch_us", "000000")])
def test_epochs(propose_from: Propose, time_format: str, digits: str) -> None:
    rows = "".join(f"e{n},49151100000{n},179500000{n}{digits},{n * 7}\n" for n in range(1, 9))
    settings, document = propose_from(msc__csv="id,msisdn,ts,seconds\n" + rows)
    assert source(settings)["time_format"] == time_format
    assert checked(document) == {"[project] currency", "constants: service"}


def test_durations_written_as_a_clock_and_a_start_in_two_columns(propose_from: Propose) -> None:
    rows = "".join(f"e{n},49151100000{n},{n + 12}/11/2026,10:00:0{n},00:0{n}:30\n" for n in range(1, 9))
    settings, document = propose_from(msc__csv="id,caller,date,time,duration\n" + rows)
    assert source(settings) == {
        "time_format": "%d/%m/%Y %H:%M:%S", "constants": {"service": "voice"},
        "columns": {
            "record_key": "id", "subscriber": "caller", "started_at": {"columns": ["date", "time"], "separator": " "},
            "quantity": {"column": "duration", "duration": "h:m:s"},
        },
    }  # fmt: skip
    assert checked(document) == ASSUMED


def test_minutes_and_seconds_may_be_hours_and_minutes(propose_from: Propose) -> None:
    rows = "".join(f"e{n},49151100000{n},2026-11-0{n} 10:00:00,0{n}:30\n" for n in range(1, 9))
    settings, document = propose_from(msc__csv="id,caller,start,duration\n" + rows)
    assert source(settings)["columns"]["quantity"] == {"column": "duration", "duration": "m:s"}
    assert checked(document) == ASSUMED | {"columns: quantity"}


def test_a_day_that_may_be_a_month_is_read_so_that_the_sample_covers_less_time_and_checked(propose_from: Propose) -> None:
    rows = "".join(f"e{n},49151100000{n},11/0{n}/2026 10:00,{n}\n" for n in range(1, 9))
    settings, document = propose_from(msc__csv="id,caller,start,seconds\n" + rows)
    assert source(settings)["time_format"] == "%m/%d/%Y %H:%M"
    assert checked(document) == ASSUMED | {"time_format"}


def test_numbers_with_and_without_plus_become_one_form(propose_from: Propose) -> None:
    callees = ("+49 30 12345{}", "004930 12345{}", "4930 12345{}")
    rows = "".join(
        f"e{n},{'+' * (n % 2)}49151100000{n},{callees[n % 3].format(n)},2026-11-0{n} 10:00:00,{n}\n" for n in range(1, 9)
    )
    settings, document = propose_from(msc__csv="id,caller,callee,start,billsec\n" + rows)
    columns = source(settings)["columns"]
    assert columns["subscriber"] == {"column": "caller", "e164": "49"}
    assert columns["peer"] == {"column": "callee", "e164": "49"}
    assert "16 of 16 international numbers are of +49" in document.text


@pytest.mark.parametrize("pack", ["gzip", "zip"])
def test_a_compressed_sample_is_read_like_a_plain_one(propose_from: Propose, pack: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("msc.csv", CALLS)
    settings, document = propose_from(msc__csv__gz=gzip.compress(CALLS.encode()) if pack == "gzip" else packed.getvalue())
    assert source(settings)["columns"] == MAPPED
    assert checked(document) == ASSUMED


def test_titles_header_records_and_trailers_are_not_records(propose_from: Propose) -> None:
    records = "".join(CALLS.splitlines(keepends=True)[1:])
    settings, document = propose_from(a__csv="Calls of MSC7\n\n" + CALLS, b__csv=f"HDR,MSC7\n{CALLS}TRL,MSC7,8\n", c__csv=records)
    assert source(settings, 0)["skip_lines"] == 2
    assert source(settings, 1)["framing"] == {"header": "^HDR(,|$)", "trailer": "^TRL,[^,]*,\\s*(?P<records>[0-9]+)"}
    assert "it declares 8 records, the file has 8" in document.text
    assert "framing" not in source(settings, 2) and "skip_lines" not in source(settings, 2)


def test_names_of_columns_may_hold_anything(propose_from: Propose) -> None:
    names = ['id"]\n[lake]', "caller = '''", "start # \x1b[31m", "billsec\u202e", ""]
    header = ",".join('"' + name.replace("\n", " ").replace('"', '""') + '"' for name in names)
    rows = "".join(f"e{n},49151100000{n},2026-11-0{n} 10:00:00,{n * 7},\n" for n in range(1, 9))
    settings, document = propose_from(msc__csv=f"{header}\n{rows}")
    columns = source(settings)["columns"]
    assert columns["subscriber"] == "caller = '''"
    assert columns["quantity"]["column"] == "billsec\u202e"
    assert "\x1b" not in document.text and "\u202e" not in document.text
    assert "\\u202e" in document.text and "\\u001b" in document.text


def test_the_name_of_a_service_may_hold_anything(propose_from: Propose) -> None:
    services = ("vo\x1bice", 'da"]ta')
    rows = "".join(
        f'e{n},49151100000{n},2026-11-0{n} 10:00:00,{n * 7},"{services[n % 2].replace(chr(34), chr(34) * 2)}"\n'
        for n in range(1, 9)
    )
    charges = "".join(f"{n},e{n},{n * 7 * (1 + n % 2)}.00\n" for n in range(1, 9))
    settings, document = propose_from(msc__csv="id,caller,start,billsec,service\n" + rows, bill__csv="line,id,amount\n" + charges)
    assert {service: rules["price"] for service, rules in settings["reconcile"].items()} == {"default": "2", "vo\x1bice": "1"}
    assert '[reconcile."vo\\u001bice"]' in document.text
    assert "\x1b" not in document.text


def test_other_encodings_are_to_be_checked(propose_from: Propose) -> None:
    settings, document = propose_from(msc__csv=CALLS.replace("callee", "gerät").encode("cp1252"))
    assert source(settings)["encoding"] == "cp1252"
    assert "encoding" in checked(document)


def test_a_and_b_legs(propose_from: Propose) -> None:
    rows = "".join(f"u{n}{leg},c{n},{leg},49151100000{n},2026-11-0{n} 10:00:00,{n * 7}\n" for n in range(1, 9) for leg in "ab")
    settings, document = propose_from(sw__csv="uuid,callid,leg,caller,start,billsec\n" + rows)
    assert source(settings)["where"] == "leg = 'a'"
    assert "8 of 16 records of the sample become events, 8 are left out by `where`" in document.text


def test_call_records_of_an_exchange(propose_from: Propose) -> None:
    custom = "".join(
        f'"{n}/9/2026 16:33:01","""x"" <105>","105","*60","ctx","SIP/1","","Wait","1","27","{n}","ANSWERED","3","","15.{n}"'
        + ',""' * 10
        + "\n"
        for n in range(1, 9)
    )
    plain = "".join(
        f'"","49151100000{n}","4930123450{n}","ctx","","SIP/1","SIP/2","Dial","","2026-11-0{n} 10:00:00","2026-11-0{n} 10:00:02",'
        f'"2026-11-0{n} 10:00:09","9","7","ANSWERED","3","15.{n}",""\n'
        for n in range(1, 9)
    )
    settings, _ = propose_from(custom__csv=custom, Master__csv=plain)
    assert source(settings, 0) == {"format": "asterisk"}
    assert source(settings, 1) == {"preset": "asterisk-csv"}


def test_volumes_include_the_overflows_of_32_bit_counters(propose_from: Propose) -> None:
    rows = "".join(f"s{n},u{n},2026-11-0{n} 10:00:00,{n}00,0,{n},1\n" for n in range(1, 9))
    settings, document = propose_from(radius__csv="AcctUniqueId,UserName,AcctStartTime,in_octets,in_gw,out_octets,out_gw\n" + rows)
    assert source(settings)["columns"]["quantity"] == {
        "expression": "in_octets + out_octets + 4294967296 * (COALESCE(in_gw, 0) + COALESCE(out_gw, 0))"
    }
    assert "columns: quantity" in checked(document)


def test_old_records_raise_the_age_that_is_accepted(propose_from: Propose) -> None:
    settings, document = propose_from(msc__csv=CALLS.replace("2026-", "2011-"))
    assert settings["project"]["max_age"] == "5868d"
    assert "# msc.csv: 8 of 8 records of the sample become events" in document.text


def test_a_sample_is_bounded_and_its_trailer_still_found(propose_from: Propose) -> None:
    rows = "".join(f"e{n},49151{n:07d},4930123450,2026-11-0{n % 9 + 1} 10:00:00,{n % 600}\n" for n in range(90_000))
    settings, document = propose_from(msc__csv="id,caller,callee,start,billsec\n" + rows + "TRL,90000\n")
    assert "# msc.csv: 10,000 of 10,000 records of the sample become events" in document.text
    assert source(settings)["framing"] == {"trailer": "^TRL(,|$)"}
    assert "framing: trailer" in checked(document)


def test_without_a_shared_key_the_price_is_that_of_the_charges_and_units_are_made_equal(propose_from: Propose) -> None:
    usage = "".join(f"{n + 1000},49151100000{n},4930123450{n},2026-11-0{n} 10:00:00,{n}\n" for n in range(1, 9))
    charges = "".join(f"{n},49151100000{n},4930123450{n},2026-11-0{n} 10:00:00,{n * 60},{n * 0.6:.2f}\n" for n in range(1, 9))
    settings, document = propose_from(
        msc__csv="cdr_id,caller,callee,start,minutes\n" + usage, bill__csv="line,caller,callee,start,seconds,amount\n" + charges
    )
    assert source(settings, 0)["columns"]["quantity"] == {"column": "minutes", "scale": 60}
    assert source(settings, 1)["columns"]["quantity"] == {"column": "seconds", "unit": "s"}
    assert settings["reconcile"]["default"]["match"] == ["nearest"]
    assert settings["reconcile"]["default"]["price"] == "0.01"
    assert {"[reconcile.default] price", "[reconcile.default] match"} <= checked(document)


def test_a_price_of_a_larger_unit_is_for_as_many_smaller_ones(propose_from: Propose) -> None:
    usage = "".join(f"k{n},49151100000{n},2026-11-0{n} 10:00:00,{n}\n" for n in range(1, 9))
    charges = "".join(f"{n},k{n},{n * 60},{n * 0.07:.2f}\n" for n in range(1, 9))
    settings, _ = propose_from(
        msc__csv="call_id,caller,start,minutes\n" + usage, bill__csv="line,call_id,seconds,amount\n" + charges
    )
    rules = settings["reconcile"]["default"]
    assert (rules["match"], rules["price"], rules["price_per"]) == (["session_key"], "0.07", 60)


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_sample_gives_a_project_that_loads_or_one_message(propose_from: Propose, seed: int) -> None:
    damages = (b'"', b"\n", b";", b"\0", b"\xff", b"\x1d", b"\x1b[2J", b"1e999", b"--", b"%", b"\xe2\x80\xae", b"9" * 60)
    random_numbers = random.Random(seed)
    loaded = 0
    for _ in range(12):
        data = CALLS.encode()
        for _ in range(random_numbers.randint(1, 5)):
            at = random_numbers.randrange(len(data))
            data = (
                data[:at]
                + random_numbers.choice(damages) * random_numbers.randint(1, 3)
                + data[at + random_numbers.randint(0, 9) :]
            )
        try:
            _, document = propose_from(msc__csv=data)
        except TrueupError as error:
            assert error.what and error.where and error.todo
        else:
            assert all(line.isprintable() for line in document.text.splitlines())
            loaded += 1
    assert loaded
