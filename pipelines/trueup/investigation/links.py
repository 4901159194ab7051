"""Links between parties that share traits, and new parties that behave as confirmed fraudsters did.

A trait of a party is a handset, a SIM, a cell or a peer. A trait that few parties have weighs more than a trait that many have. Its
weight is the logarithm of the number of all parties over the number of parties with the trait. The likeness of two parties is the
cosine of all their weighted traits, also of those that no suspected party has. The query weighs the traits and adds them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from trueup.errors import TrueupError
from trueup.warehouse.query import Warehouse

MOST_PARTIES = 1_000
"""Maximum number of parties of a trait: a more frequent trait, such as a hotline, links no parties."""
KIND_WEIGHTS = {"handset": 4.0, "sim": 4.0, "cell": 1.0, "peer": 2.0}
"""The weight of a kind of trait as evidence of who uses the number."""


@dataclass(frozen=True)
class Links:
    """Links of suspected parties: `pairs` with the traits that they share, `groups` of parties that links connect, and `offenders`.

    `offenders` are parties that are not confirmed, ranked by likeness to the confirmed party that is most like them.
    """

    pairs: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    offenders: list[dict[str, Any]]


def links(warehouse: Warehouse, *, party: str | None = None, most: int = 50) -> Links:
    """Return the links of suspected parties, or of the named party; raise `TrueupError` for a named party without traits."""
    settings = warehouse.lake.project.config.fraud
    values = {"imei": settings.imei, "imsi": settings.imsi, "most_parties": MOST_PARTIES, **KIND_WEIGHTS}
    traits = pl.DataFrame(warehouse.table("queries/cases/party_traits", values))
    if party is not None and traits.filter(pl.col("party") == party).is_empty():
        raise TrueupError(f"{party} shares nothing with a suspected party", todo="take a party from the view `cases`")
    pairs = shared_traits(traits)
    if party is not None:
        pairs = pairs.filter((pl.col("party") == party) | (pl.col("other") == party))
    offenders = rank_offenders(traits)
    if party is not None:
        offenders = offenders.filter(pl.col("party") == party)
    return Links(pairs.head(most).to_dicts(), connected(pairs)[:most], offenders.head(most).to_dicts())


def shared_traits(traits: pl.DataFrame) -> pl.DataFrame:
    """Return pairs of suspected parties (`party` < `other`) with their shared traits and `weight`, the heaviest first."""
    suspected = traits.filter("is_suspected")
    both = suspected.join(suspected, on=["kind", "value"], suffix="_other").filter(pl.col("party") < pl.col("party_other"))
    counted = both.group_by("party", other="party_other").agg(
        *(pl.col("value").filter(pl.col("kind") == kind).sort().alias(f"{kind}s") for kind in KIND_WEIGHTS),
        weight=pl.col("weight").sum(),
    )
    return counted.with_columns(pl.col("weight").round(6)).sort(pl.col("weight"), "party", "other", descending=[True, False, False])


def connected(pairs: pl.DataFrame) -> list[dict[str, Any]]:
    """Return groups of parties that pairs connect, the largest first, each with its parties in order."""
    leader: dict[str, str] = {}

    def find(party: str) -> str:
        while leader.setdefault(party, party) != party:
            leader[party] = leader[leader[party]]
            party = leader[party]
        return party

    for one, other in pairs.select("party", "other").iter_rows():
        first, second = sorted((find(one), find(other)))
        leader[second] = first
    groups: dict[str, list[str]] = {}
    for party in sorted(leader):
        groups.setdefault(find(party), []).append(party)
    ordered = sorted(groups.values(), key=lambda parties: (-len(parties), parties))
    return [{"parties": parties, "size": len(parties)} for parties in ordered]


def rank_offenders(traits: pl.DataFrame) -> pl.DataFrame:
    """Return parties that are not confirmed, by likeness to confirmed ones: `party`, `like`, `likeness`, `shared`, `first_at`.

    A party may be a confirmed fraudster's new number only if its first record is later than the fraudster's first record. Both, and
    the length of the parties' vectors, are of all their records and traits: `began_at` and `squared_weight`.
    """
    confirmed, others = traits.filter("is_confirmed"), traits.filter(~pl.col("is_confirmed"))
    both = others.join(confirmed, on=["kind", "value"], suffix="_like").filter(pl.col("began_at") > pl.col("began_at_like"))
    length = (pl.col("squared_weight") * pl.col("squared_weight_like")).first().sqrt()
    likeness = (pl.col("weight").sort().pow(2).sum() / length).fill_nan(0.0).round(6)
    scored = both.group_by("party", like="party_like").agg(likeness=likeness, shared=pl.len(), first_at=pl.col("began_at").first())
    ranked = scored.sort("likeness", "party", "like", descending=[True, False, False])
    return ranked.unique("party", keep="first", maintain_order=True).select("party", "like", "likeness", "shared", "first_at")
