"""The kernel: a pure function from records to changes of findings and sums, vectorised over components and positions.

A component is evaluated only at positions at which it can change. It can change when one of its records arrives, or when a stream
passes an instant that it depends on. It can also change when another policy, price or state comes into force. All components are
evaluated at all their positions at once, within a bound of memory. Only settled pairs carry over from one position to the next, so
only matching goes through the positions in order. The work is proportional to the number of possible changes. The result equals
that of evaluating everything at every position.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.reconcile.blocking.components import assign_components, assign_groups, schedule_of, spans_of
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import FLAT, Terms
from trueup.reconcile.kernel.aggregation import sum_periods
from trueup.reconcile.kernel.booking import book
from trueup.reconcile.kernel.context import EvaluationContext
from trueup.reconcile.kernel.evaluations import Evaluations
from trueup.reconcile.kernel.fast_path.split import split_fast_path
from trueup.reconcile.kernel.ledger import LEDGER, ledger_rows
from trueup.reconcile.kernel.lifecycle import ARRIVED, withdrawals
from trueup.reconcile.kernel.matching import SPAN, SettledPairs, match
from trueup.reconcile.kernel.period_totals import TOTALS, last_totals
from trueup.reconcile.kernel.pool_netting import pool_checks
from trueup.reconcile.kernel.priced_sessions import priced_sessions
from trueup.reconcile.kernel.schedule import evaluations_of, in_batches
from trueup.reconcile.pricing.allowance_pools import build_pools
from trueup.reconcile.pricing.billing_error import add_misrating_reason
from trueup.reconcile.pricing.price_table import PriceTable
from trueup.reconcile.sessions.admission import ResolvedRecords, resolve_contents, with_due_date


@dataclass(frozen=True)
class Evaluated:
    """The result of an evaluation, and the frames that its numbers (`record_no`, `group_no`, `owner_no`, `cell`) refer to.

    `changes` (`CHANGE`) and `ledger` (`LEDGER`) are of positions after `after`. `raised` (`RAISED`) are the findings of the fast
    path. `members` are the last bookings of the records outside the fast path. `totals` (`TOTALS`), if requested, are the totals of
    their periods after all positions. `fast_path_records` counts the records of the fast path
    (`trueup.reconcile.kernel.fast_path.sums.BOOKED`). `unmatched` are the row numbers of the unmatched events among these.
    """

    changes: pl.DataFrame
    raised: pl.DataFrame
    ledger: pl.DataFrame
    members: pl.DataFrame
    fast_path_records: pl.DataFrame
    unmatched: pl.Series
    versions: pl.DataFrame
    groups: pl.DataFrame
    cells: pl.DataFrame
    resolved: ResolvedRecords
    totals: pl.DataFrame


def evaluate(
    events: pl.DataFrame, frontier: Frontier, terms: Terms = FLAT, *, after: int, upto: int, fast_path: bool = True
) -> Evaluated:
    """Evaluate `events` (rows of `EVENTS` up to position `upto`) at every position in (after, upto].

    Positions up to `after` are evaluated as well, to know the findings that were open then, but not reported again. Without the
    fast path all records go through all steps, which is slower and gives the same result.
    """
    return _evaluate_events(events, frontier, terms, (after, upto), fast_path=fast_path)


def evaluate_with_totals(events: pl.DataFrame, frontier: Frontier, terms: Terms = FLAT, *, after: int, upto: int) -> Evaluated:
    """Evaluate `events` as `evaluate` does, and return the totals of their periods (`TOTALS`) as well."""
    return _evaluate_events(events, frontier, terms, (after, upto), keeps_totals=True)


def _evaluate_events(
    events: pl.DataFrame, frontier: Frontier, terms: Terms, span: tuple[int, int], *, fast_path: bool = True,
    keeps_totals: bool = False,
) -> Evaluated:  # fmt: skip
    after, upto = span
    all_events = with_rules(events, frontier)
    prices = PriceTable(terms, build_pools(all_events, frontier, terms, upto))
    split = split_fast_path(all_events, frontier, prices, after=after, upto=upto, fast_path=fast_path)
    resolved = resolve_contents(split.remaining, frontier)
    versions, groups = assign_groups(with_due_date(resolved.versions, frontier))
    context = EvaluationContext(frontier, prices.for_groups(groups), after, upto, keeps_totals)
    with_components, cells = assign_components(versions, frontier.policies, terms=prices.terms)
    changes, deltas, members, totals = _evaluate_components(with_components, cells, context)
    ledger = ledger_rows(pl.concat([deltas, split.ledger_deltas.select(pl.col(n).cast(t) for n, t in LEDGER.items())]), after)
    return Evaluated(
        changes,
        split.raised,
        ledger,
        members,
        split.booked_records,
        split.unmatched,
        with_components,
        groups,
        cells,
        resolved,
        totals,
    )


def _evaluate_components(
    versions: pl.DataFrame, cells: pl.DataFrame, context: EvaluationContext
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return (changes, ledger deltas, last members, totals of periods) of all components.

    Allowance pools do not join components at first, because few pools have a pair whose amount differs. The components of these few
    pairs are evaluated again, joined by pool, because such a pair is judged with all others of its pool.
    """
    first = _evaluate_spans(versions.sort("component"), cells, context, together=False)
    if first.differing.is_empty():
        return first.changes, first.ledger_deltas.drop("component"), first.members, first.totals
    joined, _ = assign_components(
        versions.drop("component"),
        context.frontier.policies,
        context.prices.pools.component_links(first.differing),
        context.prices.terms,
    )
    differing = first.differing.to_frame("group_no").unique()
    once_more = versions.join(differing, on="group_no", how="semi").select("component").unique()
    second = _evaluate_spans(
        joined.join(
            versions.join(once_more, on="component", how="semi").select("group_no").unique(), on="group_no", how="semi"
        ).sort("component"),
        cells, context, together=True,
    )  # fmt: skip
    both = ((c.changes, c.ledger_deltas, c.members, c.totals) for c in (first, second))
    changes, deltas, members, totals = (
        pl.concat([a.join(once_more, on="component", how="anti"), b]) for a, b in zip(*both, strict=True)
    )  # fmt: skip
    return changes, deltas.drop("component"), members, totals


