"""How close a tuned model comes to the true quantiles of the demo series.

    paretocast tune --model NHITS_Q --dataset demo --trials 8 --seed 1
    python benchmarks/demo_truth.py [--workspace hpo] [--job-id ID]

The demo generator knows the conditional quantiles of every window, so it knows the best reachable
pinball loss. Both splits were predicted by the chosen trial when it was judged; `calibrate` took no
part in training, stopping or choosing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import print_result, print_table

from paretocast.datasets import generate_demo, load_dataset
from paretocast.scores import score_forecast
from paretocast.store import RunDirectory, load_arrays, load_json, newest_job_id
from paretocast.task import plan_task

SCORES = ("mae", "pinball", "crps", "picp", "mean_width", "winkler")


def main() -> None:
    """Print the scores of the chosen trial beside those of the true quantiles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="NHITS_Q")
    parser.add_argument("--workspace", type=Path, default=Path("hpo"))
    parser.add_argument("--job-id", default=None)
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds anyway")
    arguments = parser.parse_args()
    job_id = arguments.job_id or newest_job_id(arguments.workspace, arguments.model, "demo")
    run = RunDirectory(arguments.workspace, arguments.model, "demo", job_id)
    chosen = load_json(run.best_params)["best_trial_number"]
    forecasts = load_arrays(run.forecasts(chosen))
    dataset = load_dataset("demo")
    task = plan_task(dataset.series, dataset.dates)
    _, truth = generate_demo()
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for split, forecast in forecasts.items():
        observed = task.observed(split)
        true = truth.quantiles(
            task.issues[split],
            horizon_steps=task.shape.horizon_steps,
            levels=task.shape.levels,
        )
        figures[split] = {
            "true quantiles": score_forecast(observed, true, levels=task.shape.levels),
            f"trial {chosen}": score_forecast(
                observed, forecast.astype(float), levels=task.shape.levels
            ),
        }
    print_table(
        ["split", "forecast", "n", *SCORES],
        [
            [split, name, int(scores["n"]), *(scores[score] for score in SCORES)]
            for split, rows in figures.items()
            for name, scores in rows.items()
        ],
    )
    excess = {
        split: rows[f"trial {chosen}"]["pinball"] / rows["true quantiles"]["pinball"] - 1.0
        for split, rows in figures.items()
    }
    print(
        "pinball loss above that of the true quantiles: "
        + ", ".join(f"{k} {v:.1%}" for k, v in excess.items())
    )
    print_result({"scores": figures, "pinball_excess": excess, "job_id": job_id})


if __name__ == "__main__":
    main()
