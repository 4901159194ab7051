"""Files that a command writes at once or not at all, and never over another."""

from __future__ import annotations

import contextlib
from pathlib import Path

from trueup.errors import TrueupError


def write_new(path: Path, text: str, *, todo: str) -> None:
    """Write a new file; raise `TrueupError` (with `todo` as the advice) where it exists already, or where it cannot be written."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, "utf-8")
        # A link fails where the name is taken, also by a command that runs at the same time.
        path.hardlink_to(part)
    except FileExistsError:
        raise TrueupError("the file exists already", where=str(path), todo=todo) from None
    except OSError as error:
        raise TrueupError(
            f"the file cannot be written: {error.strerror or error}",
            where=str(path),
            todo="name a file in a folder that you may write in",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
