"""Lines of the CSV files of a CGRateS tariff plan."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from trueup.errors import TrueupError
from trueup.regular import read_regular

ANY = "*any"
"""Any subject, destination or time."""
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Line:
    """A line of a file of the folder: `fields` without the spaces around them, empty where they are absent."""

    file: str
    number: int
    fields: tuple[str, ...]

    def __getitem__(self, index: int) -> str:
        return self.fields[index] if index < len(self.fields) else ""

    def refusal(self, what: str, todo: str = "") -> TrueupError:
        """Return the error for this line."""
        return TrueupError(what, where=f"{self.file} line {self.number}", todo=todo)


def lines_of(folder: Path, file: str, least: int, *, needed: bool = True) -> list[Line]:
    """Return the lines of a file that are no comments; none for a file that is absent and not `needed`.

    Raises `TrueupError` for a file that is absent or cannot be read, and for a line of fewer than `least` fields.
    """
    path = folder / file
    if not path.exists() and not needed:
        return []
    if not path.exists():
        raise TrueupError(f"there is no {file}", where=str(folder), todo="name the folder of the tariff plan's CSV files")
    try:
        text = read_regular(path, max_bytes=_MOST_BYTES).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""))
        numbered_rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise TrueupError(
            f"the file cannot be read: {reason}", where=str(path), todo="have the tariff plan exported again"
        ) from None
    lines = [Line(file, n, tuple(f.strip() for f in row)) for n, row in numbered_rows if row and not row[0].startswith("#")]
    for line in lines:
        if len(line.fields) < least:
            raise line.refusal(f"a line of {file} has {len(line.fields)} fields instead of {least}")
    return lines
