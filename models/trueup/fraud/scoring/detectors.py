"""The rules that are part of trueup: at least one for each kind of simulated fraud.

The patterns are known in the trade. The limits are not published figures; they were set on simulated operators of training seeds.
The rules need no labels, so they work on the first day. `[fraud] detectors` applies them in shadow, or lets them raise alerts. An
own rule of the same name replaces one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from trueup.config import HotRule


@dataclass(frozen=True)
class Detector:
    """One rule: its kind of fraud, the party that it accuses, its conditions, and the pattern that they describe."""

    name: str
    typology: str
    party: Literal["subscriber", "peer"]
    when: tuple[str, ...]
    pattern: str


_ALL = (
    Detector(
        "premium-burst", "revenue_share", "subscriber",
        ("sub_premium_1h >= 6", "sub_seconds_1h >= 1800", "to_premium = 1"),
        "IRSF: many long calls to premium ranges within an hour",
    ),
    Detector(
        "premium-day", "revenue_share", "subscriber",
        ("sub_premium_24h >= 6", "sub_premium_share_24h >= 0.4", "sub_seconds_24h >= 900", "to_premium = 1"),
        "IRSF and short-stop in small doses: most calls of a day go to premium ranges",
    ),
    Detector(
        "parallel-calls", "revenue_share", "subscriber",
        ("sub_open_4h >= 3", "sub_premium_1h >= 3", "to_premium = 1"),
        "one subscription in several premium calls at once: forwarding and conference abuse",
    ),
    Detector(
        "premium-off-hours", "pbx_hacking", "subscriber",
        ("sub_off_hours_24h >= 15", "sub_premium_24h >= 10", "sub_open_4h >= 1", "to_premium = 1"),
        "PBX hacking: parallel premium calls by night and at weekends",
    ),
    Detector(
        "refiling", "sim_box", "subscriber",
        ("sub_received_24h >= 20", "sub_premium_24h >= 10", "sub_open_4h >= 2", "is_call = 1"),
        "refiling and forwarding: calls received leave at once to premium numbers",
    ),
    Detector(
        "wangiri-ring", "wangiri", "peer",
        ("peer_rung_24h >= 10", "peer_short_ring_share_24h >= 0.8", "from_abroad = 1", "pair_count_30d <= 2"),
        "wangiri: one foreign number rings many subscribers for seconds",
    ),
    Detector(
        "wangiri-range", "wangiri", "peer",
        ("range_rung_7d >= 6", "range_short_ring_share_7d >= 0.8", "from_abroad = 1", "pair_count_30d <= 2"),
        "wangiri: a leased range rings over days from several numbers",
    ),
    Detector(
        "wangiri-call-back", "wangiri", "peer",
        ("pair_rung_ago_24h < 1d", "range_rung_7d >= 6", "range_short_ring_share_7d >= 0.8", "to_abroad = 1"),
        "wangiri: subscribers call back the range that rang them",
    ),
    Detector(
        "sim-box", "sim_box", "subscriber",
        ("sub_called_24h >= 40", "sub_called_share_24h >= 0.8", "sub_in_out_7d < 0.2", "sub_short_share_24h <= 0.1",
         "is_call = 1"),
        "SIM box: many different numbers, hardly any calls received, few calls fail",
    ),
    Detector(
        "sim-box-moving", "sim_box", "subscriber",
        ("sub_outgoing_24h >= 12", "sub_cells_24h >= 10", "sub_cells_per_call_7d >= 0.5",
         "sub_called_share_24h >= 0.6", "sub_mean_seconds_24h >= 90", "sub_short_share_24h <= 0.1", "is_call = 1"),
        "SIM box of rotating SIMs: nearly every call from another cell",
    ),
    Detector(
        "message-sequence", "inflated_messages", "subscriber",
        ("range_numbers_1h >= 6", "sub_abroad_1h >= 6", "is_message = 1", "to_abroad = 1"),
        "AIT: passcode messages to consecutive numbers of one range",
    ),
    Detector(
        "sim-swap", "account_takeover", "subscriber",
        ("sub_sims_7d >= 2", "sub_premium_24h >= 5"),
        "account takeover: a new SIM, then premium calls and messages within hours",
    ),
    Detector(
        "new-and-heavy", "subscription", "subscriber",
        ("sub_age_30d < 4d", "sub_abroad_24h >= 15", "sub_abroad_share_7d >= 0.4", "sub_seconds_24h >= 7200",
         "is_call = 1"),
        "subscription fraud: heavy foreign calls from the first days",
    ),
    Detector(
        "heavy-abroad", "subscription", "subscriber",
        ("sub_abroad_24h >= 16", "sub_abroad_share_7d >= 0.5", "sub_seconds_24h >= 9000", "is_call = 1"),
        "subscription fraud after days of normal use: a burst of long calls abroad",
    ),
    Detector(
        "roaming-premium", "roaming", "subscriber",
        ("sub_roaming_24h >= 8", "sub_premium_24h >= 8", "sub_premium_share_24h >= 0.5", "is_roaming = 1"),
        "roaming fraud: premium calls abroad before the records arrive (NRTRDE: up to 4 hours)",
    ),
    Detector(
        "free-volume", "tariff_abuse", "subscriber",
        ("sub_free_kilobytes_24h >= 3000000", "sub_free_share_24h >= 0.5", "is_free = 1"),
        "tunnels in a free class (DNS or zero-rated): gigabytes a day, more than in charged classes",
    ),
    Detector(
        "device-misuse", "device_misuse", "subscriber",
        ("sub_kilobytes_24h >= 3000000", "sub_cells_7d <= 1", "sub_received_7d = 0", "sub_outgoing_7d <= 20"),
        "a machine's SIM in a router: gigabytes a day from one cell, and no number calls it",
    ),
)  # fmt: skip
DETECTORS: dict[str, Detector] = {d.name: d for d in _ALL}
"""All detectors by name."""


@cache
def detector_rules(mode: Literal["off", "shadow", "alert"]) -> tuple[HotRule, ...]:
    """Return the detectors as rules that alert or only count; return none if they are off."""
    if mode == "off":
        return ()
    return tuple(HotRule(name=d.name, kind="all", when=d.when, party=d.party, shadow=mode == "shadow") for d in _ALL)
