"""Reconciles items: subscriptions and tariff book → views → expectations → charges matched → bookings → findings and sums."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.policies.policy import NEVER_POSITION
from trueup.rating.charged_items.items import PERIODS
from trueup.reconcile.domain.bookings import NETTING_GROUP
from trueup.reconcile.domain.frontier import Frontier, RunningMax
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.booking import Bookings
from trueup.reconcile.kernel.evaluate import with_rules
from trueup.reconcile.kernel.evaluations import Evaluations
from trueup.reconcile.kernel.fast_path.sums import BOOKED
from trueup.reconcile.kernel.ledger import ledger_rows
from trueup.reconcile.kernel.lifecycle import ARRIVED, WHOLE, withdrawals
from trueup.reconcile.recurring.assessment import (
    as_bookings,
    assess,
    evaluation_points,
    in_scope_at,
    owners_of,
    with_waits,
)
from trueup.reconcile.recurring.expectations import expectations_of, price_lists
from trueup.reconcile.recurring.matching import match_charges, with_moments
from trueup.reconcile.recurring.mistakes import with_reasons
from trueup.reconcile.recurring.subscription_views import SubscriptionViews, day_number, subscription_views
from trueup.reconcile.results.finding_rows import (
    HISTORY,
    ID_PARTS,
    ORDER,
    as_history,
    conflict_changes,
    count_records,
    event_ids,
    with_booking_ids,
)
from trueup.reconcile.results.outcome import Outcome
from trueup.reconcile.sessions.admission import ResolvedRecords, resolve_contents
from trueup.units import MICROS

_DAY_US = 86_400 * MICROS


@dataclass(frozen=True)
class ItemInputs:
    """The inputs for the bookings of items: states and items in `terms`, charges (`ITEM_CHARGE`), and the earliest time of charges.

    `charge_reach` is a `RunningMax` of negative times, see `first_charge_times`.
    """

    frontier: Frontier
    terms: Terms
    charges: pl.DataFrame
    charge_reach: RunningMax


def reconcile_items(inputs: ItemInputs, *, after: int, upto: int) -> Outcome:
    """Return the changes of positions in (after, upto] for the subscriptions of the states and charges given."""
    frontier, terms = inputs.frontier, inputs.terms
    resolved = resolve_contents(with_rules(with_moments(inputs.charges), frontier), frontier)
    charges = resolved.versions.filter(pl.col("since") <= upto)
    views = subscription_views(
        terms.states, charges.select("subscriber", "since"), _list_starts(inputs), frontier.policies, after=after, upto=upto
    )  # fmt: skip
    lists = price_lists(terms.items, views)
    reached = _find_reach(views, charges, inputs, upto)
    expected = expectations_of(views, lists, reached)
    matches = match_charges(charges, views.views, expected)
    owners, owned = _number_components(expected, matches, charges, views, inputs)
    points = evaluation_points(owners, owned, after=after, upto=upto)
    of_lines = charges.rename({"since": "c_since", "until": "c_until"})
    assessed, members = assess(points, owners, owned, of_lines)
    reasoned = with_reasons(assessed, (views, lists), terms.items, reached, matches)
    arrived = _find_arrivals(points, owned, charges, owners)
    compared = Evaluations(pl.DataFrame(schema={"component": pl.Int64, "of": pl.Int64}), after)
    declared = pl.col("at").replace_strict(_list_causes(inputs), default=None, return_dtype=pl.String)
    booked = Bookings(
        as_bookings(reasoned), members, pl.DataFrame(schema=NETTING_GROUP), pl.Series(dtype=pl.Int64), reasoned.clear()
    )
    compared.add(points.with_columns(declared=declared), booked, arrived)
    changes, deltas, _ = compared.results()
    history = _build_history(changes, owners, resolved, frontier, after)
    booked_records = charges.filter(pl.col("until") == NEVER_POSITION).select("record_no")
    counted = count_records(
        resolved.versions, resolved.superseded, booked_records, pl.DataFrame(schema=BOOKED), after=after, position=upto
    )
    return Outcome(history, ledger_rows(deltas.drop("component"), after), counted, inputs.charges.height)


def _list_starts(inputs: ItemInputs) -> list[int]:
    """Return the positions at which other items or another policy come into force, from 0 on."""
    items = inputs.terms.items
    known = {*items["since"].to_list(), *items["until"].to_list(), *inputs.frontier.policies.starts.tolist()}
    return sorted({0, *(p for p in known if p != NEVER_POSITION)})


def _list_causes(inputs: ItemInputs) -> dict[int, str]:
    return {**inputs.terms.causes, **dict.fromkeys(inputs.frontier.policies.starts.tolist(), "policy_change")}


def _find_reach(views: SubscriptionViews, charges: pl.DataFrame, inputs: ItemInputs, upto: int) -> pl.DataFrame:
    """Return the ranges of instants (`view`, `low_us`, `high_us`) in which periods can be due or charged.

    The ranges are the range from the stream's first charge to the instant that the stream has passed, and the instant of each
    charge.
    """
    frontier = inputs.frontier
    passed = [
        frontier.passed_until_us(upto, number, wait_us=0, closed_wait_us=0, stream="charge")
        for number in range(len(frontier.policies.all))
    ]
    latest = max((p for p in passed if p is not None), default=None)
    earliest = inputs.charge_reach.latest(upto)
    own = charges.select("subscriber", "moment_us").drop_nulls().join(views.views.select("subscriber", "view"), on="subscriber")
    reached = own.select("view", low_us="moment_us", high_us="moment_us").unique()
    if latest is None or earliest is None:
        return reached
    # With a lateness the stream may not have passed its first charge yet, but the day on which that charge's period is due.
    first = min(-earliest, latest)
    general = views.views.select("view", low_us=pl.lit(first, pl.Int64), high_us=pl.lit(latest, pl.Int64))
    return pl.concat([general, reached.filter(~pl.col("low_us").is_between(first, latest))])


def _number_components(
    expected: pl.DataFrame, matches: pl.DataFrame, charges: pl.DataFrame, views: SubscriptionViews, inputs: ItemInputs
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return expectations and unexplained charges by view, and the matches of charges, all with their `component`.

    Each expectation and each unexplained charge is a component, because no other one influences it.
    """
    frontier, of_views = inputs.frontier, views.views.select("view", "since", "until", "zone")
    explained = expected.join(of_views, on="view").with_columns(
        matched_us="period_from_us", item_from_us="period_from_us", item_to_us="period_to_us"
    )  # fmt: skip
    explained = in_scope_at(with_waits(explained, frontier), inputs.charge_reach)
    facts = charges.select(
        "record_no", "service", "moment_us", "bucket", "key_scope", "record_key", "beyond_horizon",
        c_since="since", c_until="until", item_from_us=pl.coalesce("period_from_us", "moment_us"), item_to_us="period_to_us",
    )  # fmt: skip
    # Each content has its own moment, which no earlier position knows.
    alone = (
        matches.filter(pl.col("line") == pl.col("record_no"))
        .drop("period_from_us", "period", "is_recurring", "line")
        .join(facts, on="record_no")
        .filter((pl.col("c_since") <= pl.col("since")) & (pl.col("since") < pl.col("c_until")))
        .drop("c_since", "c_until")
    )
    zones = views.views["zone"].unique().sort().to_list()
    dayed = alone.join(of_views.select("view", "zone"), on="view").with_columns(
        due_us="moment_us", matched_us="moment_us", period_from_us="moment_us",
        day=day_number(pl.col("moment_us"), pl.col("zone"), zones).cast(pl.Int32).cast(pl.Date),
    )  # fmt: skip
    unexplained = with_waits(dayed, frontier)
    owners = owners_of(explained, unexplained).with_columns(line=pl.when(~pl.col("explained")).then("record_no"))
    # An unexplained charge stays the same one, even if another content changes its moment.
    named = owners.with_columns(pl.when("explained").then("period_from_us").alias("identity_us"))
    key = ["subscriber", "item", "currency", "is_recurring", "period", "identity_us", "line"]
    numbers = (
        named.select(key)
        .unique()
        .sort(key, nulls_last=True)
        .with_row_index("component")
        .with_columns(pl.col("component").cast(pl.Int64))
    )
    owned = named.join(numbers, on=key, how="left", nulls_equal=True, maintain_order="left").with_columns(
        owner_no=pl.col("component") * 3
    )
    buckets = pl.concat([inputs.terms.states.select("subscriber", "bucket"), charges.select("subscriber", "bucket")]).unique(
        "subscriber"
    )
    final = owned.drop("bucket").join(buckets, on="subscriber", how="left", maintain_order="left")
    of_matches = matches.with_columns(identity_us="period_from_us").join(numbers, on=key, how="left", nulls_equal=True)
    return final, of_matches


