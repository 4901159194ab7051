"""Detection: which format a sample has, and its layout in that format."""

from __future__ import annotations

from collections.abc import Sequence

from trueup.collect.decode.text.radius_detail import RADIUS_ATTRIBUTE
from trueup.errors import SourceError
from trueup.onboarding.evidence import Fit, Line, assumed, supported
from trueup.onboarding.layouts.csv import csv_layout
from trueup.onboarding.layouts.fixed import fixed_layout
from trueup.onboarding.layouts.json import json_layout
from trueup.onboarding.layouts.layout import Layout, TextSample
from trueup.onboarding.layouts.workbook import workbook_layout
from trueup.onboarding.layouts.xml import is_xml, xml_layout
from trueup.onboarding.sample import Sample

_LINES = 2_000
"""Maximum number of lines from which the layout is found."""
_BOM = b"\xef\xbb\xbf"


def layout_of(sample: Sample) -> Layout:
    """Return the layout of a sample; raise `SourceError` for text of no known format."""
    if sample.kind == "parquet":
        return Layout("parquet", b"", {"format": "parquet"}, [Line("format", "parquet", "the file begins with PAR1")])
    if sample.kind == "xlsx":
        return workbook_layout(sample)
    data = sample.data.removeprefix(_BOM)
    if is_xml(data):
        return xml_layout(sample, data)
    text = _decode_text(data)
    if (found := json_layout(sample, text)) is not None:
        return found
    if (attributes := _detect_radius(text.texts)) is not None:
        return Layout("radius", sample.data, {"format": "radius"}, [attributes])
    delimited = csv_layout(sample, text)
    if delimited is not None and (fixed := _prefer_fixed_width(sample, delimited, text)) is not None:
        return fixed
    if (found := delimited or fixed_layout(sample, text)) is not None:
        return found
    todo = "name a file of CSV with two or more columns, of fixed width, NDJSON, JSON, XML, Parquet or a workbook (xlsx)"
    raise SourceError("its lines are of no known format", where=sample.shown, todo=todo)


def _prefer_fixed_width(sample: Sample, delimited: Layout, text: TextSample) -> Layout | None:
    """Return a fixed-width layout where a delimiter cuts only some of the lines, and all lines have the same length."""
    fit = next((line for line in delimited.lines if line.key == "delimiter" and line.check), None)
    return None if fit is None else fixed_layout(sample, text, strict=True)


def _decode_text(data: bytes) -> TextSample:
    encoding, encoded = _detect_encoding(data)
    rows = data.splitlines(keepends=True)
    return TextSample(rows, [row.decode(encoding, "replace").rstrip("\r\n") for row in rows[:_LINES]], encoding, encoded)


def _detect_encoding(data: bytes) -> tuple[str, list[Line]]:
    """Return the encoding, and the line that declares it unless it is UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) - error.start < 4:
            # The sample may end within a character.
            return "utf-8", []
    else:
        return "utf-8", []
    for name in ("cp1252", "latin-1"):
        try:
            data.decode(name)
        except UnicodeDecodeError:
            continue
        return name, [assumed("encoding", name, "the text is not UTF-8; bytes alone do not show which other encoding it has")]
    raise AssertionError("latin-1 decodes all bytes")


def _detect_radius(texts: Sequence[str]) -> Line | None:
    """Return the line that declares the RADIUS format, where most lines are indented and nearly all of those are attributes."""
    filled = [text for text in texts if text.strip()]
    indented = [text for text in filled if text[0] in " \t"]
    fit = Fit(sum(bool(RADIUS_ATTRIBUTE.fullmatch(text)) for text in indented), len(indented))
    if len(indented) * 2 < len(filled) or fit.share < 0.9:
        return None
    return supported("format", "radius", fit, "indented lines are attributes `Name = value`")
