"""Write the project around the files: `trueup.toml`, the tariff book, the subscriber states of network and billing."""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.simulate.catalogue import CODES
from trueup.simulate.files.feeds import HOME_ZONE, PARTNER_ZONE, Names
from trueup.simulate.market.period import DAY_US, HOUR_US, SECOND_US, Period, moment
from trueup.simulate.market.population import NEVER_US, Population
from trueup.simulate.market.profile import Profile
from trueup.simulate.market.services import (
    AMOUNT_TOLERANCE_MICROS,
    BILLING_LATENESS_H,
    CURRENCY,
    EXCHANGE_MICROS,
    FOREIGN_CURRENCY,
    PLANS,
    SERVICES,
    USAGE_LATENESS_H,
)
from trueup.simulate.traffic.load import SEGMENTS
from trueup.simulate.traffic.sessions import Ints
from trueup.units import MICROS

_SINCE = "2024-06-01T00:00:00"
_UNTIL_NEXT_DAYS = 60
"""How many days after the period the coming price begins to apply."""


def decimal_text(micros: int) -> str:
    """Return millionths as decimal text without trailing zeros."""
    text = f"{micros / MICROS:.6f}" if abs(micros) < 2**52 else f"{micros // MICROS}.{micros % MICROS:06d}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def tariff_book(period: Period) -> pl.DataFrame:
    """Return the price of every service in every plan, in three versions: before, during and after the period.

    The former version ends at the start of the period, so all records of a service in the files have one price.
    """
    change = _format_utc(period.start_us)
    next_change = _format_utc(period.end_us + _UNTIL_NEXT_DAYS * DAY_US)
    rows = []
    for plan in PLANS:
        for service in SERVICES:
            versions = (
                (service.former_price_micros, _SINCE, change),
                (service.price_micros, change, next_change),
                (service.coming_price_micros, next_change, None),
            )
            for number, (price, valid_from, valid_to) in enumerate(versions, start=1):
                rows.append(
                    {
                        "item": "rate", "tariff_code": f"{plan}-{service.name.upper()}", "version": number, "plan": plan,
                        "service": service.name,
                        "destination_prefix": "", "valid_from": valid_from, "valid_to": valid_to, "currency": CURRENCY,
                        "price": decimal_text(price), "price_per": service.price_per, "unit": service.unit, "setup_fee": "0",
                        "first_increment": 1, "next_increment": 1, "minimum_charge": "0", "rounding": "half_even", "decimals": 6,
                        "tax_rate": "0", "to_currency": None,
                    }
                )  # fmt: skip
    exchange = {
        "item": "exchange", "tariff_code": f"{CURRENCY}-{FOREIGN_CURRENCY}", "version": 1, "valid_from": _SINCE,
        "currency": CURRENCY, "price": decimal_text(EXCHANGE_MICROS), "price_per": 1, "to_currency": FOREIGN_CURRENCY,
    }  # fmt: skip
    return pl.DataFrame([*rows, exchange], schema_overrides={"valid_to": pl.String, "to_currency": pl.String})


def _format_utc(us: int) -> str:
    return f"{moment(us):%Y-%m-%dT%H:%M:%S}"


def subscriber_states(people: Population, names: Names, swaps: pl.DataFrame, *, billing: bool) -> pl.DataFrame:
    """Return the effective-dated states of billing or of the network, ordered by subscription and time (UTC).

    `swaps` (subscriber, device, from_us) are changes of the SIM; billing learns of each one at once.
    """
    who = np.arange(len(people), dtype=np.int64)
    known = people.gap_code != CODES["unknown_subscriber"] if billing else np.ones(len(people), dtype=np.bool_)
    parts = [_build_states(who[known], people.join_us[known], people.plan[known], "active", who[known])]
    changes = (people.plan_change_us < NEVER_US) & known
    if billing:
        changes &= people.gap_code != CODES["plan_mismatch"]
    parts.append(_build_states(who[changes], people.plan_change_us[changes], people.plan_after[changes], "active", who[changes]))
    leavers = (people.leave_us < NEVER_US) & known
    parts.append(_build_states(who[leavers], people.leave_us[leavers], people.plan[leavers], "ceased", who[leavers]))
    if billing:
        for kind, status in (("ceased_subscriber", "ceased"), ("suspended_subscriber", "suspended")):
            affected = people.gap_code == CODES[kind]
            parts.append(_build_states(who[affected], people.gap_us[affected], people.plan[affected], status, who[affected]))
    swapped = swaps["subscriber"].to_numpy().astype(np.int64)
    sims = swaps["device"].to_numpy().astype(np.int64)
    parts.append(_build_states(swapped, swaps["from_us"].to_numpy(), people.plan[swapped], "active", sims))
    return _build_state_rows(pl.concat(parts), people, names, "billing" if billing else "network")


