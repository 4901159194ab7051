"""Processing a log epoch by epoch gives the outcome of one call, whether the state is kept, lost or read again."""

from __future__ import annotations

from pathlib import Path

import lake_fixture
import pytest
from random_logs import cycle_facets, line_facets, moved_facets, moved_line_facets, recovery_facets, service, zone_facets
from reference_model.log import Item, Log, Record, State
from run_epochs import compare_epochs_with_one_call, process_epochs

from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.results.outcome import merge_outcomes

FACETS = {
    "epochs": None,
    "recovered epochs": recovery_facets,
    "moved epochs": moved_facets,
    "epochs with lines": line_facets,
    "moved epochs with lines": moved_line_facets,
    "epochs with cycles": cycle_facets,
    "epochs with zones": zone_facets,
}
"""Seeds of random logs, each with what its logs must have: any records, corrections, moved records, lines of several services."""
MANY = {
    "epochs": 80,
    "recovered epochs": 60,
    "moved epochs": 20,
    "epochs with lines": 5,
    "moved epochs with lines": 10,
    "epochs with cycles": 5,
    "epochs with zones": 10,
}
PART = 10
"""Random logs of one slow test, so that workers share them."""


@pytest.mark.parametrize("seed", [seed for seed in FACETS if seed != "moved epochs with lines"])
def test_any_division_into_epochs_gives_the_outcome_of_one_call(seed: str, tmp_path: Path) -> None:
    divisions = 3 if seed == "epochs" else 2
    compare_epochs_with_one_call(seed, 0, tmp_path, divisions, facets_of=FACETS[seed])


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "first"), [(seed, first) for seed, count in MANY.items() for first in range(0, count, PART)])
def test_any_division_of_many_logs_into_epochs_gives_the_outcome_of_one_call(seed: str, first: int, tmp_path: Path) -> None:
    for n in range(first, min(first + PART, MANY[seed])):
        compare_epochs_with_one_call(f"many {seed}", n, tmp_path / str(n), facets_of=FACETS[seed])


def test_a_back_dated_state_moves_settled_records_of_a_final_cycle_epoch_by_epoch(tmp_path: Path) -> None:
    day, second = 86_400, 1_000_000

    def record(charge: bool, at_day: int, subscriber: str = "s") -> Record:
        key = f"{int(charge)}{at_day}{subscriber}"
        return Record(charge, "b" if charge else "n", key, service="iot", subscriber=subscriber, started_us=at_day * day * second,
                      quantity_micros=second, amount_micros=second * charge, scope=subscriber)  # fmt: skip

    policy = Policy(
        0, {"iot": service(("aggregate",), grace=day * second, period="cycle")},
        sources={"n": SourceRules("usage"), "b": SourceRules("charge")},
    )  # fmt: skip
    month: list[Item] = [record(side, at_day) for at_day in (2, 9, 20, 40) for side in (False, True)]
    # 1970-01-03 is in the cycle from the 1st, and from the 5th in that from 5 December; 10 January is in another one then.
    log: Log = [
        [policy], [State("s", 0, 1)], month[:7], [record(False, 200, "z"), record(True, 200, "z")], [State("s", 0, 5)],
        [month[7]], [State("s", 15 * day * second, 1)],
    ]  # fmt: skip
    log, rows = lake_fixture.with_event_ids_of_lake(log, "subscriber")
    with lake_fixture.quick_lake(tmp_path, log, rows, "subscriber") as lake:
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        results = process_epochs(lake, range(1, len(log) + 1), lake_fixture.ranges(1)[0])
        assert lake_fixture.totals(merge_outcomes([r.outcome for r in results])) == full
        # Nothing was pending before the states, so the records that they move were read again.
        heights = [r.state.undecided_records for r in results if r.state is not None]
        assert heights[3] == 2 and results[4].read_again > 0 < results[6].read_again
