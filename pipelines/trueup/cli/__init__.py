"""The command line: `trueup COMMAND [--project DIR]`. Each command calls the packages and prints their results."""

from trueup.cli.main import app, main

__all__ = ["app", "main"]
