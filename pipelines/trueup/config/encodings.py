"""Names of character encodings: those that a source may declare."""

from __future__ import annotations

import codecs

from trueup.errors import ConfigError


def check_encoding(name: str, *, where: str) -> None:
    """Raise `ConfigError` for an encoding that is unknown, or whose line ends cannot be found byte by byte."""
    ascii_text = "".join(map(chr, range(128)))
    try:
        is_plain = bytes(range(128)).decode(name) == ascii_text and codecs.lookup(name).name not in ("utf-7", "hz")
    except LookupError:
        raise ConfigError(
            f"the encoding {name!r} is unknown", where=where, todo="use a name such as utf-8, latin-1 or cp1252"
        ) from None
    except UnicodeDecodeError:
        is_plain = False
    if not is_plain:
        raise ConfigError(
            f"the encoding {name!r} cannot be read line by line", where=where, todo="convert the files to UTF-8 first"
        )
