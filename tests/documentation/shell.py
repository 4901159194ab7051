"""Shell scripts as a reader of the documents runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_in_shell(script: str, folder: Path, **variables: str) -> str:
    """Run a script with the commands of this environment; return its output, or fail with the end of it."""
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(folders), "COLUMNS": "80"} | variables
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"exit status {done.returncode} of\n{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout
