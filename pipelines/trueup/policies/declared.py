"""The policies of a log: declare one when a setting that decides findings changes, and read all in order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from trueup.log.lake import Lake, Transaction
from trueup.log.ticks import superseded_ticks
from trueup.policies.policy import Policies, Policy


def ensure_policy(lake: Lake) -> int | None:
    """Declare the project's policy when it differs from the policy in force; return its position, None when nothing changed.

    A policy is in force from its position on: earlier history stays as it was computed.
    """
    content = Policy.of(lake.project.config).content()

    def declare(transaction: Transaction) -> int | None:
        declared = _read_contents(lake, upto=None)
        if declared and declared[-1][1] == content:
            return None
        return transaction.declare("policy", content=content)

    known = _read_contents(lake, upto=None)
    return None if known and known[-1][1] == content else lake.commit(declare)


def read_policies(lake: Lake, upto: int) -> Policies:
    """Return the policies in force up to a position.

    The first policy also applies to earlier positions. In a log without a policy, that of its configuration applies. Where a
    tick is superseded, the same policy comes into force without it. Findings that the tick decided are evaluated again, and change
    with the cause `policy_change`.
    """
    rows = lake.read("declaration", columns=["kind", "content"])
    declared = [Policy.from_content(position, content) for position, content in _parse_contents(rows)]
    known = [p for p in declared if p.position <= upto] or declared[:1]
    superseded = superseded_ticks(rows.filter(pl.col("position") <= upto))
    return Policies(without_void_ticks(known or [Policy.of(lake.project.config)], superseded))


def without_void_ticks(policies: Sequence[Policy], superseded: Mapping[int, frozenset[int]]) -> list[Policy]:
    """Return the policies with their void ticks; add a policy at each position where a tick is superseded.

    `superseded` has the positions of the ticks by the position that supersedes them.
    """
    if not superseded:
        return list(policies)
    ordered = sorted(policies, key=lambda policy: policy.position)
    # The first policy also applies to earlier positions, where no tick is void yet.
    ordered = [replace(ordered[0], position=0), *ordered] if ordered[0].position > min(superseded) else ordered
    in_force: dict[int, Policy] = {policy.position: policy for policy in ordered}
    for position in sorted(superseded.keys() - in_force.keys()):
        before = max(start for start in in_force if start < position)
        in_force[position] = replace(in_force[before], position=position)
    void = {position: frozenset[int]().union(*(t for at, t in superseded.items() if at <= position)) for position in in_force}
    return [replace(policy, void_ticks=void[position]) for position, policy in sorted(in_force.items())]


def _read_contents(lake: Lake, upto: int | None) -> list[tuple[int, dict[str, object]]]:
    return _parse_contents(lake.read("declaration", columns=["kind", "content"], upto=upto))


def _parse_contents(rows: pl.DataFrame) -> list[tuple[int, dict[str, object]]]:
    declared = rows.filter(pl.col("kind") == "policy").sort("position")
    return [(position, json.loads(content)) for position, content in declared.select("position", "content").iter_rows()]
