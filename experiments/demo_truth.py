"""Distance of a tuned model from the true quantiles of the demo series.

    paretocast tune --settings examples/demo.toml
    python experiments/demo_truth.py [--job-id ID] [--other-seeds 8 9 10]

The demo generator knows the conditional quantiles of every window, so it knows the best reachable
pinball loss. The first rows are forecasts of the chosen trial as its study stored them;
`calibrate` took no part in training, stopping or choosing. With --other-seeds the chosen config is
trained anew on series that neither the search nor the design of the generator has seen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser

from paretocast.data import generate_demo, load_dataset
from paretocast.data.task import Task
from paretocast.metrics.score_table import score_forecast
from paretocast.results.stored_study import StoredStudy
from paretocast.training.setup import TrainingSetup
from paretocast.training.trial import run_trial, trial_seed
from paretocast.workspace.files import load_arrays, load_json
from paretocast.workspace.runs import RunDirectory, newest_job_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.data import DemoTruth
    from paretocast.settings import TuneSettings

SCORES = ("mae", "pinball", "crps", "picp", "mean_width", "winkler")
DEMO_SEED = 7


def compare(
    task: Task, truth: DemoTruth, forecasts: dict[str, NDArray[Any]]
) -> dict[str, dict[str, dict[str, float]]]:
    """Scores of the true quantiles and of a forecast on each split it covers."""
    levels = task.shape.levels
    compared = {}
    for split, forecast in forecasts.items():
        true = truth.quantiles(
            task.issues[split], horizon_steps=task.shape.horizon_steps, levels=levels
        )
        compared[split] = {
            "truth": score_forecast(task.observed(split), true, levels=levels),
            "model": score_forecast(
                task.observed(split), forecast.astype(np.float64), levels=levels
            ),
        }
    return compared


def retrain(series_seed: int, settings: TuneSettings, config: dict[str, Any]) -> Any:  # noqa: ANN401
    """Compare a config trained on the demo series of another seed."""
    series, truth = generate_demo(series_seed)
    task = Task.from_settings(settings, dataset=replace(load_dataset("demo"), series=series))
    setup = TrainingSetup.from_settings(settings, task)
    record = run_trial(setup, config, number=0, seed=trial_seed(settings.seed, 0))
    return compare(task, truth, dict(record.forecasts))


def main() -> None:
    """Print the scores of the chosen trial beside those of the true quantiles."""
    parser = script_parser(__doc__)
    parser.add_argument("--model", default="NHITS_Q")
    parser.add_argument("--workspace", type=Path, default=Path("hpo"))
    parser.add_argument("--job-id", default=None)
    parser.add_argument("--other-seeds", type=int, nargs="*", default=[])
    parser.add_argument("--quick", action="store_true", help="leave --other-seeds out")
    arguments = parser.parse_args()
    job_id = arguments.job_id or newest_job_id(arguments.workspace, arguments.model, "demo")
    run = RunDirectory(arguments.workspace, arguments.model, "demo", job_id)
    best = load_json(run.best_params)
    settings = StoredStudy(run).settings
    task = Task.from_settings(settings)
    _, truth = generate_demo(DEMO_SEED)
    stored = load_arrays(run.forecasts(best["best_trial_number"]))
    figures = {str(DEMO_SEED): compare(task, truth, stored)}
    for seed in [] if arguments.quick else arguments.other_seeds:
        figures[str(seed)] = retrain(seed, settings, best["best_params"])
    rows = [
        [seed, split, name, int(scores["n"]), *(scores[score] for score in SCORES)]
        for seed, splits in figures.items()
        for split, pair in splits.items()
        for name, scores in pair.items()
    ]
    print_table(["series", "split", "forecast", "n", *SCORES], rows)
    excess = {
        seed: {
            split: pair["model"]["pinball"] / pair["truth"]["pinball"] - 1.0
            for split, pair in splits.items()
        }
        for seed, splits in figures.items()
    }
    for seed, by_split in excess.items():
        shares = ", ".join(f"{split} {share:.1%}" for split, share in by_split.items())
        print(f"series {seed}: pinball loss above that of the true quantiles: {shares}")
    print_result({"scores": figures, "pinball_excess": excess, "job_id": job_id})


if __name__ == "__main__":
    main()
