"""Forms in which people and programs write numbers, times and keys: each is read correctly or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import polars as pl
import pytest

from trueup.collect.ingest import IngestSummary
from trueup.config import Project

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

Form = tuple[str, str, str, str]
"""Settings of the source, the column, its text in the file, and the result: a value, or the reason for the rejection."""

GERMAN = 'notation = { decimal = ",", grouping = ".", negative = "trailing", currency = ["€", "EUR"] }'
FRENCH = 'notation = { decimal = ",", grouping = " " }'
SWISS = 'notation = { grouping = "\'" }'
AMERICAN = 'notation = { grouping = ",", negative = "parentheses", currency = ["$"] }'
BERLIN = 'timezone = "Europe/Berlin"'
GERMAN_TIME, COMPACT, BILL_TIME, US_TIME = (
    f'time_format = "{text}"' for text in ("%d.%m.%Y %H:%M:%S", "%Y%m%d %H%M%S", "%Y%m%d%H%M%S", "%I:%M %p %m/%d/%y")
)
SECONDS, HOURS, PARTS = 'time_format = "epoch_s"', "# h:m:s", "# units"
DURATIONS = {HOURS: "h:m:s", PARTS: "units"}

FORMS: list[Form] = [
    # Numbers without a declared notation: a plain decimal, and nothing else.
    *[("", "amount", text, "unparsable") for text in (
        "١٢٣", "१२", "１２", "1\u00a0234", "1\u202f234.50", "1,50", "1,234.50", "1'234.50", "−5.00", "–5.00", "‐5", "﹣5", "－5",
        "5.00-", "(5.00)", "1,5E2", "0x1F", "0x1p3", "1_000", "inf", "NaN", "NULL", r"\N", "-", ".", "+-5", "--5", "1.2.3", "$5",
        "5 €", "5%", "1/2", "½", "²", "1 2", "1\t2", "TRUE", "5k", "1٫5", "1·5", "1-May", "\u00ad12", "12\u00ad", "'12",
    )],
    ("", "amount", "1.5E2", "150"), ("", "amount", "1e+3", "1000"), ("", "amount", "007.50", "7.5"), ("", "amount", "+5", "5"),
    ("", "amount", "5.", "5"), ("", "amount", ".5", "0.5"), ("", "amount", "-0", "0"), ("", "amount", "\u200f12\u200e", "12"),
    ("", "amount", "1e400", "value_out_of_range"), ("", "amount", "9" * 38, "value_out_of_range"), ("", "amount", "", "missing_required"),
    # With a decimal comma, a point may only separate groups of three digits, and never follows a leading zero.
    *[(GERMAN, "amount", text, "unparsable") for text in (
        "1.5", "1.23", "1.2345", "0.500", "0.123", "00.123", "01.234", "5,-", "1 234,5", ".5", "-5-", "0,5E1", "EUR \u00ad5",
    )],
    (GERMAN, "amount", "1.000", "1000"), (GERMAN, "amount", "1.234,56", "1234.56"), (GERMAN, "amount", "12,00-", "-12"),
    (GERMAN, "amount", "€ 5,00", "5"), (GERMAN, "amount", "-€5", "-5"), (GERMAN, "amount", "5,0−", "-5"), (GERMAN, "amount", "0,500", "0.5"),
    (FRENCH, "amount", "1 234,5", "1234.5"), (FRENCH, "amount", "1\u00a0234,5", "1234.5"), (FRENCH, "amount", "1\u202f234,5", "1234.5"),
    (FRENCH, "amount", "1\u2009234,5", "1234.5"), (FRENCH, "amount", "1 23,5", "unparsable"), (FRENCH, "amount", "1  234", "unparsable"),
    (SWISS, "amount", "1'234.5", "1234.5"), (SWISS, "amount", "1’234.5", "1234.5"), (SWISS, "amount", "1´234", "unparsable"),
    (SWISS, "amount", "1'23", "unparsable"),
    (AMERICAN, "amount", "1,234,567.89", "1234567.89"), (AMERICAN, "amount", "($5.00)", "-5"), (AMERICAN, "amount", "0,123", "unparsable"),
    (AMERICAN, "amount", "12,34,567", "unparsable"), (AMERICAN, "amount", "(-5)", "unparsable"), (AMERICAN, "amount", "(5.00", "unparsable"),
    # Durations.
    (HOURS, "seconds", "24:00:00", "86400"), (HOURS, "seconds", "00:08:10,5", "490.5"), (HOURS, "seconds", "8:10", "unparsable"),
    (HOURS, "seconds", "1:60:00", "unparsable"), (HOURS, "seconds", "00:00:60", "unparsable"), (HOURS, "seconds", "-00:01:00", "unparsable"),
    (HOURS, "seconds", "1 day, 0:00:05", "unparsable"), (PARTS, "seconds", "1 h 2 min", "3720"), (PARTS, "seconds", "1.5h", "unparsable"),
    (PARTS, "seconds", "8m10", "unparsable"), (PARTS, "seconds", "1d", "unparsable"),
    # Times: of a zone with daylight saving, and of formats whose parts nothing separates.
    (BERLIN, "at", "2024-05-01 24:00:00", "2024-05-01 22:00:00"), (BERLIN, "at", "2024-05-01 24:00:01", "bad_time"),
    (BERLIN, "at", "2024-05-01 23:59:60", "bad_time"), (BERLIN, "at", "2024-02-29 10:00:00", "2024-02-29 09:00:00"),
    (BERLIN, "at", "2023-02-29 10:00:00", "bad_time"), (BERLIN, "at", "2024-03-31 02:30:00", "ambiguous_time"),
    (BERLIN, "at", "2023-10-29 02:30:00", "ambiguous_time"), (BERLIN, "at", "2023-10-29 02:30:00+01:00", "2023-10-29 01:30:00"),
    (BERLIN, "at", "2024-05-01\u00a010:00:00", "2024-05-01 08:00:00"), (BERLIN, "at", "٢٠٢٤-05-01 10:00:00", "bad_time"),
    (BERLIN, "at", "2024–05–01 10:00:00", "bad_time"), (BERLIN, "at", "45413.4166", "bad_time"), (BERLIN, "at", "2024-W18-3", "bad_time"),
    (BERLIN, "at", "0000-00-00 00:00:00", "bad_time"), (BERLIN, "at", "1899-12-30 10:00:00", "time_out_of_range"),
    (GERMAN_TIME, "at", "1.5.2024 9:00:00", "2024-05-01 09:00:00"), (GERMAN_TIME, "at", "05/01/2024 10:00:00", "bad_time"),
    (GERMAN_TIME, "at", "01.05.24 10:00:00", "bad_time"), (GERMAN_TIME, "at", "31.04.2024 10:00:00", "bad_time"),
    (COMPACT, "at", "20240501 012305", "2024-05-01 01:23:05"), (COMPACT, "at", "20240501 12305", "bad_time"),
    (BILL_TIME, "at", "20240501010203", "2024-05-01 01:02:03"), (BILL_TIME, "at", "2024050112305", "bad_time"),
    (BILL_TIME, "at", "2024051100000", "bad_time"),
    (US_TIME, "at", "12:00 AM 05/13/24", "2024-05-13 00:00:00"), (US_TIME, "at", "13:00 PM 05/01/24", "bad_time"),
    (US_TIME, "at", "10:00 PM 13/05/24", "bad_time"),
    (SECONDS, "at", "1714550400", "2024-05-01 08:00:00"), (SECONDS, "at", "1714550400000", "bad_time"), (SECONDS, "at", "1714550400,5", "bad_time"),
    # Numbers of parties and keys, as people, address books and spreadsheets leave them.
    *[("", "caller", text, "491511000001") for text in (
        "+49 151 1000001", "0049 (0)151/1000001", "sip:+491511000001@x;user=phone", "'01511000001", '="01511000001"', "+49\u2011151\u20111000001",
        "\u202a+491511000001\u202c", "4.91511000001E+11", "4,91511000001E+11", "491511000001.0", "٠١٥١١٠٠٠٠٠١", "＋４９１５１１０００００１",
    )],
    ("", "caller", "4.91511E+11", "lost_digits"), ("", "caller", "0", "0"), ("", "caller", "anonymous", "anonymous"),
    ("", "caller", "*31#01511", "*31#01511"), ("", "id", "1,23E+15", "lost_digits"), ("", "id", "'00123", "00123"),
    ("", "id", "12E10", "12E10"), ("", "id", "\ufeffk\u00a01", "k 1"),
]  # fmt: skip
USUAL = {"id": "", "caller": "491511000001", "at": "2024-05-01T10:00:00Z", "seconds": "60", "amount": "1"}
AT = {
    GERMAN_TIME: "01.05.2024 10:00:00",
    COMPACT: "20240501 100000",
    BILL_TIME: "20240501100000",
    US_TIME: "10:00 AM 05/01/24",
    SECONDS: "1714557600",
}
SOURCE = """
[[source]]
name = "{name}"
stream = "charge"
path = "landing/{name}.csv"
{settings}
[source.columns]
record_key = "id"
subscriber = {{ column = "caller", e164 = "49" }}
started_at = "at"
quantity = {{ column = "seconds"{duration} }}
amount = "amount"
[source.constants]
service = "voice"
"""
READ = """
SELECT split_part(source_id, '@', 1) AS source, source_row AS row_no, record_key AS id, subscriber AS caller,
    strftime(started_at AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S') AS at,
    (quantity_micros / 1000000)::VARCHAR AS seconds, (amount_micros / 1000000)::VARCHAR AS amount, NULL AS reason
FROM lake.events.charge
UNION ALL
SELECT source, source_row, NULL, NULL, NULL, NULL, NULL, reason FROM lake.events.quarantine
"""


def source_of(name: str, settings: str, forms: list[Form]) -> tuple[str, str]:
    """Return the source of forms with the same settings, and its file: one record for each form."""
    duration = f', duration = "{DURATIONS[settings]}"' if settings in DURATIONS else ""
    usual = (
        USUAL | {"at": AT.get(settings, USUAL["at"])} | ({"seconds": "1:00:00" if settings == HOURS else "60s"} if duration else {})
    )
    lines = [",".join(usual)]
    for number, (_, column, text, _) in enumerate(forms):
        cells = usual | {"id": f"{name}-{number}", column: text}
        lines.append(",".join(f'"{cell.replace(chr(34), 2 * chr(34))}"' for cell in cells.values()))
    return SOURCE.format(name=name, settings=settings, duration=duration), "\n".join(lines) + "\n"


@pytest.mark.parametrize("version", ["", "mapping_version = 3"])
def test_each_form_is_read_as_meant_or_refused(calls: Write, take_in: TakeIn, query: Query, version: str) -> None:
    ordered = sorted(FORMS, key=lambda form: form[0])
    groups = {f"f{n}": list(group) for n, (_, group) in enumerate(groupby(ordered, key=lambda form: form[0]))}
    sources = {name: source_of(name, forms[0][0], forms) for name, forms in groups.items()}
    toml = "".join(text.replace("[source.columns]", f"{version}\n[source.columns]") for text, _ in sources.values())
    project = calls({f"{name}.csv": text for name, (_, text) in sources.items()}, toml=toml)
    assert take_in(project).errors == []
    rows = {(row["source"], row["row_no"]): row for row in query(project, READ).iter_rows(named=True)}
    misread = {}
    for name, forms in groups.items():
        for number, (settings, column, text, wanted) in enumerate(forms):
            row = rows[name, number]
            read = row["reason"] or row[column]
            if read not in (wanted, f"{wanted}.0"):
                misread[settings, text] = read
    # A source with a history keeps the values that version 3 read, until its configuration raises the version.
    of_version_3 = {
        (GERMAN, "0.500"): "500.0", (GERMAN, "0.123"): "123.0", (GERMAN, "00.123"): "123.0", (GERMAN, "01.234"): "1234.0",
        (GERMAN, "EUR \u00ad5"): "5.0", (AMERICAN, "0,123"): "123.0", ("", "\u00ad12"): "12.0", ("", "12\u00ad"): "12.0",
        (COMPACT, "20240501 12305"): "2024-05-01 12:30:05", (BILL_TIME, "2024050112305"): "2024-05-01 12:30:05",
        (BILL_TIME, "2024051100000"): "2024-05-11 00:00:00", ("", "0"): "49",
        ("", "٠١٥١١٠٠٠٠٠١"): "٠١٥١١٠٠٠٠٠١", ("", "＋４９１５１１０００００１"): "＋４９１５１１０００００１",
    }  # fmt: skip
    assert misread == (of_version_3 if version else {})
