"""Hooks of MkDocs: add the generated pages to the site, and point links to files of the repository at their pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark_reference import benchmark_reference
from command_reference import command_reference
from finding_reference import finding_reference
from linked_files import linked_files, repository_path, rewrite_links
from metric_reference import metric_reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from settings_reference import settings_reference
from table_reference import table_reference

ROOT = Path(__file__).resolve().parents[2]


def generated_pages() -> dict[str, str]:
    """Return the reference pages: path in the site to Markdown."""
    return {
        "reference/commands.md": command_reference(),
        "reference/settings.md": settings_reference(),
        "reference/tables.md": table_reference(),
        "reference/findings.md": finding_reference(),
        "reference/metrics.md": metric_reference(),
        "reference/benchmarks.md": benchmark_reference(ROOT),
    }


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the pages that the navigation does not name yet, so that every new page is linked."""
    named = set(_paths_of(config.nav))
    folder = Path(config.docs_dir)
    pages = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.md")))
    further = [page for page in pages if page not in named]
    if further and config.nav is not None:
        config.nav.append({"Further": further})
    return config


def _paths_of(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for item in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _paths_of(item)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the pages of linked files."""
    pages = generated_pages()
    written = {file.src_uri: file.content_string for file in files.documentation_pages()}
    pages |= linked_files(ROOT, written | pages)
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite the links of a page."""
    return rewrite_links(ROOT, repository_path(page.file.src_uri), markdown)
