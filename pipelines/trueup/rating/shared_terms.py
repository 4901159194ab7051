"""Find which records influence each other's prices: services that share allowances or tiers, and the periods in which they do."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from trueup.rating.book import PRICED_KEY, Book

SHARING: dict[str, pl.DataType] = {
    "service": pl.String(),
    "plan": pl.String(),  # NULL: any plan
    "group": pl.String(),  # the least name of the connected services
    "by_account": pl.Boolean(),  # whether some term of the group is shared by the account
    "period": pl.String(),  # the longest of the group's
    "timezone": pl.String(),
    "spans": pl.UInt32(),  # the number of distinct pairs of period and time zone in the group
}
"""A service and plan whose prices depend on other records."""
_LONGEST = ["cycle", "month", "week", "day"]


def sharing(books: Iterable[Book]) -> pl.DataFrame:
    """Return the `SHARING` of one book; of several books, as if the terms of all were in force."""
    terms_of_books = [_list_shared_terms(book) for book in books if book.has_shared_terms]
    if not terms_of_books:
        return pl.DataFrame(schema=SHARING)
    terms = pl.concat(terms_of_books).unique(maintain_order=True)
    terms = terms.with_columns(group=pl.col("service").replace_strict(_group_services(terms)))
    longest = pl.col("period").sort_by(pl.col("period").replace_strict(_LONGEST, range(4)), "timezone")
    of_group = terms.group_by("group").agg(
        pl.col("by_account").any(), longest.first(), pl.col("timezone").sort_by(
            pl.col("period").replace_strict(_LONGEST, range(4)), "timezone"
        ).first(), spans=pl.struct("period", "timezone").n_unique(),
    )  # fmt: skip
    services = terms.select("service", "plan", "group").unique().join(of_group, on="group")
    return services.sort("service", "plan", nulls_last=True).select(pl.col(n).cast(t) for n, t in SHARING.items())


def _list_shared_terms(book: Book) -> pl.DataFrame:
    """Return the shared terms; services with one `name` are connected."""
    tiers = book.rates.filter(pl.col("tier_from_micros") > 0).select(PRICED_KEY).unique()
    base = book.rates.filter(pl.col("tier_from_micros") == 0).join(tiers, on=PRICED_KEY, how="semi", nulls_equal=True)
    free = book.allowances.with_columns(service=pl.col("services").str.split(",").list.eval(pl.element().str.strip_chars()))
    terms = ["shared", "period", "timezone", "plan", "service"]
    both = [base.select(*terms, name=pl.lit(None, pl.String)), free.explode("service").select(*terms, "name")]
    return pl.concat(both).select(
        "service", "plan", "name", by_account=(pl.col("shared") == "account").fill_null(False),
        period=pl.col("period").fill_null("month"), timezone=pl.col("timezone").fill_null("UTC"),
    )  # fmt: skip


def _group_services(terms: pl.DataFrame) -> dict[str, str]:
    """Return for each service the least name of the services connected to it by shared allowances."""
    group = {service: service for service in terms["service"].to_list()}
    named = terms.drop_nulls("name").group_by("name").agg(pl.col("service").unique())["service"].to_list()
    for services in named * len(named):
        least = min(group[service] for service in services)
        merged = {group[service] for service in services}
        group = {service: least if label in merged else label for service, label in group.items()}
    return group
