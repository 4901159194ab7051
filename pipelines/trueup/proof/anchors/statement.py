"""Statement of an anchor, as it is written and signed: canonical JSON, and a signature over it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trueup.errors import TrueupError
from trueup.proof.anchors.blocks import Block

SIZE_LIMIT_BYTES = 64 << 20
"""Maximum size of an anchor file; a larger file is not read."""

_SIGNED = b"trueup anchor 1\n"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class AnchorError(TrueupError):
    """Raised for a file that is not an anchor, or whose signature is invalid."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ChainHead(_Part):
    """The last link of the hash chain of a source's control rows."""

    sequence_no: Count
    hash: str


class BlockState(_Part):
    """A block of commits, see `Block`."""

    commits: Count
    rows: Count
    upto_snapshot: Count
    sha256: Sha256

    def block(self) -> Block:
        """Return this as a `Block`."""
        return Block(self.commits, self.rows, self.upto_snapshot, self.sha256)


class Digests(_Part):
    """Digests that `trueup digest` prints as of the position; `scores` is None without scores."""

    state: Sha256
    history: Sha256
    scores: Sha256 | None


class DataFile(_Part):
    """A data file of the lake: its path below `[lake] data`, its size and its SHA-256."""

    path: str
    size_bytes: Count
    sha256: Sha256


class Statement(_Part):
    """The head of a lake's log.

    Parameters
    ----------
    lake:
        The identity of the lake, set at its creation.
    key:
        The fingerprint of the public key that checks the signature.
    sequence_no, previous:
        The ordinal among the lake's anchors from 1 on, and `Anchor.sha256` of the previous anchor (None for the first).
    made_at:
        The injected clock, ISO 8601 in UTC.
    position, position_snapshot:
        The newest position and its snapshot (0 and 0 in an empty log).
    snapshot:
        The newest snapshot of the lake; all further fields cover rows of this or earlier snapshots.
    reconciled_position:
        The position up to which findings are complete; digests of findings are as of it.
    chains:
        By source, the head of its hash chain.
    tables:
        By table, the digests of all its commits.
    files:
        The data files written since the previous anchor, or all (`has_all_files`).
    next_file_id:
        The DuckLake file number from which files are newer than the anchor.
    """

    format: Literal["trueup anchor 1"]
    lake: str
    key: Sha256
    sequence_no: Annotated[int, Field(ge=1)]
    previous: Sha256 | None
    made_at: str
    position: Count
    position_snapshot: Count
    snapshot: Count
    reconciled_position: Count
    chains: dict[str, ChainHead]
    digests: Digests
    tables: dict[str, list[BlockState]]
    files: list[DataFile]
    has_all_files: bool
    next_file_id: Count

    def signed_bytes(self) -> bytes:
        """Return the bytes that are signed."""
        return _SIGNED + _encode_canonically(self.model_dump(mode="json"))

    def blocks(self, table: str) -> list[Block]:
        """Return the blocks of a table; none for a table that the statement lacks."""
        return [state.block() for state in self.tables.get(table, [])]

    def rows(self, table: str) -> int:
        """Return the number of rows of a table."""
        return sum(block.rows for block in self.blocks(table))


class Anchor(_Part):
    """A statement and its signature (Ed25519, hexadecimal)."""

    statement: Statement
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Return the anchor in a file's bytes; raise `AnchorError` for anything else. The signature is not checked."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(str(part) for part in first["loc"])
            reason = f"{location}: {first['msg']}" if location else first["msg"]
            raise AnchorError(f"this is not an anchor of this version of trueup: {reason}", where=where) from None

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of the whole anchor, by which the next anchor refers to it."""
        return hashlib.sha256(_encode_canonically(self.model_dump(mode="json"))).hexdigest()

    @property
    def name(self) -> str:
        """Name of the anchor's file in a folder; the order of names is the order of the log."""
        return f"anchor-{self.statement.position:012}-{self.statement.snapshot:012}.json"

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        return (json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def read(path: Path) -> Anchor:
    """Return the anchor in a file; raise `AnchorError` for a file without one, `OSError` for an unreadable file."""
    if path.exists() and not path.is_file():
        raise AnchorError("this is not a regular file", where=str(path))
    with path.open("rb") as file:
        data = file.read(SIZE_LIMIT_BYTES + 1)
    if len(data) > SIZE_LIMIT_BYTES:
        raise AnchorError(f"this is not an anchor: it has more than {SIZE_LIMIT_BYTES >> 20} MiB", where=str(path))
    return Anchor.parse(data, where=str(path))


def _encode_canonically(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
