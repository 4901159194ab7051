"""The door: the sign-in form, which takes a token and begins a session, and signing out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from trueup.workbench.access.actions import ActionLog
from trueup.workbench.access.sessions import Session, Sessions
from trueup.workbench.access.users import Users

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
MOST_BODY_BYTES = 4_096
COOKIE, SECURE_COOKIE = "trueup_session", "__Host-trueup_session"

_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass
class Door:
    """Signs people in and out. After a wrong token the next attempt from anywhere is delayed, so that guessing is slow."""

    users: Users
    sessions: Sessions
    actions: ActionLog
    secure: bool = False
    wait_s: float = 1.0
    _one_failure: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def cookie(self) -> str:
        """Return the name of the cookie; over TLS its prefix makes the browser bind it to this host."""
        return SECURE_COOKIE if self.secure else COOKIE

    def key_of(self, cookies: Mapping[str, str]) -> str:
        """Return the key of the session in a request's cookies."""
        return cookies.get(self.cookie, "")

    async def bearer(self, headers: Mapping[str, str]) -> Session | None:
        """Return the session of a program that sends its token in the request (`Authorization: Bearer TOKEN`)."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user = self.users.holder_of(token.strip())
        if user is None:
            await self._refuse_token()
            return None
        return self.sessions.once(user)

    async def answer(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send, key: str) -> None:
        """Answer a request to sign in or out."""
        form = parse_qs(await _read_body(receive)) if scope["method"] == "POST" else {}
        target = _own_path((form.get("to") or parse_qs(scope["query_string"].decode("latin-1")).get("to") or ["/"])[0])
        if scope["path"] == SIGN_OUT and scope["method"] == "POST":
            session = self.sessions.end(key)
            self.actions.append(session.user if session else None, "sign out")
            await _send_redirect(send, SIGN_IN, self._format_cookie("", "; Max-Age=0"))
        elif scope["method"] == "POST":
            await self._sign_in((form.get("token") or [""])[0].strip(), target, send)
        elif self.sessions.of(key) is not None:
            await _send_redirect(send, target)
        else:
            await _send_page(send, target)

    async def _sign_in(self, token: str, target: str, send: _Send) -> None:
        user = self.users.holder_of(token)
        if user is None:
            await self._refuse_token()
            await _send_page(send, target, failed=True)
            return
        self.actions.append(user, "sign in")
        await _send_redirect(send, target, self._format_cookie(self.sessions.begin(user)))

    def _format_cookie(self, value: str, more: str = "") -> str:
        secure = "; Secure" if self.secure else ""
        return f"{self.cookie}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}"

    async def _refuse_token(self) -> None:
        """Delay the answer to a wrong token, one after another, and log it."""
        async with self._one_failure:
            await asyncio.sleep(self.wait_s)
        self.actions.append(None, "sign in refused")


def _own_path(text: str) -> str:
    """Return a path on this site; a text that a browser could read as another site becomes the first page."""
    harmless = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text
    return text if harmless else "/"


async def _read_body(receive: _Receive) -> str:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            return ""
        if not message.get("more_body"):
            return body.decode("utf-8", "replace")


async def _send_page(send: _Send, target: str, *, failed: bool = False) -> None:
    text = files("trueup.workbench").joinpath("static/sign_in.html").read_text("utf-8")
    message = "This token is unknown. Check it, or ask the person who runs this page." if failed else ""
    text = text.replace("{{target}}", escape(target)).replace("{{message}}", escape(message))
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 401 if failed else 200, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def _send_redirect(send: _Send, target: str, cookie: str | None = None) -> None:
    headers = [(b"location", target.encode()), (b"cache-control", b"no-store")]
    headers += [(b"set-cookie", cookie.encode())] if cookie is not None else []
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
