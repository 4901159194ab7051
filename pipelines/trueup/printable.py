"""Text of data as one printable line: characters that a terminal obeys or hides become escapes."""

from __future__ import annotations

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPES = "nrtxuU\\"
"""The characters that may follow the backslash of an escape."""


def visible(text: str) -> str:
    """Return text in which each character that a terminal obeys or hides is an escape: `\\n`, `\\x1b`, `\\u202e`, `\\U000e0001`.

    These are control characters (C0, C1), line and paragraph separators, bidirectional and other format controls, and surrogates.
    All other characters that Unicode does not class as printable are escaped too. A backslash in front of a character that would
    complete an escape is doubled, so that the text can be read back without loss.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escape, text, f"{text[1:]} "))


def _escape(character: str, following: str) -> str:
    if character == "\\":
        return "\\\\" if following in _ESCAPES or not following.isprintable() else character
    if character.isprintable():
        return character
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}")
