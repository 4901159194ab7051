"""PostgreSQL connection strings, split into public values and credentials."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import SecretStr

from trueup.errors import ConfigError, LogError
from trueup.secret import remember

WHERE = "[lake] catalog"
_FORM = "write host=… dbname=… user=… password='…', with a backslash before ' and \\, or postgresql://user:password@host/dbname"


@dataclass(frozen=True)
class Dsn:
    """A connection string: the public part as key=value pairs, and each credential by its keyword."""

    public: str
    credentials: dict[str, SecretStr]
    public_values: frozenset[str]
    """The values of the public part."""

    @property
    def password(self) -> SecretStr | None:
        """The password; None where PostgreSQL finds it by itself (a password file, the system's user)."""
        return self.credentials.get("password")

    @property
    def without_password(self) -> str:
        """The connection string without the password; credentials of other kinds are in it."""
        from psycopg.conninfo import make_conninfo

        others = {keyword: value.get_secret_value() for keyword, value in self.credentials.items() if keyword != "password"}
        return make_conninfo(self.public, **others)

    @property
    def name(self) -> str:
        """A name for this connection that reveals no credential."""
        return f"trueup_{hashlib.sha256(self.public.encode()).hexdigest()[:16]}"


def parse_dsn(text: str) -> Dsn:
    """Split a connection string, in either form that PostgreSQL accepts, and mask its credentials in all later output.

    libpq decides which parts are credentials. Raises `ConfigError` for a malformed text; the message quotes none of it.
    """
    try:
        from psycopg import Error, conninfo, pq
    except ModuleNotFoundError:
        raise LogError("a PostgreSQL catalog needs the package psycopg", todo="install trueup[postgres]") from None
    try:
        options = {option.keyword.decode(): option for option in pq.Conninfo.parse(text.encode()) if option.val is not None}
    except (Error, UnicodeError):
        raise _malformed_error() from None
    values = {keyword: (option.val or b"").decode() for keyword, option in options.items()}
    if "://" in text and not _is_sound(text, values):
        raise _malformed_error("; in a URI, write a special character of user or password as %XX, such as @ as %40")
    secret = {keyword for keyword, option in options.items() if option.dispchar == b"*"}
    public = {keyword: value for keyword, value in values.items() if keyword not in secret}
    for keyword in secret:
        # A password that equals the user or the database occurs in every text, and is not masked.
        if values[keyword] not in public.values():
            remember(values[keyword])
    credentials = {keyword: SecretStr(values[keyword]) for keyword in sorted(secret)}
    return Dsn(conninfo.make_conninfo("", **public), credentials, frozenset(public.values()))


def _is_sound(text: str, values: dict[str, str]) -> bool:
    """Return whether the @ of a URI ends its user and password; otherwise libpq takes part of the password for another part."""
    return text.count("@") == 0 or (text.count("@") == 1 and bool(values.keys() & {"user", "password"}))


def _malformed_error(advice: str = "") -> ConfigError:
    return ConfigError("the connection string of PostgreSQL is malformed", where=WHERE, todo=_FORM + advice)
