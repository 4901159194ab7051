"""Links between parties, and repeat offenders among 400 parties."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pytest

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.investigation.links import KIND_WEIGHTS, MOST_PARTIES, connected, links, rank_offenders, shared_traits
from trueup.log.lake import Lake
from trueup.warehouse.decide import decide
from trueup.warehouse.query import with_retries
from trueup.warehouse.statements import statement

EVERY = {"type": "fraud", "status": None, "owner": None, "all": True, "most": 9, "now": datetime(2024, 3, 4, tzinfo=UTC)}

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)


def traits(rows: list[tuple[str, str, str, str, int]]) -> pl.DataFrame:
    """Return what the query finds in one record for each row: party, state, kind, value, and the day of the record.

    The state is suspected, confirmed or ordinary.
    """
    columns = {"handset": "attributes", "sim": "attributes", "cell": "cell", "peer": "peer"}
    attributes = {"handset": "imei", "sim": "imsi"}
    records, states = [], {}
    for party, state, kind, value, day in rows:
        held = json.dumps({attributes[kind]: value}) if kind in attributes else value
        record = dict.fromkeys(("peer", "cell", "attributes")) | {columns[kind]: held}
        records.append({"subscriber": party, "started_at": BEGIN + timedelta(days=day), "snapshot_id": 1, **record})
        states[party] = {"party": party, "status": "open" if state == "suspected" else state}
    text = dict.fromkeys(("subscriber", "peer", "cell", "attributes"), pl.String)
    usage = pl.DataFrame(records, schema_overrides=text).to_arrow()
    suspicious = pl.DataFrame([row for row in states.values() if row["status"] != "ordinary"]).to_arrow()
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS lake; CREATE SCHEMA lake.events; SET TimeZone = 'UTC'")
        connection.register("given_usage", usage)
        connection.register("given_transactions", suspicious)
        connection.execute("CREATE TABLE lake.events.usage AS FROM given_usage")
        connection.execute("CREATE TABLE main.suspicious_transactions AS FROM given_transactions")
        values = {"imei": "imei", "imsi": "imsi", "most_parties": MOST_PARTIES, **KIND_WEIGHTS}
        table = connection.execute(statement("queries/cases/party_traits").text, values).to_arrow_table()
    frame = pl.DataFrame(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def test_parties_are_linked_by_shared_traits_and_rare_traits_weigh_more() -> None:
    rows = [
        ("A", "suspected", "handset", "h1", 0), ("B", "suspected", "handset", "h1", 0),
        ("B", "suspected", "cell", "c1", 0), ("C", "suspected", "cell", "c1", 0), ("D", "ordinary", "cell", "c1", 0),
        ("E", "suspected", "peer", "p1", 0), ("F", "suspected", "peer", "p1", 0),
    ]  # fmt: skip
    pairs = shared_traits(traits(rows))
    assert pairs.select("party", "other").rows() == [("A", "B"), ("E", "F"), ("B", "C")]
    assert pairs.row(0, named=True)["handsets"] == ["h1"]
    assert connected(pairs) == [{"parties": ["A", "B", "C"], "size": 3}, {"parties": ["E", "F"], "size": 2}]
    assert connected(pairs.clear()) == []


def test_the_new_number_of_a_confirmed_fraudster_is_ranked_first_and_an_older_party_is_not_one() -> None:
    rows = [
        *(("fraud", "confirmed", "peer", f"p{n}", 1) for n in range(5)), *(("new", "ordinary", "peer", f"p{n}", 9) for n in range(1, 5)),
        ("new", "ordinary", "peer", "x", 9), *(("old", "ordinary", "peer", f"p{n}", 0) for n in range(5)),
        ("other", "ordinary", "peer", "p1", 9), ("other", "ordinary", "peer", "y", 9), ("other", "ordinary", "peer", "z", 9),
    ]  # fmt: skip
    ranked = rank_offenders(traits(rows))
    assert ranked["party"].to_list() == ["new", "other"]
    assert ranked["likeness"].to_list() == sorted(ranked["likeness"].to_list(), reverse=True)


def test_contacts_that_no_suspected_party_has_make_a_party_less_like_a_fraudster() -> None:
    kept = [("fraud", "confirmed", "peer", f"p{n}", 1) for n in range(10)]
    for name, own in (("new", 4), ("talker", 300)):
        kept += [(name, "ordinary", "peer", f"p{n}", 9) for n in range(6)]
        kept += [(name, "ordinary", "peer", f"{name} {n}", 9) for n in range(own)]
    ranked = rank_offenders(traits(kept)).select("party", "likeness").rows()
    three, one = 6 * math.log(4 / 3) ** 2, math.log(4) ** 2
    fraudster = three + 4 * one
    assert ranked == [
        (name, round(three / math.sqrt(fraudster * (three + own * one)), 6)) for name, own in (("new", 4), ("talker", 300))
    ]


def test_a_party_whose_first_record_is_older_than_the_fraudster_is_no_new_number() -> None:
    rows = [
        *(("fraud", "confirmed", "peer", f"p{n}", 1) for n in range(5)), *(("new", "ordinary", "peer", f"p{n}", 9) for n in range(5)),
        *(("honest", "ordinary", "peer", f"p{n}", 9) for n in range(5)), ("honest", "ordinary", "cell", "home", -365),
    ]  # fmt: skip
    ranked = rank_offenders(traits(rows))
    assert ranked.select("party", "first_at").rows() == [("new", BEGIN + timedelta(days=9))]


def test_rarity_counts_all_parties_also_those_that_share_nothing_with_a_suspected_party() -> None:
    two = [("A", "suspected", "peer", "p", 0), ("B", "suspected", "peer", "p", 0)]
    ordinary = [(f"o{n}", "ordinary", "peer", f"own {n}", 0) for n in range(7)]
    assert shared_traits(traits(two + ordinary))["weight"].to_list() == [round(2 * math.log(10 / 2), 6)]


def simulated(seed: int, later: int = 0) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the traits of 400 parties, five of which are new numbers of five confirmed ones, and which are whose.

    All records begin a number of days `later`.
    """
    rng = random.Random(seed)
    rows: list[tuple[str, str, str, str, int]] = []

    def ordinary(name: str, state: str, day: int) -> tuple[list[str], list[str]]:
        home = rng.randrange(60)
        peers = rng.sample(range(300), rng.randint(5, 20)) + [rng.randrange(12) for _ in range(3)]
        cells = [f"c{(home + step) % 60}" for step in range(rng.randint(1, 4))]
        texts = [f"p{peer}" for peer in peers]
        rows.extend((name, state, "peer", peer, day) for peer in dict.fromkeys(texts))
        rows.extend((name, state, "cell", cell, day) for cell in cells)
        return texts, cells

    changed = {}
    for number in range(390):
        ordinary(f"n{number:03}", "ordinary", rng.randrange(20))
    for number in range(5):
        peers, cells = ordinary(f"fraud{number}", "confirmed", 2)
        name = f"again{number}"
        changed[name] = f"fraud{number}"
        kept = [peer for peer in dict.fromkeys(peers) if rng.random() < 0.6]
        kept += [f"p{rng.randrange(300)}" for _ in range(4)]
        rows.extend((name, "ordinary", "peer", peer, 15) for peer in dict.fromkeys(kept))
        rows.extend((name, "ordinary", "cell", cell, 15) for cell in dict.fromkeys([*cells[:2], f"c{rng.randrange(60)}"]))
    return traits([(*row[:4], row[4] + later) for row in rows]), changed


