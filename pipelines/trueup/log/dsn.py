"""PostgreSQL's connection strings, taken apart into what may be shown and what may not."""

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
    """A connection string: the part without credentials as key=value pairs, and each credential by its keyword."""

    public: str
    credentials: dict[str, SecretStr]
    places: frozenset[str]
    """The values of the part that may be shown."""

    @property
    def password(self) -> SecretStr | None:
        """The password, None where PostgreSQL's own ways are to find it (a password file, the system's user)."""
        return self.credentials.get("password")

    @property
    def without_password(self) -> str:
        """The whole connection string but for the password: credentials of other kinds are in it."""
        from psycopg.conninfo import make_conninfo

        others = {keyword: value.get_secret_value() for keyword, value in self.credentials.items() if keyword != "password"}
        return make_conninfo(self.public, **others)

    @property
    def name(self) -> str:
        """A name for this connection that tells no credential."""
        return f"trueup_{hashlib.sha256(self.public.encode()).hexdigest()[:16]}"


def dsn_of(text: str) -> Dsn:
    """Takes a connection string apart, in either form that PostgreSQL knows, and masks its credentials from now on.

    Which parts are credentials is libpq's to say. Raises `ConfigError` for a text that is malformed; the message quotes none of it.
    """
    try:
        from psycopg import Error, conninfo, pq
    except ModuleNotFoundError:
        raise LogError("a PostgreSQL catalog needs the package psycopg", todo="install trueup[postgres]") from None
    try:
        found = {option.keyword.decode(): option for option in pq.Conninfo.parse(text.encode()) if option.val is not None}
    except (Error, UnicodeError):
        raise _malformed() from None
    values = {keyword: (option.val or b"").decode() for keyword, option in found.items()}
    if "://" in text and not _is_sound(text, values):
        raise _malformed("; in a URI, write a special character of user or password as %XX, such as @ as %40")
    secret = {keyword for keyword, option in found.items() if option.dispchar == b"*"}
    public = {keyword: value for keyword, value in values.items() if keyword not in secret}
    for keyword in secret:
        # A password that is also the user or the database is in every text, and no secret.
        if values[keyword] not in public.values():
            remember(values[keyword])
    credentials = {keyword: SecretStr(values[keyword]) for keyword in sorted(secret)}
    return Dsn(conninfo.make_conninfo("", **public), credentials, frozenset(public.values()))


def _is_sound(text: str, values: dict[str, str]) -> bool:
    """Whether an @ of a URI ends its user and password: where it does not, a piece of the password is taken for another part."""
    return text.count("@") == 0 or (text.count("@") == 1 and bool(values.keys() & {"user", "password"}))


def _malformed(advice: str = "") -> ConfigError:
    return ConfigError("the connection string of PostgreSQL is malformed", where=WHERE, todo=_FORM + advice)
