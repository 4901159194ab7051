"""Columns that a mapping computes: from a file to the log, with rejected records among good ones, and their proof."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trueup.collect.ingest import IngestSummary
from trueup.config import Project, parse
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

VOLUME = "in_octets + out_octets + 4294967296 * (COALESCE(in_giga, 0) + COALESCE(out_giga, 0))"
ACCEPTED = "SELECT record_key, direction, quantity_micros FROM lake.events.usage ORDER BY record_key"
REJECTED = "SELECT source_row, reason, rule FROM lake.events.quarantine ORDER BY source_row"
HEADER = "id,at,in_octets,out_octets,in_giga,out_giga\n"
AT = "2024-05-01 10:00:00"


def toml(quantity: str, *, settings: str = "", columns: str = "") -> str:
    return (
        f"[[source]]\nname = 'aaa'\nstream = 'usage'\npath = 'landing/*'\n{settings}\n[source.columns]\nrecord_key = 'id'\n"
        f"started_at = 'at'\nquantity = {quantity}\n{columns}\n[source.constants]\nservice = 'data'\n"
    )


def is_proven(project: Project) -> bool:
    with Lake.open(project, read_only=True) as lake:
        return verify(lake).sound


def test_a_volume_is_computed_and_records_without_a_value_are_rejected_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    lines = ["1,705032704,1000000000,1,0", "2,100,200,,", "3,x,200,0,0", "4,1,1,4294967296,4294967296", "5,,200,0,0", "6,0.5,0,0,0"]
    content = HEADER + "".join(f"{line[0]},{AT}{line[1:]}\n" for line in lines)
    project = calls({"a.csv": content}, toml=toml(f'{{ expression = "{VOLUME}" }}'))
    (unit,) = take_in(project).units
    assert (unit.records, unit.accepted, unit.quarantined) == (6, 3, 3)
    found = query(project, ACCEPTED).select("record_key", "quantity_micros").rows()
    assert found == [("1", 6_000_000_000 * 10**6), ("2", 300 * 10**6), ("6", 500_000)]
    assert query(project, REJECTED).rows() == [
        (2, "unparsable", "quantity: reads numbers only"), (3, "value_out_of_range", "quantity: fits 64 bits of millionths"),
        (4, "missing_required", "quantity: is there"),
    ]  # fmt: skip
    attributes = query(project, "SELECT attributes FROM lake.events.usage ORDER BY record_key")["attributes"]
    assert attributes[0] == '{"in_octets":"705032704","out_octets":"1000000000","in_giga":"1","out_giga":"0"}'
    assert is_proven(project)


def test_a_quotient_without_a_value_rejects_its_record_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    content = f"id,at,ms,parts\n1,{AT},1500,2\n2,{AT},1500,0\n3,{AT},1000,3\n"
    project = calls({"a.csv": content}, toml=toml('{ expression = "ms / parts", scale = 2 }'))
    take_in(project)
    assert query(project, ACCEPTED)["quantity_micros"].to_list() == [1_500_000_000]
    rule = "quantity: has an exact decimal value (no zero divisor, no endless quotient without ROUND)"
    assert query(project, REJECTED).rows() == [(1, "uncomputable", rule), (2, "uncomputable", rule)]
    assert is_proven(project)


def test_texts_are_computed_chosen_and_mapped_like_delivered_ones(calls: Write, take_in: TakeIn, query: Query) -> None:
    columns = (
        "direction = { expression = \"SPLIT_PART(kind, '/', 1)\", map = { mo = 'out', mt = 'in' } }\n"
        "subscriber = { expression = \"CASE WHEN kind LIKE 'mo%' THEN a ELSE b END\", e164 = '49' }\n"
    )
    content = (
        f"id,at,kind,a,b,took\n1,{AT},mo/x,0151 1,+33 1,01:30 min\n2,{AT},mt/y,0151 1,+33 1,00:10 min\n3,{AT},zz,1,1,00:10 min\n"
    )
    quantity = "{ expression = \"REPLACE(took, ' min', '')\", duration = 'm:s' }"
    project = calls({"a.csv": content}, toml=toml(quantity, columns=columns))
    take_in(project)
    assert query(project, ACCEPTED).rows() == [("1", "out", 90_000_000), ("2", "in", 10_000_000)]
    assert query(project, "SELECT subscriber FROM lake.events.usage ORDER BY record_key")["subscriber"].to_list() == [
        "491511",
        "331",
    ]
    assert query(project, REJECTED).rows() == [(2, "value_out_of_range", "direction: is in its map")]
    assert is_proven(project)


def test_numbers_are_read_in_the_notation_of_the_source_or_column(calls: Write, take_in: TakeIn, query: Query) -> None:
    settings = "delimiter = ';'\nnotation = { decimal = ',', grouping = '.' }"
    content = f"id;at;up;down\n1;{AT};1.000;0,5\n2;{AT};1.00;1\n"
    project = calls({"a.csv": content}, toml=toml("{ expression = 'up + down' }", settings=settings))
    take_in(project)
    assert query(project, ACCEPTED)["quantity_micros"].to_list() == [1_000_500_000]
    assert query(project, REJECTED).rows() == [(1, "unparsable", "quantity: reads numbers only")]
    assert is_proven(project)


def test_json_and_parquet_numbers_are_computed_exactly(calls: Write, take_in: TakeIn, query: Query) -> None:
    quantity = "{ expression = 'up * 2 + COALESCE(down, 0)' }"
    settings = "notation = { decimal = ',' }\nformat = "
    line = f'{{"id":"1","at":"{AT}","up":0.1}}\n{{"id":"2","at":"{AT}","up":"0,1"}}\n'
    project = calls({"a.ndjson": line}, toml=toml(quantity, settings=f"{settings}'ndjson'"))
    take_in(project)
    (project.directory / "landing" / "a.ndjson").unlink()
    rows = [{"id": "3", "at": AT, "up": 2**62, "down": -(2**63) + 1}, {"id": "4", "at": AT, "up": 1, "down": None}]
    project = calls({}, toml=toml(quantity, settings=f"{settings}'parquet'"))
    pq.write_table(pa.Table.from_pylist(rows), project.directory / "landing" / "b.parquet")
    take_in(project)
    assert query(project, ACCEPTED)["quantity_micros"].to_list() == [200_000, 200_000, 1_000_000, 2_000_000]


def test_a_time_of_parquet_may_be_read_and_stays_an_attribute(calls: Write, take_in: TakeIn, query: Query) -> None:
    table = pa.table({"id": ["1"], "at": pa.array([1_714_557_600_000_000], pa.timestamp("us")), "seconds": ["5"]})
    text = toml("'seconds'", settings="format = 'parquet'", columns="node = { expression = 'LEFT(loaded, 10)' }")
    project = calls({}, toml=text)
    table = table.append_column("loaded", table["at"])
    pq.write_table(table, project.directory / "landing" / "a.parquet")
    take_in(project)
    found = query(project, "SELECT node, attributes FROM lake.events.usage").rows()
    assert found == [("2024-05-01", '{"loaded":"2024-05-01 10:00:00.000000"}')]
    assert is_proven(project)


def test_a_column_that_the_file_lacks_is_named_unless_it_is_optional(calls: Write, take_in: TakeIn, query: Query) -> None:
    content = f"id,at,up\n1,{AT},1\n"
    (error,) = take_in(calls({"a.csv": content}, toml=toml("{ expression = 'up + dwn' }"))).errors
    assert "quantity reads the column 'dwn', which does not exist; there are id, at, up" in str(error)
    optional = toml("{ expression = 'up + COALESCE(dwn, 0)', optional = true }")
    project = calls({}, toml=optional)
    take_in(project)
    assert query(project, ACCEPTED)["quantity_micros"].to_list() == [1_000_000]


def test_a_column_has_one_origin() -> None:
    with pytest.raises(ConfigError, match="name either `column`, `columns` or `expression`"):
        parse(toml("{ expression = 'a + b', column = 'a' }"))


def test_an_expression_that_is_not_permitted_stops_the_run(calls: Write, take_in: TakeIn) -> None:
    with pytest.raises(ConfigError, match="uses READ_TEXT, which is not permitted"):
        take_in(calls({"a.csv": HEADER}, toml=toml("{ expression = 'read_text(id)' }")))
