"""Bounds of one question: time, memory, threads and temporary files, and the error that names an exceeded bound.

DuckDB enforces memory, threads and temporary files itself, once `guard.lock` has set them. DuckDB has no time limit, so another
thread interrupts the query. DuckDB does not count the memory of long values and of rows on their way to the output. `parts` bounds
the rows that become Python values at once; on Linux `process_within` bounds the data of the whole process.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb
from pydantic import ByteSize

from trueup.config import SqlConfig, size_bytes, time_limit_us
from trueup.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

INTERRUPT_EVERY_S, LOOK_EVERY_S = 0.05, 0.2
OVERDUE_AFTER_S = 5.0
"""How long an interrupted query may run on: DuckDB does not look for interrupts within one call of a function."""
PART_WEIGHT = 16 << 20
"""Estimated bytes of Python values that rows become at once, unless one row has more."""
PER_VALUE, PER_BYTE = 120, 6
"""Most bytes that a value, and each byte of the value, takes as Python value and as output text."""
_LONGEST_WAIT_S = 3600.0
_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1))
_GIB = 1 << 30


def bounds_of(config: SqlConfig, *, timeout: str | None = None, memory: str | None = None) -> SqlConfig:
    """Return the bounds of `[sql]` with `--timeout` and `--memory` applied; raises `QueryError` that names a wrong option."""
    bounds = config
    for field, text, read in (("timeout", timeout, time_limit_us), ("memory", memory, size_bytes)):
        if text is None:
            continue
        try:
            bounds = bounds.model_copy(update={field: read(text)})
        except ValueError as error:
            raise QueryError(str(error), where=f"--{field}") from None
    return bounds


class TimeLimit:
    """The time limit of one question, from its construction on: a context whose thread interrupts the connection at the end.

    The thread calls `overdue` when the query still runs `OVERDUE_AFTER_S` later: then only the process can end it.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, bounds: SqlConfig, overdue: Callable[[QueryError], None] | None = None
    ) -> None:
        self._connection, self._bounds, self._overdue = connection, bounds, overdue
        self._end = time.monotonic() + bounds.timeout / 1e6
        self._over, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._interrupt, name="time limit", daemon=True)

    def __enter__(self) -> TimeLimit:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def is_over(self) -> bool:
        """Whether the time has passed and the query is being interrupted."""
        return self._over.is_set()

    def check(self) -> None:
        """Raise `QueryError` once the time has passed, because between two batches there is no query to interrupt."""
        if self.is_over:
            raise too_long(self._bounds)

    def _interrupt(self) -> None:
        while (remaining := self._end - time.monotonic()) > 0:
            if self._done.wait(min(remaining, _LONGEST_WAIT_S)):
                return
        self._over.set()
        give_up = self._overdue
        while not self._done.is_set():
            # Interrupt repeatedly, because the next call of DuckDB ignores an interrupt before it.
            self._connection.interrupt()
            if give_up is not None and time.monotonic() > self._end + OVERDUE_AFTER_S:
                give_up(too_long(self._bounds))
                give_up = None
            self._done.wait(INTERRUPT_EVERY_S)


def interruptible(connection: duckdb.DuckDBPyConnection, call: Callable[[], T]) -> T:
    """Run a call of DuckDB in another thread, so that Ctrl-C reaches this one and interrupts the query."""
    with ThreadPoolExecutor(1, "query") as pool:
        result = pool.submit(call)
        try:
            # The signal handler that Polars installs restarts a wait without an end: Python would see the signal only after it.
            while not wait([result], LOOK_EVERY_S).done:
                pass
        except KeyboardInterrupt:
            connection.interrupt()
            raise
    return result.result()


@contextmanager
def process_within(bounds: SqlConfig) -> Iterator[None]:
    """Limit the growth of the process's data to twice `memory` plus 1 GiB, on Linux; elsewhere do nothing.

    Meant for a process that only answers one question. DuckDB does not count what functions allocate for long values: `repeat('x',
    1_000_000_000)` takes gigabytes under any memory limit.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    known = [limit for limit in before if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([_measure_data_bytes() + 2 * bounds.memory + _GIB, *known]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _measure_data_bytes() -> int:
    """Return the size of this process's data, as Linux counts it against `RLIMIT_DATA`."""
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:"))


