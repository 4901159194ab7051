"""Names of columns: the event column that a usual name in the trade means."""

from __future__ import annotations

import re
import unicodedata

from trueup.units import UnitName

_NAMES = {
    role: tuple(names.split())
    for role, names in {
        "record_key": (
            "record_key cdr cdr_id cdrid record_id recordid rec_id uuid acctuniqueid uniqueid unique_id event_id line_id line "
            "line_no line_number charge_id billing_id item_id transaction_id txn_id row_id id key leg sequence seq nr no "
            "position pos beleg belegnr lfd_nr"
        ),
        "session_key": (
            "session_key call_ref call_reference callref call_id callid charging_id session_id session acctsessionid "
            "linkedid reference ref cdr cdr_id cdrid usage_id acctuniqueid uuid uniqueid unique_id event_id call gespraech_id "
            "id"
        ),
        "subscriber": (
            "subscriber msisdn a_number anumber anum a_no a_msisdn a_party a_nummer a_rufnummer rufnummer_a numero_a "
            "calling_number calling_party calling_party_number calling caller caller_id_number callerid src source_number "
            "from_number from originator origin username user_name user phone_number phone number rufnummer teilnehmer "
            "anschluss calling_station_id imsi abonne numero cli anrufer rufende_nummer numero_appelant appelant llamante chiamante"
        ),
        "peer": (
            "peer b_number bnumber bnum b_no b_party b_msisdn b_nummer b_rufnummer rufnummer_b numero_b called_number "
            "called_party called_party_number called callee dst destination destination_number dialed_number dialled_number "
            "dialed dialled to_number to recipient zielrufnummer ziel other_party called_station_id dnis gewaehlte_nummer "
            "gewaehlte_rufnummer angerufener angerufene_nummer numero_appele appele llamado chiamato"
        ),
        "started_at": (
            "started_at start_time starttime start start_date_time start_datetime call_start begin begin_time calldate "
            "event_time event_timestamp acctstarttime acctstart timestamp time_stamp datetime date_time setup_time "
            "connect_time usage_start usage_date beginn startzeit zeitpunkt month_start period_start ts time zeit "
            "answer_time date datum debut fecha call_date"
        ),
        "quantity": (
            "quantity billsec billed_seconds billed_s billmsec bill_sec billable_seconds duration_s duration_sec "
            "duration_seconds duration_ms duration call_duration billed_duration acctsessiontime seconds secs length "
            "usage_volume volume total_volume total_bytes total_octets data_volume bytes octets kb mb gb megabytes units "
            "billed_quantity billed_units count qty usage minutes mins dauer menge duree duracion dur"
        ),
        "amount": (
            "amount billed_amount charged_amount charge_amount net_amount charge charged cost price total_charge "
            "total_amount total fee value rated_amount revenue net betrag preis kosten entgelt montant importe amt debit"
        ),
        "currency": "currency currency_code cur ccy iso_currency waehrung devise moneda",
        "service": "service service_type call_type calltype service_name usage_type event_type record_type product dienst",
        "account": "account account_id accountcode account_no account_number customer customer_id customer_no kunde kundennummer",
        "direction": "direction dir call_direction richtung",
        "node": "node nas nasipaddress nas_ip_address switch switch_id msc exchange site_id gateway host element",
        "cell": "cell cell_id cellid ci cgi ecgi tower",
        "partial_no": "partial_no partial part part_no partial_number partial_record_number segment_no",
        "tariff_code": "tariff_code tariff rate_code rate_plan tarif",
        "invoice_id": "invoice_id invoice invoice_no invoice_number bill_no bill_id rechnung rechnungsnummer",
        "billed_at": "billed_at invoice_date bill_date billing_date rated_at billing_time charged_at rechnungsdatum",
        "ended_at": "ended_at end_time endtime end stop stop_time acctstoptime acctstop ende end_date_time hangup_time",
        "time_of_day": "time start_time starttime call_time zeit uhrzeit heure hora time_of_day",
        "day": "date start_date startdate call_date day datum tag jour fecha usage_date",
        "leg": "leg call_leg leg_type legtype side",
    }.items()
}
"""Names of each event column in English, German and other languages, the most usual names first."""
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_UNITS: dict[UnitName, tuple[str, ...]] = {
    "ms": ("ms", "msec", "msecs", "millis", "milliseconds", "billmsec"),
    "s": ("s", "sec", "secs", "second", "seconds", "billsec"),
    "min": ("min", "mins", "minute", "minutes"),
    "B": ("byte", "bytes", "octet", "octets"),
    "kB": ("kb", "kbyte", "kbytes", "kilobytes"),
    "MB": ("mb", "mbyte", "mbytes", "megabytes"),
    "GB": ("gb", "gbyte", "gbytes", "gigabytes"),
}
_COUNTERS = {
    "in_low": r"^(acct_?)?in(put)?_?octets$", "out_low": r"^(acct_?)?out(put)?_?octets$",
    "in_high": r"^(acct_?)?in(put)?_?(gw|giga|gigawords)$", "out_high": r"^(acct_?)?out(put)?_?(gw|giga|gigawords)$",
    "up": r"^(up(link)?|tx|sent)_?(volume|bytes|octets)?$", "down": r"^(down(link)?|rx|received)_?(volume|bytes|octets)?$",
}  # fmt: skip


def words_of(name: str) -> str:
    """Return a name in lower case, without accents, its words joined by underscores.

    >>> words_of("Start Time"), words_of("cdrId"), words_of("Währung"), words_of("BILLSEC")
    ('start_time', 'cdr_id', 'waehrung', 'billsec')
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    plain = unicodedata.normalize("NFKD", spaced.lower().translate(_UMLAUTS)).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def name_score(name: str, role: str) -> int:
    """Return how well a column's name names an event column: 0 for not at all, else 1 to 100.

    For a path, such as `party/number` or `use.seconds`, the last name alone may also name the event column.
    """
    last = re.split(r"[/.]", name)[-1]
    return max(_score(name, role), _score(last, role) - 1 if last != name else 0)


def _score(name: str, role: str) -> int:
    words, known = words_of(name), _NAMES[role]
    if words in known:
        return 100 - known.index(words)
    joined = words.replace("_", "")
    if joined in (squeezed := [one.replace("_", "") for one in known]):
        return 95 - squeezed.index(joined)
    parts = words.split("_")
    longest = [one for one in known if len(one) > 3 and set(one.split("_")) <= set(parts)]
    return 40 - known.index(longest[0]) // 2 if longest else 0


def is_duration(name: str) -> bool:
    """Return whether a column's name means a length of time, whatever its unit."""
    return re.search(r"dur|dauer|session_?time", words_of(name)) is not None


def unit_in(name: str) -> UnitName | None:
    """Return the unit that a column's name states, such as `ms` of `duration_ms`."""
    words = words_of(name)
    parts = {words.replace("_", ""), words.rpartition("_")[2], words.partition("_")[0]}
    return next((unit for unit, known in _UNITS.items() if parts & set(known)), None)


def counters_in(names: list[str]) -> dict[str, str]:
    """Return the columns of octets and carried-over words, in and out, by what they count."""
    found: dict[str, str] = {}
    for what, pattern in _COUNTERS.items():
        for name in names:
            if re.match(pattern, words_of(name)) and what not in found:
                found[what] = name
    return found
