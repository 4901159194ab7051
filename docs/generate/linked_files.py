"""Pages for the files outside of `docs` that other pages link to, so that every link resolves."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

FOLDER = "repository"
"""Folder of the site that holds these pages."""
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_LANGUAGES = {".py": "python", ".sql": "sql", ".toml": "toml", ".csv": "text", ".sh": "sh"}
_LONGEST = 60_000


def linked_files(root: Path, sources: dict[str, str]) -> dict[str, str]:
    """Return the pages of all linked files, and of the files that these link to in turn: path in the site to Markdown.

    `sources` are pages of the site by their path below `docs`, with their text.
    """
    pages: dict[str, str] = {}
    waiting = [target for source, text in sources.items() for target in _outside(root, f"docs/{source}", text)]
    while waiting:
        target = waiting.pop()
        page = page_of(target)
        if page not in pages:
            pages[page] = _text_of(root, target)
            if target.endswith(".md"):
                waiting += _outside(root, target, pages[page])
    return pages


def rewrite_links(root: Path, source: str, text: str) -> str:
    """Return the text of a page whose links to files outside of `docs` lead to the pages of these files.

    `source` is the page's path from the root of the repository.
    """
    here = site_path(source)

    def rewritten(match: re.Match[str]) -> str:
        target = _target(root, source, match[2])
        if target is None:
            return match[0]
        link = os.path.relpath(site_path(target), PurePosixPath(here).parent)
        return f"{match[1]}{link}{match[3] or ''}{match[4]}"

    return _LINK.sub(rewritten, text)


def site_path(path: str) -> str:
    """Return the path in the site of a file of the repository."""
    return path.removeprefix("docs/") if path.startswith("docs/") else page_of(path)


def page_of(path: str) -> str:
    """Return the page of a file or folder outside of `docs`."""
    return f"{FOLDER}/{path}" if path.endswith(".md") else f"{FOLDER}/{path}.md"


def repository_path(site: str) -> str:
    """Return the path in the repository of a Markdown page of the site."""
    return site.removeprefix(f"{FOLDER}/") if site.startswith(f"{FOLDER}/") else f"docs/{site}"


def _outside(root: Path, source: str, text: str) -> Iterator[str]:
    for match in _LINK.finditer(text):
        target = _target(root, source, match[2])
        if target is not None and not target.startswith("docs/"):
            yield target


def _target(root: Path, source: str, link: str) -> str | None:
    """Return the path of a link's target from the root; None for a link to another site or to no existing file."""
    if re.match(r"[a-z]+:", link):
        return None
    path = Path(os.path.normpath(root / PurePosixPath(source).parent / link))
    if not path.is_relative_to(root) or not path.exists():
        return None
    target = path.relative_to(root).as_posix()
    # Folders of `docs` have no page of their own, but an index.
    return f"{target}/README.md" if path.is_dir() and (path / "README.md").exists() else target


def _text_of(root: Path, target: str) -> str:
    path = root / target
    if path.is_dir():
        names = sorted(
            f"{child.name}/" if child.is_dir() else child.name for child in path.iterdir() if not child.name.startswith((".", "_"))
        )
        return f"# {target}\n\n" + "\n".join(f"* `{name}`" for name in names) + "\n"
    text = path.read_text("utf-8")
    if target.endswith(".md"):
        return text
    return f"# {target}\n\n````{_LANGUAGES.get(path.suffix, 'text')}\n{text[:_LONGEST]}\n````\n"
