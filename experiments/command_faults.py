"""Commands that are killed, or find the disk full, at one of their writes, one after the other.

    python experiments/command_faults.py --fault disk [--of tune,deploy] [--every 1]
    python experiments/command_faults.py --fault kill [--kills 100]

Each command starts from the same files. After the fault no file that can be seen is half written
and no bundle is broken; a full disk has to be told in a line, with exit code 1. Then the command is
given again, with room and without a kill, and has to lead to the results of an undisturbed run:
the same records, calibrators, scores, bundles, forecasts and observations, each of them once.
With `--fault disk` every write is tried, as a file that cannot be made and as content that finds no
room. With `--fault kill` the process dies at a random write or a random moment.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import print_result, print_table, script_parser
from interruptions import Ended, Fault, run_child

if TYPE_CHECKING:
    from collections.abc import Callable

N_DAYS = 190
TOML = """
name = "zone"
path = "zone.csv"
target = "load"
unit = "MW"
zone = "Europe/Copenhagen"

[covariates.temperature]
role = "forecast"

[splits]
train_to = 2023-04-10T23:00:00Z
validation_to = 2023-06-09T23:00:00Z
test_to = 2023-07-09T23:00:00Z
"""
AT = "2023-06-12T00:00Z"
SEARCH = ["--dataset", "zone.toml", "--workspace", "hpo"]
TINY = ["--trials", "2", "--steps", "20", "--repeats", "1", "--threads", "1", "--job-id", "a"]
MODEL, STUDY = "NHITS_Q", "hpo/results/NHITS_Q_zone"
WORDS = {
    "tune": ["tune", "--model", MODEL, *SEARCH, *TINY],
    "calibrate": ["calibrate", STUDY, "--calibrator", "cqr"],
    "benchmark": ["benchmark", *SEARCH, "--models", MODEL, "--methods", "tuned,ridge"],
    "deploy": ["deploy", STUDY, "--to", "deploy", "--method", "ridge", "--calibrator", "pid"],
    "forecast": ["forecast", "deploy", "--data", "zone.csv", "--at", AT],
    "observe": ["observe", "deploy", "--data", "zone.csv"],
    "submit": ["submit", "NHITS_Q", "zone.toml", "2"],
}
# Stand-ins for Slurm: a queue of one file for each job.
QUEUE = {
    "sbatch": 'n=$(ls queue | wc -l); echo "$*" > "queue/$((812 + n))"; echo $((812 + n))',
    "squeue": (
        'cd queue; for job in [0-9]*; do case "$*" in *%k*) '
        'sed "s/.*--comment=/$job|/" "$job";; '
        '*) echo "$job|PENDING|0:00|Priority";; esac; done'
    ),
    "scancel": "exit 0",
    "sacct": "exit 1",
    "scontrol": "exit 1",
}
# What commands import, some of it late.
IMPORTED = (
    *("alembic", "plotly.graph_objects", "sqlalchemy.dialects.sqlite", "torch._dynamo"),
    *("paretocast.api.evaluation", "paretocast.api.pages", "paretocast.api.tuning"),
    *("paretocast.benchmarking.run", "paretocast.cli", "paretocast.cli.outcome"),
    *("paretocast.cluster.slurm", "paretocast.deployment.build", "paretocast.models.nhits"),
    *("paretocast.report.benchmark", "paretocast.report.study", "paretocast.study.study"),
    "paretocast.training.trial",
)
TOLD = 10  # kills between two lines on what was found
# What a whole file of a kind ends with, where its kind says so.
ENDS = {".html": "</html>"}


def write_data(folder: Path) -> None:
    """A load that follows hour, weekday and temperature."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    hours = pd.date_range("2023-01-01", periods=24 * N_DAYS, freq="h", tz="UTC")
    temperature = 8.0 + 6.0 * np.sin(2 * np.pi * np.arange(len(hours)) / 1440)
    daily = 4.0 * np.sin(2 * np.pi * hours.hour.to_numpy() / 24.0)
    load = 40.0 - 0.8 * temperature + daily + rng.normal(size=len(hours))
    stamps = hours.strftime("%Y-%m-%dT%H:%M:%SZ")
    table = pd.DataFrame({"timestamp": stamps, "load": load, "temperature": temperature})
    table.to_csv(folder / "zone.csv", index=False)
    (folder / "zone.toml").write_text(TOML, encoding="utf-8")


