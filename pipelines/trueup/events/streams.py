"""Names of the two kinds of event streams, without their column types."""

MOVEMENTS = ("usage", "charge")
"""Streams of events at a point in time: reconciled with each other, partitioned by day, each source with a frontier."""

STATES = ("subscriber", "tariff")
"""Streams of states that are valid over a period: few rows, no day, no frontier."""
