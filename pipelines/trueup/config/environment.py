"""Environment variables in settings (`${NAME}`), and text of the operating system."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from trueup.errors import ConfigError
from trueup.secret import remember_variable, without_credentials

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def variables(text: str) -> dict[str, str]:
    """Return the value of each `${NAME}` in a setting, by name; raise `ConfigError` for one that is not set or is not UTF-8."""
    values = {}
    for name in _VARIABLE.findall(text):
        if name not in os.environ:
            raise ConfigError(f"the environment variable {name} is not set", where=without_credentials(text), todo=f"set {name}")
        values[name] = os.environ[name]
        if not is_utf8(values[name]):
            raise ConfigError(f"the environment variable {name} is not UTF-8", todo=f"set {name} to text in UTF-8")
    return values


def expand(text: str, quote: Callable[[str], str] = str) -> str:
    """Replace each `${NAME}` by the environment's value, written by `quote`.

    Raises `ConfigError` where a variable is not set or is not UTF-8.
    """
    values = variables(text)
    return _VARIABLE.sub(lambda match: quote(values[match[1]]), text)


def expand_path(text: str, quote: Callable[[str], str] = str) -> str:
    """Expand a path as `expand` does; later messages show the values as `${NAME}`."""
    for name, value in variables(text).items():
        remember_variable(name, value)
    return expand(text, quote)


def as_utf8(text: str) -> str:
    """Return printable text of the operating system: bytes that are not UTF-8 become escapes."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def is_utf8(text: str) -> bool:
    """Return whether text is valid UTF-8; Python represents other bytes of the operating system as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
