"""Links between parties, and repeat offenders among 400 parties."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.investigation.links import connected, links, rank_offenders, shared_traits
from trueup.log.lake import Lake
from trueup.warehouse.decide import decide
from trueup.warehouse.query import with_retries

EVERY = {"type": "fraud", "status": None, "owner": None, "all": True, "most": 9, "now": datetime(2024, 3, 4, tzinfo=UTC)}

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)


def traits(rows: list[tuple[str, str, str, str, int]]) -> pl.DataFrame:
    """Return traits of parties: party, state (suspected, confirmed or ordinary), kind, value, first day."""
    frame = pl.DataFrame(rows, schema=["party", "state", "kind", "value", "day"], orient="row")
    return frame.with_columns(
        records=pl.lit(1), first_at=pl.lit(BEGIN) + pl.duration(days=pl.col("day")),
        parties=pl.col("party").n_unique().over("kind", "value"), is_suspected=pl.col("state") != "ordinary",
        is_confirmed=pl.col("state") == "confirmed",
    )  # fmt: skip


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


def simulated(seed: int) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the traits of 400 parties, five of which are new numbers of five confirmed ones, and which are whose."""
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
    return traits(rows), changed


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
    frame, _ = simulated(1)
    later = frame.with_columns(pl.col("first_at") + timedelta(days=100))
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
