"""Division of bucket groups among workers: evenly, for any number of workers, adjacent groups together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trueup.jobs.flink_operators import groups_of_subtask


def context(worker: int, workers: int) -> Any:
    return SimpleNamespace(get_index_of_this_subtask=lambda: worker, get_number_of_parallel_subtasks=lambda: workers)


@pytest.mark.parametrize("groups", [1, 2, 8, 13, 64])
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 8])
def test_each_group_has_one_worker_and_the_numbers_of_groups_per_worker_differ_by_at_most_one(groups: int, workers: int) -> None:
    groups_by_worker = [groups_of_subtask(context(worker, workers), groups) for worker in range(workers)]
    assert [group for own in groups_by_worker for group in own] == list(range(groups))
    assert max(map(len, groups_by_worker)) - min(map(len, groups_by_worker)) <= 1
