"""The event log: append-only tables in a DuckLake lake, in numbered positions."""
