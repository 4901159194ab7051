"""`[anchor]`: signed statements of the log's newest position and hashes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from trueup.config.values import Duration, Flag, Table
from trueup.units import MICROS


class AnchorConfig(Table):
    """`[anchor]`: the key that signs anchors, and where they are written.

    `to` is a folder, or a file that ends in `.json`. `to_command` is a program with its arguments; it reads each anchor on its
    standard input and may take `timeout`. `public_keys` are further trusted keys, such as the previous one. With `run`,
    `trueup run` writes an anchor at its end.
    """

    key: Annotated[str, Field(min_length=1)] | None = None
    """The file of the private key that signs anchors."""
    public_keys: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Files of further public keys whose anchors are trusted."""
    to: Annotated[str, Field(min_length=1)] = "anchors"
    """A folder, or a file that ends in `.json`, to which anchors are written."""
    to_command: Annotated[str, Field(min_length=1)] | None = None
    """A program with its arguments that reads each anchor on its standard input."""
    timeout: Annotated[Duration, Field(gt=0)] = 60 * MICROS
    """The time limit of the program."""
    run: Flag = False
    """Whether `trueup run` writes an anchor at its end."""

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.run and self.key is None:
            raise ValueError("`run` needs `key`, which signs the anchors")
        return self
