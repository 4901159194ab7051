"""The layout of a sample: its format, the settings that its reader needs, and the lines that declare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trueup.onboarding.evidence import Line


@dataclass(frozen=True)
class Layout:
    """The layout of a sample: its settings as proposed lines, and the bytes of its records without header and trailer.

    `body` begins with the line of column names, if any; it is empty for formats that are read from the file itself.
    `settings` are the values of `lines` that a reader of `body` needs. `framing` are the lines of `[source.framing]`, `fixed` those
    of `[source.fixed]`.
    """

    format: str
    body: bytes
    settings: dict[str, object]
    lines: list[Line]
    framing: list[Line] = field(default_factory=list)
    fixed: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class TextSample:
    """The lines of a text sample: all as bytes with line ends, the first ones as text, and the encoding with its proposed lines."""

    rows: list[bytes]
    texts: list[str]
    encoding: str
    encoded: list[Line]


def values_of(lines: Sequence[Line]) -> dict[str, object]:
    """Return the values of lines by key."""
    return {line.key: line.value for line in lines}
