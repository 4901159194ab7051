"""Sessions: signed-in users, each identified by a random key in a cookie until the session ends."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trueup.clock import Clock
from trueup.config import Role
from trueup.errors import TrueupError
from trueup.workbench.access.users import User

MOST_SESSIONS = 10_000
"""Maximum number of sessions; beyond it, the oldest session ends when another begins."""


class NotAllowedError(TrueupError):
    """An action that the user's role, or the end of the session, forbids."""


@dataclass
class Session:
    """One signed-in browser: its user, and the moments at which it ends."""

    user: User
    ends_at: datetime | None
    idle_after: timedelta | None
    clock: Clock = field(repr=False)
    seen_at: datetime
    ended: bool = False

    @property
    def is_active(self) -> bool:
        """Return whether the session is still valid."""
        now = self.clock()
        over = self.ends_at is not None and now >= self.ends_at
        idle = self.idle_after is not None and now >= self.seen_at + self.idle_after
        return not (self.ended or over or idle)

    def touch(self) -> None:
        """Note activity of the person, who opens a page or acts on one."""
        self.seen_at = self.clock()

    def require(self, role: Role) -> User:
        """Return the user of an active session with this role, and note the activity; raise `NotAllowedError` otherwise."""
        if not self.is_active:
            raise NotAllowedError("the session has ended", todo="sign in again")
        if not self.user.may(role):
            raise NotAllowedError(f"the role {self.user.role} may not do this", todo=f"ask for the role {role}")
        self.touch()
        return self.user


class Sessions:
    """The sessions of one server, which are only in memory and end with it."""

    def __init__(self, clock: Clock, *, lasts: timedelta, idle: timedelta, local: User | None = None) -> None:
        self._clock, self._lasts, self._idle = clock, lasts, idle
        self._sessions: dict[bytes, Session] = {}
        self._lock = threading.Lock()
        self._local = Session(local, None, None, clock, clock()) if local else None

    def begin(self, user: User) -> str:
        """Begin a session and return the key for its cookie."""
        key, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._sessions = {digest: session for digest, session in self._sessions.items() if session.is_active}
            if len(self._sessions) >= MOST_SESSIONS:
                self._sessions.pop(next(iter(self._sessions))).ended = True
            self._sessions[_hash_key(key)] = Session(user, now + self._lasts, self._idle, self._clock, now)
        return key

    def once(self, user: User) -> Session:
        """Return a session that no cookie can name, for one request of a program."""
        return Session(user, None, None, self._clock, self._clock())

    def of(self, key: str) -> Session | None:
        """Return the active session of a cookie's key; without tokens everyone has the local session."""
        if self._local is not None:
            return self._local
        session = self._sessions.get(_hash_key(key))
        return session if session is not None and session.is_active else None

    def end(self, key: str) -> Session | None:
        """End the session of a cookie's key, and return it."""
        with self._lock:
            session = self._sessions.pop(_hash_key(key), None)
        if session is not None:
            session.ended = True
        return session


def _hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
