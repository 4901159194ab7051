"""Make the pictures of the README, `make pictures`: the results of `make run` in a terminal, and the first page of the workbench.

    python docs/generate/pictures.py PROJECT

The page needs Chromium; without it only the terminal is drawn.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path

from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).resolve().parents[1] / "pictures"
TRUEUP = str(Path(sys.executable).with_name("trueup"))
WIDTH = 128


def main() -> int:
    """Draw the results of a project."""
    FOLDER.mkdir(exist_ok=True)
    project = Path(sys.argv[1]).resolve()
    draw_results(project)
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stdout.write("no Chromium on this machine: page.png stays as it is\n")
    else:
        photograph_page(project, chromium)
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
    # Without the fonts of the usual form, which a viewer would fetch from another machine.
    usual = signature(console.save_svg).parameters["code_format"].default
    form = re.sub(r"@font-face \{\{.*?\}\}", "", usual, flags=re.DOTALL)
    console.save_svg(str(FOLDER / "run.svg"), title="make run", code_format=form)
    sys.stdout.write(f"wrote {FOLDER / 'run.svg'}\n")


def photograph_page(project: Path, chromium: str) -> None:
    """Photograph the first page of the workbench over a project."""
    from playwright.sync_api import sync_playwright

    command = [TRUEUP, "workbench", "--port", "0", "--project", str(project)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(found[1] for line in server.stdout if (found := re.search(r"open (http://\S+)", line)))
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(address, wait_until="networkidle")
                page.get_by_text("it adds up").wait_for()
                # Charts are animated until they reach their place.
                page.wait_for_timeout(2_000)
                page.screenshot(path=FOLDER / "page.png")
                browser.close()
        finally:
            server.terminate()
    sys.stdout.write(f"wrote {FOLDER / 'page.png'}\n")


if __name__ == "__main__":
    sys.exit(main())
