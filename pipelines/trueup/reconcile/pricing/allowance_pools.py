"""Allowance pools: a *pool* is the sessions of one owner, group of services and billing period that share free units or tiers.

The price of a session depends on the sessions of its pool before it. The price changes when one of these sessions arrives late. The
prices at all positions are computed before matching, over all usage, so that pools do not join components.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

from trueup.policies.policy import NEVER_POSITION
from trueup.rating.allowances import period_number
from trueup.rating.rate import MOST_MICROS
from trueup.reconcile.blocking.components import GROUP_NAME, assign_groups, schedule_of, spans_of
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms, shared_terms
from trueup.reconcile.pricing.calls import PRICED
from trueup.reconcile.pricing.pool_snapshots import POOL_MEMBER, PRICE, pool_prices, rate_members, snapshot_calls, snapshot_for
from trueup.reconcile.sessions.admission import resolve_contents, with_due_date
from trueup.reconcile.sessions.grouping import group_records

_NAMES = {"own": pl.Boolean, **dict.fromkeys(GROUP_NAME[1:], pl.String), "pool_session_id": pl.Int64}
_PRICED_BY = [
    "scope",
    "service",
    "plan",
    "direction",
    "zone",
    "trunk",
    "peer",
    "subscriber",
    "currency",
    "start_us",
    "quantity_micros",
    "order",
    "cycle_day",
]


@dataclass(frozen=True)
class Pools:
    """The `members` of pools along the log (`POOL_MEMBER`), and their `prices` (`PRICE`).

    `names` give each session its number, `pool_session_id`, by the name of its group; `records` by the `row` of its record,
    where it has only one. `numbers` are the numbers of the groups (`group_no`) of the current frame.
    """

    terms: Terms = field(default_factory=Terms)
    members: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=POOL_MEMBER))
    prices: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PRICE))
    names: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_NAMES))
    records: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"row": pl.UInt32, "pool_session_id": pl.Int64}))
    numbers: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"group_no": pl.Int64, "pool_session_id": pl.Int64}))

    @property
    def is_empty(self) -> bool:
        """Whether no session shares free units or tiers."""
        return self.members.is_empty()

    def for_groups(self, groups: pl.DataFrame) -> Pools:
        """Return the same pools, numbered for the groups (with their names) of another frame."""
        if self.is_empty:
            return self
        numbered = groups.select("group_no", *GROUP_NAME).join(self.names, on=GROUP_NAME, nulls_equal=True)
        return replace(self, numbers=numbered.select("group_no", "pool_session_id"))

    def pool_session_of(self, units: pl.DataFrame) -> pl.Series:
        """Return the number of each session in the pools; NULL for a session outside all pools, and for charge groups."""
        if self.is_empty:
            return pl.Series("pool_session_id", dtype=pl.Int64).extend_constant(None, units.height)
        numbered = units.select("group_no", "charge").join(self.numbers, on="group_no", how="left", maintain_order="left")
        return numbered.select(pl.when(~pl.col("charge")).then("pool_session_id").alias("pool_session_id")).to_series()

    def price(self, rows: pl.DataFrame, quantity: str) -> pl.DataFrame:
        """Price the rows (`call`, `at`, `pool_session_id`, a quantity) that are in a pool at their position.

        Another quantity than the session's own is priced in the session's position within the pool, with all earlier sessions
        unchanged.
        """
        unpriced = pl.DataFrame(schema={"call": pl.UInt32, **PRICED})
        if self.is_empty or "pool_session_id" not in rows.columns:
            return unpriced
        requests = rows.select(
            "call", "pool_session_id", "at", requested_micros=pl.col(quantity).cast(pl.Int64, strict=False)
        ).drop_nulls("pool_session_id")
        if quantity == "quantity_micros":
            priced = self._join_in_force(requests, self.prices)
            return priced.select("call", *PRICED)
        members = (
            self._join_in_force(requests, self.members)
            .drop("quantity_micros")
            .rename({"requested_micros": "quantity_micros", "call": "request_no"})
        )
        if members.is_empty():
            return unpriced
        members = members.with_columns(snapshot_for(members, self.terms)).select(
            "request_no", "member_no", "snapshot_position", "quantity_micros"
        )
        return rate_members(self.members, members, self.terms).rename({"request_no": "call"})

    def _join_in_force(self, rows: pl.DataFrame, history: pl.DataFrame) -> pl.DataFrame:
        """Join rows (`pool_session_id`, `at`) with the row of `history` in force at their position; drop those without."""
        in_force = rows.sort("at").join_asof(
            history.sort("since"), left_on="at", right_on="since", by="pool_session_id", check_sortedness=False, coalesce=False
        )
        return in_force.drop_nulls("since").filter(pl.col("at") < pl.col("until"))

    def calls_of(self, rows: pl.DataFrame, quantity: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the calls of rows in a pool at their position, to be priced without consuming, and all calls of their pools."""
        requests = rows.select(
            "call", "pool_session_id", "at", requested_micros=pl.col(quantity).cast(pl.Int64, strict=False)
        ).drop_nulls("pool_session_id")
        members = (
            self._join_in_force(requests, self.members)
            .drop("quantity_micros")
            .rename({"requested_micros": "quantity_micros", "call": "request_no"})
        )
        pool_calls, aside, _ = snapshot_calls(
            self.members,
            members.with_columns(snapshot_for(members, self.terms)).select(
                "request_no", "member_no", "pool", "snapshot_position", "quantity_micros"
            ),
        )
        return aside, pool_calls

    def schedule(self, versions: pl.DataFrame) -> pl.DataFrame:
        """Return the positions (`component`, `at`) at which prices of sessions of these record versions change."""
        if self.is_empty:
            return pl.DataFrame(schema={"component": pl.Int64, "at": pl.Int64})
        of_sessions = versions.filter(~pl.col("charge")).select("component", "group_no").unique().join(self.numbers, on="group_no")
        return of_sessions.join(self.prices, on="pool_session_id").select("component", at="since").unique()

    def component_links(self, group_numbers: pl.Series) -> pl.DataFrame:
        """Return (`group_no`, `link_id`) of sessions: the pools that each is ever in."""
        sessions = self.numbers.join(group_numbers.to_frame("group_no").unique(), on="group_no", how="semi")
        return sessions.join(self.members.select("pool_session_id", "pool").unique(), on="pool_session_id").select(
            "group_no", link_id="pool"
        )

    def has_stable_price(self, rows: pl.DataFrame) -> pl.Series:
        """Return for each row (`pool_session_id`, `at`) whether its price never changes, at any position."""
        unchanged = self.members.filter(pl.col("pool_session_id").is_unique() & (pl.col("until") == NEVER_POSITION))
        stable = unchanged.filter(pl.col("changed") <= pl.col("since")).select("pool_session_id", stable=pl.lit(True))
        marked = rows.select("pool_session_id").join(stable, on="pool_session_id", how="left", maintain_order="left")
        return marked["stable"].fill_null(False) | marked["pool_session_id"].is_null()


