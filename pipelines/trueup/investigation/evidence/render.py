"""Render a document as one HTML page without scripts or links, and as a PDF; equal documents give equal bytes."""

from __future__ import annotations

import html
import io
import re
from importlib.resources import files
from typing import Any

from trueup.investigation.evidence.document import Block, Code, Document, Grid, Heading, Picture

_MARGIN_MM = 15
_FONT, _BOLD = "Vera", "VeraBd"
_MOST_CELL_CHARACTERS = 400
_SIZES = {1: 13, 2: 10}


def as_html(document: Document) -> str:
    """Return the document as an HTML page; all text of data is escaped."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def inline(svg: str) -> Markup:
        """Return a picture as part of the page, without the namespace, which a page does not need; its text is already escaped."""
        return Markup(re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg))

    template = files(__package__).joinpath("page.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(template).render(document=document, inline=inline) + "\n"


def as_pdf(document: Document) -> bytes:
    """Return the document as a PDF. A character that the font lacks is shown as its code, such as \\u4e2d."""
    from reportlab.lib.pagesizes import A4, landscape
    from reportlab.lib.units import mm
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

    known = _register_fonts()
    styles = _define_styles()
    story: list[Any] = [
        Paragraph(_escape_markup(document.title, known), styles["title"]),
        Paragraph(_escape_markup(document.subtitle, known), styles["text"]),
    ]
    width = landscape(A4)[0] - 2 * _MARGIN_MM * mm
    for block in document.blocks:
        story += [*_build_flowables(block, styles, known, width), Spacer(1, 2 * mm)]
    buffer = io.BytesIO()
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), _MARGIN_MM * mm)
    # `invariant` leaves out the time of writing and random ids.
    made = SimpleDocTemplate(buffer, pagesize=landscape(A4), title=_replace_unknown(document.title, known), invariant=1, **margins)
    made.build(story, onFirstPage=_number_page, onLaterPages=_number_page)
    return buffer.getvalue()


def _register_fonts() -> frozenset[int]:
    """Register the fonts that come with ReportLab, and return the characters that they have."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name in (_FONT, _BOLD):
        pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    return frozenset(pdfmetrics.getFont(_FONT).face.charToGlyph)


def _define_styles() -> dict[str, Any]:
    from reportlab.lib.styles import ParagraphStyle

    def style(name: str, font: str, size: int) -> Any:
        return ParagraphStyle(name, fontName=font, fontSize=size, leading=size * 1.3, splitLongWords=True, wordWrap="CJK")

    return {
        "title": style("title", _BOLD, 15), "text": style("text", _FONT, 9), "cell": style("cell", _FONT, 7),
        "head": style("head", _BOLD, 7), "code": style("code", _FONT, 7),
        **{f"heading{level}": style(f"heading{level}", _BOLD, size) for level, size in _SIZES.items()},
    }  # fmt: skip


def _build_flowables(block: Block, styles: dict[str, Any], known: frozenset[int], width: float) -> list[Any]:
    from reportlab.platypus import Paragraph, Table, TableStyle

    if isinstance(block, Heading):
        return [Paragraph(_escape_markup(block.text, known), styles[f"heading{block.level}"])]
    if isinstance(block, Code):
        return [Paragraph(_escape_markup(line, known) or "&nbsp;", styles["code"]) for line in block.text.split("\n")]
    if isinstance(block, Picture):
        return [_scale_image(block, width), Paragraph(_escape_markup(block.caption, known), styles["text"])]
    if not isinstance(block, Grid):
        return [Paragraph(_escape_markup(block.text, known), styles["text"])]
    if not block.columns:
        return []
    cells = [[Paragraph(_escape_markup(name, known), styles["head"]) for name in block.columns]]
    cells += [[Paragraph(_escape_markup(_shorten_cell(value), known), styles["cell"]) for value in row] for row in block.rows]
    table = Table(cells, colWidths=[width / len(block.columns)] * len(block.columns), repeatRows=1, splitInRow=1)
    lines = [
        ("GRID", (0, 0), (-1, -1), 0.25, "#888888"),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("BACKGROUND", (0, 0), (-1, 0), "#eeeeee"),
    ]
    table.setStyle(TableStyle(lines))
    return [table]


def _scale_image(block: Picture, width: float) -> Any:
    """Return a chart as an image no wider than the page."""
    from reportlab.lib.utils import ImageReader
    from reportlab.platypus import Image

    from trueup.pictures.svg import as_png

    content = as_png(block.svg)
    pixels_wide, pixels_high = ImageReader(io.BytesIO(content)).getSize()
    shown = min(width, pixels_wide / 2 * 0.75)
    return Image(io.BytesIO(content), width=shown, height=shown * pixels_high / pixels_wide, hAlign="LEFT")


def _shorten_cell(value: str) -> str:
    """Return a cell shortened to fit a page; the HTML page has the full text."""
    return value if len(value) <= _MOST_CELL_CHARACTERS else f"{value[:_MOST_CELL_CHARACTERS]}… (the page has all)"


def _replace_unknown(text: str, known: frozenset[int]) -> str:
    return "".join(c if ord(c) in known else c.encode("ascii", "backslashreplace").decode() for c in text)


def _escape_markup(text: str, known: frozenset[int]) -> str:
    """Return text escaped for ReportLab, so that no part of it acts as markup."""
    return html.escape(_replace_unknown(text, known), quote=False)


def _number_page(canvas: Any, _: Any) -> None:
    canvas.setFont(_FONT, 7)
    canvas.drawRightString(canvas._pagesize[0] - 40, 20, f"page {canvas.getPageNumber()}")
