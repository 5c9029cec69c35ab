"""Time until the quality that `NeuralForecast.fit` ends with.

    python benchmarks/time_to_quality.py --data-dir DATA [--models NHITS_Q] [--quick]

The library fits its module on the train split with its own optimizer settings (Adam, the learning
rate and schedule that are the module's defaults; --library-lr sets another rate) for 2,000 steps,
TFT and TimesNet for 300. Its seconds are those of its training steps; import, building and
start-up are not counted. Its module is then scored on the stop split in scaled units by the formula
of our training loop: mean pinball loss over the level grid, quantiles sorted.

Ours trains the same architecture on the same windows and batch with its own recipe and a budget of
its own (--ours-steps) and stops at the first evaluation at or below that loss. Its seconds run from
before the model is built, evaluations included.
"""

from __future__ import annotations

import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clocks import median_ratio
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse

    from library_match import Match

    from paretocast.data.task import Task

# Model: steps of the library, our budget, batch.
PLANS = {"NHITS_Q": (2000, 600, 128), "TFT_Q": (300, 240, 32), "TIMESNET_Q": (300, 200, 32)}
# Our peak learning rate where it is not that of the default config: a budget this short bears more.
OUR_RATES = {"TFT_Q": 0.006}
QUICK_PLANS = {"NHITS_Q": (100, 60, 128), "TFT_Q": (10, 10, 32), "TIMESNET_Q": (2, 4, 16)}
GOAL, AIM = 3.0, 6.0


def fit_theirs(match: Match, *, steps: int, seed: int, lr: float | None) -> dict[str, float]:
    """Seconds of the library's training steps, its stop-split loss and its learning rate."""
    from library_match import LibraryForecaster, stop_split_loss, train_frame

    settings: dict[str, Any] = {"random_seed": seed}
    if lr is not None:
        settings["learning_rate"] = lr
    fitted, seconds_per_step = match.fit_library(train_frame(match.setup), steps=steps, **settings)
    module = fitted.models[0]
    return {
        "seconds": seconds_per_step * steps,
        "loss": stop_split_loss(LibraryForecaster(module), match.setup),
        "lr": module.learning_rate,
    }


def train_ours(match: Match, *, seed: int, until: float) -> dict[str, float | None]:
    """Seconds and steps until the stop-split loss is at most `until`, or None where it never is."""
    from paretocast.training import TrainingInterrupted

    reached: list[tuple[int, float]] = []
    started = time.perf_counter()
    training = match.start_ours(seed=seed)

    def note(step: int, loss: float) -> None:
        if loss <= until:
            reached.append((step, time.perf_counter() - started))

    with suppress(TrainingInterrupted):
        training.advance(training.recipe.steps, should_stop=lambda: bool(reached), on_progress=note)
    step, seconds = reached[0] if reached else (None, None)
    return {"seconds": seconds, "step": step, "loss": training.best_stop_loss}


def measure(
    model: str, task: Task, arguments: argparse.Namespace, *, plan: tuple[int, int, int]
) -> dict[str, Any]:
    """All rounds of a model; a round has a seed of its own."""
    from library_match import config_with, make_match

    steps, budget, batch_size = plan
    steps, budget = arguments.steps or steps, arguments.ours_steps or budget
    match = make_match(
        task,
        model,
        config_with(model, **({"lr": OUR_RATES[model]} if model in OUR_RATES else {})),
        batch_size=arguments.batch or batch_size,
        steps=budget,
        n_evaluations=arguments.judgements,
    )
    # What a process does once (first calls, allocation) is paid by neither side.
    fit_theirs(match, steps=2, seed=0, lr=arguments.library_lr)
    match.start_ours(seed=0).advance(1)
    rounds = []
    for seed in range(1, arguments.rounds + 1):
        theirs = fit_theirs(match, steps=steps, seed=seed, lr=arguments.library_lr)
        ours = train_ours(match, seed=seed, until=theirs["loss"])
        rounds.append({"theirs": theirs, "ours": ours})
    return {
        "model": model,
        "steps": steps,
        "ours_budget": budget,
        "batch_size": match.batch_size,
        "config": match.config,
        "ratio": ratio_of(rounds),
        "rounds": rounds,
    }


def ratio_of(rounds: list[dict[str, Any]]) -> float | None:
    """Median ratio of the seconds; None if ours missed the loss in any round."""
    ours = [entry["ours"]["seconds"] for entry in rounds]
    if any(seconds is None for seconds in ours):
        return None
    return median_ratio([entry["theirs"]["seconds"] for entry in rounds], ours)


def table_row(row: dict[str, Any]) -> list[Any]:
    """A row of the table."""

    def median(side: str, name: str) -> float | str:
        values = [entry[side][name] for entry in row["rounds"]]
        return "-" if None in values else float(statistics.median(values))

    return [
        row["model"],
        row["batch_size"],
        row["steps"],
        *(median("theirs", name) for name in ("lr", "seconds", "loss")),
        row["ours_budget"],
        *(median("ours", name) for name in ("step", "seconds", "loss")),
        "not reached" if row["ratio"] is None else row["ratio"],
        f"{GOAL:g} ({AIM:g})",
    ]


def main() -> None:
    """Print one row per model."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, default=None, help="heat; else the demo series")
    parser.add_argument("--models", nargs="+", default=list(PLANS), help="some of the models")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=None, help="of the library, for every model")
    parser.add_argument("--ours-steps", type=int, default=None, help="our budget, for every model")
    parser.add_argument("--batch", type=int, default=None, help="of both sides, for every model")
    parser.add_argument("--judgements", type=int, default=20, help="of ours within its budget")
    parser.add_argument("--library-lr", type=float, default=None, help="else the module's default")
    parser.add_argument("--quick", action="store_true", help="few steps: a rehearsal, no result")
    arguments = parser.parse_args()
    plans = QUICK_PLANS if arguments.quick else PLANS
    from library_match import load_task, silence_library

    from paretocast.training import use_threads

    silence_library()
    use_threads(arguments.threads)
    task = load_task(arguments.data_dir)
    names = [name.upper() for name in arguments.models]
    rows = [measure(name, task, arguments, plan=plans[name]) for name in names]
    print_table(
        [
            *("model", "batch", "fit steps", "fit lr", "fit s", "fit loss"),
            *("our budget", "our step", "our s", "our loss", "fit s/our s", "goal (aim)"),
        ],
        [table_row(row) for row in rows],
    )
    print_result(
        {"models": rows, "dataset": task.series.name, "threads": arguments.threads},
        seed=arguments.rounds,
    )


if __name__ == "__main__":
    main()
