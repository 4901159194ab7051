"""What the operators of the continuous job have in common: a lake of their own, for as long as they run, and who works on what."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from pyflink.common import Types
from pyflink.datastream import RuntimeContext
from pyflink.java_gateway import get_gateway

from trueup.config import Project
from trueup.jobs.options import StreamOptions
from trueup.log.damage import damage_behind, failures
from trueup.log.lake import Lake

MOST_WORKERS = 128
"""The most workers an operator can ever have: Flink divides keys among so many parts, and those among the workers there are."""
BYTES, TEXT, NUMBER, POSITION = Types.PRIMITIVE_ARRAY(Types.BYTE()), Types.STRING(), Types.INT(), Types.LONG()


class LakeOperator:
    """An operator with the options of the job; what it opens is closed with it.

    Where a damaged file of the lake makes it fail, the error names that file.
    """

    def __init__(self, options: StreamOptions) -> None:
        self._options = options

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in {"open", "process_element"} & cls.__dict__.keys():
            setattr(cls, name, _naming_damage(cls.__dict__[name]))

    def opened(self, *, read_only: bool = True) -> Lake:
        """The lake, open until the operator ends."""
        self._open = ExitStack()
        project = Project.load(self._options.project)
        return self._open.enter_context(Lake.open(project, read_only=read_only, clock=self._options.clock))

    def close(self) -> None:
        """Closes the lake."""
        self._open.close()


def _naming_damage(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of an operator that turns what a damaged file causes into the error that names it."""

    def translated(operator: Any, error: Any) -> BaseException:
        return damage_behind(Project.load(operator._options.project), error) or error

    @functools.wraps(method)
    def of_all(self: Any, *values: Any) -> Iterator[Any]:
        try:
            yield from method(self, *values)
        except failures() as error:
            raise translated(self, error) from None

    @functools.wraps(method)
    def of_one(self: Any, *values: Any) -> Any:
        try:
            return method(self, *values)
        except failures() as error:
            raise translated(self, error) from None

    return of_all if inspect.isgeneratorfunction(method) else of_one


def single_key(_: Any) -> int:
    """The key of whatever one worker does for all."""
    return 0


def key_group_of(group: int, groups: int) -> int:
    """Which part of Flink's a group belongs to, so that neighbours are together however many workers there are."""
    return group * MOST_WORKERS // groups


def groups_of_subtask(context: RuntimeContext, groups: int) -> list[int]:
    """The groups that one worker of an operator has: neighbours, and as many as the others have."""
    worker, workers = context.get_index_of_this_subtask(), context.get_number_of_parallel_subtasks()
    return [group for group in range(groups) if key_group_of(group, groups) * workers // MOST_WORKERS == worker]


def keys_per_group(groups: int) -> tuple[int, ...]:
    """A key for each group, by which Flink gives it to the worker of `groups_of`: it spreads keys by hash, hence unevenly."""
    jvm = get_gateway().jvm
    wanted: dict[int, list[int]] = {}
    for group in range(groups):
        wanted.setdefault(key_group_of(group, groups), []).append(group)
    keys, numbers = dict[int, int](), itertools.count()
    while len(keys) < groups:
        key = next(numbers)
        row = jvm.org.apache.flink.types.Row(1)
        row.setField(0, key)
        part = jvm.org.apache.flink.runtime.state.KeyGroupRangeAssignment.assignToKeyGroup(row, MOST_WORKERS)
        if wanted.get(part):
            keys[wanted[part].pop()] = key
    return tuple(keys[group] for group in range(groups))
