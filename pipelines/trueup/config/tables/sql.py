"""`[sql]`: bounds of one query of `trueup sql`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trueup.config.values import Size, Table, TimeLimit
from trueup.units import MICROS


class SqlConfig(Table):
    """`[sql]`: the time, memory and threads that one query of `trueup sql` may use.

    `timeout` covers the query and the writing of its answer. `memory` is what DuckDB may hold before it spills to temporary files,
    `temp` how much it may spill. `threads` is reduced to the number of the machine's processors.
    """

    timeout: TimeLimit = 5 * 60 * MICROS
    memory: Size = 2 << 30
    temp: Size = 10 << 30
    threads: Annotated[int, Field(ge=1, le=1024)] = 4
