"""Short trials a second of a study: a journal on disk and a database, many workers.

    python benchmarks/storage_throughput.py [--url postgresql+psycopg://user@host/db] [--quick]

Each worker is a process with a `Study` of its own, as `paretocast worker` has, on one run
directory. Only the training is replaced: a trial sleeps for --trial-seconds and has made-up scores.
Configs are drawn at random, so that no sampler's time is counted. The clock starts when all workers
have opened the study, and stops when the last trial has ended.

`per trial` is the time of a worker from one trial to the next less the sleep: claims, locks,
records, forecasts and the copy in the storage. `lost` counts trials without a record or absent from
the storage, `twice` those that two workers evaluated; both have to be 0. Without --url, sqlite (one
worker) and the journal are measured. The password of a URL comes from PGPASSWORD or ~/.pgpass.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

    from paretocast.settings import TuneSettings
    from paretocast.training.setup import TrainingSetup
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.runs import RunDirectory

WORKERS = (1, 4, 16)


class Stopwatch:
    """An observer that remembers when the last trial ended."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        """Nothing."""

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        """Nothing."""

    def trial_ended(self, record: TrialRecord, outcome: object) -> None:
        """Note the time."""
        del record, outcome
        self.last = time.monotonic()


def sleeping_trial(seconds: float, evaluated: list[int]) -> Any:  # noqa: ANN401 - as run_trial
    """A stand-in for `run_trial`: a record of made-up scores after a sleep."""
    from paretocast.search.selection import TrialState
    from paretocast.training.trial import RungScores, TrialRecord

    def run(
        setup: TrainingSetup, config: dict[str, Any], *, number: int, seed: int, **_: object
    ) -> TrialRecord:
        time.sleep(seconds)
        evaluated.append(number)
        random = np.random.default_rng(seed)
        names = ("mae", "rmse", "mape", "mase", "r2", "pinball", "crps", "mean_width", "winkler")
        scores = dict(zip(names, random.uniform(0.1, 1.0, size=len(names)).tolist(), strict=True))
        scores |= {"picp": float(random.uniform(60, 95)), "n": 2520.0}
        scores["coverage_error"] = abs(scores["picp"] - 80.0)
        shape = (len(setup.task.issues["tune"]), 24, 11)
        return TrialRecord(
            number=number,
            state=TrialState.COMPLETE,
            config=config,
            seed=seed,
            scores=scores,
            picp_interval=(scores["picp"] - 3.0, scores["picp"] + 3.0),
            rungs=(RungScores(1, scores, (scores["picp"] - 3.0, scores["picp"] + 3.0)),),
            steps=1,
            best_step=1,
            stop_losses=((1, 0.1),),
            fit_seconds=seconds,
            peak_memory_mib=0.0,
            forecasts={
                split: random.normal(size=shape).astype(np.float32)
                for split in ("tune", "calibrate")
            },
        )

    return run


def work(
    index: int,
    settings: TuneSettings,
    run: RunDirectory,
    setup: TrainingSetup,
    *,
    seconds: float,
    start: Barrier,
    results: Queue[tuple[list[int], float, float]],
) -> None:
    """One worker, from its own study to the numbers of its trials."""
    from paretocast.study import study as study_module
    from paretocast.study.study import Study

    evaluated: list[int] = []
    vars(study_module)["run_trial"] = sleeping_trial(seconds, evaluated)
    try:
        study = Study(settings, run, setup, shared=settings.storage != "sqlite", worker=index)
    except BaseException:
        start.abort()
        raise
    start.wait()
    started = time.monotonic()
    watch = Stopwatch()
    study.optimise(watch, should_stop=lambda: False)
    results.put((evaluated, started, watch.last))


def measure(
    storage: str,
    setup: TrainingSetup,
    *,
    n_workers: int,
    n_trials: int,
    seconds: float,
    folder: Path,
) -> dict[str, Any]:
    """One study from its first to its last trial."""
    from paretocast.settings import load_settings
    from paretocast.workspace.runs import RunDirectory

    settings = load_settings(
        None, {"trials": n_trials, "storage": storage, "sampler": "random", "dataset": "demo"}
    )
    run = RunDirectory(folder, "NHITS_Q", "demo", f"w{n_workers}-{time.time_ns()}")
    context = multiprocessing.get_context("fork")  # the task and the libraries are there already
    start, results = context.Barrier(n_workers), context.Queue()
    workers = [
        context.Process(
            target=work,
            args=(index, settings, run, setup),
            kwargs={"seconds": seconds, "start": start, "results": results},
        )
        for index in range(n_workers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("a worker failed, see above")
    ends = [results.get() for _ in workers]
    elapsed = max(end for _, _, end in ends) - min(began for _, began, _ in ends)
    times = Counter(number for numbers, _, _ in ends for number in numbers)
    recorded = sum(run.record(number).exists() for number in range(n_trials))
    stored = count_stored(storage, run)
    return {
        "storage": storage.partition("://")[0],
        "workers": n_workers,
        "trials": n_trials,
        "seconds": elapsed,
        "trials/s": n_trials / elapsed,
        "per trial ms": 1000.0 * (n_workers * elapsed / n_trials - seconds),
        "lost": 2 * n_trials - recorded - stored,
        "twice": sum(count - 1 for count in times.values()),
    }


def count_stored(storage: str, run: RunDirectory) -> int:
    """Complete trials in Optuna's copy."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    source: Any = storage
    if storage == "sqlite":
        source = f"sqlite:///{run.study_database.absolute()}"
    elif storage == "journal":
        source = JournalStorage(JournalFileBackend(str(run.study_journal)))
    trials = optuna.load_study(study_name=run.study_name, storage=source).trials
    return sum(trial.state is optuna.trial.TrialState.COMPLETE for trial in trials)


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument("--url", help="a database to measure as well")
    parser.add_argument("--trials", type=int, default=160)
    parser.add_argument("--trial-seconds", type=float, default=0.5)
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS))
    parser.add_argument("--quick", action="store_true", help="32 trials of 0.1 s")
    arguments = parser.parse_args()
    n_trials = 32 if arguments.quick else arguments.trials
    seconds = 0.1 if arguments.quick else arguments.trial_seconds

    from paretocast.data.task import Task
    from paretocast.settings import TuneSettings
    from paretocast.training import use_threads
    from paretocast.training.setup import TrainingSetup

    use_threads(1)
    settings = TuneSettings(device="cpu")  # the default model on the demo series
    setup = TrainingSetup.from_settings(settings, Task.from_settings(settings))
    storages = ["journal", *([arguments.url] if arguments.url else [])]
    cases = [("sqlite", 1), *((storage, n) for storage in storages for n in arguments.workers)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for storage, n_workers in cases:
            rows.append(
                measure(
                    storage,
                    setup,
                    n_workers=n_workers,
                    n_trials=n_trials,
                    seconds=seconds,
                    folder=Path(folder),
                )
            )
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    print_result({"trial_seconds": seconds, "rows": rows})


if __name__ == "__main__":
    main()
