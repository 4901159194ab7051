"""Layout of XML: find the element that is a record, by the number of its repetitions and by paths that occur once."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass, field
from xml.parsers import expat

from trueup.collect.decode.record_bytes import bounds_of
from trueup.collect.decode.xml.bounded_parser import BoundedParser, local_name
from trueup.collect.decode.xml.elements import ElementScan
from trueup.collect.decode.xml.leaves import leaves_of
from trueup.collect.discover.units import sample_unit
from trueup.config import SourceConfig
from trueup.errors import SourceError
from trueup.onboarding.evidence import Fit, Line
from trueup.onboarding.layouts.layout import Layout
from trueup.onboarding.sample import Sample

_BEGIN = re.compile(rb"^\s*<(\?xml|!--|!DOCTYPE|[A-Za-z_])")
_PAGE = re.compile(rb"(?i)\s*(<!doctype\s+html|<html)")
_SOME = 200
_FEW = 2
"""Minimum number of attributes and elements of an element that is a record."""


def is_xml(data: bytes) -> bool:
    """Return whether text begins like an XML document."""
    return _BEGIN.match(data[:200]) is not None


@dataclass
class _Elements:
    """The elements of a document: by name the number with content and the depth, and the elements open at the end."""

    counts: Counter[str] = field(default_factory=Counter)
    depths: dict[str, int] = field(default_factory=dict)
    open: list[list[str | int]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.open:
            self.open[-1][1] = int(self.open[-1][1]) + 1
        self.tags.append(name)
        self.open.append([local_name(name), len(attributes)])

    def end(self, name: str) -> None:
        self.tags.pop()
        inner, content = self.open.pop()
        if int(content) >= _FEW and self.open:
            self.counts[str(inner)] += 1
            self.depths[str(inner)] = min(self.depths.get(str(inner), 1000), len(self.open))


def xml_layout(sample: Sample, data: bytes) -> Layout:
    """Return the layout of an XML document; raise `SourceError` where it cannot be read or no element has content of its own."""
    if _PAGE.match(data[:200]):
        raise SourceError("the file is a web page (HTML)", where=sample.shown, todo="download the file itself, behind any login")
    elements = _Elements()
    bounded = BoundedParser(sample.shown)
    bounded.parser.StartElementHandler, bounded.parser.EndElementHandler = elements.start, elements.end
    try:
        bounded.step(data)
        if sample.is_whole:
            bounded.parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise SourceError(f"the XML document is damaged: {error}", where=sample.shown, todo="name another sample") from None
    if not elements.counts:
        todo = "name a sample whose records are elements with elements or attributes of their own"
        raise SourceError("no element of the XML document has columns", where=sample.shown, todo=todo)
    candidates = sorted(elements.counts, key=lambda name: (elements.depths[name], -elements.counts[name]))
    repeated = [name for name in candidates if elements.counts[name] > 1] or candidates
    fits = {name: _count_single(sample, data, name) for name in repeated}
    element = next((name for name in repeated if fits[name].share >= 0.9), max(repeated, key=lambda name: elements.counts[name]))
    count, others = elements.counts[element], [name for name in repeated if name != element]
    also = f"; {', '.join(others[:5])} are repeated too" if others else ""
    lines = [
        Line("format", "xml", "the file begins with an element"),
        Line(
            "element",
            element,
            f"{count:,} {'element has' if count == 1 else 'elements have'} this name{also}",
            check=bool(others) or count == 1,
        ),
    ]
    return Layout("xml", _close_elements(data, elements, element), {"format": "xml", "element": element}, lines)


def _count_single(sample: Sample, data: bytes, element: str) -> Fit:
    """Return how many of the first elements of a name have most paths once; an element that contains records repeats its paths."""
    source = SourceConfig.model_validate(
        {"name": "sample", "stream": "usage", "path": "s", "identity": "content", "format": "xml", "element": element}
    )
    unit = sample_unit(source, sample.path, io.BytesIO(data), len(data))
    piece = next(ElementScan(element, bounds_of(unit), is_sound=sample.is_whole).records([data]), None)
    if piece is None:
        return Fit(0, 0)
    found = [leaves_of(piece.raw(at), "utf-8", unit.limits) for at in range(min(_SOME, len(piece)))]
    sound = [one.texts for one in found if one.fault is None]
    once = [sum(len(values) == 1 for values in texts.values()) for texts in sound]
    return Fit(sum(count >= _FEW and count * 2 > len(texts) for count, texts in zip(once, sound, strict=True)), len(sound))


def _close_elements(data: bytes, elements: _Elements, element: str) -> bytes:
    """Return a sample that ends within the document up to its last whole record, with its open elements closed."""
    if not elements.tags:
        return data
    ends = list(re.finditer(rb"</(?:[\w.-]+:)?" + re.escape(element.encode()) + rb"\s*>", data))
    until = ends[-1].end() if ends else len(data)
    parser, tags = expat.ParserCreate(), list[str]()
    parser.StartElementHandler = lambda name, _: tags.append(name)
    parser.EndElementHandler = lambda _: tags.pop()
    parser.Parse(data[:until], False)
    return data[:until] + "".join(f"</{tag}>" for tag in reversed(tags)).encode()
