"""Losses of a study that several workers share when they are killed: nothing that was finished.

    python experiments/fault_injection.py [--kills 200] [--workers 3] [--seed 1] [--quick]

Workers are forked from a process that has loaded the libraries and the data, so that a kill meets
work instead of imports. About half of the kills come from outside once a worker has used a random
amount of CPU time, and take, one time in ten, all workers along. The others a worker deals itself
at a random operation on a file, between the operation's request and its execution: between record
and journal, between temporary file and rename, with the study lock in hand. After the kills, fresh
workers finish the study.

A trial is lost if its record was seen and is gone or changed; it is duplicated if it was evaluated
to its end twice, or is in Optuna's journal twice. Some trials that went on from a checkpoint are
trained again without interruption and compared bit for bit.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    from collections.abc import Callable

    from paretocast.settings import TuneSettings
    from paretocast.study.outcome import Outcome
    from paretocast.training.setup import TrainingSetup
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.runs import RunDirectory

MAX_DEATHS = 1000  # kills are no fault of a trial here
TRAINING = {"steps": 60, "batch_size": 32, "n_evaluations": 6, "n_rungs": 3}
SPACE = {"NHITS_Q": {"layer_widths": {"values": [16, 32]}, "num_stacks": {"low": 2, "high": 2}}}
VALIDATION = timedelta(weeks=10)
TRIALS_AFTER_THE_KILLS = 5
MOST_FILE_OPERATIONS = 200  # a worker opens the study with some 40, a short trial takes as many
MEAN_CPU_SECONDS = 1.0  # of a life that ends from outside; a tenth of a second opens the study
SECONDS_BETWEEN_CHECKS = 0.05
FILE_EVENTS = {
    "open",
    "os.rename",
    "os.link",
    "os.remove",
    "os.truncate",
    "os.mkdir",
    "fcntl.flock",
}


@dataclass
class Tally:
    """Kills, and the records of the study as they are seen from outside.

    Attributes
    ----------
    digests : dict of trial and seed to str
        Of every record at the moment it was first seen.
    """

    digests: dict[tuple[int, int], str] = field(default_factory=dict)
    changed: set[tuple[int, int]] = field(default_factory=set)
    n_from_outside: int = 0
    n_by_themselves: int = 0
    unexpected: list[int] = field(default_factory=list)

    @property
    def n_kills(self) -> int:
        return self.n_from_outside + self.n_by_themselves

    def compare_records(self, run: RunDirectory) -> None:
        """Compare the records on disk with what was seen before."""
        digests = {}
        for path in run.trials_folder.glob("*/**/record.json"):
            parts = path.relative_to(run.trials_folder).parts
            seed_index = int(parts[1].removeprefix("seed_")) if len(parts) == 3 else 0
            digests[int(parts[0]), seed_index] = hashlib.sha256(path.read_bytes()).hexdigest()
        self.changed |= {key for key, digest in self.digests.items() if digests.get(key) != digest}
        self.digests = {**digests, **self.digests}


class EventLog:
    """An observer that appends what happens to a file, one short line at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        del config
        self._append(f"{'resumed' if resumed else 'started'} {number}")

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        pass

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        del outcome
        self._append(f"ended {record.number}.{record.seed_index}")

    def _append(self, line: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)


