"""Doctor: whether a machine and a project can do their work, one line a check."""
