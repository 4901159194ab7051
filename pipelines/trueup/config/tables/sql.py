"""`[sql]`: bounds of one query of `trueup sql`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trueup.config.values import Size, Table, TimeLimit, Whole
from trueup.units import MICROS


class SqlConfig(Table):
    """`[sql]`: the time, memory and threads that one query of `trueup sql` may use.

    `timeout` covers the query and the writing of its answer. `memory` is the memory that DuckDB may use before it writes to
    temporary files, `temp` the space that these may take. A query uses at most as many threads as the machine has processors.
    """

    timeout: TimeLimit = 5 * 60 * MICROS
    """The time for a query and the writing of its answer."""
    memory: Size = 2 << 30
    """The memory that DuckDB may use before it writes to temporary files."""
    temp: Size = 10 << 30
    """The space that temporary files may take."""
    threads: Annotated[Whole, Field(ge=1, le=1024)] = 4
    """The maximum number of threads of a query."""
