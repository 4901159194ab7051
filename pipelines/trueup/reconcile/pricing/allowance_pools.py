"""Sessions that share free units or tiers: a *pool* is those of one owner, group of services and billing period.

A session's price depends on the sessions of its pool before it, hence changes when one of them comes late. What each costs at
which positions is found before the rounds, over all usage, so that pools do not tie components together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

from trueup.rating.allowances import period_number
from trueup.rating.rate import MOST_MICROS
from trueup.rating.shared_terms import sharing
from trueup.reconcile.blocking.components import GROUP_NAME, assign_groups, schedule_of
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.policies import NEVER_POSITION
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.pricing.calls import PRICED
from trueup.reconcile.pricing.pool_snapshots import POOL_MEMBER, PRICE, pool_prices, rate_members, snapshot_calls, snapshot_for
from trueup.reconcile.sessions.admission import resolve_contents, with_due_date
from trueup.reconcile.sessions.grouping import group_records

_NAMES = {"own": pl.Boolean, **dict.fromkeys(GROUP_NAME[1:], pl.String), "pool_session_id": pl.Int64}
_KEPT = [
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
]


@dataclass(frozen=True)
class Pools:
    """`live` sessions as they are known along the log (`LIVE`), and their `prices` (`PRICE`).

    `names` gives each session its number, `pool_session_id`, by the name of its group; `records` by the `row` of its record,
    where it has only one. `numbers` are those of the groups (`group_no`) of the frame at hand.
    """

    terms: Terms = field(default_factory=Terms)
    members: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=POOL_MEMBER))
    prices: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PRICE))
    names: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_NAMES))
    records: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"row": pl.UInt32, "pool_session_id": pl.Int64}))
    numbers: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"group_no": pl.Int64, "pool_session_id": pl.Int64}))

    @property
    def is_empty(self) -> bool:
        """Whether no session shares anything."""
        return self.members.is_empty()

    def for_groups(self, groups: pl.DataFrame) -> Pools:
        """The same for groups (with their names) of another frame."""
        if self.is_empty:
            return self
        met = groups.select("group_no", *GROUP_NAME).join(self.names, on=GROUP_NAME, nulls_equal=True)
        return replace(self, numbers=met.select("group_no", "pool_session_id"))

    def pool_session_of(self, units: pl.DataFrame) -> pl.Series:
        """The number of each session in the pools, NULL for one that shares nothing, and for bills."""
        if self.is_empty:
            return pl.repeat(None, units.height, dtype=pl.Int64, eager=True).alias("pool_session_id")
        found = units.select("group_no", "charge").join(self.numbers, on="group_no", how="left", maintain_order="left")
        return found.select(pl.when(~pl.col("charge")).then("pool_session_id").alias("pool_session_id")).to_series()

    def price(self, rows: pl.DataFrame, quantity: str) -> pl.DataFrame:
        """Price those of `rows` (`call`, `at`, `pool_session_id`, a quantity) that are in a pool at their position.

        A quantity that is not the session's own is priced in the place of its own, with everything before it as it is.
        """
        none = pl.DataFrame(schema={"call": pl.UInt32, **PRICED})
        if self.is_empty or "pool_session_id" not in rows.columns:
            return none
        asked = rows.select("call", "pool_session_id", "at", asked=pl.col(quantity).cast(pl.Int64, strict=False)).drop_nulls(
            "pool_session_id"
        )
        if quantity == "quantity_micros":
            found = self._at(asked, self.prices)
            return found.select("call", *PRICED)
        there = self._at(asked, self.members).drop("quantity_micros").rename({"asked": "quantity_micros", "call": "request_no"})
        if there.is_empty():
            return none
        there = there.with_columns(snapshot_for(there, self.terms)).select(
            "request_no", "member_no", "snapshot_position", "quantity_micros"
        )
        return rate_members(self.members, there, self.terms).rename({"request_no": "call"})

    def _at(self, asked: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
        """Join rows (`pool_session_id`, `at`) with what is known of their session at their position; drop those without."""
        found = asked.sort("at").join_asof(
            told.sort("since"), left_on="at", right_on="since", by="pool_session_id", check_sortedness=False, coalesce=False
        )
        return found.drop_nulls("since").filter(pl.col("at") < pl.col("until"))

    def calls_of(self, rows: pl.DataFrame, quantity: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Calls with the number `call` of those of `rows` that are in a pool at their position, aside; and all of their pools."""
        asked = rows.select("call", "pool_session_id", "at", asked=pl.col(quantity).cast(pl.Int64, strict=False)).drop_nulls(
            "pool_session_id"
        )
        there = self._at(asked, self.members).drop("quantity_micros").rename({"asked": "quantity_micros", "call": "request_no"})
        others, mine, _ = snapshot_calls(
            self.members,
            there.with_columns(snapshot_for(there, self.terms)).select(
                "request_no", "member_no", "pool", "snapshot_position", "quantity_micros"
            ),
        )
        return mine, others

    def schedule(self, versions: pl.DataFrame) -> pl.DataFrame:
        """The positions (`component`, `at`) at which prices of sessions of these record versions change."""
        if self.is_empty:
            return pl.DataFrame(schema={"component": pl.Int64, "at": pl.Int64})
        of_sessions = versions.filter(~pl.col("charge")).select("component", "group_no").unique().join(self.numbers, on="group_no")
        return of_sessions.join(self.prices, on="pool_session_id").select("component", at="since").unique()

    def component_links(self, gids: pl.Series) -> pl.DataFrame:
        """(`group_no`, `link_id`) of sessions: the pools that each is ever in."""
        mine = self.numbers.join(gids.to_frame("group_no").unique(), on="group_no", how="semi")
        return mine.join(self.members.select("pool_session_id", "pool").unique(), on="pool_session_id").select(
            "group_no", link_id="pool"
        )

    def has_stable_price(self, rows: pl.DataFrame) -> pl.Series:
        """For each row (`pool_session_id`, `at`): whether nothing about its price ever changes, before its position or after it."""
        once = self.members.filter(pl.col("pool_session_id").is_unique() & (pl.col("until") == NEVER_POSITION))
        calm = once.filter(pl.col("changed") <= pl.col("since")).select("pool_session_id", calm=pl.lit(True))
        found = rows.select("pool_session_id").join(calm, on="pool_session_id", how="left", maintain_order="left")
        return found["calm"].fill_null(False) | found["pool_session_id"].is_null()


