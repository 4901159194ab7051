"""Find shifted shares of records (without quantity, subscriber or peer; of a service or destination), and jumps of clocks."""

from __future__ import annotations

from statistics import NormalDist

import polars as pl

from trueup.localtime import wall_us
from trueup.quality.completeness.inputs import HOUR_US, CompletenessInputs, Rules, as_findings
from trueup.quality.completeness.volume import chance_of_an_alarm

NODE = ["stream", "source", "node"]
MEASURES = {"zeros": "of no quantity", "no_subscriber": "without a subscriber", "no_peer": "without another party"}
DAY_HOURS = 24
HISTORY_DAYS = 28
LEAST_DAYS = 7
_LEAST_RECORDS = 20
_NIGHT_HOURS = 24
_LEAST_SHIFT = 0.1
"""A smaller shift of a share raises no finding, even if it is statistically certain."""
_JUMP_RATIO = 2.5
"""An hour holds records of two times if its range of record numbers is at least this many times its number of records."""


def _count_parts(inputs: CompletenessInputs) -> pl.DataFrame:
    """Return the counts of each measure by node and hour: `NODE`, `measure`, `hour_us`, `part`, `records`.

    Destinations whose share of an hour was always too small for a relevant shift are left out.
    """
    sums = inputs.hours.group_by(*NODE, "hour_us").agg(pl.col("records", *MEASURES).sum())
    of_measures = [
        sums.select(*NODE, "hour_us", "records", measure=pl.lit(label), part=pl.col(name)) for name, label in MEASURES.items()
    ]
    whole = sums.select(*NODE, "hour_us", "records")
    services = inputs.hours.group_by(*NODE, "service", "hour_us").agg(part=pl.col("records").sum())
    several = services.filter(pl.col("service").n_unique().over(NODE) > 1)
    destinations = inputs.destinations.group_by(*NODE, "destination", "hour_us").agg(part=pl.col("records").sum())
    large = destinations.join(whole, on=[*NODE, "hour_us"]).filter(
        (pl.col("records") >= _LEAST_RECORDS) & (pl.col("part") > _LEAST_SHIFT * pl.col("records"))
    )  # fmt: skip
    near = destinations.join(large, on=[*NODE, "destination"], how="semi")
    return pl.concat([
        *of_measures, _fill_hours(several, "service", "of service {}", whole), _fill_hours(near, "destination", "to {}", whole),
    ])  # fmt: skip


def _fill_hours(parts: pl.DataFrame, name: str, label: str, whole: pl.DataFrame) -> pl.DataFrame:
    """Return the number of records of each part of a node's traffic, in every hour in which the node has records."""
    every = parts.select(*NODE, name).unique().join(whole, on=NODE)
    return every.join(parts, on=[*NODE, name, "hour_us"], how="left").select(
        *NODE, "hour_us", "records", measure=pl.format(label, name), part=pl.col("part").fill_null(0)
    )


def _count_tests(inputs: CompletenessInputs) -> pl.DataFrame:
    """Return the number of shares of each node that are tested, including those too small to shift (`NODE`, `tests`)."""
    services = inputs.hours.group_by(NODE).agg(services=pl.col("service").n_unique())
    destinations = inputs.destinations.group_by(NODE).agg(destinations=pl.col("destination").n_unique())
    of_services = pl.when(pl.col("services") > 1).then("services").otherwise(0)
    return services.join(destinations, on=NODE, how="left").select(
        *NODE, tests=len(MEASURES) + of_services + pl.col("destinations").fill_null(0)
    )


