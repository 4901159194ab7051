"""Decompression in bounded memory, because a small file may decompress to any size."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Literal, Protocol

import zstandard

from trueup.collect.discover.archives import is_zip, read_zip
from trueup.errors import SourceError

Compression = Literal["", "gzip", "zstd", "zip"]

LEAST_BYTES = 256 << 20
"""Number of bytes to which every file may decompress, however small it is."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MOST_OUT_BYTES = 1 << 20
_FIRST_STEP_BYTES, _LAST_STEP_BYTES = 1 << 12, 1 << 18
_ZSTD_STEP_BYTES = 1 << 10
"""Four bytes of zstd can encode 128 KiB: one step yields 32 MiB at most."""


def compression_of(head: bytes) -> Compression:
    """Return the compression of a file by its first bytes."""
    if head.startswith(_GZIP_MAGIC):
        return "gzip"
    if is_zip(head):
        return "zip"
    return "zstd" if head.startswith(_ZSTD_MAGIC) else ""


class _Member(Protocol):
    """One gzip member or zstd frame during decompression."""

    def feed(self, data: memoryview) -> Iterator[bytes]:
        """Yield the decompressed bytes of `data`."""

    @property
    def unused_bytes(self) -> int | None:
        """Number of bytes of the last input after the end of the compressed data; None before the end."""


class _Gzip:
    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)

    def feed(self, data: memoryview) -> Iterator[bytes]:
        output = self._inflater.decompress(data, _MOST_OUT_BYTES)
        while output:
            yield output
            tail = self._inflater.unconsumed_tail
            # The inflater may still hold output, because its limit stopped it, when no input is left.
            output = b"" if self._inflater.eof else self._inflater.decompress(tail, _MOST_OUT_BYTES)

    @property
    def unused_bytes(self) -> int | None:
        return len(self._inflater.unused_data) if self._inflater.eof else None


class _Zstd:
    def __init__(self) -> None:
        self._inflater = zstandard.ZstdDecompressor().decompressobj()
        self._unused: int | None = None

    def feed(self, data: memoryview) -> Iterator[bytes]:
        for at in range(0, len(data), _ZSTD_STEP_BYTES):
            step = data[at : at + _ZSTD_STEP_BYTES]
            if output := self._inflater.decompress(step):
                yield output
            if self._inflater.eof:
                self._unused = len(self._inflater.unused_data) + len(data) - at - len(step)
                return

    @property
    def unused_bytes(self) -> int | None:
        return self._unused


_MEMBERS: dict[str, Callable[[], _Member]] = {"gzip": _Gzip, "zstd": _Zstd}


def unpack(
    handle: BinaryIO, chunks: Iterable[bytes], compression: Compression, where: str, *, max_bytes: int | None = None
) -> Iterator[bytes]:
    """Yield the decompressed bytes of an open file whose bytes are `chunks`, as `decompress` does; a zip archive is also read."""
    if compression == "zip":
        return _limit_size(read_zip(handle, where), where, max_bytes)
    return decompress(chunks, compression, where, max_bytes=max_bytes)


def decompress(chunks: Iterable[bytes], compression: Compression, where: str, *, max_bytes: int | None = None) -> Iterator[bytes]:
    """Yield the decompressed bytes of a file in chunks of bounded size; several members or frames are one stream.

    Raises `SourceError` for a damaged stream, for one that ends inside a member, and beyond `max_bytes`.
    """
    return _limit_size(_decompress_members(chunks, compression, where), where, max_bytes) if compression else iter(chunks)


def _limit_size(outputs: Iterable[bytes], where: str, max_bytes: int | None) -> Iterator[bytes]:
    size = 0
    for output in outputs:
        size += len(output)
        if max_bytes is not None and size > max_bytes:
            raise SourceError(
                f"the file unpacks to more than {max_bytes} bytes", where=where,
                todo="deliver it uncompressed, or raise `expansion` in [limits] or [source.limits]",
            )  # fmt: skip
        yield output


def _decompress_members(chunks: Iterable[bytes], compression: Compression, where: str) -> Iterator[bytes]:
    member: _Member | None = None
    # In a file of many small members, the rest of a large chunk must not be copied for each member.
    step_bytes = _FIRST_STEP_BYTES
    for chunk in chunks:
        data = memoryview(chunk)
        while data:
            if member is None:
                # Tapes and block devices pad with zeros after the last member.
                if data[0] == 0:
                    data = data[_count_leading_zeros(data) :]
                    continue
                member, step_bytes = _MEMBERS[compression](), _FIRST_STEP_BYTES
            step, data = data[:step_bytes], data[step_bytes:]
            try:
                yield from member.feed(step)
            except (zlib.error, zstandard.ZstdError) as error:
                reason = f"the {compression} stream is damaged: {error}"
                raise SourceError(reason, where=where, todo="have it delivered again") from None
            step_bytes = min(2 * step_bytes, _LAST_STEP_BYTES)
            if member.unused_bytes is not None:
                data = memoryview(chunk)[len(chunk) - len(data) - member.unused_bytes :]
                member = None
    if member is not None:
        raise SourceError(f"the {compression} stream is cut short", where=where, todo="have it delivered again")


def _count_leading_zeros(data: memoryview) -> int:
    at = 0
    while at < len(data) and not any(data[at : at + _FIRST_STEP_BYTES]):
        at += _FIRST_STEP_BYTES
    rest = bytes(data[at : at + _FIRST_STEP_BYTES])
    return min(at, len(data)) + len(rest) - len(rest.lstrip(b"\0"))
