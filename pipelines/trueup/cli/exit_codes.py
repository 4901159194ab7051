"""Exit statuses of all commands."""

DONE, EXCEEDED, FAILED = 0, 1, 2
"""Done; a `--check` threshold was exceeded, or `verify` found a fault; the command could not do its work."""