def command(name: str, folder: Path) -> Callable[[], int]:
    """A command of the command line that works in a folder."""

    def work() -> int:
        from paretocast.cli import main

        os.chdir(folder)
        os.environ["PATH"] = f"{folder}/bin:/usr/bin:/bin"
        os.environ["XDG_CONFIG_HOME"] = str(folder)
        sys.argv = ["paretocast", *WORDS[name]]
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return work


def make_start(name: str, folder: Path, *, kept: Path | None = None) -> Path:
    """The files that a command starts from, taken from or put into a folder that keeps them."""
    start = folder / f"start_{name}"
    if kept is not None and (kept / name).exists():
        return Path(shutil.copytree(kept / name, start))
    start.mkdir()
    write_data(start)
    before = {"tune": (), "submit": (), "forecast": ("tune", "deploy"), "observe": ("tune",)}
    if name == "submit":
        for word, line in QUEUE.items():
            path = start / "bin" / word
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/bash\n{line}\n", encoding="utf-8")
            path.chmod(0o755)
        (start / "queue").mkdir()
    steps = [*before.get(name, ("tune",))]
    steps += ["deploy", "forecast"] if name == "observe" else []
    for step in steps:
        ended = run_child(command(step, start), start)
        assert ended.code == 0, ended.said
    if kept is not None:
        shutil.copytree(start, kept / name)
    return start


def results(name: str, folder: Path) -> dict[str, Any]:
    """What a command has led to, without times of a clock."""
    found: dict[str, Any] = {}
    if name == "submit":
        found["jobs"] = len(list((folder / "queue").iterdir()))
        found["submissions"] = len(list(folder.glob("hpo/results/*/submission_*.json")))
        found["unclear"] = len(list(folder.glob("hpo/tracking/submitting/*/*.json")))
        return found
    for path in sorted(folder.glob("hpo/results/*/trials_*/*/record.json")):
        record = json.loads(path.read_text())
        found[path.parent.name] = record["config"], record["scores"]
    for path in sorted(folder.glob("hpo/results/*/best_params_*.json")):
        result = json.loads(path.read_text())
        found[path.name] = result["best_params"], result["best_mae"], result["n_completed"]
    for path in sorted(folder.glob("hpo/results/*/calibrator_*.json")):
        found[path.name] = json.loads(path.read_text())["calibrator"]
    history = folder / "hpo" / "benchmarks" / "history.csv"
    if history.exists():
        rows = [line.split(",") for line in history.read_text().splitlines()]
        found["history"] = [row[2:] for row in rows[-2:]]
    deploy = folder / "deploy"
    for path in [*deploy.glob("journal/issued/*/*"), *deploy.glob("journal/observed.csv")]:
        found[str(path.relative_to(folder))] = path.read_text()
    if (deploy / "current").exists():
        found["bundle"] = (deploy / "current").read_text()
    return found


def damage(folder: Path) -> list[str]:
    """What is half written or broken; files of Optuna's copy and logs are no results."""
    from paretocast.deployment.bundle import load_bundle
    from paretocast.errors import ParetocastError
    from paretocast.workspace import files

    found = []
    for path in folder.rglob("*"):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            if path.suffix == ".json":
                files.load_json(path)
            elif path.suffix == ".npz":
                files.load_arrays(path)
            elif path.suffix in ENDS and not path.read_text().rstrip().endswith(ENDS[path.suffix]):
                found.append(f"{path} is cut")
        except ParetocastError as error:
            found.append(str(error))
    for path in folder.glob("deploy/bundles/[!.]*"):
        try:
            load_bundle(path)
        except ParetocastError as error:
            found.append(str(error))
    return found


@dataclass
class Found:
    """Numbers of faults that were tried, and of what came of them."""

    tried: int = 0
    passed_over: int = 0
    half_written: int = 0
    unclear: int = 0
    not_resumed: int = 0
    other_results: int = 0
    n_told: int = 0

    def tell(self, what: str, text: str) -> None:
        """Print a few words on a fault."""
        self.n_told += 1
        print(f"{what}: {text[-600:]}", flush=True)


