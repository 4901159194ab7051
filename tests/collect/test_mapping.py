from __future__ import annotations

from datetime import UTC, datetime

import pytest

from trueup.collect.decode.csv import Dialect, read_csv
from trueup.collect.decode.decoded import Batch
from trueup.collect.decode.lines import lines_in
from trueup.collect.map.mapping import Mapped, Mapping
from trueup.collect.map.presets import expand_preset
from trueup.config import Config, parse
from trueup.errors import SourceError

NOW = datetime(2024, 6, 1, tzinfo=UTC)
SHA = "ab" * 32


def mapped(toml: str, header: str, *lines: str) -> Mapped:
    config = parse(f"[[source]]\nname = 's'\npath = 'x'\n{toml}")
    names = header.split(",")
    mapping = Mapping(expand_preset(config.source[0]), config.project, NOW)
    data = "\n".join(lines).encode()
    wanted = mapping.requested_among(names)
    batch: Batch = read_csv(lines_in(data, offset=0, first_row=0), Dialect(",", '"', "utf-8"), names, wanted, attributes=True)
    made = mapping.apply(batch, source_id="s@1", sha256=SHA)
    assert made.records == len(lines)
    return made


USAGE = """
stream = 'usage'
columns = {{ record_key = 'id', started_at = 'at', quantity = 'q'{more} }}
constants = {{ service = 'voice' }}
"""
CHARGE = "stream = 'charge'\ncolumns = { record_key = 'id', amount = 'a', billed_at = 'at' }\n"
GOOD = "1,2024-05-01 10:00:00,60"


def reasons(made: Mapped) -> list[tuple[int, str, str]]:
    return list(made.rejected.select("source_row", "reason", "rule").iter_rows())


@pytest.mark.parametrize(
    ("line", "reason", "column"),
    [
        (",2024-05-01 10:00:00,60", "missing_required", "record_key"),
        ("1,,60", "missing_required", "started_at"),
        ("1,2024-05-01 10:00:00,", "missing_required", "quantity"),
        ("1,noon,", "missing_required", "quantity"),
        ("1,noon,60", "bad_time", "started_at"),
        ("1,2025-05-01 10:00:00,60", "time_out_of_range", "started_at"),
        ("1,1999-05-01 10:00:00,60", "time_out_of_range", "started_at"),
        ("1,2024-05-01 10:00:00,sixty", "unparsable", "quantity"),
        ("1,2024-05-01 10:00:00,-1", "value_out_of_range", "quantity"),
        ("1,2024-05-01 10:00:00,99999999999999", "value_out_of_range", "quantity"),
        ("1,2024-05-01 10:00:00", "wrong_field_count", "line"),
    ],
)
def test_a_record_that_breaks_a_rule_is_rejected_with_reason_and_rule(line: str, reason: str, column: str) -> None:
    made = mapped(USAGE.format(more=""), "id,at,q", GOOD, line, GOOD)
    ((row, found, rule),) = reasons(made)
    assert (row, found) == (1, reason)
    assert rule.startswith(f"{column}: ")
    assert made.rejected["raw"].to_list() == [line.encode()]
    assert made.rows["source_row"].to_list() == [0, 2]


def test_an_amount_beyond_64_bits_is_out_of_range_and_a_charge_needs_no_time() -> None:
    made = mapped(CHARGE, "id,a,at", "1,-2.5,", "2,9223372036854.775808,", "3,1,2030-01-01", "4,x,")
    assert reasons(made) == [
        (1, "value_out_of_range", "amount: fits 64 bits of millionths"),
        (2, "time_out_of_range", "billed_at: lies within max_age and a day ahead"),
        (3, "unparsable", "amount: is a decimal number"),
    ]
    assert made.rows.select("amount_micros", "currency", "billed_at").row(0) == (-2_500_000, "EUR", None)


def test_a_range_of_the_source_stands_in_for_the_usual_one() -> None:
    made = mapped(
        USAGE.format(more="") + "range = { quantity = ['-5', '60'] }", "id,at,q", GOOD, GOOD[:-2] + "60.000001", GOOD[:-2] + "-5"
    )
    assert [row for row, _, _ in reasons(made)] == [1]
    assert made.rows["quantity_micros"].to_list() == [60_000_000, -5_000_000]


def test_records_that_lose_digits_are_counted_once_and_only_if_they_are_taken_in() -> None:
    made = mapped(USAGE.format(more=""), "id,at,q", GOOD, "2,2024-05-01,0.0000005", "3,noon,0.0000005", "4,2024-05-01,1.0000015")
    assert (made.lost_digits, made.rows["quantity_micros"].to_list()) == (2, [60_000_000, 0, 1_000_002])


