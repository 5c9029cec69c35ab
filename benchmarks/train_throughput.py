"""Speed of training: ours, `NeuralForecast.fit` and the bare limit, in turns.

    python benchmarks/train_throughput.py --data-dir DATA [--quick] [--darts PYTHON]

Ours is the steps of `Training.advance`. `fit` runs on the same scaled series, architecture,
covariates and batch with its default optimizer; logger, progress bar, checkpoints and validation
are off. Lightning tells when each step ended, so start-up and first step are not counted.
TimesNet of the library sees the history of known covariates alone; ours also sees their horizon and
the past covariates.

The bare limit is the library's module on one fixed batch that already lies in memory: forward, our
loss, backward, fused AdamW. What ours takes beyond it is windows, clipping, schedule and average.

--darts names the interpreter of another environment with Darts in it; N-HiTS and TFT then meet
Darts' own in the same rounds.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clocks import alternate, median_ratio, paced
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from library_match import Match

    from paretocast.data.task import Task

MOST_OF_BARE = 1.1


@dataclass(frozen=True)
class Case:
    """A size of a model and what fit / ours should be there, at least and at best."""

    model: str
    batch_size: int
    changes: dict[str, int]
    goal: float | None = None
    aim: float | None = None

    @property
    def size(self) -> str:
        """The sizes that tell the cases of a model apart."""
        return "/".join(str(value) for value in self.changes.values())


CASES = (
    *(
        Case("NHITS_Q", batch, {"layer_widths": width}, *((1.5, 2.0) if width < 1024 else ()))
        for width in (256, 512, 1024)
        for batch in (32, 128)
    ),
    Case("TFT_Q", 32, {"hidden_size": 32}),
    Case("TFT_Q", 32, {"hidden_size": 64}, 1.5, 2.5),
    Case("TFT_Q", 32, {"hidden_size": 128}),
    Case("TIMESNET_Q", 32, {"hidden_size": 64, "conv_hidden_size": 64, "top_k": 3}, 2.5, 4.0),
    Case("TIMESNET_Q", 32, {"hidden_size": 128, "conv_hidden_size": 64, "top_k": 3}),
    Case("TIMESNET_Q", 32, {"hidden_size": 128, "conv_hidden_size": 128, "top_k": 3}),
)


def quick_cases(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """The first size with a goal of each model."""
    with_goal = [case for case in cases if case.goal is not None]
    return tuple({case.model: case for case in reversed(with_goal)}.values())[::-1]


def run_ours(match: Match) -> Callable[[int], float]:
    """Seconds per step of our training."""
    from library_match import take_steps

    training = match.start_ours()

    def run(n_steps: int) -> float:
        started = time.perf_counter()
        take_steps(training, n_steps)
        return (time.perf_counter() - started) / n_steps

    return run


def run_library(match: Match, **settings: object) -> Callable[[int], float]:
    """Seconds per step of `NeuralForecast.fit`."""
    from library_match import train_frame

    frame = train_frame(match.setup)
    return lambda n_steps: match.fit_library(frame, steps=n_steps + 1, **settings)[1]


def run_bare(match: Match) -> Callable[[int], float]:
    """Seconds per step of the library's module on one batch."""
    import torch
    from library_match import LibraryForecaster

    from paretocast.training import pinball_loss

    model = LibraryForecaster(match.build_library()).train()
    source, task = match.setup.source, match.setup.task
    spread = len(task.issues["train"]) // match.batch_size
    positions = torch.from_numpy(task.issues["train"][::spread][: match.batch_size].copy())
    batch, (target, mask) = source.inputs(positions), source.targets(positions)
    levels = torch.tensor(task.shape.levels)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)

    def run(n_steps: int) -> float:
        started = time.perf_counter()
        for _ in range(n_steps):
            optimizer.zero_grad(set_to_none=True)
            loss = pinball_loss(model(batch), target, mask, levels)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
            optimizer.step()
        return (time.perf_counter() - started) / n_steps

    return run


