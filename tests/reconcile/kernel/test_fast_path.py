"""The fast path finds neighbours and duplicates by sorted hashes; it may find too many, never too few."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from trueup.reconcile.domain.record_hashes import is_duplicated
from trueup.reconcile.kernel.fast_path import _neighbour_mask

# Some of these party hashes share their upper half. The times are so far apart that a unit of the sort order exceeds a microsecond.
PARTIES = st.sampled_from([1, 2, 3 << 32, (3 << 32) + 1, 5 << 32])
TIMES = st.integers(0, 20) | st.integers(2**40, 2**40 + 20)
ROW = st.tuples(PARTIES, TIMES, st.integers(0, 4))
TOLERANCE_US = 3


def has_neighbour(rows: list[tuple[int, int, int]]) -> list[bool]:
    schema = {"party": pl.UInt64, "time_us": pl.Int64, "session": pl.UInt64}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(tolerance_us=pl.lit(TOLERANCE_US, pl.Int64))
    return _neighbour_mask(frame).tolist()


@given(st.lists(ROW, max_size=12))
@example([(1, 4, 0), (1, 2**40, 0), (1, 0, 0), (3 << 32, 0, 0), (1, 1, 1), (1, 0, 1)])
def test_a_session_within_the_tolerance_of_another_of_its_party_has_a_row_with_a_neighbour(
    rows: list[tuple[int, int, int]],
) -> None:
    flagged = has_neighbour(rows)
    for party, time_us, session in rows:
        others = [s for p, t, s in rows if p == party and s != session and abs(t - time_us) <= TOLERANCE_US]
        own = [n for n, (p, _, s) in enumerate(rows) if p == party and s == session]
        assert not others or any(flagged[n] for n in own)


def test_records_of_different_parties_or_distant_times_have_no_neighbours() -> None:
    assert has_neighbour([(1, 0, 1), (1, 100, 2), (1, 100, 2), (5 << 32, 100, 3)]) == [False] * 4
    assert has_neighbour([(1, 0, 1), (1, 3, 2), (1, 7, 3)]) == [True, True, False]
    assert has_neighbour([(1, 5, 1), (2, 2**35, 2)]) == [True, True], (
        "parties with the same upper half of the hash may leave the fast path"
    )
    assert has_neighbour([]) == []


@given(st.lists(st.integers(0, 6)))
def test_a_hash_that_occurs_twice_is_duplicated(numbers: list[int]) -> None:
    assert is_duplicated(np.array(numbers, dtype=np.uint64)).tolist() == [numbers.count(n) > 1 for n in numbers]
