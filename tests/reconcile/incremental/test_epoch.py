"""Processing a log epoch by epoch gives the outcome of one call, whether the state is kept, lost or read again."""

from __future__ import annotations

from pathlib import Path

import lake_fixture
import pytest
from random_logs import cycle_facets, line_facets, moved_facets, recovery_facets, service
from reference_model.log import Item, Log, Record, State
from run_epochs import compare_epochs_with_one_call, process_epochs

from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.results.outcome import merge_outcomes


@pytest.mark.parametrize("n", range(2))
def test_any_division_into_epochs_gives_the_outcome_of_one_call(n: int, tmp_path: Path) -> None:
    compare_epochs_with_one_call("epochs", n, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_any_division_of_eighty_logs_into_epochs_gives_the_outcome_of_one_call(part: int, tmp_path: Path) -> None:
    for n in range(10 * part, 10 * part + 10):
        compare_epochs_with_one_call("many epochs", n, tmp_path / str(n))


@pytest.mark.parametrize("n", range(1))
def test_correcting_charges_have_the_same_outcome_in_any_division_into_epochs(n: int, tmp_path: Path) -> None:
    compare_epochs_with_one_call("recovered epochs", n, tmp_path, 2, facets_of=recovery_facets)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_correcting_charges_of_sixty_logs_have_the_same_outcome_in_any_division_into_epochs(part: int, tmp_path: Path) -> None:
    for n in range(15 * part, 15 * part + 15):
        compare_epochs_with_one_call("many recovered epochs", n, tmp_path / str(n), facets_of=recovery_facets)


@pytest.mark.parametrize("n", range(1))
def test_moved_records_have_the_same_outcome_in_any_division_into_epochs(n: int, tmp_path: Path) -> None:
    compare_epochs_with_one_call("moved epochs", n, tmp_path, 2, facets_of=moved_facets)


@pytest.mark.slow
def test_moved_records_of_twenty_logs_have_the_same_outcome_in_any_division_into_epochs(tmp_path: Path) -> None:
    for n in range(20):
        compare_epochs_with_one_call("many moved epochs", n, tmp_path / str(n), facets_of=moved_facets)


@pytest.mark.parametrize("n", range(1))
def test_covering_services_have_the_same_outcome_in_any_division_into_epochs(n: int, tmp_path: Path) -> None:
    compare_epochs_with_one_call("epochs with lines", n, tmp_path, 2, facets_of=line_facets)


@pytest.mark.slow
def test_covering_services_of_five_logs_have_the_same_outcome_in_any_division_into_epochs(tmp_path: Path) -> None:
    for n in range(5):
        compare_epochs_with_one_call("many epochs with lines", n, tmp_path / str(n), facets_of=line_facets)


@pytest.mark.parametrize("n", range(1))
def test_sums_of_billing_cycles_have_the_same_outcome_in_any_division_into_epochs(n: int, tmp_path: Path) -> None:
    compare_epochs_with_one_call("epochs with cycles", n, tmp_path, 2, facets_of=cycle_facets)


@pytest.mark.slow
def test_sums_of_billing_cycles_of_five_logs_have_the_same_outcome_in_any_division_into_epochs(tmp_path: Path) -> None:
    for n in range(5):
        compare_epochs_with_one_call("many epochs with cycles", n, tmp_path / str(n), facets_of=cycle_facets)


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
