"""Keys of anchors: Ed25519 (RFC 8032), private keys as PKCS #8, public keys as SubjectPublicKeyInfo, both in PEM."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trueup.errors import ConfigError
from trueup.proof.anchors.statement import Anchor, AnchorError, Statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_SIZE_LIMIT_BYTES = 64 << 10
_MAKE_ONE = "make one with `trueup anchor --new-key PATH`"


@dataclass(frozen=True)
class NewKey:
    """A new pair of keys: its two files, and the fingerprint by which anchors refer to it."""

    private_key: str
    public_key: str
    fingerprint: str


@dataclass(frozen=True)
class SigningKey:
    """A private key; its text form is its fingerprint, never the key."""

    _key: Ed25519PrivateKey
    fingerprint: str

    def __repr__(self) -> str:
        return f"SigningKey({self.fingerprint})"

    def sign(self, statement: Statement) -> Anchor:
        """Return the statement with its signature; a statement always has the same signature."""
        return Anchor(statement=statement, signature=self._key.sign(statement.signed_bytes()).hex())

    def public(self) -> PublicKeys:
        """Return the public key of this key as a set of one trusted key."""
        return PublicKeys({self.fingerprint: self._key.public_key()})


@dataclass(frozen=True)
class PublicKeys:
    """Trusted public keys, by fingerprint."""

    by_fingerprint: dict[str, Ed25519PublicKey]

    def __or__(self, other: PublicKeys) -> PublicKeys:
        return PublicKeys(self.by_fingerprint | other.by_fingerprint)

    def check(self, anchor: Anchor, *, where: str) -> None:
        """Raise `AnchorError` where the anchor's key is not trusted, or its signature is invalid."""
        from cryptography.exceptions import InvalidSignature

        key = self.by_fingerprint.get(anchor.statement.key)
        if key is None:
            raise AnchorError(
                f"the key {anchor.statement.key[:16]}… that signed it is not among the public keys given", where=where
            )
        try:
            key.verify(bytes.fromhex(anchor.signature), anchor.statement.signed_bytes())
        except InvalidSignature:
            raise AnchorError("its signature does not match its content: it was changed after it was signed", where=where) from None


def make_key(path: Path) -> NewKey:
    """Write a new private key (readable by its owner alone) and its public key, whose name has `.pub` appended.

    Raises `ConfigError` where either file exists or cannot be written: no key is ever overwritten.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public_path = path.with_name(f"{path.name}.pub")
    if os.path.lexists(public_path):
        raise ConfigError("a file of this name exists and is not replaced", where=str(public_path), todo="name another file")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(path, private, 0o600)
    _write_new(public_path, public, 0o644)
    return NewKey(str(path), str(public_path), _hash_public_key(key.public_key()))


def read_private_key(path: Path) -> SigningKey:
    """Return a private key; raise `ConfigError` where it is unreadable, readable by others, or invalid."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read_key_file(path, "private key", is_secret=True)
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise ConfigError("the private key is encrypted", where=str(path), todo="name a key without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError("this is not a private key in PEM", where=str(path), todo=_MAKE_ONE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("this private key is not of the kind Ed25519", where=str(path), todo=_MAKE_ONE)
    return SigningKey(key, _hash_public_key(key.public_key()))


def read_public_keys(paths: Iterable[Path]) -> PublicKeys:
    """Return public keys; raise `ConfigError` for a file that is unreadable or has no public key."""
    return PublicKeys({_hash_public_key(key): key for key in map(_read_public_key, paths)})


def _read_public_key(path: Path) -> Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read_key_file(path, "public key"))
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError("this is not a public key in PEM", where=str(path), todo="name the file that ends in .pub") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError("this public key is not of the kind Ed25519", where=str(path), todo="name the file that ends in .pub")
    return key


def _hash_public_key(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of the 32 bytes of a public key, in hexadecimal."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _read_key_file(path: Path, what: str, *, is_secret: bool = False) -> bytes:
    try:
        file_stat = path.stat()
        if not stat.S_ISREG(file_stat.st_mode):
            raise ConfigError(f"the {what} is not a regular file", where=str(path), todo="name the file itself")
        mode = stat.S_IMODE(file_stat.st_mode)
        if is_secret and mode & 0o077:
            raise ConfigError(
                f"users other than its owner can use the private key (mode {mode:04o})", where=str(path),
                todo=f"run `chmod 600 {path}`, and make a new key if it may have been read",
            )  # fmt: skip
        with path.open("rb") as file:
            return file.read(_SIZE_LIMIT_BYTES)
    except OSError as error:
        todo = _MAKE_ONE if isinstance(error, FileNotFoundError) else "check its path and its rights"
        raise ConfigError(f"the {what} cannot be read: {error.strerror or error}", where=str(path), todo=todo) from None


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError:
        raise ConfigError("a file of this name exists and is not replaced", where=str(path), todo="name another file") from None
    except OSError as error:
        raise ConfigError(
            f"the key cannot be written: {error.strerror or error}", where=str(path), todo="name another place"
        ) from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)
