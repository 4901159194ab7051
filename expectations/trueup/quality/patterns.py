"""Check regular expressions for the same meaning in DuckDB and in Polars.

DuckDB's classes such as `\\d` are of ASCII, those of Polars of all of Unicode; they are written out. A construct with
different meanings is refused.
"""

from __future__ import annotations

import polars as pl

from trueup.errors import ConfigError

_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r "}
_REFUSED = {"b": r"\b", "B": r"\B", "A": r"\A", "z": r"\z", "p": r"\p", "P": r"\P"}


def common(pattern: object, *, where: str) -> str:
    """Return a pattern, checked and written out; raise `ConfigError` for one that the two engines would read differently."""
    if not isinstance(pattern, str):
        raise ConfigError(f"invalid pattern: {pattern!r}", where=where)
    if "(?" in pattern.replace("(?:", ""):
        raise ConfigError(f"the pattern {pattern!r} uses (?…)", where=where, todo="write groups as ( ) or (?: )")
    made = _expand_classes(pattern, where)
    try:
        pl.select(pl.lit("").str.contains(made))
    except pl.exceptions.ComputeError as error:
        raise ConfigError(f"invalid pattern {pattern!r}: {str(error).splitlines()[0]}", where=where) from None
    return made


def _expand_classes(pattern: str, where: str) -> str:
    made, at, in_class = list[str](), 0, False
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\" and at + 1 < len(pattern):
            made.append(_expand_escape(pattern[at + 1], in_class, where))
            at += 2
            continue
        # In a class, a further bracket is literal to DuckDB and opens a nested class to Polars.
        if in_class and (letter == "[" or pattern.startswith(("&&", "--", "~~"), at)):
            raise ConfigError(f"the class in {pattern!r} holds {letter!r}", where=where, todo=f"write \\{letter}")
        in_class = letter == "[" or (in_class and letter != "]")
        made.append(letter)
        at += 1
    return "".join(made)


def _expand_escape(letter: str, in_class: bool, where: str) -> str:
    if letter in _CLASSES:
        return _CLASSES[letter] if in_class else f"[{_CLASSES[letter]}]"
    if letter.lower() in _CLASSES and not in_class:
        return f"[^{_CLASSES[letter.lower()]}]"
    if letter in _REFUSED or (letter.isalnum() and letter not in "tnrfv"):
        raise ConfigError(f"\\{letter} in a pattern means different things to the engines", where=where, todo="write a class")
    return f"\\{letter}"
