"""The button that downloads the evidence of a case or finding: the files of `trueup evidence` as one archive."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from nicegui import ui

from trueup.warehouse.query import Warehouse
from trueup.workbench.access.sessions import Session
from trueup.workbench.parts.shell import guarded
from trueup.workbench.workbench import Workbench


def evidence_button(workbench: Workbench, session: Session, subject: str) -> None:
    """Draw the button; a reader sees none, because the evidence holds raw records."""
    if not session.user.may("analyst"):
        return

    async def download() -> None:
        ui.notify("The records are read again from their raw files …")
        content = await workbench.questions.of_lake(lambda warehouse: _pack_evidence(warehouse, subject))
        workbench.actions.append(session.user, "evidence", subject, bytes=len(content))
        ui.download.content(content, f"evidence-{subject[:12]}.zip", "application/zip")

    ui.button("Evidence", icon="download", on_click=guarded(workbench, session, "analyst", download)).props(
        'flat dense no-caps title="Page, PDF, data and checksums, to read offline"'
    )


def _pack_evidence(warehouse: Warehouse, subject: str) -> bytes:
    from trueup.investigation.evidence.compose import write_evidence

    with tempfile.TemporaryDirectory(prefix="trueup-evidence-") as folder:
        written = write_evidence(warehouse, subject, Path(folder) / "evidence")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(written.folder).iterdir()):
                # Use a fixed time, so that equal evidence gives an equal archive.
                archive.writestr(zipfile.ZipInfo(f"evidence-{subject[:12]}/{path.name}"), path.read_bytes(), zipfile.ZIP_DEFLATED)
        return packed.getvalue()