@pytest.mark.parametrize("seed", range(3))
def test_five_of_400_parties_that_changed_their_numbers_are_the_first_five(seed: int) -> None:
    frame, changed = simulated(seed)
    first = rank_offenders(frame).head(5)
    assert dict(first.select("party", "like").rows()) == changed


def test_over_thirty_seeds_the_changed_numbers_are_found_as_often_as_the_documentation_says() -> None:
    found = [
        sum(changed.get(party) == like for party, like in rank_offenders(frame).head(5).select("party", "like").rows())
        for frame, changed in map(simulated, range(30))
    ]
    assert (sum(found), found.count(5)) == (143, 23)


def test_the_time_of_a_party_does_not_matter_to_its_weight() -> None:
    (frame, _), (later, _) = simulated(1), simulated(1, later=100)
    assert rank_offenders(frame)["likeness"].to_list() == rank_offenders(later)["likeness"].to_list()


def test_links_are_read_from_the_log_and_an_unknown_party_is_refused(project: Project, make: Any) -> None:
    with Lake.open(project, clock=lambda: BEGIN + timedelta(days=3)) as lake:
        usage = [
            {"record_key": f"x{n}", "source_id": "msc@a", "service": "voice", "subscriber": f"t{n}", "peer": "+882", "cell": f"c{n}"}
            for n in range(3)
        ]  # fmt: skip
        lake.commit(lambda transaction: transaction.append("usage", make.events("usage", usage)))
        score = {
            "position": 4,
            "source": "rule",
            "name": "r",
            "role": "alert",
            "day": BEGIN.date(),
            "started_at": BEGIN,
            "service": "voice",
        }
        scores = [
            {**score, "event_id": make.event_id(f"x{n}"), "subscriber": f"t{n}", "peer": "+882", "party": f"t{n}", "reasons": "{}"}
            for n in range(2)
        ]  # fmt: skip
        lake.commit(lambda transaction: transaction.append("score", pl.DataFrame(scores)))
    found = with_retries(project, links)
    assert [(pair["party"], pair["other"], pair["peers"]) for pair in found.pairs] == [("t0", "t1", ["+882"])]
    assert (found.groups, found.offenders) == ([{"parties": ["t0", "t1"], "size": 2}], [])
    case = with_retries(project, lambda warehouse: warehouse.rows("queries/cases/cases", EVERY))[0]
    decide(project, case["case_id"], "confirmed", decided_by="ann", clock=lambda: BEGIN + timedelta(days=3))
    with pytest.raises(TrueupError, match="t9 shares nothing"):
        with_retries(project, lambda warehouse: links(warehouse, party="t9"))
