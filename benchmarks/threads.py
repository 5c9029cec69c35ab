"""Seconds of a trial by threads, with other processes beside it: what the default should be.

    python benchmarks/threads.py --data-dir DATA [--quick]

Processes train N-HiTS with its default config, all at once, and the slowest one counts. One thread
each is compared with two, and with two that sleep instead of spinning while they wait for each
other (OMP_WAIT_POLICY=PASSIVE, read when a process starts). Ratios are to one process with one
thread in the same round. A share of the machine is lost in which others compute: run it on an idle
one, and on a busy one. The last line also says whether weights are equal bit for bit after training
with one and with two threads.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from clocks import alternate, median_ratio
from harness import print_result, print_table, script_parser

MODEL = "NHITS_Q"
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Case:
    """So many processes at once with so many threads each."""

    n_processes: int
    n_threads: int
    passive: bool = False

    @property
    def name(self) -> str:
        """The case in words."""
        waiting = " passive" if self.passive else ""
        return f"{self.n_processes} x {self.n_threads}{waiting}"


WAYS = ((1, False), (2, False), (2, True))
CASES = tuple(Case(n, threads, passive) for n in (1, 2, 4) for threads, passive in WAYS)
ALONE = CASES[0].name


class Trainer:
    """A process of its own that trains when it is told to; its first answer says it is ready."""

    def __init__(self, data_dir: Path | None, *, passive: bool) -> None:
        command = [sys.executable, __file__, "--as-trainer"]
        command += [] if data_dir is None else ["--data-dir", str(data_dir)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(PASSIVE if passive else {})},
        )

    def order(self, *, n_threads: int, n_steps: int) -> None:
        """Begin a training; `answer` waits for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{n_threads} {n_steps}\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        """The next line of the process: seconds per step and a hash of the weights."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


def serve(data_dir: Path | None) -> None:
    """Train as the lines of standard input say: threads and steps."""
    from library_match import config_with, load_task

    from paretocast.settings import TrainingSettings, TuneSettings
    from paretocast.training import use_threads
    from paretocast.training.setup import TrainingSetup, start_training

    settings = TuneSettings(model=MODEL, training=TrainingSettings(anchor="none"))
    setup = TrainingSetup.from_settings(settings, load_task(data_dir), device="cpu")
    print("ready", flush=True)
    for line in sys.stdin:
        n_threads, n_steps = map(int, line.split())
        use_threads(n_threads)
        training = start_training(setup, config_with(MODEL), seed=1)
        started = time.perf_counter()
        training.advance(n_steps)
        seconds = (time.perf_counter() - started) / n_steps
        weights = b"".join(w.detach().numpy().tobytes() for w in training.model.parameters())
        print(seconds, hashlib.sha256(weights).hexdigest(), flush=True)


def run_case(case: Case, trainers: dict[bool, list[Trainer]], *, n_steps: int) -> float:
    """Seconds per step of the slowest process."""
    taking_part = trainers[case.passive][: case.n_processes]
    for trainer in taking_part:
        trainer.order(n_threads=case.n_threads, n_steps=n_steps)
    return max(float(trainer.answer().split()[0]) for trainer in taking_part)


def equal_weights(trainer: Trainer, *, n_steps: int) -> bool:
    """Return whether one and two threads give the same weights, bit for bit."""
    hashes = set()
    for n_threads in (1, 2):
        trainer.order(n_threads=n_threads, n_steps=n_steps)
        hashes.add(trainer.answer().split()[1])
    return len(hashes) == 1


def measure(arguments: argparse.Namespace) -> tuple[dict[str, list[float]], bool]:
    """Seconds per step of every case by round, and whether threads leave the weights alone."""
    most = max(case.n_processes for case in CASES)
    trainers = {
        passive: [Trainer(arguments.data_dir, passive=passive) for _ in range(most)]
        for passive in (False, True)
    }
    try:
        for trainer in (*trainers[False], *trainers[True]):
            trainer.answer()  # it is ready
        equal = equal_weights(trainers[False][0], n_steps=arguments.steps)  # and warms up
        turns = {
            case.name: lambda case=case: run_case(case, trainers, n_steps=arguments.steps)
            for case in CASES
        }
        return alternate(turns, n_rounds=arguments.rounds), equal
    finally:
        for group in trainers.values():
            for trainer in group:
                trainer.close()


def main() -> None:
    """Print one row per number of processes and threads."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, default=None, help="heat; else the demo series")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40, help="of one training")
    parser.add_argument("--quick", action="store_true", help="1 round of 10 steps")
    parser.add_argument("--as-trainer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_trainer:
        serve(arguments.data_dir)
        return
    if arguments.quick:
        arguments.rounds, arguments.steps = 1, 10
    load_before = os.getloadavg()[0]
    measured, equal = measure(arguments)
    rows = [
        [
            case.n_processes,
            case.n_threads,
            "sleeps" if case.passive else "spins",
            1e3 * statistics.median(measured[case.name]),
            median_ratio(measured[case.name], measured[ALONE]),
        ]
        for case in CASES
    ]
    print_table(["processes", "threads", "waiting", "ms per step", "to one alone"], rows)
    print(f"weights with one and with two threads {'equal' if equal else 'differ'}")
    print_result({"rounds": measured, "equal_weights": equal, "load_before": load_before}, seed=1)


if __name__ == "__main__":
    main()
