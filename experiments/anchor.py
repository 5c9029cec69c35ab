"""The worth of the anchor and of the transform of the target, with the default config of a model.

    python experiments/anchor.py --data-dir DATA [--datasets heat water_centrum] [--models NHITS_Q]

Each is trained once with its default budget, then scored on the tune and the calibrate split, on
neither of which anything was fitted. `ridge alone` is the baseline. The test split is not read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from harness import forecast_splits, print_result, print_table, script_parser

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.settings import TuneSettings

DATASETS = ("heat", "water_centrum", "water_tommerby")
VARIANTS = (("none", "none"), ("none", "log1p"), ("ridge", "none"), ("ridge", "log1p"))
SPLITS = ("tune", "calibrate")
SCORES = ("mae", "pinball", "picp")
QUICK_STEPS = 5


def score(task: Task, split: str, forecast: NDArray[np.float64]) -> list[float]:
    """MAE, pinball loss and PICP on a split."""
    from paretocast.metrics.score_table import score_forecast

    scores = score_forecast(task.observed(split), forecast, levels=task.shape.levels, coverage=80.0)
    return [scores[name] for name in SCORES]


def train(settings: TuneSettings, task: Task, *, seed: int) -> tuple[list[Any], dict[str, Any]]:
    """Steps, best step, seconds in all, and forecasts of both splits."""
    from paretocast.search.models import MODELS
    from paretocast.training.setup import TrainingSetup, start_training

    started = time.perf_counter()
    setup = TrainingSetup.from_settings(settings, task, device="cpu")
    training = start_training(setup, MODELS[settings.model].default, seed=seed)
    training.advance(setup.budget_steps)
    seconds = time.perf_counter() - started
    forecasts = forecast_splits(training, setup, SPLITS)
    return [setup.budget_steps, training.best_step, seconds], forecasts


def main() -> None:
    """Print a table with a row for each training."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--models", nargs="+", default=["NHITS_Q"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a few steps: a rehearsal")
    arguments = parser.parse_args()

    from paretocast.data.task import Task
    from paretocast.models.baselines.catalogue import fit_baseline
    from paretocast.settings import TuneSettings
    from paretocast.training import use_threads

    use_threads(arguments.threads)
    rows: list[list[Any]] = []
    for dataset in arguments.datasets:
        source = {"dataset": dataset, "data_dir": arguments.data_dir, "covariates": ()}
        task = Task.from_settings(TuneSettings.model_validate(source))
        for model in arguments.models:
            for anchor, transform in VARIANTS:
                recipe = {"anchor": anchor, "transform": transform}
                settings = TuneSettings.model_validate(
                    {
                        **source,
                        "model": model,
                        "training": {**recipe, "steps": QUICK_STEPS if arguments.quick else None},
                    }
                )
                effort, forecasts = train(settings, task, seed=arguments.seed)
                scores = [x for split in SPLITS for x in score(task, split, forecasts[split])]
                rows.append([dataset, model, anchor, transform, *effort, *scores])
        ridge = fit_baseline("ridge", task)
        scores = [
            x
            for split in SPLITS
            for x in score(task, split, ridge.forecast(task, task.issues[split]))
        ]
        rows.append([dataset, "ridge alone", "", "", "", "", "", *scores])
    columns = [f"{split} {score}" for split in SPLITS for score in ("MAE", "pinball", "PICP %")]
    print_table(
        ["data", "model", "anchor", "transform", "steps", "best", "seconds", *columns], rows
    )
    print_result({"rows": rows, "threads": arguments.threads}, seed=arguments.seed)


if __name__ == "__main__":
    main()
