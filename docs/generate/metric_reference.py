"""The page of metrics, from the metrics that the collector yields."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from markdown_text import code, plain, table

from trueup.jobs.metrics import of_folder, of_status
from trueup.jobs.state_folder import PROGRESS
from trueup.warehouse.status import Status


def metric_reference() -> str:
    """Return the page: each metric with its type and labels."""
    status = _empty_status()
    now = datetime(2024, 3, 1, tzinfo=UTC)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "checkpoints").mkdir()
        (Path(folder) / "checkpoints/_metadata").touch()
        (Path(folder) / PROGRESS).write_text(json.dumps({"kept": 0, "read_again": 0}), "utf-8")
        metrics = [*of_status(status, now), *of_folder(Path(folder), now)]
    rows = []
    for metric in sorted(metrics, key=lambda each: each.name):
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = ", ".join(code(label) for label in getattr(metric, "_labelnames", ()))
        rows.append((code(name), metric.type, labels, plain(metric.documentation)))
    rows.append((code("trueup_lake_readable"), "gauge", "", "Whether the lake could be read."))
    return "\n".join(
        [
            "# Metrics\n",
            "`trueup stream --metrics-port PORT` serves these to Prometheus ([what to watch](../operations.md#monitor)).\n",
            table(("metric", "type", "labels", "meaning"), rows),
        ]
    )


def _empty_status() -> Status:
    """Return the status of an empty lake: its metrics have names but no values."""
    empty = {
        field.name: [] if "list" in str(field.type) else None if "None" in str(field.type) else 0
        for field in dataclasses.fields(Status)
    }
    return Status(**empty)  # type: ignore[arg-type]
