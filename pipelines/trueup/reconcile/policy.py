"""The policies of a log: declared when what decides findings changes, read back in order."""

from __future__ import annotations

import json

import polars as pl

from trueup.log.lake import Lake, Transaction
from trueup.reconcile.rules import Policies, Policy


def ensure_policy(lake: Lake) -> int | None:
    """Declares the project's policy when it differs from the one in force; returns its position, None when nothing changed.

    What a finding means is thereby in force from a position on: history before it stays as it was computed.
    """
    wanted = Policy.of(lake.project.config).content()

    def declare(transaction: Transaction) -> int | None:
        standing = _contents(lake, upto=None)
        if standing and standing[-1][1] == wanted:
            return None
        return transaction.declare("policy", content=wanted)

    standing = _contents(lake, upto=None)
    return None if standing and standing[-1][1] == wanted else lake.commit(declare)


def policies_of(lake: Lake, upto: int) -> Policies:
    """The policies in force up to a position.

    What came before the first is under the first, however early one asks; a log without any is under that of its configuration.
    """
    declared = [Policy.from_content(position, content) for position, content in _contents(lake, None)]
    known = [p for p in declared if p.position <= upto] or declared[:1]
    return Policies(known or [Policy.of(lake.project.config)])


def _contents(lake: Lake, upto: int | None) -> list[tuple[int, dict[str, object]]]:
    rows = lake.read("declaration", columns=["kind", "content"], upto=upto)
    declared = rows.filter(pl.col("kind") == "policy").sort("position")
    return [(position, json.loads(content)) for position, content in declared.select("position", "content").iter_rows()]
