"""Share of the budget and learning rate of a model that learns again: what was compared.

    python experiments/relearning.py --data-dir DATA --dataset water_centrum [--days 7] [--quick]

The tune and calibrate splits play the test split, which is not read. N-HiTS with its default config
learns from the train split, then again every so many days from all windows up to that day: from its
last weights with a share of the steps at a share of the peak learning rate, or from scratch. With
0 steps only the anchor learns again. Changes are in percent of the scores of a model that never
learns again, mean over seeds; below 0 is better.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from paretocast.search.space import Config
    from paretocast.training import Training
    from paretocast.training.setup import TrainingSetup

    Floats = NDArray[np.float64]

MODEL = "NHITS_Q"
SHARES, RATES = (0.05, 0.1, 0.2), (0.1, 0.3, 1.0)


def forecast(setup: TrainingSetup, training: Training, positions: NDArray[np.intp]) -> Floats:
    """Quantiles of the averaged weights, target units."""
    from paretocast.training import forecast_positions

    with training.best_model() as model:
        return setup.scaling.unscale(forecast_positions(model, setup.source, positions))


def learn_again(
    first: Training,
    setups: Sequence[TrainingSetup],
    parts: Sequence[NDArray[np.intp]],
    start: Callable[[TrainingSetup, Training], tuple[Training, int]],
) -> tuple[Floats, float]:
    """Forecasts of all parts after the first, and seconds without those of the anchor.

    Parameters
    ----------
    start : callable
        From a setup and the training before: a training and the step to train it to.
    """
    training, forecasts, started = first, [], time.perf_counter()
    for setup, positions in zip(setups, parts, strict=True):
        training, to_step = start(setup, training)
        training.advance(to_step)
        forecasts.append(forecast(setup, training, positions))
    return np.concatenate(forecasts), time.perf_counter() - started


def ways(
    config: Config, first: Training, *, seed: int, quick: bool
) -> dict[str, Callable[[TrainingSetup, Training], tuple[Training, int]]]:
    """Every way to learn again, by name."""
    from paretocast.training.setup import continue_training, start_training

    def warm(share: float, rate: float) -> Callable[..., tuple[Training, int]]:
        def start(setup: TrainingSetup, before: Training) -> tuple[Training, int]:
            training = continue_training(
                setup, config, weights=before.best_weights(), seed=seed, share=share, rate=rate
            )
            return training, training.recipe.steps

        return start

    def only_anchor(setup: TrainingSetup, before: Training) -> tuple[Training, int]:
        weights = before.best_weights()
        return continue_training(setup, config, weights=weights, seed=seed), 0

    def scratch(setup: TrainingSetup, _before: Training) -> tuple[Training, int]:
        once = setup.training.model_copy(
            update={"steps": first.recipe.steps, "epochs": None, "n_evaluations": 1}
        )
        return start_training(replace(setup, training=once), config, seed=seed), first.best_step

    named = {"0 steps": only_anchor}
    for share in SHARES[:1] if quick else SHARES:
        named |= {f"{share:.0%} of steps, {rate:g} of rate": warm(share, rate) for rate in RATES}
    return {**named, "from scratch": scratch}


def main() -> None:
    """Print one row for each way."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--dataset", default="demo")
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one share alone")
    arguments = parser.parse_args()
    from paretocast.data.task import Task
    from paretocast.metrics.score_table import score_forecast
    from paretocast.search.models import MODELS
    from paretocast.settings import TuneSettings
    from paretocast.training import use_threads
    from paretocast.training.setup import TrainingSetup, learned_until, start_training

    use_threads(arguments.threads)
    folder = None if arguments.data_dir is None else str(arguments.data_dir)
    settings = TuneSettings(model=MODEL, dataset=arguments.dataset, data_dir=folder)
    task = Task.from_settings(settings)
    setup = TrainingSetup.from_settings(settings, task, device="cpu")
    config = dict(MODELS[MODEL].default)
    issues = np.concatenate([task.issues[split] for split in ("tune", "calibrate")])
    head, *parts = (issues[i : i + arguments.days] for i in range(0, len(issues), arguments.days))
    observed = np.concatenate([task.observed(split) for split in ("tune", "calibrate")])
    later = [learned_until(setup, int(part[0])) for part in parts]
    results: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(1, arguments.seeds + 1):
        first = start_training(setup, config, seed=seed)
        first.advance(setup.budget_steps)
        never = forecast(setup, first, issues)
        base = score_forecast(observed, never, levels=task.shape.levels)
        for name, start in ways(config, first, seed=seed, quick=arguments.quick).items():
            again, seconds = learn_again(first, later, parts, start)
            together = np.concatenate([never[: len(head)], again])
            scores = score_forecast(observed, together, levels=task.shape.levels)
            changes = (100.0 * (scores[s] / base[s] - 1.0) for s in ("mae", "pinball"))
            results.setdefault(name, []).append((*changes, seconds))
    rows = [[name, *np.mean(values, axis=0).tolist()] for name, values in results.items()]
    print_table(["way", "MAE %", "pinball %", "seconds"], rows)
    print_result({"rows": rows, "dataset": task.series.name, "days": arguments.days}, seed=1)


if __name__ == "__main__":
    main()
