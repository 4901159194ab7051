"""Find the location of the lake's data."""

from __future__ import annotations

from trueup.config import Project, expand, variables
from trueup.secret import remember, remember_url


def data_path(project: Project) -> str:
    """Return the lake's data folder, absolute with a final slash, or a URL; mask the credentials of a URL in all later output."""
    configured = project.config.lake.data.get_secret_value()
    text = expand(configured)
    if "://" not in text:
        return f"{project.resolve(configured)}/"
    remember_url(text)
    for name, value in variables(configured).items():
        remember(value, f"${{{name}}}")
    return text
