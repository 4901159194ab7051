"""Samples: the beginning of a delivered file, decompressed and bounded in bytes, and the last bytes of a longer file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal

from trueup.collect.discover.archives import container_of, is_workbook
from trueup.collect.discover.unpack import Compression, compression_of, unpack
from trueup.errors import SourceError
from trueup.regular import NotRegularError, open_regular

MOST_BYTES = 4 << 20
"""Maximum bytes of a sample after decompression, and of the compressed bytes that are read for it."""
MOST_ROWS = 10_000
"""Maximum number of records of a sample that are examined."""
_TAIL_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 18
_PARQUET = b"PAR1"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_TEXT_CONTROLS = frozenset(b"\t\n\v\f\r\x1b")


@dataclass(frozen=True)
class Sample:
    """The beginning of a file: `data` decompressed and cut at a line end unless `is_whole`, and the `tail` of a longer plain file.

    A Parquet file and a workbook have no data here: their readers seek in the file itself. `size_bytes` is the size of the file as
    delivered.
    """

    path: Path
    shown: str
    data: bytes
    is_whole: bool
    tail: bytes
    compression: Compression
    size_bytes: int
    kind: Literal["text", "parquet", "xlsx"] = "text"


def read_sample(path: Path) -> Sample:
    """Return the sample of a file; raise `SourceError` for a missing, unreadable, empty or binary file and for a directory."""
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    try:
        with open_regular(path) as handle:
            size = os.fstat(handle.fileno()).st_size
            sample = _read(handle, path, shown, size)
    except FileNotFoundError:
        raise SourceError("there is no such file", where=shown, todo="check the path given with --from") from None
    except NotRegularError as error:
        todo = f"name its files, such as {shown}/*" if error.fault == "directory" else "name a file with --from"
        raise SourceError(str(error.strerror), where=shown, todo=todo) from None
    except OSError as error:
        raise SourceError(f"the file cannot be read: {error.strerror}", where=shown, todo="check its rights and its disk") from None
    if sample.kind == "text":
        _check_text(sample)
    return sample


def _read(handle: BinaryIO, path: Path, shown: str, size: int) -> Sample:
    head = handle.read(_CHUNK_BYTES)
    if not head:
        raise SourceError("the file is empty", where=shown, todo="name a sample that has records")
    compression = compression_of(head)
    if head.startswith(_PARQUET):
        return Sample(path, shown, b"", True, b"", compression, size, "parquet")
    if compression == "zip" and is_workbook(handle):
        return Sample(path, shown, b"", True, b"", "", size, "xlsx")
    if compression:
        handle.seek(len(head))
    chunks = chain([head], iter(lambda: handle.read(_CHUNK_BYTES), b""))
    data, is_whole = bytearray(), True
    for chunk in unpack(handle, chunks, compression, shown) if compression else chunks:
        data += chunk
        if len(data) > MOST_BYTES:
            is_whole = False
            break
    tail = b""
    if not is_whole:
        del data[MOST_BYTES:]
        # A record that the sample cuts off does not count.
        del data[max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 or len(data) :]
        if not compression:
            handle.seek(max(0, size - _TAIL_BYTES))
            tail = handle.read(_TAIL_BYTES)
    return Sample(path, shown, bytes(data), is_whole, tail, compression, size)


def _check_text(sample: Sample) -> None:
    head = sample.data[: 1 << 16]
    if not head.strip():
        raise SourceError("the file has no records", where=sample.shown, todo="name a sample that has records")
    if head.startswith(_UTF_16):
        raise SourceError("the file is UTF-16 text", where=sample.shown, todo="convert it to UTF-8 before it is delivered")
    container = container_of(head)
    controls = sum(head.count(bytes([code])) for code in range(32) if code not in _TEXT_CONTROLS)
    if container is not None or (0 in head and controls * 100 > len(head)):
        what = container or "binary"
        raise SourceError(f"the file is {what}, not text", where=sample.shown, todo="unpack or export it before it is delivered")
