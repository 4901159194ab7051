"""Make the pictures of the documents, `make pictures`: the results of `make run`, and the web page with its operator in it.

    python docs/generate/pictures.py PROJECT

Needs a Chromium on the PATH, and the packages of the group `dev`.
"""

from __future__ import annotations

import io
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/pictures"
TRUEUP = str(Path(sys.executable).with_name("trueup"))
WIDTH = 128
PICTURES = {"page": ("/", 1280, 860, "light"), "page-dark": ("/", 1280, 860, "dark"), "page-narrow": ("/", 390, 844, "light")}
"""Name to path of the page, width and height of the window, and its colours."""
START_WITHIN_LINES = 50
SETTLED_MS = 5_000
END_WITHIN_S = 10
OPEN_WITHIN_MS = 120_000


def main() -> int:
    """Serve the page of a project, and write its pictures."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.stderr.write("there is no Chromium on the PATH; install Debian's package chromium\n")
        return 2
    FOLDER.mkdir(exist_ok=True)
    draw_results(Path(sys.argv[1]))
    with served(Path(sys.argv[1])) as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, (path, width, height, colours) in PICTURES.items():
            page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=colours)
            page.goto(address + path, timeout=OPEN_WITHIN_MS)
            page.wait_for_timeout(SETTLED_MS)
            page.screenshot(path=FOLDER / f"{name}.png")
            sys.stdout.write(f"wrote {FOLDER / name}.png\n")
        chromium.close()
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


@contextmanager
def served(project: Path) -> Iterator[str]:
    """Serve the page within the context, and yield its address."""
    command = [TRUEUP, "workbench", "--port", "0", "--project", str(project)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        for _ in range(START_WITHIN_LINES):
            found = re.search(r"https?://\S+", server.stderr.readline())
            if found:
                yield found[0].rstrip("/.,;")
                return
        raise SystemExit("the page did not start; run the command `trueup workbench` to see why")
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            server.kill()


if __name__ == "__main__":
    sys.exit(main())
