"""Make the picture of the README, `make pictures`: the results of `make run` as a terminal shows them.

python docs/generate/pictures.py PROJECT
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).resolve().parents[1] / "pictures"
TRUEUP = str(Path(sys.executable).with_name("trueup"))
WIDTH = 128


def main() -> int:
    """Draw the results of a project."""
    FOLDER.mkdir(exist_ok=True)
    draw_results(Path(sys.argv[1]).resolve())
    return 0


def draw_results(project: Path) -> None:
    """Draw what `make run` prints at its end, as a terminal shows it."""
    commands = [["run"], ["score-controls", "--brief"]]
    outputs = [
        subprocess.run([TRUEUP, *c, "--project", project.name], cwd=project.parent, capture_output=True, text=True, check=True)
        for c in commands
    ]
    lines = "\n".join(done.stdout for done in outputs).splitlines()
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    shown = lines[next(n for n, line in enumerate(lines) if line.startswith("leakage")) :]
    console.print(Text("\n".join(re.sub("─+", "─" * (WIDTH - 1), line).rstrip() for line in shown)))
    console.save_svg(str(FOLDER / "run.svg"), title="make run")
    sys.stdout.write(f"wrote {FOLDER / 'run.svg'}\n")


if __name__ == "__main__":
    sys.exit(main())