def _find_arrivals(points: pl.DataFrame, matches: pl.DataFrame, charges: pl.DataFrame, owners: pl.DataFrame) -> pl.DataFrame:
    """Return the contents that count since an evaluation (`ARRIVED`); they are late if their booking was already final.

    The charges include contents that a content of another bucket key withdraws.
    """
    content = charges.select(*(n for n in ARRIVED if n not in ("component", "at")), at="since")
    own = matches.select("component", "record_no", "since", "until").join(content, on="record_no").filter(
        (pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until"))
    )  # fmt: skip
    final = owners.filter(pl.col("explained")).group_by("component").agg(final_at=pl.col("final_at").min())
    timed = own.join(final, on="component", how="left")
    late = pl.col("late") | (pl.col("final_at") < pl.col("at")).fill_null(False)
    arrived = timed.with_columns(late=late).select(ARRIVED)
    ended = withdrawals(charges.with_columns(at="until", component=pl.lit(0))).drop("component")
    withdrawn = matches.select("component", "record_no", at="until").join(ended, on=["record_no", "at"]).select(ARRIVED)
    changed = pl.concat([arrived, _find_leaving_charges(matches, charges, arrived), withdrawn])
    return changed.join(points, on=["component", "at"], how="semi").unique()


def _find_leaving_charges(matches: pl.DataFrame, charges: pl.DataFrame, arrived: pl.DataFrame) -> pl.DataFrame:
    """Return charges (`ARRIVED`) that leave their own booking as late charges, because the charge that they correct arrives."""
    correcting = charges.filter(pl.col("corrected_key").is_not_null()).select("record_no").unique()
    of_credits = matches.join(correcting, on="record_no", how="semi")
    left = of_credits.filter(pl.col("line").is_not_null()).select("component", "record_no", at="until")
    joined = of_credits.select("record_no", at="since", joined="component")
    named = arrived.filter(pl.col("corrected_key").is_null()).select("at", joined="component").unique()
    moved = left.join(joined, on=["record_no", "at"]).filter(pl.col("component") != pl.col("joined")).join(
        named, on=["joined", "at"], how="semi"
    )  # fmt: skip
    return moved.with_columns(
        charge=pl.lit(True), late=pl.lit(True), beyond_horizon=pl.lit(False), corrected=pl.lit(False),
        corrected_key=pl.lit(None, pl.String),
    ).select(ARRIVED)  # fmt: skip


def _build_history(
    changes: pl.DataFrame, owners: pl.DataFrame, resolved: ResolvedRecords, frontier: Frontier, after: int
) -> pl.DataFrame:
    """Return changes of bookings and of conflicts as rows of `HISTORY`."""
    subjects = owners.unique("component", keep="first").select(
        "owner_no", "item", "is_recurring", "line", "key_scope", "record_key", id_from="identity_us", id_period="period"
    )  # fmt: skip
    rows = _with_periods(changes.with_row_index("change"), owners).join(subjects, on="owner_no", how="left", maintain_order="left")
    kind = pl.col("id_period").replace_strict({code: name for name, code in PERIODS.items()}, default=None, return_dtype=pl.String)
    is_line, none = pl.col("line").is_not_null(), pl.lit(None, pl.String)
    named = rows.with_columns(
        about=pl.when(is_line).then(pl.lit("bill")).otherwise(pl.lit("expectation")), id_scope="subscriber", id_currency="currency",
        id_service=none, id_subscriber="subscriber", name=pl.when(is_line).then("record_key").otherwise("item"),
        name_scope=pl.when(is_line).then(pl.concat_str(pl.lit("record:"), "key_scope")).otherwise(pl.lit("item")),
        period=pl.concat_str(kind.fill_null("event"), pl.col("id_from"), separator="/"),
    )  # fmt: skip
    identified = with_booking_ids(named).join(
        event_ids(named, resolved.versions, "charges", "charge_event_ids"), on="change", how="left"
    )
    lists = pl.lit([], pl.List(pl.Binary))
    findings = identified.select(
        "action", "cause", "kind", "reason", "bucket", "service", "subscriber", "peer", "node", "day", "expected_micros",
        "billed_micros", "currency", *ID_PARTS, *WHOLE, "booking_id", "item", pl.col("charge_event_ids").fill_null([]),
        position="at",
        started_at=pl.col("started_us").cast(HISTORY["started_at"]),
        period_from=pl.col("item_from_us").cast(HISTORY["period_from"]),
        period_to=pl.col("item_to_us").cast(HISTORY["period_to"]), usage_event_ids=lists, content_event_ids=lists,
    )  # fmt: skip
    conflicts = conflict_changes(resolved, resolved.versions, frontier.policies, after)
    return as_history(pl.concat([findings, conflicts], how="diagonal")).sort(ORDER)


def _with_periods(changes: pl.DataFrame, owners: pl.DataFrame) -> pl.DataFrame:
    """Add `item_from_us` and `item_to_us`: the period of each change's booking, as known then; where it ended, before."""
    over = pl.col("action").is_in(["retracted", "resolved"]).cast(pl.Int64)
    known = owners.select("owner_no", "item_from_us", "item_to_us", moment="since").sort("moment", "owner_no")
    timed = changes.with_columns(moment=pl.col("at") - over).sort("moment", "owner_no")
    return timed.join_asof(known, on="moment", by="owner_no", check_sortedness=False).sort("change").drop("moment")