NO_POOLS = Pools()
"""No pools."""


def build_pools(events: pl.DataFrame, frontier: Frontier, terms: Terms, upto: int) -> Pools:
    """Return the pools of all usage among `events` (with `rule` and `currency`) up to a position."""
    table = shared_terms(terms)
    if table.is_empty():
        return NO_POOLS
    usage = events.with_row_index("row").filter(~pl.col("charge"))
    # Records and sessions never extend beyond one value of the bucket key.
    scopes = usage.filter(pl.col("service").is_in(table["service"].implode())).select("scope").unique()
    usage = usage.join(scopes, on="scope", how="semi", maintain_order="left")
    if usage.is_empty():
        return NO_POOLS
    versions, groups = assign_groups(with_due_date(resolve_contents(usage, frontier).versions, frontier))
    members = _select_pool_members(_list_session_versions(versions, frontier, terms, upto), table)
    if members.is_empty():
        return NO_POOLS
    of_one_record = versions.filter(versions["group_no"].is_unique()).select("row", pool_session_id="group_no")
    return Pools(terms, members, pool_prices(members, terms), groups.rename({"group_no": "pool_session_id"}), of_one_record)


def _list_session_versions(records: pl.DataFrame, frontier: Frontier, terms: Terms, upto: int) -> pl.DataFrame:
    """Return every session (`pool_session_id`) at every position `at` at which it may change, valid until `until`."""
    versions = records.with_columns(component="group_no")
    scheduled = pl.concat([schedule_of(versions), terms.schedule(versions)])
    spans = spans_of(scheduled, frontier.policies, upto)
    rows = versions.join(spans.drop("next_at"), on="component")
    rows = rows.filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")))
    units = group_records(rows, frontier, terms)[1].with_columns(pool_session_id="group_no")
    units = units.hstack([terms.cycle_days_at(units.select("subscriber", "at", time_us="start_us"))])
    timed = units.join(spans.select("component", "at", until="next_at"), on=["component", "at"])
    return timed.with_columns(edition=pl.Series(terms.edition_at(timed["at"].to_numpy())))


