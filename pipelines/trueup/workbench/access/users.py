"""Users of the page: their roles, and the tokens by which they sign in."""

from __future__ import annotations

import getpass
import hashlib
import hmac
from dataclasses import dataclass

from trueup.config import LOOPBACK_HOSTS, Role, WorkbenchConfig, expand
from trueup.errors import ConfigError
from trueup.secret import remember

SHORTEST_TOKEN = 24
"""Minimum number of characters of a token, so that guessing it is hopeless."""
_RANKS: dict[Role, int] = {"reader": 0, "analyst": 1, "admin": 2}


@dataclass(frozen=True)
class User:
    """A person, with the name shown in decisions, and the role that limits the permitted actions."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Return whether this person's role includes `role`."""
        return _RANKS[self.role] >= _RANKS[role]


@dataclass(frozen=True)
class Users:
    """Everyone who may sign in, by the hash of the token; `local` is the user where no token is needed."""

    by_hash: dict[bytes, User]
    local: User | None

    def holder_of(self, token: str) -> User | None:
        """Return the user of a token, None for an unknown one; every token is compared, in constant time."""
        digest, found = _hash_token(token), None
        for known, user in self.by_hash.items():
            if hmac.compare_digest(known, digest):
                found = user
        return found


def users_of(config: WorkbenchConfig, host: str) -> Users:
    """Return the users that may sign in at `host`; raise `ConfigError` for a short or repeated token, or access without tokens."""
    by_hash: dict[bytes, User] = {}
    for user in config.user:
        token = expand(user.token)
        remember(token)
        where = f"[[workbench.user]] {user.name}, token"
        if len(token) < SHORTEST_TOKEN:
            raise ConfigError(
                f"the token has fewer than {SHORTEST_TOKEN} characters", where=where, todo="make one with `openssl rand -hex 24`"
            )
        if _hash_token(token) in by_hash:
            raise ConfigError("the token is that of another user", where=where, todo="give each user a token of their own")
        by_hash[_hash_token(token)] = User(user.name, user.role)
    if by_hash:
        return Users(by_hash, None)
    if host not in LOOPBACK_HOSTS:
        raise ConfigError(
            f"{host} lets other machines in, and no user has a token",
            where="[workbench]",
            todo="name users with [[workbench.user]]",
        )
    return Users({}, User(_name_of_process_owner(), "admin"))


def _name_of_process_owner() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a user number without a name.
        return "local"


def _hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
