"""A real one-node Slurm for tests, and the program as it is used on it.

PARETOCAST_SLURM names the folder of two scripts, start-slurm.sh and stop-slurm.sh, that start and
end it in the folder they are given. Where they are not, tests that need it are skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SCRIPTS_VARIABLE = "PARETOCAST_SLURM"
QUEUE = ("squeue", "--noheader", "--format=%i %T")
TINY = """
[training]
steps = 12
batch_size = 32
n_evaluations = 3
[space.NHITS_Q]
layer_widths = {values = [16, 32]}
"""
LONGER = TINY.replace("steps = 12", "steps = 300")
PROFILES = """
default_profile = "tiny"
[profiles.tiny]
partition = "cpu"
cpus = 1
memory = "2G"
time = "10"
signal_seconds = 30
[profiles.spare]
partition = "spare"
cpus = 1
memory = "2G"
time = "10"
[profiles.gpu]
partition = "a100"
gres = "gpu:a100:1"
cpus = 1
memory = "2G"
time = "10"
allow_cpu = true
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes
    ----------
    environment : dict
        With it, commands talk to this cluster.
    """

    environment: dict[str, str]

    def run(self, *words: str, check: bool = True) -> str:
        """Output of a command of Slurm."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout


@dataclass(frozen=True)
class Place:
    """A folder in which a user works, on a cluster."""

    folder: Path
    cluster: Cluster

    def paretocast(self, *words: str, code: int = 0) -> tuple[str, str]:
        """Output and errors of a command of the program."""
        done = subprocess.run(
            [sys.executable, "-m", "paretocast", *words],
            cwd=self.folder,
            env=self.cluster.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    def submit(self, *words: str) -> list[str]:
        """Job ids of a submission."""
        return self.paretocast("submit", *words)[0].split()

    def status(self) -> dict[str, dict[str, Any]]:
        """Experiments by id."""
        experiments = json.loads(self.paretocast("status", "--json")[0])["experiments"]
        return {experiment["id"]: experiment for experiment in experiments}

    def experiment(self, name: str) -> dict[str, Any]:
        """One experiment."""
        return self.status()[name]

    def wait_for(self, name: str, *states: str, seconds: float = 400.0) -> dict[str, Any]:
        """The experiment once it is in one of the states."""
        deadline = time.monotonic() + seconds
        while (experiment := self.experiment(name))["state"] not in states:
            assert time.monotonic() < deadline, f"{experiment}\n{self.logs()}"
            self._wait_for_the_queue(5.0)
        return experiment

    def wait_until(self, condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.2)

    def wait_for_worker(
        self, workers: Collection[tuple[str, int]], *, seconds: float = 120.0
    ) -> tuple[str, int]:
        """The first of these workers, by study and number, that is found in a trial."""
        deadline = time.monotonic() + seconds
        while True:
            for study, worker in workers:
                for claim in self.results.glob(f"*/trials_{study}/[0-9]*/claim.*"):
                    with contextlib.suppress(OSError, ValueError):
                        begun = (claim.parent / "proposal.json").exists()
                        if begun and json.loads(claim.read_bytes())["worker"] == worker:
                            return study, worker
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.05)

    @property
    def results(self) -> Path:
        """Folder of the studies."""
        return self.folder / "hpo" / "results"

    def pages(self, study: str) -> list[str]:
        """Names of the pages of a study."""
        pages = self.results.glob(f"*/*_{study}.html")
        return sorted(path.stem.removesuffix(f"_{study}") for path in pages)

    def log(self, job: str) -> str:
        """Everything that one job has said."""
        paths = sorted((self.folder / "hpo" / "logs").glob(f"*_{job}.[le]*"))
        return "\n".join(path.read_text("utf-8") for path in paths)

    def _wait_for_the_queue(self, seconds: float) -> None:
        """Until a job starts or ends, but not for ever."""
        deadline = time.monotonic() + seconds
        before = self.cluster.run(*QUEUE)
        while self.cluster.run(*QUEUE) == before and time.monotonic() < deadline:
            time.sleep(0.3)

    def logs(self) -> str:
        """Everything that jobs have said."""
        paths = sorted((self.folder / "hpo" / "logs").glob("*.[le]*"))
        return "\n".join(f"== {path.name}\n{path.read_text('utf-8')}" for path in paths)


def make_place(folder: Path, cluster: Cluster) -> Place:
    """A folder with profiles and settings for jobs that take seconds."""
    (folder / "hpo").mkdir(parents=True)
    (folder / "hpo" / "cluster.toml").write_text(PROFILES, encoding="utf-8")
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    (folder / "longer.toml").write_text(LONGER, encoding="utf-8")
    return Place(folder, cluster)


@contextlib.contextmanager
def running_cluster(*, accounting: bool) -> Iterator[Cluster]:
    """Start a cluster, and end it with all its jobs."""
    scripts = Path(os.environ.get(SCRIPTS_VARIABLE, ""))
    if not (scripts / "start-slurm.sh").is_file():
        pytest.skip(f"no Slurm can be started; {SCRIPTS_VARIABLE} names the folder of its scripts")
    # sockets lie in it, so its path has to be short, and everybody must be able to enter
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SLURM_")},
        "SLURM_CONF": str(folder / "etc" / "slurm.conf"),
        "SLURM_LOCAL_CPUS": "16",
        "SLURM_LOCAL_MEM_MB": "65536",
        "SLURM_LOCAL_PREEMPT": "spare",
        "SLURM_LOCAL_ACCOUNTING": str(int(accounting)),
        "SLURM_LOCAL_PORT": "17817" if accounting else "17917",
    }
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends us ends it
    try:
        started = subprocess.run(
            [str(scripts / "start-slurm.sh"), str(folder)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if started.returncode != 0:
            pytest.skip(f"Slurm does not start here: {started.stderr[-500:]}")
        yield Cluster(environment)
    except subprocess.TimeoutExpired as error:
        if str(error.cmd[0]).endswith("start-slurm.sh"):
            pytest.skip("Slurm does not start here within five minutes")
        raise
    finally:
        stop = [str(scripts / "stop-slurm.sh"), str(folder)]
        subprocess.run(stop, env=environment, capture_output=True, timeout=120, check=False)
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)
