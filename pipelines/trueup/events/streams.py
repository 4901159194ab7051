"""The two kinds of event streams, for those who need the names but no column types."""

MOVEMENTS = ("usage", "charge")
"""The streams of what happened at a time: reconciled with each other, partitioned by day, each source with a frontier."""

STATES = ("subscriber", "tariff")
"""The streams of what is valid from one time to another: few rows, no day, no frontier."""
