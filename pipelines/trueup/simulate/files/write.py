"""Write frames to CSV, NDJSON or Parquet, and amounts as text; the same frame always gives the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import polars.selectors as cs

from trueup.simulate.checks import SimulationError
from trueup.units import MICROS

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"
_LEVEL = 1


def write_rows(frame: pl.DataFrame, path: Path, file_format: str) -> None:
    """Write a frame; raise `SimulationError` when the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if file_format == "parquet":
            frame.write_parquet(path, compression="zstd", compression_level=_LEVEL, statistics=True)
        elif file_format == "csv":
            frame.write_csv(path, datetime_format=TIME_FORMAT)
        else:
            frame.with_columns(cs.datetime().dt.strftime(TIME_FORMAT)).write_ndjson(path)
    except OSError as error:
        raise _write_error(path, error) from error


def amount_text(micros: str) -> pl.Expr:
    """Return a column of millionths as exact decimal text."""
    size = pl.col(micros).abs()
    digits = pl.concat_str((size // MICROS).cast(pl.String), (size % MICROS).cast(pl.String).str.zfill(6), separator=".")
    return pl.concat_str(pl.when(pl.col(micros) < 0).then(pl.lit("-")).otherwise(pl.lit("")), digits)


def write_text(text: str, path: Path) -> None:
    """Write a text file; raise `SimulationError` when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise _write_error(path, error) from error


def copy_file(source: Path, target: Path) -> None:
    """Copy a file under another name; raise `SimulationError` when it cannot be written."""
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise _write_error(target, error) from error


def _write_error(path: Path, error: OSError) -> SimulationError:
    return SimulationError(
        f"a file cannot be written: {error.strerror or error}", where=str(path), todo="make room or name another folder"
    )
