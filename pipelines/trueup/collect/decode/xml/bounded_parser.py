"""XML in bounded memory: refuses document type definitions, entities, and tags of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from xml.parsers import expat

from trueup.errors import SourceError

_STEP_BYTES = 1 << 16
_LONGEST_TAG = 4 << 20
"""Maximum bytes of a tag, comment or instruction; the parser holds each of them whole."""
_DEEPEST = 1_000


class BoundedParser:
    """A streaming parser; names lose their prefix. Raises `SourceError` for XML that could grow or read other files.

    A document type definition is refused, because its entities may expand to any size or name files of this machine. `parser` is
    the parser of the standard library, on which handlers are set. By default the handlers bound the depth of elements, and call
    `seen` with the name of each element.
    """

    def __init__(self, where: str, *, encoding: str | None = None, seen: Callable[[str], None] | None = None) -> None:
        self.parser = expat.ParserCreate(encoding)
        self.parser.buffer_text = True
        self.parser.StartElementHandler, self.parser.EndElementHandler = self._enter, self._leave
        self._depth, self._seen = 0, seen
        self.parser.StartDoctypeDeclHandler = self._refuse_definition
        self.parser.EntityDeclHandler = self._refuse_definition
        self.parser.ExternalEntityRefHandler = self._refuse_definition
        self._where, self._fed = where, 0

    def _enter(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise SourceError(
                f"the file has elements nested more than {_DEEPEST} deep", where=self._where, todo="have it delivered again"
            )
        if self._seen is not None:
            self._seen(name)

    def _leave(self, name: str) -> None:
        self._depth -= 1

    def _refuse_definition(self, *_: object) -> int:
        raise SourceError(
            "the file has a document type definition (DTD), whose entities are not read", where=self._where,
            todo="have it delivered without one",
        )  # fmt: skip

    def feed(self, chunks: Iterable[bytes]) -> None:
        """Parse a stream to its end; raise `expat.ExpatError` where it is not well-formed."""
        for chunk in chunks:
            for begin in range(0, len(chunk), _STEP_BYTES):
                self.step(chunk[begin : begin + _STEP_BYTES])
        self.parser.Parse(b"", True)

    def step(self, data: bytes) -> None:
        """Parse a few more bytes; raise `expat.ExpatError` where they are not well-formed."""
        self.parser.Parse(data, False)
        self._fed += len(data)
        if self._fed - self.parser.CurrentByteIndex > _LONGEST_TAG:
            raise SourceError(
                f"the file has a tag of more than {_LONGEST_TAG} bytes", where=self._where, todo="have it delivered again"
            )


def local_name(name: str) -> str:
    """Return the name of an element or attribute without its prefix.

    >>> local_name("x:CDR"), local_name("CDR")
    ('CDR', 'CDR')
    """
    return name.rpartition(":")[2]
