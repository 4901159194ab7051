"""Land the files of a simulated operator one by one beside the continuous commands, and show how findings change.

    python examples/streaming/land_files.py FOLDER [--every SECONDS] [--files N] [--no-page] [--stop]

Starts `trueup ingest --watch`, `trueup stream` and the web page on a project in FOLDER, and lands a file every SECONDS. Ends on
Ctrl-C, and with --stop once all files have landed and are reconciled.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TRUEUP = str(Path(sys.executable).with_name("trueup"))
REPORT_EVERY_S = 5.0
END_WITHIN_S = 60
STATIC = ("manifests", "subscribers")
"""Folders of files that are present from the beginning."""


def main() -> int:
    """Make the operator where there is none, start the commands, land the files and report until interrupted."""
    options = parsed_options()
    outbox = options.folder.with_name(f"{options.folder.name}.outbox")
    make_operator(options.folder, outbox)
    waiting = waiting_files(outbox)[: options.files]
    say(f"{len(waiting)} files land in {options.folder}, one every {options.every:g} s; Ctrl-C ends")
    commands = [["ingest", "--watch", "--accept-clock"], ["stream", "--accept-clock", "--no-score"]]
    commands += [] if options.no_page else [["workbench"]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with running(commands, options.folder) as processes:
            land_and_report(waiting, outbox, options, processes)
    except KeyboardInterrupt:
        say("ended; the same command continues")
    return 0


def parsed_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two files")
    parser.add_argument("--files", type=int, default=None, help="land only so many files")
    parser.add_argument("--no-page", action="store_true", help="do not start the web page")
    parser.add_argument("--stop", action="store_true", help="end when all files are reconciled")
    return parser.parse_args()


def make_operator(folder: Path, outbox: Path) -> None:
    """Simulate an operator, and keep back the files that land day by day. Subscriptions are in place from the beginning."""
    if (folder / "trueup.toml").exists():
        return
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    subprocess.run([TRUEUP, "simulate", str(part), "--subscribers", "200", "--days", "5", "--seed", "7", "--quiet"], check=True)
    shutil.rmtree(outbox, ignore_errors=True)
    shutil.copytree(part / "landing", outbox)
    for file in waiting_files(outbox):
        (part / "landing" / file).unlink()
    part.rename(folder)
    # The lake exists before the commands start beside each other.
    subprocess.run([TRUEUP, "ingest", "--quiet", "--project", str(folder)], check=True)


def waiting_files(outbox: Path) -> list[Path]:
    """Return the files of usage and charges below the outbox, in the order of their day."""
    feeds = [feed for feed in sorted(outbox.iterdir()) if feed.is_dir() and feed.name not in STATIC]
    files = [file.relative_to(outbox) for feed in feeds for file in feed.rglob("*") if file.is_file()]
    return sorted(files, key=lambda file: (file.name, str(file)))


@contextmanager
def running(commands: list[list[str]], folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run commands beside each other within the context, and end them with a signal that lets them finish."""
    processes = []
    try:
        for command in commands:
            # A separate process group keeps Ctrl-C of the terminal from the commands, which are ended below in order.
            processes.append(subprocess.Popen([TRUEUP, *command, "--project", str(folder)], start_new_session=True))
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(END_WITHIN_S)


def land_and_report(
    waiting: list[Path], outbox: Path, options: argparse.Namespace, processes: list[subprocess.Popen[bytes]]
) -> None:
    """Land a file at a time under its name, and print the state now and then."""
    next_report_s, landed = time.monotonic(), 0
    while True:
        if waiting:
            land(outbox, options.folder / "landing", waiting.pop(0))
            landed += 1
        if time.monotonic() >= next_report_s:
            is_done = report(options.folder, landed) and not waiting
            if is_done and options.stop:
                return
            next_report_s = time.monotonic() + REPORT_EVERY_S
        ended = next((process for process in processes if process.poll() is not None), None)
        if ended is not None:
            raise SystemExit(f"{' '.join(map(str, ended.args[:2]))} has ended with {ended.returncode}")  # type: ignore[index]
        time.sleep(options.every)


def land(outbox: Path, landing: Path, file: Path) -> None:
    """Move a file to its landing folder as a sender does: complete, then under its name."""
    target = landing / file
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    shutil.copyfile(outbox / file, unfinished)
    unfinished.rename(target)


def report(folder: Path, landed: int) -> bool:
    """Print the position, the findings and their money; return whether everything ingested is reconciled."""
    done = subprocess.run([TRUEUP, "status", "--json", "--project", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        return False
    status = json.loads(done.stdout)
    found = [row for row in status["findings"] if row["status"] == "open"]
    kinds = ", ".join(f"{row['findings']} {row['kind']}" for row in sorted(found, key=lambda row: -row["findings"])[:3])
    say(
        f"{landed} files landed, position {status['position']}, reconciled to {status['reconciled_position']}: "
        f"{sum(row['findings'] for row in found)} open findings" + (f" ({kinds})" if kinds else "")
    )
    return bool(status["position"] == status["reconciled_position"])


def say(text: str) -> None:
    """Print a line without buffering."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
