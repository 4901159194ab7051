"""The workbench as one value: the objects that every page needs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from trueup.clock import Clock
from trueup.config import Project
from trueup.workbench.access.actions import ActionLog
from trueup.workbench.access.gate import SESSION_KEY
from trueup.workbench.access.sessions import Session, Sessions
from trueup.workbench.access.users import Users
from trueup.workbench.reading.browser_queries import BrowserQueries
from trueup.workbench.reading.questions import Questions
from trueup.workbench.reading.view_copy import ViewCopy

MOST_WAIT_S = 30.0


@dataclass(frozen=True)
class Workbench:
    """A project with everything that its pages share."""

    project: Project
    clock: Clock
    users: Users
    sessions: Sessions
    actions: ActionLog
    copy: ViewCopy
    questions: Questions
    browser_queries: BrowserQueries

    def session_of(self, request: Request) -> Session:
        """Return the session that the gate has found for a request."""
        session: Session = request.scope[SESSION_KEY]
        return session

    def now(self) -> datetime:
        """Return the injected clock's time in UTC."""
        return self.clock().astimezone(UTC)

    async def wait_for_newer_copy(self) -> None:
        """Wait until the copy of the views shows the lake as it is now, but no longer than a person waits.

        A copy of very many findings takes longer; it continues, and the page offers it once it is complete.
        """
        await asyncio.wait({asyncio.create_task(asyncio.to_thread(self.copy.refresh))}, timeout=MOST_WAIT_S)

    def close(self) -> None:
        """Delete the copies of the views."""
        self.browser_queries.close()
        self.copy.close()


def workbench_of(project: Project, users: Users, clock: Clock) -> Workbench:
    """Return the workbench of a project."""
    config = project.config.workbench
    copy = ViewCopy(project, clock)
    lasts, idle = timedelta(microseconds=config.session), timedelta(microseconds=config.idle)
    return Workbench(
        project=project,
        clock=clock,
        users=users,
        sessions=Sessions(clock, lasts=lasts, idle=idle, local=users.local),
        actions=ActionLog(project.directory, clock),
        copy=copy,
        questions=Questions(project, copy),
        browser_queries=BrowserQueries(copy, project.config.sql),
    )