def with_rules(events: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add each event's rule number and the currency of its money: for a usage record, the currency of its price.

    The currency in a charge itself stays as `charge_currency`.
    """
    policies = frontier.policies
    rows = events.with_columns(rule=policies.rule_of(pl.col("service")))
    only = _find_only_currency(events, frontier)
    if only is not None:
        return rows.with_columns(currency=pl.lit(only), charge_currency="currency")
    # A moved row has the currency that its content has in its own scope.
    policy = policies.number_at(rows.select(pl.coalesce("delivered_at", "position")).to_series().to_numpy())
    prices = policies.frame["price_currency"][policies.rule_index(policy, rows["rule"].to_numpy())]
    projects = pl.Series([p.currency for p in policies.all], dtype=pl.String)[policy]
    rows = rows.with_columns(price_currency=prices, project_currency=projects)
    charge_currency = pl.coalesce("currency", "project_currency")
    currency = pl.when("charge").then(charge_currency).otherwise("price_currency")
    return rows.with_columns(currency=currency, charge_currency="currency").drop("price_currency", "project_currency")


def _find_only_currency(events: pl.DataFrame, frontier: Frontier) -> str | None:
    """Return the currency of all money of events, or None where there may be several."""
    policies = frontier.policies
    currencies = {*policies.frame["price_currency"].to_list(), *(policy.currency for policy in policies.all)}
    if len(currencies) > 1:
        return None
    (only,) = currencies
    of_charges = events["currency"]
    # In most projects charges name no currency of their own.
    is_only = of_charges.null_count() == len(of_charges) or (of_charges == only).all()
    return str(only) if is_only else None


@dataclass(frozen=True)
class _Components:
    """The result of all evaluations of some components.

    `ledger_deltas` of pooled sessions are by component. `differing` are the sessions that must be judged with their pool.
    """

    changes: pl.DataFrame
    ledger_deltas: pl.DataFrame
    members: pl.DataFrame
    differing: pl.Series
    totals: pl.DataFrame


def _evaluate_spans(versions: pl.DataFrame, cells: pl.DataFrame, context: EvaluationContext, *, together: bool) -> _Components:
    """Evaluate all components at all their positions up to the last one."""
    frontier, prices, upto = context.frontier, context.prices, context.upto
    terms, pools = prices.terms, prices.pools
    scheduled = pl.concat([schedule_of(versions), terms.schedule(versions), pools.schedule(versions)])
    records = versions.group_by("component").agg(records=pl.len().cast(pl.Int64))
    spans = spans_of(scheduled, frontier.policies, upto).join(records, on="component", maintain_order="left")
    pooled = versions.join(pools.numbers, on="group_no", how="semi").select("component", of="component").unique()
    compared = Evaluations(pooled, context.after)
    settled = SettledPairs.none(int(versions["group_no"].max() or 0) + 1)  # type: ignore[arg-type]
    differing, misrated = [pl.Series(dtype=pl.Int64)], list[pl.DataFrame]()
    totals = [pl.DataFrame(schema=TOTALS)]
    causes = {**terms.causes, **dict.fromkeys(frontier.policies.starts.tolist(), "policy_change")}
    for batch in in_batches(spans):
        spanned = versions.join(batch.drop("records"), on="component")
        rows = spanned.filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")))
        rows, sessions, charge_groups = priced_sessions(rows, frontier, prices)
        matched = match(sessions, charge_groups, batch, settled)
        sums = sum_periods(rows, matched, cells, frontier, prices)
        if context.keeps_totals:
            totals.append(last_totals(sums.totals, batch))
        checks = [sums.totals.select(*SPAN, position="passed_at")]
        checks += [pool_checks(matched.sessions, frontier, terms)] if together else []
        arrived = pl.concat([rows.filter(pl.col("since") == pl.col("at")).select(*ARRIVED), withdrawals(spanned)])
        for evaluations in in_batches(evaluations_of(batch, matched, checks, upto)):
            booked = book(rows, matched, sums, evaluations, context, together=together)
            differing.append(booked.differing)
            misrated.append(booked.misrated)
            declared = pl.col("position").replace_strict(causes, default=None, return_dtype=pl.String)
            compared.add(evaluations.select("component", at="position", declared=declared), booked, arrived)
    changes, deltas, members = compared.results()
    changes = add_misrating_reason(changes, misrated, terms, pools)
    return _Components(changes, deltas, members, pl.concat(differing).unique(), pl.concat(totals))
