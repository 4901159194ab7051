"""State of a page in its URL, so that reloading the page, or sending its address, shows the same."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from nicegui import ui
from starlette.requests import Request

MOST_CHARACTERS = 300


class UrlState:
    """The query parameters of one page, with their default values."""

    def __init__(self, request: Request, defaults: Mapping[str, str]) -> None:
        self._path, self._defaults = request.url.path, dict(defaults)
        given = {name: request.query_params.get(name, "")[:MOST_CHARACTERS] for name in defaults}
        self._values = {name: given[name] or default for name, default in defaults.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def number(self, name: str, least: int, most: int) -> int:
        """Return a whole number within bounds; any other text counts as the default."""
        text = self._values[name]
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else int(self._defaults[name])
        return max(least, min(most, value))

    def one_of(self, name: str, accepted: list[str]) -> str:
        """Return the value if it is one of those accepted, else the default if that is, else the first."""
        for value in (self._values[name], self._defaults[name], *accepted):
            if value in accepted:
                return value
        return ""

    def set(self, **values: object) -> None:
        """Change parameters, and the address that the browser shows."""
        for name, value in values.items():
            self._values[name] = str(value if value is not None else "")[:MOST_CHARACTERS] or self._defaults[name]
        ui.navigate.history.replace(self.address())

    def address(self, **changed: str) -> str:
        """Return the page's address with these parameters changed; those with their default are left out."""
        values = {**self._values, **changed}
        given = {name: value for name, value in values.items() if value and value != self._defaults.get(name)}
        return self._path + (f"?{urlencode(given)}" if given else "")
