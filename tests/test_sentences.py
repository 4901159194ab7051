"""Sentences of documents, docstrings and error messages have at most 25 words."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_WORDS = 25
PYTHON = ("pipelines", "models", "expectations", "sql", "tests", "benchmarks", "docs")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs", "examples", "models")

FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.M | re.S)
NO_PROSE = re.compile(r" *(\||#|<|!\[|!!!)")
BULLET = re.compile(r"^ *[-*+] +")
NUMBER = re.compile(r"^ *\d+\. +")
CLOSED = (".", ":", ";", ",")
CODE = re.compile(r"(`+).+?\1")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
END = re.compile(r"(?<=[.!?])[)\"]?\s+|(?<=:)\s+(?=[A-Z])")


def blocks(text: str) -> Iterator[str]:
    """Return the paragraphs and list items of a text, each as one line."""
    block: list[str] = []
    for line in [*FENCE.sub("", text).split("\n"), ""]:
        prose = bool(line.strip()) and not NO_PROSE.match(line)
        begins = bool(BULLET.match(line)) or (bool(NUMBER.match(line)) and (not block or block[-1].endswith(CLOSED)))
        if block and (begins or not prose):
            yield " ".join(block)
            block = []
        if prose:
            block.append((NUMBER.sub("", BULLET.sub("", line)) if begins else line).strip())


def sentences(block: str) -> list[str]:
    """Return the sentences of one paragraph; a piece of code and a link count as the words that they show."""
    plain = LINK.sub(r"\1", CODE.sub("Code", block)).replace("*", "")
    return END.split(plain)


def words(sentence: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def docstrings(tree: ast.AST) -> Iterator[str]:
    """Return the strings that are statements, without their doctests."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            paragraphs = inspect.cleandoc(node.value.value).split("\n\n")
            yield "\n\n".join(paragraph for paragraph in paragraphs if ">>>" not in paragraph)


def messages(tree: ast.AST) -> Iterator[str]:
    """Return the texts of raised errors, with `X` for each value in them."""
    for raised in (node for node in ast.walk(tree) if isinstance(node, ast.Raise)):
        joined = [node for node in ast.walk(raised) if isinstance(node, ast.JoinedStr)]
        parts = {id(part) for node in joined for value in node.values for part in ast.walk(value)}
        for node in ast.walk(raised):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                yield node.value


def long_sentences(texts: Iterator[str] | list[str]) -> list[str]:
    every = (sentence for text in texts for block in blocks(text) for sentence in sentences(block))
    return [sentence for sentence in every if words(sentence) > MOST_WORDS]


def python_texts(code: str) -> list[str]:
    tree = ast.parse(code)
    return [*docstrings(tree), *messages(tree)]


def every_text() -> Iterator[tuple[str, list[str]]]:
    """Return the path and the texts of each document and module."""
    for name in DOCUMENTS:
        place = ROOT / name
        for file in [place] if place.is_file() else sorted(place.rglob("*.md")):
            yield str(file.relative_to(ROOT)), [file.read_text("utf-8")]
    for name in PYTHON:
        for file in sorted((ROOT / name).rglob("*.py")):
            yield str(file.relative_to(ROOT)), python_texts(file.read_text("utf-8"))


def test_no_sentence_has_more_than_25_words() -> None:
    found = [
        f"{path}: {words(sentence)} words: {sentence}" for path, texts in every_text() for sentence in long_sentences(texts)
    ]  # fmt: skip
    assert not found, f"{len(found)} long sentences; write two, or a list:\n" + "\n".join(found)


LONG = "One " + "word " * 25 + "more."


def test_a_long_sentence_is_found_in_a_document_a_docstring_and_a_message() -> None:
    assert len(long_sentences([f"Short.\n\n* {LONG}\n* Short."])) == 1
    assert len(long_sentences(python_texts(f'def price():\n    """Return a price.\n\n    {LONG}\n    """\n'))) == 1
    assert len(long_sentences(python_texts(f'raise LogError(f"{{path}}: {LONG}")\n'))) == 1
    assert len(long_sentences(python_texts(f'raise LogError(\n    "{LONG[:40]}"\n    f"{LONG[40:]}"\n) from error\n'))) == 1


def test_paragraphs_items_tables_and_code_are_not_joined() -> None:
    half = "word " * 15
    assert long_sentences([f"{half}\n\n{half}.\n1. {half}.\n2. {half}\n\n# {half}\n| {half}\n\n```\n{LONG}\n```\n{half}"]) == []
    assert long_sentences([f"Read `{half}` and [{half}](page.md#{'x' * 9})."]) == []
    assert long_sentences(python_texts(f'query = """\n{LONG}\n"""\nrun(\n    """{LONG}"""\n)\n')) == []
