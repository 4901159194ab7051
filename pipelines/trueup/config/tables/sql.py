"""`[sql]`: bounds of one query of `trueup sql`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trueup.config.values import Size, Table, TimeLimit, Whole
from trueup.units import MICROS


class SqlConfig(Table):
    """`[sql]`: the time, memory and threads that one query of `trueup sql` may use.

    `timeout` covers the query and the writing of its answer. `memory` is what DuckDB may hold before it spills to temporary files,
    `temp` how much it may spill. `threads` is reduced to the number of the machine's processors.
    """

    timeout: TimeLimit = 5 * 60 * MICROS
    """The time for a query and the writing of its answer."""
    memory: Size = 2 << 30
    """What DuckDB may hold before it spills."""
    temp: Size = 10 << 30
    """How much DuckDB may spill to temporary files."""
    threads: Annotated[Whole, Field(ge=1, le=1024)] = 4
    """The most threads of a query."""
