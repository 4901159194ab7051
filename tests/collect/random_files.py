"""Random files of a known truth: records in a random notation, framing and encoding, some of them damaged.

Each file has its own source with the settings that describe it. The generator returns the true values of each record, with which a
test compares all ingested values. It also returns the records that must be refused.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

FIELDS = ("id", "caller", "at", "used", "amount", "leg")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME_FORMATS = ("iso", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%Y%m%d%H%M%S", "epoch_s", "epoch_ms")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
ENCODINGS = ("utf-8", "latin-1", "cp1252")
Event = tuple[str, str, int, int, int]
"""Record key, subscriber, start in µs since 1970, quantity and amount in millionths."""


@dataclass(frozen=True)
class RandomFile:
    """A file, the settings of its source, and the expected result of ingestion; `refused` are the keys of damaged records."""

    name: str
    data: bytes
    settings: str
    events: frozenset[Event]
    refused: frozenset[str]
    filtered: int
    duplicate: int
    records: int


@dataclass
class _Writer:
    """The random choices for one file: its format and notation."""

    rng: random.Random
    kind: str = ""
    zone: str = ""
    time_format: str = ""
    decimal: str = ""
    grouping: str = ""
    negative: str = ""
    currency: str = ""
    clock: bool = False
    padded: bool = False
    filters: bool = False
    encoding: str = "utf-8"
    settings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        r = self.rng
        self.kind = r.choice(("csv", "csv", "csv", "ndjson", "parquet", "fixed"))
        self.zone, self.time_format = r.choice(ZONES), r.choice(TIME_FORMATS)
        self.decimal = r.choice(".,")
        self.grouping = r.choice([mark for mark in ("", "", ".", ",", " ", "'") if mark != self.decimal])
        self.negative = r.choice(("leading", "trailing", "parentheses"))
        self.currency = r.choice(("", "", "EUR", "€" if self.kind in ("ndjson", "parquet") else "$"))
        self.clock, self.padded, self.filters = r.random() < 0.2, r.random() < 0.3, r.random() < 0.3
        self.encoding = r.choice(ENCODINGS) if self.kind in ("csv", "fixed") else "utf-8"

    # --- values -------------------------------------------------------------------------------------------------------

    def number(self, micros: int) -> str:
        """Return a number in the file's notation, with as many decimals as it needs."""
        whole, rest = divmod(abs(micros), 1_000_000)
        digits = f"{whole:,}".replace(",", self.grouping)
        decimals = f"{rest:06d}".rstrip("0")
        text = digits + (self.decimal + decimals if decimals else "")
        text = f"{text} {self.currency}" if self.currency and self.rng.random() < 0.7 else text
        if micros >= 0:
            return text
        return {"leading": f"-{text}", "trailing": f"{text}-", "parentheses": f"({text})"}[self.negative]

    def time(self, us: int) -> str:
        if self.time_format == "epoch_s":
            return str(us // 1_000_000)
        if self.time_format == "epoch_ms":
            return str(us // 1_000)
        shown = (EPOCH + timedelta(microseconds=us)).astimezone(ZoneInfo(self.zone))
        return shown.strftime("%Y-%m-%dT%H:%M:%S" if self.time_format == "iso" else self.time_format)

    def used(self, micros: int) -> str:
        if not self.clock:
            return self.number(micros)
        seconds = micros // 1_000_000
        return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"

    def quantity(self) -> int:
        seconds = self.rng.choice((0, 1, 59, 60, 1_000, 86_399, self.rng.randrange(80_000)))
        return seconds * 1_000_000 + (0 if self.clock else self.rng.choice((0, 0, 500_000, 123_456, 10_000)))

    def amount(self) -> int:
        return self.rng.choice((0, 1_000_000, 1_234_567_890_000, self.rng.randrange(-5_000_000_000, 5_000_000_000)))

    def damage(self, row: dict[str, str]) -> str:
        """Damage one value of a row so that every reading of the value is wrong; return the name of the field."""
        name = self.rng.choice(("at", "used", "amount", "id"))
        other = "," if self.decimal == "." else "."
        wrong = {
            "at": self.rng.choice(("yesterday", "99.99.2024 10:00:00", "0")),
            "used": self.rng.choice(("many", "12x4", "1e", "0x1F", "--5", "1 2 3:4")),
            # Two decimals after the other mark form no group of three digits.
            "amount": self.rng.choice(("", "n/a", f"12{other}34", f"1{self.decimal}2{self.decimal}3", "5%", "(-5)")),
            "id": "",
        }
        row[name] = wrong[name]
        return name


def random_file(seed: str, name: str) -> RandomFile:
    """Return a random file and its truth; the same seed gives the same file."""
    writer = _Writer(random.Random(seed))
    r = writer.rng
    rows, events, refused, filtered, duplicate = [], set[Event](), set[str](), 0, 0
    for number in range(r.choice((1, 2, 7, 30))):
        key, subscriber = f"{name}-{number:03d}", f"4915110{r.randrange(10_000):05d}"
        us = (1_704_100_000 + r.randrange(10_000_000)) * 1_000_000
        used, amount = writer.quantity(), writer.amount()
        leg = r.choice("ab") if writer.filters else "a"
        row = {
            "id": key, "caller": subscriber, "at": writer.time(us), "used": writer.used(used), "amount": writer.number(amount),
            "leg": leg,
        }  # fmt: skip
        if leg == "b":
            filtered += 1
        elif r.random() < 0.15:
            writer.damage(row)
            # A damaged record is recognised in quarantine by its number.
            row["caller"] = subscriber = f"9900000{number:05d}"
            refused.add(subscriber)
        else:
            events.add((key, subscriber, us, used, amount))
        rows.append(row)
        if leg == "a" and subscriber not in refused and r.random() < 0.1:
            rows.append(dict(row))
            duplicate += 1
    data, ending = _FORMATS[writer.kind](writer, rows)
    data, ending = _compress(writer, data, ending)
    return RandomFile(
        f"{name}{ending}", data, _build_settings(writer, f"{name}{ending}"), frozenset(events), frozenset(refused), filtered, duplicate,
        len(rows),
    )  # fmt: skip


# --- formats ----------------------------------------------------------------------------------------------------------

Rows = list[dict[str, str]]


def _write_csv(writer: _Writer, rows: Rows) -> tuple[bytes, str]:
    r = writer.rng
    delimiter, quote = r.choice((",", ";", "|", "\t")), r.choice(('"', "'"))
    # A delimiter or quote that numbers contain would need quotes around them.
    always, header = True, r.random() < 0.8
    if delimiter not in ",.'" and "'" not in (writer.grouping, quote):
        always = r.random() < 0.3
    end = r.choice(("\n", "\r\n"))
    title = [f"report {n}" for n in range(r.choice((0, 0, 1, 3)))]
    writer.settings += [f"delimiter = {json.dumps(delimiter)}", f"quote = {json.dumps(quote)}"]
    writer.settings += [f"skip_lines = {len(title)}"] if title else []
    writer.settings += [] if header else ["header = false"]

    def line(cells: list[str]) -> str:
        shown = [f"{quote}{cell.replace(quote, quote * 2)}{quote}" if always and cell else cell for cell in cells]
        return delimiter.join(shown)

    blank = " " if writer.padded and not always else ""
    lines = [line([f"{blank}{row[name]}{blank}" if row[name] else "" for name in FIELDS]) for row in rows]
    head = line(list(FIELDS))
    if header and len(lines) > 3 and r.random() < 0.3:
        lines.insert(len(lines) // 2, head)
    trailer: list[str] = []
    if r.random() < 0.3:
        trailer = [f"END {len(rows)}"]
        writer.settings.append("framing = { trailer = '^END (?P<records>[0-9]+)$' }")
    text = end.join([*title, *([head] if header else []), *lines, *trailer]) + (end if r.random() < 0.8 else "")
    mark = b"\xef\xbb\xbf" if writer.encoding == "utf-8" and r.random() < 0.2 else b""
    if not header:
        writer.kind = "headerless"
    return mark + text.encode(writer.encoding), ".csv"


def _write_fixed(writer: _Writer, rows: Rows) -> tuple[bytes, str]:
    widths = {name: max(len(row[name]) for row in rows) + writer.rng.choice((0, 1, 3)) for name in FIELDS}
    widths = {name: max(1, width) for name, width in widths.items()}
    fields = ", ".join(f'{{ name = "{name}", length = {width} }}' for name, width in widths.items())
    writer.settings += ['format = "fixed"', f"fixed = {{ fields = [{fields}] }}"]
    right = writer.rng.random() < 0.5

    def cell(name: str, text: str) -> str:
        return text.rjust(widths[name]) if right else text.ljust(widths[name])

    lines = ["".join(cell(name, row[name]) for name in FIELDS) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode(writer.encoding), ".txt"


def _write_ndjson(writer: _Writer, rows: Rows) -> tuple[bytes, str]:
    writer.settings.append('format = "ndjson"')
    lines = []
    for row in rows:
        names = list(FIELDS)
        writer.rng.shuffle(names)
        lines.append(json.dumps({name: row[name] or None for name in names}, ensure_ascii=writer.rng.random() < 0.5))
    return "".join(f"{line}\n" for line in lines).encode(), ".ndjson"


def _write_parquet(writer: _Writer, rows: Rows) -> tuple[bytes, str]:
    writer.settings.append('format = "parquet"')
    table = pa.table({name: pa.array([row[name] or None for row in rows], pa.string()) for name in FIELDS})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=writer.rng.choice((1, 5, 1_000)))
    return buffer.getvalue(), ".parquet"


_FORMATS: dict[str, Callable[[_Writer, Rows], tuple[bytes, str]]] = {
    "csv": _write_csv, "fixed": _write_fixed, "ndjson": _write_ndjson, "parquet": _write_parquet,
}  # fmt: skip


def _compress(writer: _Writer, data: bytes, ending: str) -> tuple[bytes, str]:
    way = writer.rng.choice(("", "", "gz", "zip")) if ending != ".parquet" else ""
    if way == "gz":
        return gzip.compress(data, mtime=0), f"{ending}.gz"
    if way == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(f"inner{ending}"), data)
        return buffer.getvalue(), f"{ending}.zip"
    return data, ending


def _build_settings(writer: _Writer, path: str) -> str:
    """Return the `[[source]]` that describes the file."""
    names = (
        dict(zip(FIELDS, ("1", "2", "3", "4", "5", "6"), strict=True)) if writer.kind == "headerless" else {n: n for n in FIELDS}
    )
    notation = {"decimal": writer.decimal, "grouping": writer.grouping, "negative": writer.negative}
    parts = [f'{name} = "{value}"' for name, value in notation.items()]
    parts += [f'currency = ["{writer.currency}"]'] if writer.currency else []
    lines = [
        "[[source]]", f'name = "{path.partition(".")[0]}"', 'stream = "charge"', f'path = "landing/{path}"', *writer.settings,
        f"notation = {{ {', '.join(parts)} }}", f'time_format = "{writer.time_format}"',
    ]  # fmt: skip
    lines += [] if writer.time_format.startswith("epoch") else [f'timezone = "{writer.zone}"']
    lines += [f'encoding = "{writer.encoding}"'] if writer.encoding != "utf-8" else []
    lines += [f'where = "\\"{names["leg"]}\\" = \'a\'"'] if writer.filters else []
    used = f'{{ column = "{names["used"]}", duration = "h:m:s" }}' if writer.clock else f'"{names["used"]}"'
    lines += [
        "[source.columns]", f'record_key = "{names["id"]}"', f'subscriber = "{names["caller"]}"', f'started_at = "{names["at"]}"',
        f"quantity = {used}", f'amount = "{names["amount"]}"',
        "[source.constants]", 'service = "voice"', 'currency = "EUR"',
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
