"""However a log is divided, read or repeated, a real lake ends with the same findings and sums."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import lakes
import pytest
import story
import worlds
from hearing import assert_told

from trueup.jobs import batch
from trueup.log.lake import Lake
from trueup.reconcile.kernel import evaluate
from trueup.reconcile.load import frontier_of
from trueup.reconcile.reach import touched


def prepared(seed: str, facets: tuple[str, ...] | None = None) -> tuple[list[list[object]], dict[object, object], str]:
    world, log = worlds.wild(random.Random(seed), facets)
    by = "session_key" if "poor keys" in world.facets else "subscriber"
    return (*lakes.known_by_id([[world.first], *lakes.told_apart(log)], by), by)


@pytest.mark.parametrize("n", range(10))
def test_reading_only_what_positions_touch_tells_the_same_as_reading_everything(n: int, tmp_path: Path) -> None:
    log, rows, by = prepared(f"touched/{n}")
    with lakes.quick_lake(tmp_path, log, rows, by) as lake:
        frontier = frontier_of(lake, len(log))
        everything = touched(lake, frontier, lakes.ranges(1)[0], after=0, upto=len(log))
        assert_told(story.tell(log, log[0][0]), evaluate(everything, frontier, after=0, upto=len(log)), frontier.policies)
        rng = random.Random(n)
        ends = sorted({*rng.sample(range(1, len(log) + 1), min(len(log), 4)), len(log)})
        assert lakes.totals(lakes.in_steps(lake, ends, 1)) == lakes.totals(lakes.outcome_of(lake, 0, len(log), 1))


@pytest.mark.parametrize(("seed", "most"), [("ways/0", 2), pytest.param("ways/1", 64, marks=pytest.mark.slow)])
def test_a_lake_reconciled_after_every_commit_or_once_in_any_partitions_holds_the_same(
    seed: str, most: int, tmp_path: Path
) -> None:
    log, rows, by = prepared(seed, facets=())
    held = []
    for way, (partitions, ends) in enumerate([(1, [len(log)]), (8, [len(log)]), (most, range(1, len(log) + 1))]):
        with lakes.lake_of(tmp_path / str(way), log, rows, by) as lake:
            for upto in ends:
                lakes.reconcile(lake, upto, partitions)
            held.append(lakes.committed(lake))
    assert held[0] == held[1] == held[2]


def test_reconciling_some_days_first_leaves_the_same_in_the_end(tmp_path: Path) -> None:
    log, rows, by = prepared("days", facets=())
    with lakes.lake_of(tmp_path, log, rows, by) as lake:
        whole = lakes.totals(lakes.outcome_of(lake, 0, len(log), 1))
        day = date(1970, 1, 2)
        lakes.reconcile(lake, len(log), 2, (day, day))
        some = lakes.committed(lake)["history"]
        assert lake.consumer_position("reconcile") == 0
        assert set(map(repr, some)) <= set(map(repr, whole["history"]))
        lakes.reconcile(lake, len(log), 2)
        assert lakes.committed(lake) == whole


@pytest.mark.parametrize("options", [(), ("--direct_running_mode=multi_processing", "--direct_num_workers=2")])
def test_the_beam_job_commits_what_the_plain_call_tells(options: tuple[str, ...], tmp_path: Path) -> None:
    log, rows, by = prepared("beam", facets=())
    with lakes.lake_of(tmp_path, log, rows, by) as lake:
        wanted = lakes.totals(lakes.outcome_of(lake, 0, len(log), 1))
        project = lake.project
    summary = batch.reconcile(project, partitions=4, runner_options=options)
    assert summary.to_position == len(log) and summary.partitions == 4
    with Lake.open(project) as lake:
        assert lakes.committed(lake) == wanted
    assert batch.reconcile(project).raised == 0
