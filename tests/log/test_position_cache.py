"""Position cache: known positions are not read again."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.config import Project
from trueup.errors import LogError
from trueup.log.lake import Lake, Transaction
from trueup.log.position_cache import PositionCache

SHAPE = {"position": pl.Int64, "snapshot_id": pl.Int64}


def log_of(newest: int) -> pl.DataFrame:
    return pl.DataFrame([(p, 3 * p) for p in range(1, newest + 1)], schema=SHAPE, orient="row")


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=12))
def test_any_sequence_of_ranges_in_a_growing_log_returns_the_existing_positions(ranges: list[tuple[int, int, int]]) -> None:
    cache, newest = PositionCache(), 0
    for first, second, growth in ranges:
        newest += growth
        after, upto = sorted((first, second))
        rows = log_of(newest)
        cache = cache.extend(after, upto, lambda a, b, rows=rows: rows.filter(pl.col("position").is_between(a + 1, b)))
        expected = rows.filter(pl.col("position").is_between(after + 1, upto))
        assert cache.slice(after, upto).rows() == expected.rows()


def test_known_positions_are_not_read_again() -> None:
    ranges: list[tuple[int, int]] = []

    def read(after: int, upto: int) -> pl.DataFrame:
        ranges.append((after, upto))
        return log_of(9).filter(pl.col("position").is_between(after + 1, upto))

    cache = PositionCache()
    for after, upto in ((3, 5), (4, 5), (4, 7), (1, 6), (0, 9), (2, 8)):
        cache = cache.extend(after, upto, read)
    assert ranges == [(3, 5), (5, 7), (1, 3), (0, 1), (7, 9)]


def test_a_position_is_known_only_once_it_is_committed(project: Project) -> None:
    Lake.create(project)
    with Lake.open(project) as lake:

        def fails(transaction: Transaction) -> None:
            lake.snapshot_of(transaction.declare("tick"))

        with pytest.raises(LogError, match="there is no position 1"):
            lake.commit(fails)
        lake.commit(lambda transaction: transaction.set_consumer_position("consumer", 0))
        assert lake.commit(lambda transaction: transaction.declare("tick")) == 1
        assert lake.read("declaration", columns=["kind"]).rows() == [("tick", 1)]