def measure(case: Case, task: Task, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds per step of every contender at one size."""
    from library_match import config_with, make_match

    match = make_match(
        task, case.model, config_with(case.model, **case.changes), batch_size=case.batch_size
    )
    runs = {"ours": run_ours(match), "fit": run_library(match), "bare": run_bare(match)}
    darts = None
    if arguments.darts is not None and case.model != "TIMESNET_Q":
        from darts_steps import DartsProcess

        darts = DartsProcess(arguments.darts, match, threads=arguments.threads)
        runs["darts"] = darts.run
    try:
        turns = {
            name: paced(run, seconds=arguments.seconds, fewest=arguments.fewest)
            for name, run in runs.items()
        }
        measured = alternate(turns, n_rounds=arguments.rounds)
    finally:
        if darts is not None:
            darts.close()
    return summary(case, measured)


def summary(case: Case, measured: dict[str, list[float]]) -> dict[str, Any]:
    """Medians and ratios of a case from its seconds per step."""
    return {
        "model": case.model,
        "size": case.size,
        "batch_size": case.batch_size,
        "ms_per_step": {k: 1e3 * statistics.median(v) for k, v in measured.items()},
        "windows_per_second": {
            k: case.batch_size / statistics.median(v) for k, v in measured.items()
        },
        "ratios": {
            f"{name}/ours": median_ratio(seconds, measured["ours"])
            for name, seconds in measured.items()
            if name not in {"ours", "bare"}
        },
        "ours/bare": median_ratio(measured["ours"], measured["bare"]),
        "goal": case.goal,
        "aim": case.aim,
        "rounds": measured,
    }


def table_row(row: dict[str, Any]) -> list[Any]:
    """A row of the table."""
    milliseconds = row["ms_per_step"]
    return [
        row["model"],
        row["size"],
        row["batch_size"],
        *(milliseconds.get(name, "-") for name in ("ours", "fit", "bare", "darts")),
        row["windows_per_second"]["ours"],
        row["ratios"]["fit/ours"],
        "-" if row["goal"] is None else f"{row['goal']:g} ({row['aim']:g})",
        row["ours/bare"],
        MOST_OF_BARE,
        row["ratios"].get("darts/ours", "-"),
    ]


def main() -> None:
    """Print one row per size of a model."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, default=None, help="heat; else the demo series")
    parser.add_argument("--models", nargs="+", default=None, help="some of the models")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one turn, roughly")
    parser.add_argument("--fewest", type=int, default=2, help="steps of one turn, at least")
    parser.add_argument("--darts", type=Path, default=None, help="an interpreter that has Darts")
    parser.add_argument("--with-goal", action="store_true", help="only sizes that have a goal")
    parser.add_argument("--quick", action="store_true", help="one size of each model, 1 round")
    arguments = parser.parse_args()
    cases = tuple(case for case in CASES if case.goal is not None or not arguments.with_goal)
    if arguments.quick:
        cases, arguments.rounds = quick_cases(CASES), 1
        arguments.seconds, arguments.fewest = 0.5, 1
    models = {name.upper() for name in arguments.models or ()}
    from library_match import load_task, silence_library

    from paretocast.training import use_threads

    silence_library()
    use_threads(arguments.threads)
    if arguments.darts is None:
        print("Darts is left out; --darts PYTHON names an interpreter that has it")
    task = load_task(arguments.data_dir)
    rows = [measure(case, task, arguments) for case in cases if not models or case.model in models]
    print_table(
        [
            *("model", "size", "batch", "ours ms", "fit ms", "bare ms", "darts ms", "windows/s"),
            *("fit/ours", "goal (aim)", "ours/bare", "at most", "darts/ours"),
        ],
        [table_row(row) for row in rows],
    )
    print_result({"cases": rows, "dataset": task.series.name, "threads": arguments.threads}, seed=1)


if __name__ == "__main__":
    main()
