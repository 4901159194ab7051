"""Estimate the value of missing records: bounds of their number and money, as a nominal 99 % interval.

The value of a record of a service is the sum of charges on the days before, divided by the number of records. The squares of the
charges measure how much single records differ. The sum of many unequal records has a distribution skewed to the right. So a gamma
distribution of the same mean and variance gives the ends of the interval. These estimates are computed in floating point and
rounded outwards once to whole millionths. The estimates enter no sum of money that is owed.
"""

from __future__ import annotations

from datetime import date
from statistics import NormalDist

import polars as pl

from trueup.quality.completeness.inputs import WHOLE
from trueup.units import MICROS

CONFIDENCE = 0.99
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
_DAY_US = 86_400_000_000
_LEAST_RECORDS = 50
_DAY_DEVIATION, _DAYS_OF_BELIEF = 0.15, 5
"""The deviation of a day's mean value from other days, as a share, that is assumed until days are observed.

The second number is the weight of this assumption, in days of observation. Records of a day are not independent, because a few
subscribers account for many of them."""


def in_one_currency(money: pl.DataFrame) -> pl.DataFrame:
    """Select the charges in each service's most frequent currency, and set that currency on all rows of the service.

    Of two equally frequent currencies the first by name is taken. Charges in other currencies are left out, because no exchange
    rate is known.
    """
    by_currency = money.drop_nulls("currency").group_by("service", "currency").agg(pl.col("charged").sum())
    most = by_currency.sort("service", pl.col("charged"), "currency", descending=[False, True, False]).unique(
        "service", keep="first", maintain_order=True
    )  # fmt: skip
    in_currency = money.join(most.select("service", own="currency"), on="service", how="left")
    return (
        in_currency.filter(pl.col("currency").is_null() | (pl.col("currency") == pl.col("own")))
        .with_columns(currency="own")
        .drop("own")
    )


def record_values(money: pl.DataFrame) -> pl.DataFrame:
    """Return the value of one record (see `per_record`), by `stream` and by the feed that it is `of`.

    Usage is valued by the charges of all feeds for its service, a charge by the charges of its own feed.
    """
    single_currency = in_one_currency(money)
    found = [per_record(single_currency, "usage").with_columns(stream=pl.lit("usage"), of=pl.lit(""))]
    for (source,), own in sorted(money.filter(pl.col("charged") > 0).group_by("source"), key=lambda part: str(part[0])):
        found.append(per_record(in_one_currency(own), "charge").with_columns(stream=pl.lit("charge"), of=pl.lit(source, pl.String)))
    return pl.concat(found)


def per_record(money: pl.DataFrame, stream: str) -> pl.DataFrame:
    """Return the value of one record, by service and by the day from which the record is missing.

    Columns: `service`, `day`, `known`, `worth`, `square`, `drift`, `currency`. `worth` and `square` are mean and
    mean square on the days before; for a charge they are those of its amount.
    """
    currencies = money.select("service", "currency").unique()
    of_day = (
        money.group_by("service", "day").agg(pl.col("used", "charged", "amount", "amount_squared").sum()).sort("service", "day")
    )
    counted = "used" if stream == "usage" else "charged"
    sums = of_day.with_columns(
        pl.col(n).cast(pl.Float64).cum_sum().shift(1).over("service") for n in (counted, "amount", "amount_squared")
    )
    each = pl.when(pl.col(counted) >= _LEAST_RECORDS).then(pl.col("amount") / pl.col(counted))
    days, one, two = (e.cum_sum().shift(1).over("service").alias(n) for n, e in (
        ("days", each.is_not_null().cast(pl.Float64)), ("one", each.fill_null(0.0)), ("two", each.pow(2).fill_null(0.0)),
    ))  # fmt: skip
    shown = of_day.with_columns(days, one, two).select("service", "day", drift=_derive_relative_day_variance())
    columns = ["service", "day", "known", "worth", "square", "drift"]
    before = sums.filter(pl.col(counted) >= _LEAST_RECORDS).select(
        "service", "day", known=pl.col(counted), worth=pl.col("amount") / pl.col(counted),
        square=pl.col("amount_squared") / pl.col(counted),
    ).join(shown, on=["service", "day"])  # fmt: skip
    # With too little history, use the median of all days, because the day that lacks records hardly changes it.
    whole = of_day.filter(pl.col(counted) > 0).group_by("service").agg(
        day=pl.lit(date.min), known=pl.col(counted).cast(pl.Float64).sum(),
        worth=(pl.col("amount") / pl.col(counted)).median(), square=(pl.col("amount_squared") / pl.col(counted)).median(),
        drift=pl.lit(2 * _DAY_DEVIATION**2),
    )  # fmt: skip
    both = pl.concat([whole.filter(pl.col("known") >= _LEAST_RECORDS).select(columns), before.select(columns)])
    return both.join(currencies, on="service", how="left")


