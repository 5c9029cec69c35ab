"""What the anchor and the transform of the target are worth, with the default config of a model.

    python experiments/anchor.py --data-dir DATA [--datasets heat water_centrum] [--models NHITS_Q]

Each is trained once with its default budget, then judged on the tune and the calibrate split, on
neither of which anything was fitted. `ridge alone` is the reference. The test split is not read.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import print_result, print_table, script_parser

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


def judged(task: Task, split: str, forecast: NDArray[np.float64]) -> list[float]:
    """MAE, pinball loss and PICP on a split."""
    from paretocast.metrics.scores import score_forecast

    scores = score_forecast(task.observed(split), forecast, levels=task.shape.levels, coverage=80.0)
    return [scores[name] for name in SCORES]


def train(settings: TuneSettings, task: Task, *, seed: int) -> tuple[list[Any], dict[str, Any]]:
    """Steps, best step, seconds in all, and forecasts of both splits."""
    from paretocast.search.space import DEFAULT_CONFIGS
    from paretocast.training import forecast_positions
    from paretocast.training.setup import TrainingSetup, start_training

    started = time.perf_counter()
    setup = TrainingSetup.from_settings(settings, task, device="cpu")
    training = start_training(setup, DEFAULT_CONFIGS[settings.model], seed=seed)
    training.advance(setup.budget_steps)
    seconds = time.perf_counter() - started
    with training.best_model() as model:
        forecasts = {
            split: setup.scaling.unscale(
                forecast_positions(model, setup.source, task.issues[split])
            )
            for split in SPLITS
        }
    return [setup.budget_steps, training.best_step, seconds], forecasts


def main() -> None:
    """Print a table with a row for each training."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--models", nargs="+", default=["NHITS_Q"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a few steps: a rehearsal")
    given = parser.parse_args()

    from paretocast.data import load_dataset
    from paretocast.data.task import plan_task
    from paretocast.models.baselines.naive import fit_baseline
    from paretocast.settings import TuneSettings
    from paretocast.training import use_threads

    use_threads(given.threads)
    rows: list[list[Any]] = []
    for dataset in given.datasets:
        loaded = load_dataset(dataset, data_dir=given.data_dir, covariates=[])
        task = plan_task(loaded.series, loaded.dates)
        for model in given.models:
            for anchor, transform in VARIANTS:
                recipe = {"anchor": anchor, "transform": transform}
                settings = TuneSettings.model_validate(
                    {
                        "model": model,
                        "dataset": dataset,
                        "training": {**recipe, "steps": QUICK_STEPS if given.quick else None},
                    }
                )
                effort, forecasts = train(settings, task, seed=given.seed)
                scores = [x for split in SPLITS for x in judged(task, split, forecasts[split])]
                rows.append([dataset, model, anchor, transform, *effort, *scores])
        ridge = fit_baseline("ridge", task)
        scores = [
            x
            for split in SPLITS
            for x in judged(task, split, ridge.forecast(task, task.issues[split]))
        ]
        rows.append([dataset, "ridge alone", "", "", "", "", "", *scores])
    columns = [f"{split} {score}" for split in SPLITS for score in ("MAE", "pinball", "PICP %")]
    print_table(
        ["data", "model", "anchor", "transform", "steps", "best", "seconds", *columns], rows
    )
    print_result({"rows": rows, "threads": given.threads}, seed=given.seed)


if __name__ == "__main__":
    main()
