"""The type of the callbacks to which long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

LogFn = Callable[[str], None]
"""A function that takes one line of progress."""
