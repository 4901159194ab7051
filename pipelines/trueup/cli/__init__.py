"""The command line: `trueup COMMAND [--project DIR]`. Each command does its work through the packages and tells the result."""

from trueup.cli.main import app, main

__all__ = ["app", "main"]