def parts(batch: pa.RecordBatch, bounds: SqlConfig) -> Iterator[pa.RecordBatch]:
    """Divide a batch into parts that are small as Python values; raises `QueryError` for one row larger than `memory`."""
    weight = weight_bytes(batch)
    if weight <= PART_WEIGHT or (batch.num_rows == 1 and weight <= bounds.memory):
        yield batch
    elif batch.num_rows == 1:
        raise too_large("one row takes", weight, bounds)
    else:
        half = batch.num_rows // 2
        yield from parts(batch.slice(0, half), bounds)
        yield from parts(batch.slice(half), bounds)


def weight_bytes(batch: pa.RecordBatch) -> int:
    """Estimate from above how many bytes a batch takes as Python values and text."""
    return sum(_estimate_bytes(column) for column in batch.columns)


def too_large(what: str, weight: int, bounds: SqlConfig) -> QueryError:
    """Return the error of rows that are larger than the memory limit."""
    return QueryError(
        f"{what} some {ByteSize(weight).human_readable()}, more than the memory limit of {size_text(bounds.memory)}",
        todo="select less of it, or raise --memory, or `memory` of [sql] in trueup.toml",
    )


def _estimate_bytes(values: pa.Array) -> int:
    """Estimate from above how many bytes these values take as Python values and text."""
    from pyarrow import types  # A command without a query starts sooner without it.

    kind, own = values.type, PER_VALUE * len(values)
    if types.is_dictionary(kind):
        return _estimate_bytes(values.dictionary_decode())
    if types.is_struct(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = values.flatten()
        return own + sum(_estimate_bytes(one) for one in (inner if isinstance(inner, list) else [inner]))
    if types.is_map(kind):
        return own + _estimate_bytes(values.keys) + _estimate_bytes(values.items)
    return own + PER_BYTE * int(values.nbytes)


@contextmanager
def naming_limits(bounds: SqlConfig, time_limit: TimeLimit) -> Iterator[None]:
    """Turn an error of DuckDB or Python about a limit into a `QueryError` that names the limit and how to raise it."""
    try:
        yield
    except (duckdb.Error, MemoryError) as error:
        exceeded = _exceeded_error(error, bounds, time_limit)
        if exceeded is None:
            raise
        raise exceeded from None


def _exceeded_error(error: Exception, bounds: SqlConfig, time_limit: TimeLimit) -> QueryError | None:
    text = str(error)
    if time_limit.is_over and text.startswith("INTERRUPT Error"):
        return too_long(bounds)
    if text.startswith("IO Error") and "No space left on device" in text:
        return QueryError(
            "there is no space left on the disk for the query's temporary files", todo="set TMPDIR to a folder on a larger disk"
        )
    if not text.startswith("Out of Memory Error") and not isinstance(error, MemoryError):
        return None
    if "max_temp_directory_size" in text:
        return QueryError(
            f"the query needs more than its limit of {size_text(bounds.temp)} for temporary files",
            todo="ask for less, raise --memory so that less is spilled, or raise `temp` of [sql] in trueup.toml",
        )
    return QueryError(
        f"the query needs more than its memory limit of {size_text(bounds.memory)}",
        todo="ask for less, or raise --memory, or `memory` of [sql] in trueup.toml",
    )


def too_long(bounds: SqlConfig) -> QueryError:
    """Return the error of a question that exceeds its time limit."""
    return QueryError(
        f"the query takes longer than its time limit of {time_text(bounds.timeout)}",
        todo="ask for less, or raise --timeout, or `timeout` of [sql] in trueup.toml",
    )


def time_text(limit_us: int) -> str:
    """Write a duration as a person would, such as `5m`."""
    unit, size = next((unit, size) for unit, size in _UNITS if limit_us % size == 0)
    return f"{limit_us // size}{unit}"


def size_text(size: int) -> str:
    """Write a size as a person would, such as `2GiB`."""
    for unit, factor in (("GiB", _GIB), ("MiB", 1 << 20), ("GB", 10**9), ("MB", 10**6)):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"
