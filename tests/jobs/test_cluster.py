"""The job on a cluster of its own, as the operations page has it: submitted, stopped with a savepoint, gone on with."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import listeners
import psutil
import pyflink
import pytest
import streaming
from streaming import LIMIT_S, append, assert_as_told, prepared, project_with, recomputed

from trueup.config import Project
from trueup.jobs.flink_client import prepare_java

HOME = Path(pyflink.__file__).parent
ON_ONE_MACHINE = {"rest.bind-address": "localhost", "web.submit.enable": "false", "web.cancel.enable": "false"}
"""What the operations page adds to Flink's own `config.yaml`, which binds the rest to localhost."""


@dataclass(frozen=True)
class Cluster:
    """A job manager and a task manager, each a Java process."""

    address: str
    env: dict[str, str]

    def listeners(self, of: str) -> set[listeners.Listener]:
        """What one of the two listens on."""
        (path,) = Path(self.env["FLINK_PID_DIR"]).glob(f"*-{of}.pid")
        return listeners.listeners_of(psutil.Process(int(path.read_text())))

    def flink(self, command: str, *arguments: str) -> str:
        """What Flink's own command line says."""
        asked = ["bash", str(HOME / "bin" / "flink"), command, "-m", self.address, *arguments]
        done = subprocess.run(asked, capture_output=True, text=True, env=self.env, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def submitted(self, project: Project, *options: str, parallelism: int) -> str:
        """The id of the job, submitted as the operations page says."""
        here, of_job = ["--project", str(project.directory), "--parallelism", str(parallelism)], ["--groups", "4", "--no-score"]
        submit = importlib.util.find_spec("trueup.jobs.submit")
        assert submit is not None and submit.origin is not None
        python = ["-pyclientexec", sys.executable, "-pyexec", sys.executable, "-py", submit.origin]
        said = self.flink("run", "-d", *options, *python, *here, *of_job, "--keys-in-memory", "4")
        return said.split("JobID ")[-1].split()[0]


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    prepare_java()
    with socket.socket() as one, socket.socket() as two:
        one.bind(("localhost", 0))
        two.bind(("localhost", 0))
        rest, rpc = one.getsockname()[1], two.getsockname()[1]
    settings = (HOME / "conf" / "config.yaml").read_text("utf-8")
    for before, after in (("port: 6123", f"port: {rpc}"), ("numberOfTaskSlots: 1", "numberOfTaskSlots: 4")):
        assert before in settings
        settings = settings.replace(before, after)
    settings += f"\nrest.port: {rest}\nrest.bind-port: {rest}\nexecution.checkpointing.dir: {(folder / 'checkpoints').as_uri()}\n"
    settings += "".join(f"{name}: {value}\n" for name, value in ON_ONE_MACHINE.items())
    for name in ("conf", "log"):
        (folder / name).mkdir(parents=True)
    for path in (HOME / "conf").iterdir():
        (folder / "conf" / path.name).write_bytes(path.read_bytes())
    (folder / "conf" / "config.yaml").write_text(settings, "utf-8")
    env = {**streaming.ENV, "JAVA_HOME": os.environ["JAVA_HOME"], "FLINK_HOME": str(HOME), "FLINK_PID_DIR": str(folder)}
    env |= {"FLINK_CONF_DIR": str(folder / "conf"), "FLINK_LOG_DIR": str(folder / "log")}
    scripts = [HOME / "bin" / name for name in ("jobmanager.sh", "taskmanager.sh")]
    try:
        for script in scripts:
            subprocess.run(["bash", str(script), "start"], env=env, check=True, capture_output=True, timeout=LIMIT_S)
        yield Cluster(f"localhost:{rest}", env)
    finally:
        for script in reversed(scripts):
            subprocess.run(["bash", str(script), "stop"], env=env, check=False, capture_output=True, timeout=LIMIT_S)


@pytest.mark.slow
def test_a_cluster_runs_the_job_stops_it_with_a_savepoint_and_goes_on_with_another_parallelism(tmp_path: Path) -> None:
    log, rows = prepared("cluster")
    half = len(log) // 2
    project = project_with(tmp_path / "operator", log, rows, half)

    def reached(position: int) -> bool:
        # The job itself adds positions: those of its ticks.
        findings, end = streaming.position(project)
        return findings == end >= position

    with cluster(tmp_path / "cluster") as flink:
        job = flink.submitted(project, parallelism=2)
        streaming.waited_for(lambda: reached(half))
        assert_as_told(project)
        listeners.Seen(flink.listeners("standalonesession"), 1).assert_only_loopback(3)
        # Of the task manager only the six ports that Beam opens for each worker are open, which no setting of Flink binds.
        assert len([one for one in flink.listeners("taskexecutor") if not one.is_loopback]) <= 6 * 2
        flink.flink("stop", "--savepointPath", (tmp_path / "savepoints").as_uri(), job)
        append(project, log, rows, half + 1, len(log))
        (savepoint,) = (tmp_path / "savepoints").iterdir()
        job = flink.submitted(project, "-s", savepoint.as_uri(), parallelism=1)
        streaming.waited_for(lambda: reached(len(log)))
        flink.flink("cancel", job)
    assert_as_told(project)
    assert recomputed(project, None) == recomputed(project, "plain")
