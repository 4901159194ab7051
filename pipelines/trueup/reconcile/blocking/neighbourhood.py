"""The neighbour rule: the parties and times at which a unit can be matched.

A unit (a session, or a charge group) takes its party from its first record and its start from its earliest main record. These may
be two different records, and which record is first is known only after all have arrived. So the rule pairs every party of the
unit's records with every time of them. Components, blocking keys, the fast path and the reader of the log all use these pairs.

The SQL form of the rule is coarser. `log_io/affected_neighbours.sql` reads every record with a session key, whatever its service:
another record of its session may have a service that is matched. A test holds that query to this module.

A session with two records of two subscribers gives four pairs of party and time. A session with one party gives only its own
records:

>>> import polars as pl
>>> records = pl.DataFrame({"session": [1, 1, 2], "subscriber": ["a", "b", "c"], "time_us": [10, 20, 30]})
>>> pairs = with_party_time_pairs(records, unit=["session"], party=["subscriber"], times=["time_us"])
>>> sorted(set(pairs.rows()))
[(1, 'a', 10), (1, 'a', 20), (1, 'b', 10), (1, 'b', 20), (2, 'c', 30)]
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def units_of_several_parties(rows: pl.DataFrame, *, unit: Sequence[str], party: Sequence[str]) -> pl.DataFrame:
    """Return the units (columns `unit`) whose records differ in a column of their party; NULL is a value of its own."""
    parties = rows.select(*unit, *party).unique()
    return parties.group_by(*unit).len().filter(pl.col("len") > 1).select(*unit)


def party_time_pairs(rows: pl.DataFrame, *, unit: Sequence[str], party: Sequence[str], times: Sequence[str]) -> pl.DataFrame:
    """Return every party with every time of the units that have several parties, with all columns of `rows`.

    All columns except `times` belong to the party. Units of one party add no rows, because their records are their pairs.
    """
    units = units_of_several_parties(rows, unit=unit, party=party)
    if units.is_empty():
        return rows.clear()
    ambiguous = rows.join(units, on=list(unit), how="semi")
    parties, instants = ambiguous.drop(times).unique(), ambiguous.select(*unit, *times).unique()
    return parties.join(instants, on=list(unit)).select(rows.columns)


def with_party_time_pairs(rows: pl.DataFrame, *, unit: Sequence[str], party: Sequence[str], times: Sequence[str]) -> pl.DataFrame:
    """Add the `party_time_pairs` of `rows` to them; a pair that is a record itself may occur twice."""
    pairs = party_time_pairs(rows, unit=unit, party=party, times=times)
    return rows if pairs.is_empty() else pl.concat([rows, pairs])