def test_a_scale_keeps_what_is_finer_than_a_millionth() -> None:
    toml = USAGE.format(more="").replace("quantity = 'q'", "quantity = { column = 'q', scale = 1_000_000_000 }")
    made = mapped(toml, "id,at,q", "1,2024-05-01,999.6735320368501")
    assert (made.rows["quantity_micros"].to_list(), made.lost_digits) == ([999_673_532_036_850_100], 0)


def test_values_are_mapped_by_their_table_and_those_without_an_entry_are_rejected() -> None:
    more = (
        ", direction = { column = 'd', map = { '1' = 'in', '2' = 'out' } }, node = { column = 'd', map = { '1' = 'A', '*' = 'B' } }"
    )
    made = mapped(USAGE.format(more=more), "id,at,q,d", f"{GOOD},1", f"{GOOD},2", f"{GOOD},", f"{GOOD},9")
    assert made.rows.select("direction", "node").rows() == [("in", "A"), ("out", "B"), (None, None)]
    assert reasons(made) == [(3, "value_out_of_range", "direction: is in its map")]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("+998 90 (000) 11-22", "998900001122"),
        ("00998900001122", "998900001122"),
        ("0900001122", "998900001122"),
        ("998900001122", "998900001122"),
        ("105", "105"),
        ("BANK", "BANK"),
        ("*60", "*60"),
        ("", None),
    ],
)
def test_numbers_are_normalised_to_e164_without_a_prefix(told: str, wanted: str | None) -> None:
    made = mapped(USAGE.format(more=", subscriber = { column = 'n', e164 = '998' }"), "id,at,q,n", f"{GOOD},{told}")
    assert made.rows["subscriber"].to_list() == [wanted]


def test_a_derived_key_joins_its_columns_and_is_missing_when_all_are() -> None:
    toml = USAGE.format(more="").replace("'id'", "{ columns = ['id', 'leg'], separator = '/' }")
    made = mapped(toml, "id,at,q,leg", "1,2024-05-01,1,a", "1,2024-05-01,1,", ",2024-05-01,1,")
    assert made.rows["record_key"].to_list() == ["1/a", "1/"]
    assert reasons(made) == [(2, "missing_required", "record_key: is there")]


def test_a_constant_fills_what_a_mapped_column_leaves_empty() -> None:
    toml = USAGE.format(more=", service = 'kind', partial_no = 'p'")
    made = mapped(toml, "id,at,q,kind,p", f"{GOOD},sms,7", f"{GOOD},,", f"{GOOD},,1.5")
    assert made.rows.select("service", "partial_no").rows() == [("sms", 7), ("voice", None)]
    assert reasons(made) == [(2, "unparsable", "partial_no: is a whole number")]


def test_identity_by_position_names_unit_and_record() -> None:
    toml = "stream = 'charge'\nidentity = 'position'\ncolumns = { session_key = 'k', amount = 'a' }\n"
    made = mapped(toml, "k,a", "x,1", "x,1")
    assert made.rows["record_key"].to_list() == [f"{SHA[:32]}:0", f"{SHA[:32]}:1"]


def test_times_are_of_the_columns_zone_else_the_sources_else_the_projects() -> None:
    toml = (
        "stream = 'charge'\n{zone}columns = {{ record_key = 'id', amount = 'a', started_at = 's', "
        "billed_at = {{ column = 'b', timezone = 'Asia/Tokyo' }} }}\n"
    )
    line = "1,1,2024-05-01 12:00:00,2024-05-01 12:00:00"
    hours = {
        zone: [t.hour for t in mapped(toml.format(zone=zone), "id,a,s,b", line).rows.select("started_at", "billed_at").row(0)]
        for zone in ("", "timezone = 'Asia/Jakarta'\n")
    }
    assert hours == {"": [12, 3], "timezone = 'Asia/Jakarta'\n": [5, 3]}


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    config: Config = parse(
        "[[source]]\nname = 's'\npath = 'x'\n" + USAGE.format(more=", node = 'n', cell = { column = 'c', optional = true }")
    )
    mapping = Mapping(config.source[0], config.project, NOW)
    with pytest.raises(SourceError, match="node is mapped to the column 'n', which does not exist; there are q, at, id"):
        mapping.check(["q", "at", "id"], where="x.csv")
    mapping.check(["q", "at", "id", "n"], where="x.csv")
    mapping.check(["q", "at", "id"], where="x.ndjson", required_only=True)


def test_the_asterisk_preset_gives_way_to_what_the_source_says() -> None:
    told = parse(
        "[[source]]\nname='p'\nstream='usage'\npath='x'\nformat='asterisk'\ncolumns={quantity='duration'}\nconstants={service='pbx'}"
    )
    source = expand_preset(told.source[0])
    assert (source.columns["quantity"].column, source.constants) == ("duration", {"service": "pbx"})
    assert source.columns["subscriber"].column == "src"
