"""Division of bucket groups among workers: evenly, for any number of workers, adjacent groups together. The poller of epochs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lake_fixture
import pytest
from streaming import append, project_with, random_log

from trueup.config import Project
from trueup.errors import LogError
from trueup.jobs.flink_operators import groups_of_subtask
from trueup.jobs.options import StreamOptions
from trueup.reconcile.run import reconcile_little


def context(worker: int, workers: int) -> Any:
    return SimpleNamespace(get_index_of_this_subtask=lambda: worker, get_number_of_parallel_subtasks=lambda: workers)


@pytest.mark.parametrize("groups", [1, 2, 8, 13, 64])
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 8])
def test_each_group_has_one_worker_and_the_numbers_of_groups_per_worker_differ_by_at_most_one(groups: int, workers: int) -> None:
    groups_by_worker = [groups_of_subtask(context(worker, workers), groups) for worker in range(workers)]
    assert [group for own in groups_by_worker for group in own] == list(range(groups))
    assert max(map(len, groups_by_worker)) - min(map(len, groups_by_worker)) <= 1


class ValueState:
    """A state of Flink that holds one value."""

    def __init__(self) -> None:
        self._value: int | None = None

    def value(self) -> int | None:
        return self._value

    def update(self, value: int) -> None:
        self._value = value


@contextmanager
def poller(project: Project, states: dict[str, ValueState]) -> Iterator[Any]:
    """Open a poller with states by name, as a worker that starts does."""
    from trueup.jobs.reconcile_stream import Poll  # PyFlink imports modules that are deprecated.

    poll = Poll(StreamOptions(str(project.directory), groups=1, clock=lake_fixture.clock))
    context: Any = SimpleNamespace(get_state=lambda descriptor: states.setdefault(descriptor.name, ValueState()))
    poll.open(context)
    try:
        yield poll
    finally:
        poll.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_job_that_starts_without_a_state_begins_after_the_committed_position_however_long_it_waits(tmp_path: Path) -> None:
    log, rows = random_log("idle", size=4)
    project = project_with(tmp_path, log, rows, len(log) - 1)
    reconcile_little(project, clock=lake_fixture.clock)
    with poller(project, {}) as poll:
        assert [list(poll.process_element(0, None)) for _ in range(2)] == [[], []]
        append(project, log, rows, len(log), len(log))
        assert list(poll.process_element(0, None)) == [(0, len(log) - 1, len(log))]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_job_refuses_the_state_of_a_lake_that_was_restored_and_continued(tmp_path: Path) -> None:
    log, rows = random_log("restored", size=4)
    project = project_with(tmp_path, log, rows, len(log))
    reconcile_little(project, clock=lake_fixture.clock)
    states: dict[str, ValueState] = {}
    for _ in range(2):
        with poller(project, states) as poll:
            assert list(poll.process_element(0, None)) == []
    states["position_time_us"].update(1)
    with poller(project, states) as poll, pytest.raises(LogError, match="--fresh"):
        list(poll.process_element(0, None))
