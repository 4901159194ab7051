"""Convert usage records to transactions, and declare the features of telecom fraud."""

from __future__ import annotations

import polars as pl

from trueup.config import FraudConfig
from trueup.fraud.features.feature_spec import Aggregate, Feature, FeatureSet, Owner, ratio
from trueup.fraud.features.numbering import number_facts
from trueup.units import MICROS

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
FACTS_VERSION = "3"
SUBSCRIBER, PEER, PAIR, RANGE, HANDSET = ("subscriber",), ("peer",), ("subscriber", "peer"), ("range",), ("imei",)
_SHORT_S = 10
_NIGHT_HOURS = 6
_OFFICE_HOURS = (7, 18)

USAGE = (
    "event_id", "bucket", "subscriber", "peer", "service", "direction", "node", "cell", "started_at", "quantity_micros",
    "attributes",
)  # fmt: skip
"""The columns read from `events.usage`."""


def transactions(usage: pl.DataFrame, config: FraudConfig) -> pl.DataFrame:
    """Return one transaction per usage record (`USAGE` and `position`) with a time, with the facts that features use."""
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
        off_hours=outgoing & ~pl.col("hour").is_between(*_OFFICE_HOURS, closed="left"),
        is_short=(call | pl.col("is_received")) & (pl.col("units") <= _SHORT_S),
        is_short_ring=pl.col("is_received") & (pl.col("units") <= _SHORT_S),
        is_free=pl.col("service").is_in(config.free_volumes).fill_null(value=False),
        is_roaming=pl.col("service").is_in(config.roaming).fill_null(value=False),
        called=pl.when(outgoing).then("peer"),
        loss_micros=_derive_loss_micros(config),
        currency=pl.when(pl.col("service").is_in([loss.service for loss in config.loss])).then(
            pl.lit(config.loss[0].currency if config.loss else None, pl.String)
        ),
        called_range=pl.when(outgoing).then("range"),
        sub_fraud=pl.lit(None, pl.Int64),
        peer_fraud=pl.lit(None, pl.Int64),
    )