def _build_states(who: Ints, from_us: Ints, plan: Ints, status: str, device: Ints) -> pl.DataFrame:
    rows = {"subscriber": who, "from_us": from_us, "plan": plan, "device": device}
    return pl.DataFrame(rows, schema=dict.fromkeys(rows, pl.Int64)).with_columns(status=pl.lit(status))


def _build_state_rows(states: pl.DataFrame, people: Population, names: Names, system: str) -> pl.DataFrame:
    ordered = states.sort("subscriber", "from_us")
    who = ordered["subscriber"].to_numpy()
    until = pl.col("from_us").shift(-1).over("subscriber")
    begun = pl.col("from_us") // SECOND_US * SECOND_US
    return ordered.select(
        msisdn=names.subscriber(ordered),
        imsi=names.imsi.gather(ordered["device"].cast(pl.UInt32)),
        account=names.accounts.gather(pl.Series(people.account[who].astype(np.uint32))),
        system=pl.lit(system),
        segment=pl.Series(SEGMENTS).gather(pl.Series(people.segment[who].astype(np.uint32))),
        plan=pl.Series(PLANS).gather(ordered["plan"].cast(pl.UInt32)),
        status="status",
        # A switch with a slow clock stamps records seconds too early; so both systems begin each subscription an hour earlier.
        valid_from=pl.when(pl.col("subscriber").is_first_distinct()).then(begun - HOUR_US).otherwise(begun).cast(pl.Datetime("us")),
        valid_to=until.cast(pl.Datetime("us")).dt.truncate("1s"),
    ).filter(pl.col("valid_to").is_null() | (pl.col("valid_from") < pl.col("valid_to")))


def project_text(profile: Profile, period: Period, file_format: str, last_tail_day: str, call: str, further: str = "") -> str:
    """Return the text of a `trueup.toml` that reads the simulated files.

    `further` is the text of further sources. These sources come first, so that the other sources alone decide when charges are
    complete.
    """
    head = _HEAD.format(
        call=call, first=period.first_day, last=period.last_day, tail=last_tail_day, buckets=profile.buckets,
        currency=CURRENCY, horizon="62d",
    )  # fmt: skip
    states = _STATES.format(ext=file_format, states=_STATES_READ.format(ext=file_format))
    sources = _SOURCES.format(
        ext=file_format, home=HOME_ZONE, partner=PARTNER_ZONE, usage_lateness=USAGE_LATENESS_H, billing_lateness=BILLING_LATENESS_H
    )
    services = "".join(_format_service(n) for n in range(len(SERVICES)))
    return head + further + states + sources + services + _LATER


def _format_service(number: int) -> str:
    s = SERVICES[number]
    lines = [f"\n[reconcile.{s.name}]", f"match = [{', '.join(repr(m) for m in s.match)}]".replace("'", '"')]
    if s.nearest:
        lines.append(f'start_tolerance = "{s.start_tolerance_s}s"')
    if s.match == ("aggregate",):
        lines.append('period = "1d"')
    lines += [
        f'quantity_tolerance = "{s.quantity_tolerance}{"s" if s.unit == "s" else ""}"',
        f'amount_tolerance = "{decimal_text(AMOUNT_TOLERANCE_MICROS)}"',
        f'grace = "{s.grace_h}h"',
        f'currency = "{CURRENCY}"',
    ]
    return "\n".join(lines) + "\n"


_HEAD = """\
# A simulated operator, written by `{call}`.
#
# The main period is {first} to {last}; truth.parquet lists its leaks, and when each can first be known. After it every feed
# carries only test calls until {tail}, so that all of the main period becomes final by the traffic itself.
#
# The records of those last days stay pending. `trueup close --source NAME --through {tail}`, for each source of records, makes
# them final too.

[lake]
catalog = "sqlite:lake/catalog.sqlite"
data = "lake/data"
buckets = {buckets}
bucket_by = "subscriber"

[project]
timezone = "UTC"
currency = "{currency}"
horizon = "{horizon}"
"""

_STATES = """
# The states of subscriptions, and the prices. They are ingested before the records that need them.
[[source]]
name = "network_states"
stream = "subscriber"
path = "landing/subscribers/network.{ext}"
{states}
[[source]]
name = "billing_states"
stream = "subscriber"
path = "landing/subscribers/billing.{ext}"
{states}
[[source]]
name = "tariff_book"
stream = "tariff"
path = "tariffs.csv"
timezone = "UTC"
[source.columns]
record_key = {{ columns = ["tariff_code", "version"] }}
tariff_code = "tariff_code"
plan = "plan"
service = "service"
destination = "destination_prefix"
valid_from = "valid_from"
valid_to = "valid_to"
currency = "currency"
setup = "setup_fee"
price = "price"
price_per = "price_per"
first_increment = "first_increment"
next_increment = "next_increment"
minimum = "minimum_charge"
rounding = "rounding"
decimals = "decimals"
tax = "tax_rate"
unit = "unit"
item = "item"
to_currency = "to_currency"
"""

