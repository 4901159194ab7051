"""Find the clean pairs of a log: a session and its only charge, which agree and which no other record can influence.

Only clean pairs get leaks, so the truth of each leak is decidable. The session and its charge are alone in their component: no
other record can share a session, a nearest match or a period with them. Both records arrived under the policy in force, were never
in a finding, and are no longer pending. The record keys identify no other record.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from trueup.frames import query_frames
from trueup.log.lake import BucketRange, Lake
from trueup.policies.policy import NEVER_POSITION, UNKNOWN_TIME_US
from trueup.reconcile.blocking.components import assign_components, assign_groups
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.evaluate import with_rules
from trueup.reconcile.log_io.affected import affected_records
from trueup.reconcile.log_io.load import frontier_of, terms_of
from trueup.reconcile.pricing.session_price import price_sessions
from trueup.reconcile.sessions.admission import RECORD, resolve_contents, with_due_date
from trueup.reconcile.sessions.grouping import RATED_BY
from trueup.simulate.statements import statement

ROWS_AT_ONCE = 1_000_000
"""About how many records are read into memory at once, as one range of buckets."""

_RULE = (
    "by_key", "by_nearest", "by_aggregate", "start_tolerance_us", "quantity_tolerance_micros",
    "amount_tolerance_micros", "grace_us",
    "closed_wait_us", "price_micros", "price_per", "price_currency",
)  # fmt: skip


_INTERMEDIATE = (
    "component",
    "group_no",
    "charge_group_no",
    "charge_rule",
    "charge_by_aggregate",
    "charge_assigned_time_us",
    "charge_assigned_at",
)


@dataclass(frozen=True)
class CleanPairs:
    """Clean pairs of a log up to position `end`, ordered by `charge_event_id`, with the frontier and terms that apply.

    The columns of `frame` are:

    * of the session: usage_event_ids, usage_record_keys (in time order), parts, service, subscriber, peer, node, quantity_micros,
      last_us, usage_position (of its last record), usage_source,
    * of the charge: charge_event_id, charge_record_key, charge_position, charge_source, charge_us, charge_partial_no,
      charge_quantity_micros, amount_micros, currency, tariff_code, billed_at,
    * the policy's rule for the usage, and `keyed` (matched by session key),
    * `expected_micros`, and `charged_micros`, the price of the charge's own quantity,
    * `unbilled_at`: the position at which the session would count as unbilled without its charge,
    * `phantom_at`: the position at which the charge would count as without usage (`NEVER_POSITION`: never).
    """

    frame: pl.DataFrame
    frontier: Frontier
    end: int
    terms: Terms

    def price(self, pairs: pl.DataFrame, quantity: str) -> pl.Series:
        """Return the price of a quantity (the column of that name) of each session, NULL where it has none."""
        return _price_quantities(pairs, self.terms, quantity)


def clean_pairs(lake: Lake) -> CleanPairs:
    """Return all clean pairs of a reconciled lake, reading one range of buckets at a time."""
    end = lake.last_position()
    frontier = frontier_of(lake, end)
    terms = terms_of(lake, BucketRange(0, lake.project.config.lake.buckets - 1), end)
    known = query_frames(lake.connection, statement("known_events"), {"position": end})
    shared = query_frames(lake.connection, statement("shared_keys"))
    ranges = (affected_records(lake, frontier, buckets, terms, after=0, upto=end) for buckets in _list_bucket_ranges(lake))
    parts = [_select_clean_pairs(events, frontier, terms, end, known, shared) for events in ranges]
    pairs = pl.concat(parts)
    tariffs = query_frames(lake.connection, statement("tariffs_of"), ids=pairs.select(event_id="charge_event_id"))
    frame = pairs.join(tariffs, left_on="charge_event_id", right_on="event_id", how="left")
    return CleanPairs(frame.sort("charge_event_id"), frontier, end, terms)


def _list_bucket_ranges(lake: Lake) -> list[BucketRange]:
    count = int(lake.read("control", columns=["accepted"])["accepted"].sum() or 0)
    buckets = lake.project.config.lake.buckets
    ranges = min(buckets, count // ROWS_AT_ONCE + 1)
    edges = [buckets * i // ranges for i in range(ranges + 1)]
    return [BucketRange(low, high - 1) for low, high in pairwise(edges)]


def _price_quantities(pairs: pl.DataFrame, terms: Terms, quantity: str) -> pl.Series:
    return price_sessions(pairs, terms, quantity=quantity)["expected_micros"]


def _select_clean_pairs(
    events: pl.DataFrame, frontier: Frontier, terms: Terms, end: int, known: pl.DataFrame, shared: pl.DataFrame
) -> pl.DataFrame:
    versions, _ = assign_groups(with_due_date(resolve_contents(with_rules(events, frontier), frontier).versions, frontier))
    versions, _ = assign_components(versions, frontier.policies, terms=terms)
    last_policy = len(frontier.policies.all) - 1
    policy = pl.Series(frontier.policies.number_at(versions["position"].to_numpy()))
    excluded = pl.concat(
        [
            versions.filter((pl.col("until") != NEVER_POSITION) | pl.col("beyond_horizon")).select("component"),
            versions.filter(policy != last_policy).select("component"),
            versions.filter(terms.last_change_position(versions) > versions["position"]).select("component"),
            versions.join(known, on="event_id", how="semi").select("component"),
            versions.join(events.drop_nulls("delivered_scope"), on=RECORD, how="semi").select("component"),
            versions.join(shared, on=["charge", "record_key"], how="semi").select("component"),
        ]
    ).unique()
    eligible = versions.join(excluded, on="component", how="anti")
    rules = frontier.policies.frame.filter(pl.col("policy") == last_policy).select("rule", *_RULE)
    pairs = _select_single_sessions(eligible.filter(~pl.col("charge"))).join(
        _select_single_charges(eligible.filter("charge")), on="component"
    )
    pairs = pairs.join(rules, on="rule").join(
        rules.select(charge_rule="rule", charge_grace_us="grace_us", charge_closed_us="closed_wait_us",
            charge_by_aggregate="by_aggregate"),
        on="charge_rule",
    )  # fmt: skip
    pairs = pairs.with_columns(keyed=pl.col("group_no") == pl.col("charge_group_no")).filter(
        ~pl.col("by_aggregate") & ~pl.col("charge_by_aggregate") & (pl.col("currency") == pl.col("charge_currency"))
        & pl.col("quantity_micros").is_not_null() & (pl.col("quantity_micros") >= 0)
        & pl.when("keyed").then("by_key").otherwise(pl.col("by_nearest") & (pl.col("parts") == 1))
    )  # fmt: skip
    pairs = pairs.with_columns(at=pl.lit(end, pl.Int64))
    pairs = pairs.hstack(terms.states_at(pairs.select("subscriber", "at", time_us="start_us")))
    expected, charged = (_price_quantities(pairs, terms, n) for n in ("quantity_micros", "charge_quantity_micros"))
    pairs = pairs.with_columns(expected_micros=expected, charged_micros=charged)
    return _with_final_positions(
        pairs.filter(pl.col("expected_micros").is_not_null() & pl.col("billing_status").is_null()), frontier, end
    )


def _select_single_sessions(usage: pl.DataFrame) -> pl.DataFrame:
    """Return one row per component whose usage belongs to a single session."""
    quantity = pl.col("quantity_micros").cast(pl.Int128)
    first = ("service", "subscriber", "peer", "node", "currency", "rule", "group_no", "scope", *RATED_BY)
    return (
        usage.sort("time_us", "record_no").group_by("component").agg(
            pl.col(first).first(), sessions=pl.col("group_no").n_unique(), usage_event_ids="event_id",
            usage_record_keys="record_key",
            start_us=pl.col("time_us").min(), order=pl.col("event_id").first(), parts=pl.len(),
            has_partials=pl.col("partial_no").is_not_null().any(),
            quantity_micros=pl.when(quantity.null_count() == 0).then(quantity.sum()),
            last_us=pl.col("time_us").max(), usage_position=pl.col("position").max(), usage_source=pl.col("source").first(),
        ).filter(pl.col("sessions") == 1).drop("sessions")
    )  # fmt: skip


def _select_single_charges(charges: pl.DataFrame) -> pl.DataFrame:
    """Return one row per component with a single charge."""
    single = charges.filter(pl.col("component").is_unique())
    # A charge without a time gets the time up to which the next closing declares its source complete.
    due = pl.when(pl.col("assigned_at") == NEVER_POSITION).then(UNKNOWN_TIME_US).otherwise("assigned_time_us")
    due_position = pl.when(pl.col("time_us").is_null()).then("assigned_at").otherwise(0)
    return single.select(
        "component", "amount_micros", charge_group_no="group_no", charge_event_id="event_id", charge_record_key="record_key",
        charge_position="position", charge_source="source", charge_us="time_us", charge_partial_no="partial_no",
        charge_quantity_micros="quantity_micros", charge_currency="currency", charge_rule="rule",
        charge_assigned_time_us=pl.coalesce("time_us", due), charge_assigned_at=due_position,
    )  # fmt: skip


def _with_final_positions(pairs: pl.DataFrame, frontier: Frontier, end: int) -> pl.DataFrame:
    """Add when each side would be final without the other, and drop pairs that are still pending."""
    due_us, due_position = pairs["charge_assigned_time_us"].to_numpy(), pairs["charge_assigned_at"].to_numpy()
    policy = np.full(pairs.height, len(frontier.policies.all) - 1)
    charge, usage = np.ones(pairs.height, dtype=np.bool_), np.zeros(pairs.height, dtype=np.bool_)
    last, grace, closed = (pairs[c].to_numpy() for c in ("last_us", "grace_us", "closed_wait_us"))
    unbilled = np.maximum(frontier.passed_at(charge, last, grace, closed, policy), pairs["usage_position"].to_numpy())
    own = frontier.passed_at(usage, last, grace, closed, policy)
    grace, closed = (pairs[c].to_numpy() for c in ("charge_grace_us", "charge_closed_us"))
    alone = frontier.passed_at(usage, due_us, grace, closed, policy)
    alone = np.maximum(np.maximum(alone, due_position), pairs["charge_position"].to_numpy())
    charge_own = frontier.passed_at(charge, due_us, grace, closed, policy)
    in_parts = (pairs["has_partials"] | pairs["charge_partial_no"].is_not_null()).to_numpy()
    # Partial records and nearest matches become final only after all four frontiers; an exact match of two complete records may be
    # final earlier.
    waits = in_parts | ~pairs["keyed"].to_numpy()
    latest = np.maximum(np.maximum(unbilled, own), np.maximum(alone, charge_own))
    decided = pairs.with_columns(unbilled_at=pl.Series(np.where(in_parts, latest, unbilled)), phantom_at=pl.Series(alone))
    return decided.filter(pl.Series(~waits | (latest <= end))).drop(_INTERMEDIATE)
