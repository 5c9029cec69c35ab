"""Faults of the machine around a command: signals, limits, closed folders, streams that fail.

Each command is a process of its own. It works, or ends with a line that says what the machine
refuses; never with a traceback.
"""

from __future__ import annotations

import csv
import fcntl
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from earlier import two_studies
from paretocast.workspace.files import load_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAM = (sys.executable, "-m", "paretocast")
RUN = "hpo/results/NHITS_Q_small"
TUNE = ("tune", "--settings", "settings.toml", "--repeats", "1")
RESUME = (*TUNE, "--job-id", "old", "--resume", "--trials", "5")
# For root no folder is closed, and no number of processes too high.
AS_OWNER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
AS_NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


def process_of(*words: str) -> tuple[str, ...]:
    """The words that start a command as somebody whom permissions bind."""
    if os.geteuid() != 0:
        return (*PROGRAM, *words)
    if subprocess.run([*AS_OWNER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("setpriv cannot lay root's rights down here")
    return (*AS_OWNER, *PROGRAM, *words)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a small data set, settings, and two studies in the workspace `hpo`."""
    return two_studies(tmp_path).folder


def run(
    command: tuple[str, ...] | str, place: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command, or a line of bash in which "$@" stands for the command line, to its end."""
    words = ["bash", "-c", command, "bash", *PROGRAM] if isinstance(command, str) else [*command]
    return subprocess.run(
        words,
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )


def finished(place: Path) -> set[str]:
    """Ids of the studies of the small data set that have their result and their page."""
    folder = place / RUN
    results = {path.stem.rpartition("_")[2] for path in folder.glob("best_params_*.json")}
    pages = {path.stem.removeprefix("study_") for path in folder.glob("study_*.html")}
    return results & pages


EARLY = (0.05, 0.12, 0.3, 0.6, 1.0, 1.6, 2.5)  # seconds after the first line of ours
# What is interrupted before is Python itself, which prints a traceback of its own.
BEGIN = "from paretocast.__main__ import run; print('begun', flush=True); run()"


@pytest.mark.parametrize(
    "words",
    [("--help",), ("data", "check", "demo"), ("tune", "--dataset", "demo")],
    ids=["early_int_--help", "early_int_data", "early_int_tune"],
)
def test_an_early_ctrl_c_leaves_no_traceback(tmp_path: Path, words: tuple[str, ...]) -> None:
    codes = []
    for seconds in EARLY:
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        assert "Error" not in err
        codes.append(process.returncode)
    assert set(codes) <= {-signal.SIGINT, 130, 0}
    assert codes[0] != 0  # it was not over yet


@pytest.mark.parametrize("kilobytes", [500_000, 1_500_000], ids=["ulimit_v500", "ulimit_v1500"])
def test_too_little_memory_is_told(place: Path, kilobytes: int) -> None:
    done = run(f'ulimit -v {kilobytes}; exec "$@" {" ".join(TUNE)} --trials 1', place)
    assert "Traceback" not in done.stderr
    if done.returncode != 0:
        assert done.returncode == 1
        assert re.search(r"error: (out of memory|a library cannot be loaded, mem)", done.stderr)


@pytest.mark.parametrize("most", [2, 5], ids=["ulimit_u2", "ulimit_u"])
def test_too_few_processes_for_threads_are_told(place: Path, most: int) -> None:
    if os.geteuid() != 0 or run((*AS_NOBODY, *PROGRAM, "--version"), place).returncode:
        pytest.skip("needs root and setpriv, to become another user")
    (place / "nobody").mkdir()
    os.chown(place / "nobody", 65534, 65534)
    line = f'ulimit -u {most}; exec "$@" {" ".join(TUNE)} --trials 1 --workspace nobody'
    done = run((*AS_NOBODY, "bash", "-c", line, "bash", *PROGRAM), place)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1 or (most, done.returncode) == (5, 0)
    if done.returncode == 1:
        assert "error: no thread can be started; raise the limit of processes" in done.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=["langC", "ascii", "latin1"],
)
def test_what_an_encoding_lacks_is_escaped(place: Path, environment: dict[str, str]) -> None:
    done = run((*PROGRAM, *TUNE, "--trials", "1", "--job-id", "new"), place, **environment)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "\\u2605" in done.stdout  # ★
    assert finished(place) == {"new"}


@pytest.mark.parametrize(
    "words",
    [
        "data check small.toml",
        "status --workspace hpo",
        "analyze --workspace hpo --format csv",
    ],
    ids=["full_data", "full_status", "full_analyze"],
)
def test_a_full_stdout_is_told(place: Path, words: str) -> None:
    done = run(f'"$@" {words} >/dev/full', place)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: stdout cannot be written: No space left on device; files are complete"
    )
    assert "Traceback" not in done.stderr


