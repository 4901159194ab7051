"""Each fraud shows its documented mechanism, and each innocent case resembles a fraud."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trueup.simulate.catalogue import FRAUDS, HARD_FRAUDS, KINDS, LOOKALIKES
from trueup.simulate.market.numbering import destinations

PREMIUM = tuple(f"+{d.prefix}" for d in destinations() if d.kind == "premium" and d.region != "home")


@pytest.fixture(scope="module")
def cases(quiet_world) -> dict[tuple[str, str], list]:
    """Return the usage records of each case, by time."""
    usage = {r.key: r for r in quiet_world.usage}
    truth = pl.read_parquet(quiet_world.directory / "truth.parquet").filter(pl.col("decided_by") == "fraud")
    rows = truth.select("kind", "variant", "usage_record_keys").iter_rows()
    return {(kind, variant): sorted((usage[k] for k in keys), key=lambda r: r.start_s) for kind, variant, keys in rows}


def rows_of(world, records: list) -> pl.DataFrame:
    """Return the switches' rows of the given records."""
    files = (world.directory / "landing" / "msc").iterdir()
    rows = pl.concat([pl.read_csv(path, infer_schema=False) for path in sorted(files)])
    return rows.filter(pl.col("record_id").is_in([r.key for r in records]))


def share(records: list, of) -> float:
    return sum(map(of, records)) / len(records)


def premium(record) -> bool:
    return record.peer.startswith(PREMIUM)


def overlaps(records: list) -> int:
    return sum(b.start_s < a.start_s + a.quantity for a, b in pairwise(records))


def test_every_kind_occurs_and_five_also_in_the_hard_variant(cases) -> None:
    innocent = {k.name for k in LOOKALIKES if k.decided_by == "fraud"}
    assert {kind for kind, _ in cases} == {k.name for k in FRAUDS} | innocent
    assert {kind for kind, variant in cases if variant == "hard"} == set(HARD_FRAUDS)


def test_revenue_share_fraud_overlaps_long_premium_calls_and_its_hard_variant_does_not(cases) -> None:
    plain, hard = cases["irsf", "plain"], cases["irsf", "hard"]
    assert share(plain, premium) == share(hard, premium) == 1
    assert len({r.peer for r in plain}) <= 4 < len({r.peer for r in hard})
    assert overlaps(plain) > 10
    assert np.mean([r.quantity for r in hard]) < np.mean([r.quantity for r in plain]) / 3


def test_wangiri_rings_many_and_some_call_back_the_number_that_rang(cases) -> None:
    for variant in ("plain", "hard"):
        rings = [r for r in cases["wangiri", variant] if r.service == "incoming"]
        back = [r for r in cases["wangiri", variant] if r.service == "voice"]
        assert len({r.subscriber for r in rings}) >= 10
        assert max(r.quantity for r in rings) <= 3
        assert back
        assert {(r.subscriber, r.peer) for r in back} <= {(r.subscriber, r.peer) for r in rings}


def test_a_plain_sim_box_stays_in_one_cell_without_incoming_calls_and_a_hard_one_does_not(quiet_world, cases) -> None:
    plain, hard = cases["sim_box", "plain"], cases["sim_box", "hard"]
    assert {r.service for r in plain} == {"voice"}
    assert {r.service for r in hard} == {"voice", "incoming"}
    calls = Counter(r.subscriber for r in plain)
    peers = {who: len({r.peer for r in plain if r.subscriber == who}) for who in calls}
    assert min(calls.values()) > 3 * max(Counter(r.subscriber for r in hard if r.service == "voice").values()) / 2
    assert min(peers.values()) >= 100
    cells = {variant: rows_of(quiet_world, cases["sim_box", variant])["cell"].n_unique() for variant in ("plain", "hard")}
    assert cells["plain"] == 1
    assert cells["hard"] > 20


def test_a_hacked_exchange_calls_by_night_and_the_hard_one_in_office_hours(cases) -> None:
    night, office = ([int(r.start_s // 3600 + 1) % 24 for r in cases["pbx_hacking", v]] for v in ("plain", "hard"))
    assert max(night) <= 7
    assert min(office) >= 7


def test_inflated_sms_goes_to_a_row_of_consecutive_numbers(cases) -> None:
    peers = [int(r.peer) for r in cases["inflated_sms", "plain"]]
    assert share(list(pairwise(peers)), lambda pair: pair[1] - pair[0] == 1) > 0.9


def test_a_swapped_number_has_another_sim_and_handset(quiet_world, cases) -> None:
    records = cases["sim_swap", "plain"]
    who, keys = records[0].subscriber, {r.key for r in records}
    cards: dict[bool, set] = {True: set(), False: set()}
    for path in (quiet_world.directory / "landing" / "msc").iterdir():
        for row in pl.read_csv(path, infer_schema=False).filter(served_number=who).iter_rows(named=True):
            cards[row["record_id"] in keys].add((row["imsi"], row["imei"]))
    assert len(cards[True]) == 1
    assert not cards[True] & cards[False]
    states = pl.read_csv(quiet_world.directory / "landing" / "subscribers" / "network.csv", infer_schema=False).filter(msisdn=who)
    assert states["imsi"].n_unique() == 2


def test_forwarded_calls_follow_the_incoming_calls(cases) -> None:
    records = cases["call_forwarding", "plain"]
    incoming = [r for r in records if r.service == "incoming"]
    onward = [r for r in records if r.service == "voice"]
    assert len({r.start_s for r in onward}) > 20
    assert share(onward, premium) == 1
    assert incoming[0].start_s < onward[0].start_s


def test_a_misused_meter_carries_bulk_data_and_a_tunnel_is_zero_rated(cases) -> None:
    data = [r for r in cases["iot_sim_misuse", "plain"] if r.service == "data"]
    assert sum(r.quantity for r in data) > 5_000_000
    assert {r.service for r in cases["zero_rated_tunnel", "plain"]} == {"zero_rated"}


def test_an_event_has_many_voters_on_one_number_within_the_hour(cases) -> None:
    votes = cases["event_day", "plain"]
    assert len({r.peer for r in votes}) == 1
    assert len({r.subscriber for r in votes}) >= 10
    assert votes[-1].start_s - votes[0].start_s < 1.2 * 3600


def test_every_case_has_a_note_its_actors_and_a_documented_source(quiet_world) -> None:
    truth = pl.read_parquet(quiet_world.directory / "truth.parquet").filter(pl.col("decided_by") == "fraud")
    for kind, source, details in truth.select("kind", "mechanism_source", "details").iter_rows():
        assert source == KINDS[kind].source
        assert json.loads(details)["note"]


def test_labels_are_known_only_after_their_delay(week: Path) -> None:
    truth = pl.read_parquet(week / "truth.parquet").filter(pl.col("category") == "fraud")
    ends = truth["details"].str.json_path_match("$.to_time").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC")
    assert ((truth["knowable_at"] - ends).dt.total_days() >= 7).all()
