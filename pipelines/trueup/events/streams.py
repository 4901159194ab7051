"""Names of the kinds of event streams, without their column types."""

MOVEMENTS = ("usage", "charge")
"""Streams of events at a point in time: reconciled with each other, partitioned by day, each source with a frontier."""

STAGE = "stage"
"""Stream of records that a system between switch and bill passed on: compared along a chain, never reconciled."""

INVOICE = "invoice"
"""Stream of invoices and credit notes: compared with the charges that name them, never reconciled with usage."""

DATED = (*MOVEMENTS, STAGE, INVOICE)
"""Streams whose rows have a day."""

STATES = ("subscriber", "tariff")
"""Streams of states that are valid over a period: few rows, no day, no frontier."""
