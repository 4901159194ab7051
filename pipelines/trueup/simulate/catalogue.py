"""List the simulated leaks, frauds and innocent look-alikes: mechanism, source, and the part of trueup that decides each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Category = Literal["leak", "fraud", "lookalike"]
Decider = Literal["kernel", "quality", "fraud", "invoices"]

GB941 = "TM Forum GB941 Addendum D, Revenue Leakage Framework and Examples"
TS32297 = "3GPP TS 32.297, CDR file format and transfer (file sequence numbers, record counts, retransmission)"
TS32240 = "3GPP TS 32.240, Charging architecture and principles (partial CDRs, duplicate handling)"
SOK = "Sahin, Francillon, Gupta, Ahamad: SoK: Fraud in Telephony Networks, IEEE EuroS&P 2017"
IRSF = "Sahin, Francillon: Understanding and Detecting International Revenue Share Fraud, NDSS 2021"
SIMBOX = "Murynets, Zabarankin, Piqueras Jover, Panagia: Analysis and Detection of SIMbox Fraud in Mobility Networks, INFOCOM 2014"
SIMBOX_HARD = "Kouam, Viana, Tchana: SIMBox bypass frauds in cellular networks: strategies, evolution, detection, IEEE COMST 2021"
SUBSCRIPTION = "Cahill, Lambert, Pinheiro, Sun: Detecting Fraud in the Real World, Handbook of Massive Data Sets, 2002"
SIM_SWAP = "Lee, Kaiser, Mayer, Narayanan: An Empirical Study of Wireless Carrier Authentication for SIM Swaps, SOUPS 2020"
AIT = "GSMA and MEF guidance on artificially inflated SMS traffic (SMS pumping of one-time passcodes), 2022-2023"
ROAMING = "Macia-Fernandez, Garcia-Teodoro, Diaz-Verdejo: Fraud in Roaming Scenarios, IEEE Wireless Communications 2009"
CYTEL = "Europol EC3 and Trend Micro: Cyber-Telecom Crime Report 2019"
TOLL_FREE_DATA = "Peng, Li, Tu, Lu, Zhang: Mobile Data Charging: New Attacks and Countermeasures, ACM CCS 2012"
ORDINARY = "ordinary use that resembles fraud or leakage; SoK: Fraud in Telephony Networks, section on detection"


@dataclass(frozen=True)
class Kind:
    """One kind of truth row.

    `expected_kind` is the kind of finding that trueup as a whole should raise. `kernel_kind` is the kind that reconciliation raises
    (None: none, or several). `reason` is the reason that the finding should name, if it can name one.
    """

    name: str
    category: Category
    mechanism: str
    source: str
    expected_kind: str | None
    kernel_kind: str | None
    decided_by: Decider
    reason: str | None = None


def _leak(name: str, mechanism: str, finding: str, source: str = GB941) -> Kind:
    return Kind(name, "leak", mechanism, source, finding, finding, "kernel")


def _misrated(name: str, mechanism: str, reason: str) -> Kind:
    return Kind(name, "leak", mechanism, GB941, "misrated", "misrated", "kernel", reason)


def _invoice(name: str, mechanism: str, finding: str | None) -> Kind:
    return Kind(name, "leak", mechanism, GB941, finding, None, "invoices")


def _fraud(name: str, mechanism: str, source: str) -> Kind:
    return Kind(name, "fraud", mechanism, source, None, None, "fraud")


def _lookalike(name: str, mechanism: str, source: str = ORDINARY, by: Decider = "fraud") -> Kind:
    return Kind(name, "lookalike", mechanism, source, None, None, by)


LEAKS = (
    _leak("unbilled_random", "the charge of a session is never made", "unbilled"),
    _leak("unbilled_node", "mediation drops part of one switch's records for a while", "unbilled"),
    _leak("unbilled_tariff", "the rating engine rejects part of one tariff", "unbilled"),
    _leak("unbilled_destination", "one destination prefix is missing in billing's routing table", "unbilled"),
    _leak("under_quantity", "billing takes a smaller quantity than was used", "underbilled"),
    _leak("over_quantity", "billing takes a greater quantity than was used", "overbilled"),
    _leak("duplicate_charge", "a session is rated and charged a second time", "duplicate_charge"),
    _leak("phantom_charge", "a charge for usage that never was", "charge_without_usage"),
    _leak("late_charge", "a charge held in suspense and delivered beyond grace: raised as unbilled, then resolved", "unbilled"),
    _leak("conflicting_usage", "the switch sends one record key again with a smaller quantity", "conflicting_usage", TS32240),
    _leak("conflicting_charge", "billing sends one line again with a smaller amount", "conflicting_charge", TS32240),
    _misrated("wrong_tariff_version", "a record is priced by a version of the tariff that is not in force at its time",
              "former_version"),
    _misrated("wrong_rounding", "the amount is rounded up to whole cents", "wrong_rounding"),
    _misrated("wrong_increment", "charged in begun minutes instead of seconds", "wrong_increment"),
    _misrated("zero_rated_by_mistake", "a priced record is charged nothing", "zero_rated"),
    _misrated("currency_mistake", "the amount is in another currency than its label, or than the tariff", "other_currency"),
    _leak("ceased_subscriber", "billing has ended it, the network serves on", "inactive_subscriber"),
    _leak("suspended_subscriber", "billing has suspended it, the network serves on", "inactive_subscriber"),
    _leak("unknown_subscriber", "the network serves a subscription billing does not have", "unknown_subscriber"),
    _leak("missing_state", "billing does not have, or not active, a subscription the network serves", "active_not_billed"),
    _leak("plan_mismatch", "a plan change reached the network and not billing", "plan_mismatch"),
    Kind("lost_file", "leak", "a usage file never arrives", TS32297, "missing_records", "charge_without_usage", "quality"),
    Kind("lost_stretch", "leak", "a stretch of records is missing inside a usage file", TS32297, "missing_records",
         "charge_without_usage", "quality"),
)  # fmt: skip

FRAUDS = (
    _fraud("irsf", "a stolen SIM makes long, overlapping calls to a few leased premium numbers abroad at night; hard: few, "
           "short ones by day over many numbers", IRSF),
    _fraud("wangiri", "one-ring calls from a number abroad; those called back pay premium rates; hard: few rings, spread over "
           "days and callers, that resemble missed calls", SOK),
    _fraud("sim_box", "SIMs in one static place end foreign calls as local ones: many peers, no incoming calls; hard: they move, "
           "rest, receive calls and share the traffic", f"{SIMBOX}; {SIMBOX_HARD}"),
    _fraud("pbx_hacking", "calls through a company's broken-into exchange to premium numbers at the weekend and by night; hard: "
           "in office hours, short, beside its normal calls", SOK),
    _fraud("subscription_fraud", "a subscription under a false name that uses all it can from its first hour and never pays; "
           "hard: normal use for days, then the bust-out", SUBSCRIPTION),
    _fraud("sim_swap", "the number moves to a new SIM and handset; passcodes arrive there, then premium calls", SIM_SWAP),
    _fraud("inflated_sms", "a robot asks for one-time passcodes to rows of consecutive numbers abroad", AIT),
    _fraud("call_forwarding", "incoming calls are forwarded to premium numbers, many at a time", SOK),
    _fraud("roaming_fraud", "heavy calls abroad on a visited network before its records come home", ROAMING),
    _fraud("iot_sim_misuse", "the SIM of a meter in another device carries bulk data and calls", CYTEL),
    _fraud("zero_rated_tunnel", "traffic tunnelled through the zero-rated class", TOLL_FREE_DATA),
)  # fmt: skip

ITEM_LEAKS = (
    _leak("item_missed", "a rental or router is not billed for one period", "unbilled"),
    Kind("item_never_billed", "leak", "an item of a contract is never billed", GB941, "unbilled", "unbilled", "kernel",
         "never_since_activation"),
    _leak("item_fee_missed", "the fee of an activation or termination is not billed", "unbilled"),
    _misrated("item_old_price", "a rental is billed at the price before its last change", "old_price"),
    _misrated("item_old_plan", "a rental is billed at the price of the plan before an upgrade", "old_plan"),
    _misrated("item_not_prorated", "the month of an activation is billed in full", "not_prorated"),
    _misrated("item_discount_expired", "a discount goes on after its end", "discount_expired"),
    _misrated("item_discount_missed", "a discount in force is not applied", "discount_not_applied"),
    _leak("item_wrong_amount", "an item is billed at an amount that nothing explains", "misrated"),
    Kind("item_after_cessation", "leak", "a rental is billed after the contract has ceased", GB941, "charge_without_usage",
         "charge_without_usage", "kernel", "after_cessation"),
    Kind("item_while_suspended", "leak", "a rental is billed while the contract is suspended", GB941, "charge_without_usage",
         "charge_without_usage", "kernel", "while_suspended"),
    _leak("item_twice", "a period is billed twice", "duplicate_charge"),
    _leak("item_within_tolerance", "an item is billed at an amount off by less than the tolerance: not decidable", "misrated"),
)  # fmt: skip
"""Mistakes about rentals and fees, which only operators with months of them have."""

COVER_LEAKS = (
    _leak("cover_missed", "the usage of a cycle is not billed", "unbilled"),
    _leak("cover_service_missed", "the line for several services lacks the data", "misrated"),
    _leak("cover_short", "the lines of a cycle come to less than its usage", "misrated"),
    _leak("cover_over", "the lines of a cycle come to more than its usage", "misrated"),
    _leak("cover_twice", "a line for several services is billed twice", "duplicate_charge"),
    _leak("cover_other_currency", "the lines of a cycle are billed in another currency", "unbilled"),
    _leak("cover_without_usage", "a cycle without usage has a line", "charge_without_usage"),
    _leak("cover_within_tolerance", "the lines of a cycle are off by less than the tolerance: not decidable", "misrated"),
)  # fmt: skip
"""Mistakes about lines for several services, which only operators with invoices have."""

INVOICE_LEAKS = (
    _invoice("invoice_lines_differ", "the total is not the sum of the charges", "lines_differ"),
    _invoice("invoice_other_currency", "charges of another currency are on an invoice, and not in its total", "other_currency"),
    _invoice("invoice_tax_differs", "an invoice has another rate of tax", "tax_differs"),
    _invoice("invoice_total_differs", "net amount and tax do not add up to the total", "total_differs"),
    _invoice("invoice_missing", "the bill run leaves out an account", "missing_invoice"),
    _invoice("invoice_repeated", "a cycle of an account is billed a second time", "repeated_invoice"),
    _invoice("invoice_missing_number", "numbers are left out", "missing_number"),
    _invoice("invoice_repeated_number", "an invoice has the number of the one before", "repeated_number"),
    _invoice("invoice_number_outside_series", "an invoice is numbered by hand", "number_outside_series"),
    _invoice("invoice_credit_without_invoice", "a credit note names no invoice, an unknown one, or that of another account",
             "credit_without_invoice"),
    _invoice("invoice_credit_above_invoice", "a credit note is greater than its invoice", "credit_above_invoice"),
    _invoice("invoice_before_usage", "an invoice is issued within its cycle, and bills usage ahead", "invoice_before_usage"),
    _invoice("invoice_uninvoiced_charge", "a charge is on no invoice, or on one that does not exist", "uninvoiced_charge"),
    _invoice("invoice_missing_not_due", "an account is left out, and its invoice not yet due: not decidable", "missing_invoice"),
    _invoice("invoice_tax_within_tolerance", "the tax is off by less than the tolerance: not decidable", "tax_differs"),
)  # fmt: skip
"""Mistakes about invoices, which only operators with invoices have."""
INVOICE_LOOKALIKES = (
    _lookalike("invoice_credited_in_part", "a credit note lowers an invoice: no leak", GB941, "invoices"),
    _lookalike("invoice_reissued", "an invoice with a wrong total is replaced by one that names it: no leak", GB941, "invoices"),
)  # fmt: skip

CHAIN_LEAKS = (
    _leak("chain_lost_by_mediation", "mediation drops a record of the switch", "unbilled"),
    _leak("chain_cut_by_mediation", "mediation passes a smaller quantity on", "underbilled"),
    _leak("chain_lost_by_rating", "the rating engine rejects a record of mediation", "unbilled"),
    _leak("chain_misrated", "the rating engine takes another price than the one in force", "misrated"),
    _leak("chain_ghost_of_rating", "the rating engine has a record that no switch wrote", "charge_without_usage"),
    _leak("chain_lost_by_invoice", "a rated record is on no invoice", "unbilled"),
    _leak("chain_cut_by_invoice", "the invoice has half of the rated amount", "misrated"),
    _leak("chain_twice_by_invoice", "a rated record is on an invoice twice", "duplicate_charge"),
)  # fmt: skip
"""Losses between systems, which only operators with a chain have."""
HOPS = {
    "chain_lost_by_mediation": ("switch", "mediation", "lost"), "chain_cut_by_mediation": ("switch", "mediation", "changed"),
    "chain_lost_by_rating": ("mediation", "rating", "lost"), "chain_misrated": ("mediation", "rating", "changed"),
    "chain_ghost_of_rating": ("mediation", "rating", "added"), "chain_lost_by_invoice": ("rating", "invoice", "lost"),
    "chain_cut_by_invoice": ("rating", "invoice", "changed"), "chain_twice_by_invoice": ("rating", "invoice", "changed"),
}  # fmt: skip
"""Each kind of loss to its hop (from, to), and the name that the view `chain_losses` gives the change."""

LOOKALIKES = (
    _lookalike("call_centre", "a company's outgoing line: many short calls to many numbers in office hours"),
    _lookalike("traveller", "a customer abroad who calls home much for some days"),
    _lookalike("event_day", "votes by SMS of very many customers to one number within an hour"),
    _lookalike("new_subscriber", "a new customer who uses much in the first days"),
    _lookalike("look_alike_records", "unkeyed records of one pair of numbers within the start tolerance: not decidable", TS32240,
              "kernel"),
    _lookalike("reversed_duplicate", "charged twice and the second charge taken back: no leak", GB941, "kernel"),
    _lookalike("retransmitted_record", "the same record sent again with the same content: no leak", TS32297, "kernel"),
    _lookalike("retransmitted_file", "the same file sent again under another name: no leak", TS32297, "kernel"),
)  # fmt: skip

_ALL = (*LEAKS, *FRAUDS, *LOOKALIKES, *ITEM_LEAKS, *CHAIN_LEAKS, *COVER_LEAKS, *INVOICE_LEAKS, *INVOICE_LOOKALIKES)
KINDS = {kind.name: kind for kind in _ALL}
CODES = {name: number for number, name in enumerate(KINDS, start=1)}
"""Each kind to its number in session frames; 0 means no kind."""
KIND_NAMES = ("none", *KINDS)
HARD_FRAUDS = ("irsf", "wangiri", "sim_box", "pbx_hacking", "subscription_fraud")