@dataclass(frozen=True)
class Closed:
    """A file or folder without any permission, a command, and what it says."""

    id: str
    path: str
    words: str
    says: str
    code: int = 1


NO_OPTION = "error: Invalid value for '{}': path '{}' is not readable"
RECORD = f"{RUN}/trials_old/0000/record.json"
T = " ".join(RESUME)
CLOSED = (
    Closed("dir000", "data", "data check closed.toml", "data/small.csv: Permission denied"),
    Closed("tomldir000", "data", "data check data/small.toml", "data/small.toml: Permission den"),
    Closed(
        "datadir000",
        "data",
        "data check heat --data-dir data",
        NO_OPTION.format("--data-dir", "data"),
        2,
    ),
    Closed(
        "datalist000",
        "data",
        "data list --data-dir data",
        NO_OPTION.format("--data-dir", "data"),
        2,
    ),
    *(
        Closed(
            f"perm_ws_{words.partition(' ')[0]}",
            "hpo",
            words,
            NO_OPTION.format("--workspace", "hpo"),
            2,
        )
        for words in (
            "consolidate --workspace hpo",
            "status --workspace hpo",
            f"{T} --workspace hpo",
        )
    ),
    Closed("perm_ws_calibrate", "hpo", f"calibrate {RUN}", f"{RUN}: Permission denied"),
    Closed("perm_results_calibrate", "hpo/results", f"calibrate {RUN}", f"{RUN}: Permission den"),
    Closed("perm_results_tune", "hpo/results", T, "manifest_old.json cannot be read: Permission"),
    Closed("perm_results_status", "hpo/results", "status", "hpo/results cannot be read: Perm", 0),
    Closed("perm_results_analyze", "hpo/results", "analyze", "hpo/results cannot be read: Perm"),
    Closed(
        "perm_trials_calibrate",
        f"{RUN}/trials_old",
        f"calibrate {RUN}",
        "trials_old/0003/forecasts.npz: Permission denied",
    ),
    Closed(
        "perm_trials_tune", f"{RUN}/trials_old", T, "trials_old cannot be written to: Permission"
    ),
    Closed("perm_trial0_tune", f"{RUN}/trials_old/0000", T, f"{RECORD} cannot be read: Permission"),
    *(
        Closed(f"perm_{name}_{words}", path, words, f"{told} cannot be read: Permission denied", 0)
        for name, path, told in (
            ("folder", RUN, RUN),
            ("trials", f"{RUN}/trials_old", f"{RUN}/trials_old"),
            ("trial0", f"{RUN}/trials_old/0000", RECORD),
            ("record0", RECORD, RECORD),
        )
        for words in ("consolidate", "status")
    ),
    Closed("perm_folder_analyze", RUN, "analyze", f"{RUN} cannot be read: Permission denied", 0),
)


@pytest.mark.parametrize("case", CLOSED, ids=lambda case: case.id)
def test_what_may_not_be_read_is_told_and_hides_no_other_study(place: Path, case: Closed) -> None:
    (place / "data").mkdir()
    for name in ("small.toml", "small.csv"):
        shutil.copy(place / name, place / "data" / name)
    spec = (place / "small.toml").read_text(encoding="utf-8")
    (place / "closed.toml").write_text(spec.replace("small.csv", "data/small.csv"))
    closed = place / case.path
    mode = closed.stat().st_mode
    closed.chmod(0)
    try:
        done = run(process_of(*case.words.split()), place)
    finally:
        closed.chmod(mode)
    said = done.stdout + done.stderr
    assert done.returncode == case.code, said
    assert case.says in said
    assert "Traceback" not in said
    if case.code == 0 and case.path != "hpo/results":
        assert "other" in done.stdout


