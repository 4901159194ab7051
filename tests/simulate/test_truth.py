"""Check the truth against the files, recomputed by brute force with fractions and plain loops."""

import json
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from trueup.simulate import PROFILES, SimulationRequest, simulate
from trueup.simulate.truth.ledger import TRUTH

PRICES = {"voice": Fraction(79_000, 60), "sms": Fraction(50_000), "incoming": Fraction(0), "data": Fraction(3_500, 1_000),
          "zero_rated": Fraction(0), "roaming": Fraction(490_000, 60), "iot": Fraction(20_000, 1_000)}  # fmt: skip
TOLERANCE_S = {"voice": 2, "sms": 3, "roaming": 5}
QUANTITY_TOLERANCE = {"voice": 1, "roaming": 1}
GRACE_S = {"voice": 36 * 3600, "sms": 24 * 3600, "data": 36 * 3600, "roaming": 48 * 3600, "iot": 36 * 3600}
BILLING_LATENESS_S, USAGE_LATENESS_S = 12 * 3600, 24 * 3600
AMOUNT_TOLERANCE = 5_000
DAY_S = 86_400


def price(service: str, quantity: int) -> int:
    return round(PRICES[service] * quantity)


def rows_of(world, *kinds: str, decidable: bool | None = None) -> list[dict]:
    truth = pl.read_parquet(world.directory / "truth.parquet")
    rows = truth.filter(pl.col("kind").is_in(kinds)) if kinds else truth
    return rows.filter(pl.col("decidable") == decidable).to_dicts() if decidable is not None else rows.to_dicts()


def contents(records: list) -> dict[str, set]:
    """Return the different contents of each record key over all files."""
    by_key: dict[str, set] = defaultdict(set)
    for r in records:
        by_key[r.key].add((r.service, r.subscriber, r.peer, r.session_key, r.start_s, r.quantity, r.partial, r.amount_micros))
    return by_key


@pytest.fixture(scope="module")
def ledger(world):
    """Return the effective content of each record key: the greatest one."""

    def counted(records):
        best = {}
        for r in records:
            if r.key not in best or (r.quantity, r.amount_micros) > (best[r.key].quantity, best[r.key].amount_micros):
                best[r.key] = r
        return best

    return counted(world.usage), counted(world.charges)


def test_the_truth_has_its_columns_and_unique_leak_ids(world) -> None:
    truth = pl.read_parquet(world.directory / "truth.parquet")
    assert truth.schema == pl.Schema(TRUTH)
    assert truth["leak_id"].is_unique().all()
    assert truth["mechanism_source"].str.len_chars().min() > 10
    assert truth["details"].str.json_decode(pl.Struct([])).len() == len(truth)
    assert dict(truth.group_by("kind").len().iter_rows()) == world.summary.truth


def test_every_record_of_the_truth_is_in_the_files_except_lost_ones(world, ledger) -> None:
    usage, charges = ledger
    lost = Counter()
    for row in rows_of(world):
        assert set(row["charge_record_keys"]) <= charges.keys()
        lost[row["kind"]] += sum(key not in usage for key in row["usage_record_keys"])
    assert set(+lost) <= {"lost_file", "lost_stretch"}


@pytest.mark.parametrize(
    "kinds",
    [
        ("unbilled_random", "unbilled_node", "unbilled_tariff", "unbilled_destination"),
        ("ceased_subscriber", "suspended_subscriber", "unknown_subscriber"),
        ("under_quantity", "over_quantity"),
        ("wrong_tariff_version", "wrong_increment", "zero_rated_by_mistake", "wrong_rounding"),
        ("late_charge",),
        ("duplicate_charge",),
        ("phantom_charge",),
    ],
)
def test_the_money_of_each_leak_follows_from_its_files(world, ledger, kinds) -> None:
    usage, charges = ledger
    rows = rows_of(world, *kinds, decidable=True)
    assert rows
    for row in rows:
        used = [usage[key] for key in row["usage_record_keys"]]
        billed = sum(charges[key].amount_micros for key in row["charge_record_keys"])
        parts = [r.quantity for r in used]
        expected = sum(price("iot", q) for q in parts) if row["service"] == "iot" else price(row["service"], sum(parts))
        if row["kind"] == "duplicate_charge":
            assert len(row["charge_record_keys"]) == 1
            assert row["impact_micros"] == -billed == -expected
        elif row["kind"] == "late_charge":
            assert row["impact_micros"] == expected
        elif row["expected_kind"] in ("underbilled", "overbilled") and row["service"] != "iot":
            # The price of the quantity; parts of a charge are rounded one by one, which adds a further difference.
            charged = sum(charges[key].quantity for key in row["charge_record_keys"])
            assert row["impact_micros"] == expected - price(row["service"], charged)
            assert abs(expected - billed - row["impact_micros"]) <= len(row["charge_record_keys"])
        else:
            assert row["impact_micros"] == expected - billed
        assert row["impact_micros"] != 0
        assert {r.subscriber for r in used} <= {row["subscriber"]}


