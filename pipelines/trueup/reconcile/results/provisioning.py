"""Provisioning: compare the subscriptions that the network serves with those that billing charges.

An *interval* is a time in which the two systems disagree about one subscription. `active_not_billed`: the network serves it and
billing does not have it active. `billed_not_active`: billing has it active and the network does not serve it. `plan_mismatch`:
both have it active on different plans. A finding is raised once usage has passed the interval's beginning and the provisioning
grace. An interval that ended within the grace raises none. The findings have no money: usage and charges have bookings of their
own.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.localtime import local_day
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import SUBSCRIBER_CHANGE, SYSTEMS, Terms
from trueup.reconcile.results.finding_rows import BOOKING_MONEY, CHARGED_ITEM, HISTORY, ORDER, with_finding_ids

ACTIVE_NOT_BILLED, BILLED_NOT_ACTIVE, PLAN_MISMATCH = "active_not_billed", "billed_not_active", "plan_mismatch"
_WHO = ["subscriber", "at"]
_DISAGREEMENT = ["subscriber", "kind", "from_us"]


def provisioning(terms: Terms, frontier: Frontier, *, after: int, upto: int) -> pl.DataFrame:
    """Return the changes of provisioning findings at positions in (after, upto], as rows of `HISTORY`."""
    both_since = max(terms.billing_since, terms.network_since)
    if terms.disputed_states.is_empty() or both_since > upto:
        return pl.DataFrame(schema=HISTORY)
    points = _find_evaluation_points(terms.disputed_states, frontier, both_since, upto)
    # Earlier points are needed only for subscriptions whose findings can change now.
    points = points.join(points.filter(pl.col("at") > after).select("subscriber").unique(), on="subscriber", how="semi")
    if points.is_empty():
        return pl.DataFrame(schema=HISTORY)
    return _compare_points(_find_disagreements(terms.disputed_states, points, frontier), points, terms, frontier, after)


def _find_evaluation_points(states: pl.DataFrame, frontier: Frontier, both_since: int, upto: int) -> pl.DataFrame:
    """Return the positions (`subscriber`, `at`) at which a subscription's findings can change, once both systems are known."""
    known = pl.concat([states.select("subscriber", at="since"), states.select("subscriber", at="until")])
    edges = _find_edges(states)
    passed = [
        _with_passed_position(edges, frontier, n).select("subscriber", at="passed") for n in range(len(frontier.policies.all))
    ]
    shared = pl.DataFrame({"at": [both_since, *frontier.policies.starts.tolist()]}, schema={"at": pl.Int64})
    for_all = states.select("subscriber").unique().join(shared, how="cross")
    return pl.concat([known, *passed, for_all]).unique().filter(pl.col("at").is_between(both_since, upto))


def _find_edges(states: pl.DataFrame) -> pl.DataFrame:
    """Return the instants at which a subscription's state may change in either system."""
    return pl.concat([states.select("subscriber", "from_us"), states.select("subscriber", from_us="to_us")]).drop_nulls().unique()


def _with_passed_position(edges: pl.DataFrame, frontier: Frontier, policy: int) -> pl.DataFrame:
    """Add `passed`, the position at which usage has passed each instant and the provisioning grace, under one policy."""
    instants = edges["from_us"].to_numpy()
    grace = np.full(len(instants), frontier.policies.all[policy].provisioning_grace_us)
    usage, number = np.zeros(len(instants), dtype=np.bool_), np.full(len(instants), policy)
    return edges.with_columns(passed=pl.Series(frontier.passed_at(usage, instants, grace, grace, number), dtype=pl.Int64))


