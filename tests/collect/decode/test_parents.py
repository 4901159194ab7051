"""Members around a list are columns of each record of the list, in lines and documents."""

from __future__ import annotations

import json
from collections.abc import Callable

import polars as pl
import pytest

from trueup.collect.ingest import IngestSummary
from trueup.config import Project
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.proof.raw.records import verify_record
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

AT = "2024-05-01 10:00:00"
SOURCE = """
[[source]]
name = "chf"
stream = "usage"
path = "landing/*"
format = "{format}"
records = "sessions.used"
parents = ["who.number", "node", "sessions.group", "sessions.rate"]
{settings}
[source.columns]
record_key = {{ columns = ["sessions.group", "no"] }}
subscriber = "who.number"
node = "node"
started_at = "at"
quantity = {{ expression = 'octets * "sessions.rate"' }}
[source.constants]
service = "data"
"""
LAID = "SELECT record_key, subscriber, node, quantity_micros FROM lake.events.usage ORDER BY source_row"
REJECTED = "SELECT source_row, reason FROM lake.events.quarantine ORDER BY source_row"


def used(no: int, octets: object = 5) -> dict[str, object]:
    return {"no": no, "at": AT, "octets": octets}


def report(number: str, *groups: list[dict[str, object]], **more: object) -> dict[str, object]:
    """Return an object with members before and after the list, and with a member of the group after the group's list."""
    sessions = [{"used": group, "rate": 1.5, "group": at} for at, group in enumerate(groups)]
    return {"who": {"number": number, "x": [1]}, "sessions": sessions, "node": "ü1", **more}


TWO = [report("491", [used(1), used(2, 7)], [used(3)]), report("492", [], [used(4)])]
RIGHT = [("0|1", "491", "ü1", 7_500_000), ("0|2", "491", "ü1", 10_500_000), ("1|3", "491", "ü1", 7_500_000),
         ("1|4", "492", "ü1", 7_500_000)]  # fmt: skip


def is_proven(project: Project) -> bool:
    with Lake.open(project, read_only=True) as lake:
        ids = "SELECT event_id FROM lake.events.usage UNION ALL SELECT event_id FROM lake.events.quarantine"
        verdicts = {verify_record(lake, event_id).verdict for (event_id,) in lake.connection.execute(ids).fetchall()}
        return verify(lake, only=("units", "counts")).sound and verdicts <= {"proven", "found"}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("ndjson", "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in TWO)),
        ("json", json.dumps(TWO, indent=1)),
        ("json", "\n".join(json.dumps(one, indent=2, ensure_ascii=False) for one in TWO)),
    ],
    ids=["lines", "a list", "documents"],
)
def test_records_have_the_members_around_their_list(calls: Write, take_in: TakeIn, query: Query, form: str, text: str) -> None:
    project = calls({"a.json": text}, toml=SOURCE.format(format=form, settings=""))
    take_in(project)
    assert query(project, LAID).rows() == RIGHT
    assert is_proven(project)


def test_a_record_without_the_members_around_its_list_is_rejected_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    whole, bad = report("491", [used(1)]), report("492", [used(2, "many"), used(3)])
    without = {"sessions": [{"used": [used(4)], "rate": 2}]}
    lines = [json.dumps(whole), json.dumps(bad), "{" + json.dumps(whole), json.dumps(without), "[]", json.dumps({"sessions": None})]
    project = calls({"a.json": "\n".join(lines)}, toml=SOURCE.format(format="ndjson", settings=""))
    take_in(project)
    assert [row[0] for row in query(project, LAID).rows()] == ["0|1", "0|3", "|4"]
    assert query(project, REJECTED).rows() == [(1, "unparsable"), (3, "unparsable"), (5, "unparsable")]
    assert is_proven(project)


def test_numbers_around_a_list_are_plain_in_any_notation(calls: Write, take_in: TakeIn, query: Query) -> None:
    toml = SOURCE.format(format="ndjson", settings='notation = { decimal = "," }')
    toml = toml.replace("""{ expression = 'octets * "sessions.rate"' }""", '"sessions.rate"')
    project = calls({"a.json": json.dumps(report("491", [used(1)]))}, toml=toml)
    take_in(project)
    assert query(project, LAID)["quantity_micros"].to_list() == [1_500_000]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('records = "sessions.used"\n', "", "set `records`"),
        ('"node", "sess', '"sessions.used.no", "sess', "outside of the list"),
        ('"node", "sess', '"a..b", "sess', "no path of a member"),
    ],
)
def test_parents_that_can_be_none_are_an_error(calls: Write, before: str, after: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        calls({}, toml=SOURCE.format(format="json", settings="").replace(before, after))
