"""`[lake]`: the location and partitions of the event log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trueup.config.values import NonEmptyPlace, Table, Whole
from trueup.secret import Place

BucketBy = Literal["subscriber", "account", "session_key"]


class LakeConfig(Table):
    """`[lake]`: the catalog, the data and the buckets of the event log."""

    catalog: NonEmptyPlace = Place("sqlite:lake/catalog.sqlite")
    """The catalog: `sqlite:PATH`, or `postgres:` with connection parameters."""
    data: NonEmptyPlace = Place("lake/data")
    """The folder or object store of the data."""
    buckets: Annotated[Whole, Field(ge=1, le=32_767)] = 64
    """The number of partitions; fixed when the lake is created."""
    bucket_by: BucketBy = "subscriber"
    """The column by which usage and charges are partitioned; fixed when the lake is created."""
