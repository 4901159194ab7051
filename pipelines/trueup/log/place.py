"""Where the lake's data lies."""

from __future__ import annotations

from trueup.config import Project, expand, variables
from trueup.secret import remember, remember_url


def data_path(project: Project) -> str:
    """The folder of the lake's data, absolute and with a slash at its end, or a URL, whose credentials are masked from now on."""
    told = project.config.lake.data.get_secret_value()
    text = expand(told)
    if "://" not in text:
        return f"{project.resolve(told)}/"
    remember_url(text)
    for name, value in variables(told).items():
        remember(value, f"${{{name}}}")
    return text