def test_the_kind_of_finding_expected_follows_from_quantities_and_amounts(world, ledger) -> None:
    usage, charges = ledger
    for row in rows_of(world, decidable=True):
        if row["category"] != "leak" or not row["charge_record_keys"] or row["service"] == "iot" or row["decided_by"] == "quality":
            continue
        used, billed = ([book[k] for k in row[c]] for book, c in ((usage, "usage_record_keys"), (charges, "charge_record_keys")))
        difference = sum(r.quantity for r in used) - sum(r.quantity for r in billed)
        if row["expected_kind"] in ("underbilled", "overbilled"):
            assert abs(difference) > QUANTITY_TOLERANCE.get(row["service"], 0)
            assert (row["impact_micros"] > 0) == (row["expected_kind"] == "underbilled")
        elif row["expected_kind"] == "misrated" and all(r.currency == "EUR" for r in billed):
            assert difference == 0
            assert abs(row["impact_micros"]) > AMOUNT_TOLERANCE


def test_undecidable_rows_expect_no_finding_of_reconciliation(world) -> None:
    rows = rows_of(world, decidable=False)
    assert {"duplicate_charge", "look_alike_records"} <= {row["kind"] for row in rows}
    assert all(row["kernel_kind"] is None for row in rows)


def test_most_phantom_charges_are_decidable(world) -> None:
    rows = rows_of(world, "phantom_charge")
    assert {row["variant"] for row in rows} == {"plain", "hard"}
    assert sum(row["decidable"] for row in rows) > 0.9 * len(rows)


def test_conflicts_have_two_contents_of_one_key_and_the_greater_is_first(world) -> None:
    for kind, records, column in (("conflicting_usage", world.usage, "usage_record_keys"),
                                  ("conflicting_charge", world.charges, "charge_record_keys")):  # fmt: skip
        several = {key for key, found in contents(records).items() if len(found) > 1}
        named = rows_of(world, kind)
        assert named
        assert several == {key for row in named for key in row[column] if key in several}
        assert all(len(several & set(row[column])) == 1 for row in named)
        order: dict[str, list] = defaultdict(list)
        for r in records:
            if r.key in several:
                order[r.key].append((r.quantity, r.amount_micros))
        assert all(found[0] == max(found) for found in order.values())
        assert all(row["impact_micros"] == 0 for row in named)


def test_retransmissions_repeat_records_unchanged(world) -> None:
    copies = Counter(r.key for r in (*world.usage, *world.charges))
    rows = rows_of(world, "retransmitted_record", "retransmitted_file")
    assert {"retransmitted_record", "retransmitted_file"} == {row["kind"] for row in rows}
    for row in rows:
        assert all(copies[key] > 1 for key in (*row["usage_record_keys"], *row["charge_record_keys"]))
    conflicting = {k for row in rows_of(world, "conflicting_usage", "conflicting_charge")
                   for k in (*row["usage_record_keys"], *row["charge_record_keys"])}  # fmt: skip
    named = {k for row in rows for k in (*row["usage_record_keys"], *row["charge_record_keys"])}
    assert {key for key, count in copies.items() if count > 1} <= named | conflicting