def _derive_loss_micros(config: FraudConfig) -> pl.Expr:
    """Return the loss by each transaction if it is fraud, rounded down to a millionth; missing for a service without a price."""
    units = pl.col("units").cast(pl.Int128)
    loss: pl.Expr = pl.lit(None, pl.Int128)
    premium, abroad = (pl.col(n).fill_null(value=False) for n in ("is_premium", "is_abroad"))
    for of in config.loss:
        abroad_price, premium_price = (of.price if p is None else p for p in (of.abroad_price, of.premium_price))
        price = pl.when(premium).then(premium_price).when(abroad).then(abroad_price).otherwise(of.price)
        loss = pl.when(pl.col("service") == of.service).then(units * price.cast(pl.Int128) // of.price_per).otherwise(loss)
    return loss.cast(pl.Int64, strict=False)


def with_labels(events: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Append a label event per label (`event_id`, `known_us`, `fraud` 0 or 1, `side`), at the time it became known.

    A label counts for the party of its side, `subscriber` or `peer`, and for both where the side is missing. A label on a calling
    subscriber also counts for the number that it calls. A label on a called subscriber does not count for its caller. Labels of
    unknown transactions are left out. A label on a peer has its transaction's event id and one byte more, so that each side has an
    id of its own.
    """
    known = labels.select("event_id", "known_us", "side", label="fraud")
    known = events.join(known, on="event_id", how="inner", maintain_order="left")
    of_peer = pl.col("side") == "peer"
    label_events = known.with_columns(
        event_id=pl.when(of_peer).then(_with_one_byte_more("event_id")).otherwise("event_id"),
        at_us="known_us", position=pl.lit(0, pl.Int64), is_label=pl.lit(value=True),
        sub_fraud=pl.when(of_peer.fill_null(value=False)).then(None).otherwise("label"),
        peer_fraud=pl.when(of_peer.fill_null(value=True) | ~pl.col("is_received")).then("label"),
    )  # fmt: skip
    return pl.concat([events, label_events.select(events.columns).cast(dict(events.schema))])  # type: ignore[arg-type]


def _with_one_byte_more(name: str) -> pl.Expr:
    return (pl.col(name).bin.encode("hex") + pl.lit("01")).str.decode("hex")


_OWNERS: dict[tuple[str, ...], Owner] = {
    SUBSCRIBER: "subscriber", PEER: "peer", PAIR: "pair", RANGE: "range", HANDSET: "handset",
}  # fmt: skip


def _expand(
    prefix: str, entity: tuple[str, ...], windows: str, aggregates: tuple[tuple[str, Aggregate, str | None, str | None], ...]
) -> list[Feature]:
    lengths = {"1h": HOUR_US, "4h": 4 * HOUR_US, "24h": DAY_US, "7d": 7 * DAY_US, "30d": 30 * DAY_US}
    return [
        Feature(f"{prefix}_{name}_{window}", entity, lengths[window], aggregate, of, where, owner=_OWNERS[entity])
        for window in windows.split()
        for name, aggregate, of, where in aggregates
    ]


def telecom_features() -> FeatureSet:
    """Return the features of usage records."""
    features = [
        *_expand("sub", SUBSCRIBER, "1h 24h 7d", (
            ("outgoing", "count", None, "is_outgoing"), ("seconds", "sum", "seconds", None), ("called", "distinct", "called", None),
            ("premium", "count", None, "to_premium"), ("abroad", "count", None, "to_abroad"), ("short", "count", None, "is_short"),
            ("received", "count", None, "is_received"),
        )),
        *_expand("sub", SUBSCRIBER, "24h 7d", (
            ("ranges", "distinct", "called_range", None), ("cells", "distinct", "cell", None), ("night", "count", None, "by_night"),
            ("off_hours", "count", None, "off_hours"),
            ("messages", "count", None, "is_message"), ("kilobytes", "sum", "kilobytes", None),
            ("free_kilobytes", "sum", "kilobytes", "is_free"),
            ("roaming", "count", None, "is_roaming"), ("handsets", "distinct", "imei", None), ("sims", "distinct", "imsi", None),
        )),
        *_expand("sub", SUBSCRIBER, "4h", (("open", "open", "until_us", None),)),
        *_expand("sub", SUBSCRIBER, "30d", (("age", "since_first", None, None), ("handsets", "distinct", "imei", None))),
        *_expand("peer", PEER, "1h 24h 7d", (
            ("from", "count", None, "is_outgoing"), ("callers", "distinct", "subscriber", "is_outgoing"),
            ("rung", "distinct", "subscriber", "is_received"), ("short_rings", "count", None, "is_short_ring"),
            ("ringing_calls", "count", None, "is_received"),
        )),
        *_expand("peer", PEER, "24h", (("seconds", "sum", "seconds", None),)),
        *_expand("pair", PAIR, "24h 30d", (("count", "count", None, None),)),
        *_expand("pair", PAIR, "24h", (("rung_ago", "since_last", None, "is_received"),)),
        *_expand("range", RANGE, "1h 24h 7d", (("from", "count", None, "is_outgoing"), ("numbers", "distinct", "called", None))),
        *_expand("range", RANGE, "24h 7d", (
            ("callers", "distinct", "subscriber", "is_outgoing"), ("ringing_calls", "count", None, "is_received"),
            ("rung", "distinct", "subscriber", "is_received"), ("short_rings", "count", None, "is_short_ring"),
            ("ringing", "distinct", "peer", "is_received"),
        )),
        *_expand("range", RANGE, "24h", (("seconds", "sum", "seconds", None),)),
        *_expand("handset", HANDSET, "7d", (("users", "distinct", "subscriber", None),)),
        *(Feature(f"{p}_known_frauds_30d", e, 30 * DAY_US, "sum", of, track="label", owner=_OWNERS[e])
          for p, e, of in (("sub", SUBSCRIBER, "sub_fraud"), ("peer", PEER, "peer_fraud"), ("range", RANGE, "peer_fraud"))),
    ]  # fmt: skip
    ratios = (
        ratio("sub_premium_share_24h", "sub_premium_24h", "sub_outgoing_24h"),
        ratio("sub_abroad_share_7d", "sub_abroad_7d", "sub_outgoing_7d"),
        ratio("sub_called_share_24h", "sub_called_24h", "sub_outgoing_24h"),
        ratio("sub_in_out_7d", "sub_received_7d", "sub_outgoing_7d"),
        ratio("sub_today_share", "sub_outgoing_24h", "sub_outgoing_7d"),
        ratio("sub_mean_seconds_24h", "sub_seconds_24h", "sub_outgoing_24h"),
        ratio("sub_cells_per_call_7d", "sub_cells_7d", "sub_outgoing_7d"),
        ratio("sub_short_share_24h", "sub_short_24h", {"sub_outgoing_24h": 1, "sub_received_24h": 1}),
        ratio("sub_off_hours_share_24h", "sub_off_hours_24h", "sub_outgoing_24h"),
        ratio("sub_free_share_24h", "sub_free_kilobytes_24h", "sub_kilobytes_24h"),
        ratio("peer_short_ring_share_24h", "peer_short_rings_24h", "peer_ringing_calls_24h"),
        ratio("peer_called_back_share_7d", "peer_callers_7d", "peer_rung_7d"),
        ratio("range_short_ring_share_7d", "range_short_rings_7d", "range_ringing_calls_7d"),
        ratio("range_called_back_share_7d", "range_callers_7d", "range_rung_7d"),
    )
    own = (
        "is_call", "is_message", "is_received", "units", "seconds", "kilobytes", "hour", "to_premium", "to_abroad", "from_abroad",
        "is_short", "is_free", "is_roaming",
    )  # fmt: skip
    return FeatureSet(own, tuple(features), ratios, facts_version=FACTS_VERSION)
