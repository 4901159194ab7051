"""The tests notice when the kernel is broken: each of these mistakes makes the law tests fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MISTAKES = {
    "equal times count as passed": ("frontier.py", 'np.searchsorted(self.values, instants, side="right")', 'np.searchsorted(self.values, instants, side="left")'),
    "keyed records wait for the tolerance only": ("match.py", 'np.where(units["keyed"].to_numpy(), np.maximum(own, other), np.maximum(*short))', "np.maximum(*short)"),
    "undecided edges hold nobody back": ("match.py", "undecided=waits", "undecided=pl.lit(False)"),
    "the least content counts": ("records.py", "contents.sort(_RANK, descending=True)", "contents.sort(_RANK, descending=False)"),
    "a credit can be the main charge": ("match.py", 'rows.sort(pl.col("amount_micros") < 0, "time_us"', 'rows.sort("time_us"'),
    "a credit counts as a duplicate": ("assess.py", 'pl.col("extra_micros") > 0', 'pl.col("extra_micros") != 0'),
    "parts are not waited for": ("assess.py", 'open=~pl.col("settled") & ~(pl.col("whole") & pl.col("bill_whole"))', "open=pl.lit(False)"),
    "nobody wakes when it gets ripe": ("assess.py", '("ripe_at", pl.col("near"))', '("ripe_at", pl.lit(False))'),
    "a clean pair may have been final before": ("clean.py", "~(alone | behind | untimed)", "~(behind | untimed)"),
    "a clean pair may have neighbours": ("clean.py", 'paired.join(_neighbours(rows, rules, hashed, alone), on="session", how="anti", maintain_order="left")', "paired"),
    "lateness is judged after the commit": ("records.py", "came_late=pl.Series(passed < position)", "came_late=pl.Series(passed <= position)"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_laws_notice(mistake: str, tmp_path: Path) -> None:
    name, right, wrong = MISTAKES[mistake]
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    broken = tmp_path / "pipelines" / "trueup" / "reconcile" / name
    text = broken.read_text("utf-8")
    assert text.count(right) == 1, f"{name} no longer says {right}"
    broken.write_text(text.replace(right, wrong), "utf-8")
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", "--tb=no",
        "-o", f"pythonpath={tmp_path}/pipelines models expectations sql", "tests/reconcile/test_cases.py", "tests/reconcile/test_laws.py",
    ]  # fmt: skip
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and " failed" in run.stdout, run.stdout[-2000:]