def test_pty_gone(place: Path) -> None:
    """A search that ignores SIGHUP goes on when its terminal goes away after a trial."""
    terminal, end = pty.openpty()

    def begin() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        fcntl.ioctl(end, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [*PROGRAM, *TUNE, "--trials", "4", "--steps", "300", "--job-id", "gone"],
        cwd=place,
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        preexec_fn=begin,  # noqa: PLW1509
    )
    os.close(end)
    trials = place / RUN / "trials_gone"
    shown = b""
    while not (trials / "0000" / "record.json").exists():
        assert process.poll() is None, shown
        shown += os.read(terminal, 65536)
    assert not (trials / "0003" / "record.json").exists()
    os.close(terminal)
    assert process.wait(timeout=200) in {0, 1}  # 1 says that stdout could not be written
    assert [path.parent.name for path in sorted(trials.glob("*/record.json"))] == [
        f"{number:04d}" for number in range(4)
    ]
    assert finished(place) == {"gone"}


# Whatever takes time is loaded before all of them are let go in the same moment.
TOGETHER = """
import sys
import paretocast.api.evaluation, paretocast.api.tuning, paretocast.training
from paretocast.cli import main
print("loaded", flush=True)
sys.stdin.readline()
main()
"""


def started_together(place: Path, *commands: tuple[str, ...]) -> list[tuple[int, str]]:
    """Exit codes and stderr of commands that begin at once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, *command],
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "loaded\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=200)[1] for process in processes]
    return [(process.returncode, err) for process, err in zip(processes, said, strict=True)]


@pytest.mark.parametrize(
    "seeds", [("1", "2", "3"), ("1", "1")], ids=["same_second", "same_second_equal"]
)
def test_searches_that_begin_at_once_are_studies_of_their_own(
    place: Path, seeds: tuple[str, ...]
) -> None:
    commands = [(*TUNE, "--trials", "1", "--seed", seed) for seed in seeds]
    ended = started_together(place, *commands)
    assert [code for code, _ in ended] == [0] * len(seeds), ended
    ids = finished(place)
    assert len(ids) == len(seeds)
    manifests = [load_json(place / RUN / f"manifest_{job_id}.json") for job_id in ids]
    assert sorted(str(content["settings"]["seed"]) for content in manifests) == sorted(seeds)
    assert all(len(list((place / RUN / f"trials_{i}").glob("*/record.json"))) == 1 for i in ids)
    if len({job_id[: len("local-20261126-202822")] for job_id in ids}) == len(ids):
        pytest.skip("each began in a second of its own")


def test_bench_same_second(place: Path) -> None:
    """Benchmarks of different methods that begin at once: a folder each, all in the history."""
    methods = ("seasonal_naive_24", "seasonal_naive_168", "weekday_hour_mean", "ridge")
    options = ("--dataset", "small.toml", "--models", "NHITS_Q", "--settings", "settings.toml")
    commands = [
        ("benchmark", *options, "--calibrator", "cqr", "--methods", f"tuned,{method}")
        for method in methods
    ]
    ended = started_together(place, *commands)
    assert [code for code, _ in ended] == [0] * len(methods), ended
    files = sorted((place / "hpo" / "benchmarks").glob("small_*/metrics.json"))
    kept = [{row["method"] for row in load_json(path)["rows"]} for path in files]
    assert sorted(kept, key=sorted) == sorted(({"NHITS_Q", m} for m in methods), key=sorted)
    history = (place / "hpo" / "benchmarks" / "history.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(history.splitlines()))
    assert {(row["folder"], row["method"]) for row in rows} == {
        (path.parent.name, method)
        for path, methods_of in zip(files, kept, strict=True)
        for method in methods_of
    }


@pytest.mark.parametrize(
    "words", ["status", "data check demo", "tune --dataset demo --trials 1", "benchmark"]
)
def test_cwd_gone(tmp_path: Path, words: str) -> None:
    """The working directory was removed."""
    done = run(f'mkdir gone; cd gone; rmdir ../gone; exec "$@" {words}', tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the working directory is no longer there; change into another one\n"
    )