NO_POOLS = Pools()
"""No session shares anything."""


def shared_terms(terms: Terms) -> pl.DataFrame:
    """The `SHARING` of all editions together: the widest pools there can be."""
    return sharing(edition.book for edition in terms.editions)


def build_pools(events: pl.DataFrame, frontier: Frontier, terms: Terms, upto: int) -> Pools:
    """The pools of all usage among `events` (with `rule` and `currency`) up to a position."""
    table = shared_terms(terms)
    if table.is_empty():
        return NO_POOLS
    usage = events.with_row_index("row").filter(~pl.col("charge"))
    # Records and sessions never reach beyond one value of the bucket key.
    scopes = usage.filter(pl.col("service").is_in(table["service"].implode())).select("scope").unique()
    usage = usage.join(scopes, on="scope", how="semi", maintain_order="left")
    if usage.is_empty():
        return NO_POOLS
    versions, groups = assign_groups(with_due_date(resolve_contents(usage, frontier).versions, frontier))
    live = _pool_members(_sessions(versions, frontier, terms, upto), table)
    if live.is_empty():
        return NO_POOLS
    single = versions.filter(versions["group_no"].is_unique()).select("row", pool_session_id="group_no")
    return Pools(terms, live, pool_prices(live, terms), groups.rename({"group_no": "pool_session_id"}), single)


