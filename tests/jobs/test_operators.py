"""Who works on what: groups are spread evenly over however many workers there are, neighbours together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trueup.jobs.flink_operators import groups_of_subtask


def context(worker: int, workers: int) -> Any:
    return SimpleNamespace(get_index_of_this_subtask=lambda: worker, get_number_of_parallel_subtasks=lambda: workers)


@pytest.mark.parametrize("groups", [1, 2, 8, 13, 64])
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 8])
def test_every_group_has_one_worker_and_no_worker_has_two_more_than_another(groups: int, workers: int) -> None:
    held = [groups_of_subtask(context(worker, workers), groups) for worker in range(workers)]
    assert [group for mine in held for group in mine] == list(range(groups))
    assert max(map(len, held)) - min(map(len, held)) <= 1
