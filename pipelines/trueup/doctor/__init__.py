"""Doctor: checks whether a machine and a project are ready for work, one line a check."""
