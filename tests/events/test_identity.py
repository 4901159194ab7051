"""Ids and buckets derive from content by published hashes, so that anyone can recompute them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.events.canonical_rows import canonical_forms
from trueup.events.identity import canonical_sql, with_content_keys, with_event_ids
from trueup.events.schema import COLLECTED, CORE, EVENT, LATER
from trueup.log.catalog.connection import connect

START = datetime(2024, 5, 1, 12, 0, 0, 250, tzinfo=UTC)


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    return connect()


def collected(stream: str = "usage", **values: object) -> pl.DataFrame:
    row = dict.fromkeys(COLLECTED[stream]) | {
        "record_key": "r1",
        "key_scope": "msc",
        "started_at": START,
        "quantity_micros": 61_000_000,
    }
    return pl.DataFrame([row | values], schema=COLLECTED[stream])


def event_id(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame, stream: str = "usage") -> bytes:
    return bytes(with_event_ids(connection, frame, stream, bucket_by="subscriber", buckets=64)["event_id"][0])


def canonical(stream: str, row: dict[str, object]) -> bytes:
    """Return the canonical form according to its specification, independent of the code."""

    def text(value: object) -> str:
        return "~" if value is None else f"{len(str(value).encode())}:{value}"

    def number(value: object) -> str:
        if isinstance(value, datetime):
            value = round(value.timestamp() * 1_000_000)
        return "~" if value is None else f"{value};"

    later = LATER.get(stream, {})
    fields = [text(row[n]) if t == pl.String else number(row[n]) for n, t in CORE[stream].items() if n not in later]
    there = {n: t for n, t in later.items() if row[n] is not None}
    fields += [text(n) + (text(row[n]) if t == pl.String else number(row[n])) for n, t in there.items()]
    return (f"{2 if there else 1};{stream};" + text(row["key_scope"]) + "".join(fields)).encode()


_TEXT = st.one_of(st.none(), st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=6))
_NUMBER = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))


@settings(max_examples=60, deadline=None)
@given(key=_TEXT, session=_TEXT, peer=_TEXT, quantity=_NUMBER, amount=_NUMBER)
def test_the_event_id_is_the_sha256_of_the_canonical_form(key: str | None, session: str | None, peer: str | None,
                                                         quantity: int | None, amount: int | None) -> None:  # fmt: skip
    frame = collected("charge", record_key=key, session_key=session, peer=peer, quantity_micros=quantity, amount_micros=amount)
    with connect() as connection:
        result = event_id(connection, frame, "charge")
    assert result == hashlib.sha256(canonical("charge", frame.row(0, named=True))).digest()[:16]


def tariff(**values: object) -> pl.DataFrame:
    row = dict.fromkeys(COLLECTED["tariff"]) | {"record_key": "t1", "key_scope": "book", "item": "rate", "valid_from": START}
    return pl.DataFrame([row | values], schema=COLLECTED["tariff"])


def test_a_row_of_a_tariff_book_without_later_terms_keeps_the_id_it_always_had(connection: duckdb.DuckDBPyConnection) -> None:
    """SHA-256 of `1;tariff;4:book2:t14:rate~…1714564800000250;~…`, as versions without later terms wrote it."""
    former = "1;tariff;4:book2:t14:rate" + "~" * 8 + "1714564800000250;" + "~" * 26
    rows = pl.concat([tariff(), tariff(record_key="t2", origin="44")])
    stored = with_event_ids(connection, rows, "tariff", bucket_by="subscriber", buckets=64)
    assert stored["event_id"][0] == hashlib.sha256(former.encode()).digest()[:16]
    assert stored["canonical_version"].to_list() == [1, 2]


def test_a_row_with_a_later_term_has_the_id_of_the_second_canonical_form(connection: duckdb.DuckDBPyConnection) -> None:
    for row in (tariff(origin="44"), tariff(origin="")):
        assert event_id(connection, row, "tariff") == hashlib.sha256(canonical("tariff", row.row(0, named=True))).digest()[:16]
    both = with_event_ids(connection, pl.concat([tariff(), tariff(origin="44")]), "tariff", bucket_by="subscriber", buckets=64)
    assert [bytes(i) for i in both["event_id"]] == [event_id(connection, r, "tariff") for r in (tariff(), tariff(origin="44"))]


def test_a_missing_value_differs_from_an_empty_one(connection: duckdb.DuckDBPyConnection) -> None:
    assert event_id(connection, collected(peer=None)) != event_id(connection, collected(peer=""))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(_TEXT, _TEXT, _NUMBER, _NUMBER, _TEXT), min_size=1, max_size=6))
def test_every_row_has_its_canonical_form_independently_of_other_rows(rows: list[tuple[object, ...]]) -> None:
    names = ("record_key", "peer", "amount_micros", "record_version", "corrects")
    frame = pl.concat([collected("charge", **dict(zip(names, row, strict=True))) for row in rows])
    forms = [form.encode() for form in canonical_forms(frame, "charge")]
    assert forms == [canonical("charge", row) for row in frame.iter_rows(named=True)]
    with connect() as connection:
        by_sql = connection.execute(f"SELECT {canonical_sql('charge')} FROM frame").fetchall()
    assert forms == [form.encode() for (form,) in by_sql]


def test_the_provenance_of_a_record_does_not_change_its_id(connection: duckdb.DuckDBPyConnection) -> None:
    first, second = collected(source_id="a@1", source_row=1), collected(source_id="b@2", source_row=9, attributes='{"x":1}')
    assert event_id(connection, first) == event_id(connection, second)


def test_a_bucket_is_the_md5_of_its_key_modulo_the_buckets(connection: duckdb.DuckDBPyConnection) -> None:
    for name in ("0999000001", "", None):
        row = with_event_ids(connection, collected(subscriber=name), "usage", bucket_by="subscriber", buckets=64)
        assert row["bucket"][0] == int.from_bytes(hashlib.md5((name or "").encode()).digest(), "little") % 64
    by_key = with_event_ids(connection, collected(session_key=None), "usage", bucket_by="session_key", buckets=8)
    assert by_key["bucket"][0] == int.from_bytes(hashlib.md5(b"r1").digest(), "little") % 8


def test_collected_rows_keep_their_order_as_rows_of_the_log(connection: duckdb.DuckDBPyConnection) -> None:
    rows = pl.concat([collected(record_key=k) for k in "cab"])
    result = with_event_ids(connection, rows, "usage", bucket_by="subscriber", buckets=64)
    assert result.schema == pl.Schema(EVENT["usage"]) and result["record_key"].to_list() == ["c", "a", "b"]
    assert result["day"][0] == START.date()


def test_a_record_without_a_key_is_identified_by_its_content() -> None:
    rows = pl.concat([collected(record_key=None, peer=p) for p in ("x", "x", "y")])
    keys = with_content_keys(rows, "usage")["record_key"].to_list()
    assert keys[0] == keys[1] != keys[2] and len(keys[0]) == 32


def test_no_rows_have_no_ids(connection: duckdb.DuckDBPyConnection) -> None:
    result = with_event_ids(connection, collected().clear(), "usage", bucket_by="subscriber", buckets=64)
    assert result.schema == pl.Schema(EVENT["usage"]) and result.is_empty()
