from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from trueup.collect.decode.decoded import Batch
from trueup.collect.decode.json.members import names_in, read_ndjson
from trueup.collect.decode.text.lines import lines_in


def read(data: bytes, *mapped: str) -> Batch:
    return read_ndjson(lines_in(data, offset=0, first_row=0), mapped, encoding="utf-8", attributes=True)


NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
LEAVES = st.text('a"\\{}[]:, é\n', max_size=6).map(json.dumps) | NUMBERS | st.sampled_from(["true", "false", "null"])
BLANKS = st.sampled_from(["", " ", "\t "])
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.dictionaries(st.sampled_from(["a", "q", 'k"']), inner, max_size=3).map(
            lambda members: "{" + ", ".join(f"{json.dumps(key)} : {value}" for key, value in members.items()) + "}"
        )
    ),
    max_leaves=5,
)


@st.composite
def objects(draw: st.DrawFn) -> str:
    members = draw(st.dictionaries(st.sampled_from(["a", "b", "c", "long name", "é"]), VALUES, max_size=4))
    gap = draw(BLANKS)
    inner = f"{gap},{gap}".join(f"{json.dumps(key, ensure_ascii=False)}{gap}:{gap}{value}" for key, value in members.items())
    return f"{gap}{{{gap}{inner}{gap}}}{gap}"


def as_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


@given(st.lists(objects(), min_size=1, max_size=8))
def test_members_equal_those_of_a_parser_and_numbers_keep_their_text(texts: list[str]) -> None:
    batch = read("\n".join(texts).encode(), "a", "é")
    assert batch.rejected.is_empty()
    for row, text in enumerate(texts):
        parsed = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
        for name in ("a", "é"):
            value, found = parsed.get(name), batch.fields[name][row]
            if isinstance(value, str):
                assert found == (value or None)
            elif value is None:
                assert found is None
            else:
                assert json.loads(found, parse_float=str, parse_int=str) == value
        kept = batch.attributes[row]
        rest = {key: value for key, value in parsed.items() if key not in ("a", "é")}
        assert (json.loads(kept, parse_float=str, parse_int=str) if kept else {}) == rest


@given(st.lists(st.text('{}[]":,\\a1 ', min_size=1, max_size=12) | objects(), min_size=1, max_size=10))
def test_every_line_is_an_object_or_rejected(texts: list[str]) -> None:
    data = "\n".join(texts).encode()
    batch = read(data, "a")
    rows = batch.provenance["source_row"].to_list() + batch.rejected["source_row"].to_list()
    assert sorted(rows) == list(range(len(texts)))
    for row, raw in batch.rejected.select("source_row", "raw").iter_rows():
        assert raw == texts[row].encode()


def test_a_number_of_many_digits_is_not_rounded() -> None:
    batch = read(b'{"a":48.47023944990327512345678,"b":123456789012345678901234567890}\n{"a":1.5e-7}', "a", "b")
    assert batch.fields.rows() == [("48.47023944990327512345678", "123456789012345678901234567890"), ("1.5e-7", None)]


def test_invalid_objects_and_repeated_members_are_rejected() -> None:
    batch = read(b'{"a":1}\n[1]\n{"a":1,\n{"a":1,"a":2}\n{"b":1,"b":2}\nx\n"s"\n', "a")
    assert batch.provenance["source_row"].to_list() == [0, 4]
    assert batch.rejected["reason"].to_list() == ["unparsable"] * 5
    assert batch.rejected["source_row"].to_list() == [1, 2, 3, 5, 6]


def test_names_are_those_of_the_outermost_objects() -> None:
    assert names_in(lines_in(b'{"b":{"x":1}}\nnot json\n{"a":[{"y":1}]}', offset=0, first_row=0), "utf-8") == ("a", "b")