def _find_disagreements(states: pl.DataFrame, points: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Return the intervals known at each point: (`subscriber`, `at`, `kind`, `from_us`, `to_us`, `reason`)."""
    known = points.join(states, on="subscriber").filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")))
    edges = pl.concat([known.select(*_WHO, "from_us"), known.select(*_WHO, from_us="to_us")]).drop_nulls().unique()
    line = edges.sort(*_WHO, "from_us")
    for system in SYSTEMS:
        line = line.join(_find_state(line, known.filter(pl.col("system") == system)), on=[*_WHO, "from_us"], how="left").rename(
            {"plan": f"{system}_plan", "active": f"{system}_active"}
        )
    network, billing = pl.col("network_active").fill_null(False), pl.col("billing_active").fill_null(False)
    kind = (
        pl.when(network & ~billing).then(pl.lit(ACTIVE_NOT_BILLED)).when(billing & ~network).then(pl.lit(BILLED_NOT_ACTIVE))
        .when(network & (pl.col("network_plan").ne_missing(pl.col("billing_plan")))).then(pl.lit(PLAN_MISMATCH))
    )  # fmt: skip
    plans = pl.format("network {}, billing {}", pl.col("network_plan").fill_null("none"), pl.col("billing_plan").fill_null("none"))
    classified = line.sort(*_WHO, "from_us").with_columns(kind=kind).with_columns(reason=pl.when(kind == PLAN_MISMATCH).then(plans))
    same_as_before = pl.all_horizontal(pl.col(n).eq_missing(pl.col(n).shift(1)) for n in (*_WHO, "kind", "reason"))
    runs = classified.with_columns(run=(~same_as_before.fill_null(False)).cum_sum())
    following = pl.col("from_us").shift(-1).over(_WHO)
    intervals = (
        runs.with_columns(to_us=following).group_by("run", maintain_order=True)
        .agg(pl.col(*_WHO, "kind", "reason", "from_us").first(), pl.col("to_us").last()).drop_nulls("kind").drop("run")
    )  # fmt: skip
    return _select_past_grace(intervals, frontier)


def _find_state(line: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """Return `plan` and `active` of one system at each (subscriber, at, instant)."""
    begun = (
        line.select(*_WHO, "from_us").join(states, on=_WHO, suffix="_state").filter(pl.col("from_us_state") <= pl.col("from_us"))
    )
    last = begun.sort(*_WHO, "from_us", "from_us_state").unique([*_WHO, "from_us"], keep="last", maintain_order=True)
    ended = (pl.col("to_us") <= pl.col("from_us")).fill_null(False)
    return last.select(*_WHO, "from_us", "plan", active=(pl.col("status") == "active") & ~ended)


def _select_past_grace(intervals: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Return the intervals that usage has passed by the grace, and that lasted longer than it."""
    policy = frontier.policies.number_at(intervals["at"].to_numpy())
    past = []
    for number, rules in enumerate(frontier.policies.all):
        of_policy = _with_passed_position(intervals.filter(pl.Series(policy == number)), frontier, number)
        lasted = pl.col("to_us").is_null() | (pl.col("to_us") - pl.col("from_us") > rules.provisioning_grace_us)
        past.append(of_policy.filter((pl.col("passed") <= pl.col("at")) & lasted).drop("passed"))
    return pl.concat(past)


def _compare_points(intervals: pl.DataFrame, points: pl.DataFrame, terms: Terms, frontier: Frontier, after: int) -> pl.DataFrame:
    """Return raises, revisions and retractions between one point of a subscription and the next."""
    ordered = points.sort(_WHO).with_columns(before=pl.col("at").shift(1).over("subscriber"))
    earlier = ordered.drop_nulls("before").join(
        intervals.rename({"at": "before"}), on=["subscriber", "before"]
    ).drop("before")  # fmt: skip
    is_open, was_open = pl.col("now").is_not_null(), pl.col("was").is_not_null()
    marked = intervals.with_columns(now=pl.lit(True)).join(
        earlier.with_columns(was=pl.lit(True)), on=[*_DISAGREEMENT, "at"], how="full", suffix="_before", coalesce=True
    )
    differs = pl.col("to_us").ne_missing(pl.col("to_us_before")) | pl.col("reason").ne_missing(pl.col("reason_before"))
    changed = marked.filter((pl.col("at") > after) & (~(is_open & was_open) | differs))
    action = pl.when(~was_open).then(pl.lit("raised")).when(~is_open).then(pl.lit("retracted")).otherwise(pl.lit("revised"))
    causes = dict.fromkeys((p for p, c in terms.causes.items() if c == SUBSCRIBER_CHANGE), SUBSCRIBER_CHANGE)
    shown = {n: pl.when(is_open).then(n).otherwise(f"{n}_before") for n in ("reason", "to_us")}
    rows = changed.select(
        "subscriber", "kind", "from_us", action=action, position="at", **shown,
        cause=pl.col("at").replace_strict(causes, default="frontier", return_dtype=pl.String),
    )  # fmt: skip
    return _build_history_rows(rows, terms, frontier)


def _build_history_rows(rows: pl.DataFrame, terms: Terms, frontier: Frontier) -> pl.DataFrame:
    """Return changes as rows of `HISTORY`; their subject is the subscription and the beginning of the interval."""
    buckets = terms.states.select("subscriber", "bucket").unique("subscriber")
    policies = frontier.policies
    number = pl.Series("policy", policies.number_at(rows["position"].to_numpy()), dtype=pl.Int64)
    day = local_day(pl.col("from_us"), policies.all[0].timezone)
    currency: pl.Expr = pl.lit(policies.all[0].currency)
    for n, later in enumerate(policies.all[1:], start=1):
        day = pl.when(pl.col("policy") >= n).then(local_day(pl.col("from_us"), later.timezone)).otherwise(day)
        currency = pl.when(pl.col("policy") >= n).then(pl.lit(later.currency)).otherwise(currency)
    none = pl.lit(None, pl.String)
    named = rows.with_columns(number).join(buckets, on="subscriber", how="left").with_columns(
        about=pl.lit("subscription"), id_scope="subscriber", id_currency=none, id_service=none, id_subscriber="subscriber",
        name=none, name_scope=none, period=pl.col("from_us").cast(pl.String), day=day, currency=currency,
        started_at=pl.col("from_us").cast(HISTORY["started_at"]), ended_at=pl.col("to_us").cast(HISTORY["ended_at"]),
        service=pl.lit(""), peer=none, node=none, expected_micros=pl.lit(0, pl.Int128), billed_micros=pl.lit(0, pl.Int128),
        **{n: pl.lit([], pl.List(pl.Binary)) for n in ("usage_event_ids", "charge_event_ids", "content_event_ids")},
        **{n: pl.lit(None, dtype) for n, dtype in {**BOOKING_MONEY, **CHARGED_ITEM}.items()},
    )  # fmt: skip
    return with_finding_ids(named).select(pl.col(n).cast(t) for n, t in HISTORY.items()).sort(ORDER)
