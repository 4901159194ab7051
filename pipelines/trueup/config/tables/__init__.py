"""The tables of `trueup.toml`, one file per table."""
