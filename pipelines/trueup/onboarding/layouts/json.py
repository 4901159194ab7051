"""Layout of JSON: objects line by line, or documents with a list whose items are the records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from trueup.onboarding.evidence import Fit, Line, supported
from trueup.onboarding.layouts.layout import Layout, TextSample, values_of
from trueup.onboarding.sample import Sample

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_CLOSER = {"{": "}", "[": "]"}
_DEEPEST = 8


def json_layout(sample: Sample, text: TextSample) -> Layout | None:
    """Return the layout of JSON lines or documents; None for any other text."""
    filled = [line for line in text.texts if line.strip()][:200]
    if not filled or filled[0].lstrip()[:1] not in ("{", "["):
        return _read_layout_of_lines(sample, text, filled) if filled else None
    by_line = [_load_json(line) for line in filled]
    lists = [_find_longest_list(value) for value in by_line if isinstance(value, dict)]
    if len(filled) > 1 and sum(isinstance(value, dict) for value in by_line) * 4 > len(filled):
        return _read_layout_of_lines(sample, text, filled)
    if len(filled) == 1 and lists and lists[0] is None:
        return _read_layout_of_lines(sample, text, filled)
    return _read_layout_of_documents(sample)


def _read_layout_of_lines(sample: Sample, text: TextSample, filled: Sequence[str]) -> Layout | None:
    objects = sum(isinstance(_load_json(line), dict) for line in filled)
    # One or two damaged lines do not turn JSON objects into CSV.
    if objects * 4 <= len(filled):
        return None
    line = supported("format", "ndjson", Fit(objects, len(filled)), "of the first lines are JSON objects")
    return Layout("ndjson", sample.data, {"format": "ndjson"} | values_of(text.encoded), [line, *text.encoded])


def _read_layout_of_documents(sample: Sample) -> Layout | None:
    """Return the layout of documents; None where the text is no JSON."""
    try:
        whole = sample.data.decode("utf-8-sig")
        body = whole if sample.is_whole else _close_brackets(whole)
        values = list(_decode_documents(body))
    except (ValueError, RecursionError):
        return None
    lines = [Line("format", "json", "the file is JSON in documents, not line by line")]
    if not any(isinstance(value, list) for value in values):
        found = [one for value in values if (one := _find_longest_list(value)) is not None]
        if found:
            count, path = max(found, key=lambda one: one[0])
            lines.append(Line("records", path, f"the list there has {count:,} objects", check=True))
    return Layout("json", body.encode(), values_of(lines), lines)


def _decode_documents(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        yield value


def _close_brackets(text: str) -> str:
    """Return the beginning of a document up to its last whole object, with its open brackets closed."""
    stack: list[str] = []
    until, left = 0, ""
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in _CLOSER:
            stack.append(_CLOSER[sign])
        elif sign in "}]" and stack:
            stack.pop()
            if sign == "}":
                until, left = token.end(), "".join(reversed(stack))
    return text[:until] + left


def _find_longest_list(value: Any) -> tuple[int, str] | None:
    """Return length and path of the longest list of objects in an object; among equally long lists, the outer one."""
    found = list(_find_lists(value, (), 0)) if isinstance(value, dict) else []
    sums: dict[str, int] = {}
    for path, count in found:
        sums[path] = sums.get(path, 0) + count
    best = max(sums, key=lambda path: (sums[path], -path.count(".")), default=None)
    return None if best is None or sums[best] < 2 else (sums[best], best)


def _find_lists(value: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, int]]:
    """Yield the path and the length of each list of objects, also of lists inside the objects of lists."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if "." not in name:
                yield from _find_lists(inner, (*path, name), depth + 1)
    elif isinstance(value, list):
        objects = [item for item in value if isinstance(item, dict)]
        if objects and path:
            yield ".".join(path), len(objects)
        for item in objects:
            yield from _find_lists(item, path, depth + 1)


def _load_json(text: str) -> Any:
    try:
        return json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        return None
