"""The neighbour rule: the pairs of party and time of a unit, and the query that reads neighbours by them."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

import lake_fixture
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from random_logs import MICRO, service
from reference_model.log import Record

from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.blocking.neighbourhood import party_time_pairs, with_party_time_pairs
from trueup.reconcile.domain.tariff_terms import FLAT
from trueup.reconcile.log_io.affected import AffectedReader
from trueup.reconcile.log_io.column_scan import arrivals
from trueup.reconcile.log_io.load import frontier_of

S = 1_000_000
TOLERANCE_US = 2 * S
NEAREST = service(("session_key", "nearest"), start_tolerance=TOLERANCE_US, quantity_tolerance=MICRO, grace=12 * S)
POLICY = Policy(
    0, {"voice": NEAREST, "sms": NEAREST, "web": service(("session_key",))},
    sources={"n": SourceRules("usage"), "b": SourceRules("charge")},
)  # fmt: skip
ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None]), st.integers(0, 4)), max_size=12)


@given(ROWS)
def test_a_unit_of_several_parties_has_every_party_at_every_time(rows: list[tuple[int, str | None, int]]) -> None:
    frame = pl.DataFrame(rows, schema={"unit": pl.Int64, "party": pl.String, "time_us": pl.Int64}, orient="row")
    parties = {unit: {p for u, p, _ in rows if u == unit} for unit, _, _ in rows}
    times = {unit: {t for u, _, t in rows if u == unit} for unit, _, _ in rows}
    rule = {"unit": ["unit"], "party": ["party"], "times": ["time_us"]}
    expected = {(u, p, t) for u in parties if len(parties[u]) > 1 for p, t in product(parties[u], times[u])}
    assert set(party_time_pairs(frame, **rule).rows()) == expected
    assert set(with_party_time_pairs(frame, **rule).rows()) == expected | set(rows)


def random_records(rng: random.Random, count: int) -> list[Record]:
    return [
        Record(
            (charge := rng.random() < 0.5), "b" if charge else "n", f"r{n}", rng.choice([None, "K1", "K2", "K3"]),
            rng.choice(["voice", "sms", "web"]), started_us=rng.randrange(60) * S, quantity_micros=MICRO,
        ) for n in range(count)
    ]  # fmt: skip


def test_the_reader_finds_a_record_of_every_unit_that_the_rule_makes_a_neighbour(tmp_path: Path) -> None:
    log, rows = lake_fixture.with_event_ids_of_lake([[POLICY], list(random_records(random.Random(11), 24))], "subscriber")
    matched = 0
    with lake_fixture.quick_lake(tmp_path, log, rows, "subscriber") as lake:
        frontier, (buckets,) = frontier_of(lake, 2), lake_fixture.ranges(1)
        records = arrivals(lake, buckets, after=0, upto=2)
        unit = pl.coalesce("session_key", "record_key")
        units = records.select("event_id", "charge", "service", "time_us", unit=unit)
        party_times = with_party_time_pairs(
            units.drop("event_id"), unit=["unit", "charge"], party=["service"], times=["time_us"]
        ).unique()  # fmt: skip
        by_nearest = party_times.filter(pl.col("service").is_in(["voice", "sms"]))
        reader = AffectedReader(lake, frontier, buckets, FLAT, 2)
        for step in records.iter_slices(1):
            (own,) = step.select(unit).to_series().to_list()
            known = records.filter(unit == own)
            read = [*known["event_id"], *reader.neighbours(step, known)["event_id"]]
            own_party_times = by_nearest.filter((pl.col("unit") == own) & (pl.col("charge") == step["charge"][0]))
            neighbours = own_party_times.join(by_nearest, on="service", suffix="_other").filter(
                (pl.col("time_us") - pl.col("time_us_other")).abs() <= TOLERANCE_US
            )
            for other, charge in neighbours.select("unit_other", "charge_other").unique().iter_rows():
                of_unit = units.filter((pl.col("unit") == other) & (pl.col("charge") == charge))["event_id"].to_list()
                assert set(of_unit) & set(read), f"no record of {other} is read for {own}"
                matched += other != own
    assert matched > 30
