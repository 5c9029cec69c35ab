"""Chance in a score: the share of days and of seeds in it, and the gain of comparing in pairs.

    python experiments/noise.py [--dataset demo] [--configs 6] [--seeds 3] [--steps 600] [--quick]

Configs of N-HiTS are trained with several seeds each. "days" is the standard error of a score from
resampled days, "seeds" its standard deviation between trainings, pooled. "difference" is the
standard error of the difference between two configs on the same resampled days, beside what it
would be if each had been scored on days of its own. Tied: configs that a single training cannot
tell from the front, and what their mean over all seeds can.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from harness import print_result, print_table, script_parser

from paretocast.data.scaling import Transform
from paretocast.data.task import Task
from paretocast.search.models import MODELS
from paretocast.search.objectives import DEFAULT_OBJECTIVES, parse_objectives
from paretocast.search.samplers import design_point
from paretocast.search.selection import TrialState
from paretocast.search.space import Choice, Config, FloatRange, Space
from paretocast.settings import TrainingSettings, TuneSettings
from paretocast.study.outcome import summarise
from paretocast.study.repeats import seed_spread
from paretocast.training.scoring import draw_on_tune
from paretocast.training.setup import TrainingSetup
from paretocast.training.trial import TrialRecord, run_trial, trial_seed

SCORES = ("mae", "pinball", "picp", "coverage_error", "mean_width")


def configs(n: int, *, seed: int) -> list[Config]:
    """Points of a space of small networks with learning rates that work."""
    space: Space = {
        **MODELS["NHITS_Q"].space,
        "layer_widths": Choice((64, 128, 256)),
        "lr": FloatRange(5e-4, 5e-3, log=True),
    }
    return [design_point(space, index, seed=seed) for index in range(n)]


def train(
    setup: TrainingSetup, points: list[Config], *, n_seeds: int, seed: int
) -> list[TrialRecord]:
    """Every config with every seed; one that fails is left out."""
    records = []
    for number, config in enumerate(points):
        for k in range(n_seeds):
            record = run_trial(
                setup, config, number=number, seed=trial_seed(seed, number, k), seed_index=k
            )
            if record.state is TrialState.COMPLETE:
                records.append(record)
    return records


def measure(setup: TrainingSetup, records: list[TrialRecord]) -> list[list[Any]]:
    """A row per score: days, seeds, difference in pairs and as if on separate days."""
    draws = {(r.number, r.seed_index): draw_on_tune(setup, r.forecasts["tune"]) for r in records}
    first = [draws[key] for key in draws if key[1] == 0]
    spread = seed_spread(records)
    rows = []
    for score in SCORES:
        together = [(a[score] - b[score]).std(ddof=1) for a, b in combinations(first, 2)]
        apart = [np.hypot(a[score].std(), b[score].std()) for a, b in combinations(first, 2)]
        rows.append([
            score,
            float(np.median([r.scores[score] for r in records])),
            float(np.median([r.standard_errors[score] for r in records])),
            float(np.sqrt(spread.variance(score))),
            float(np.median(together)),
            float(np.median(apart)),
        ])  # fmt: skip
    return rows


def count_tied(setup: TrainingSetup, records: list[TrialRecord]) -> tuple[int, int]:
    """Members of the front, and trials that are tied with it."""
    outcome = summarise(
        records,
        objectives=parse_objectives(DEFAULT_OBJECTIVES),
        policy="compatible-coverage",
        target_coverage=setup.target_coverage,
        baselines={},
        draws_of=lambda record: draw_on_tune(setup, record.forecasts["tune"]),
    )
    return (0, 0) if outcome is None else (len(outcome.front), len(outcome.tied))


def main() -> None:
    """Print the table and the result line."""
    parser = script_parser(__doc__)
    parser.add_argument("--dataset", default="demo")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--configs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="3 configs, 2 seeds, 60 steps")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.configs, arguments.seeds, arguments.steps = 3, 2, 60
    settings = TuneSettings(
        model="NHITS_Q",
        dataset=arguments.dataset,
        data_dir=arguments.data_dir,
        training=TrainingSettings(
            steps=arguments.steps, n_rungs=1, transform=Transform.NONE, anchor="none"
        ),
    )
    setup = TrainingSetup.from_settings(settings, Task.from_settings(settings), device="cpu")
    records = train(
        setup,
        configs(arguments.configs, seed=arguments.seed),
        n_seeds=arguments.seeds,
        seed=arguments.seed,
    )
    rows = measure(setup, records)
    columns = ["score", "median", "days", "seeds", "difference", "on separate days"]
    print_table(columns, rows)
    single = count_tied(setup, [r for r in records if r.seed_index == 0])
    repeated = count_tied(setup, records)
    print(f"one training each: front {single[0]}, tied with it {single[1]}")
    print(f"mean of {arguments.seeds}: front {repeated[0]}, tied with it {repeated[1]}")
    figures = {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in rows}
    print_result(
        {"scores": figures, "front_tied_single": single, "front_tied_mean": repeated},
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
