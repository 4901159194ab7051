from __future__ import annotations

from datetime import UTC, datetime

import pytest

from trueup.collect.decode.decoded import Batch
from trueup.collect.decode.text.csv import Dialect, read_csv
from trueup.collect.decode.text.lines import lines_in
from trueup.collect.map.implied_settings import with_implied_settings
from trueup.collect.map.mapping import Mapped, Mapping
from trueup.config import Config, parse
from trueup.errors import SourceError

NOW = datetime(2024, 6, 1, tzinfo=UTC)
SHA = "ab" * 32


def mapped(toml: str, header: str, *lines: str) -> Mapped:
    config = parse(f"[[source]]\nname = 's'\npath = 'x'\n{toml}")
    names = header.split(",")
    mapping = Mapping(with_implied_settings(config.source[0]), config.project, NOW)
    data = "\n".join(lines).encode()
    expected = mapping.requested_among(names)
    batch: Batch = read_csv(lines_in(data, offset=0, first_row=0), Dialect(",", '"', "utf-8"), names, expected, attributes=True)
    result = mapping.apply(batch, source_id="s@1", sha256=SHA)
    assert result.records == len(lines)
    return result


USAGE = """
stream = 'usage'
columns = {{ record_key = 'id', started_at = 'at', quantity = 'q'{more} }}
constants = {{ service = 'voice' }}
"""
CHARGE = "stream = 'charge'\ncolumns = { record_key = 'id', amount = 'a', billed_at = 'at' }\n"
GOOD = "1,2024-05-01 10:00:00,60"


def reasons(result: Mapped) -> list[tuple[int, str, str]]:
    return list(result.rejected.select("source_row", "reason", "rule").iter_rows())


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
    result = mapped(USAGE.format(more=""), "id,at,q", GOOD, line, GOOD)
    ((row, found, rule),) = reasons(result)
    assert (row, found) == (1, reason)
    assert rule.startswith(f"{column}: ")
    assert result.rejected["raw"].to_list() == [line.encode()]
    assert result.rows["source_row"].to_list() == [0, 2]


def test_an_amount_beyond_64_bits_is_out_of_range_and_a_charge_needs_no_time() -> None:
    result = mapped(CHARGE, "id,a,at", "1,-2.5,", "2,9223372036854.775808,", "3,1,2030-01-01", "4,x,")
    assert reasons(result) == [
        (1, "value_out_of_range", "amount: fits 64 bits of millionths"),
        (2, "time_out_of_range", "billed_at: lies within max_age and a day ahead"),
        (3, "unparsable", "amount: is a decimal number"),
    ]
    assert result.rows.select("amount_micros", "currency", "billed_at").row(0) == (-2_500_000, "EUR", None)


def test_a_range_of_the_source_replaces_the_default_range() -> None:
    result = mapped(
        USAGE.format(more="") + "range = { quantity = ['-5', '60'] }", "id,at,q", GOOD, GOOD[:-2] + "60.000001", GOOD[:-2] + "-5"
    )
    assert [row for row, _, _ in reasons(result)] == [1]
    assert result.rows["quantity_micros"].to_list() == [60_000_000, -5_000_000]


def test_accepted_records_that_lose_digits_are_counted_once() -> None:
    result = mapped(USAGE.format(more=""), "id,at,q", GOOD, "2,2024-05-01,0.0000005", "3,noon,0.0000005", "4,2024-05-01,1.0000015")
    assert (result.lost_digits, result.rows["quantity_micros"].to_list()) == (2, [60_000_000, 0, 1_000_002])


def test_a_scale_preserves_values_below_a_millionth() -> None:
    toml = USAGE.format(more="").replace("quantity = 'q'", "quantity = { column = 'q', scale = 1_000_000_000 }")
    result = mapped(toml, "id,at,q", "1,2024-05-01,999.6735320368501")
    assert (result.rows["quantity_micros"].to_list(), result.lost_digits) == ([999_673_532_036_850_100], 0)


