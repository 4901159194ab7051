"""Lines of the CSV files of a CGRateS tariff plan."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from trueup.errors import TrueupError
from trueup.regular import read_regular

ANY = "*any"
"""The text in a file that stands for any subject, destination or time."""
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Line:
    """A line of a file of the folder: its `fields`, without surrounding spaces; an absent field is empty."""

    file: str
    number: int
    fields: tuple[str, ...]

    def __getitem__(self, index: int) -> str:
        return self.fields[index] if index < len(self.fields) else ""

    def refusal(self, what: str, todo: str = "") -> TrueupError:
        """Return the error for this line."""
        return TrueupError(what, where=f"{self.file} line {self.number}", todo=todo)


COLUMNS: dict[str, tuple[str, ...]] = {
    "Destinations.csv": ("Id", "Prefix"),
    "Timings.csv": ("Id", "Years", "Months", "MonthDays", "WeekDays", "Time"),
    "Rates.csv": ("Id", "ConnectFee", "Rate", "RateUnit", "RateIncrement", "GroupIntervalStart"),
    "DestinationRates.csv": ("Id", "DestinationsId", "RatesId", "RoundingMethod", "RoundingDecimals"),
    "RatingPlans.csv": ("Id", "DestinationRatesId", "TimingId", "Weight"),
    "RatingProfiles.csv": ("Tenant", "Category", "Subject", "ActivationTime", "RatingPlanId"),
}
"""The columns that a line of each file must have; further columns may follow."""
_LATER_FORM = "RateProfiles.csv"


def lines_of(folder: Path, file: str, *, needed: bool = True) -> list[Line]:
    """Return the lines of a file without comments; no lines for a file that is absent and not `needed`.

    Raises `TrueupError` for a file that is absent or cannot be read, and for a line that lacks one of its `COLUMNS`.
    """
    path = folder / file
    if not path.exists() and not needed:
        return []
    if not path.exists() and (folder / _LATER_FORM).exists():
        raise TrueupError(
            f"there is no {file}, but {_LATER_FORM}: rate profiles of later versions of CGRateS are not supported",
            where=str(folder), todo="name a folder with RatingPlans.csv and RatingProfiles.csv",
        )  # fmt: skip
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
    columns = COLUMNS[file]
    lines = [Line(file, n, tuple(f.strip() for f in row)) for n, row in numbered_rows if row and not row[0].startswith("#")]
    for line in lines:
        if len(line.fields) < len(columns):
            raise line.refusal(
                f"the line has {len(line.fields)} fields and lacks a column of {', '.join(columns)}",
                "early versions of CGRateS lack it: have the tariff plan exported with all of these",
            )
    return lines
