"""Leaves: reads one element as the texts of its attributes and innermost elements, by path."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import Batch, concat_rejected, provenance_of, raw_of, reject
from trueup.collect.decode.text.lines import Lines, Mask
from trueup.collect.decode.xml.bounded_parser import BoundedParser, local_name
from trueup.config import LimitsConfig
from trueup.errors import SourceError
from trueup.events.reasons import Reason

_Fault = tuple[Reason, str]


@dataclass
class Leaves:
    """Texts of an element by path, in order; a path that occurs several times has several texts.

    `party/number` is the element `number` of the element `party`. `@id` is an attribute of the record, `party/@type` of `party`.
    """

    limits: LimitsConfig
    texts: dict[str, list[str]] = field(default_factory=dict)
    fault: _Fault | None = None
    _path: list[str] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)
    _is_leaf: bool = True
    _depth: int = 0
    _count: int = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        self._depth += 1
        if self._depth > self.limits.depth:
            self.fault = "over_limit", f"record: is nested {self.limits.depth} deep at most (depth in [limits])"
            return
        if self._depth > 1:
            self._path.append(local_name(name))
        self._text, self._is_leaf = [], True
        for attribute, value in attributes.items():
            if attribute != "xmlns" and not attribute.startswith("xmlns:"):
                self._add("@" + local_name(attribute), value)

    def text(self, data: str) -> None:
        """Add text of the innermost element."""
        self._text.append(data)

    def end(self, name: str) -> None:
        """End an element; it is a leaf if it has no child elements."""
        if self._depth <= self.limits.depth:
            if self._is_leaf and self._path:
                self._add("", "".join(self._text))
            if self._path:
                self._path.pop()
            self._text, self._is_leaf = [], False
        self._depth -= 1

    def _add(self, attribute: str, text: str) -> None:
        self._count += 1
        if self._count > self.limits.columns:
            self.fault = "over_limit", f"record: has at most {self.limits.columns} members (columns in [limits])"
            return
        name = "/".join([*self._path, attribute] if attribute else self._path)
        self.texts.setdefault(name, []).append(text)


def leaves_of(record: bytes, encoding: str, limits: LimitsConfig) -> Leaves:
    """Return the leaves of one element; `fault` of the result is the reason to reject the element."""
    leaves, bounded = Leaves(limits), BoundedParser("", encoding=encoding)
    parser = bounded.parser
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = leaves.start, leaves.end, leaves.text
    try:
        bounded.feed([record])
    except (expat.ExpatError, SourceError):
        leaves.fault = "unparsable", "record: is one well-formed element"
    return leaves


@dataclass(frozen=True)
class XmlForm:
    """How the records of a document are read: its encoding, and the limits of one record."""

    encoding: str
    limits: LimitsConfig


def read_elements(lines: Lines, form: XmlForm, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
    """Decode elements; reject an element that is not well-formed, exceeds a limit, or has a mapped path several times.

    The `mapped` paths become text columns; the others and those in `kept` become attributes if requested.
    """
    records = [leaves_of(lines.raw(index), form.encoding, form.limits) for index in range(len(lines))]
    faults = [one.fault or _find_repetition(one, mapped) for one in records]
    rejected = [
        reject(lines, np.array([fault == known for fault in faults], np.bool_), *known)
        for known in dict.fromkeys(fault for fault in faults if fault is not None)
    ]
    is_good: Mask = np.array([fault is None for fault in faults], np.bool_)
    good = [one.texts for one, fault in zip(records, faults, strict=True) if fault is None]
    fields = {name: [(one[name][0] or None) if name in one else None for one in good] for name in mapped}
    hidden = set(mapped).difference(kept)
    texts = [_build_object(one, hidden) if attributes else None for one in good]
    sound = lines.only(is_good)
    return Batch(
        pl.DataFrame(fields, schema=dict.fromkeys(mapped, pl.String())), pl.Series("attributes", texts, dtype=pl.String),
        provenance_of(sound), raw_of(sound), concat_rejected(rejected),
    )  # fmt: skip


def _find_repetition(one: Leaves, mapped: Sequence[str]) -> _Fault | None:
    name = next((name for name in mapped if len(one.texts.get(name, ())) > 1), None)
    return None if name is None else ("unparsable", f"record: has {name} once")


def _build_object(texts: Mapping[str, list[str]], hidden: Collection[str]) -> str | None:
    """Return the texts that are not hidden as a JSON object; None without texts. A repeated path becomes a list."""
    shown = {name: values[0] if len(values) == 1 else values for name, values in texts.items() if name not in hidden}
    shown = {name: value for name, value in shown.items() if value != ""}
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")) if shown else None