def try_fault(
    name: str,
    start: Path,
    expected: dict[str, Any],
    found: Found,
    *,
    fault: Fault,
    at: int | None,
    kill_after: float | None = None,
) -> None:
    """Run a command with a fault, look at what it has left, and give it again."""
    where = f"{name}, {fault.value} at {at or f'{kill_after:.2f} s'}"
    folder = start.with_name("work")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, folder)
    ended = run_child(command(name, folder), folder, at=at, fault=fault, kill_after=kill_after)
    if fault is Fault.KILL and ended.code is not None:
        return  # it was faster
    found.tried += 1
    if fault is not Fault.KILL:
        unclear = "Traceback" in ended.said or ended.code not in {0, 1}
        told = re.search(r"error: .*(space|too large|make room)", ended.said)
        unclear |= ended.code == 1 and not told
        found.unclear += unclear
        found.passed_over += ended.code == 0
        if unclear:
            found.tell(f"{where}, code {ended.code}", ended.said)
        if left := list(folder.rglob("*.part")):
            found.half_written += 1
            found.tell(where, f"left {left}")
    if broken := damage(folder):
        found.half_written += 1
        found.tell(where, "; ".join(broken))
    if name == "submit" and results(name, folder) == expected:
        return  # all was done: the same words would ask for another job
    again = run_child(command(name, folder), folder)
    if again.code != 0:
        found.not_resumed += 1
        found.tell(f"{where}, again", again.said)
    elif (got := results(name, folder)) != expected:
        found.other_results += 1
        differing = [key for key in {*got, *expected} if got.get(key) != expected.get(key)]
        found.tell(where, f"other results: {differing} {[got.get(k) for k in differing]}"[:600])


def undisturbed(name: str, start: Path) -> tuple[Ended, dict[str, Any], float]:
    """An undisturbed run, its results and its seconds."""
    folder = start.with_name("calm")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, folder)
    began = time.perf_counter()
    ended = run_child(command(name, folder), folder)
    assert ended.code == 0, ended.said
    return ended, results(name, folder), time.perf_counter() - began


def main() -> None:
    """Print what came of the faults."""
    parser = script_parser(__doc__)
    parser.add_argument("--fault", choices=("disk", "kill"), default="disk")
    parser.add_argument("--of", default=",".join(WORDS), help="commands, joined by commas")
    parser.add_argument("--every", type=int, default=1, help="write of those that are tried")
    parser.add_argument("--first", type=int, default=1, help="write")
    parser.add_argument("--model", default=MODEL, help="that is tuned; RIDGE is fast")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seconds", type=float, default=86_400.0, help="then stop")
    parser.add_argument("--starts", type=Path, help="folder that keeps the files to start from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="forecast and observe alone")
    arguments = parser.parse_args()
    names = ["forecast", "observe"] if arguments.quick else arguments.of.split(",")
    for name, words in WORDS.items():
        WORDS[name] = [word.replace(MODEL, arguments.model) for word in words]
    import_all()
    stop = time.perf_counter() + arguments.seconds
    rng, rows, figures = random.Random(arguments.seed), [], {}
    for name in names:
        found = Found()
        with tempfile.TemporaryDirectory(prefix="faults-") as place:
            start = make_start(name, Path(place), kept=arguments.starts)
            ended, expected, seconds = undisturbed(name, start)
            if arguments.fault == "disk":
                for at in range(arguments.first, ended.n_writes + 1, arguments.every):
                    if time.perf_counter() > stop:
                        print(f"{name}: stopped before write {at}")
                        break
                    for fault in (Fault.NO_FILE, Fault.NO_CONTENT):
                        try_fault(name, start, expected, found, fault=fault, at=at)
            while arguments.fault == "kill" and found.tried < arguments.kills:
                if time.perf_counter() > stop:
                    break
                nth = rng.randint(1, ended.n_writes) if rng.random() < 0.5 else None
                after = None if nth else rng.uniform(0.0, seconds)
                try_fault(name, start, expected, found, fault=Fault.KILL, at=nth, kill_after=after)
                if found.tried % TOLD == 0:
                    print(name, vars(found), flush=True)
        row = [found.tried, found.half_written, found.unclear, found.not_resumed]
        rows.append([name, ended.n_writes, *row, found.other_results, found.passed_over])
        figures[name] = {**vars(found), "writes": ended.n_writes}
        print(name, vars(found), flush=True)
    columns = ["command", "writes", "faults", "half written", "unclear", "not resumed"]
    print_table([*columns, "other results", "passed over"], rows)
    print_result(figures, seed=arguments.seed)


def import_all() -> None:
    """Import what commands import, once and not in every child."""
    for name in IMPORTED:
        importlib.import_module(name)


if __name__ == "__main__":
    main()
