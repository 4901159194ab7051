"""Report new and changed cases, and requests for actions, once to each channel."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import Project, expand
from trueup.errors import TrueupError
from trueup.investigation.case_view import title_of
from trueup.log.catalog.catalogs import LOCK_WAIT_S, catalog_of
from trueup.log.lake import Lake
from trueup.printable import visible
from trueup.secret import remember
from trueup.warehouse.decide import prepare
from trueup.warehouse.query import Warehouse
from trueup.warehouse.text import as_json

_IDENTITY = ("case_id", "type", "status", "size", "decision_id")
_NOTICE: dict[str, pl.DataType | type[pl.DataType]] = {
    "event_id": pl.Binary, "subject": pl.Binary, "channel": pl.String, "content": pl.String, "sent_at": pl.Datetime("us", "UTC"),
}  # fmt: skip


@dataclass(frozen=True)
class Channel:
    """A way to send messages: its name in the log, and the function that sends a message or raises `TrueupError`."""

    name: str
    send: Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Notified:
    """The result of a run: the numbers of messages sent now and sent before, and the errors of channels."""

    sent: int
    known: int
    errors: tuple[str, ...]


def notify(project: Project, *, clock: Clock = system_clock, dry_run: bool = False) -> Notified:
    """Send messages that have not been sent; an event of the log records each message, so that a second run sends nothing.

    An event is written after its message was sent. After a crash between the two, the message is sent again with the same id. The
    next run tries a failed channel again; meanwhile the other channels are served.
    """
    channels = list(channels_of(project))
    if not channels:
        raise TrueupError("no channel is configured", where="[notify]", todo="set `to` or `file`")
    with Lake.open(project, clock=clock) as lake, catalog_of(project).lock("notify", LOCK_WAIT_S):
        prepare(lake)
        now = clock()
        values = {"above": project.config.notify.above, "now": now}
        messages = [message_of(row) for row in Warehouse(lake, None).rows("queries/cases/unsent", values)]
        known = {bytes(row[0]) for row in lake.connection.execute("SELECT event_id FROM lake.events.notice").fetchall()}
        sent, errors = 0, dict[str, str]()
        for channel in channels:
            for message in messages:
                event_id = notice_id(message, channel.name)
                if event_id in known or channel.name in errors:
                    continue
                try:
                    if not dry_run:
                        channel.send(message)
                except TrueupError as error:
                    errors[channel.name] = str(error)
                    continue
                sent += 1
                if not dry_run:
                    _remember(lake, event_id, message, channel.name, clock)
    return Notified(sent, sum(notice_id(m, c.name) in known for m in messages for c in channels), tuple(errors.values()))


def _remember(lake: Lake, event_id: bytes, message: dict[str, Any], channel: str, clock: Clock) -> None:
    row = {
        "event_id": event_id, "subject": bytes.fromhex(message["case_id"]), "channel": channel, "content": as_json(message),
        "sent_at": clock(),
    }  # fmt: skip
    lake.commit(lambda transaction: transaction.append("notice", pl.DataFrame([row], schema=_NOTICE)))


def message_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return a message: its `id`, which stays the same however often it is sent, a `title`, and the facts."""
    identity = json.dumps([str(row[name]) for name in _IDENTITY])
    title = title_of(row) if row["type"] == "case" else f"{row['action']}: {title_of(row)}"
    return {"id": hashlib.sha256(identity.encode()).hexdigest()[:32], "title": visible(title), **row}


def notice_id(message: dict[str, Any], channel: str) -> bytes:
    """Return the id of a message on a channel."""
    return hashlib.sha256(f"1;notice;{message['id']};{channel}".encode()).digest()[:16]


def channels_of(project: Project) -> Iterator[Channel]:
    """Yield the channels that the settings name; raise `TrueupError` for an address that Apprise does not know."""
    settings = project.config.notify
    if settings.file is not None:
        path = project.resolve(settings.file)
        yield Channel("file", lambda message: append_line(path, message))
    for place in settings.to:
        address = expand(place.get_secret_value())
        remember(address)
        yield _open_apprise_channel(address)


def append_line(path: Path, message: dict[str, Any]) -> None:
    """Append a message as one line of JSON, unless a line of the file has its id; raise `TrueupError` where it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file:
            file.seek(0)
            if any(f'"id": "{message["id"]}"' in line for line in file):
                return
            file.write(as_json(message) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or error
        raise TrueupError(f"the message cannot be written: {reason}", where=str(path), todo="check [notify] file") from None


def _open_apprise_channel(address: str) -> Channel:
    import apprise

    scheme = address.partition("://")[0]
    sender = apprise.Apprise()
    if not sender.add(address):
        raise TrueupError(f"Apprise does not know the address {scheme}://…", where="[notify] to", todo="see the list of Apprise")
    name = f"{scheme}:{hashlib.sha256(address.encode()).hexdigest()[:16]}"

    def send(message: dict[str, Any]) -> None:
        if not sender.notify(title=message["title"], body=body_of(message), body_format=apprise.NotifyFormat.TEXT):
            raise TrueupError(
                "the message was not accepted", where=f"[notify] to, {scheme}://…", todo="check the address and the network"
            )

    return Channel(name, send)


def body_of(message: dict[str, Any]) -> str:
    """Return the text of a message: one fact a line, harmless on any display."""
    names = (
        "summary",
        "case_id",
        "status",
        "open_impact",
        "currency",
        "party",
        "owner",
        "due_on",
        "action",
        "reason",
        "decided_by",
        "id",
    )
    return "\n".join(f"{name.replace('_', ' ')}: {visible(str(message[name]))}" for name in names if message.get(name) is not None)
