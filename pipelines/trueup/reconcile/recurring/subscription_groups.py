"""Subscription groups: subscriptions of which one record has contents, which must be evaluated together.

Several subscriptions share a bucket key where an account decides the bucket. A charge may then arrive for one subscription, and
again or corrected for another one. All contents of the record decide which of them counts.

Record r has contents of a and b, record t of b and c:

>>> contents = pl.DataFrame({"subscriber": ["a", "b", "b", "c", "d"], "record": ["r", "r", "t", "t", "u"]})
>>> groups = subscription_groups(contents, ["record"])
>>> groups.sort("subscriber").rows()
[('a', 'a'), ('b', 'a'), ('c', 'a')]
>>> with_groups(pl.Series("subscriber", ["d", "c"]), groups).sort("subscriber").rows()
[('a', 'a'), ('b', 'a'), ('c', 'a'), ('d', 'd')]
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def subscription_groups(contents: pl.DataFrame, record: Sequence[str]) -> pl.DataFrame:
    """Return the subscriptions that share a record with another one: `subscriber`, and `group`, the least subscriber of them.

    `contents` are the contents of charges: `subscriber`, and the columns of `record`, which identify the record.
    """
    owned = contents.select("subscriber", *record).drop_nulls("subscriber").unique()
    shared = owned.filter(pl.col("subscriber").n_unique().over(record) > 1).with_columns(group="subscriber")
    while True:
        least = shared.with_columns(pl.col("group").min().over(record)).with_columns(pl.col("group").min().over("subscriber"))
        if least["group"].equals(shared["group"]):
            return least.select("subscriber", "group").unique()
        shared = least


def with_groups(subscribers: pl.Series, groups: pl.DataFrame) -> pl.DataFrame:
    """Return subscriptions and all others of their groups (`subscriber`, `group`); one that shares no record is its own group."""
    own = subscribers.unique().to_frame("subscriber").join(groups, on="subscriber", how="left")
    alone = own.filter(pl.col("group").is_null()).with_columns(group="subscriber")
    return pl.concat([alone, groups.join(own.select("group").drop_nulls().unique(), on="group", how="semi")])
