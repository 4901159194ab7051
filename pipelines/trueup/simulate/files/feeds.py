"""Format records and charges in the columns that their systems write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.simulate.market.network import Network
from trueup.simulate.market.numbering import Numbers
from trueup.simulate.market.population import Population
from trueup.simulate.market.services import NAMES, TARIFF_CODES
from trueup.simulate.traffic.records import WHOLE
from trueup.simulate.traffic.sessions import DIRECTIONS, NO_NUMBER, numbers
from trueup.units import MICROS

FIRST_SEQUENCE = 1_000_000_000
"""The first record number of an element; billing begins a hundred times higher. Equal lengths let text sort as numbers."""
FIRST_LINE = 100 * FIRST_SEQUENCE
HOME_ZONE = "Europe/Berlin"
PARTNER_ZONE = "Asia/Jakarta"
FEED_OF_SERVICE = {
    "voice": "msc",
    "sms": "msc",
    "incoming": "msc",
    "data": "pgw",
    "zero_rated": "pgw",
    "roaming": "tap",
    "iot": "iot",
}
RECORD_TYPES = {"voice": "MOC", "sms": "SMO", "incoming": "MTC"}
RATING_GROUPS = {"data": "1", "zero_rated": "99"}
ACCESS_POINTS = {"data": "internet", "zero_rated": "portal"}


@dataclass(frozen=True)
class Names:
    """The texts that frames hold as numbers."""

    numbers: Numbers
    network: Network
    people: Population
    imsi: pl.Series
    imei: pl.Series
    accounts: pl.Series

    def subscriber(self, frame: pl.DataFrame) -> pl.Series:
        """Return the telephone number of each row's subscriber."""
        return _gather_texts(self.numbers.text, frame["subscriber"])

    def peer(self, frame: pl.DataFrame) -> pl.Series:
        """Return the telephone number of each row's peer, NULL where there is none."""
        return _gather_texts(self.numbers.text, frame["peer"])


def account_texts(people: Population) -> pl.Series:
    """Return the name of each billing account."""
    order = pl.Series("account", 10_000_000 + np.arange(len(people)))
    return pl.select(pl.lit("A") + order.cast(pl.String)).to_series().rename("account")


def _gather_texts(texts: pl.Series, which: pl.Series) -> pl.Series:
    if which.is_empty():
        return pl.Series(dtype=pl.String)
    index = pl.select(pl.when(which != NO_NUMBER).then(which)).to_series() if (which == NO_NUMBER).any() else which
    return texts.gather(index.cast(pl.UInt32))


def _gather_by_service(texts: dict[str, str], frame: pl.DataFrame) -> pl.Series:
    return _gather_texts(pl.Series([texts.get(name, "") for name in NAMES]), frame["service"])


def record_key(node: pl.Series, sequence: pl.Series) -> pl.Series:
    """Return the record key of usage records: the element and its running number."""
    return pl.select(pl.concat_str([node, pl.lit("-"), sequence.cast(pl.String)])).to_series()


def line_key(line: pl.Series) -> pl.Series:
    """Return the record key of charges."""
    return pl.select(pl.lit("L") + line.cast(pl.String)).to_series()


def session_key(number: pl.Series) -> pl.Series:
    """Return the session key of a session's records and charge; NULL where there is none."""
    return pl.select(pl.lit("K") + number.cast(pl.String)).to_series()


def _convert_to_wall_clock(stamp_us: pl.Expr, zone: str) -> pl.Expr:
    return stamp_us.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None)


def _build_common_columns(records: pl.DataFrame, names: Names) -> dict[str, pl.Series]:
    node = _gather_texts(names.network.names, records["node"])
    keyed = pl.select(pl.when(records["keyed"]).then(records["session"])).to_series()
    part = pl.select(pl.when(records["part"] != WHOLE).then(records["part"])).to_series()
    return {"record_id": record_key(node, records["sequence"]), "node": node, "key": session_key(keyed), "part": part}


