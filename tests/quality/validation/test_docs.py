"""Data Docs of hostile data: values of records are text, never an element, attribute or script of a page."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.quality.docs import LOOK_ALIKES, SafeText, SafeValidationResultsPageRenderer
from trueup.quality.policy import policy_of
from trueup.quality.validation.validate import Validation, suite_name
from trueup.quality.validation.validation_schedule import DayOf

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
MARK = "zqx"
HOSTILE = [
    "<script>zqx1()</script>", "<img src=x onerror=zqx2()>", '"><b onclick="zqx3()">', "'zqx4'onmouseover='x", "javascript:zqx5()",
    "{{7*7}}zqx6", "{%raw%}zqx7", "$styling zqx8 ${params} $$", "</td></table><h1>zqx9", "</script><script>zqx10", "<!--zqx11",
    "&lt;zqx12&gt;&#60;b&#62;", "zqx13`${alert(1)}`", "zqx14\\'\\\"", "[zqx15](javascript:zqx15())", "![zqx16](x)", "zqx17\u2028\u202e\u0007",
    "zqx18\x1b[31m\x7f\x9b", "]]>zqx19<svg/onload=zqx19>",
]  # fmt: skip
TOML = """
[lake]
buckets = 2
[[source]]
name = "msc"
stream = "usage"
path = "landing/*.ndjson"
format = "ndjson"
columns = {{ record_key = "id", subscriber = "who", started_at = "at", quantity = "seconds", node = "node", service = "service" }}
[[expectation]]
name = {name}
stream = "usage"
source = "msc"
type = "expect_column_values_to_match_regex"
notes = {notes}
arguments = {{ column = "node", regex = '^MSC[<>$]?[0-9]+$' }}
[[expectation]]
name = "services are ours"
stream = "usage"
type = "expect_column_values_to_be_in_set"
notes = "Others are billed to no customer."
arguments = {{ column = "service", value_set = {values} }}
[[expectation]]
name = "values are few"
stream = "usage"
type = "expect_column_distinct_values_to_be_in_set"
notes = "Others are billed to no customer."
arguments = {{ column = "peer", value_set = {values} }}
[[expectation]]
name = "one is the most common"
stream = "usage"
type = "expect_column_most_common_value_to_be_in_set"
notes = "It is observed as it is."
arguments = {{ column = "service", value_set = ["x"] }}
[[expectation]]
name = "this cannot be computed"
stream = "usage"
type = "expect_column_values_to_be_between"
notes = "It raises."
arguments = {{ column = "node", min_value = 1 }}
"""


class Page(HTMLParser):
    """A page as a browser parses it: its elements with the names of their attributes, and where its texts are."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, ...]] = []
        self.attributes: list[str] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self._within = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.attributes += [value for _, value in attrs if value]
        self._within = tag if tag in ("script", "style") else self._within

    def handle_endtag(self, tag: str) -> None:
        self._within = "" if tag == self._within else self._within

    def handle_data(self, data: str) -> None:
        (self.scripts if self._within else self.texts).append(data)

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment",))

    def handle_decl(self, decl: str) -> None:
        self.elements.append(("declaration",))

    def unknown_decl(self, data: str) -> None:
        self.elements.append(("declaration",))


