import csv
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import polars as pl

from trueup.config import Project
from trueup.simulate.files.project import decimal_text
from trueup.simulate.market.services import SERVICES


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_project_file_loads_and_has_one_source_per_feed(world) -> None:
    project = Project.load(world.directory)
    assert [(s.name, s.stream) for s in project.config.source] == [
        ("network_states", "subscriber"), ("billing_states", "subscriber"), ("tariff_book", "tariff"),
        ("msc", "usage"), ("pgw", "usage"), ("tap", "usage"), ("iot", "usage"), ("billing", "charge"),
    ]  # fmt: skip
    assert project.config.reconcile["voice"].match == ("session_key", "nearest")
    assert project.config.reconcile["iot"].match == ("aggregate",)
    assert {r.service for r in (*world.usage, *world.charges)} <= set(project.config.reconcile)


def test_every_source_finds_files_with_the_columns_it_maps(world) -> None:
    for source in Project.load(world.directory).config.source:
        files = sorted(world.directory.glob(source.path[0]))
        assert files
        header = files[0].read_text().splitlines()[0].split(",")
        assert {name for rule in source.columns.values() for name in rule.names} <= set(header)


def test_the_project_file_names_the_last_day_and_the_close_command(world) -> None:
    text = (world.directory / "trueup.toml").read_text()
    assert f"trueup close --source NAME --through {world.summary.tail_day}" in text
    assert f"{world.summary.first_day} to {world.summary.last_day}" in text


def test_the_tariff_book_has_one_price_of_every_service_at_the_time_of_every_record(world) -> None:
    book = defaultdict(list)
    tariffs = rows(world.directory / "tariffs.csv")
    for row in (row for row in tariffs if row["item"] == "rate"):
        ends = datetime.fromisoformat(row["valid_to"]).replace(tzinfo=UTC).timestamp() if row["valid_to"] else float("inf")
        begins = datetime.fromisoformat(row["valid_from"]).replace(tzinfo=UTC).timestamp()
        book[row["tariff_code"]].append((begins, ends, Decimal(row["price"]), int(row["price_per"]), row["service"]))
    services = {s.name: s for s in SERVICES}
    for versions in book.values():
        ordered = sorted(versions)
        assert len(ordered) == 3
        assert all(a[1] == b[0] for a, b in pairwise(ordered)), "versions follow without gap or overlap"
        begins, ends, price, per, service = ordered[1]
        assert price * 10**6 == services[service].price_micros
        assert per == services[service].price_per
        assert begins <= min(r.start_s for r in world.usage) + 2
        assert ends > max(r.start_s for r in world.usage)
    assert {row["tariff"] for path in (world.directory / "landing" / "billing").iterdir() for row in rows(path)} <= book.keys()


def test_network_and_billing_disagree_about_the_subscribers_of_the_truth_and_no_others(world) -> None:
    network, billing = (rows(world.directory / "landing" / "subscribers" / f"{n}.csv") for n in ("network", "billing"))
    truth = pl.read_parquet(world.directory / "truth.parquet")

    def named(kind: str) -> set[str]:
        return set(truth.filter(kind=kind)["subscriber"])

    states = defaultdict(lambda: ([], []))
    for side, system in enumerate((network, billing)):
        for row in system:
            states[row["msisdn"]][side].append((row["valid_from"], row["status"], row["plan"], row["imsi"]))
    unknown = {who for who, (_, of_billing) in states.items() if not of_billing}
    differing = {who for who, (of_network, of_billing) in states.items() if of_billing and of_network != of_billing}
    wrong = {who: {s for _, s, _, _ in states[who][1]} - {s for _, s, _, _ in states[who][0]} for who in differing}
    assert named("unknown_subscriber") <= unknown
    assert named("ceased_subscriber") <= {who for who, status in wrong.items() if status == {"ceased"}}
    assert named("suspended_subscriber") <= {who for who, status in wrong.items() if status == {"suspended"}}
    assert named("plan_mismatch") == {who for who, status in wrong.items() if not status}


def test_states_of_a_subscription_follow_without_a_gap(world) -> None:
    for system in ("network", "billing"):
        by_number = defaultdict(list)
        for row in rows(world.directory / "landing" / "subscribers" / f"{system}.csv"):
            by_number[row["msisdn"]].append((row["valid_from"], row["valid_to"]))
        for states in by_number.values():
            assert states[-1][1] == ""
            assert all(a[1] == b[0] for a, b in pairwise(states))


def test_manifests_declare_the_records_of_each_file_in_a_sequence_without_gaps(world) -> None:
    truth = pl.read_parquet(world.directory / "truth.parquet")
    short = 0
    for feed in ("msc", "pgw", "tap", "iot", "billing"):
        declared = rows(world.directory / "landing" / "manifests" / f"{feed}.csv")
        by_node = defaultdict(list)
        for row in declared:
            by_node[row["node"]].append(int(row["sequence"]))
            path = world.directory / "landing" / feed / row["file"]
            count = len(rows(path)) if path.exists() else 0
            assert count <= int(row["declared_records"])
            short += count < int(row["declared_records"])
        assert all(sorted(seen) == list(range(1, len(seen) + 1)) for seen in by_node.values())
    assert short == len(truth.filter(pl.col("kind").is_in(["lost_file", "lost_stretch"])))


def test_amounts_are_written_without_trailing_zeros() -> None:
    assert [decimal_text(m) for m in (0, 5_000, 79_000, 1_000_000, 20_000_000)] == ["0", "0.005", "0.079", "1", "20"]
