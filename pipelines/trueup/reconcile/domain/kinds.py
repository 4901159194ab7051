"""The registry of finding kinds and of causes: views, digests, `explain` and documents read them here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Producer = Literal["reconcile", "quality", "fraud"]
Side = Literal["usage", "charge", "both", "states", "feed", "scores"]
Evidence = Literal["proven", "bounded", "none"]


@dataclass(frozen=True)
class FindingKind:
    """The meaning of one kind of finding.

    Parameters
    ----------
    name:
        The kind as findings store it.
    meaning:
        One sentence: what is wrong.
    producer:
        Which step raises it: reconciliation, completeness and expectations, or monitoring of the fraud model.
    side:
        Which records it is about.
    evidence:
        *proven*: its impact is exact and counts in the leakage views and the conservation sum. *bounded*: its money is a range,
        shown in `exposure_by_day` only. *none*: it has no money of its own.
    missing_side:
        The stream whose incompleteness makes the finding provisional; None where no stream can.
    next_step:
        What an analyst does next.
    """

    name: str
    meaning: str
    producer: Producer
    side: Side
    evidence: Evidence
    next_step: str
    missing_side: Literal["usage", "charge"] | None = None


_KINDS = (
    FindingKind(
        "unbilled", "Usage, or an item that is due, has no charge although the grace period of billing is over.",
        "reconcile", "usage", "proven",
        "Look for the charge in billing's suspense and rerate the usage.", "charge",
    ),
    FindingKind(
        "underbilled", "Usage and charge match, but the charge covers less quantity than was used.", "reconcile", "both", "proven",
        "Compare the quantities of both records and bill the difference.", "charge",
    ),
    FindingKind(
        "overbilled", "Usage and charge match, but the charge covers more quantity than was used.", "reconcile", "both", "proven",
        "Check for a lost partial record, then credit the difference.", "usage",
    ),
    FindingKind(
        "misrated", "Usage and charge agree on the quantity, but the amount differs from the tariff's price.", "reconcile", "both",
        "proven", "Compare the tariff version and the increments that billing applied.",
    ),
    FindingKind(
        "duplicate_charge", "A further charge covers usage that another charge already covers.", "reconcile", "charge", "proven",
        "Credit the further charge and find the job that ran twice.",
    ),
    FindingKind(
        "charge_without_usage", "A charge has no usage, or no item that is due, although the feed is complete.",
        "reconcile", "charge", "proven",
        "Look for the usage in quarantine and in mediation before crediting.", "usage",
    ),
    FindingKind(
        "unknown_subscriber", "Usage belongs to a subscription that billing does not have.", "reconcile", "usage", "proven",
        "Provision the subscription in billing or block it in the network.",
    ),
    FindingKind(
        "inactive_subscriber", "Usage belongs to a subscription that billing has as suspended or ceased.", "reconcile", "usage",
        "proven", "Compare the subscription's status in network and billing.",
    ),
    FindingKind(
        "conflicting_usage", "One usage record arrived with two contents; one counts, the others are in no sum.", "reconcile",
        "usage", "none", "Ask the source which content is right.",
    ),
    FindingKind(
        "conflicting_charge", "One charge arrived with two contents; one counts, the others are in no sum.", "reconcile", "charge",
        "none", "Ask billing which content is right.",
    ),
    FindingKind(
        "unrated", "No tariff can price the usage.", "reconcile", "usage", "proven",
        "Add the missing rate to the tariff book; the finding's reason names what is missing.",
    ),
    FindingKind(
        "active_not_billed", "A subscription is active in the network and not in billing.", "reconcile", "states", "none",
        "Start billing the subscription or cease it in the network.",
    ),
    FindingKind(
        "billed_not_active", "A subscription is active in billing and not in the network.", "reconcile", "states", "none",
        "Cease billing the subscription or activate it in the network.",
    ),
    FindingKind(
        "plan_mismatch", "Network and billing have a subscription on different plans.", "reconcile", "states", "none",
        "Correct the plan in the system that is wrong.",
    ),
    FindingKind(
        "missing_records", "Numbered files or records are missing; their number and value are bounded.", "quality", "feed",
        "bounded", "Request the missing files from the source.",
    ),
    FindingKind(
        "stale_feed", "A feed is silent for longer than its schedule allows.", "quality", "feed", "bounded",
        "Check the feed's transfer; close the source if it is complete.",
    ),
    FindingKind(
        "volume_drop", "A node delivered far less than at the same hour of earlier weeks.", "quality", "feed", "bounded",
        "Check the node's traffic and its collection.",
    ),
    FindingKind(
        "total_mismatch", "A feed's declared counts, shares or clock disagree with the records received.", "quality", "feed",
        "bounded", "Compare the manifest and the sequence numbers with the files.",
    ),
    FindingKind(
        "failed_expectation", "A day of a feed fails an expectation of its suite.", "quality", "feed", "bounded",
        "Open the expectation in Data Docs and look at the failing rows.",
    ),
    FindingKind(
        "model_drift", "Transactions of a day differ from those that the fraud model was trained on.", "fraud", "scores", "none",
        "Train the model again and compare it with the champion.",
    ),
    FindingKind(
        "alert_rate", "A day has far more or fewer suspicious transactions than the days before.", "fraud", "scores", "none",
        "Look for a changed feed or a new fraud pattern.",
    ),
    FindingKind(
        "alert_budget", "A week has far more fraud cases a day than can be reviewed.", "fraud", "scores", "none",
        "Set `shadow = true` for a rule that the reason names, run `trueup promote MODEL --fit-budget`, or raise alerts_per_day.",
    ),
    FindingKind(
        "label_rate", "Analysts decided on far fewer suspicious transactions of a day than of the days before.", "fraud", "scores",
        "none", "Decide on the open cases, so that training has labels.",
    ),
)  # fmt: skip
KINDS: dict[str, FindingKind] = {kind.name: kind for kind in _KINDS}
"""All kinds by name, in the order in which documents list them."""

FEED_KINDS = tuple(kind.name for kind in _KINDS if kind.producer == "quality")
"""Kinds of findings about feeds; the kernel does not raise them, and digests of findings do not contain them."""

RECOVERY = "recovery"
"""The cause of changes by a charge that names what it corrects."""
CAUSES: dict[str, str] = {
    "frontier": "time passed: both feeds are complete past the grace period, or a day or schedule of a feed is over",
    "arrival": "a record arrived in time and decided the finding",
    "late_usage": "a usage record arrived late",
    "late_charge": "a charge arrived late",
    "correction": "a later version of a record arrived",
    RECOVERY: "a charge that names what it corrects arrived",
    "conflict": "another content of a record arrived",
    "policy_change": "a policy declaration changed rules of reconciliation, or a wrong tick was superseded",
    "tariff_change": "a tariff row changed a price",
    "subscriber_change": "a subscription's state changed",
    "beyond_horizon": "the record is older than the horizon and is not matched",
}
"""Every cause of a change of a finding, with its meaning."""

ITEM_REASONS: dict[str, str] = {
    "discount_not_applied": "billed without the discount",
    "discount_expired": "billed with a discount that has ended",
    "old_price": "billed at the price before the last change",
    "old_plan": "billed at the price of the plan before",
    "not_prorated": "billed for the whole period",
    "after_cessation": "billed after the subscription has ceased",
    "while_suspended": "billed while the subscription is suspended",
    "never_since_activation": "no charge of this item since the activation",
    "other_currency": "billed in another currency than the item's",
    "unknown_item": "the tariff book has no such item",
    "unknown_plan": "the tariff book has no item of the subscription's plan",
    "unknown_subscription": "no state of the subscription is known",
}
"""Why a booking of an item differs, by the word in `findings.reason`."""