def _sessions(versions: pl.DataFrame, frontier: Frontier, terms: Terms, upto: int) -> pl.DataFrame:
    """Every session (`pool_session_id`) at every position `at` at which it may become another, valid until `until`."""
    mine = versions.with_columns(component="group_no")
    first = mine.group_by("component").agg(first=pl.col("since").min())
    starts = pl.DataFrame({"at": frontier.policies.starts})
    policies = first.join(starts, how="cross").filter(pl.col("at") > pl.col("first")).select("component", "at")
    moments = pl.concat([schedule_of(mine), terms.schedule(mine), policies]).unique().filter(pl.col("at") <= upto)
    moments = moments.sort("component", "at").with_row_index("moment").with_columns(pl.col("moment").cast(pl.Int64))
    until = pl.col("at").shift(-1).over("component").fill_null(NEVER_POSITION)
    moments = moments.with_columns(until=until, policy=pl.Series(frontier.policies.number_at(moments["at"].to_numpy())))
    rows = mine.join(moments.drop("until"), on="component")
    rows = rows.filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")))
    # Each session at each moment is a group of its own.
    units = group_records(rows.with_columns(group_no="moment"), frontier, terms)[1]
    told = units.join(moments.select("moment", "until", pool_session_id="component"), left_on="group_no", right_on="moment")
    return told.with_columns(edition=pl.Series(terms.edition_at(told["at"].to_numpy())))


def _pool_members(sessions: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Sessions as `LIVE`: those the tariff book prices, in the pools of what their service shares."""
    fits = pl.col("quantity_micros").is_between(0, MOST_MICROS)
    booked = pl.col("price_micros").is_null() & fits & pl.col("start_us").is_not_null() & (pl.col("edition") >= 0)
    groups = table.group_by("service").agg(
        pl.col("group", "by_account", "period", "spans").first(), zone_of=pl.col("timezone").first()
    )
    rows = sessions.filter(booked.fill_null(False)).join(groups, on="service")
    rows = rows.with_columns(_period(rows), who=pl.when(~pl.col("by_account")).then("subscriber"))
    rows = rows.filter(pl.col("by_account") | pl.col("who").is_not_null())
    rows = rows.with_columns(pl.col("quantity_micros").cast(pl.Int64))
    merged = _merged(rows)
    pool = pl.struct("scope", "who", "group", "index").rank("dense").cast(pl.Int64)
    ordered = merged.with_columns(pool=pool).sort("pool", "start_us", "order", "since")
    ordered = ordered.with_columns(
        member_no=pl.int_range(pl.len()).cast(pl.Int64), pool_rank=pl.struct("pool", "start_us", "order").rle_id().cast(pl.Int64),
        touched=pl.when(pl.col("until") == NEVER_POSITION).then("since").otherwise("until"),
    )  # fmt: skip
    changed = pl.col("touched").cum_max().shift(1).over("pool").fill_null(0)
    return ordered.with_columns(changed=changed).select(pl.col(n).cast(t) for n, t in POOL_MEMBER.items())


def _period(rows: pl.DataFrame) -> pl.Expr:
    """`index`, the billing period of each session, where its group has only one; else the pool is for ever."""
    index = pl.lit(None, pl.Int64)
    for zone in rows["zone_of"].unique().sort().to_list():
        here = (pl.col("zone_of") == zone) & (pl.col("spans") == 1)
        index = pl.when(here).then(period_number(pl.col("period"), zone, pl.col("start_us"))).otherwise(index)
    return index.alias("index")


def _merged(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of one session that follow one another and say the same, as one."""
    ordered = rows.rename({"at": "since"}).sort("pool_session_id", "since")
    same = ["pool_session_id", "group", "index", "edition", *_KEPT]
    begins = ~pl.all_horizontal(pl.col(n).eq_missing(pl.col(n).shift(1)) for n in same)
    fresh = begins | (pl.col("since") != pl.col("until").shift(1))
    runs = ordered.with_columns(run=fresh.fill_null(True).cum_sum())
    ends = runs.group_by("run").agg(pl.col("until").last())
    return runs.unique("run", keep="first", maintain_order=True).drop("until").join(ends, on="run", maintain_order="left")
