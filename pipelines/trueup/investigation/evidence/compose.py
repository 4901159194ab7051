"""Compose the evidence of a case or finding: records side by side, arithmetic, history, hashes and raw bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from trueup.errors import TrueupError
from trueup.investigation.case_view import CaseView, view_case
from trueup.investigation.evidence.document import Block, Code, Document, Grid, Heading, Picture, Text, cell, grid, side_by_side
from trueup.investigation.evidence.render import as_html, as_pdf
from trueup.printable import visible
from trueup.proof.raw.records import VerifyResult, verify_record
from trueup.regular import read_regular
from trueup.warehouse.decide import subjects_by_id
from trueup.warehouse.explain import FindingExplanation, explain, subject_id_of
from trueup.warehouse.query import Warehouse
from trueup.warehouse.text import as_json

_FIELDS = (
    "record_key", "session_key", "account", "service", "subscriber", "peer", "direction", "node", "cell", "started_at", "quantity",
    "amount", "currency", "tariff_code", "invoice_id", "billed_at", "source", "path", "source_row", "event_id",
)  # fmt: skip
_CASE_FACTS = (
    "case_id", "type", "kind", "status", "findings", "transactions", "impact", "open_impact", "currency", "confidence", "first_at",
    "last_at", "owner", "due_on", "note",
)  # fmt: skip
_MOST_SIDE_BY_SIDE = 4
_MOST_BYTES = 1 << 30
_FILES = ("evidence.html", "evidence.pdf", "evidence.json", "SHA256SUMS")


@dataclass(frozen=True)
class Written:
    """The evidence files by name with their sha256, and the number of findings and records in them."""

    folder: str
    files: dict[str, str]
    findings: int
    records: int


def write_evidence(
    warehouse: Warehouse, id_prefix: str, folder: Path, *, most: int = 20, archives: tuple[Path, ...] = ()
) -> Written:
    """Write the evidence of a case, finding or suspicious transaction into a folder that does not exist or is empty.

    The folder may also hold earlier evidence of the same subject, which is replaced. `most` limits the findings of a case to
    those with the most money; the document states how many were left out. Equal logs give equal files. Raises `TrueupError` for an
    unknown id, and for a folder that holds other files.
    """
    subject = subject_id_of(warehouse, id_prefix)
    _check_folder(folder, subject)
    case, explanations = _read_subjects(warehouse, subject, most)
    event_ids = [member["event_id"] for one in explanations for member in one.members]
    event_ids += [] if case is None or case.case["type"] != "fraud" else [row["event_id"] for row in case.members]
    raw = {one: verify_record(warehouse.lake, bytes.fromhex(one), archives=archives) for one in dict.fromkeys(event_ids)}
    document = compose(warehouse, case, explanations, raw)
    value = {
        "subject": subject,
        "case": case,
        "findings": explanations,
        "records": list(raw.values()),
        "position": _read_position(warehouse),
    }
    contents = {
        "evidence.html": as_html(document).encode(), "evidence.pdf": as_pdf(document),
        "evidence.json": (as_json(value) + "\n").encode(),
    }  # fmt: skip
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    contents["SHA256SUMS"] = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return Written(str(folder), sums, len(explanations), len(raw))


def _check_folder(folder: Path, subject: str) -> None:
    if not folder.exists():
        return
    entries = list(folder.iterdir()) if folder.is_dir() else [folder]
    # Writing to a named pipe would wait for its reader.
    if any(entry.name not in _FILES or not entry.is_file() for entry in entries) or not folder.is_dir():
        raise TrueupError("the folder holds other files", where=str(folder), todo="name a new or empty folder")
    if entries and _read_subject(folder / "evidence.json") != subject:
        raise TrueupError("the folder holds other evidence", where=str(folder), todo="name a new or empty folder")


def _read_subject(path: Path) -> object:
    """Return the subject of earlier evidence; None where the path has none."""
    try:
        return json.loads(read_regular(path, max_bytes=_MOST_BYTES)).get("subject")
    except (OSError, ValueError, AttributeError):
        return None


def _read_position(warehouse: Warehouse) -> int:
    return warehouse.lake.last_position() if warehouse.as_of is None else warehouse.as_of.position


def _read_subjects(warehouse: Warehouse, subject: str, most: int) -> tuple[CaseView | None, list[FindingExplanation]]:
    """Return the case and the explanations of its findings; for a single finding, only its own explanation."""
    found = subjects_by_id(warehouse, [subject])[subject]
    if found["type"] == "transaction":
        raise TrueupError(f"{subject} is one transaction", todo="name its case, which `trueup explain` and the view `cases` show")
    case = None if found["type"] == "finding" else view_case(warehouse, subject, most=most)
    ids = [subject] if case is None else [row["finding_id"] for row in case.members if "finding_id" in row]
    explained = [explain(warehouse, one) for one in ids]
    return case, [one for one in explained if isinstance(one, FindingExplanation)]


def compose(
    warehouse: Warehouse, case: CaseView | None, explanations: Sequence[FindingExplanation], raw: dict[str, VerifyResult]
) -> Document:
    """Return the document of a case, with the explanations of its findings and its records, which are reread from the raw files."""
    position = _read_position(warehouse)
    name = case.title if case is not None else f"{explanations[0].finding['kind']} {explanations[0].finding['finding_id']}"
    subtitle = f"As of position {position} of the log. Times are in UTC, amounts exact. trueup wrote this from the event log."
    blocks: list[Block] = []
    if case is not None:
        blocks += _write_case_blocks(case, len(explanations))
    blocks += _draw_money_blocks(explanations)
    for number, one in enumerate(explanations, start=1):
        blocks += _write_finding_blocks(number, one)
    blocks += _record_blocks(warehouse, raw)
    return Document(visible(f"Evidence: {name}"), subtitle, tuple(blocks))


def _write_case_blocks(case: CaseView, shown: int) -> Iterator[Block]:
    yield Heading(1, "The case")
    yield Grid(
        ("fact", "value"),
        tuple((name.replace("_", " "), cell(case.case[name])) for name in _CASE_FACTS if case.case[name] is not None),
    )
    if case.case["summary"] is not None:
        yield Text(visible(case.case["summary"]))
    yield Text(visible(f"What all its members share: {case.title.partition(': ')[2]}"))
    total = case.case["findings"] if case.case["type"] == "root_cause" else case.case["transactions"]
    if case.case["type"] == "root_cause" and shown < total:
        yield Text(f"The {shown} findings with the most money follow, of {total}.")
    if case.members:
        yield Heading(1, "Its findings" if case.case["type"] == "root_cause" else "Its transactions")
        yield grid(case.members)
    yield Heading(1, "What happened to the case")
    yield grid(case.history)


def _draw_money_blocks(explanations: Sequence[FindingExplanation]) -> Iterator[Block]:
    """Draw the steps from expected to billed money, for all findings of the document together."""
    from trueup.pictures.svg import waterfall_svg

    findings = [one.finding for one in explanations if one.finding["expected"] is not None and one.finding["billed"] is not None]
    currencies = {finding["currency"] for finding in findings}
    if len(currencies) != 1:
        return
    expected, billed, impact = (sum((f[name] for f in findings), Decimal(0)) for name in ("expected", "billed", "impact"))
    if not any((expected, billed, impact)):
        return
    currency = currencies.pop() or ""
    which = "the finding" if len(findings) == 1 else f"the {len(findings)} findings that follow"
    yield Heading(1, "From expected to billed")
    caption = f"Expected {expected:f}, billed {billed:f}, impact {impact:f} {visible(currency)}, of {which}."
    yield Picture(waterfall_svg(expected, billed, impact, currency), caption)


def _write_finding_blocks(number: int, one: FindingExplanation) -> Iterator[Block]:
    finding = one.finding
    yield Heading(1, f"Finding {number}: {finding['kind']} {finding['finding_id']}")
    yield Text(f"{one.meaning} Status: {finding['status']}.")
    records = one.members[:_MOST_SIDE_BY_SIDE]
    yield Heading(2, "Records side by side")
    yield side_by_side(records, _FIELDS, [str(record["stream"]) for record in records])
    if len(one.members) > len(records):
        yield Text(f"{len(one.members) - len(records)} more records are listed at the end.")
    yield Heading(2, "Arithmetic")
    yield Code("\n".join(map(visible, one.arithmetic)))
    for title, lines in one.steps.items():
        yield Code("\n".join([visible(title), *(f"  {visible(line)}" for line in lines)]))
    if one.sentence:
        yield Text(visible(one.sentence))
    yield Heading(2, "History")
    columns = ("position", "committed_at", "action", "cause", "expected", "billed", "impact")
    yield grid(one.history, [name for name in columns if one.history and name in one.history[0]])
    if one.decisions:
        yield grid(one.decisions)


def _record_blocks(warehouse: Warehouse, raw: dict[str, VerifyResult]) -> Iterator[Block]:
    yield Heading(1, "Raw records")
    yield Text("Each record was read again from the delivered file. The id is a hash of its content.")
    for event_id, record in raw.items():
        extent = "" if record.length is None else f", bytes {record.offset} to {record.offset + record.length}"
        yield Heading(2, f"{record.stream} {event_id}")
        yield Text(visible(f"{record.verdict}: {record.detail}. {record.path}, record {record.row}{extent}"))
        if record.raw is not None:
            yield Code(visible(record.raw.decode("utf-8", "backslashreplace")))
    units = warehouse.rows("queries/cases/units_of", {"source_ids": sorted({record.source_id for record in raw.values()})})
    yield Heading(1, "Files and hashes")
    yield grid(units)
