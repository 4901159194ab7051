"""Render Data Docs in which data is text: characters with a meaning to a browser are replaced before rendering.

The library writes values of records into HTML, attributes, scripts and string templates, and does not escape all of them
everywhere. So no value reaches its renderers unchanged. A character with a meaning in one of these places is replaced by one that
looks alike and has no meaning. Each page states which characters were replaced. The stored results stay as they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from great_expectations.core import ExpectationSuite
from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
from great_expectations.render import RenderedDocumentContent, RenderedStringTemplateContent
from great_expectations.render.renderer import ExpectationSuitePageRenderer, SiteIndexPageRenderer, ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

PAGES_VERSION = "1"
"""Version of the rendered pages; pages of another version are built again."""
LOOK_ALIKES = {"<": "‹", ">": "›", "&": "＆", '"': "″", "'": "′", "`": "ˋ", "\\": "＼", "$": "＄", "{": "｛", "}": "｝"}
"""Characters with a meaning in HTML, an attribute, a script or a string template, and their replacements."""
MARKDOWN = {"[": "［", "]": "］", "*": "＊", "_": "＿", "#": "＃", "~": "～", "|": "｜"}
"""Further characters with a meaning in Markdown, as which the library renders notes."""
_ACTIVE = frozenset(LOOK_ALIKES)


class SafeText:
    """Turns data into safe text, and records which characters it replaced."""

    def __init__(self) -> None:
        self.replaced: set[str] = set()

    def text(self, text: str) -> str:
        """Return a text without special characters; an invisible character is shown by its number."""
        if text.isprintable() and _ACTIVE.isdisjoint(text):
            return text
        return "".join(self._escape_character(c, LOOK_ALIKES) for c in text)

    def notes(self, text: str) -> str:
        """Return a text without Markdown either: one line that begins with a letter, without emphasis, links or addresses."""
        line = " ".join(text.split()).replace("://", "：//")
        line = line if line[:1].isalpha() else f"Note: {line}"
        return "".join(self._escape_character(c, LOOK_ALIKES | MARKDOWN) for c in line)

    def value(self, value: Any, *, is_note: bool = False) -> Any:
        """Return a JSON value with all texts and keys made safe; the values below `notes` are Markdown."""
        if isinstance(value, str):
            return self.notes(value) if is_note else self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(one, is_note=is_note or key == "notes") for key, one in value.items()}
        if isinstance(value, Sequence):
            return [self.value(one, is_note=is_note) for one in value]
        return value

    @property
    def note(self) -> str:
        """A sentence that names the replaced characters, empty where none were."""
        if not self.replaced:
            return ""
        shown = LOOK_ALIKES | MARKDOWN
        seen = sorted(self.replaced & shown.keys())
        named = [f"{shown[c]} is U+{ord(c):04X} {unicodedata.name(c).lower()}" for c in seen]
        named += ["⟨U+XXXX⟩ is a character that cannot be seen"] if self.replaced - shown.keys() else []
        return f"Characters of the data that a browser might obey are shown by others: {', '.join(named)}."

    def _escape_character(self, character: str, shown: Mapping[str, str]) -> str:
        if character not in shown and character.isprintable():
            return character
        self.replaced.add(character)
        return shown.get(character) or f"⟨U+{ord(character):04X}⟩"


class SafeValidationResultsPageRenderer(ValidationResultsPageRenderer):  # type: ignore[misc]
    """The page of a validation, whose values are shown as text."""

    def render(self, validation_results: Any, suite_parameters: Any = None) -> RenderedDocumentContent:
        """Render the page, with a note of the replaced characters."""
        shown = SafeText()
        # The result was read from JSON, so that its dump is a JSON value already.
        dumped = expectationSuiteValidationResultSchema.dump(validation_results)
        results: Any = expectationSuiteValidationResultSchema.load(shown.value(dumped))
        return _with_note(super().render(results, suite_parameters), shown)


class SafeExpectationSuitePageRenderer(ExpectationSuitePageRenderer):  # type: ignore[misc]
    """The page of a suite, whose arguments, notes and names are shown as text."""

    def render(self, expectations: Any) -> RenderedDocumentContent:
        """Render the page, with a note of the replaced characters."""
        shown = SafeText()
        suite = expectations if isinstance(expectations, dict) else expectations.to_json_dict()
        return _with_note(super().render(ExpectationSuite(**shown.value(suite))), shown)


class SafeSiteIndexPageRenderer(SiteIndexPageRenderer):  # type: ignore[misc]
    """The first page, whose names are shown as text. Paths to pages consist of source names, which need no replacement."""

    @classmethod
    def render(cls, index_links_dict: Any) -> RenderedDocumentContent:
        """Render the page, with a note of the replaced characters."""
        shown = SafeText()
        links = {key: value if key == "cta_object" else _escape_links(value, shown) for key, value in index_links_dict.items()}
        return _with_note(super().render(links), shown)


def _escape_links(value: Any, shown: SafeText) -> Any:
    """Return the rows of a section; the library requires their times unchanged."""
    if not isinstance(value, list):
        return shown.value(value)
    return [{key: one if key == "run_time" else shown.value(one) for key, one in row.items()} for row in value]


def _with_note(page: Any, shown: SafeText) -> RenderedDocumentContent:
    if shown.note:
        styling = {"classes": ["col-12", "p-1", "text-muted"]}
        note = {"template": shown.note, "tag": "p", "styling": styling}
        page.sections[0].content_blocks.append(
            RenderedStringTemplateContent(content_block_type="string_template", string_template=note)
        )
    return page


class _CompiledTemplates(BytecodeCache):
    """The code of the library's templates: each is compiled once in a process, not once for every kind of page and site."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if (code := self._code.get(bucket.key + bucket.checksum)) is not None:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key + bucket.checksum] = bucket.bytecode_to_string()


_compiled = _CompiledTemplates()


class CompiledPageView(DefaultJinjaPageView):  # type: ignore[misc]
    """A page of the library's templates, compiled once in a process."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.env.bytecode_cache = _compiled


class CompiledIndexPageView(DefaultJinjaIndexPageView):  # type: ignore[misc]
    """The first page of the library's templates, compiled once in a process."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.env.bytecode_cache = _compiled


def _configure_renderer(renderer: type, view: type) -> dict[str, Any]:
    """Return the configuration of a kind of page."""
    classes = {"renderer": renderer, "view": view}
    return {name: {"module_name": __name__, "class_name": kind.__name__} for name, kind in classes.items()}


SITE_SECTIONS: dict[str, Any] = {
    "expectations": _configure_renderer(SafeExpectationSuitePageRenderer, CompiledPageView),
    "validations": _configure_renderer(SafeValidationResultsPageRenderer, CompiledPageView),
    "profiling": "None",
}
SITE_INDEX: dict[str, Any] = {
    "class_name": "DefaultSiteIndexBuilder",
    **_configure_renderer(SafeSiteIndexPageRenderer, CompiledIndexPageView),
}


def with_safe_pages(sites: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of all sites of a project, each rendered by the classes above."""
    safe = {"site_section_builders": SITE_SECTIONS, "site_index_builder": SITE_INDEX}
    return {name: {**site, **safe} for name, site in sites.items()}
