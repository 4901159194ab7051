"""Processing a log epoch by epoch gives the outcome of one call, whatever state is kept, lost or read again."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import lake_fixture
import pytest
from random_logs import any_log, cycle_facets, line_facets, recovery_facets
from run_epochs import process_epochs

from trueup.reconcile.results.outcome import merge_outcomes


def compare_epochs_with_one_call(
    seed: str, n: int, folder: Path, divisions: int = 3, *, facets_of: Callable[[random.Random], frozenset[str]] | None = None
) -> None:
    facets = facets_of(random.Random(f"facets/{seed}/{n}")) if facets_of else None
    generator, log = any_log(random.Random(f"{seed}/{n}"), facets)
    by = generator.bucket_by
    log, rows = lake_fixture.with_event_ids_of_lake([[generator.first], *lake_fixture.one_declaration_per_commit(log)], by)
    rng = random.Random(f"{seed}/{n}")
    with lake_fixture.quick_lake(folder, log, rows, by) as lake:
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        for division in range(divisions):
            cuts = len(log) - 1 if division == 0 else rng.randrange(len(log))
            ends = [*sorted(rng.sample(range(1, len(log)), cuts)), len(log)]
            lost = frozenset(end for end in ends if division == 2 and rng.random() < 0.2)
            ranges = lake_fixture.ranges(rng.choice((1, 1, 2)))
            outcomes = [t.outcome for r in ranges for t in process_epochs(lake, ends, r, lost)]
            assert lake_fixture.totals(merge_outcomes(outcomes)) == full, f"{seed}/{n}: {ends}, state lost before {sorted(lost)}"


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
    compare_epochs_with_one_call("recovered epochs", n, tmp_path, facets_of=recovery_facets)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_correcting_charges_of_sixty_logs_have_the_same_outcome_in_any_division_into_epochs(part: int, tmp_path: Path) -> None:
    for n in range(15 * part, 15 * part + 15):
        compare_epochs_with_one_call("many recovered epochs", n, tmp_path / str(n), facets_of=recovery_facets)


@pytest.mark.parametrize("n", range(2))
def test_covering_services_have_the_same_outcome_in_any_division_into_epochs(n: int, tmp_path: Path) -> None:
    compare_epochs_with_one_call("epochs with lines", n, tmp_path, 2, facets_of=line_facets)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_covering_services_of_thirty_logs_have_the_same_outcome_in_any_division_into_epochs(part: int, tmp_path: Path) -> None:
    for n in range(10 * part, 10 * part + 10):
        compare_epochs_with_one_call("many epochs with lines", n, tmp_path / str(n), facets_of=line_facets)


@pytest.mark.parametrize("n", range(3))
def test_sums_of_billing_cycles_have_the_same_outcome_in_any_division_into_epochs(n: int, tmp_path: Path) -> None:
    compare_epochs_with_one_call("epochs with cycles", n, tmp_path, 2, facets_of=cycle_facets)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_sums_of_billing_cycles_of_thirty_logs_have_the_same_outcome_in_any_division_into_epochs(part: int, tmp_path: Path) -> None:
    for n in range(10 * part, 10 * part + 10):
        compare_epochs_with_one_call("many epochs with cycles", n, tmp_path / str(n), facets_of=cycle_facets)
