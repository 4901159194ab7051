"""`[rating]`: record attributes that prices depend on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trueup.config.values import Duration, Table
from trueup.units import MICROS

Attribute = Annotated[str, Field(pattern=r"^[^\"'$]+$")]


class RatingConfig(Table):
    """`[rating]`: the record attributes that hold zone and trunk, and how long systems may disagree on a subscription."""

    zone: Attribute | None = None
    """The record attribute that holds the zone."""
    trunk: Attribute | None = None
    """The record attribute that holds the trunk."""
    provisioning_grace: Duration = 86_400 * MICROS
    """How long network and billing may differ on a subscription."""