def _derive_relative_day_variance() -> pl.Expr:
    """Return the variance of a day's mean value around its expectation, relative to the square of the expectation.

    Reads the columns `days`, `one` and `two`.
    """
    days = pl.col("days").fill_null(0.0)
    mean = pl.col("one") / days
    observed = (
        pl.when((days > 0) & (mean != 0)).then(((pl.col("two") / days) / mean.pow(2) - 1).clip(lower_bound=0.0)).otherwise(0.0)
    )
    own = (_DAYS_OF_BELIEF * _DAY_DEVIATION**2 + days * observed) / (_DAYS_OF_BELIEF + days)
    return own * (1 + 1 / days.clip(lower_bound=1.0))


def service_shares(hours: pl.DataFrame) -> pl.DataFrame:
    """Return the share of each service in a node's records: `stream`, `source`, `node`, `service`, `share`."""
    node = ["stream", "source", "node"]
    counts = hours.group_by(*node, "service").agg(pl.col("records").sum())
    return counts.with_columns(share=pl.col("records") / pl.col("records").sum().over(node)).drop("records")


def with_bounds(found: pl.DataFrame, money: pl.DataFrame, hours: pl.DataFrame, currency: str) -> pl.DataFrame:
    """Add to rows of `FOUND` the bounds `records_low`, `records_high`, `money_low`, `money_high` (millionths), `currency`.

    The currency is the one of most missing records. Where their value is unknown, money is NULL and the currency is `currency`. A
    finding without missing records has no bounds. Where the money is exact (`exact_money`), both bounds are equal to it.

    Examples -------- A gap in the record numbers shows that exactly 100 voice records are missing. The day before, 400 voice
    charges added up to 200 EUR, so the expected value is 50 EUR. The bounds are wide because a single day of history is weak
    evidence for the next.

    >>> from trueup.quality.completeness.inputs import HOUR, HOUR_US, MONEY, as_findings
    >>> gap = as_findings(pl.DataFrame([
    ...     {"kind": "missing_records", "control": "records", "stream": "usage", "source": "msc", "node": "n1", "service": "voice",
    ...      "subject": "7", "from_us": 26 * HOUR_US, "to_us": 27 * HOUR_US, "records": 100.0, "records_variance": 0.0},
    ... ]))
    >>> charges = pl.DataFrame([("billing", "voice", date(1970, 1, 1), "EUR", 400, 400, 200.0, 100.0, 1)], MONEY, orient="row")
    >>> ends = ["records_low", "records_high", "money_low", "money_high", "currency"]
    >>> with_bounds(gap, charges, pl.DataFrame(schema=HOUR), "EUR").select(ends).row(0)
    (100, 100, 26854647, 81555424, 'EUR')

    Where the count itself is an estimate, here with a standard deviation of 20 records, both intervals widen.

    >>> estimated = gap.with_columns(records_variance=pl.lit(400.0))
    >>> with_bounds(estimated, charges, pl.DataFrame(schema=HOUR), "EUR").select(ends).row(0)
    (55, 160, 20280093, 95534578, 'EUR')

    Without charges the records are counted but have no value.

    >>> with_bounds(gap, charges.clear(), pl.DataFrame(schema=HOUR), "EUR").select(ends).row(0)
    (100, 100, None, None, 'EUR')
    """
    numbered = found.with_row_index("row")
    valued = numbered.join(_compute_row_values(numbered, money, hours), on="row", how="left", maintain_order="left")
    n, var = pl.col("records").clip(lower_bound=0.0), pl.col("records_variance")
    low, high = _derive_interval_ends(n, var)
    low, high = pl.when(var == 0).then(n).otherwise(low), pl.when(var == 0).then(n).otherwise(high)
    of_one = (pl.col("square") - pl.col("mean").pow(2)).clip(lower_bound=0.0)
    error = pl.col("mean").pow(2) * pl.col("drift") + of_one / pl.col("known")
    money_mean = n * pl.col("mean")
    money_variance = n * of_one + pl.col("mean").pow(2) * var + n.pow(2) * error
    money_low, money_high = _derive_interval_ends(money_mean, money_variance)
    priced = pl.col("records").is_not_null() & pl.col("any_worth").fill_null(False)
    return valued.with_columns(
        records_low=pl.when(n.is_not_null()).then(low.floor().cast(pl.Int64)),
        records_high=pl.when(n.is_not_null()).then(high.ceil().cast(pl.Int64)),
        money_low=pl.coalesce("exact_money", pl.when(priced).then((money_low * MICROS).floor().cast(pl.Int64))),
        money_high=pl.coalesce("exact_money", pl.when(priced).then((money_high * MICROS).ceil().cast(pl.Int64))),
        currency=pl.coalesce("exact_currency", "currency", pl.lit(currency)),
    ).drop("row", "any_worth", "mean", "square", "known", "drift")  # fmt: skip


