"""Layout of fixed width: fields at the positions that columns of blanks show."""

from __future__ import annotations

import re
from collections import Counter

from trueup.errors import SourceError
from trueup.onboarding.evidence import Fit, Line
from trueup.onboarding.layouts.layout import Layout, TextSample, values_of
from trueup.onboarding.sample import Sample

_LEAST_LINES = 3
_LONG = 8
_TOKEN = re.compile(r"\S+")
_DAY, _CLOCK = re.compile(r"[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{2,4}|[0-9]{8}"), re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}.*)?")


def fixed_layout(sample: Sample, text: TextSample, *, strict: bool = False) -> Layout | None:
    """Return the layout of lines of one length; None where lengths differ and, if `strict`, where no blanks separate fields.

    Positions that a sample shows may be wrong, so a person should check each. Raises `SourceError` where the sample shows none.
    """
    lines = [line.rstrip() for line in text.texts if line.strip()]
    lengths = Counter(len(line) for line in text.texts if line.strip())
    length, count = lengths.most_common(1)[0]
    full = Fit(count, lengths.total())
    stripped = full.share < 0.9
    length = max(map(len, lines)) if stripped else length
    if len(lines) < _LEAST_LINES or length < _LONG or (stripped and min(map(len, lines)) * 2 < length):
        return None
    first = 0 if _is_record(lines) else 1
    header = lines[0].ljust(length) if first else ""
    fields = _find_fields([line.ljust(length) for line in lines[first:] if len(line) <= length], header)
    if len(fields) < 2:
        if strict or not full.is_full:
            return None
        raise SourceError(
            f"its lines have {length} characters, and neither a delimiter nor columns of blanks show the positions of its fields",
            where=sample.shown, todo='describe it with format = "fixed" and `fields` in [source.fixed] (docs/feeds.md)',
        )  # fmt: skip
    names = _name_fields(header, fields)
    entries = [{"name": name, "start": begin + 1, "length": end - begin} for name, (begin, end) in zip(names, fields, strict=True)]
    what = f"{full} lines have {length} characters" if not stripped else f"lines have up to {length} characters"
    head = [Line("format", "fixed", f"{what} and no delimiter", check=True), *text.encoded]
    if first:
        head.append(Line("skip_lines", 1, "the first line has the names of the columns", check=True))
    evidence = "columns of blanks part them: compare each position with the description of the format"
    fixed = [Line("fields", entries, evidence, check=True)]
    if stripped:
        fixed.append(Line("stripped", True, "some lines lack the blanks at their end", check=True))
    # Some lines may have further text behind the last field.
    if entries and fields[-1][1] != length and not stripped:
        fixed.append(Line("length", length, "the length of a line"))
    settings = values_of(text.encoded) | {"format": "fixed", "fixed": values_of(fixed)}
    return Layout("fixed", b"".join(text.rows[_find_row(text, first) :]), settings, head, fixed=fixed)


def _find_row(text: TextSample, first: int) -> int:
    """Return the index of the row after `first` non-empty rows."""
    filled = [at for at, line in enumerate(text.texts) if line.strip()]
    return filled[first] if first else 0


def _is_record(lines: list[str]) -> bool:
    """Return whether the first line has about as many digits as the others; names of columns have few."""
    digits = [sum(character.isdigit() for character in line) for line in lines]
    return digits[0] * 3 >= sum(digits[1:]) / max(1, len(digits) - 1)


def _find_fields(lines: list[str], header: str) -> list[tuple[int, int]]:
    """Return where fields begin and end, by columns of blanks: blanks belong to the field that is padded towards them."""
    runs = _find_runs(lines, header)
    fields: list[tuple[int, int]] = []
    for number, (begin, end) in enumerate(runs):
        before = fields[-1][1] if fields else 0
        following = runs[number + 1] if number + 1 < len(runs) else None
        until = end if following is None or _is_right(lines, following) else following[0]
        fields.append((before, end) if _is_right(lines, (begin, end)) else (max(begin, before), until))
    return fields


def _is_right(lines: list[str], run: tuple[int, int]) -> bool:
    """Return whether the values between two positions are right-aligned: all reach the last position, not all the first."""
    begin, end = run
    return all(line[end - 1] != " " for line in lines) and any(line[begin] == " " for line in lines)


def _find_runs(lines: list[str], header: str) -> list[tuple[int, int]]:
    """Return runs of positions that some line fills; join runs below one column name, and a day with its time of day."""
    filled = [at for at in range(len(lines[0])) if any(line[at] != " " for line in lines)]
    runs: list[tuple[int, int]] = []
    for at in filled:
        runs = [*runs[:-1], (runs[-1][0], at + 1)] if runs and runs[-1][1] == at else [*runs, (at, at + 1)]
    names = [token.span() for token in _TOKEN.finditer(header)]
    joined: list[tuple[int, int]] = []
    for run in runs:
        before = joined[-1] if joined else None
        if before is not None and (_is_named_alike(before, run, names) or _is_moment(lines, before, run)):
            joined[-1] = before[0], run[1]
        else:
            joined.append(run)
    return joined


def _is_named_alike(before: tuple[int, int], run: tuple[int, int], names: list[tuple[int, int]]) -> bool:
    """Return whether two runs have one column name: no name lies above the second run, and a name lies above the first."""
    return bool(names) and not any(begin < run[1] and end > run[0] for begin, end in names) and any(n[0] < before[1] for n in names)


def _is_moment(lines: list[str], day: tuple[int, int], clock: tuple[int, int]) -> bool:
    return clock[0] - day[1] == 1 and all(
        _DAY.fullmatch(line[slice(*day)].strip()) and _CLOCK.fullmatch(line[slice(*clock)].strip()) for line in lines
    )


def _name_fields(header: str, fields: list[tuple[int, int]]) -> list[str]:
    """Return a name for each field: from the header line where it has as many names, else a number."""
    tokens = [token[0] for token in _TOKEN.finditer(header)]
    if len(tokens) == len(fields) and len(set(tokens)) == len(tokens):
        return tokens
    return [f"field_{number + 1}" for number in range(len(fields))]