def test_late_charges_arrive_after_their_session_is_final_and_all_others_before(world) -> None:
    late = {key for row in rows_of(world, "late_charge") for key in row["charge_record_keys"]}
    ends = session_ends(world.usage)
    frontier = float("-inf")
    by_file: dict[str, list] = defaultdict(list)
    for charge in world.charges:
        by_file[charge.file].append(charge)
    seen: set[str] = set()
    for file in sorted(by_file):
        for charge in by_file[file]:
            last = ends.get(charge.session_key, charge.start_s)
            if charge.service == "iot":
                last = charge.start_s // DAY_S * DAY_S + DAY_S - 1e-6
            if charge.key in late:
                assert charge.key in seen or frontier > last + GRACE_S[charge.service], "a late charge that arrives within grace"
            elif charge.service != "zero_rated":
                assert charge.key in seen or frontier <= last + GRACE_S[charge.service], (
                    "an ordinary charge that arrives after grace"
                )
            seen.add(charge.key)
        frontier = max(frontier, max(c.start_s for c in by_file[file]) - BILLING_LATENESS_S)
    assert late
    for row in rows_of(world, "late_charge"):
        assert row["expected_status"] == "resolved"
        assert row["resolved_at"] > row["knowable_at"] + timedelta(hours=12)


def session_ends(records: list) -> dict[str, float]:
    ends: dict[str, float] = {}
    for r in records:
        if r.session_key:
            ends[r.session_key] = max(ends.get(r.session_key, r.start_s), r.start_s)
    return ends


def test_the_traffic_of_the_tail_makes_the_main_period_final(world) -> None:
    limit = max(r.start_s for r in world.usage if r.start_s < day_end(world)) + max(GRACE_S.values())
    feeds = {r.key[:3]: 0.0 for r in world.usage}
    for r in world.usage:
        feeds[r.key[:3]] = max(feeds[r.key[:3]], r.start_s - USAGE_LATENESS_S)
    assert set(feeds) == {"MSC", "PGW", "TAP", "IOT"}
    assert all(frontier > limit for frontier in feeds.values())
    assert max(c.start_s for c in world.charges) - BILLING_LATENESS_S > limit