def switch_rows(records: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return rows of the voice and SMS switches: wall-clock time of the home country."""
    common = _build_common_columns(records, names)
    return records.select(
        record_id=common["record_id"],
        call_ref=common["key"],
        node=common["node"],
        record_type=_gather_by_service(RECORD_TYPES, records),
        served_number=names.subscriber(records),
        other_number=names.peer(records),
        direction=_gather_texts(pl.Series(DIRECTIONS), records["direction"]),
        start_time=_convert_to_wall_clock(pl.col("stamp_us"), HOME_ZONE),
        units=pl.col("quantity"),
        partial=common["part"],
        cell=_gather_texts(names.network.cell_names, records["cell"]),
        imsi=_gather_texts(names.imsi, records["device"]),
        imei=_gather_texts(names.imei, records["device"]),
    )


def gateway_rows(records: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return rows of the data gateways: epoch milliseconds, kilobytes, partial records under a charging id."""
    common = _build_common_columns(records, names)
    return records.select(
        record_id=common["record_id"],
        charging_id=common["key"],
        node=common["node"],
        msisdn=names.subscriber(records),
        rating_group=_gather_by_service(RATING_GROUPS, records),
        apn=_gather_by_service(ACCESS_POINTS, records),
        opened_ms=pl.col("stamp_us") // 1_000,
        volume_kb=pl.col("quantity"),
        partial=common["part"],
        cell=_gather_texts(names.network.cell_names, records["cell"]),
        imsi=_gather_texts(names.imsi, records["device"]),
        imei=_gather_texts(names.imei, records["device"]),
    )


def partner_rows(records: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return rows of the roaming partners: wall-clock time of another country."""
    common = _build_common_columns(records, names)
    return records.select(
        record_id=common["record_id"],
        call_ref=common["key"],
        partner=common["node"],
        msisdn=names.subscriber(records),
        called_number=names.peer(records),
        start_local=_convert_to_wall_clock(pl.col("stamp_us"), PARTNER_ZONE),
        seconds=pl.col("quantity"),
        partial=common["part"],
    )


def platform_rows(records: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return rows of the IoT platforms: epoch seconds, no session key, no peer."""
    node = _gather_texts(names.network.names, records["node"])
    return records.select(
        record_id=record_key(node, records["sequence"]),
        node=node,
        msisdn=names.subscriber(records),
        cell=_gather_texts(names.network.cell_names, records["cell"]),
        reported_s=pl.col("stamp_us") // 1_000_000,
        kb=pl.col("quantity"),
    )


ROWS = {"msc": switch_rows, "pgw": gateway_rows, "tap": partner_rows, "iot": platform_rows}


def billing_rows(charges: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return rows of a billing extract: naive UTC times, decimal amounts, one invoice per account and month of billing."""
    accounts = pl.Series(names.people.account[numbers(charges, "subscriber")])
    account = _gather_texts(names.accounts, accounts)
    return charges.select(
        line_id=line_key(charges["line"]),
        session_ref=session_key(charges["session_key"]),
        account=account,
        service=_gather_texts(pl.Series(NAMES), charges["service"]),
        msisdn=names.subscriber(charges),
        called_number=names.peer(charges),
        started_utc=pl.col("started_at").dt.replace_time_zone(None),
        quantity=pl.col("quantity_micros") // MICROS,
        partial=pl.col("partial_no"),
        amount=exact_decimal("amount_micros"),
        currency=pl.col("currency"),
        tariff=_gather_texts(pl.Series(TARIFF_CODES), charges["tariff"]),
        invoice=pl.col("billed_at").dt.strftime("I%y%m-") + account,
        billed_utc=pl.col("billed_at").dt.replace_time_zone(None).dt.truncate("1s"),
    )


def exact_decimal(micros: str) -> pl.Expr:
    """Return a column of millionths as a decimal number of six places."""
    return pl.col(micros).cast(pl.Decimal(38, 0)) * pl.lit("0.000001").cast(pl.Decimal(38, 6))
