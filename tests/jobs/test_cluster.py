"""The job on a separate cluster, as the operations page describes: submitted, stopped with a savepoint, resumed."""

from __future__ import annotations

import importlib.util
import os
import re
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
from streaming import LIMIT_S, append, assert_equals_plain_call, digest_lines, project_with, random_log

from trueup.config import Project
from trueup.jobs.flink_client import prepare_java

HOME = Path(pyflink.__file__).parent
ROOT = Path(__file__).resolve().parents[2]
ON_ONE_MACHINE = {"rest.bind-address": "localhost", "web.submit.enable": "false", "web.cancel.enable": "false"}
"""Settings that the operations page adds to the default `config.yaml` of Flink, which binds the other ports to localhost."""


@dataclass(frozen=True)
class Cluster:
    """A job manager and a task manager, each a Java process."""

    address: str
    env: dict[str, str]

    def listeners(self, role: str) -> set[listeners.Listener]:
        """Return the listeners of the job manager (`standalonesession`) or task manager (`taskexecutor`)."""
        (path,) = Path(self.env["FLINK_PID_DIR"]).glob(f"*-{role}.pid")
        return listeners.listeners_of(psutil.Process(int(path.read_text())))

    def flink(self, command: str, *arguments: str) -> str:
        """Run Flink's command line and return its output."""
        command_line = ["bash", str(HOME / "bin" / "flink"), command, "-m", self.address, *arguments]
        done = subprocess.run(command_line, capture_output=True, text=True, env=self.env, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def submit(self, project: Project, *options: str, parallelism: int) -> str:
        """Submit the job as the operations page describes, and return its id."""
        place, options_of_job = (
            ["--project", str(project.directory), "--parallelism", str(parallelism)],
            ["--groups", "4", "--no-score"],
        )
        script = importlib.util.find_spec("trueup.jobs.submit")
        assert script is not None and script.origin is not None
        python = ["-pyclientexec", sys.executable, "-pyexec", sys.executable, "-py", script.origin]
        text = self.flink("run", "-d", *options, *python, *place, *options_of_job, "--keys-in-memory", "4")
        return text.split("JobID ")[-1].split()[0]


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    prepare_java()
    with socket.socket() as rest_socket, socket.socket() as rpc_socket:
        rest_socket.bind(("localhost", 0))
        rpc_socket.bind(("localhost", 0))
        rest, rpc = rest_socket.getsockname()[1], rpc_socket.getsockname()[1]
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
    # Without these lines Beam logs the environment of its workers; the planted secret is in it.
    (_, documented, _) = re.split("```properties\n(.*?)```", (ROOT / "docs" / "operations.md").read_text("utf-8"), flags=re.DOTALL)
    with (folder / "conf" / "log4j.properties").open("a", encoding="utf-8") as properties:
        properties.write(documented)
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
def test_a_cluster_resumes_the_job_from_a_savepoint_with_another_parallelism(tmp_path: Path) -> None:
    log, rows = random_log("cluster")
    half = len(log) // 2
    project = project_with(tmp_path / "operator", log, rows, half)

    def caught_up(position: int) -> bool:
        # The job adds further positions, for its ticks.
        findings, end = streaming.position(project)
        return findings == end >= position

    with cluster(tmp_path / "cluster") as flink:
        job = flink.submit(project, parallelism=2)
        streaming.wait_until(lambda: caught_up(half))
        assert_equals_plain_call(project)
        listeners.ObservedListeners(flink.listeners("standalonesession"), 1).assert_only_loopback(3)
        # The task manager exposes only the six ports that Beam opens for each worker; no setting of Flink binds them.
        assert len([each for each in flink.listeners("taskexecutor") if not each.is_loopback]) <= 6 * 2
        flink.flink("stop", "--savepointPath", (tmp_path / "savepoints").as_uri(), job)
        append(project, log, rows, half + 1, len(log))
        (savepoint,) = (tmp_path / "savepoints").iterdir()
        job = flink.submit(project, "-s", savepoint.as_uri(), parallelism=1)
        streaming.wait_until(lambda: caught_up(len(log)))
        flink.flink("cancel", job)
    assert_equals_plain_call(project)
    assert digest_lines(project, None) == digest_lines(project, "plain")