_STATES_READ = """\
format = "{ext}"
timezone = "UTC"
identity = "content"
[source.columns]
system = "system"
subscriber = "msisdn"
account = "account"
imsi = "imsi"
plan = "plan"
segment = "segment"
status = "status"
valid_from = "valid_from"
valid_to = "valid_to"
"""

_SOURCES = """
# Voice and SMS switches write the wall clock of the home country, daylight saving included.
[[source]]
name = "msc"
stream = "usage"
path = "landing/msc/*.{ext}"
format = "{ext}"
timezone = "{home}"
ambiguous = "earliest"  # in a repeated hour there are only later parts of calls, which their key ties to the first
lateness = "{usage_lateness}h"
[source.columns]
record_key = "record_id"
session_key = "call_ref"
node = "node"
service = {{ column = "record_type", map = {{ MOC = "voice", SMO = "sms", MTC = "incoming" }} }}
subscriber = "served_number"
peer = "other_number"
direction = "direction"
cell = "cell"
started_at = "start_time"
quantity = "units"  # seconds; messages for SMO
partial_no = "partial"
[source.feed]  # each element numbers its files and its records
file = '-(?P<node>[A-Z0-9]+)-(?P<sequence>[0-9]+)[.]'
record = '-(?P<sequence>[0-9]+)$'

[[source]]
name = "pgw"
stream = "usage"
path = "landing/pgw/*.{ext}"
format = "{ext}"
time_format = "epoch_ms"
lateness = "{usage_lateness}h"
[source.columns]
record_key = "record_id"
session_key = "charging_id"
node = "node"
service = {{ column = "rating_group", map = {{ "1" = "data", "99" = "zero_rated" }} }}
subscriber = "msisdn"
cell = "cell"
started_at = "opened_ms"
quantity = "volume_kb"
partial_no = "partial"
[source.feed]  # each element numbers its files and its records
file = '-(?P<node>[A-Z0-9]+)-(?P<sequence>[0-9]+)[.]'
record = '-(?P<sequence>[0-9]+)$'

# Roaming partners write the wall clock of their own country.
[[source]]
name = "tap"
stream = "usage"
path = "landing/tap/*.{ext}"
format = "{ext}"
timezone = "{partner}"
lateness = "{usage_lateness}h"
[source.columns]
record_key = "record_id"
session_key = "call_ref"
node = "partner"
subscriber = "msisdn"
peer = "called_number"
started_at = "start_local"
quantity = "seconds"
partial_no = "partial"
[source.constants]
service = "roaming"
[source.feed]  # each element numbers its files and its records
file = '-(?P<node>[A-Z0-9]+)-(?P<sequence>[0-9]+)[.]'
record = '-(?P<sequence>[0-9]+)$'

[[source]]
name = "iot"
stream = "usage"
path = "landing/iot/*.{ext}"
format = "{ext}"
time_format = "epoch_s"
lateness = "{usage_lateness}h"
[source.columns]
record_key = "record_id"
node = "node"
subscriber = "msisdn"
cell = "cell"
started_at = "reported_s"
quantity = "kb"
[source.constants]
service = "iot"
[source.feed]  # each element numbers its files and its records
file = '-(?P<node>[A-Z0-9]+)-(?P<sequence>[0-9]+)[.]'
record = '-(?P<sequence>[0-9]+)$'

[[source]]
name = "billing"
stream = "charge"
path = "landing/billing/*.{ext}"
format = "{ext}"
timezone = "UTC"
lateness = "{billing_lateness}h"
[source.columns]
record_key = "line_id"
session_key = "session_ref"
account = "account"
service = "service"
subscriber = "msisdn"
peer = "called_number"
started_at = "started_utc"
quantity = "quantity"
partial_no = "partial"
amount = "amount"
currency = "currency"
tariff_code = "tariff"
invoice_id = "invoice"
billed_at = "billed_utc"
[source.feed]
file = '-(?P<node>[A-Z0-9]+)-(?P<sequence>[0-9]+)[.]'

# No service has a flat price here: the tariff book prices them all.
"""

_LATER = """
# Facts that fraud scoring must be given: which numbers are at home, and which of them are premium numbers.
[fraud]
home_prefixes = ["+999"]
premium_prefixes = ["+999900", "+999180"]
timezone = "Europe/Berlin"
alerts_per_day = 10

# Written beside the feeds:
#
#   landing/manifests/FEED.csv
# the files that each element declares: file, its number in sequence, its records
"""
