"""What the operators of the continuous job have in common: a lake of their own, for as long as they run."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from pyflink.common import Types

from trueup.config import Project
from trueup.jobs.options import StreamOptions
from trueup.log.lake import Lake

BYTES, TEXT, NUMBER, POSITION = Types.PRIMITIVE_ARRAY(Types.BYTE()), Types.STRING(), Types.INT(), Types.LONG()


class OnLake:
    """An operator with the options of the job; what it opens is closed with it."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options

    def opened(self, *, read_only: bool = True) -> Lake:
        """The lake, open until the operator ends."""
        self._open = ExitStack()
        project = Project.load(self._options.project)
        return self._open.enter_context(Lake.open(project, read_only=read_only, clock=self._options.clock))

    def close(self) -> None:
        """Closes the lake."""
        self._open.close()


def one(_: Any) -> int:
    """The key of whatever one worker does for all."""
    return 0
