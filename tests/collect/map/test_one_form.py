"""One form of text and declared notations, from a file to the log: new sources, sources with a history, and their proof."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trueup.collect.ingest import IngestSummary
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

ACCEPTED = "SELECT record_key, subscriber, quantity_micros FROM lake.events.usage ORDER BY snapshot_id, source_row"
REJECTED = "SELECT source_row, reason, rule FROM lake.events.quarantine ORDER BY source_row"
HEADER = "id,caller,at,seconds\n"
VERSION_1 = "mapping_version = 1"
CALLS_OF = """
[[source]]
name = "{name}"
stream = "usage"
path = "landing/{name}.csv"
[source.columns]
record_key = "id"
started_at = "at"
quantity = "seconds"
{rule}
[source.constants]
service = "voice"
"""


def line(key: str, *, caller: str = "491511000001", at: str = "2024-05-01 10:00:00", seconds: str = "60") -> str:
    return f'"{key}","{caller}","{at}","{seconds}"\n'


def is_proven(project: Project) -> bool:
    with Lake.open(project, read_only=True) as lake:
        return verify(lake, only=("units", "event_ids")).sound


def test_keys_with_blanks_of_two_exports_are_equal(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": HEADER + line("k1 ", caller=" 4915 ") + line(" k1", caller="4915")})
    (unit,) = take_in(project).units
    assert (unit.accepted, unit.duplicate) == (1, 1)
    assert query(project, ACCEPTED).rows() == [("k1", "4915", 60_000_000)]
    assert is_proven(project)


def test_a_source_that_keeps_blanks_has_them_in_its_keys(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": HEADER + line("k1 ") + line("k1")}, settings="trim = false")
    (unit,) = take_in(project).units
    assert (unit.accepted, query(project, ACCEPTED)["record_key"].to_list()) == (2, ["k1 ", "k1"])
    assert is_proven(project)


def test_a_key_of_blanks_alone_is_missing(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": HEADER + line("  ")})
    take_in(project)
    assert query(project, REJECTED).rows() == [(0, "missing_required", "record_key: is there")]


def test_a_source_with_a_history_keeps_its_form_of_text(calls: Write, take_in: TakeIn, query: Query) -> None:
    calls({"a.csv": HEADER + line("k1 ")}, settings=VERSION_1)
    take_in(Project.load(calls({}, settings=VERSION_1).directory))
    project = calls({"b.csv": HEADER + line("k2 ")})
    take_in(project)
    assert query(project, ACCEPTED)["record_key"].to_list() == ["k1 ", "k2 "]
    assert is_proven(project)


def test_a_record_delivered_again_after_the_version_was_raised_is_a_duplicate(calls: Write, take_in: TakeIn, query: Query) -> None:
    take_in(calls({"a.csv": HEADER + line("k1 ") + line("k2")}, settings=VERSION_1))
    project = calls({"b.csv": HEADER + line("k1") + line("k2") + line("k3 ")}, settings="mapping_version = 2")
    *_, unit = take_in(project).units
    assert (unit.accepted, unit.duplicate) == (1, 2)
    assert query(project, ACCEPTED)["record_key"].to_list() == ["k1 ", "k2", "k3"]
    assert is_proven(project)


def test_invisible_marks_and_other_blanks_distinguish_no_keys(calls: Write, take_in: TakeIn, query: Query) -> None:
    written = ["k1", "\ufeffk1", "k1\u200b", "k\u00ad1", "\u200ek1\u2009", "k2\u00a0x", "k2 x", "'77", "77"]
    project = calls({"a.csv": HEADER + "".join(map(line, written))})
    (unit,) = take_in(project).units
    assert (unit.accepted, unit.duplicate) == (3, 6)
    assert query(project, ACCEPTED)["record_key"].to_list() == ["k1", "k2 x", "77"]
    assert is_proven(project)


def test_version_3_recognises_records_with_invisible_marks_that_version_2_delivered(
    calls: Write, take_in: TakeIn, query: Query
) -> None:
    take_in(calls({"a.csv": HEADER + line("k1\u200b") + line("'77") + line("k2\u00a0x")}, settings="mapping_version = 2"))
    project = calls({"b.csv": HEADER + line("k1") + line("77") + line("k2 x") + line("k3")}, settings="mapping_version = 3")
    *_, unit = take_in(project).units
    assert (unit.accepted, unit.duplicate) == (1, 3)
    assert query(project, ACCEPTED)["record_key"].to_list() == ["k1\u200b", "'77", "k2\u00a0x", "k3"]
    assert is_proven(project)


def test_numbers_have_the_prefixes_of_their_dialling_plan(calls: Write, take_in: TakeIn, query: Query) -> None:
    # Italy keeps the 0 of national numbers, Hungary dials 06, Russia 8 and 810; the United States dial ten digits and 011.
    plans = {
        "39": (
            "prefixes = { 00 = '', 0 = '390' }, national_digits = [10]",
            {"06 1234": "3906 1234", "333 1234567": "393331234567"},
        ),
        "36": ("prefixes = { 00 = '', 06 = '36' }", {"06 1 234 5678": "3612345678", "+36 1 234 5678": "3612345678"}),
        "7": ("prefixes = { 810 = '', 8 = '7' }", {"8 (495) 123-45-67": "74951234567", "8 10 49 30 123": "4930123"}),
        "1": ("prefixes = { 011 = '' }, national_digits = [10]", {"(212) 555-0100": "12125550100", "011 49 30 123": "4930123"}),
    }
    right = []
    for code, (plan, numbers) in plans.items():
        rule = f"subscriber = {{ column = 'caller', e164 = '{code}', {plan} }}"
        toml = CALLS_OF.format(name=f"s{code}", rule=rule)
        project = calls({f"s{code}.csv": HEADER + "".join(line(number, caller=number) for number in numbers)}, toml=toml)
        take_in(project)
        right += [number.replace(" ", "") for number in numbers.values()]
        assert is_proven(project)
    assert query(project, ACCEPTED)["subscriber"].to_list() == right


def test_a_number_without_cents_is_not_negative(calls: Write, take_in: TakeIn, query: Query) -> None:
    notation = 'notation = { decimal = ",", negative = "trailing" }'
    project = calls({"a.csv": HEADER + line("1", seconds="5,-") + line("2", seconds="5,0")}, settings=notation)
    take_in(project)
    assert query(project, ACCEPTED)["record_key"].to_list() == ["2"]
    assert [row[:2] for row in query(project, REJECTED).rows()] == [(0, "unparsable")]


def test_joined_keys_and_numbers_of_parties_overlap_in_their_present_form(calls: Write, take_in: TakeIn) -> None:
    def with_version(version: int) -> str:
        return (
            f"[[source]]\nname = 'msc'\nstream = 'usage'\npath = 'landing/*'\nmapping_version = {version}\n[source.columns]\n"
            "record_key = { columns = ['id', 'leg'], separator = '/' }\nsubscriber = { column = 'caller', e164 = '49' }\n"
            "started_at = 'at'\nquantity = 'seconds'\n[source.constants]\nservice = 'voice'\n"
        )

    header = "id,leg,caller,at,seconds\n"
    take_in(calls({"a.csv": header + "k1 ,a ,tel:+4930 123,2024-05-01 10:00:00,60\n"}, toml=with_version(1)))
    *_, unit = take_in(calls({"b.csv": header + "k1,a,030 123,2024-05-01 10:00:00,60\n"}, toml=with_version(2))).units
    assert (unit.accepted, unit.duplicate) == (0, 1)


def test_a_number_that_lost_digits_in_a_spreadsheet_is_rejected_with_its_bytes(calls: Write, take_in: TakeIn, query: Query) -> None:
    lines = [line("1", caller="4.91511E+11"), line("1.71457E+12"), line("3", caller="491511000001.0"), line("1714567890.0")]
    project = calls({"a.csv": HEADER + "".join(lines)})
    take_in(project)
    assert [row[:2] for row in query(project, REJECTED).rows()] == [(0, "lost_digits"), (1, "lost_digits")]
    assert query(project, ACCEPTED).rows() == [("3", "491511000001", 60_000_000), ("1714567890.0", "491511000001", 60_000_000)]
    assert is_proven(project)


def test_a_local_time_that_daylight_saving_repeats_has_a_reason_of_its_own(calls: Write, take_in: TakeIn, query: Query) -> None:
    times = ["2023-10-29 02:30:00", "2024-03-31 02:30:00", "noon", "2024-03-31 24:00:00", "2024-05-01 10:00:00"]
    content = HEADER + "".join(line(str(n), at=at) for n, at in enumerate(times))
    project = calls({"a.csv": content}, settings="timezone = 'Europe/Berlin'")
    take_in(project)
    rule = "started_at: is a local time that Europe/Berlin has once (`ambiguous` chooses one of two)"
    assert query(project, REJECTED).rows() == [
        (0, "ambiguous_time", rule), (1, "ambiguous_time", rule), (2, "bad_time", "started_at: is a time"),
    ]  # fmt: skip
    assert query(project, ACCEPTED)["record_key"].to_list() == ["3", "4"]


def test_a_declared_notation_is_read_and_any_other_is_rejected(calls: Write, take_in: TakeIn, query: Query) -> None:
    texts = ["1.000", "1.234,5", "12,00", "1.00", "1,234.5"]
    content = HEADER + "".join(line(str(n), seconds=text) for n, text in enumerate(texts))
    project = calls({"a.csv": content}, settings="notation = { decimal = ',', grouping = '.' }")
    take_in(project)
    assert query(project, ACCEPTED)["quantity_micros"].to_list() == [1_000_000_000, 1_234_500_000, 12_000_000]
    rule = "quantity: is a number in its notation (decimal mark ',', grouping mark '.')"
    assert query(project, REJECTED).rows() == [(3, "unparsable", rule), (4, "unparsable", rule)]
    assert is_proven(project)


def test_a_column_may_have_a_notation_or_duration_of_its_own(calls: Write, take_in: TakeIn, query: Query) -> None:
    toml = (
        "[[source]]\nname = 'bill'\nstream = 'charge'\npath = 'landing/*'\nnotation = { decimal = ',' }\n[source.columns]\n"
        "record_key = 'id'\namount = 'amount'\nquantity = { column = 'length', duration = 'h:m:s' }\n"
        "partial_no = { column = 'part', notation = { grouping = ',' } }\n"
    )
    project = calls({"a.csv": 'id,amount,length,part\n1,"1,5",00:08:10,"1,000"\n2,1.5,8:10,1\n'}, toml=toml)
    take_in(project)
    found = query(project, "SELECT amount_micros, quantity_micros, partial_no FROM lake.events.charge").rows()
    assert found == [(1_500_000, 490_000_000, 1000)]
    assert query(project, REJECTED).rows() == [(1, "unparsable", "quantity: is a duration written as h:m:s")]


def test_percentages_count_hundredths(calls: Write, take_in: TakeIn, query: Query) -> None:
    content = HEADER + line("1", seconds="19 %") + line("2", seconds="19")
    project = calls({"a.csv": content}, settings="notation = { percent = true }")
    take_in(project)
    assert query(project, ACCEPTED)["quantity_micros"].to_list() == [190_000]


def test_numbers_of_a_typed_column_and_constants_need_no_notation(calls: Write, take_in: TakeIn, query: Query) -> None:
    sink = pa.BufferOutputStream()
    columns = {"id": ["1", "2"], "caller": ["9", "9"], "at": ["2024-05-01 10:00:00"] * 2, "seconds": [1.5, None]}
    pq.write_table(pa.table(columns), sink)
    toml = (
        "[[source]]\nname = 'msc'\nstream = 'usage'\npath = 'landing/*'\nformat = 'parquet'\nnotation = { decimal = ',' }\n"
        "[source.columns]\nrecord_key = 'id'\nstarted_at = 'at'\nquantity = 'seconds'\n"
        "[source.constants]\nservice = 'voice'\nquantity = '2.5'\n"
    )
    project = calls({"a.parquet": bytes(sink.getvalue())}, toml=toml)
    take_in(project)
    assert query(project, ACCEPTED)["quantity_micros"].to_list() == [1_500_000, 2_500_000]


def test_numbers_of_json_need_no_notation_and_texts_of_json_have_it(calls: Write, take_in: TakeIn, query: Query) -> None:
    record = '{{"id":"{}","caller":"9","at":"2024-05-01 10:00:00","seconds":{}}}\n'
    values = ["1.5", '"1,5"', '"1.5"', "1.5e1"]
    content = "".join(record.format(n, value) for n, value in enumerate(values))
    project = calls({"a.ndjson": content}, settings='format = "ndjson"\nnotation = { decimal = "," }')
    take_in(project)
    assert query(project, ACCEPTED)["quantity_micros"].to_list() == [1_500_000, 1_500_000, 15_000_000]
    assert [row[:2] for row in query(project, REJECTED).rows()] == [(2, "unparsable")]
    assert is_proven(project)


@pytest.mark.parametrize("settings", ["notation = { decimal = ',' }", "notation = { percent = true }", "trim = false"])
def test_a_unit_stays_proven_after_its_notation_was_changed(calls: Write, take_in: TakeIn, settings: str) -> None:
    take_in(calls({"a.csv": HEADER + line("k1 ", seconds="1,5") + line("k2", seconds="1.5")}, settings=settings))
    assert is_proven(calls({}, settings=""))
