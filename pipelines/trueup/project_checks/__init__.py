"""Project checks: find problems before a run, by rules over a project's settings, its files and a summary of its log."""
