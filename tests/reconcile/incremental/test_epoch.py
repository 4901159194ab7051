"""Going on epoch by epoch tells what one call tells, whatever is kept, lost or read again in between."""

from __future__ import annotations

import random
from pathlib import Path

import lake_fixture
import pytest
from random_logs import any_log
from run_epochs import process_epochs

from trueup.reconcile.results.outcome import merge_outcomes


def tells_the_same_in_epochs(seed: str, n: int, folder: Path, divisions: int = 3) -> None:
    world, log = any_log(random.Random(f"{seed}/{n}"))
    by = world.bucket_by
    log, rows = lake_fixture.with_ids_of_content([[world.first], *lake_fixture.one_declaration_per_commit(log)], by)
    rng = random.Random(f"{seed}/{n}")
    with lake_fixture.quick_lake(folder, log, rows, by) as lake:
        whole = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        for division in range(divisions):
            cuts = len(log) - 1 if division == 0 else rng.randrange(len(log))
            ends = [*sorted(rng.sample(range(1, len(log)), cuts)), len(log)]
            lost = frozenset(end for end in ends if division == 2 and rng.random() < 0.2)
            ranges = lake_fixture.ranges(rng.choice((1, 1, 2)))
            told = [t.outcome for r in ranges for t in process_epochs(lake, ends, r, lost)]
            assert lake_fixture.totals(merge_outcomes(told)) == whole, f"{seed}/{n}: {ends}, lost before {sorted(lost)}"


@pytest.mark.parametrize("n", range(6))
def test_any_chopping_into_epochs_tells_the_same(n: int, tmp_path: Path) -> None:
    tells_the_same_in_epochs("epochs", n, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_any_chopping_of_eighty_logs_into_epochs_tells_the_same(part: int, tmp_path: Path) -> None:
    for n in range(10 * part, 10 * part + 10):
        tells_the_same_in_epochs("many epochs", n, tmp_path / str(n))
