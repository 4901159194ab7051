"""The gate: pure ASGI middleware in front of every request and every websocket.

Starlette's HTTP middleware does not handle websockets, over which NiceGUI sends each click and each row. This middleware does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from starlette.requests import cookie_parser

from trueup.workbench.access.actions import ActionLog
from trueup.workbench.access.door import SIGN_IN, SIGN_OUT, Door
from trueup.workbench.access.sessions import Session, Sessions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SESSION_KEY = "trueup.session"
"""The key of a scope under which pages find the session."""
_POLICY_VIOLATION = 1008
_POLLED = "/_nicegui_ws/"
"""Requests that an open page makes by itself where a proxy lets no websocket through: no activity of a person."""


@dataclass(frozen=True)
class Gate:
    """ASGI application that lets signed-in requests for a known host through to `app`."""

    app: App
    door: Door
    sessions: Sessions
    actions: ActionLog
    names: frozenset[str]
    """Host names by which the page may be reached; another name belongs to another site that points at this address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on with its session."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._pass_websocket(scope, receive, send)
        else:
            await self._pass_http(scope, receive, _with_headers(send, secure=scope.get("scheme") == "https"))

    async def _pass_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _decode_headers(scope)
        if not self._is_known_host(headers) or not _is_same_origin(headers):
            await _answer(send, 403, "This host name or origin is not that of the page.")
            return
        key = self.door.key_of(_parse_cookies(headers))
        if scope["path"] in (SIGN_IN, SIGN_OUT):
            await self.door.answer(scope, receive, send, key)
            return
        session = self.sessions.of(key) or await self.door.bearer(headers)
        if session is None:
            await self._refuse(scope, headers, send)
            return
        if not scope["path"].startswith(_POLLED):
            session.touch()
        scope[SESSION_KEY] = session
        await self.app(scope, receive, send)

    async def _pass_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _decode_headers(scope)
        known = self._is_known_host(headers) and _is_same_origin(headers)
        session = self.sessions.of(self.door.key_of(_parse_cookies(headers))) if known else None
        if session is None:
            await receive()
            # Closing before accepting answers the handshake with 403.
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        scope[SESSION_KEY] = session
        await self.app(scope, _receive_while_active(session, receive), send)

    async def _refuse(self, scope: Scope, headers: dict[str, str], send: Send) -> None:
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            target = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            await _answer(send, 303, "Sign in first.", [(b"location", f"{SIGN_IN}?to={quote(target, safe='')}".encode())])
        else:
            await _answer(send, 401, "Sign in first.")

    def _is_known_host(self, headers: dict[str, str]) -> bool:
        address = _split_address(f"//{headers.get('host', '')}")
        return address is not None and address.hostname in self.names


def _receive_while_active(session: Session, receive: Receive) -> Receive:
    """Return a `receive` that reports a disconnection once the session has ended: no later message reaches the page."""

    async def receive_active() -> Message:
        message = await receive()
        if message["type"] == "websocket.receive" and not session.is_active:
            return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION}
        return message

    return receive_active


def _decode_headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _parse_cookies(headers: dict[str, str]) -> dict[str, str]:
    # Python's own parser reads none of the cookies if one of them, perhaps of another program on this host, is unusual.
    return cookie_parser(headers.get("cookie", ""))


def _is_same_origin(headers: dict[str, str]) -> bool:
    """Return whether a request comes from this page: a browser names the origin of requests that another site makes."""
    origin = headers.get("origin")
    cross_site = headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate"
    address = None if origin is None else _split_address(origin)
    return not cross_site and (origin is None or (address is not None and address.netloc == headers.get("host")))


def _split_address(text: str) -> SplitResult | None:
    """Return the parts of an address; None for a text that is none, such as `//[`."""
    try:
        address = urlsplit(text)
        address.hostname  # noqa: B018 - raises ValueError as well
    except ValueError:
        return None
    return address


CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        # Vue compiles templates in the browser, which needs eval; NiceGUI writes inline scripts. No script of another origin runs.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'none'",
        "object-src 'none'",
        "frame-ancestors 'none'",
    )
)
"""The content security policy: nothing is loaded from, sent to or framed by another origin."""
_HEADERS = [
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: browsers would then name no origin when the form of the door is sent.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
_TLS_ONLY = [(b"strict-transport-security", b"max-age=31536000")]


def _with_headers(send: Send, *, secure: bool) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS, *(_TLS_ONLY if secure else [])]
        await send(message)

    return send_with_headers


async def _answer(send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    content = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": content})
    await send({"type": "http.response.body", "body": text.encode()})
