"""The ASGI application: NiceGUI's pages and two routes of data, behind the gate."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import ui
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from trueup.config import LOOPBACK_HOSTS
from trueup.errors import TrueupError
from trueup.printable import visible
from trueup.workbench.access.door import Door
from trueup.workbench.access.gate import Gate
from trueup.workbench.pages import bill, case, cases, explore, fraud, model, quality, sql, today
from trueup.workbench.parts.text import text
from trueup.workbench.workbench import Workbench

PAGES = (today, cases, case, fraud, explore, quality, model, bill, sql)


def application(workbench: Workbench, host: str) -> Gate:
    """Return the application: every request and websocket passes the gate first."""
    config = workbench.project.config.workbench
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_routes(api, workbench)
    static = Path(str(files("trueup.workbench").joinpath("static")))
    nicegui_app.add_static_files("/static", static, max_cache_age=0)
    for page in PAGES:
        page.register(workbench)
    nicegui_app.on_page_exception(_show_failure)
    ui.run_with(
        api,
        title="trueup",
        favicon=static / "favicon.svg",
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=30.0,
        show_welcome_message=False,
    )
    # The name in an address has no capitals, whatever a person writes.
    names = frozenset(name.lower() for name in (*LOOPBACK_HOSTS, host, *config.names))
    door = Door(workbench.users, workbench.sessions, workbench.actions, secure=config.certificate is not None)
    return Gate(api, door, workbench.sessions, workbench.actions, names)


def _show_failure(error: Exception) -> None:
    """Draw the page of an error: what happened where it is known, and never a traceback."""
    ui.add_head_html('<link rel="stylesheet" href="/static/workbench.css">')
    with ui.element("main").classes("tu-main"):
        text("h1", "This page cannot be drawn").classes("tu-title")
        unknown = f"An unexpected {type(error).__name__} is in the output of `trueup workbench`: report it."
        text("p", str(error) if isinstance(error, TrueupError) else unknown)
        ui.link("First page", "/")


def _add_routes(api: FastAPI, workbench: Workbench) -> None:
    @api.post("/data/query")
    async def query(request: Request) -> Response:
        """Answer a cross-filter query of the browser, as an Arrow stream."""
        session = workbench.session_of(request)
        try:
            session.require("reader")
            kind, sql_text = _query_of(await _read_json(request))
            if kind == "exec":
                await asyncio.to_thread(workbench.browser_queries.execute, session.user.name, sql_text)
                return JSONResponse({})
            answer = await asyncio.to_thread(workbench.browser_queries.arrow, session.user.name, sql_text)
            return Response(answer, media_type="application/vnd.apache.arrow.stream")
        except TrueupError as error:
            workbench.actions.append(session.user, "query refused", str(error))
            return JSONResponse({"error": visible(str(error))}, status_code=400)
        except ValueError:
            return JSONResponse({"error": "the request is not a query"}, status_code=400)

    @api.get("/modules/mosaic.js")
    def mosaic() -> Response:
        """Serve the ES module of the wheel `mosaic-widget`, which needs neither Jupyter nor a network."""
        return FileResponse(_find_mosaic_file("index.js"), media_type="text/javascript", headers=_CACHED)

    @api.get("/modules/mosaic.css")
    def mosaic_style() -> Response:
        """Serve the style of the same wheel."""
        return FileResponse(_find_mosaic_file("index.css"), media_type="text/css", headers=_CACHED)


_MOST_BODY_BYTES = 1 << 20
_CACHED = {"cache-control": "private, max-age=3600"}


async def _read_json(request: Request) -> object:
    """Return the JSON of a request; raise `ValueError` for anything else, and as soon as it is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BODY_BYTES:
            raise ValueError("too long")
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _query_of(content: object) -> tuple[str, str]:
    if not isinstance(content, dict) or content.get("type") not in ("arrow", "exec") or not isinstance(content.get("sql"), str):
        raise ValueError("not a query")
    return content["type"], content["sql"]


def _find_mosaic_file(name: str) -> Path:
    # Found without importing the package, which would load Jupyter's widgets.
    from importlib.util import find_spec

    spec = find_spec("mosaic_widget")
    if spec is None or not spec.submodule_search_locations:
        raise TrueupError("the package mosaic-widget is not installed", todo="install trueup[workbench]")
    return Path(spec.submodule_search_locations[0]) / "static" / name
