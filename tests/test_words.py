"""Words that this project does not use: code, tests and documents use those of `docs/glossary.md` instead."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipelines", "models", "expectations", "sql", "tests", "docs", "examples", "benchmarks")
FILES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", ".pre-commit-config.yaml", ".ci/run")
ENDINGS = {".py", ".sql", ".md", ".toml", ".yaml", ".yml", ".java"}

INSTEAD = {
    "told": "the noun of the value: message, rows, counts; reported, shown, declared",
    "tell apart": "distinguish, group, separate",
    "mine": "own, usage",
    "theirs": "other, charge",
    "whoever": "the actor: the caller, the process, a user",
    "nobody": "no user, no process, unknown subscriber",
    "somebody": "a user, an analyst",
    "gone": "removed, settled, retracted, missing",
    "what came": "new records, arrivals",
    "made of the log again": "rebuilt from the log",
    "retold": "affected by changed terms, repriced",
    "shelf": "hash runs",
}
"""Banned word to its replacements. Underscores separate words too, so names are covered."""

ALLOWED = {
    ("tests/test_words.py", None): "this list",
    ("pipelines/trueup/jobs/reconcile_stream.py", 'MapStateDescriptor("gone"'): "the name of a persisted Flink state",
    ("tests/log/test_dsn.py", "nobody"): "a user name of PostgreSQL",
    (
        "expectations/trueup/quality/suites/usage.py",
        '"somebody used it"',
    ): "an expectation's name, from which ids of findings are made",
    ("expectations/trueup/quality/suites/usage.py", '"a quantity is no counter gone wrong"'): "the same",
    ("tests/quality/validation/test_validate.py", '"somebody used it"'): "the same",
    ("pipelines/trueup/rating/book_validation.py", ": are told once"): "a rule's text that quarantine rows hold",
    ("sql/trueup/warehouse/audits/control_counts.sql", "_told"): "columns of an audit that programs read",
    ("benchmarks/quality.py", '"somebody used it"'): "the same",
}
"""Path, and the text of the line that may hold a banned word (None: the whole file), to the reason."""


def pattern(phrase: str) -> re.Pattern[str]:
    """Return the pattern of a phrase as whole words, also over line ends and in names."""
    gap = r"(?:[\s_]|\n\s*(?:#|--|//)\s*)+"
    return re.compile(rf"(?<![^\W_]){gap.join(phrase.split())}(?![^\W_])", re.I)


PATTERNS = {phrase: pattern(phrase) for phrase in INSTEAD}


def is_allowed(path: str, line: str) -> bool:
    return any(path == file and (text is None or text in line) for file, text in ALLOWED)


def hits(text: str, path: str = "") -> list[str]:
    """Return `path:line: word (replacement)` for each banned word of a text."""
    lines = text.split("\n")
    found = []
    for phrase, regex in PATTERNS.items():
        for match in regex.finditer(text):
            number = text.count("\n", 0, match.start())
            if not is_allowed(path, lines[number]):
                found.append((number + 1, f"{path}:{number + 1}: {phrase} (write: {INSTEAD[phrase]})"))
    return [message for _, message in sorted(found)]


def files() -> list[Path]:
    nested = [
        file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*")) if file.suffix in ENDINGS and file.is_file()
    ]
    return [ROOT / name for name in FILES] + nested


def test_no_file_holds_a_banned_word() -> None:
    every = [hit for file in files() for hit in hits(file.read_text("utf-8"), str(file.relative_to(ROOT)))]
    assert not every, f"{len(every)} banned words:\n" + "\n".join(every)


def test_the_search_finds_words_in_sentences_names_and_across_line_ends() -> None:
    assert len(hits("Whoever told it")) == 2
    assert len(hits("def test_nobody_is_billed(): ...")) == 1
    assert len(hits("what\n    # came")) == 1
    assert hits("determined by a goneril, miners, foretold") == []


def test_every_exception_is_still_needed() -> None:
    unused = [
        (path, text) for path, text in ALLOWED
        if not any(regex.search(line) for line in (ROOT / path).read_text("utf-8").split("\n") for regex in PATTERNS.values() if text is None or text in line)
    ]  # fmt: skip
    assert not unused