def day_end(world) -> float:
    after = world.summary.last_day + timedelta(days=1)
    return datetime(after.year, after.month, after.day, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()


def test_every_session_outside_the_truth_is_billed_to_the_micro(world, ledger) -> None:
    """Match by key, by time and by day in plain loops: no other session has a difference."""
    usage, charges = ledger
    innocent = ("look_alike_records", "reversed_duplicate")
    excluded = [row for row in rows_of(world) if row["category"] == "leak" or row["kind"] in innocent]
    named = {key for row in excluded for key in (*row["usage_record_keys"], *row["charge_record_keys"])}
    used = [r for r in usage.values() if r.key not in named and r.service != "incoming"]
    # Of a session charged twice the truth names only the second charge; the first is excluded with it.
    stories = {usage[k].session_key for k in named if k in usage} - {""}
    billed = [c for c in charges.values() if c.key not in named and c.session_key not in stories]
    assert len(used) > 3_000

    by_key = defaultdict(lambda: ([], []))
    by_day = defaultdict(lambda: ([], []))
    by_pair = defaultdict(lambda: ([], []))
    for side, records in enumerate((used, billed)):
        for r in records:
            if r.session_key:
                by_key[r.session_key][side].append(r)
            elif r.service == "iot":
                by_day[r.subscriber, r.start_s // DAY_S][side].append(r)
            else:
                by_pair[r.service, r.subscriber, r.peer][side].append(r)

    for records, lines in by_key.values():
        assert_clean(records, lines)
    for records, lines in by_day.values():
        assert sum(r.quantity for r in records) == sum(c.quantity for c in lines)
        assert sum(price("iot", r.quantity) for r in records) == sum(c.amount_micros for c in lines)
    for (service, _, _), (records, lines) in by_pair.items():
        left = sorted(lines, key=lambda c: c.start_s)
        for r in sorted(records, key=lambda r: r.start_s):
            if r.quantity == 0:
                continue
            candidates = [c for c in left if abs(c.start_s - r.start_s) <= TOLERANCE_S[service]]
            assert len(candidates) == 1, (r, candidates)
            assert_clean([r], candidates)
            left.remove(candidates[0])
        assert left == []


def assert_clean(records: list, lines: list) -> None:
    service, quantity = records[0].service, sum(r.quantity for r in records)
    if not lines:
        assert price(service, quantity) == 0, "only usage without a price may lack a charge"
        return
    charged, amount = sum(c.quantity for c in lines), sum(c.amount_micros for c in lines)
    assert abs(charged - quantity) <= QUANTITY_TOLERANCE.get(service, 0)
    assert amount == price(service, charged)
    assert {c.currency for c in lines} == {"EUR"}
    assert len({c.partial for c in lines}) == len(lines)


def test_only_lost_files_and_lost_windows_leave_gaps_in_the_record_numbers(world) -> None:
    lost = {k for row in rows_of(world, "lost_file", "lost_stretch") for k in row["usage_record_keys"]}
    lost -= {r.key for r in world.usage}
    assert lost
    arrived: dict[str, set[int]] = defaultdict(set)
    for r in world.usage:
        element, count = r.key.split("-")
        arrived[element].add(int(count))
    gaps = {f"{e}-{n}" for e, seen in arrived.items() for n in range(1_000_000_000, max(seen) + 1) if n not in seen}
    assert gaps == lost


def test_the_money_of_a_lost_file_is_that_of_its_records(world, ledger) -> None:
    usage, charges = ledger
    for row in rows_of(world, "lost_file", "lost_stretch"):
        details = json.loads(row["details"])
        arrived = [usage[k] for k in row["usage_record_keys"] if k in usage]
        assert details["lost_records"] == len(row["usage_record_keys"]) - len(arrived)
        assert details["lost_micros"] == row["exposure_micros"]
        sessions: dict[str, int] = defaultdict(int)
        for r in arrived:
            sessions[r.session_key] += r.quantity
        services = {r.session_key: r.service for r in arrived}
        surviving = sum(price(services[k], q) for k, q in sessions.items())
        assert row["impact_micros"] == surviving - sum(charges[k].amount_micros for k in row["charge_record_keys"])


def test_frauds_and_innocent_cases_name_their_records_and_exposure(world, ledger) -> None:
    usage, _ = ledger
    lost = {k for row in rows_of(world, "lost_file", "lost_stretch") for k in row["usage_record_keys"]}
    for row in rows_of(world):
        if row["decided_by"] == "fraud":
            sessions: dict[str, list] = defaultdict(list)
            for key in row["usage_record_keys"]:
                sessions[usage[key].session_key or key].append(usage[key])
            worth = sum(price(rs[0].service, sum(r.quantity for r in rs)) for rs in sessions.values())
            assert row["expected_kind"] is None
            assert row["impact_micros"] == 0
            if not lost & set(row["usage_record_keys"]):
                assert row["exposure_micros"] == worth


def test_an_operator_without_leaks_has_no_leak_in_its_truth(tmp_path: Path) -> None:
    nothing = dict.fromkeys(PROFILES["small"].rates, 0.0)
    summary = simulate(tmp_path, SimulationRequest(subscribers=60, days=2, seed=2, rates=nothing))
    truth = pl.read_parquet(tmp_path / "truth.parquet")
    assert truth.filter(category="leak").is_empty()
    assert summary.usage_records > 500


def test_the_share_of_unbilled_messages_is_the_configured_rate(tmp_path: Path) -> None:
    rates = dict.fromkeys(PROFILES["small"].rates, 0.0) | {"unbilled_random": 0.25}
    simulate(tmp_path, SimulationRequest(subscribers=400, days=2, seed=2, rates=rates))
    truth = pl.read_parquet(tmp_path / "truth.parquet").filter(kind="unbilled_random", service="sms")
    sent = pl.concat([pl.read_csv(p, infer_schema=False) for p in sorted((tmp_path / "landing" / "msc").iterdir())])
    states = pl.read_csv(tmp_path / "landing" / "subscribers" / "network.csv", infer_schema=False)
    probes = states.filter(segment="probe")["msisdn"]
    ordinary = sent.filter(pl.col("record_type") == "SMO", ~pl.col("served_number").is_in(probes.implode()))
    cases = pl.read_parquet(tmp_path / "truth.parquet").filter(pl.col("decided_by") == "fraud")["usage_record_keys"].explode()
    ordinary = ordinary.filter(~pl.col("record_id").is_in(cases.implode()))
    assert len(truth) / len(ordinary) == pytest.approx(0.25, abs=0.05)