def test_values_are_mapped_by_their_table_and_those_without_an_entry_are_rejected() -> None:
    more = (
        ", direction = { column = 'd', map = { '1' = 'in', '2' = 'out' } }, node = { column = 'd', map = { '1' = 'A', '*' = 'B' } }"
    )
    result = mapped(USAGE.format(more=more), "id,at,q,d", f"{GOOD},1", f"{GOOD},2", f"{GOOD},", f"{GOOD},9")
    assert result.rows.select("direction", "node").rows() == [("in", "A"), ("out", "B"), (None, None)]
    assert reasons(result) == [(3, "value_out_of_range", "direction: is in its map")]


@pytest.mark.parametrize(
    ("text", "expected"),
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
def test_numbers_are_normalised_to_e164_without_a_prefix(text: str, expected: str | None) -> None:
    result = mapped(USAGE.format(more=", subscriber = { column = 'n', e164 = '998' }"), "id,at,q,n", f"{GOOD},{text}")
    assert result.rows["subscriber"].to_list() == [expected]


def test_a_derived_key_joins_its_columns_and_is_missing_when_all_are() -> None:
    toml = USAGE.format(more="").replace("'id'", "{ columns = ['id', 'leg'], separator = '/' }")
    result = mapped(toml, "id,at,q,leg", "1,2024-05-01,1,a", "1,2024-05-01,1,", ",2024-05-01,1,")
    assert result.rows["record_key"].to_list() == ["1/a", "1/"]
    assert reasons(result) == [(2, "missing_required", "record_key: is there")]


def test_a_constant_fills_missing_values_of_a_mapped_column() -> None:
    toml = USAGE.format(more=", service = 'kind', partial_no = 'p'")
    result = mapped(toml, "id,at,q,kind,p", f"{GOOD},sms,7", f"{GOOD},,", f"{GOOD},,1.5")
    assert result.rows.select("service", "partial_no").rows() == [("sms", 7), ("voice", None)]
    assert reasons(result) == [(2, "unparsable", "partial_no: is a whole number")]


def test_identity_by_position_names_unit_and_record() -> None:
    toml = "stream = 'charge'\nidentity = 'position'\ncolumns = { session_key = 'k', amount = 'a' }\n"
    result = mapped(toml, "k,a", "x,1", "x,1")
    assert result.rows["record_key"].to_list() == [f"{SHA[:32]}:0", f"{SHA[:32]}:1"]


def test_times_use_the_zone_of_the_column_else_source_else_project() -> None:
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


def test_the_error_of_a_missing_column_names_the_available_ones() -> None:
    config: Config = parse(
        "[[source]]\nname = 's'\npath = 'x'\n" + USAGE.format(more=", node = 'n', cell = { column = 'c', optional = true }")
    )
    mapping = Mapping(config.source[0], config.project, NOW)
    with pytest.raises(SourceError, match="node is mapped to the column 'n', which does not exist; there are q, at, id"):
        mapping.check(["q", "at", "id"], where="x.csv")
    mapping.check(["q", "at", "id", "n"], where="x.csv")
    mapping.check(["q", "at", "id"], where="x.ndjson", required_only=True)


def test_the_source_overrides_the_asterisk_preset() -> None:
    text = parse(
        "[[source]]\nname='p'\nstream='usage'\npath='x'\nformat='asterisk'\ncolumns={quantity='duration'}\nconstants={service='pbx'}"
    )
    source = with_implied_settings(text.source[0])
    assert (source.columns["quantity"].column, source.constants) == ("duration", {"service": "pbx"})
    assert source.columns["subscriber"].column == "src"


def test_a_record_version_is_a_whole_number_or_a_time() -> None:
    number = USAGE.format(more=", record_version = 'v'")
    result = mapped(number, "id,at,q,v", f"{GOOD},2", f"{GOOD},", f"{GOOD},ten", f"{GOOD},1.5")
    assert result.rows["record_version"].to_list() == [2, None]
    assert reasons(result) == [
        (2, "unparsable", "record_version: is a decimal number"), (3, "unparsable", "record_version: is a whole number"),
    ]  # fmt: skip
    time = USAGE.format(more=", record_version = { column = 'v', time_format = '%d.%m.%Y' }")
    # A version need not be plausible as the time of a record.
    result = mapped(time, "id,at,q,v", f"{GOOD},02.05.2024", f"{GOOD},2024-05-02", f"{GOOD},01.01.1970")
    assert result.rows["record_version"].to_list() == [1_714_608_000_000_000, 0]
    assert reasons(result) == [(1, "bad_time", "record_version: is a time")]
