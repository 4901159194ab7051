"""Sessions that share free units or tiers: a *pool* is those of one owner, group of services and billing period.

A session's price depends on the sessions of its pool before it, hence changes when one of them comes late. What each costs at
which positions is found before the rounds, over all usage, so that pools do not tie components together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

from trueup.rating.gather import period_number
from trueup.rating.rate import MOST_MICROS
from trueup.rating.sharing import sharing
from trueup.reconcile.calls import PRICED
from trueup.reconcile.components import GROUP_NAME, agenda_of, grouped
from trueup.reconcile.frontier import Frontier
from trueup.reconcile.records import admit, with_due
from trueup.reconcile.rules import NEVER
from trueup.reconcile.terms import Terms
from trueup.reconcile.units import gathered
from trueup.reconcile.worlds import LIVE, PRICE, calls_in, prices_of, rated_in, world_of

_NAMES = {"own": pl.Boolean, **dict.fromkeys(GROUP_NAME[1:], pl.String), "sharer": pl.Int64}
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

    `names` gives each session its number, `sharer`, by the name of its group; `records` by the `row` of its record, where it has
    only one. `numbers` are those of the groups (`gid`) of the frame at hand.
    """

    terms: Terms = field(default_factory=Terms)
    live: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LIVE))
    prices: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PRICE))
    names: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_NAMES))
    records: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"row": pl.UInt32, "sharer": pl.Int64}))
    numbers: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"gid": pl.Int64, "sharer": pl.Int64}))

    @property
    def nobody(self) -> bool:
        """Whether no session shares anything."""
        return self.live.is_empty()

    def of(self, groups: pl.DataFrame) -> Pools:
        """The same for groups (with their names) of another frame."""
        if self.nobody:
            return self
        met = groups.select("gid", *GROUP_NAME).join(self.names, on=GROUP_NAME, nulls_equal=True)
        return replace(self, numbers=met.select("gid", "sharer"))

    def sharer_of(self, units: pl.DataFrame) -> pl.Series:
        """The number of each session in the pools, NULL for one that shares nothing, and for bills."""
        if self.nobody:
            return pl.repeat(None, units.height, dtype=pl.Int64, eager=True).alias("sharer")
        found = units.select("gid", "charge").join(self.numbers, on="gid", how="left", maintain_order="left")
        return found.select(pl.when(~pl.col("charge")).then("sharer").alias("sharer")).to_series()

    def priced(self, rows: pl.DataFrame, quantity: str) -> pl.DataFrame:
        """`call` and `PRICED` of those of `rows` (`call`, `at`, `sharer`, a quantity) that are in a pool at their position.

        A quantity that is not the session's own is priced in the place of its own, with everything before it as it is.
        """
        none = pl.DataFrame(schema={"call": pl.UInt32, **PRICED})
        if self.nobody or "sharer" not in rows.columns:
            return none
        asked = rows.select("call", "sharer", "at", asked=pl.col(quantity).cast(pl.Int64, strict=False)).drop_nulls("sharer")
        if quantity == "quantity_micros":
            found = self._at(asked, self.prices)
            return found.select("call", *PRICED)
        there = self._at(asked, self.live).drop("quantity_micros").rename({"asked": "quantity_micros", "call": "ask"})
        if there.is_empty():
            return none
        there = there.with_columns(world_of(there, self.terms)).select("ask", "live", "world", "quantity_micros")
        return rated_in(self.live, there, self.terms).rename({"ask": "call"})

    def _at(self, asked: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
        """Rows (`sharer`, `at`) with what is told of their session at their position; those of which nothing is are left out."""
        found = asked.sort("at").join_asof(
            told.sort("since"), left_on="at", right_on="since", by="sharer", check_sortedness=False, coalesce=False
        )
        return found.drop_nulls("since").filter(pl.col("at") < pl.col("until"))

    def calls_of(self, rows: pl.DataFrame, quantity: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Calls with the number `call` of those of `rows` that are in a pool at their position, aside; and all of their pools."""
        asked = rows.select("call", "sharer", "at", asked=pl.col(quantity).cast(pl.Int64, strict=False)).drop_nulls("sharer")
        there = self._at(asked, self.live).drop("quantity_micros").rename({"asked": "quantity_micros", "call": "ask"})
        others, mine, _ = calls_in(
            self.live, there.with_columns(world_of(there, self.terms)).select("ask", "live", "pool", "world", "quantity_micros")
        )
        return mine, others

    def agenda(self, versions: pl.DataFrame) -> pl.DataFrame:
        """The positions (`component`, `at`) at which prices of sessions of these record versions change."""
        if self.nobody:
            return pl.DataFrame(schema={"component": pl.Int64, "at": pl.Int64})
        of_sessions = versions.filter(~pl.col("charge")).select("component", "gid").unique().join(self.numbers, on="gid")
        return of_sessions.join(self.prices, on="sharer").select("component", at="since").unique()

    def hubs(self, gids: pl.Series) -> pl.DataFrame:
        """(`gid`, `hub`) of sessions: the pools that each is ever in."""
        mine = self.numbers.join(gids.to_frame("gid").unique(), on="gid", how="semi")
        return mine.join(self.live.select("sharer", "pool").unique(), on="sharer").select("gid", hub="pool")

    def steady(self, rows: pl.DataFrame) -> pl.Series:
        """For each row (`sharer`, `at`): whether nothing about its price ever changes, before its position or after it."""
        once = self.live.filter(pl.col("sharer").is_unique() & (pl.col("until") == NEVER))
        calm = once.filter(pl.col("changed") <= pl.col("since")).select("sharer", calm=pl.lit(True))
        found = rows.select("sharer").join(calm, on="sharer", how="left", maintain_order="left")
        return found["calm"].fill_null(False) | found["sharer"].is_null()


ALONE = Pools()
"""No session shares anything."""


def shared_of(terms: Terms) -> pl.DataFrame:
    """The `SHARING` of all editions together: the widest pools there can be."""
    return sharing(edition.book for edition in terms.editions)


def pools_of(events: pl.DataFrame, frontier: Frontier, terms: Terms, upto: int) -> Pools:
    """The pools of all usage among `events` (with `rule` and `currency`) up to a position."""
    table = shared_of(terms)
    if table.is_empty():
        return ALONE
    usage = events.with_row_index("row").filter(~pl.col("charge"))
    # Records and sessions never reach beyond one value of the bucket key.
    scopes = usage.filter(pl.col("service").is_in(table["service"].implode())).select("scope").unique()
    usage = usage.join(scopes, on="scope", how="semi", maintain_order="left")
    if usage.is_empty():
        return ALONE
    versions, groups = grouped(with_due(admit(usage, frontier).versions, frontier))
    live = _live(_sessions(versions, frontier, terms, upto), table)
    if live.is_empty():
        return ALONE
    single = versions.filter(versions["gid"].is_unique()).select("row", sharer="gid")
    return Pools(terms, live, prices_of(live, terms), groups.rename({"gid": "sharer"}), single)


def _sessions(versions: pl.DataFrame, frontier: Frontier, terms: Terms, upto: int) -> pl.DataFrame:
    """Every session (`sharer`) at every position `at` at which it may become another, valid until `until`."""
    mine = versions.with_columns(component="gid")
    first = mine.group_by("component").agg(first=pl.col("since").min())
    starts = pl.DataFrame({"at": frontier.policies.starts})
    policies = first.join(starts, how="cross").filter(pl.col("at") > pl.col("first")).select("component", "at")
    moments = pl.concat([agenda_of(mine), terms.agenda(mine), policies]).unique().filter(pl.col("at") <= upto)
    moments = moments.sort("component", "at").with_row_index("moment").with_columns(pl.col("moment").cast(pl.Int64))
    until = pl.col("at").shift(-1).over("component").fill_null(NEVER)
    moments = moments.with_columns(until=until, policy=pl.Series(frontier.policies.number_at(moments["at"].to_numpy())))
    rows = mine.join(moments.drop("until"), on="component")
    rows = rows.filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")))
    # Each session at each moment is a group of its own.
    units = gathered(rows.with_columns(gid="moment"), frontier, terms)[1]
    told = units.join(moments.select("moment", "until", sharer="component"), left_on="gid", right_on="moment")
    return told.with_columns(edition=pl.Series(terms.edition_at(told["at"].to_numpy())))


def _live(sessions: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
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
        live=pl.int_range(pl.len()).cast(pl.Int64), place=pl.struct("pool", "start_us", "order").rle_id().cast(pl.Int64),
        touched=pl.when(pl.col("until") == NEVER).then("since").otherwise("until"),
    )  # fmt: skip
    changed = pl.col("touched").cum_max().shift(1).over("pool").fill_null(0)
    return ordered.with_columns(changed=changed).select(pl.col(n).cast(t) for n, t in LIVE.items())


def _period(rows: pl.DataFrame) -> pl.Expr:
    """`index`, the billing period of each session, where its group has only one; else the pool is for ever."""
    index = pl.lit(None, pl.Int64)
    for zone in rows["zone_of"].unique().sort().to_list():
        here = (pl.col("zone_of") == zone) & (pl.col("spans") == 1)
        index = pl.when(here).then(period_number(pl.col("period"), zone, pl.col("start_us"))).otherwise(index)
    return index.alias("index")


def _merged(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of one session that follow one another and say the same, as one."""
    ordered = rows.rename({"at": "since"}).sort("sharer", "since")
    same = ["sharer", "group", "index", "edition", *_KEPT]
    begins = ~pl.all_horizontal(pl.col(n).eq_missing(pl.col(n).shift(1)) for n in same)
    fresh = begins | (pl.col("since") != pl.col("until").shift(1))
    runs = ordered.with_columns(run=fresh.fill_null(True).cum_sum())
    ends = runs.group_by("run").agg(pl.col("until").last())
    return runs.unique("run", keep="first", maintain_order=True).drop("until").join(ends, on="run", maintain_order="left")