def find_shifted_shares(inputs: CompletenessInputs, passed: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Return the cells (`NODE`, `measure`, `hour_us`) whose share differs from the weeks before, with `part` and `records`.

    The usual share of an hour is taken from the same local hour of earlier days, so nights are compared with nights. The test
    compares the part's count with the count of all records. The bound allows for the earlier spread of such counts, and for the
    skew of small counts.
    """
    line = [*NODE, "measure"]
    complete = _count_parts(inputs).join(passed, on="source").filter(pl.col("hour_us") + HOUR_US <= pl.col("passed_us"))
    place = [*line, "of_day"]
    ordered = complete.with_columns(of_day=wall_us(pl.col("hour_us"), rules.timezone) // HOUR_US % DAY_HOURS).sort(
        *place, "hour_us"
    )
    before = {n: pl.col(n).rolling_sum(HISTORY_DAYS, min_samples=LEAST_DAYS).shift(1).over(place) for n in ("part", "records")}
    # Keep the usual share between 0 and 1: an event that did not happen in a month may still happen by chance.
    usual = ((before["part"] + 1) / (before["records"] + 2)).alias("usual")
    whole = ordered.with_columns(usual).drop_nulls("usual")
    mean = pl.col("records") * pl.col("usual")
    deviation = (mean * (1 - pl.col("usual")) * (1 + pl.col("records") / (_LEAST_RECORDS + before["records"]))).sqrt()
    whole = whole.with_columns(mean=mean, deviation=deviation).join(_count_tests(inputs), on=NODE)
    residual = (pl.col("part") - pl.col("mean")) / pl.col("deviation")
    spread = (residual.abs().median() * 1.4826).over(line).fill_null(1.0).clip(lower_bound=1.0)
    chance = chance_of_an_alarm(rules)
    tests = whole["tests"].unique().to_list()
    limits = [NormalDist().inv_cdf(1 - chance / (2 * n)) for n in tests]
    limit = pl.col("tests").replace_strict(tests, limits, return_dtype=pl.Float64) if tests else pl.lit(0.0)
    skew = (limit.pow(2) - 1) / 6
    far = (residual.abs() > limit * spread + skew / pl.col("deviation")) & (
        (pl.col("part") / pl.col("records") - pl.col("usual")).abs() > _LEAST_SHIFT
    )
    return whole.filter(far & (pl.col("records") >= _LEAST_RECORDS)).select(*line, "hour_us", "part", "records")


def shifted_periods(cells: pl.DataFrame, inputs: CompletenessInputs) -> pl.DataFrame:
    """Return rows of `FOUND` for periods of shifted hours, with the present counts of records.

    Nights have too few records to be tested, so they do not divide a period and are counted as part of it.
    """
    line = [*NODE, "measure"]
    new = (pl.col("hour_us").diff().over(line) > _NIGHT_HOURS * HOUR_US).fill_null(True)
    bounds = cells.sort(*line, "hour_us").with_columns(run=new.cum_sum().over(line)).group_by(*line, "run").agg(
        from_us=pl.col("hour_us").min(), to_us=pl.col("hour_us").max() + HOUR_US
    )  # fmt: skip
    shares = _count_parts(inputs)
    usual = shares.group_by(line).agg(usual=(pl.col("part") / pl.col("records")).median())
    within = bounds.join(shares, on=line).filter(pl.col("hour_us").is_between("from_us", "to_us", closed="left"))
    runs = within.join(usual, on=line).group_by(*line, "from_us", "to_us").agg(
        pl.col("part").sum(), whole=pl.col("records").sum(), usual=(pl.col("usual") * pl.col("records")).sum()
    ).sort(*line, "from_us")  # fmt: skip
    return as_findings(
        runs.with_columns(
            kind=pl.lit("total_mismatch"), control=pl.lit("mix"), service=pl.lit(""),
            subject=pl.format("{} {}", "measure", "from_us"),
            # Records without subscriber, peer or quantity count as missing. A smaller share of one service only means a greater
            # share of another.
            records=pl.when(pl.col("measure").is_in(list(MEASURES.values()))).then(
                (pl.col("part") - pl.col("usual")).clip(lower_bound=0.0)
            ),
            records_variance=pl.col("usual"),
            reason=pl.format("{} of {} records are {}, unlike before", "part", "whole", "measure"),
        )
    )  # fmt: skip


def find_clock_jumps(hours: pl.DataFrame, holes: pl.DataFrame) -> pl.DataFrame:
    """Return rows of `FOUND` for nodes whose clock jumped: an hour holds record numbers of different times without gaps.

    A node numbers its records in the order in which it writes them. If the numbers of an hour span much more than the hour's
    records, and none is missing, the hour holds records of two times.
    """
    numbered = hours.filter(pl.col("numbered") > 0).with_columns(pl.col("numbered").cast(pl.Float64))
    total = pl.col("numbered").sum()
    mean = (pl.col("numbered") * pl.col("number_mean")).sum() / total
    square = pl.col("number_deviation").pow(2) + (pl.col("number_mean") - pl.col("middle")).pow(2)
    middle = numbered.group_by(*NODE, "hour_us").agg(middle=mean)
    one = numbered.join(middle, on=[*NODE, "hour_us"]).group_by(*NODE, "hour_us").agg(
        counted=total, deviation=((pl.col("numbered") * square).sum() / total).sqrt()
    )  # fmt: skip
    wide = one.filter((pl.col("counted") >= _LEAST_RECORDS) & (pl.col("deviation") > _JUMP_RATIO * pl.col("counted") / 12**0.5))
    near = wide.join(holes.select(*NODE, "from_us", "to_us"), on=NODE).filter(
        (pl.col("hour_us") < pl.col("to_us")) & (pl.col("hour_us") + HOUR_US > pl.col("from_us"))
    )  # fmt: skip
    alone = wide.join(near.select(*NODE, "hour_us"), on=[*NODE, "hour_us"], how="anti").sort(*NODE, "hour_us")
    new = (pl.col("hour_us").diff().over(NODE) > 2 * HOUR_US).fill_null(True)
    runs = alone.with_columns(run=new.cum_sum().over(NODE)).group_by(*NODE, "run", maintain_order=True).agg(
        from_us=pl.col("hour_us").min(), to_us=pl.col("hour_us").max() + HOUR_US
    )  # fmt: skip
    return as_findings(
        runs.with_columns(
            kind=pl.lit("total_mismatch"),
            control=pl.lit("clock"),
            service=pl.lit(""),
            subject=pl.col("from_us").cast(pl.String),
            reason=pl.lit("the clock jumped: records written at different times bear the same hour, and none is missing"),
        )
    )
