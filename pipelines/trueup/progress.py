"""The type of the callbacks that long work reports its progress to."""

from __future__ import annotations

from collections.abc import Callable

LogFn = Callable[[str], None]
"""Takes one line of progress, for the person who waits."""
