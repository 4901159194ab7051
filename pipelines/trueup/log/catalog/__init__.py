"""The catalog of the lake: where it is, how DuckDB attaches it, and the instances that processes share."""
