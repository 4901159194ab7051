"""Links between parties that share traits, and new parties that behave as confirmed fraudsters did.

A trait of a party is a handset, a SIM, a cell or a peer. A trait that few parties have weighs more than a trait that many have. Its
weight is the logarithm of the number of all parties over the number of parties with the trait. The likeness of two parties is the
cosine of their weighted traits.
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
    values = {"imei": settings.imei, "imsi": settings.imsi, "most_parties": MOST_PARTIES}
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
    suspected = _add_weights(traits).filter("is_suspected")
    both = suspected.join(suspected, on=["kind", "value"], suffix="_other").filter(pl.col("party") < pl.col("party_other"))
    counted = both.group_by("party", other="party_other").agg(
        *(pl.col("value").filter(pl.col("kind") == kind).sort().alias(f"{kind}s") for kind in KIND_WEIGHTS),
        weight=pl.col("weight").sum(),
    )
    return counted.with_columns(pl.col("weight").round(6)).sort(pl.col("weight"), "party", "other", descending=[True, False, False])


def _add_weights(traits: pl.DataFrame) -> pl.DataFrame:
    """Add the weight of each trait."""
    everyone = max(traits["party"].n_unique(), 1)
    rarity = (pl.lit(everyone + 1) / pl.col("parties")).log().clip(lower_bound=0.0)
    return traits.with_columns(weight=rarity * pl.col("kind").replace_strict(KIND_WEIGHTS, default=1.0, return_dtype=pl.Float64))


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

    A party may be a confirmed fraudster's new number only if its first record is later than the fraudster's first record.
    """
    weighted = _add_weights(traits)
    length = weighted.group_by("party").agg(length=pl.col("weight").pow(2).sum().sqrt(), begins=pl.col("first_at").min())
    confirmed, others = weighted.filter("is_confirmed"), weighted.filter(~pl.col("is_confirmed"))
    both = others.join(confirmed, on=["kind", "value"], suffix="_like")
    scored = both.group_by("party", like="party_like").agg(product=pl.col("weight").pow(2).sum(), shared=pl.len())
    scored = scored.join(length, on="party").join(
        length.rename({"party": "like", "length": "like_length", "begins": "like_begins"}), on="like"
    )
    scored = scored.filter(pl.col("begins") > pl.col("like_begins"))
    likeness = (pl.col("product") / (pl.col("length") * pl.col("like_length"))).fill_nan(0.0).round(6)
    ranked = scored.with_columns(likeness=likeness).sort("likeness", "party", "like", descending=[True, False, False])
    return ranked.unique("party", keep="first", maintain_order=True).select(
        "party", "like", "likeness", "shared", first_at="begins"
    )
