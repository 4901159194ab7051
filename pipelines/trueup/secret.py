"""Secrets of the configuration: a type whose text is masked, and a mask for everything that is printed.

A setting that may hold credentials is a `Place`: its `str`, `repr` and JSON show the location, never the credentials. Code that
needs the value calls `get_secret_value`. A second protection follows. Each secret value that a process loads is stored here, such
as a password of a connection string or the value of a `${NAME}`. `mask` replaces it in any text. It searches for the values
themselves, not for patterns.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit, urlunsplit

from pydantic import SecretStr

MASK = "***"
SHORTEST = 6
"""Shorter values are not masked in texts: they occur in words, and the masked places would reveal them."""


class Place(SecretStr):
    """A location with the credentials that open it; shown without them."""

    def _mask_display(self) -> str:
        return without_credentials(self.get_secret_value())


@dataclass(frozen=True)
class _Known:
    """Values to their replacements: `credentials` are masked in all texts, `variables` in messages only."""

    credentials: Mapping[str, str]
    variables: Mapping[str, str]
    data: re.Pattern[str] | None = None
    messages: re.Pattern[str] | None = None


_known = _Known({}, {})


def remember(value: str, shown: str = MASK) -> None:
    """Mask a credential from now on, in every text and every form of quoting."""
    global _known
    if len(value) >= SHORTEST:
        forms = {form: shown for form in _list_forms(value) if len(form) >= SHORTEST}
        _known = _compile_patterns(replace(_known, credentials={**_known.credentials, **forms}))


def remember_variable(name: str, value: str) -> None:
    """Show the value of an environment variable as `${NAME}` in messages, as a whole word or at the start of a path."""
    global _known
    if len(value) >= SHORTEST:
        _known = _compile_patterns(replace(_known, variables={**_known.variables, value: f"${{{name}}}"}))


def mask(text: str) -> str:
    """Return a message with every remembered value masked."""
    return _replace_secrets(text, _known.messages)


def mask_data(value: Any) -> Any:
    """Return a result (text, rows, mappings, dataclasses) with credentials masked; other values are unchanged."""
    if _known.data is None:
        return value
    if isinstance(value, str):
        return _replace_secrets(value, _known.data)
    if isinstance(value, Mapping):
        return {mask_data(key): mask_data(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: mask_data(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Sequence) and not isinstance(value, bytes) and not hasattr(value, "_fields"):
        return [mask_data(item) for item in value]
    return value


def without_credentials(text: str) -> str:
    """Return a location for display: of PostgreSQL only the kind, of a URL neither user, password nor parameters."""
    kind, colon, _ = text.partition(":")
    if kind in ("postgres", "postgresql"):
        return f"{kind}{colon}{MASK}"
    if "://" not in text:
        return text
    url = urlsplit(text)
    secret = bool(url.query or "@" in url.netloc)
    shown = urlunsplit(url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment=""))
    return f"{shown} ({MASK})" if secret else shown


def remember_url(text: str) -> None:
    """Mask the credentials of a URL from now on: its user and password, and the values of its parameters."""
    url = urlsplit(text)
    user, _, password = url.netloc.rpartition("@")[0].partition(":")
    for value in (user, password, *(value for _, value in parse_qsl(url.query))):
        remember(unquote(value))


def _list_forms(value: str) -> set[str]:
    """Return the forms of a value in texts: unquoted, and as SQL, JSON, Python, HTML, URLs and connection strings quote it."""
    in_json = json.dumps(value)[1:-1]
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return {
        value, value.replace("'", "''"), value.replace('"', '""'), escaped, in_json, json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1], html.escape(value), quote(value, safe=""), quote(value), quote_plus(value),
    }  # fmt: skip


def _compile_patterns(known: _Known) -> _Known:
    credentials = [re.escape(value) for value in _sort_longest_first(known.credentials)]
    variables = [rf"(?<![\w.-]){re.escape(value)}(?![\w.-])" for value in _sort_longest_first(known.variables)]
    return replace(
        known,
        data=re.compile("|".join(credentials)) if credentials else None,
        messages=re.compile("|".join(credentials + variables)) if credentials or variables else None,
    )


def _sort_longest_first(values: Mapping[str, str]) -> list[str]:
    return sorted(values, key=lambda value: (-len(value), value))


def _replace_secrets(text: str, pattern: re.Pattern[str] | None) -> str:
    if pattern is None:
        return text
    known = _known
    return pattern.sub(lambda match: known.credentials.get(match[0]) or known.variables[match[0]], text)