def project_of(folder: Path, values: list[str]) -> Project:
    """Return a project with one day of usage, whose text columns hold the values."""
    (folder / "landing").mkdir(parents=True)
    rows = [
        {"id": f"{n} {v}", "who": v, "at": f"2024-03-01T00:00:{n:02d}", "seconds": 5, "node": v, "service": v}
        for n, v in enumerate(values)
    ]  # fmt: skip
    (folder / "landing/a.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    name, notes, listed = json.dumps(f"name {values[0]}"), json.dumps(" ".join(values[:3] + values[14:16])), json.dumps(values[:3])
    (folder / "trueup.toml").write_text(TOML.format(name=name, notes=notes, values=listed), "utf-8")
    project = Project.load(folder)
    (unit,) = ingest(project, clock=lambda: datetime(2024, 3, 2, tzinfo=UTC)).units
    assert unit.accepted == len(values), "what was quarantined would be shown nowhere"
    return project


def validate_day(project: Project) -> Path:
    """Validate the day of a project, and return the folder of its pages."""
    first_us = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
    day = DayOf("usage", "msc", datetime(2024, 3, 1, tzinfo=UTC).date(), first_us, first_us + 86_400_000_000)
    with Lake.open(project, read_only=True) as lake:
        position, snapshot_id = lake.last_position(), lake.snapshot_of(lake.last_position())
    validation = Validation(project)
    try:
        list(validation.validate([day], position, snapshot_id, policy_of(project).expected_of("usage", "msc")))
        return validation.docs().parent
    finally:
        validation.close()


def built(folder: Path, values: list[str]) -> dict[str, Page]:
    """Return the pages of a day whose text columns hold the values, by their paths without ids and times."""
    site = validate_day(project_of(folder, values))
    pages = sorted(site.rglob("*.html"))
    return {"/".join(page.relative_to(site).parts[:3:2]): Page(page.read_text("utf-8")) for page in pages}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    return built(tmp_path_factory.mktemp("hostile") / "p", HOSTILE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    # With a character that is replaced: the note about the replacement is a separate element.
    return built(tmp_path_factory.mktemp("plain") / "p", [f"{MARK}{n}&" for n, _ in enumerate(HOSTILE, start=1)])


def test_every_page_has_the_elements_and_attributes_of_that_of_plain_values(
    hostile: dict[str, Page], plain: dict[str, Page]
) -> None:
    assert len(plain) == len(hostile) == 3
    for (path, page), (_, other) in zip(hostile.items(), plain.items(), strict=True):
        assert page.elements == other.elements, path


def test_values_are_in_texts_alone_and_in_no_attribute_or_script(hostile: dict[str, Page]) -> None:
    shown = [text for page in hostile.values() for text in page.texts if MARK in text]
    assert len(shown) >= len(HOSTILE)
    for path, page in hostile.items():
        assert [a for a in page.attributes if MARK in a] == [], path
        assert [s for s in page.scripts if MARK in s] == [], path


def test_each_page_names_its_replaced_characters_and_contains_none_of_them(hostile: dict[str, Page]) -> None:
    for path, page in hostile.items():
        texts = " ".join(page.texts)
        if MARK not in texts:
            continue
        assert "‹ is U+003C less-than sign" in texts, path
        values = [text for text in page.texts if MARK in text]
        assert not [text for text in values if re.search(r"[<>\"`$\x00-\x08\x1b\x7f-\x9f\u2028\u202a-\u202e]", text)], path


def test_safe_text_has_no_special_character_in_any_context() -> None:
    shown = SafeText()
    every = "".join(map(chr, [*range(0x250), *range(0x2000, 0x2070), 0xFEFF, 0xE0001, 0xD800]))
    shown_value = shown.value({every: [every, 1, None, True]})
    (key,) = shown_value
    assert shown_value == {key: [key, 1, None, True]}
    assert key.isprintable() and not set(key) & LOOK_ALIKES.keys()
    assert "U+003C" in shown.note and "⟨U+XXXX⟩" in shown.note
    assert SafeText().note == ""


@pytest.mark.parametrize(
    ("note", "shown"),
    [
        ("[x](javascript:y)", "Note: ［x］(javascript:y)"), ("# a\n\n- b", "Note: ＃ a - b"), ("see https://a.b *now*", "see https：//a.b ＊now＊"),
        ("1. a_b_", "Note: 1. a＿b＿"), ("Calls are long.", "Calls are long."),
    ],
)  # fmt: skip
def test_a_note_is_one_line_of_text_and_no_markdown(note: str, shown: str) -> None:
    assert SafeText().value({"notes": [{"content": note}]}) == {"notes": [{"content": shown}]}


def test_a_feed_of_any_name_has_a_page_of_its_own_in_the_folder_of_its_stream() -> None:
    names = ["msc", "..", "...", "a.b", "a..b", ".hidden", "-"]
    parts = [suite_name("usage", name).split(".") for name in names]
    assert all(len(part) == 2 and part[0] == "usage" and part[1] for part in parts)
    assert len({part for _, part in parts}) == len(names)


def test_a_run_builds_the_pages_of_its_own_validations_and_all_after_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, rendered = project_of(tmp_path / "p", ["a"]), list[str]()
    render = SafeValidationResultsPageRenderer.render

    def counted(self: SafeValidationResultsPageRenderer, results: Any, *arguments: Any) -> Any:
        rendered.append(results.suite_name)
        return render(self, results, *arguments)

    monkeypatch.setattr(SafeValidationResultsPageRenderer, "render", counted)
    site = validate_day(project)
    validate_day(project)
    assert len(rendered) == 2
    assert len(list((site / "validations").rglob("*.html"))) == 2
    assert (site / "index.html").read_text("utf-8").count("validations/usage/msc") == 2
    # A killed run leaves no mark that the pages are complete.
    (project.directory / "quality/gx/pages_version").unlink()
    validate_day(project)
    assert len(rendered) == 2 + 3
