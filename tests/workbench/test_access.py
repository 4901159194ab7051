"""Access: every route and the websocket without a token, with a reader's token, from another site, and after the session's end."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from trueup.config import parse
from trueup.errors import ConfigError
from trueup.warehouse.decide import Decision, record
from trueup.warehouse.maintain import maintain
from trueup.warehouse.query import with_retries
from trueup.workbench.access.actions import ActionLog
from trueup.workbench.access.door import Door, _own_path
from trueup.workbench.access.gate import Gate, _receive_while_active
from trueup.workbench.access.sessions import NotAllowedError, Sessions
from trueup.workbench.access.users import User, Users, users_of
from trueup.workbench.decisions import CHOICES, Form, decide_all

ROUTES = (
    "/", "/cases", "/case/00", "/finding/00", "/fraud", "/explore", "/quality", "/model", "/bill", "/sql", "/sql?view=actions",
    "/static/workbench.js", "/static/workbench.css", "/modules/mosaic.js", "/data/query", "/_nicegui/nothing", "/docs", "/openapi.json",
)  # fmt: skip
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"


def request(served: Any, path: str, method: str = "GET", body: str | None = None, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(served.host, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.text = answer.read().decode("utf-8", "replace")  # type: ignore[attr-defined]
    connection.close()
    return answer


def signed_in(served: Any, role: str) -> str:
    form = urlencode({"token": served.tokens[role], "to": "/cases"})
    answer = request(served, "/sign-in", "POST", form, Content_Type="application/x-www-form-urlencoded")
    assert (answer.status, answer.getheader("location")) == (303, "/cases")
    cookie = answer.getheader("set-cookie") or ""
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    return cookie.partition(";")[0]


def handshake(served: Any, **headers: str) -> int:
    host, _, port = served.host.partition(":")
    lines = {
        "Host": served.host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), **headers,
    }  # fmt: skip
    with socket.create_connection((host, int(port)), 30) as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.sendall(f"GET {SOCKET} HTTP/1.1\r\n{head}\r\n".encode())
        return int(connection.recv(4096).split()[1])


def test_without_a_token_no_route_and_no_websocket_answers(served: Any) -> None:
    assert {path: request(served, path).status for path in ROUTES} == dict.fromkeys(ROUTES, 401)
    assert {path: request(served, path, Accept="text/html").getheader("location") for path in ("/", "/cases?kind=unbilled")} == {
        "/": "/sign-in?to=%2F", "/cases?kind=unbilled": "/sign-in?to=%2Fcases%3Fkind%3Dunbilled",
    }  # fmt: skip
    assert request(served, "/data/query", "POST", '{"type": "arrow", "sql": "SELECT 1"}').status == 401
    assert [handshake(served), handshake(served, Cookie="trueup_session=guessed")] == [403, 403]


def test_a_reader_sees_pages_but_can_neither_run_sql_nor_see_the_log_of_actions(served: Any) -> None:
    cookie = signed_in(served, "reader")
    assert handshake(served, Cookie=cookie) == 101
    assert request(served, "/cases", Cookie=cookie).status == 200
    assert "Queries are for analysts" in request(served, "/sql", Cookie=cookie).text  # type: ignore[attr-defined]
    assert "the role reader may not do this" in request(served, "/sql?view=actions", Cookie=cookie).text  # type: ignore[attr-defined]
    assert "Dismiss" not in request(served, "/cases", Cookie=cookie).text  # type: ignore[attr-defined]
    assert request(served, "/sign-out", "POST", Cookie=cookie).status == 303
    assert (request(served, "/cases", Cookie=cookie).status, handshake(served, Cookie=cookie)) == (401, 403)


def test_another_site_and_another_name_of_this_machine_are_refused(served: Any) -> None:
    cookie = signed_in(served, "analyst")
    assert handshake(served, Cookie=cookie, Origin="http://evil.example") == 403
    assert handshake(served, Cookie=cookie, Origin=served.address) == 101
    assert handshake(served, Cookie=cookie, Host="evil.example") == 403
    assert request(served, "/", Cookie=cookie, Host="evil.example").status == 403
    assert request(served, "/data/query", "POST", "{}", Cookie=cookie, Origin="http://evil.example").status == 403


def test_every_answer_forbids_other_origins(served: Any) -> None:
    for answer in (
        request(served, "/"),
        request(served, "/sign-in"),
        request(served, "/cases", Cookie=signed_in(served, "reader")),
    ):
        policy = answer.getheader("content-security-policy") or ""
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "http" not in policy
        assert answer.getheader("x-content-type-options") == "nosniff"


def test_a_program_signs_in_by_its_token_and_a_wrong_token_is_refused_and_logged(served: Any) -> None:
    query = json.dumps({"type": "arrow", "sql": "SELECT count(*) FROM findings"})
    right = request(served, "/data/query", "POST", query, Authorization=f"Bearer {served.tokens['reader']}")
    assert (right.status, right.getheader("content-type")) == (200, "application/vnd.apache.arrow.stream")
    assert request(served, "/data/query", "POST", query, Authorization="Bearer guessed").status == 401
    form = urlencode({"token": "<script>", "to": "//evil.example"})
    wrong = request(served, "/sign-in", "POST", form, Content_Type="application/x-www-form-urlencoded")
    assert wrong.status == 401 and "<script>" not in wrong.text and "evil" not in wrong.text  # type: ignore[attr-defined]
    log = (served.project.directory / "workbench-actions.ndjson").read_text()
    assert "sign in refused" in log and not any(token in log for token in served.tokens.values())


def test_a_wrong_token_of_a_program_is_delayed_and_logged_as_one_of_the_form_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("trueup.workbench.access.door.asyncio.sleep", wait)
    clock = lambda: datetime(2024, 3, 1, tzinfo=UTC)  # noqa: E731
    sessions = Sessions(clock, lasts=timedelta(hours=2), idle=timedelta(hours=1))
    door = Door(Users({}, None), sessions, ActionLog(tmp_path, clock))
    assert asyncio.run(door.bearer({"authorization": "Bearer guessed"})) is None
    assert waits == [1.0] and [entry["action"] for entry in door.actions.entries()] == ["sign in refused"]
    assert asyncio.run(door.bearer({"authorization": "Basic x"})) is None and waits == [1.0]


def test_cookies_of_another_program_on_this_host_lock_no_user_out(served: Any) -> None:
    for others in ('prefs={"a":1}', "x=a b", "flag", "path=/x", 'q="'):
        cookie = f"{others}; {signed_in(served, 'reader')}"
        assert (others, request(served, "/cases", Cookie=cookie).status, handshake(served, Cookie=cookie)) == (others, 200, 101)


def test_a_host_or_origin_that_is_no_address_is_refused(served: Any) -> None:
    cookie = signed_in(served, "reader")
    for wrong in ("[", "[::1", "a]b", "[x]"):
        assert request(served, "/cases", Cookie=cookie, Host=wrong).status == 403
        assert request(served, "/cases", Cookie=cookie, Origin=f"http://{wrong}").status == 403
        assert handshake(served, Cookie=cookie, Origin=f"http://{wrong}") == 403


def test_a_query_of_any_length_and_depth_is_refused_before_it_fills_the_memory(served: Any) -> None:
    cookie = signed_in(served, "reader")
    long = json.dumps({"type": "arrow", "sql": "SELECT 1", "more": "x" * (1 << 20)}).encode()
    for body in (long.decode(), iter([long]), "[" * 200_000, "nothing"):
        assert request(served, "/data/query", "POST", body, Cookie=cookie).status == 400  # type: ignore[arg-type]


def test_after_signing_in_a_browser_is_sent_to_a_path_of_the_page_only() -> None:
    assert [_own_path(path) for path in ("/cases?x=1", "//evil", "/\\evil", "https://evil", "/a\r\nb", "")] == [
        "/cases?x=1",
        *["/"] * 5,
    ]


def test_a_session_ends_by_time_by_idleness_and_by_signing_out() -> None:
    now = [datetime(2024, 3, 1, tzinfo=UTC)]
    sessions = Sessions(lambda: now[0], lasts=timedelta(hours=2), idle=timedelta(hours=1))
    session = sessions.of(sessions.begin(User("ann", "analyst")))
    assert session is not None and session.require("reader").name == "ann"
    with pytest.raises(NotAllowedError, match="the role analyst may not do this"):
        session.require("admin")
    now[0] += timedelta(minutes=59)
    session.require("analyst")
    now[0] += timedelta(minutes=59)
    session.require("analyst")
    now[0] += timedelta(minutes=3)
    with pytest.raises(NotAllowedError, match="the session has ended"):
        session.require("reader")
    key = sessions.begin(User("ann", "analyst"))
    now[0] += timedelta(minutes=61)
    assert sessions.of(key) is None
    key = sessions.begin(User("ann", "analyst"))
    sessions.end(key)
    assert sessions.of(key) is None


def test_a_reader_who_forges_a_decision_is_refused() -> None:
    sessions = Sessions(lambda: datetime(2024, 3, 1, tzinfo=UTC), lasts=timedelta(hours=2), idle=timedelta(hours=1))
    session = sessions.of(sessions.begin(User("ann", "reader")))
    assert session is not None
    untouched: Any = None
    with pytest.raises(NotAllowedError, match="the role reader may not do this"):
        asyncio.run(decide_all(untouched, session, ["00"], Form(CHOICES[0])))


def test_once_its_session_has_ended_nothing_that_a_browser_sends_reaches_the_page() -> None:
    now = [datetime(2024, 3, 1, tzinfo=UTC)]
    sessions = Sessions(lambda: now[0], lasts=timedelta(hours=2), idle=timedelta(hours=1))
    session = sessions.of(sessions.begin(User("ann", "analyst")))
    assert session is not None
    click = {"type": "websocket.receive", "text": "a click"}

    async def receive() -> dict[str, str]:
        return click

    assert asyncio.run(_receive_while_active(session, receive)()) == click
    now[0] += timedelta(minutes=61)
    assert asyncio.run(_receive_while_active(session, receive)())["type"] == "websocket.disconnect"


def test_an_open_page_that_polls_without_a_websocket_keeps_no_session_alive(tmp_path: Path) -> None:
    now = [datetime(2024, 3, 1, tzinfo=UTC)]
    sessions = Sessions(lambda: now[0], lasts=timedelta(hours=9), idle=timedelta(hours=1))
    actions = ActionLog(tmp_path, lambda: now[0])
    key = sessions.begin(User("ann", "analyst"))

    async def answer(*_: object) -> Any:
        return None

    gate = Gate(answer, Door(Users({}, None), sessions, actions), sessions, actions, frozenset({"page"}))
    for path, is_activity in (("/cases", True), ("/_nicegui_ws/socket.io/", False)):
        now[0] += timedelta(minutes=40)
        headers = [(b"host", b"page"), (b"cookie", f"trueup_session={key}".encode())]
        asyncio.run(gate({"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}, answer, answer))
        session = sessions.of(key)
        assert session is not None and (session.seen_at == now[0]) is is_activity


def test_another_host_needs_users_with_tokens_that_cannot_be_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    user = '[[workbench.user]]\nname = "ann"\nrole = "analyst"\ntoken = "${T}"\n'
    with pytest.raises(ConfigError, match="lets other machines in"):
        parse('[workbench]\nhost = "0.0.0.0"\n')
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 lets other machines in"):
        users_of(parse("").workbench, "0.0.0.0")
    with pytest.raises(ConfigError, match=r"\[\[workbench.user\]\] ann, token"):
        parse(user.replace("${T}", "written in the file"))
    monkeypatch.setenv("T", "short")
    with pytest.raises(ConfigError, match="fewer than 24 characters"):
        users_of(parse(user).workbench, "0.0.0.0")
    monkeypatch.setenv("T", "t" * 24)
    assert users_of(parse(user).workbench, "127.0.0.1").local is None
    with pytest.raises(ConfigError, match="that of another user"):
        users_of(parse(user + user.replace("ann", "bob")).workbench, "::1")
    assert (users_of(parse("").workbench, "127.0.0.1").local or User("", "reader")).role == "admin"


def test_the_log_of_actions_shows_a_line_that_was_changed_or_left_out(tmp_path: Path) -> None:
    log = ActionLog(tmp_path, lambda: datetime(2024, 3, 1, tzinfo=UTC))
    for number in range(3):
        log.append(User("ann", "analyst"), "query", f"SELECT {number}\n\x1b[31m")
    assert [entry["sequence_no"] for entry in log.entries()] == [1, 2, 3] and len(log.newest(2)) == 2
    lines = log.path.read_text().splitlines(keepends=True)
    for changed in ([lines[0], lines[2]], [lines[0].replace("SELECT 0", "SELECT 9"), *lines[1:]], lines[1:]):
        log.path.write_text("".join(changed))
        with pytest.raises(Exception, match="the log of actions was changed"):
            list(log.entries())
    assert oct(log.path.stat().st_mode)[-3:] == "600"


def test_pages_and_queries_answer_while_writers_commit_and_files_are_merged(served: Any) -> None:
    headers = {"Cookie": signed_in(served, "analyst")}
    query = json.dumps({"type": "arrow", "sql": "SELECT kind, count(*) FROM findings GROUP BY kind"})
    (subject,) = with_retries(
        served.project, lambda w: w.connection.execute("SELECT finding_id FROM findings WHERE subscriber = 'A2' LIMIT 1").fetchone()
    )

    def write() -> None:
        for number in range(3):
            record(served.project, [subject], Decision("commented", f"note {number}", "ann"))
        maintain(served.project)

    with ThreadPoolExecutor(1) as pool:
        writing, answers = pool.submit(write), set[int]()
        while not writing.done():
            answers |= {
                request(served, "/cases", **headers).status,
                request(served, "/data/query", "POST", query, **headers).status,
            }
        writing.result()
    assert answers == {200}
