"""Convert usage records to transactions, and declare the features of telecom fraud."""

from __future__ import annotations

import polars as pl

from trueup.config import FraudConfig
from trueup.fraud.features.feature_spec import Aggregate, Feature, FeatureSet, ratio
from trueup.fraud.features.numbering import number_facts
from trueup.units import MICROS

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
FACTS_VERSION = "2"
SUBSCRIBER, PEER, PAIR, RANGE = ("subscriber",), ("peer",), ("subscriber", "peer"), ("range",)
_SHORT_S = 10
_NIGHT_HOURS = 6

USAGE = (
    "event_id", "bucket", "subscriber", "peer", "service", "direction", "node", "cell", "started_at", "quantity_micros",
    "attributes",
)  # fmt: skip
"""The columns read from `events.usage`."""


def transactions(usage: pl.DataFrame, config: FraudConfig) -> pl.DataFrame:
    """Return one transaction event per usage record (`USAGE` and `position`) that has a time, with the facts features use."""
    rows = usage.filter(pl.col("started_at").is_not_null())
    of = {"is_call": config.calls, "is_received": config.received, "is_message": config.messages, "is_volume": config.volumes}
    kinds = [pl.col("service").is_in(services).fill_null(value=False).alias(name) for name, services in of.items()]
    devices = {
        n: pl.col("attributes").str.json_path_match(f"$.{path}") for n, path in (("imei", config.imei), ("imsi", config.imsi))
    }
    rows = rows.with_columns(
        *kinds, **devices,
        at_us=pl.col("started_at").cast(pl.Int64),
        is_label=pl.lit(value=False),
        units=pl.col("quantity_micros").fill_null(0) // MICROS,
        hour=pl.col("started_at").dt.convert_time_zone(config.timezone).dt.hour().cast(pl.Int64),
    )  # fmt: skip
    numbers = number_facts(rows["peer"], home=config.home_prefixes, costly=config.premium_prefixes)
    rows = rows.with_columns(numbers).with_columns(
        seconds=pl.when(pl.col("is_call")).then("units").otherwise(0),
        kilobytes=pl.when(pl.col("is_volume")).then("units").otherwise(0),
        is_outgoing=pl.col("is_call") | pl.col("is_message"),
    )
    outgoing, call = pl.col("is_outgoing"), pl.col("is_call")
    abroad, premium = (outgoing & pl.col(n).fill_null(value=False) for n in ("is_abroad", "is_premium"))
    return rows.with_columns(
        until_us=pl.when(call).then(pl.col("at_us") + pl.col("seconds") * MICROS),
        to_abroad=abroad,
        to_premium=premium,
        premium_call=premium & call,
        from_abroad=pl.col("is_received") & pl.col("is_abroad").fill_null(value=False),
        by_night=outgoing & (pl.col("hour") < _NIGHT_HOURS),
        is_short=(call | pl.col("is_received")) & (pl.col("units") <= _SHORT_S),
        is_short_ring=pl.col("is_received") & (pl.col("units") <= _SHORT_S),
        is_free=pl.col("service").is_in(config.free_volumes).fill_null(value=False),
        is_roaming=pl.col("service").is_in(config.roaming).fill_null(value=False),
        called=pl.when(outgoing).then("peer"),
        called_range=pl.when(outgoing).then("range"),
        fraud=pl.lit(None, pl.Int64),
    )


