"""Define the size of the simulated operator and its rates of leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trueup.simulate.checks import SimulationError, check_rates

DRAWN = (
    "unbilled_random", "under_quantity", "over_quantity", "wrong_tariff_version", "wrong_rounding", "wrong_increment",
    "zero_rated_by_mistake", "currency_mistake", "duplicate_charge", "reversed_duplicate", "late_charge", "conflicting_usage",
    "conflicting_charge",
)  # fmt: skip
"""Kinds drawn per session, one at most; their rates are shares of the qualifying sessions."""
CONDITIONED = ("unbilled_node", "unbilled_tariff", "unbilled_destination")
"""Kinds drawn per session of the failing node, tariff or destination."""
PER_SUBSCRIBER = ("ceased_subscriber", "suspended_subscriber", "unknown_subscriber", "plan_mismatch")
"""Kinds drawn per subscriber; the rate of `plan_mismatch` is a share of the plan changes."""
PER_FILE = ("lost_file", "lost_stretch", "retransmitted_file")
"""Kinds drawn per usage file; their rates are shares of the files."""
EXTRA = ("phantom_charge", "retransmitted_record")
"""Kinds that add records; their rates are relative to the existing records."""


@dataclass(frozen=True)
class Profile:
    """One size of operator; rates are shares from 0 to 1, activity is sessions per subscriber and mean day."""

    name: str
    region_subscribers: int
    """Subscribers of one region, the unit held in memory."""
    switches: int
    gateways: int
    partners: int
    cells: int
    """Radio cells per switch."""
    blocks: int
    """Files per element and day, also of billing; at least 2, so that no lost file holds parts of the previous day's sessions."""
    buckets: int
    rates: Mapping[str, float]
    incidents_per_25k: float
    activity: float = 1.0
    tail_days: int = 5
    contacts: int = 8
    community: int = 64
    voice_median_s: float = 55.0
    voice_sigma: float = 1.1
    voice_tail_share: float = 0.03
    voice_tail_index: float = 1.7
    voice_tail_from_s: int = 900
    unanswered_share: float = 0.08
    data_median_s: float = 1_100.0
    data_sigma: float = 1.2
    volume_median_kb: float = 8_000.0
    volume_sigma: float = 1.7
    volume_tail_share: float = 0.02
    volume_tail_index: float = 1.3
    volume_tail_from_kb: int = 300_000
    zero_rated_share: float = 0.12
    rounding_jitter_share: float = 0.03
    """Share of clean voice and roaming charges that bill a second less than the usage, within tolerance."""
    lag_median_h: float = 4.0
    lag_sigma: float = 0.5
    slow_share: float = 0.03
    """Share of charges delivered after the allowed lateness, within grace."""
    per_part_share: float = 0.3
    """Share of split data sessions charged part by part."""
    redial_share: float = 0.001
    """Share of voice and SMS sessions followed by a look-alike within seconds."""
    traveller_share: float = 0.02
    joiner_share: float = 0.02
    leaver_share: float = 0.01
    plan_change_share: float = 0.03
    segment_shares: tuple[float, ...] = (0.78, 0.12, 0.09, 0.01)
    activity_by_service: Mapping[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            "voice": (1.4, 3.5, 0.0, 14.0),
            "sms": (0.7, 0.4, 0.0, 9.0),
            "incoming": (0.5, 1.2, 0.0, 3.0),
            "data": (1.8, 2.2, 0.0, 0.0),
            "roaming": (3.5, 5.0, 0.0, 0.0),
            "iot": (0.0, 0.0, 24.0, 0.0),
        }
    )
    """Per service, for each segment (consumer, business, IoT, wholesale); roaming applies only while abroad."""


def _build_rates(drawn: float, *, unbilled: float, files: float, subscribers: float, extra: float) -> dict[str, float]:
    rates = dict.fromkeys(DRAWN, drawn) | {"unbilled_random": unbilled}
    rates |= dict.fromkeys(CONDITIONED, min(1.0, 15 * drawn))
    rates |= dict.fromkeys(PER_SUBSCRIBER, subscribers) | {"plan_mismatch": 0.2}
    return rates | dict.fromkeys(PER_FILE, files) | dict.fromkeys(EXTRA, extra)


SMALL = Profile(
    "small", region_subscribers=50_000, switches=2, gateways=1, partners=1, cells=40, blocks=2, buckets=16,
    rates=_build_rates(0.005, unbilled=0.01, files=0.05, subscribers=0.01, extra=0.004), incidents_per_25k=1.0, activity=1.3,
    redial_share=0.006,
)  # fmt: skip
MVNO = Profile(
    "mvno", region_subscribers=100_000, switches=4, gateways=2, partners=4, cells=200, blocks=4, buckets=64,
    rates=_build_rates(0.0008, unbilled=0.002, files=0.02, subscribers=0.0005, extra=0.0008), incidents_per_25k=1.0,
)  # fmt: skip
OPERATOR = Profile(
    "operator", region_subscribers=100_000, switches=6, gateways=3, partners=3, cells=400, blocks=8, buckets=64,
    rates=_build_rates(0.0004, unbilled=0.001, files=0.002, subscribers=0.0002, extra=0.0004), incidents_per_25k=0.5, activity=1.6,
)  # fmt: skip

PROFILES = {p.name: p for p in (SMALL, MVNO, OPERATOR)}


def profile_of(name: str, rates: Mapping[str, float] | None) -> Profile:
    """Return the profile of that name with some rates replaced; raise `SimulationError` for an unknown name or invalid rates."""
    if name not in PROFILES:
        raise SimulationError(f"unknown profile: {name!r}", where="--profile", todo=f"choose one of {', '.join(PROFILES)}")
    profile = PROFILES[name]
    check_rates(rates or {}, profile.rates, DRAWN)
    return replace(profile, rates={**profile.rates, **(rates or {})})