def _compute_row_values(numbered: pl.DataFrame, money: pl.DataFrame, hours: pl.DataFrame) -> pl.DataFrame:
    """Return the value of one missing record of each `row`: `mean`, `square`, `known`, `drift`, `currency`, `any_worth`."""
    parts = _divide_by_service(numbered, service_shares(hours))
    of = pl.when(pl.col("stream") == "charge").then(pl.col("source")).otherwise(pl.lit(""))
    parts = parts.with_columns(of=of, day=pl.from_epoch(pl.col("from_us") // 1_000_000).dt.date()).sort("day").join_asof(
        record_values(money).sort("day"), on="day", by=["stream", "of", "service"], strategy="backward", check_sortedness=False
    )  # fmt: skip
    main = parts.drop_nulls("currency").group_by("row", "currency").agg(pl.col("share").sum()).sort(
        "row", "share", "currency", descending=[False, True, False]
    ).unique("row", keep="first", maintain_order=True).select("row", main="currency")  # fmt: skip
    parts = parts.join(main, on="row", how="left").filter(pl.col("currency").is_null() | (pl.col("currency") == pl.col("main")))
    # A service without charges has the value 0, if another service of the row has charges.
    return parts.group_by("row").agg(
        any_worth=pl.col("worth").is_not_null().any(), mean=(pl.col("share") * pl.col("worth")).sum(),
        square=(pl.col("share") * pl.col("square")).sum(), known=pl.col("known").sum(),
        drift=pl.col("drift").max(), currency=pl.col("main").first(),
    )  # fmt: skip


def _divide_by_service(numbered: pl.DataFrame, mix: pl.DataFrame) -> pl.DataFrame:
    """Divide each finding among the services of its node, or of its source where the node is unknown."""
    node = ["stream", "source", "node"]
    one = numbered.filter(pl.col("service") != WHOLE).select("row", "stream", "source", "from_us", "service", share=pl.lit(1.0))
    whole = numbered.filter(pl.col("service") == WHOLE).drop("service")
    by_node = whole.join(mix, on=node).select("row", "stream", "source", "from_us", "service", "share")
    # A finding without a known node gets the mean of the service mixes of its source's nodes.
    rest = whole.join(by_node.select("row").unique(), on="row", how="anti")
    of_source = mix.group_by("stream", "source", "service").agg(pl.col("share").mean())
    by_source = rest.drop("node").join(of_source, on=["stream", "source"])
    return pl.concat([one, by_node, by_source.select(one.columns)])


def _derive_interval_ends(mean: pl.Expr, variance: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Return the ends of the interval of a gamma distribution, by the cube of Wilson and Hilferty; 0 for a mean of 0."""
    safe = pl.when(mean > 0).then(mean)
    inverse = variance / (9 * safe.pow(2))
    cube = [safe * (1 - inverse + sign * _Z * inverse.sqrt()).clip(lower_bound=0.0).pow(3) for sign in (-1, 1)]
    none = _Z * variance.sqrt()
    return cube[0].fill_null(0.0), cube[1].fill_null(none.fill_null(0.0))