def kill_self_at(n_operations: int) -> None:
    """Have this process kill itself at its n-th operation on a file."""
    left = n_operations

    def count(event: str, _arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in FILE_EVENTS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def start_worker(
    settings: TuneSettings,
    run: RunDirectory,
    setup: TrainingSetup,
    log: Path,
    *,
    dies_at: int | None,
) -> int:
    """Fork a worker; it kills itself at its operation `dies_at` on a file, if that is given."""
    from paretocast.study.study import Study

    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if dies_at is not None:
            kill_self_at(dies_at)
        study = Study(settings, run, setup, shared=True, worker=os.getpid())
        study.optimise(EventLog(log), should_stop=lambda: False)
        code = 0
    except BaseException:  # noqa: BLE001  (a child must not return into its parent's code)
        traceback.print_exc()
    finally:
        os._exit(code)


class WorkerPool:
    """Workers that are killed and replaced."""

    def __init__(self, start: Callable[[int | None], int], rng: np.random.Generator) -> None:
        self._start = start
        self._rng = rng
        self._lives: dict[int, float] = {}

    def fill(self, n_workers: int) -> None:
        """Start workers until there are so many; about half of them will kill themselves."""
        while len(self._lives) < n_workers:
            if self._rng.random() < 0.5:
                pid = self._start(int(self._rng.integers(1, MOST_FILE_OPERATIONS)))
                self._lives[pid] = float("inf")
            else:
                self._lives[self._start(None)] = float(self._rng.exponential(MEAN_CPU_SECONDS))

    def reap(self, tally: Tally) -> None:
        """Count those that have ended by themselves."""
        for pid in list(self._lives):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            del self._lives[pid]
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                tally.n_by_themselves += 1
            else:
                tally.unexpected.append(status)

    def kill_expired(self, tally: Tally) -> None:
        """Kill those that have lived long enough, and now and then all others with them."""
        old = [pid for pid, life in self._lives.items() if cpu_seconds(pid) >= life]
        if old and self._rng.random() < 0.1:
            old = list(self._lives)
        self._kill(old, tally)

    def kill_all(self, tally: Tally) -> None:
        """Kill everybody."""
        self._kill(list(self._lives), tally)

    def _kill(self, pids: list[int], tally: Tally) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
            del self._lives[pid]
            tally.n_from_outside += 1


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def inject(
    run: RunDirectory,
    start: Callable[[int | None], int],
    *,
    n_kills: int,
    n_workers: int,
    rng: np.random.Generator,
) -> Tally:
    """Kill workers and start new ones in their place until enough have died."""
    tally, pool = Tally(), WorkerPool(start, rng)
    while tally.n_kills < n_kills and not tally.unexpected:
        pool.fill(n_workers)
        time.sleep(SECONDS_BETWEEN_CHECKS)
        n_before = tally.n_kills
        pool.reap(tally)
        pool.kill_expired(tally)
        if tally.n_kills > n_before:
            tally.compare_records(run)
    pool.kill_all(tally)
    tally.compare_records(run)
    return tally


def finish(
    settings: TuneSettings, run: RunDirectory, setup: TrainingSetup, log: Path, *, n_workers: int
) -> bool:
    """Let fresh workers end the study; whether all ended well."""
    pids = [start_worker(settings, run, setup, log, dies_at=None) for _ in range(n_workers)]
    return [os.waitpid(pid, 0)[1] for pid in pids] == [0] * n_workers


def goes_on_until(n_rungs: int) -> Callable[[int, dict[str, float]], bool]:
    """A verdict that ends a trial at the rung where it ended before."""
    return lambda rung, _scores: rung + 1 < n_rungs


def repeat_exactly(run: RunDirectory, setup: TrainingSetup, numbers: list[int]) -> int:
    """Number of these trials that have the same scores when trained without interruption."""
    from paretocast.study.trial_store import load_record
    from paretocast.training.trial import run_trial

    n_equal = 0
    for number in numbers:
        record = load_record(run, number)
        if record is None:
            continue
        again = run_trial(
            setup,
            record.config,
            number=number,
            seed=record.seed,
            survives=goes_on_until(len(record.rungs)),
        )
        n_equal += again.scores == record.scores
    return n_equal


def journal_faults(run: RunDirectory, n_trials: int) -> int:
    """Trials that Optuna's journal lacks, holds twice or holds unfinished."""
    import optuna

    backend = optuna.storages.journal.JournalFileBackend(str(run.study_journal))
    storage = optuna.storages.JournalStorage(backend)
    trials = optuna.load_study(study_name=run.study_name, storage=storage).trials
    unfinished = sum(not trial.state.is_finished() for trial in trials)
    return abs(len(trials) - n_trials) + unfinished


def main() -> None:
    """Print kills, losses and duplicates."""
    parser = script_parser(__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="12 kills of 2 workers")
    arguments = parser.parse_args()
    n_kills, n_workers = (12, 2) if arguments.quick else (arguments.kills, arguments.workers)
    with tempfile.TemporaryDirectory(
        prefix="paretocast-faults-", ignore_cleanup_errors=True
    ) as folder:
        figures = run_test(Path(folder), n_kills=n_kills, n_workers=n_workers, seed=arguments.seed)
    print_table(["measure", "value"], [[name, value] for name, value in figures.items()])
    print_result(figures, seed=arguments.seed)


def run_test(folder: Path, *, n_kills: int, n_workers: int, seed: int) -> dict[str, Any]:
    """Prepare a study on the demo series, kill its workers, finish it, count the losses."""
    from paretocast.data import load_dataset
    from paretocast.data.task import Task
    from paretocast.search.samplers import design_point
    from paretocast.settings import load_settings
    from paretocast.study.study import Study
    from paretocast.training import use_threads
    from paretocast.training.setup import TrainingSetup, start_training
    from paretocast.workspace.runs import RunDirectory

    use_threads(1)
    shared = {"training": TRAINING, "space": SPACE, "device": "cpu", "workers": n_workers}
    settings = load_settings(None, {**shared, "trials": 1_000_000, "max_deaths": MAX_DEATHS})
    dataset = load_dataset("demo")
    dates = replace(dataset.dates, validation_to=dataset.dates.train_to + VALIDATION)
    task = Task.from_settings(settings, dataset=replace(dataset, dates=dates))
    setup = TrainingSetup.from_settings(settings, task, device="cpu")
    run, log = RunDirectory(folder, "NHITS_Q", "demo", "faults"), folder / "events.log"
    # What a first use imports. No gradient: torch forbids a fork after one.
    Study(settings, run, setup, shared=True)
    start_training(setup, design_point(settings.space_of_model(), 1, seed=seed), seed=seed)
    started = time.perf_counter()
    tally = inject(
        run,
        lambda dies_at: start_worker(settings, run, setup, log, dies_at=dies_at),
        n_kills=n_kills,
        n_workers=n_workers,
        rng=np.random.default_rng(seed),
    )
    begun = sum(path.name.isdigit() for path in run.trials_folder.iterdir())
    n_trials = begun + TRIALS_AFTER_THE_KILLS
    last = load_settings(None, {**shared, "trials": n_trials})
    finished = finish(last, run, setup, log, n_workers=n_workers)
    tally.compare_records(run)
    seconds = time.perf_counter() - started
    events = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    ended = [words[1] for words in events if words[0] == "ended"]
    resumed = sorted({int(words[1]) for words in events if words[0] == "resumed"})
    trials = [number for number, seed_index in tally.digests if seed_index == 0]
    compared = resumed[:: max(1, len(resumed) // 5)][:5]
    return {
        "kills": tally.n_kills,
        "kills_from_outside": tally.n_from_outside,
        "kills_within_file_operations": tally.n_by_themselves,
        "workers": n_workers,
        "workers_that_failed_otherwise": len(tally.unexpected),
        "trials_asked_for": n_trials,
        "trials_completed": len(trials),
        "repeats_completed": len(tally.digests) - len(trials),
        "completed_trials_lost": len(tally.changed),
        "trials_duplicated": len(ended) - len(set(ended)),
        "faults_in_journal": journal_faults(run, n_trials),
        "trials_resumed_from_checkpoint": len(resumed),
        "resumed_trials_compared": len(compared),
        "resumed_trials_equal_to_uninterrupted": repeat_exactly(run, setup, compared),
        "study_finished": finished and sorted(trials) == list(range(n_trials)),
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
