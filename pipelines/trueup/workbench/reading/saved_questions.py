"""Saved questions of the page SQL: one `.sql` file each in the project's folder `questions/`, in addition to trueup's own."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from trueup.config import Project
from trueup.errors import TrueupError

MOST_CHARACTERS = 100_000
_NAME = re.compile(r"[a-z0-9][a-z0-9 _-]{0,59}")


def saved_questions(project: Project) -> dict[str, str]:
    """Return the text of each question by name; the project's own come first."""
    own = {
        path.stem: path.read_text("utf-8", "replace") for path in sorted(_find_folder(project).glob("*.sql")) if _is_question(path)
    }
    shipped = files("trueup.workbench").joinpath("questions")
    further = {
        entry.name.removesuffix(".sql"): entry.read_text("utf-8") for entry in shipped.iterdir() if entry.name.endswith(".sql")
    }
    return own | {name: further[name] for name in sorted(further) if name not in own}


def save_question(project: Project, name: str, text: str) -> Path:
    """Write a question, or replace it; raise `TrueupError` for a name that is not one of a plain file."""
    plain = name.strip().lower()
    if not _NAME.fullmatch(plain):
        raise TrueupError(f"{name!r} is no name of a question", todo="use up to 60 letters, digits, blanks, - and _")
    if not text.strip() or len(text) > MOST_CHARACTERS:
        raise TrueupError("the question is empty or too long", todo=f"write up to {MOST_CHARACTERS:,} characters")
    folder = _find_folder(project)
    path = folder / f"{plain}.sql"
    if path.is_symlink() or folder.is_symlink():
        raise TrueupError("the question would be written through a link", where=str(path), todo="remove the link")
    folder.mkdir(exist_ok=True)
    path.write_text(text.rstrip() + "\n", "utf-8")
    return path


def _is_question(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= 4 * MOST_CHARACTERS


def _find_folder(project: Project) -> Path:
    return project.directory / "questions"
