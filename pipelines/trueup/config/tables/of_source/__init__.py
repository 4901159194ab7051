"""Tables of `trueup.toml` within a `[[source]]`."""
