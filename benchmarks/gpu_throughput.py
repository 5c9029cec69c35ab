"""Speed of training on a GPU: both precisions, and several trials on one device.

    python benchmarks/gpu_throughput.py [--data-dir DATA] [--quick]

First table: windows per second of our training steps, in turns, medians over rounds. *bf16* is what
training uses on CUDA: bf16 autocast, the gradients of a step captured as one CUDA graph. *float32*
is the same without autocast, PyTorch's default without TF32 in matrix products; *eager* is bf16
without a graph; *fit* is `NeuralForecast.fit` with its defaults on the same device (`--no-fit`
leaves it out). The batch is the one that training chooses for the device. `--compile` adds what
`torch.compile` makes of the eager step, and the seconds until its first step has ended.

Second table: one full training of each model with its default config, anchor and transform, as a
trial has it: its seconds and its loss on the stop split, scaled units, in both precisions.

Third table: n small trials (N-HiTS, default config) in n processes on one device, all training at
once, against the same trials one after the other. Every process has imported, built and warmed up
before the clock starts, as workers have after their first trial. No CUDA MPS is needed; where it
runs, it is used. A graph leaves little of the device idle: where steps are captured, expect a gain
of about 1.

Without a CUDA device nothing is measured and the script ends well. --device cpu rehearses it.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clocks import alternate, median_ratio, paced
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from multiprocessing.synchronize import Barrier

    from library_match import Match
    from train_throughput import Case

    from paretocast.data.task import Task
    from paretocast.training import Training

TRIAL_MODEL = "NHITS_Q"
CONCURRENT = (1, 4, 16)
GOAL, AIM = 4.0, 8.0
WAIT_SECONDS = 600.0

_start_line: Barrier | None = None  # of a worker process


def clocked_steps(training: Training, n_steps: int) -> float:
    """Seconds of some steps, their work on the device included."""
    from library_match import take_steps

    wait_for(training.source.device.type)
    started = time.perf_counter()
    take_steps(training, n_steps)
    wait_for(training.source.device.type)
    return time.perf_counter() - started


def wait_for(device_type: str) -> None:
    """Return when the device has done everything it was asked for."""
    import torch

    if device_type == "cuda":
        torch.cuda.synchronize()


def run_steps(
    match: Match, *, in_float32: bool = False, captures: bool = True
) -> Callable[[int], float]:
    """Seconds per step of our training, in the precision of the device or in float32."""
    from library_match import InFloat32

    from paretocast.training.graph import STEPS_BEFORE_CAPTURE

    training = match.start_ours()
    training.captures &= captures
    if in_float32:
        training.model = InFloat32(training.model)

    def run(n_steps: int) -> float:
        if training.step == 0:
            clocked_steps(training, STEPS_BEFORE_CAPTURE + 1)
        seconds = clocked_steps(training, n_steps) / n_steps
        if captures and training.source.device.type == "cuda" and not training.captures:
            raise RuntimeError(f"the steps of {match.setup.model} could not be captured")
        return seconds

    return run


def run_compiled(match: Match) -> tuple[Callable[[int], float], float]:
    """Seconds per step of the compiled model without a graph, and those until its first step."""
    import torch

    training = match.start_ours()
    training.captures = False
    started = time.perf_counter()
    training.model = torch.compile(training.model)  # type: ignore[assignment]
    clocked_steps(training, 2)
    seconds = time.perf_counter() - started
    return lambda n_steps: clocked_steps(training, n_steps) / n_steps, seconds


def measure_precision(case: Case, task: Task, arguments: argparse.Namespace) -> dict[str, Any]:
    """Windows per second of a size in both precisions and in the library."""
    from library_match import config_with, make_match
    from train_throughput import run_library

    config = config_with(case.model, **case.changes)
    match = make_match(task, case.model, config, device=arguments.device)
    accelerator = "gpu" if match.setup.source.device.type == "cuda" else "cpu"
    runs = {
        "bf16": run_steps(match),
        "float32": run_steps(match, in_float32=True),
        "eager": run_steps(match, captures=False),
    }
    compiling = None
    if arguments.compile:
        runs["compiled"], compiling = run_compiled(match)
    if arguments.fit:
        runs["fit"] = run_library(match, accelerator=accelerator)
    turns = {
        name: paced(run, seconds=arguments.seconds, fewest=1 if arguments.quick else 10)
        for name, run in runs.items()
    }
    measured = alternate(turns, n_rounds=arguments.rounds)
    return {
        "model": case.model,
        "size": case.size,
        "batch_size": match.batch_size,
        "windows_per_second": {
            name: match.batch_size / statistics.median(seconds)
            for name, seconds in measured.items()
        },
        **{
            f"{name}/bf16": median_ratio(measured[name], measured["bf16"])
            for name in runs
            if name != "bf16"
        },
        "seconds_to_compile": compiling,
        "rounds": measured,
    }


def measure_training(task: Task, model: str, device: str, *, in_float32: bool) -> dict[str, Any]:
    """Seconds and stop-split loss of one full training with the default config."""
    from library_match import InFloat32, config_with

    from paretocast.settings import TuneSettings
    from paretocast.training.setup import TrainingSetup, start_training

    config = config_with(model)
    setup = TrainingSetup.from_settings(TuneSettings(model=model, device=device), task)
    training = start_training(setup.prepared(config), config, seed=1)
    if in_float32:
        training.model = InFloat32(training.model)
    training.advance(training.recipe.steps)
    return {
        "model": model,
        "precision": "float32" if in_float32 else "bf16",
        "steps": training.step,
        "seconds": training.fit_seconds,
        "stop_loss": training.best_stop_loss,
        "best_step": training.best_step,
        "captured": training.captures,
    }


def remember_start_line(barrier: Barrier) -> None:
    """Run once in a worker process."""
    global _start_line  # noqa: PLW0603 - a barrier reaches a process only while it is started
    _start_line = barrier


def train_beside_others(data_dir: Path | None, device: str, n_steps: int) -> None:
    """One trial of a worker process: warm up, wait for the others, train."""
    from library_match import config_with, load_task, make_match, silence_library

    from paretocast.training import use_threads

    silence_library()
    use_threads(1)
    match = make_match(load_task(data_dir), TRIAL_MODEL, config_with(TRIAL_MODEL), device=device)
    training = match.start_ours()
    clocked_steps(training, 10)
    if _start_line is not None:
        _start_line.wait(WAIT_SECONDS)
    clocked_steps(training, n_steps)
    if _start_line is not None:
        _start_line.wait(WAIT_SECONDS)


def seconds_together(n_trials: int, arguments: argparse.Namespace) -> float:
    """Seconds of `n_trials` trials, all at once."""
    processes = multiprocessing.get_context("spawn")
    start_line = processes.Barrier(n_trials + 1)

    def abort_on_failure(trial: Future[None]) -> None:
        if trial.exception() is not None:
            start_line.abort()

    with ProcessPoolExecutor(
        n_trials, processes, initializer=remember_start_line, initargs=(start_line,)
    ) as pool:
        trials = [
            pool.submit(
                train_beside_others, arguments.data_dir, arguments.device, arguments.trial_steps
            )
            for _ in range(n_trials)
        ]
        for trial in trials:  # a trial that fails would keep the others waiting
            trial.add_done_callback(abort_on_failure)
        try:
            start_line.wait(WAIT_SECONDS)
            started = time.perf_counter()
            start_line.wait(WAIT_SECONDS)
            seconds = time.perf_counter() - started
        finally:
            for trial in trials:
                trial.result()
    return seconds


def gain(alone: float, together: float, *, n_trials: int) -> float:
    """Factor by which `n_trials` end sooner together than one after the other.

    >>> gain(10.0, 20.0, n_trials=4)
    2.0
    """
    return n_trials * alone / together


def measure_concurrency(counts: list[int], arguments: argparse.Namespace) -> dict[str, Any]:
    """Gains over one trial after the other, medians over rounds."""
    measured = alternate(
        {str(n): lambda n=n: seconds_together(n, arguments) for n in counts},  # type: ignore[misc]
        n_rounds=arguments.trial_rounds,
    )
    gains = {
        n: statistics.median(
            gain(alone, together, n_trials=int(n))
            for alone, together in zip(measured["1"], measured[n], strict=True)
        )
        for n in measured
    }
    return {"seconds": measured, "gains": gains, "steps": arguments.trial_steps}


def has_device(name: str) -> bool:
    """True if there is a device to measure on."""
    import torch

    return not name.startswith("cuda") or torch.cuda.is_available()


def main() -> None:
    """Print both tables, or say that there is no GPU."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, default=None, help="heat; else the demo series")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", default=None, help="some of the models, first table")
    parser.add_argument("--with-goal", action="store_true", help="only sizes with a goal on a CPU")
    parser.add_argument("--no-fit", dest="fit", action="store_false", help="without the library")
    parser.add_argument("--compile", action="store_true", help="torch.compile takes part")
    parser.add_argument("--rounds", type=int, default=5, help="of the first table")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one turn, roughly")
    parser.add_argument("--trial-steps", type=int, default=1000, help="of a trial, third table")
    parser.add_argument("--trial-rounds", type=int, default=3, help="of the third table")
    parser.add_argument(
        "--quick", action="store_true", help="one size of each model, 1 and 4 trials"
    )
    arguments = parser.parse_args()
    if not has_device(arguments.device):
        print(f"no CUDA device is visible for --device {arguments.device}: nothing was measured")
        print_result({"skipped": "no CUDA device"})
        return
    from library_match import load_task, silence_library
    from train_throughput import CASES, quick_cases

    cases = tuple(case for case in CASES if case.goal is not None or not arguments.with_goal)
    counts = list(CONCURRENT)
    if arguments.quick:
        cases, counts = quick_cases(CASES), counts[:2]
        arguments.rounds, arguments.seconds = 1, 0.5
        arguments.trial_steps, arguments.trial_rounds = min(100, arguments.trial_steps), 1
    silence_library()
    task = load_task(arguments.data_dir)
    models = {name.upper() for name in arguments.models or ()}
    sizes = {(case.model, case.size): case for case in cases}
    selected = [case for case in sizes.values() if not models or case.model in models]
    rows = [measure_precision(case, task, arguments) for case in selected]
    names = list(rows[0]["windows_per_second"])
    print_table(
        ["model", "size", "batch"]
        + [f"{name} windows/s" for name in names]
        + [f"{name}/bf16" for name in names[1:]]
        + (["compiling s"] if arguments.compile else []),
        [
            [row["model"], row["size"], row["batch_size"], *row["windows_per_second"].values()]
            + [row[f"{name}/bf16"] for name in names[1:]]
            + ([row["seconds_to_compile"]] if arguments.compile else [])
            for row in rows
        ],
    )
    full = [
        measure_training(task, name, arguments.device, in_float32=in_float32)
        for name in dict.fromkeys(case.model for case in selected)
        for in_float32 in (False, True)
    ]
    columns = ["model", "precision", "steps", "seconds", "stop_loss", "best_step", "captured"]
    print_table(columns, [[row[name] for name in columns] for row in full])
    trials = measure_concurrency(counts, arguments)
    print_table(
        ["trials at once", "seconds", "gain", "goal (aim)"],
        [
            [
                n,
                statistics.median(trials["seconds"][n]),
                value,
                f"{GOAL:g} ({AIM:g})" if n == "16" else "-",
            ]
            for n, value in trials["gains"].items()
        ],
    )
    print_result(
        {"precision": rows, "full": full, "trials": trials, "dataset": task.series.name}, seed=1
    )


if __name__ == "__main__":
    main()
