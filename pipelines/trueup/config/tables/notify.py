"""`[notify]`: where new and changed cases are reported."""

from __future__ import annotations

from trueup.config.values import Flag, Table, Text, Tolerance
from trueup.secret import Place


class NotifyConfig(Table):
    """`[notify]`: the cases that are reported, and to whom."""

    to: tuple[Place, ...] = ()
    """Addresses of Apprise, such as `mailto://…`, `slack://…` or `json://…`; `${NAME}` takes the environment's value."""
    file: Text | None = None
    """A file to which each message is appended as a line of JSON, for systems downstream."""
    above: Tolerance = 0
    """The undecided money (for fraud: the money at risk) from which on a case is reported."""
    run: Flag = False
    """Whether `trueup run` reports cases at its end."""
