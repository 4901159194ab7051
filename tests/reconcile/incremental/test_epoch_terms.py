"""Back-dated prices and subscriptions: processing epoch by epoch gives the outcome of one call."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lake_fixture
import pytest
from run_epochs import process_epochs

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.reconcile.results.outcome import merge_outcomes

NOW = datetime(2024, 4, 1, tzinfo=UTC)
DAY = datetime(2024, 3, 1, tzinfo=UTC)
TOML = """
[[source]]
name = "book"
stream = "tariff"
path = "landing/book*.csv"
identity = "content"
[source.columns]
item = "item"
plan = "plan"
service = "service"
origin = "origin"
valid_from = "from"
currency = "currency"
price = "price"
[[source]]
name = "states"
stream = "subscriber"
path = "landing/states*.csv"
identity = "content"
columns = { system = "system", subscriber = "who", plan = "plan", status = "status", valid_from = "from" }
[[source]]
name = "msc"
stream = "usage"
path = "landing/usage*.csv"
lateness = "2h"
constants = { service = "voice" }
columns = { record_key = "id", session_key = "id", subscriber = "who", started_at = "at", quantity = "seconds" }
[[source]]
name = "billing"
stream = "charge"
path = "landing/charges*.csv"
lateness = "2h"
constants = { service = "voice" }
[source.columns]
record_key = "line"
session_key = "id"
subscriber = "who"
started_at = "at"
quantity = "seconds"
amount = "amount"
[reconcile.voice]
match = ["session_key", "nearest"]
start_tolerance = "2m"
grace = "6h"
"""


def write_file(rng: random.Random, folder: Path, number: int) -> None:
    """Write one file of a random kind, with records of about the current hour or of an earlier one."""
    hour = number * 3 if rng.random() < 0.8 else rng.randrange(0, number * 3 + 1)
    at = (DAY + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")
    kind = "book" if number == 0 else rng.choice(("usage", "usage", "charges", "charges", "book", "states"))
    who, key = rng.choice(("441", "442", "15")), rng.randrange(3 * number + 2)
    if kind == "usage":
        text = "id,who,at,seconds\n" + "".join(f"k{number}{n},{who},{at},{rng.randrange(3)}\n" for n in range(3))
    elif kind == "charges":
        keys = [f"k{rng.randrange(max(1, number))}{rng.randrange(3)}" for _ in range(3)]
        rows = (f"c{number}{n},{k},{who},{at},{rng.randrange(3)},{rng.randrange(3)}\n" for n, k in enumerate(keys))
        text = "line,id,who,at,seconds,amount\n" + "".join(rows)
    elif kind == "book":
        text = (
            "item,plan,service,origin,from,currency,price\n"
            + f"rate,{rng.choice('PQ')},voice,{rng.choice(['', '44', '4'])},{at},EUR,{1 + key}\n"
        )
        text += "rate,,voice,,2024-01-01T00:00:00Z,EUR,1\n" if number == 0 else ""
    else:
        system, status = rng.choice(("network", "billing")), rng.choice(("active", "active", "ceased"))
        text = f"system,who,plan,status,from\n{system},{who},{rng.choice('PQ')},{status},{at}\n"
    (folder / "landing" / f"{kind}{number:03d}.csv").write_text(text, "utf-8")


def compare_epochs_with_one_call(n: int, folder: Path, files: int) -> set[str]:
    """Compare epochs with one call on a random log; return the causes of its finding changes."""
    rng = random.Random(f"terms/{n}")
    (folder / "landing").mkdir(parents=True)
    (folder / "trueup.toml").write_text(TOML, "utf-8")
    project = Project.load(folder)
    for number in range(files):
        write_file(rng, folder, number)
        if number == files - 1:
            # The last book changes the price of every record.
            text = "item,plan,service,origin,from,currency,price\nrate,,voice,,2024-02-01T00:00:00Z,EUR,9\n"
            (folder / "landing" / "book999.csv").write_text(text, "utf-8")
        assert not ingest(project, clock=lambda: NOW).errors
    with Lake.open(project, read_only=True, threads=1) as lake:
        end = lake.last_position()
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, end, 1))
        causes = {row[3] for row in full["history"]}
        for ends in (range(1, end + 1), [*sorted(rng.sample(range(1, end), 2)), end]):
            lost = frozenset({end} if n % 2 else ())
            outcomes = [t.outcome for r in lake_fixture.ranges(2) for t in process_epochs(lake, list(ends), r, lost)]
            assert lake_fixture.totals(merge_outcomes(outcomes)) == full, f"{n}: {list(ends)}"
    return causes


@pytest.mark.parametrize("n", [8])
def test_back_dated_prices_and_subscriptions_give_the_outcome_of_one_call(n: int, tmp_path: Path) -> None:
    assert "tariff_change" in compare_epochs_with_one_call(n, tmp_path, files=7)


@pytest.mark.slow
@pytest.mark.parametrize("n", range(1, 30))
def test_many_back_dated_prices_and_subscriptions_give_the_outcome_of_one_call(n: int, tmp_path: Path) -> None:
    compare_epochs_with_one_call(n, tmp_path, files=24)


def test_subscribers_absent_from_billing_are_unknown_once_billing_has_delivered_its_subscribers(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "trueup.toml").write_text(TOML, "utf-8")
    files = {
        "book": "item,plan,service,origin,from,currency,price\nrate,,voice,,2024-01-01T00:00:00Z,EUR,1\n",
        "usage": "id,who,at,seconds\nk1,a,2024-03-01T00:00:00Z,5\nk2,b,2024-03-02T00:00:00Z,5\n",
        "charges": "line,id,who,at,seconds,amount\nc2,k2,b,2024-03-02T00:00:00Z,5,5\nc3,k3,b,2024-03-03T00:00:00Z,0,0\n",
        "states": "system,who,plan,status,from\nbilling,b,P,active,2024-03-02T12:00:00Z\n",
        "charges2": "line,id,who,at,seconds,amount\nc4,k1,a,2024-03-04T00:00:00Z,5,5\n",
    }
    project = Project.load(tmp_path)
    for name, text in files.items():
        (tmp_path / "landing" / f"{name}.csv").write_text(text, "utf-8")
        assert not ingest(project, clock=lambda: NOW).errors
    with Lake.open(project, read_only=True, threads=1) as lake:
        end = lake.last_position()
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, end, 1))
        changes = [(row[1] - end, *row[2:5]) for row in sorted(full["history"], key=lambda row: row[1])]
        # The last charge resolves the finding on the unknown subscriber.
        assert changes == [
            (-2, "raised", "frontier", "unbilled"), (-1, "raised", "subscriber_change", "unknown_subscriber"),
            (-1, "retracted", "subscriber_change", "unbilled"), (0, "resolved", "late_charge", "unknown_subscriber"),
        ]  # fmt: skip
        in_epochs = [t.outcome for r in lake_fixture.ranges(2) for t in process_epochs(lake, range(1, end + 1), r)]
        assert lake_fixture.totals(merge_outcomes(in_epochs)) == full
