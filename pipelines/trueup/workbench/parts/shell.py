"""The frame around every page: navigation, the position shown, the theme and signing out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nicegui import ui
from starlette.requests import Request

from trueup.config import Role
from trueup.errors import TrueupError
from trueup.printable import visible
from trueup.workbench.access.sessions import Session
from trueup.workbench.parts.money import age_text
from trueup.workbench.parts.text import text
from trueup.workbench.workbench import Workbench

NAVIGATION = (
    ("Today", "/", "t"), ("Cases", "/cases", "c"), ("Fraud", "/fraud", "f"), ("Explore", "/explore", "e"),
    ("Quality", "/quality", "q"), ("Model", "/model", "m"), ("Bill", "/bill", "b"), ("SQL", "/sql", "s"),
)  # fmt: skip
"""Title, address and letter of each page; `g` and the letter open it."""
THEMES = {"light": False, "dark": True}


@contextmanager
def shell(workbench: Workbench, request: Request, title: str) -> Iterator[Session]:
    """Draw the frame of a page and yield the session; elements drawn within the context are the page's content."""
    session = workbench.session_of(request)
    theme = request.cookies.get("trueup_theme", "")
    ui.dark_mode(value=THEMES.get(theme))
    ui.colors(primary="#0b5cad", secondary="#46586b", negative="#b3261e", positive="#00694b", warning="#8a5a00")
    ui.add_head_html('<link rel="stylesheet" href="/static/workbench.css"><script src="/static/workbench.js" defer></script>')
    with ui.element("header").classes("tu-header"):
        ui.link("Skip to content", "#content").classes("tu-skip")
        ui.link("trueup", "/").classes("tu-brand").props('aria-label="trueup, first page"')
        with ui.element("nav").classes("tu-nav").props('aria-label="Pages"'):
            for name, address, letter in NAVIGATION:
                here = ' aria-current="page"' if name == title or (title == "Case" and name == "Cases") else ""
                ui.link(name, address).props(f'data-go="{letter}" title="g {letter}"{here}')
        with ui.element("div").classes("tu-tools"):
            look_for_newer = _show_freshness(workbench)
            ui.button(icon="contrast", on_click=lambda: ui.run_javascript("trueup.toggleTheme()")).props(
                'flat round dense aria-label="Dark or light" title="Dark or light"'
            )
            ui.button(icon="keyboard", on_click=lambda: ui.run_javascript("trueup.showKeys()")).props(
                'flat round dense aria-label="Keyboard" title="Keyboard (?)" data-key="?"'
            ).classes("tu-wide")
            _show_account(session, signed_in=workbench.users.local is None)
    with ui.element("main").classes("tu-main").props('id="content" tabindex="-1"'):
        text("h1", title).classes("tu-hidden")
        yield session
    # Do this last: a timer waits for the browser, and NiceGUI would deliver the page before its content.
    look_for_newer()


def _show_freshness(workbench: Workbench) -> Callable[[], None]:
    """Show the position of the page; return a function that starts to look for a newer copy of the views, to offer it."""
    shown = workbench.copy.current
    behind = f", findings up to {shown.reconciled}" if shown.reconciled < shown.position else ""
    label = ui.label(f"position {shown.position}{behind}").classes("tu-asof tu-wide")
    with label:
        ui.tooltip(f"copied {age_text(shown.copied_at, workbench.now())}")
    newer = ui.button("Show new data", icon="refresh", on_click=lambda: ui.navigate.reload()).props(
        'flat dense no-caps data-key="r"'
    )
    newer.set_visibility(False)

    def look() -> None:
        if workbench.copy.current.snapshot != shown.snapshot:
            newer.set_visibility(True)

    return lambda: _repeat_every_two_seconds(look)


def _repeat_every_two_seconds(look: Callable[[], None]) -> None:
    ui.timer(2.0, look)


def _show_account(session: Session, *, signed_in: bool) -> None:
    button = ui.button(icon="person").props(f'flat round dense aria-label="{_attribute(session.user.name)}"')
    with button, ui.menu(), ui.element("div").classes("tu-account"):
        ui.label(visible(session.user.name)).classes("tu-strong")
        ui.label(f"role: {session.user.role}").classes("tu-quiet")
        if session.user.may("admin"):
            ui.link("Log of actions", "/sql?view=actions")
        if signed_in:
            ui.button("Sign out", on_click=lambda: ui.run_javascript("trueup.signOut()")).props("flat dense no-caps")


def _attribute(text: str) -> str:
    return "".join(c for c in visible(text) if c not in "\"'<>=`")


def guarded(
    workbench: Workbench, session: Session, role: Role, handler: Callable[..., Awaitable[None] | None]
) -> Callable[..., Awaitable[None]]:
    """Return a handler that first checks session and role, and shows a `TrueupError` instead of failing."""

    async def run(*arguments: Any) -> None:
        try:
            session.require(role)
            result = handler(*arguments)
            if result is not None:
                await result
        except TrueupError as error:
            workbench.actions.append(session.user, "refused", str(error))
            notify_error(error)

    return run


def primary_button(title: str, on_click: Callable[..., Any], icon: str | None = None) -> ui.button:
    """Draw the button of the main action; its colours follow the theme, which Quasar's own do not."""
    return ui.button(title, icon=icon, color=None, on_click=on_click).props("no-caps unelevated").classes("tu-primary")


def notify_error(error: TrueupError) -> None:
    """Show an error: what happened, and what to do."""
    ui.notify(visible(str(error)), type="negative", multi_line=True, timeout=10_000, close_button="Close")


@contextmanager
def section(title: str, note: str = "", *, width: str = "") -> Iterator[None]:
    """Draw a section with its heading; `note` explains it; `width` is `tu-span`, `tu-two`, `tu-third`, or a half."""
    with ui.element("section").classes(f"tu-section {width}"):
        heading(title)
        if note:
            text("div", note).classes("tu-quiet tu-note")
        yield


def heading(title: str) -> None:
    """Draw the heading of a section."""
    text("h2", title).classes("tu-h2")


def fact(title: str, value: str, note: str = "", tone: str = "") -> None:
    """Draw one key figure: its title, its value and a note; `tone` is the class of its edge."""
    with ui.element("div").classes(f"tu-fact {tone}"):
        ui.label(title).classes("tu-fact-title")
        ui.label(value).classes("tu-fact-value")
        if note:
            ui.label(note).classes("tu-quiet")


def empty(text: str) -> None:
    """Draw the sentence in place of an empty table or chart."""
    ui.label(text).classes("tu-empty")
