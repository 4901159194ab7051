"""Character encodings: checks that lines are text in their declared encoding, and converts them to UTF-8."""

from __future__ import annotations

import codecs
from dataclasses import replace

import numpy as np

from trueup.collect.decode.text.lines import Lines, Mask


def undecodable(lines: Lines, encoding: str) -> Mask:
    """Return which lines are not text in the encoding."""
    bad = np.zeros(len(lines), np.bool_)
    if lines.data.isascii():
        return bad
    decode = codecs.getdecoder(encoding)
    try:
        decode(lines.data, "strict")
    except UnicodeDecodeError:
        # Decode line by line from here, because resuming after each fault would read the rest of the block once per fault.
        suspects = np.unique(np.searchsorted(lines.ends, np.flatnonzero(lines.codes > 127), side="right"))
        for index in suspects[suspects < len(lines)].tolist():
            bad[index] = not _is_text(lines.raw(index), encoding)
    return bad


def _is_text(data: bytes, encoding: str) -> bool:
    try:
        codecs.decode(data, encoding, "strict")
    except UnicodeDecodeError:
        return False
    return True


def with_nul(lines: Lines) -> Mask:
    """Return which lines have a NUL byte, which text never has."""
    bad = np.zeros(len(lines), np.bool_)
    if b"\0" in lines.data:
        at = np.flatnonzero(lines.codes == 0)
        hit = np.searchsorted(lines.ends, at, side="right")
        inside = hit < len(lines)
        hit, at = hit[inside], at[inside]
        bad[hit[lines.starts[hit] <= at]] = True
    return bad


def in_utf8(lines: Lines, encoding: str) -> Lines:
    """Return the same lines in UTF-8; their offsets then refer to a new block, not to the unit."""
    if lines.data.isascii() or codecs.lookup(encoding).name in ("utf-8", "ascii"):
        return lines
    decode = codecs.getdecoder(encoding)
    texts = [decode(lines.raw(index), "strict")[0].encode() for index in range(len(lines))]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
    ends = np.cumsum(lengths) - 1
    return replace(lines, data=b"\n".join(texts) + b"\n", starts=ends - lengths + 1, ends=ends)
