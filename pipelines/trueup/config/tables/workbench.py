"""`[workbench]`: where the web page listens, and who may use it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trueup.config.values import Duration, Table, Text, Whole
from trueup.units import MICROS

Role = Literal["reader", "analyst", "admin"]

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
"""Host names that only this machine reaches; on them the page needs no token."""


class WorkbenchUser(Table):
    """`[[workbench.user]]`: a person who may use the page, and the variable of the environment that holds the token."""

    name: Text
    """The name shown in decisions and in the log of actions."""
    role: Role
    """What the person may do: a `reader` sees pages, an `analyst` also decides and queries, an `admin` also reads the actions."""
    token: Annotated[str, Field(pattern=r"^\$\{\w+\}$", examples=["${TRUEUP_TOKEN_ANNA}"])]
    """The variable that holds the token, such as `${TRUEUP_TOKEN_ANNA}`: the file contains no token."""


class WorkbenchConfig(Table):
    """`[workbench]`: the listener of `trueup workbench`, its sessions and its users.

    Where `[[workbench.user]]` names a user, every request needs a token, on loopback too. `names` are the host names, in addition
    to `host`, by which browsers reach the page; a request for another name is refused.
    """

    host: Text = "127.0.0.1"
    """The address to listen on; any but loopback needs users."""
    port: Annotated[Whole, Field(ge=0, le=65_535)] = 8420
    """The port to listen on; 0 takes a free one."""
    names: tuple[Text, ...] = ()
    """Further host names by which browsers reach the page."""
    session: Annotated[Duration, Field(ge=60 * MICROS)] = 12 * 3_600 * MICROS
    """How long a person stays signed in."""
    idle: Annotated[Duration, Field(ge=60 * MICROS)] = 2 * 3_600 * MICROS
    """How long a person stays signed in without an action."""
    certificate: Text | None = None
    """The file of the TLS certificate; without it the page uses HTTP without encryption."""
    key: Text | None = None
    """The file of the certificate's private key."""
    user: tuple[WorkbenchUser, ...] = ()
    """Who may use the page."""

    @model_validator(mode="after")
    def _check_across(self) -> Self:
        names = [user.name for user in self.user]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ValueError(f"two users are named {repeated!r}")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` belong together")
        if self.host not in LOOPBACK_HOSTS and not self.user:
            raise ValueError(f"`host` {self.host!r} lets other machines in: name the users of the page with [[workbench.user]]")
        return self
