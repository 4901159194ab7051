"""The text of a proposed `trueup.toml`: each line with its evidence as a comment, and the lines that a person should check."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trueup.onboarding.evidence import Line
from trueup.onboarding.proposal import Proposal, ProposedSource
from trueup.printable import visible

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {'"': '\\"', "\\": "\\\\", "\t": "\\t"}
_COLUMN = 44
"""The column in which most comments begin."""


@dataclass(frozen=True)
class Doubt:
    """A line of the written file that a person should check: its number, the table and key, and the reason."""

    line: int
    setting: str
    reason: str


@dataclass(frozen=True)
class Document:
    """The text of a file, and the lines in it that a person should check."""

    text: str
    doubts: list[Doubt]


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.doubts: list[Doubt] = []

    def comment(self, text: str) -> None:
        self.lines.append(f"# {visible(text)}")

    def table(self, header: str, shown: str, lines: Sequence[Line]) -> None:
        self.lines.append(header)
        for line in lines:
            self._write_line(line, shown)

    def blank(self) -> None:
        self.lines.append("")

    def doubt(self, setting: str, reason: str) -> None:
        self.doubts.append(Doubt(len(self.lines), setting, reason))

    def _write_line(self, line: Line, shown: str) -> None:
        text = f"# {_format_key(line.key)} = …" if line.value is None else f"{_format_key(line.key)} = {toml_value(line.value)}"
        if line.evidence:
            text = f"{text:<{_COLUMN - 2}}  # {'check: ' if line.check else ''}{visible(line.evidence)}"
        self.lines += text.split("\n")
        if line.check:
            self.doubt(f"{shown} {line.key}", line.evidence)


def document_of(proposal: Proposal, *, head: Sequence[str] = ()) -> Document:
    """Return the text of a proposal; `head` are comment lines that are put at its beginning unchanged."""
    writer = _Writer()
    writer.lines += head
    writer.comment("Proposed from samples. The comment after a line is its evidence; lines marked `check:` need a person.")
    writer.blank()
    writer.table("[lake]", "[lake]", proposal.lake)
    writer.blank()
    writer.table("[project]", "[project]", proposal.project)
    for source in proposal.sources:
        _write_source(writer, source)
    for service, lines in proposal.reconcile.items():
        writer.blank()
        header = f"[reconcile.{_format_key(service)}]"
        writer.table(header, header, lines)
    return Document("\n".join(writer.lines) + "\n", writer.doubts)


def _write_source(writer: _Writer, source: ProposedSource) -> None:
    outcome, shown = source.outcome, f"[[source]] {source.name},"
    writer.blank()
    left_out = f", {outcome.filtered:,} are left out by `where`" if outcome.filtered else ""
    writer.comment(f"{source.path.name}: {outcome.accepted:,} of {outcome.records:,} records of the sample become events{left_out}")
    for reason, count in outcome.rejected.items():
        writer.comment(f"check: {count:,} would go to quarantine: {reason}")
        writer.doubt(shown.rstrip(","), f"{count:,} of {outcome.records:,} records would go to quarantine: {reason}")
    writer.table("[[source]]", shown, source.tables.head)
    for name, lines in source.tables.tables.items():
        if lines:
            writer.table(f"[source.{name}]", f"{shown} {name}:", lines)


def toml_text(text: str) -> str:
    r"""Return a text as a TOML string on one line, printable in any editor.

    >>> toml_text('say "hi"'), toml_text("a\nb"), toml_text("\u202e\x7f")
    ('"say \\"hi\\""', '"a\\u000ab"', '"\\u202e\\u007f"')
    """
    return '"' + "".join(_SHORT.get(c) or (c if c.isprintable() else _escape(ord(c))) for c in text) + '"'


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def toml_value(value: object) -> str:
    """Return a value in TOML: a text, number, truth value, list or inline table."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}" if value >= 10_000 else str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_format_key(str(name))} = {toml_value(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
        return "[\n" + "".join(f"  {toml_value(one)},\n" for one in value) + "]"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return toml_text(str(value))


def _format_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else toml_text(name)
