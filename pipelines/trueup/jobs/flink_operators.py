"""Common parts of the Flink operators: an open lake per operator, and the division of bucket groups among workers."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from pyflink.common import Types
from pyflink.datastream import RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor
from pyflink.java_gateway import get_gateway

from trueup.config import Project
from trueup.jobs.options import StreamOptions
from trueup.log.damage import damage_behind, failures
from trueup.log.lake import Lake

MOST_WORKERS = 128
"""Largest possible number of workers of an operator: Flink's number of key groups, which it divides among the workers."""
BYTES, TEXT, NUMBER, POSITION = Types.PRIMITIVE_ARRAY(Types.BYTE()), Types.STRING(), Types.INT(), Types.LONG()


class LakeOperator:
    """Base of an operator that has the options of the job and a lake, which it closes at its end.

    Where a damaged file of the lake makes the operator fail, the error names that file.
    """

    def __init__(self, options: StreamOptions) -> None:
        self._options = options

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in {"open", "process_element"} & cls.__dict__.keys():
            setattr(cls, name, _with_damage_named(cls.__dict__[name]))

    def open_lake(self, *, read_only: bool = True) -> Lake:
        """Open the lake until the operator ends."""
        self._open = ExitStack()
        project = Project.load(self._options.project)
        return self._open.enter_context(Lake.open(project, read_only=read_only, clock=self._options.clock))

    def close(self) -> None:
        """Close the lake."""
        self._open.close()


class StoredPosition:
    """The position of a poller in its Flink state, and when the lake committed it."""

    def __init__(self, context: RuntimeContext) -> None:
        self._position = context.get_state(ValueStateDescriptor("position", POSITION))
        self._time_us = context.get_state(ValueStateDescriptor("position_time_us", POSITION))

    def value(self) -> int | None:
        """Return the position; None before the first."""
        position: int | None = self._position.value()
        return position

    def time_us(self) -> int | None:
        """Return when the lake committed the position, in µs since 1970; None in a state of an earlier version."""
        time_us: int | None = self._time_us.value()
        return time_us

    def update(self, lake: Lake, position: int) -> None:
        """Store a position."""
        self._position.update(position)
        self._time_us.update(lake.commit_time_us(position))


def _with_damage_named(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method of an operator so that a failure due to a damaged file names that file."""

    def translate(operator: Any, error: Any) -> BaseException:
        return damage_behind(Project.load(operator._options.project), error) or error

    @functools.wraps(method)
    def generator(self: Any, *values: Any) -> Iterator[Any]:
        try:
            yield from method(self, *values)
        except failures() as error:
            raise translate(self, error) from None

    @functools.wraps(method)
    def function(self: Any, *values: Any) -> Any:
        try:
            return method(self, *values)
        except failures() as error:
            raise translate(self, error) from None

    return generator if inspect.isgeneratorfunction(method) else function


def single_key(_: Any) -> int:
    """Return one key for all elements, which sends them to one worker."""
    return 0


def key_group_of(group: int, groups: int) -> int:
    """Return the Flink key group of a bucket group; adjacent bucket groups stay together for any number of workers."""
    return group * MOST_WORKERS // groups


def groups_of_subtask(context: RuntimeContext, groups: int) -> list[int]:
    """Return the adjacent bucket groups of one worker; the numbers of two workers differ by at most one."""
    worker, workers = context.get_index_of_this_subtask(), context.get_number_of_parallel_subtasks()
    return [group for group in range(groups) if key_group_of(group, groups) * workers // MOST_WORKERS == worker]


def keys_per_group(groups: int) -> tuple[int, ...]:
    """Return a key for each bucket group that Flink routes to the worker of `groups_of_subtask`.

    Flink distributes keys by their hash, which is uneven, so these keys are chosen by their hash.
    """
    jvm = get_gateway().jvm
    groups_without_key: dict[int, list[int]] = {}
    for group in range(groups):
        groups_without_key.setdefault(key_group_of(group, groups), []).append(group)
    keys, numbers = dict[int, int](), itertools.count()
    while len(keys) < groups:
        key = next(numbers)
        row = jvm.org.apache.flink.types.Row(1)
        row.setField(0, key)
        key_group = jvm.org.apache.flink.runtime.state.KeyGroupRangeAssignment.assignToKeyGroup(row, MOST_WORKERS)
        if groups_without_key.get(key_group):
            keys[groups_without_key[key_group].pop()] = key
    return tuple(keys[group] for group in range(groups))
