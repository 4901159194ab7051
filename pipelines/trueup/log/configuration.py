"""Configurations: settings on which rows of the log depend, recorded once by a hash of their content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Configuration:
    """Settings that decide the content of rows of the log, as canonical JSON; the id is a hash of the content."""

    kind: str
    text: str

    @classmethod
    def of(cls, kind: str, content: object) -> Configuration:
        """Return the configuration of a content of JSON values."""
        return cls(kind, json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False))

    @cached_property
    def id(self) -> str:
        """The first 32 hex digits of SHA-256 over kind and content."""
        return hashlib.sha256(f"1;configuration;{self.kind};{self.text}".encode()).hexdigest()[:32]