def with_labels(events: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Append a label event per label (`event_id`, `known_us`, `fraud` 0 or 1), at the time it became known.

    A label counts for the parties of its transaction; a label of an unknown transaction is left out.
    """
    known = events.join(labels.select("event_id", "known_us", label="fraud"), on="event_id", how="inner", maintain_order="left")
    label_events = known.with_columns(at_us="known_us", position=pl.lit(0, pl.Int64), is_label=pl.lit(value=True), fraud="label")
    return pl.concat([events, label_events.select(events.columns).cast(dict(events.schema))])  # type: ignore[arg-type]


def _over(prefix: str, entity: tuple[str, ...], windows: str, aggregates: tuple[tuple[str, Aggregate, str | None, str | None], ...],
          ) -> list[Feature]:  # fmt: skip
    lengths = {"1h": HOUR_US, "4h": 4 * HOUR_US, "24h": DAY_US, "7d": 7 * DAY_US, "30d": 30 * DAY_US}
    return [
        Feature(f"{prefix}_{name}_{window}", entity, lengths[window], aggregate, of, where)
        for window in windows.split()
        for name, aggregate, of, where in aggregates
    ]


def telecom_features() -> FeatureSet:
    """Return the features of usage records."""
    features = [
        *_over("sub", SUBSCRIBER, "1h 24h 7d", (
            ("outgoing", "count", None, "is_outgoing"), ("seconds", "sum", "seconds", None), ("called", "distinct", "called", None),
            ("premium", "count", None, "to_premium"), ("abroad", "count", None, "to_abroad"), ("short", "count", None, "is_short"),
            ("received", "count", None, "is_received"),
        )),
        *_over("sub", SUBSCRIBER, "24h 7d", (
            ("ranges", "distinct", "called_range", None), ("cells", "distinct", "cell", None), ("night", "count", None, "by_night"),
            ("messages", "count", None, "is_message"), ("kilobytes", "sum", "kilobytes", None),
            ("free_kilobytes", "sum", "kilobytes", "is_free"),
            ("roaming", "count", None, "is_roaming"), ("handsets", "distinct", "imei", None), ("sims", "distinct", "imsi", None),
        )),
        *_over("sub", SUBSCRIBER, "4h", (("open", "open", "until_us", None),)),
        *_over("sub", SUBSCRIBER, "30d", (("age", "since_first", None, None), ("handsets", "distinct", "imei", None))),
        *_over("peer", PEER, "1h 24h 7d", (
            ("from", "count", None, "is_outgoing"), ("callers", "distinct", "subscriber", "is_outgoing"),
            ("rung", "distinct", "subscriber", "is_received"), ("short_rings", "count", None, "is_short"),
        )),
        *_over("peer", PEER, "24h", (("seconds", "sum", "seconds", None),)),
        *_over("pair", PAIR, "24h 30d", (("count", "count", None, None),)),
        *_over("pair", PAIR, "24h", (("rung_ago", "since_last", None, "is_received"),)),
        *_over("range", RANGE, "1h 24h 7d", (("from", "count", None, "is_outgoing"), ("numbers", "distinct", "called", None))),
        *_over("range", RANGE, "24h 7d", (
            ("rung", "distinct", "subscriber", "is_received"), ("short_rings", "count", None, "is_short_ring"),
            ("ringing", "distinct", "peer", "is_received"),
        )),
        *_over("range", RANGE, "24h", (("callers", "distinct", "subscriber", "is_outgoing"), ("seconds", "sum", "seconds", None))),
        *(Feature(f"{p}_known_frauds_30d", e, 30 * DAY_US, "sum", "fraud", track="label")
          for p, e in (("sub", SUBSCRIBER), ("peer", PEER), ("range", RANGE))),
    ]  # fmt: skip
    ratios = (
        ratio("sub_premium_share_24h", "sub_premium_24h", "sub_outgoing_24h"),
        ratio("sub_abroad_share_7d", "sub_abroad_7d", "sub_outgoing_7d"),
        ratio("sub_called_share_24h", "sub_called_24h", "sub_outgoing_24h"),
        ratio("sub_in_out_7d", "sub_received_7d", "sub_outgoing_7d"),
        ratio("sub_today_share", "sub_outgoing_24h", "sub_outgoing_7d"),
        ratio("sub_mean_seconds_24h", "sub_seconds_24h", "sub_outgoing_24h"),
        ratio("sub_cells_per_call_7d", "sub_cells_7d", "sub_outgoing_7d"),
    )
    own = (
        "is_call", "is_message", "is_received", "units", "seconds", "kilobytes", "hour", "to_premium", "to_abroad", "from_abroad",
        "is_short", "is_free", "is_roaming",
    )  # fmt: skip
    return FeatureSet(own, tuple(features), ratios, facts_version=FACTS_VERSION)