def _select_pool_members(sessions: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Return sessions as `POOL_MEMBER`: those that the tariff book prices, in the pools of their service."""
    fits = pl.col("quantity_micros").is_between(0, MOST_MICROS)
    by_book = pl.col("price_micros").is_null() & fits & pl.col("start_us").is_not_null() & (pl.col("edition") >= 0)
    groups = table.group_by("service").agg(
        pl.col("group", "by_account", "period", "spans").first(), zone_of=pl.col("timezone").first()
    )
    rows = sessions.filter(by_book.fill_null(False)).join(groups, on="service")
    rows = rows.with_columns(_number_period(rows), who=pl.when(~pl.col("by_account")).then("subscriber"))
    rows = rows.filter(pl.col("by_account") | pl.col("who").is_not_null())
    rows = rows.with_columns(pl.col("quantity_micros").cast(pl.Int64))
    sessions_merged = _merge_equal(rows)
    pool = pl.struct("scope", "who", "group", "index").rank("dense").cast(pl.Int64)
    ordered = sessions_merged.with_columns(pool=pool).sort("pool", "start_us", "order", "since")
    ordered = ordered.with_columns(
        member_no=pl.int_range(pl.len()).cast(pl.Int64), pool_rank=pl.struct("pool", "start_us", "order").rle_id().cast(pl.Int64),
        changed_at=pl.when(pl.col("until") == NEVER_POSITION).then("since").otherwise("until"),
    )  # fmt: skip
    changed = pl.col("changed_at").cum_max().shift(1).over("pool").fill_null(0)
    return ordered.with_columns(changed=changed).select(pl.col(n).cast(t) for n, t in POOL_MEMBER.items())


def _number_period(rows: pl.DataFrame) -> pl.Expr:
    """Return `index`, the billing period of each session, if its group has a single kind of period; else the pool has no end."""
    index = pl.lit(None, pl.Int64)
    for zone in rows["zone_of"].unique().sort().to_list():
        in_zone = (pl.col("zone_of") == zone) & (pl.col("spans") == 1)
        index = (
            pl.when(in_zone).then(period_number(pl.col("period"), zone, pl.col("start_us"), pl.col("cycle_day"))).otherwise(index)
        )
    return index.alias("index")


def _merge_equal(rows: pl.DataFrame) -> pl.DataFrame:
    """Merge consecutive rows of one session with equal content."""
    ordered = rows.rename({"at": "since"}).sort("pool_session_id", "since")
    content = ["pool_session_id", "group", "index", "edition", *_PRICED_BY]
    differs = ~pl.all_horizontal(pl.col(n).eq_missing(pl.col(n).shift(1)) for n in content)
    new_run = differs | (pl.col("since") != pl.col("until").shift(1))
    runs = ordered.with_columns(run=new_run.fill_null(True).cum_sum())
    ends = runs.group_by("run").agg(pl.col("until").last())
    return runs.unique("run", keep="first", maintain_order=True).drop("until").join(ends, on="run", maintain_order="left")
